"""`dragoman evaluate` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from reporting_world import FakeModel, write_world

from checksums import without_checksums
from dragoman.cli import dragoman


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_world(tmp_path / "corpus")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    monkeypatch.setattr("dragoman.reports.evaluator.load", lambda run: FakeModel())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_prints_a_table_and_writes_the_report(place: Path) -> None:
    done = CliRunner().invoke(
        dragoman, ["evaluate", "run", "corpus", "--languages", "pt,en", "--out", "report"]
    )
    assert done.exit_code == 0, done.output
    report = json.loads((place / "report" / "report.json").read_text())
    lines = done.stdout.splitlines()
    first = report["results"]["pt"]["direct"]
    assert lines[2].split()[:5] == ["pt", "direct"] + [
        f"{first['text_to_image'][f'recall@{k}']:.1f}" for k in (1, 5, 10)
    ]
    assert f"{first['sum_r']:.1f}" in lines[2]
    assert "pt: 46 captions against 24 images, 23 images against 46 captions" in lines
    assert any(line.startswith("pt: fusion weight 0.") and "32 human pt captions" in line for line in lines)
    assert "Look at report/report.html" in done.stderr
    written = {path.name for path in (place / "report").iterdir()}
    assert written == {
        *("report.json", "report.html", "queries.parquet", "consistency.parquet", "trec", "manifest.json")
    }
    assert list(report["provenance"]["run"]) == ["model/config.json"]


def test_json_is_the_report(place: Path) -> None:
    done = CliRunner().invoke(
        dragoman,
        ["evaluate", "run", "corpus", "--languages", "pt", "--match", "pt=*#0", "--match", "pt=*#1",
         "--fusion-normalisation", "none", "--json", "--out", "report"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed == json.loads((place / "report" / "report.json").read_text())
    assert printed["languages"]["pt"]["match"] == ["*#0", "*#1"]
    assert printed["languages"]["pt"]["fusion"]["normalisation"] == "none"


@pytest.mark.parametrize("match", ["pt", "=*", "pt="])
def test_a_match_without_language_or_glob_is_refused(place: Path, match: str) -> None:
    from dragoman.errors import UserError

    done = CliRunner().invoke(
        dragoman, ["evaluate", "run", "corpus", "--languages", "pt", "--match", match, "--out", "r"]
    )
    assert isinstance(done.exception, UserError)
    assert f"--match takes LANG=GLOB, got {match!r}" in str(done.exception)


def test_a_missing_run_says_how_to_make_one(place: Path) -> None:
    done = CliRunner().invoke(dragoman, ["evaluate", "no-run", "corpus", "--languages", "pt", "--out", "r"])
    assert "no-run does not exist. Train a model: dragoman train" in str(done.exception)
    assert not (place / "r").exists()


def test_folds_are_evaluated_apart(place: Path) -> None:
    items = pq.read_table(place / "corpus" / "items.parquet")
    folds = pa.array([number % 2 for number in range(len(items))], pa.int64())
    pq.write_table(items.append_column("fold", folds), place / "corpus" / "items.parquet")
    without_checksums(place / "corpus")
    done = CliRunner().invoke(
        dragoman, ["evaluate", "run", "corpus", "--languages", "en", "--folds", "--out", "report"]
    )
    assert done.exit_code == 0, done.output
    report = json.loads((place / "report" / "report.json").read_text())
    halves = [json.loads((place / "report" / f"fold-{k}" / "report.json").read_text()) for k in (0, 1)]
    sums = [half["results"]["en"]["direct"]["sum_r"] for half in halves]
    assert report["results"]["en"]["direct"]["sum_r"] == pytest.approx(sum(sums) / 2)
    assert done.stdout.splitlines()[-1] == "mean over 2 folds of 12 images, each a gallery of its own"
    assert "Look at report/fold-…/report.html" in done.stderr
