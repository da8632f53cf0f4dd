"""`dragoman compare` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from reporting_world import FakeModel, write_world

from dragoman.cli import dragoman
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.settings import EvaluationSettings


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compare")
    write_world(place / "corpus")
    for name, seed, noise in [("a1", 1, 1.0), ("a2", 2, 1.0), ("b", 1, 0.6)]:
        evaluate(
            FakeModel(seed, noise), place / "corpus", EvaluationSettings(languages=["pt"]), out=place / name
        )
    return place


def run(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str):
    monkeypatch.chdir(place)
    return CliRunner().invoke(dragoman, ["compare", *arguments])


def test_it_prints_a_table_a_row(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(place, monkeypatch, "a1", "b")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "direct of b (b) against a (a1)"
    assert lines[1].startswith("intervals and p over images alone")
    assert lines[2].split()[:3] == ["language", "direction", "metric"]
    assert [line.split()[2] for line in lines[3:12]] == [
        "recall@1", "recall@5", "recall@10", "map", "recall@1", "recall@5", "recall@10", "map", "sum_r",
    ]  # fmt: skip
    assert "translate_test of b (b) against a (a1)" in lines
    assert "fused of b (b) against a (a1)" in lines


def test_json_holds_every_field(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(place, monkeypatch, "a1,a2", "b", "--json", "--baseline-row", "translate_test")
    lines = json.loads(done.stdout)
    assert lines[0]["pair"] == {
        "a": "a1,a2", "b": "b", "language": "pt", "row": "direct", "baseline_row": "translate_test",
    }  # fmt: skip
    assert set(lines[0]) == {
        "pair", "direction", "metric", "a", "b", "difference", "interval", "over", "paired", "p", "p_holm",
        "primary", "mcnemar", "mcnemar_holm", "seeds_a", "seeds_b", "spread_a", "spread_b",
    }  # fmt: skip
    assert len(lines[0]["seeds_a"]) == 2


def test_a_missing_report_says_how_to_make_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(place, monkeypatch, "a1", "none")
    assert "none does not exist" in str(done.exception)
    assert "Make one: dragoman evaluate" in str(done.exception)


def test_the_primary_figure_is_printed_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(place, monkeypatch, "a1", "b", "--primary", "pt:sum_r")
    assert done.stdout.startswith(
        "Primary figure: sum_r of pt, both directions, named with this comparison\n"
    )
