"""Progress: of the processes that torchrun started one speaks; of several stages there is one bar."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from click.testing import CliRunner
from tqdm import tqdm

from dragoman.cli import dragoman
from dragoman.progress import Whole, bar, duration, is_first_process


@pytest.mark.parametrize(("rank", "expected"), [(None, True), ("0", True), ("1", False)])
def test_the_first_process_shows_progress_and_logs(
    rank: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_PROGRESS", "1")
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert is_first_process() is expected
    with bar(1, "label", "steps") as shown:
        assert shown.disable is not expected
    level = logging.getLogger("dragoman").level
    try:
        CliRunner().invoke(dragoman, ["train", "--help"])
        assert logging.getLogger("dragoman.training").isEnabledFor(logging.INFO) is expected
    finally:
        logging.getLogger("dragoman").setLevel(level)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def whole(clock: Clock, **expected: float) -> Whole:
    return Whole(expected, stream=io.StringIO(), clock=clock)


def test_before_the_first_stage_all_that_was_expected_is_left(clock: Clock) -> None:
    assert whole(clock, read=10, learn=90).left() == 100


def test_a_stage_is_as_long_as_expected_until_it_has_a_pace_of_its_own(clock: Clock) -> None:
    work = whole(clock, read=10, learn=90)
    with work.stage("read"):
        clock.now += 4
        assert work.left() == 6 + 90
        # It takes longer than was expected, and says nothing of how much: what is left is not below 0.
        clock.now += 8
        assert work.left() == 0 + 90
        # A half in 12 s: 24 in all. Of the 10 s that were expected, 5 are done and took 12: the pace is 2.4.
        with bar_of(work, 4) as shown:
            shown.update(2)
            assert work.left() == pytest.approx(12 + 2.4 * 90)


def test_a_small_share_is_trusted_in_part(clock: Clock) -> None:
    work = whole(clock, read=10)
    with work.stage("read"), bar_of(work, 10) as shown:
        clock.now += 5
        shown.update(1)
        # A tenth of the stage is half of what makes it sure: (5 / 0.1 + 10) / 2 seconds in all.
        assert work.left() == pytest.approx((50 + 10) / 2 - 5)


def test_the_pace_of_what_is_done_holds_for_the_rest_within_bounds(clock: Clock) -> None:
    work = whole(clock, read=10, look=10, learn=100)
    with work.stage("read"):
        clock.now += 20
    assert work.left() == pytest.approx(2 * 110)
    assert work.done() == pytest.approx(20 / 240)
    with work.stage("look"):
        clock.now += 980
    assert work.left() == pytest.approx(4 * 100)


def test_bars_of_one_stage_share_it(clock: Clock) -> None:
    work = whole(clock, translate=10)
    with work.shown(), work.stage("translate", parts=2):
        with bar(4, "there", "lines") as there:
            there.update(4)
        clock.now += 6
        assert work.left() == pytest.approx(6)
        with bar(4, "back", "lines") as back:
            back.update(2)
            # Three quarters in 6 s.
            assert work.left() == pytest.approx(2)
    with bar(1, "label", "steps") as alone:
        assert isinstance(alone, tqdm)


def test_where_there_is_no_terminal_each_stage_has_its_line_and_a_long_one_several(clock: Clock) -> None:
    stream = io.StringIO()
    work = Whole({"read": 10, "learn": 200}, stream=stream, clock=clock)
    with work.shown():
        with work.stage("read"):
            clock.now += 10
        with work.stage("learn"), bar(100, "steps", "steps") as shown:
            for _ in range(50):
                clock.now += 1
                shown.update(1)
    assert stream.getvalue().splitlines() == [
        "1 of 2: read",
        "2 of 2: learn",
        # 30 % in 30 s.
        "  30% of it, about 70 s left in all",
    ]


def test_a_stage_that_fails_lets_go_of_the_bar(clock: Clock) -> None:
    work = whole(clock, read=1)
    with pytest.raises(ValueError), work.shown(), work.stage("read"):
        raise ValueError
    with bar(1, "label", "steps") as alone:
        assert isinstance(alone, tqdm)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "5 s"),
        (7, "5 s"),
        (8, "10 s"),
        (89, "90 s"),
        (90, "2 min"),
        (3569, "59 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_times_are_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def bar_of(work: Whole, total: int) -> Any:
    with work.shown():
        return bar(total, "label", "steps")
