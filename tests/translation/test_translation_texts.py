"""Lines, and the search for those that break a batch."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translation_world import UpperEngine, bisection_bound

from dragoman.translation.engine import EngineUnavailableError, Rejected
from dragoman.translation.texts import GIVE_UP_AFTER, Isolator, one_line

FAULTS = ("crash", "silence", "fewer", "more", "empty")


def isolator(engine: UpperEngine, timeout: float = 80.0, probe: str | None = "a good line") -> Isolator:
    return Isolator(engine, timeout, lambda: probe)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a dog\nruns", "a dog runs"),
        ("a\u2028dog\u2029runs\x85fast", "a dog runs fast"),
        ("  a\tdog \r\n", "a dog"),
        ("a\x00dog\x1bruns", "a dog runs"),
        ("\ufeffa dog", "a dog"),
        ("cafe\u0301", "café"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),
        ("a\xa0dog", "a dog"),
        ("\x00\n", ""),
    ],
)
def test_a_caption_becomes_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text())
def test_no_reader_of_lines_can_split_a_line_and_making_it_one_again_changes_nothing(text: str) -> None:
    line = one_line(text)
    assert line.splitlines() in ([line], [])
    assert one_line(line) == line
    assert line == line.strip()


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 40),
    bad=st.dictionaries(st.integers(0, 39), st.sampled_from(FAULTS), max_size=GIVE_UP_AFTER - 1),
)
def test_exactly_the_bad_lines_are_rejected_at_the_cost_of_halving(count: int, bad: dict[int, str]) -> None:
    lines = [f"line {i}" for i in range(count)]
    faults = {lines[i]: fault for i, fault in bad.items() if i < count}
    engine = UpperEngine(faults)

    outcomes = isolator(engine).translate(lines)

    assert len(outcomes) == count
    for line, outcome in zip(lines, outcomes, strict=True):
        assert isinstance(outcome, Rejected) if line in faults else outcome == line.upper()
    assert len(engine.calls) <= bisection_bound(count, len(faults))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "it crashed"),
        ("silence", "1 lines went in and 0 came out"),
        ("more", "1 lines went in and 2 came out"),
        ("empty", "the engine gave an empty translation"),
        ("refused", "not this one"),
    ],
)
def test_the_reason_of_a_rejection_is_told(fault: str, reason: str) -> None:
    outcomes = isolator(UpperEngine({"b": fault})).translate(["a", "b", "c"])
    assert outcomes == ["A", Rejected(reason), "C"]


def test_a_line_that_is_empty_only_among_others_is_translated_alone() -> None:
    class Shy(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            return super().translate(lines, timeout) if len(lines) == 1 else ["", "B"]

    assert isolator(Shy()).translate(["a", "b"]) == ["A", "B"]


def test_parts_of_a_batch_get_their_share_of_the_time_limit_but_never_less_than_an_eighth() -> None:
    engine = UpperEngine({"line 0": "crash"})
    isolator(engine, timeout=80.0).translate([f"line {i}" for i in range(16)])
    assert engine.timeouts == [80, 40, 20, 10, 10, 10, 10, 20, 40]


def test_an_engine_that_never_works_is_given_up_instead_of_rejecting_everything() -> None:
    lines = [f"line {i}" for i in range(64)]
    engine = UpperEngine(dict.fromkeys(lines, "crash"))
    with pytest.raises(EngineUnavailableError, match=r"fake:upper failed on 8 lines in a row.*it crashed"):
        isolator(engine, probe=None).translate(lines)


def test_many_bad_lines_in_a_row_are_rejected_where_a_known_good_line_still_works() -> None:
    lines = [f"line {i}" for i in range(20)]
    engine = UpperEngine(dict.fromkeys(lines, "crash"))
    assert isolator(engine).translate(lines) == [Rejected("it crashed")] * 20
    assert engine.worked.count("a good line") == 2


def test_an_engine_that_breaks_on_the_way_is_given_up() -> None:
    lines = [f"line {i}" for i in range(20)]
    engine = UpperEngine(dict.fromkeys([*lines, "a good line"], "crash"))
    with pytest.raises(EngineUnavailableError, match="What was done so far is kept"):
        isolator(engine).translate(lines)


def test_an_engine_that_now_gives_nothing_for_a_good_line_is_given_up() -> None:
    lines = [f"line {i}" for i in range(20)]
    engine = UpperEngine(dict.fromkeys(lines, "crash") | {"a good line": "empty"})
    with pytest.raises(EngineUnavailableError, match="failed on 8 lines in a row"):
        isolator(engine).translate(lines)


def test_bad_lines_among_good_ones_never_make_an_engine_suspect() -> None:
    lines = [f"line {i}" for i in range(40)]
    engine = UpperEngine(dict.fromkeys(lines[::2], "crash"))
    outcomes = isolator(engine, probe=None).translate(lines)
    assert outcomes == [Rejected("it crashed") if i % 2 == 0 else f"LINE {i}" for i in range(40)]


def test_refusals_of_single_lines_do_not_make_an_engine_suspect() -> None:
    engine = UpperEngine(dict.fromkeys("abcdefghijkl", "refused"))
    one_by_one = isolator(engine, probe=None)
    assert [one_by_one.translate([line]) for line in "abcdefghijkl"] == [[Rejected("not this one")]] * 12
