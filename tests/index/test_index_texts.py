"""The job over a corpus of texts beside pictures: records are encoded by the text side of the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from toy_model import RGB, ToyModel, save_model, save_picture, stand_in, unit

from dragoman.corpus import BuildOptions, Corpus, build_records
from dragoman.corpus.corrections import CORRECTIONS, Correction, keep_corrections
from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.index import IndexReport, job
from dragoman.index.corrections import correct
from dragoman.index.entries import walk
from dragoman.index.folder import open_generation, read_info
from dragoman.records import Caption, Entry, Item
from dragoman.search.searcher import Searcher
from dragoman.stores.filters import Compare

TEXTS = {"r": "Red\n and  blue", "s": "verde"}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def build(folder: Path, texts: dict[str, str], captions: Sequence[Caption] = ()) -> Corpus:
    """A corpus of a picture `p` and of these texts."""
    if not (folder / "p.png").exists():
        save_picture(folder / "p.png", "red")
    items = [Item(item_id="p", split="test", path=str(folder / "p.png"), metadata={"lang": "of no text"})]
    items += [
        Item(item_id=name, split="test", kind="text", text=text, lang="en", metadata={"year": 1891})
        for name, text in texts.items()
    ]
    return build_records(items, captions, folder / "corpus", BuildOptions(overwrite=True)).corpus


def index(folder: Path, **model: Any) -> tuple[IndexReport, dict[str, Entry], dict[str, np.ndarray]]:
    """The report, the entries, and their vectors."""
    run = save_model(folder / "run", **model)
    report = job.index_media(run, folder / "corpus", folder / "index", job.IndexOptions(device="cpu"))
    with open_generation(report.info) as store:
        entries = {entry.item_id: entry for entry in walk(store)}
        vectors = dict(zip(entries, store.vectors(list(entries)), strict=True))
    return report, entries, vectors


def of_text(text: str, folder: Path) -> np.ndarray:
    return ToyModel(folder / "run").encode_text([text])[0]


def test_texts_are_entries_beside_pictures(tmp_path: Path) -> None:
    said = [
        Caption(caption_id="1", item_id="r", lang="pt", role="human", text="vermelho"),
        Caption(caption_id="2", item_id="r", lang="en", role="human", text="crimson"),
    ]
    build(tmp_path, TEXTS, said)
    report, entries, vectors = index(tmp_path)
    assert (report.done.added, report.rejected) == (3, ())
    assert entries["r"] == Entry(
        item_id="r",
        kind="text",
        lang="en",
        metadata={"split": "test", "year": 1891},
        captions={"en": "Red\nand blue", "pt": "vermelho"},
        more_captions={"en": ("crimson",)},
        source=entries["r"].source,
    )
    assert entries["p"].metadata["lang"] == "of no text"
    assert entries["p"].lang is None
    np.testing.assert_array_equal(vectors["r"], of_text("Red and blue", tmp_path))
    np.testing.assert_array_equal(vectors["s"], of_text("verde", tmp_path))
    red = np.array(RGB["red"], np.float32) + 1
    np.testing.assert_allclose(vectors["p"], unit(red[None])[0], atol=1e-6)


def test_what_a_machine_wrote_in_the_language_of_a_text_gives_way_to_it(tmp_path: Path) -> None:
    said = [
        Caption(caption_id="1", item_id="r", lang="pt", role="human", text="vermelho"),
        Caption(caption_id="2", item_id="r", lang="en", role="mt", text="rad", source_id="1", engine="e"),
        Caption(
            caption_id="3", item_id="r", lang="gl", role="mt", text="vermello", source_id="1", engine="e"
        ),
    ]
    build(tmp_path, TEXTS, said)
    _, entries, _ = index(tmp_path)
    assert entries["r"].captions == {"en": "Red\nand blue", "pt": "vermelho", "gl": "vermello"}
    assert (entries["r"].machine, entries["r"].more_captions) == ({"gl"}, {})


def test_a_second_run_encodes_what_changed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path, TEXTS)
    index(tmp_path)
    encoded: list[str] = []
    encode = ToyModel.encode_text

    def noted(self: ToyModel, texts: Sequence[str]) -> np.ndarray:
        encoded.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(ToyModel, "encode_text", noted)
    toy_model.loaded.clear()
    report, _, _ = index(tmp_path)
    assert (vars(report.done), toy_model.loaded) == (vars(type(report.done)()), [])
    # One changes, one moves to another id, one is new and has the words of another.
    build(tmp_path, {"r": "blue", "t": "verde", "u": "vermelho azul", "v": "vermelho azul"})
    report, entries, vectors = index(tmp_path)
    done = report.done
    assert (done.changed, done.added, done.moved, done.copies, done.removed) == (1, 3, 1, 1, 1)
    assert encoded == ["blue", "vermelho azul"]
    assert list(entries) == ["p", "r", "t", "u", "v"]
    np.testing.assert_array_equal(vectors["r"], of_text("blue", tmp_path))
    np.testing.assert_array_equal(vectors["t"], of_text("verde", tmp_path))
    np.testing.assert_array_equal(vectors["v"], of_text("vermelho azul", tmp_path))
    # New words about a text leave its vector.
    build(
        tmp_path,
        {"r": "blue", "t": "verde"},
        [Caption(caption_id="1", item_id="t", lang="gl", role="human", text="verde")],
    )
    report, entries, _ = index(tmp_path)
    assert (report.done.reworded, report.done.changed, report.done.removed) == (1, 0, 2)
    assert entries["t"].captions == {"en": "verde", "gl": "verde"}
    assert encoded.count("verde") == 1, "by this test alone"


def test_vectors_that_are_kept_come_before_the_text_side(tmp_path: Path) -> None:
    corpus = build(tmp_path, TEXTS)
    kept = np.array([[0, 0, 2.0]], np.float32)
    write_features(corpus.folder / "features" / "toy", ["r"], kept, inputs={})
    report, entries, vectors = index(tmp_path)
    assert report.done.added == 3
    np.testing.assert_allclose(vectors["r"], [0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(vectors["s"], of_text("verde", tmp_path))
    assert entries["r"].text == "Red\nand blue"
    assert index(tmp_path)[0].done.changed == 0


def test_a_text_of_which_the_model_knows_nothing_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyModel, "reads", lambda _, texts: ["verde" not in text for text in texts])
    build(tmp_path, TEXTS)
    report, entries, _ = index(tmp_path)
    assert [(one.item_id, one.reason) for one in report.rejected] == [
        ("s", "the model knows nothing of its text")
    ]
    assert list(entries) == ["p", "r"]


def test_a_text_that_no_store_holds_is_rejected(tmp_path: Path) -> None:
    build(tmp_path, TEXTS | {"s": "red " * 20_000})
    report, entries, _ = index(tmp_path)
    assert list(entries) == ["p", "r"]
    assert [one.item_id for one in report.rejected] == ["s", "s"]
    assert "has a caption (en) of 79,999 bytes; at most 65,536 are stored" in report.rejected[0].reason
    assert "is a text, but holds none" in report.rejected[1].reason


def test_texts_that_the_model_cuts_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = ToyModel.encode_text

    def cut(self: ToyModel, texts: Sequence[str]) -> np.ndarray:
        # Every word counts, and those behind the twentieth are not read.
        words = [text.split()[:20] for text in texts]
        return unit(
            encode(self, [" ".join(some) for some in words]) * 9 + [[len(some), 0, 0] for some in words]
        )

    monkeypatch.setattr(ToyModel, "encode_text", cut)
    long, whole = "green " * 21, "green " * 18
    build(tmp_path, {"r": long, "s": whole, "t": "blue", "u": long})
    report, _, _ = index(tmp_path)
    assert report.left_out == ("left out: 2 ends of texts, of which the model reads the beginning (r, u)",)
    build(tmp_path, {"s": whole})
    assert index(tmp_path)[0].left_out == ()


def test_another_text_side_encodes_texts_anew_beside_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that learned more languages has the image side of before, and another text side."""
    build(tmp_path, TEXTS)
    before, _, _ = index(tmp_path)
    with Searcher.open(tmp_path / "index") as searcher:
        searcher.add(Entry(item_id="by hand", kind="text", lang="en", captions={"en": "blue"}))
    encode = ToyModel.encode_text
    monkeypatch.setattr(ToyModel, "encode_text", lambda self, texts: -encode(self, texts))
    seen = [list(model.seen) for model in toy_model.loaded]
    report, _, vectors = index(tmp_path, fingerprint="3" * 64)
    assert report.swapped
    assert (report.done.added, report.done.changed) == (2, 0)
    assert [model.seen for model in toy_model.loaded] == [*seen, []], "no picture is encoded again"
    np.testing.assert_array_equal(vectors["r"], -encode(ToyModel(tmp_path / "run"), ["Red and blue"])[0])
    np.testing.assert_array_equal(vectors["by hand"], -encode(ToyModel(tmp_path / "run"), ["blue"])[0])
    assert report.info.generation != before.info.generation
    # And nothing where the model is the same.
    again, _, _ = index(tmp_path, fingerprint="3" * 64)
    assert (again.swapped, again.done.added, again.info.generation) == (False, 0, report.info.generation)


