"""Of the processes that torchrun started, one speaks."""

from __future__ import annotations

import logging

import pytest
from click.testing import CliRunner

from dragoman.cli import dragoman
from dragoman.progress import bar, is_first_process


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
