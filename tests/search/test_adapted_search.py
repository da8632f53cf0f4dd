"""Searches by a model that reads each language by adapters of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from adapted_runs import config, save_clip
from training_world import EN, PT, write_world

from dragoman.corpus import BuildOptions, Corpus, build_records
from dragoman.index import IndexOptions, index_media
from dragoman.records import Entry, Item
from dragoman.retrievers.base import unit
from dragoman.retrievers.postprocessing import AtSearch, Corrections
from dragoman.retrievers.trained import Retriever
from dragoman.search.calibrate import calibrate
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.training import train

TEXT = " ".join((PT[0], PT[5], PT[8]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus`, `run` and its `index`."""
    folder = tmp_path_factory.mktemp("adapted")
    clip = save_clip(folder / "clip")
    write_world(folder / "corpus", val=24)
    train(folder / "corpus", config(clip, steps="12"), folder / "run", device="cpu")
    index_media(folder / "run", folder / "corpus", folder / "index", IndexOptions(device="cpu"))
    return folder


def best(world: Path, text: str, lang: str, k: int = 5) -> list[str]:
    """Items whose vectors are nearest to that of a text which is read as one in a language."""
    model, features = Retriever.load(world / "run"), Corpus.open(world / "corpus").features("toy")
    scores = model.encode_features(features.vectors) @ model.encode_text([text], languages=[lang])[0]
    return [features.ids[row] for row in np.argsort(-scores, kind="stable")[:k]]


@pytest.mark.parametrize(("lang", "read_as"), [("pt", "pt"), ("pt-BR", "pt"), ("en", "en"), ("sw", "en")])
def test_a_text_is_read_by_the_language_that_is_told(world: Path, lang: str, read_as: str) -> None:
    with Searcher.open(world / "index") as searcher:
        found = searcher.search(Query(text=TEXT, lang=lang, k=5)).hits
    assert [hit.entry.item_id for hit in found] == best(world, TEXT, read_as)
    assert best(world, TEXT, "pt") != best(world, TEXT, "en")


@pytest.mark.parametrize(
    ("text", "lang"), [("um cão vermelho corre na praia", "pt"), ("a red dog runs", "en")]
)
def test_the_language_is_detected_where_none_is_told(world: Path, text: str, lang: str) -> None:
    with Searcher.open(world / "index") as searcher:
        found = searcher.search(Query(text=text, k=5))
        vectors = searcher.encode_text([text, "...", EN[0]])
    assert found.language is not None and found.language.code == lang
    assert [hit.entry.item_id for hit in found.hits] == best(world, text, lang)
    expected = Retriever.load(world / "run").encode_text([text, "...", EN[0]], languages=[lang, "en", "en"])
    # A text in no language stands in a batch of its own.
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_parts_of_a_text_are_read_in_its_language(world: Path) -> None:
    model = Retriever.load(world / "run")
    with Searcher.open(world / "index") as searcher:
        found = searcher.search(Query(text=f"{PT[0]} +{PT[5]}", lang="pt", k=5)).hits
    features = Corpus.open(world / "corpus").features("toy")
    asked = unit(model.encode_text([PT[0], PT[5]], languages=["pt", "pt"]).sum(0, keepdims=True))[0]
    scores = model.encode_features(features.vectors) @ asked
    assert [hit.entry.item_id for hit in found] == [features.ids[row] for row in np.argsort(-scores)[:5]]


def test_centring_moves_what_adapters_have_read(world: Path) -> None:
    model, corpus = Retriever.load(world / "run"), Corpus.open(world / "corpus")
    # No head reads the vector of a whole text, so the joint space is moved.
    assert model.sentence_width == 0
    learned = Corrections.learned(model, corpus, corpus.features("toy"), "en", ("en", "pt"))
    machine = corpus.select(role="mt", lang="pt", split="train").texts
    mean = model.encode_text(machine, languages=["pt"] * len(machine)).mean(0)
    np.testing.assert_allclose(learned.means["pt"], mean, atol=1e-6)
    at_search = learned.at_search(True, 0.0)
    expected = unit(model.encode_text([TEXT], languages=["pt"]) + at_search.steps["pt"])
    np.testing.assert_allclose(at_search.encoded(model, [TEXT], ["pt"]), expected, atol=1e-6)
    plain = AtSearch().encoded(model, [TEXT, TEXT], ["pt", "en"])
    assert np.array_equal(plain, model.encode_text([TEXT, TEXT], languages=["pt", "en"]))


def test_scores_are_calibrated_as_texts_are_read(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, ...]] = set()
    encode = Retriever.encode_text

    def noted(self: Retriever, texts: list[str], *given: object, **named: object) -> np.ndarray:
        told = named.get("languages")
        asked.update(zip(texts, told or ["?"] * len(texts), strict=True))  # type: ignore[call-overload]
        return encode(self, texts, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Retriever, "encode_text", noted)
    calibrate(world / "run", world / "corpus", device="cpu")
    whole = {(text, lang) for text, lang in asked if len(text.split()) > 2}
    assert {lang for _, lang in whole} == {"en", "pt"}
    assert all((lang == "pt") == (set(text.split()) <= set(PT)) for text, lang in whole)


def test_texts_in_an_index_are_read_in_their_languages(world: Path, tmp_path: Path) -> None:
    # The same words three times, one of them as a change by hand.
    items = [
        Item(item_id=lang, split="test", kind="text", text=TEXT, lang=lang) for lang in ("en", "pt", "sw")
    ]
    build_records(items, [], tmp_path / "corpus", BuildOptions())
    options = IndexOptions(device="cpu")
    index_media(world / "run", tmp_path / "corpus", tmp_path / "index", options)
    model = Retriever.load(world / "run")
    expected = dict(
        zip(("en", "pt", "sw"), model.encode_text([TEXT] * 3, languages=["en", "pt", "en"]), strict=True)
    )
    assert np.abs(expected["en"] - expected["pt"]).max() > 1e-2
    with Searcher.open(tmp_path / "index") as searcher:
        found = searcher.store.vectors(["en", "pt", "sw"])
        np.testing.assert_allclose(found, np.stack(list(expected.values())), atol=1e-3)
        searcher.add(Entry(item_id="hand", kind="text", lang="pt", captions={"pt": TEXT}))
        (hand,) = searcher.store.vectors(["hand"])
    np.testing.assert_allclose(hand, expected["pt"], atol=1e-3)
    # Told to be in another language, a text is read again.
    items[0] = Item(item_id="en", split="test", kind="text", text=TEXT, lang="pt")
    build_records(items, [], tmp_path / "corpus", BuildOptions(overwrite=True))
    index_media(world / "run", tmp_path / "corpus", tmp_path / "index", options)
    with Searcher.open(tmp_path / "index") as searcher:
        (again,) = searcher.store.vectors(["en"])
    np.testing.assert_allclose(again, expected["pt"], atol=1e-3)
