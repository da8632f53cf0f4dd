"""Corrections in an index: first among the captions, as people's, kept by the job, and taken back."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_model
from tiny_videos import save_video
from toy_model import save_model, save_picture

from dragoman.corpus.corpus import CAPTIONS, CORRECTS, FOUND_IN, ITEMS
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.index import IndexReport, corrections, job
from dragoman.index.corrections import correct, take_back
from dragoman.index.folder import open_generation, read_info
from dragoman.records import Entry
from dragoman.stores import Store

SAID = {
    ("a.png", "en", "human"): ["a red thing"],
    ("a.png", "pt", "mt"): ["uma cousa"],
    ("b.png", "en", "human"): ["a blue thing"],
    ("b.png", "pt", "human"): ["uma coisa azul", "azul"],
}


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_model.stand_in(monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A corpus of two pictures, of which one has a caption that a machine translated, and its index."""
    corpus = tmp_path / "corpus"
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        save_picture(corpus / name, colour)
    items = [{"item_id": name, "kind": "image", "path": name, "split": "test"} for name in ("a.png", "b.png")]
    captions = [
        {"caption_id": f"{item_id}{lang}{number}", "item_id": item_id, "lang": lang, "role": role}
        | {"text": text, "source_id": f"{item_id}en0" if role == "mt" else None, "engine": None}
        for (item_id, lang, role), texts in SAID.items()
        for number, text in enumerate(texts)
    ]
    pq.write_table(pa.Table.from_pylist(items, schema=ITEMS), corpus / "items.parquet")
    pq.write_table(pa.Table.from_pylist(captions, schema=CAPTIONS), corpus / "captions.parquet")
    CORPUS.write(corpus, inputs={})
    save_model(tmp_path / "run")
    index(tmp_path)
    return tmp_path


def index(place: Path, media: str = "corpus") -> IndexReport:
    return job.index_media(place / "run", place / media, place / "index", job.IndexOptions(device="cpu"))


def opened(place: Path) -> Store:
    return open_generation(read_info(place / "index"))


def entry(place: Path, item_id: str) -> Entry:
    with opened(place) as store:
        (found,) = store.get([item_id])
    assert found is not None
    return found


def texts(place: Path, item_id: str, lang: str = "pt") -> tuple[list[str], str | None]:
    """Captions in a language, and who wrote them."""
    found = entry(place, item_id)
    first = [found.captions[lang]] if lang in found.captions else []
    return [*first, *found.more_captions.get(lang, ())], found.caption_roles.get(lang)


def put(place: Path, item_id: str, text: str, lang: str = "pt") -> bool:
    with opened(place) as store:
        done = correct(place / "index", store, item_id, lang, text, lambda exists: None)
    assert done is not None
    assert done[1].captions[lang] == text
    return done[0]


def back(place: Path, item_id: str, lang: str = "pt") -> bool | None:
    with opened(place) as store:
        return take_back(place / "index", store, item_id, lang, lambda exists: None)


def kept(place: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (place / "index" / "corrections.jsonl").read_text().splitlines()]


def test_a_correction_is_shown_at_once_and_stays_through_the_job(place: Path) -> None:
    assert texts(place, "a.png") == (["uma cousa"], "mt")
    assert not put(place, "a.png", "uma coisa")
    assert texts(place, "a.png") == (["uma coisa"], "human")
    expected = {"item_id": "a.png", "lang": "pt", "text": "uma coisa", "translation": "uma cousa"}
    assert kept(place) == [expected]
    # Corrected again, it is still the correction of what the machine wrote.
    put(place, "a.png", "uma coisa vermelha")
    assert kept(place) == [expected | {"text": "uma coisa vermelha"}]
    assert texts(place, "a.png") == (["uma coisa vermelha"], "human")

    report = index(place)
    assert (report.done.reworded, report.done.changed, report.left_out) == (1, 0, ())
    assert texts(place, "a.png") == (["uma coisa vermelha"], "human")
    assert texts(place, "b.png") == (["uma coisa azul", "azul"], "human")
    assert index(place).done.reworded == 0

    assert back(place, "a.png") is True
    assert texts(place, "a.png") == (["uma cousa"], "mt")
    assert kept(place) == [] and back(place, "a.png") is False
    index(place)
    assert texts(place, "a.png") == (["uma cousa"], "mt")


