"""A search whose calibration corrects vectors and scores: the answers by hand, and what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_world import EN, PT, tiny, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.index import IndexOptions, index_media
from dragoman.records import Hit
from dragoman.retrievers.base import unit
from dragoman.retrievers.postprocessing import AtSearch, Corrections
from dragoman.retrievers.trained import Retriever
from dragoman.search.calibrate import calibrate
from dragoman.search.calibration import Calibration
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
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
    means = {name: vectors.mean(0) for name, vectors in spoken.items()}
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
    assert all(hit.relevance is not None for hit in found)


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
    assert '"format_version": 2' in (tmp_path / "again.json").read_text("utf-8")
    # Without corrections older versions can read it.
    replace(written, corrections=AtSearch()).write(tmp_path / "plain.json")
    assert '"format_version": 1' in (tmp_path / "plain.json").read_text("utf-8")


def test_either_is_learnt_alone(world: Path) -> None:
    model, corpus = Retriever.load(world / "run"), Corpus.open(world / "corpus")
    learned = Corrections.learned(model, corpus, corpus.features("toy"), "en", ("en", "pt"))
    assert learned.at_search(True, 0.0).hubs is None
    assert not learned.at_search(False, 0.5).steps
    vectors = model.encode_text([QUERY])
    np.testing.assert_array_equal(AtSearch().moved(vectors, ["pt"]), vectors)
    assert AtSearch().hub(vectors).tolist() == [0.0]
    with pytest.raises(UserError, match=r"csls must lie in \[0, 1\], got 3"):
        calibrate(world / "run", world / "corpus", csls=3)
