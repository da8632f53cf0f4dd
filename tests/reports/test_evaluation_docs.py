"""The page about evaluation is true: its Python is run, its options and files exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from reporting_world import FakeModel, write_world

from dragoman.cli import dragoman

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_its_python_gives_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path / "corpus")
    done = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8", globs={"model": FakeModel()})
    assert (done.failed, done.attempted) == (0, 33)


def test_its_options_exist_and_all_options_of_evaluate_that_choose_queries_are_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    known = {
        option
        for verb in ("evaluate", "compare")
        for option in re.findall(r"--[a-z][a-z-]*", CliRunner().invoke(dragoman, [verb, "--help"]).output)
    }
    # Records are read into a corpus by a verb of its own.
    told = set(re.findall(r"--[a-z][a-z-]*", re.sub(r"(?m)^ *dragoman corpus .*", "", text)))
    assert told <= known
    assert known - told == {"--help", "--json", "--seed", "--features", "--run-depth"}