def test_what_people_wrote_follows_a_correction(place: Path) -> None:
    put(place, "b.png", "azul")
    assert texts(place, "b.png") == (["azul", "uma coisa azul"], "human")
    put(place, "b.png", "azul!")
    assert texts(place, "b.png") == (["azul!", "uma coisa azul"], "human")
    index(place)
    assert texts(place, "b.png") == (["azul!", "uma coisa azul", "azul"], "human")
    assert back(place, "b.png")
    assert texts(place, "b.png") == (["uma coisa azul", "azul"], "human")


def test_a_language_without_a_caption_gets_one(place: Path) -> None:
    assert put(place, "a.png", "una cosa", "es") is True
    assert "translation" not in kept(place)[0]
    index(place)
    assert texts(place, "a.png", "es") == (["una cosa"], "human")
    assert back(place, "a.png", "es")
    assert texts(place, "a.png", "es") == ([], None)


def with_sheet(place: Path, **corrected: str | None) -> None:
    """Build the corpus anew as a sheet says: each text is a correction of a translation of a.png."""
    rows = pq.read_table(place / "corpus" / "captions.parquet").to_pylist()
    rows = [
        row | {"found_in": "text file", "corrects": None} for row in rows if "sheet" not in row["caption_id"]
    ]
    for number, (text, translation) in enumerate(corrected.items()):
        own = {"caption_id": f"sheet{number}", "item_id": "a.png", "lang": "pt", "role": "human"}
        own |= {"text": text, "source_id": None, "engine": None}
        rows.append(own | {"found_in": "correction", "corrects": translation})
    schema = pa.schema([*CAPTIONS, FOUND_IN, CORRECTS])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), place / "corpus" / "captions.parquet")
    CORPUS.write(place / "corpus", inputs={})
    index(place)


def test_the_last_correction_takes_the_place_of_that_of_a_sheet(place: Path) -> None:
    with_sheet(place, da_folha="uma cousa", outra="um outro")
    assert texts(place, "a.png") == (["da_folha", "outra"], "human")
    put(place, "a.png", "da página")
    assert texts(place, "a.png") == (["da página", "outra"], "human")
    assert [one["translation"] for one in kept(place)] == ["uma cousa"]
    # The corpus still has that of the sheet, and later another one: what the service was told counts more.
    index(place)
    assert texts(place, "a.png") == (["da página", "outra"], "human")
    with_sheet(place, nova_folha="uma cousa", outra="um outro")
    assert texts(place, "a.png") == (["da página", "outra"], "human")
    assert back(place, "a.png") is True
    assert texts(place, "a.png") == (["nova_folha", "outra"], "human")
    assert index(place).done.reworded == 1
    assert texts(place, "a.png") == (["nova_folha", "outra"], "human")
    # Of the corpus they cannot be taken back here.
    assert back(place, "a.png") is False


def test_what_a_sheet_said_is_shown_again_though_the_corpus_was_built_with_what_replaced_it(
    place: Path,
) -> None:
    with_sheet(place, da_folha="uma cousa")
    put(place, "a.png", "página")
    with_sheet(place, página="uma cousa")
    assert texts(place, "a.png") == (["página"], "human")
    assert back(place, "a.png") is True
    assert texts(place, "a.png") == (["da_folha"], "human")


def test_a_sheet_that_does_not_name_the_translation_gives_way_too(place: Path) -> None:
    with_sheet(place, da_folha=None)
    put(place, "a.png", "da página")
    assert texts(place, "a.png") == (["da página"], "human")
    assert "translation" not in kept(place)[0]
    index(place)
    assert texts(place, "a.png") == (["da página"], "human")
    # Without the sheet nothing of it is left.
    with_sheet(place)
    assert back(place, "a.png") is True
    assert index(place).done.reworded == 1
    assert texts(place, "a.png") == (["uma cousa"], "mt")


def test_a_correction_taken_out_by_hand_is_gone_with_the_next_job(place: Path) -> None:
    put(place, "a.png", "uma coisa")
    (place / "index" / "corrections.jsonl").unlink()
    assert index(place).done.reworded == 1
    assert texts(place, "a.png") == (["uma cousa"], "mt")


