"""Rows of vectors that are corrected without training: toys by hand, and a model whose languages drift."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from training_world import DE, EN, PT, WIDTH, edit_captions, write_world

from dragoman.errors import UserError
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.base import unit
from dragoman.retrievers.postprocessing import centred, evenly, nearness, with_hubs

# The first draw of `training_world`: pictures are sums of these.
SEEN = np.random.default_rng(7).standard_normal((len(EN), WIDTH))
DRIFT = {
    lang: 6 * np.random.default_rng(seed).standard_normal(WIDTH) for lang, seed in (("pt", 1), ("de", 2))
}
MEANING = {
    word: (lang, n) for lang, words in (("en", EN), ("pt", PT), ("de", DE)) for n, word in enumerate(words)
}


class Drifting:
    """Puts each language beside the others by a step of its own."""

    def __init__(self) -> None:
        self.config = {"source": "en", "targets": ["pt"], "features": "toy", "recipe": "toy", "seed": 1}

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for text in texts:
            read = [MEANING[word] for word in text.split()]
            rows.append(sum(SEEN[n] for _, n in read) + DRIFT.get(read[0][0], 0.0))
        return unit(np.array(rows, np.float32))

    def encode_features(self, vectors: np.ndarray) -> np.ndarray:
        return unit(np.asarray(vectors, np.float32))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", ("pt", "de"), test=60)


def test_centring_parts_what_a_common_direction_had_mixed() -> None:
    # The shared specification, section 3.7.
    e = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]], np.float32)
    z = unit(e + 0.5)
    mixed = e @ z.T
    np.testing.assert_allclose(np.diag(mixed), [0.904534, 0.904534, 0.957841], atol=1e-6)
    assert mixed[2, 1] == pytest.approx(0.904534, abs=1e-6)
    parted = centred(e, e.mean(0)) @ centred(z, z.mean(0)).T
    np.testing.assert_allclose(np.diag(parted), [0.998722, 0.998302, 0.970337], atol=1e-6)
    assert (parted - np.eye(3)).max() < 0.487


def test_a_mean_that_is_moved_to_itself_changes_nothing() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32))
    mean = vectors.mean(0)
    np.testing.assert_allclose(centred(vectors, mean, mean), vectors, atol=1e-6)


def test_csls_with_one_neighbour_on_the_standing_example() -> None:
    # The shared specification, section 3.7; rows are visual.
    scores = np.array([[0.5, 0.45, 0.1], [0.2, 0.6, 0.55], [0.35, 0.1, 0.4]], np.float32)
    images, texts = np.eye(3, dtype=np.float32), scores.T.copy()
    near_texts, near_images = nearness(texts, images, 1), nearness(images, texts, 1)
    longer_texts, longer_images = with_hubs(texts, images, near_texts, near_images, 0.5)
    expected = [[0, -0.2, -0.85], [-0.7, 0, -0.05], [-0.2, -0.8, -0.15]]
    np.testing.assert_allclose(2 * longer_images @ longer_texts.T, expected, atol=1e-6)


def test_nearness_is_the_mean_of_the_nearest_however_many_there_are() -> None:
    draws = np.random.default_rng(1)
    vectors, others = (unit(draws.standard_normal((n, 6)).astype(np.float32)) for n in (7, 30))
    expected = np.sort(vectors @ others.T, axis=1)[:, -10:].mean(1)
    np.testing.assert_allclose(nearness(vectors, others), expected, atol=1e-6)
    np.testing.assert_allclose(nearness(vectors, others[:3]), (vectors @ others[:3].T).mean(1), atol=1e-6)


def test_captions_are_chosen_at_equal_distances() -> None:
    assert evenly(["a", "b"]) == ["a", "b"]
    chosen = evenly([str(number) for number in range(5000)])
    assert (len(chosen), chosen[0], chosen[1], chosen[-1]) == (2000, "0", "2", "4997")


def test_a_language_that_drifted_is_brought_back_where_it_is_told(corpus: Path, tmp_path: Path) -> None:
    settings = EvaluationSettings(languages=["pt", "en", "de"], centre=True, csls=0.5)
    report = evaluate(Drifting(), corpus, settings, out=tmp_path / "report")
    found = {
        lang: {row: one["sum_r"] for row, one in rows.items()} for lang, rows in report["results"].items()
    }
    assert set(found["en"]) == {"direct", "csls"}
    assert set(found["pt"]) == {"direct", "centred", "centred_untagged", "csls"}
    for lang in ("pt", "de"):
        assert found[lang]["centred"] > found[lang]["direct"] + 20
        assert found[lang]["centred"] > found[lang]["centred_untagged"]


def test_a_language_without_training_captions_has_the_row_without_a_tag_alone(
    corpus: Path, tmp_path: Path
) -> None:
    folder = write_world(tmp_path / "corpus", ("pt", "de"), test=60)
    edit_captions(folder, lambda rows: [r for r in rows if (r["lang"], r["role"]) != ("de", "mt")])
    settings = EvaluationSettings(languages=["pt", "de"], centre=True)
    report = evaluate(Drifting(), folder, settings, out=tmp_path / "report")
    assert "centred" in report["results"]["pt"]
    assert {"centred", "centred_untagged"} & set(report["results"]["de"]) == {"centred_untagged"}
    edit_captions(folder, lambda rows: [r for r in rows if r["role"] != "mt"])
    report = evaluate(Drifting(), folder, settings, out=tmp_path / "source-alone")
    assert {lang: set(rows) for lang, rows in report["results"].items()} == {
        "pt": {"direct"},
        "de": {"direct"},
    }


def test_rows_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"csls must lie in \[0, 1\], got 2"):
        EvaluationSettings(csls=2)
    folder = write_world(tmp_path / "corpus", ())
    edit_captions(folder, lambda rows: [r for r in rows if not r["item_id"].startswith("train")])
    settings = EvaluationSettings(languages=["en"], csls=0.5)
    with pytest.raises(UserError, match="learn from captions of the split train, and it has none in 'en'"):
        evaluate(Drifting(), folder, settings, out=tmp_path / "report")