def test_each_text_is_read_in_its_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with parts for languages is told them; equal words of two languages are two texts to it."""
    told: list[tuple[str, str]] = []
    encode = ToyModel.encode_text

    def read(self: ToyModel, texts: Sequence[str], *, languages: Sequence[str] | None = None) -> np.ndarray:
        assert languages is not None
        told.extend(zip(texts, languages, strict=True))
        return encode(self, texts) * [[1 if lang == "en" else -1] for lang in languages]

    monkeypatch.setattr(ToyModel, "encode_text", read)
    monkeypatch.setattr(ToyModel, "adapted", ("en", "pt"))
    items = [
        Item(item_id=name, split="test", kind="text", text="red", lang=lang)
        for name, lang in (("r", "en"), ("s", "pt"), ("t", "pt"))
    ]
    build_records(items, [], tmp_path / "corpus")
    report, _, vectors = index(tmp_path)
    assert (report.done.added, report.done.copies) == (3, 1)
    assert told == [("red", "en"), ("red", "pt")]
    np.testing.assert_array_equal(vectors["r"], -vectors["s"])
    np.testing.assert_array_equal(vectors["t"], vectors["s"])
    with Searcher.open(tmp_path / "index") as searcher:
        searcher.add(Entry(item_id="u", kind="text", lang="pt", captions={"pt": "blue"}))
    assert told[-1] == ("blue", "pt")


def test_texts_go_along_to_another_store(tmp_path: Path) -> None:
    build(tmp_path, TEXTS)
    _, _, vectors = index(tmp_path)
    options = job.IndexOptions(device="cpu", settings={"wait": 7})
    toy_model.loaded.clear()
    report = job.index_media(tmp_path / "run", tmp_path / "corpus", tmp_path / "index", options)
    assert (report.swapped, report.done.added, toy_model.loaded) == (True, 0, [])
    with open_generation(report.info) as store:
        np.testing.assert_array_equal(store.vectors(["r"])[0], vectors["r"])


def test_texts_that_are_added_later_share_the_generation_of_the_pictures(tmp_path: Path) -> None:
    build(tmp_path, {})
    before, _, _ = index(tmp_path)
    build(tmp_path, TEXTS)
    report, _, _ = index(tmp_path)
    assert (report.swapped, report.done.added) == (False, 2)
    assert report.info.generation == before.info.generation


def test_texts_are_added_and_replaced_by_hand(tmp_path: Path) -> None:
    build(tmp_path, TEXTS)
    index(tmp_path)
    with Searcher.open(tmp_path / "index") as searcher:
        text = Entry(item_id="x", kind="text", lang="pt", captions={"pt": "azul\ne vermelho"})
        assert searcher.add(text) is None
        np.testing.assert_array_equal(searcher.store.vectors(["x"])[0], of_text("azul e vermelho", tmp_path))
        other = Entry(item_id="x", kind="text", lang="pt", captions={"pt": "verde"})
        assert searcher.add(other) == text
        np.testing.assert_array_equal(searcher.store.vectors(["x"])[0], of_text("verde", tmp_path))
        assert searcher.store.count(Compare("kind", "=", "text")) == 3
        with pytest.raises(UserError, match=r"'y' is no text\. Give the image that it is"):
            searcher.add(Entry(item_id="y"))
        with pytest.raises(UserError, match="is a text, but holds none"):
            searcher.add(Entry(item_id="y", kind="text"))
    assert index(tmp_path)[0].done.removed == 0


def test_a_text_is_not_corrected_as_a_caption_is(tmp_path: Path) -> None:
    build(tmp_path, TEXTS, [Caption(caption_id="1", item_id="r", lang="pt", role="human", text="vermelo")])
    index(tmp_path)
    folder = tmp_path / "index"
    made = [
        Correction(item_id="r", lang=lang, text=f"corrected {lang}", translation=None)
        for lang in ("en", "pt")
    ]
    keep_corrections(folder / CORRECTIONS, made)
    _, entries, _ = index(tmp_path)
    assert entries["r"].captions == {"en": "Red\nand blue", "pt": "corrected pt"}
    with open_generation(read_info(folder)) as store:
        with pytest.raises(UserError, match="The text of 'r' is the item itself"):
            correct(folder, store, "r", "en", "blue", lambda _: None)
        assert correct(folder, store, "r", "pt", "azul", lambda _: None) is not None


def test_nothing_of_a_text_but_its_words_is_looked_for(tmp_path: Path) -> None:
    build(tmp_path, {"p.png": "azul"})
    report, entries, _ = index(tmp_path)
    assert report.rejected == ()
    assert (entries["p.png"].path, entries["p.png"].metadata) == (None, {"split": "test", "year": 1891})
    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["count"] == 2