def test_corrections_of_what_is_gone_are_told_and_kept(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = place / "index" / "corrections.jsonl"
    lines = ['{"item_id": "gone.png", "lang": "pt", "text": "nada"}', "what is this"]
    lines += ['{"item_id": "a.png", "lang": "pt", "text": "uma coisa"}']
    file.write_text("\n".join(lines))
    with caplog.at_level(logging.WARNING):
        report = index(place)
    told = "corrections of items that are not here, kept for when they are: 1 (gone.png)"
    assert report.left_out == (told,)
    assert "corrections.jsonl, line 2: no valid JSON" in caplog.text
    assert texts(place, "a.png") == (["uma coisa"], "human")
    put(place, "b.png", "azul!")
    assert file.read_text().splitlines()[:3] == lines


def test_what_is_refused_changes_nothing(place: Path) -> None:
    def refuse(exists: bool) -> None:
        raise ValueError(str(exists))

    with opened(place) as store:
        for lang, expected in (("pt", "True"), ("es", "False")):
            with pytest.raises(ValueError, match=expected):
                correct(place / "index", store, "a.png", lang, "x", refuse)
        with pytest.raises(UserError):
            correct(place / "index", store, "a.png", "pt", "x" * 10_000_000, lambda exists: None)
        assert correct(place / "index", store, "gone", "pt", "x", refuse) is None
        assert take_back(place / "index", store, "gone", "pt", refuse) is None
    assert not (place / "index" / "corrections.jsonl").exists()
    assert texts(place, "a.png") == (["uma cousa"], "mt")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_between_file_and_entry_loses_no_correction(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (child := os.fork()) == 0:
        with opened(place) as store:
            monkeypatch.setattr(type(store), "update", lambda *given: os.kill(os.getpid(), signal.SIGKILL))
            correct(place / "index", store, "a.png", "pt", "uma coisa", lambda exists: None)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert texts(place, "a.png") == (["uma cousa"], "mt")
    assert index(place).done.reworded == 1
    assert texts(place, "a.png") == (["uma coisa"], "human")


def test_a_correction_that_a_kill_left_unshown_is_taken_back(place: Path) -> None:
    written = {"item_id": "a.png", "lang": "pt", "text": "uma coisa", "translation": "uma cousa"}
    (place / "index" / "corrections.jsonl").write_text(json.dumps(written) + "\n")
    assert back(place, "a.png") is True
    assert texts(place, "a.png") == (["uma cousa"], "mt")


@pytest.fixture
def film(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "media").mkdir()
    save_video(tmp_path / "media" / "x.mp4", ["red"] * 30 + ["green"] * 30 + ["blue"] * 30)
    save_picture(tmp_path / "media" / "x.png", "red")
    (tmp_path / "media" / "x.mp4.txt").write_text("a film\n")
    save_model(tmp_path / "run")
    index(tmp_path, "media")
    return "x.mp4"


def test_a_correction_of_a_moment_is_one_of_its_video(tmp_path: Path, film: str) -> None:
    with opened(tmp_path) as store:
        moments = [one.item_id for one in store.scan(limit=100) if one.kind == "video"]
    assert len(moments) == 3
    put(tmp_path, moments[1], "um filme")
    assert kept(tmp_path) == [{"item_id": film, "lang": "pt", "text": "um filme"}]
    assert [texts(tmp_path, one) for one in moments] == [(["um filme"], "human")] * 3
    assert texts(tmp_path, "x.png") == ([], None)
    assert index(tmp_path, "media").done.reworded == 3
    assert [texts(tmp_path, one) for one in moments] == [(["um filme"], "human")] * 3
    assert back(tmp_path, moments[2])
    assert [texts(tmp_path, one) for one in moments] == [([], None)] * 3


def test_moments_are_found_over_pages(tmp_path: Path, film: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "PAGE", 1)
    with opened(tmp_path) as store:
        first = next(one.item_id for one in store.scan(limit=100) if one.kind == "video")
    put(tmp_path, first, "um filme")
    with opened(tmp_path) as store:
        assert [one.captions.get("pt") for one in store.scan(limit=100)] == ["um filme"] * 3 + [None]
