"""Rows of vectors that are corrected without training: toys by hand, and a model whose languages drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_world import DE, EN, PT, WIDTH, edit_captions, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.base import unit
from dragoman.retrievers.postprocessing import (
    Corrections,
    evenly,
    map_of,
    nearness,
    step_of,
    with_hubs,
)

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


class Bending(Drifting):
    """The same in vectors of whole texts, of which a head then makes something else by pieces."""

    sentence_width = WIDTH

    def sentence_vectors(self, texts: Sequence[str]) -> np.ndarray:
        return super().encode_text(texts)

    def encode_text(self, texts: Sequence[str], *, step: np.ndarray | None = None) -> np.ndarray:
        read = self.sentence_vectors(texts)
        if step is not None:
            read = read + step if step.ndim == 1 else read @ step[:-1] + step[-1]
        return bent(read)

    def encode_features(self, vectors: np.ndarray) -> np.ndarray:
        return bent(super().encode_features(vectors))


def bent(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors whose components count only as far as they are positive."""
    return unit(np.maximum(vectors, 0) + np.float32(1e-3))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", ("pt", "de"), test=60)


def test_centring_parts_what_a_common_direction_had_mixed() -> None:
    # The shared specification, section 3.7, whose languages are moved to 0.
    e = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]], np.float32)
    z = unit(e + 0.5)
    mixed = e @ z.T
    np.testing.assert_allclose(np.diag(mixed), [0.904534, 0.904534, 0.957841], atol=1e-6)
    assert mixed[2, 1] == pytest.approx(0.904534, abs=1e-6)
    nothing = np.empty((0, 3), np.float32)
    means = {"none": np.zeros(3, np.float32), "e": e.mean(0), "z": z.mean(0)}
    made = Corrections(source="none", means=means, captions=nothing, images=nothing)
    parted = made.centred(e, "e") @ made.centred(z, "z").T
    np.testing.assert_allclose(np.diag(parted), [0.998722, 0.998302, 0.970337], atol=1e-6)
    assert (parted - np.eye(3)).max() < 0.487


def test_a_step_leads_from_a_mean_to_that_of_the_source() -> None:
    draws = np.random.default_rng(0)
    means = {lang: draws.standard_normal(4).astype(np.float32) for lang in ("en", "pt", "cs")}
    assert not step_of(means, "en", "en").any()
    np.testing.assert_allclose(means["cs"] + step_of(means, "en", "cs"), means["en"], atol=1e-6)
    everyone = (means["en"] + means["pt"] + means["cs"]) / 3
    for lang in ("de", None):
        np.testing.assert_allclose(everyone + step_of(means, "en", lang), means["en"], atol=1e-6)


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


def test_where_a_head_reads_sentence_vectors_these_are_moved(corpus: Path, tmp_path: Path) -> None:
    settings = EvaluationSettings(languages=["pt", "en"], centre=True, align=True)
    found = evaluate(Bending(), corpus, settings, out=tmp_path / "bending")["results"]["pt"]
    opened, model = Corpus.open(corpus), Bending()
    asked = opened.select(role="human", lang="pt", split="test")
    means = {
        lang: model.sentence_vectors(opened.select(role=role, lang=lang, split="train").texts).mean(0)
        for lang, role in (("en", "human"), ("pt", "mt"))
    }
    everyone = (means["en"] + means["pt"]) / 2
    features = opened.features("toy")
    items = sorted(set(asked.item_ids))
    images = model.encode_features(features.whole(features.rows(items)))
    own = np.array([items.index(item) for item in asked.item_ids])
    written = opened.select(role="mt", lang="pt", split="train").table.to_pylist()
    human = {row["caption_id"]: row["text"] for row in opened.captions.to_pylist()}
    pairs = [(row["text"], human[row["source_id"]]) for row in written]
    mapped = map_of(*(model.sentence_vectors(part) for part in zip(*pairs, strict=True)))
    read = model.sentence_vectors(asked.texts)
    moved = {
        "centred": read - means["pt"] + means["en"],
        "centred_untagged": read - everyone + means["en"],
        "aligned": read @ mapped[:-1] + mapped[-1],
    }
    for row, vectors in moved.items():
        scores = bent(vectors) @ images.T
        over = scores - scores[np.arange(len(own)), own][:, None]
        # Two of the images are equal, and get the middle rank.
        rank = 1 + (over > 1e-6).sum(1) + ((np.abs(over) <= 1e-6).sum(1) - 1) / 2
        told = found[row]["text_to_image"]
        for k in (1, 5, 10):
            assert told[f"recall@{k}"] == pytest.approx(100 * (rank <= k).mean())
    assert found["centred"]["sum_r"] > found["direct"]["sum_r"] + 20
    with pytest.raises(
        UserError, match=r"aligned before a head\. This model has no head that reads the vector"
    ):
        evaluate(Drifting(), corpus, replace(settings, centre=False), out=tmp_path / "drifting")


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
