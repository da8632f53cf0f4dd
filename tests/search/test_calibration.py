"""Relevance and "no good match", on scores whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toy_model
from toy_model import save_model, save_picture
from training_world import write_world

from dragoman.errors import UserError
from dragoman.index import job
from dragoman.media.images import Decoding
from dragoman.records import Entry, Hit
from dragoman.search import calibrate as learning
from dragoman.search.calibrate import Asked, ask, calibrate, fit, growth_of, learn, unlike
from dragoman.search.calibration import Calibration, Judgement, evidence, relevance
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from left_out import lacking_items, lacking_vectors

RIGHT = Judgement(weights=(-4.0, 0.5, 1.0), threshold=0.5, queries=100)


def drawn(queries: int, slope: float, seed: int) -> Asked:
    """Hits whose chance to be right follows from their evidence: odds = -3 + slope * z."""
    draws = np.random.default_rng(seed)
    above = draws.normal(2, 2, (2, queries, 10))
    seen = np.stack([np.ones_like(above), np.zeros_like(above), above], axis=-1)
    right = draws.random((queries, 10)) < relevance(seen[0], [-3, 0, slope])
    return Asked(present=seen[0], right=right, absent=seen[1], fewer=seen[1, :, :1])


def test_evidence_is_cosine_and_distance_from_the_background() -> None:
    found = evidence(np.array([0.5, 0.1]), np.array([0.0, 0.2, 0.1, 0.1]))
    deviation = np.sqrt(0.005)
    np.testing.assert_allclose(found, [[1, 5, 0.4 / deviation], [1, 1, 0]], atol=1e-12)


def test_relevance_is_the_logistic_of_the_evidence() -> None:
    seen = np.array([[1.0, 5.0, 2.0]])
    assert relevance(seen, (-4, 0.5, 1.0))[0] == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert relevance(seen * 1e6, (1, 1, 1))[0] == pytest.approx(1)


def test_fitting_finds_the_chance_that_hits_were_drawn_with() -> None:
    one = drawn(1500, 1.0, seed=1)
    # Queries without an answer: the same evidence, and never right. Relevance is the share over both.
    shared, own = fit({"en": Asked(present=one.present, right=one.right, absent=one.absent, fewer=one.fewer)})
    seen = np.concatenate([one.present, one.absent]).reshape(-1, 3)
    right = np.concatenate([one.right, np.zeros_like(one.right)]).ravel()
    for weights in (shared, own["en"]):
        assert relevance(seen, list(weights)).mean() == pytest.approx(right.mean(), abs=0.01)
    order = np.argsort(seen[:, 2])
    for part in np.array_split(order, 5):
        estimate = relevance(seen[part], list(own["en"])).mean()
        assert estimate == pytest.approx(right[part].mean(), abs=0.04)


def test_the_best_of_more_images_that_do_not_answer_is_better() -> None:
    draws = np.random.default_rng(0)
    images, texts = (toy_model.unit(draws.normal(size=(n, 8))) for n in (800, 50))
    own = np.arange(50)
    one = ask(texts @ images.T, own, texts @ images[:64].T, np.ones((800, 800), bool))
    weights = (-4.0, 0.5, 1.0)
    best, fewer = (seen[:, 0] @ np.array(weights) for seen in (one.absent, one.fewer))
    gain = np.quantile(best, 0.9) - np.quantile(fewer, 0.9)
    assert growth_of({"en": one}, weights, 0.1) == pytest.approx(gain / np.log(8))
    assert gain > 0.1


def test_few_queries_of_a_language_stay_near_the_shared_weights() -> None:
    shared, own = fit({"en": drawn(1000, 1.0, 1), "pt": drawn(1000, 0.4, 2), "gl": drawn(30, 0.1, 3)})
    few, many = (np.linalg.norm(own[lang] - shared) for lang in ("gl", "pt"))
    assert few < 0.5
    assert own["pt"][2] < own["en"][2] - 0.1
    assert many > 0


def test_thresholds_give_every_language_the_same_false_accepts() -> None:
    asked = {"en": drawn(1000, 1.0, 1), "pt": drawn(1000, 0.3, 2)}
    _, own = learn(asked, 0.1)
    for lang, one in asked.items():
        best = relevance(one.absent[:, 0], own[lang].weights)
        assert (best >= own[lang].threshold).mean() == pytest.approx(0.1, abs=0.02)


def test_a_query_is_asked_among_all_and_among_the_unlike() -> None:
    images = np.concatenate([np.eye(3), [[0.0, 0.6, 0.8]]])
    texts = np.array([[0.9, 0.4, 0.1], [0.1, 0.2, 0.97]])
    unlike_II = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0]], bool)
    one = ask(texts @ images.T, np.array([0, 1]), texts @ images[:3].T, unlike_II)
    cosines = one.present[:, :, 1] / 10
    np.testing.assert_allclose(cosines, [[0.9, 0.4, 0.32, 0.1], [0.97, 0.896, 0.2, 0.1]])
    assert one.right.tolist() == [[True, False, False, False], [False, False, True, False]]
    np.testing.assert_allclose(one.absent[:, :2, 1] / 10, [[0.4, 0.1], [0.896, 0.1]])


def test_the_unlike_half_are_the_images_farthest_by_their_vectors() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.2], [-1.0, 0.1], [-1.0, -0.3]], np.float16)
    assert unlike(vectors).astype(int).tolist() == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [1, 1, 0, 0],
        [1, 1, 0, 0],
    ]


def test_a_video_looks_like_the_mean_of_its_frames() -> None:
    nothing = [np.nan, np.nan]
    videos = np.array(
        [
            [[2.0, 0.0], [0.0, 0.0]],
            [[1.0, 0.2], nothing],
            [[-1.0, 0.1], nothing],
            [[-3.0, -0.6], [1.0, 0.0]],
        ],
        np.float16,
    )
    means = np.array([[1.0, 0.0], [1.0, 0.2], [-1.0, 0.1], [-1.0, -0.3]], np.float16)
    assert unlike(videos).tolist() == unlike(means).tolist()


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    background = toy_model.unit(np.random.default_rng(0).normal(size=(8, 3))).astype(np.float16)
    written = Calibration(
        fingerprint="1" * 64,
        shared=RIGHT,
        languages={"pt": Judgement(weights=(-1.0, 0.1, 2.0), threshold=0.25, queries=7)},
        background=background.astype(np.float32),
        collection=1000,
        growth=0.4,
        false_accepts=0.1,
    )
    written.write(tmp_path / "calibration.json")
    found = Calibration.read(tmp_path / "calibration.json")
    np.testing.assert_array_equal(found.background, written.background)
    assert (found.shared, found.languages) == (written.shared, written.languages)
    assert found.judgement("pt-BR") == written.languages["pt"]
    assert found.judgement("fi") == RIGHT
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(UserError, match=r"is damaged.*dragoman calibrate RUN CORPUS"):
        Calibration.read(tmp_path / "calibration.json")


def test_hits_are_judged_in_the_language_of_the_query() -> None:
    background = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
    query = np.array([0.6, 0.8, 0.0], np.float32)
    strict = Judgement(weights=RIGHT.weights, threshold=0.99, queries=1)
    calibration = Calibration(
        fingerprint="",
        shared=RIGHT,
        languages={"pt": strict},
        background=background,
        collection=4,
        growth=0.5,
        false_accepts=0.1,
    )
    hits = [Hit(entry=Entry(item_id=name), score=score) for name, score in (("a", 0.9), ("b", 0.1))]
    scores = np.array([0.6, 0.8, 0, 0])
    judged, match = calibration.judged(hits, query, "en", 4)
    odds = -4 + 0.5 * 9 + (0.9 - scores.mean()) / scores.std()
    assert judged[0].relevance == pytest.approx(1 / (1 + np.exp(-odds)))
    assert judged[0].relevance > judged[1].relevance  # type: ignore[operator]
    assert match is True
    # 0.5 log odds more are asked for with every e-fold of the collection.
    assert calibration.judged(hits, query, "en", int(4 * np.exp(2 * odds)) - 1)[1] is True
    assert calibration.judged(hits, query, "en", int(4 * np.exp(2 * odds)) + 2)[1] is False
    assert calibration.judged(hits, query, "pt", 4)[1] is False
    assert calibration.judged([], query, "en", 4) == ([], False)


def test_a_search_in_a_calibrated_index_says_when_nothing_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_model.install(monkeypatch)
    run = save_model(tmp_path / "run")
    background = toy_model.unit(np.random.default_rng(0).random((64, 3)) + 0.1)
    judgement = Judgement(weights=(-9.0, 1.0, 0.5), threshold=0.5, queries=100)
    Calibration(
        fingerprint="1" * 64,
        shared=judgement,
        languages={"en": judgement},
        background=background,
        collection=64,
        growth=0.0,
        false_accepts=0.1,
    ).write(run / "calibration.json")
    for colour in ("green", "blue"):
        save_picture(tmp_path / "photos" / f"{colour}.png", colour)
    options = job.IndexOptions(device="cpu", decoding=Decoding(workers=1))
    job.index_media(run, tmp_path / "photos", tmp_path / "index", options)
    with Searcher.open(tmp_path / "index") as searcher:
        assert searcher.info.calibration is not None
        assert searcher.info.calibration["languages"] == ["en"]
        found, missing = searcher.search("green grass"), searcher.search("red roses")
        assert (found.match, missing.match) == (True, False)
        assert found.hits[0].relevance is not None
        assert found.hits[0].relevance > 0.5 > (found.hits[1].relevance or 0)
        assert [hit.entry.item_id for hit in searcher.search(Query(text="green", min_score=0.5)).hits] == [
            "green.png"
        ]
        # A picture is nearer to pictures than any text is: only texts are judged.
        like = searcher.search(Query(item_id="green.png"))
        assert (like.match, like.hits[0].relevance) == (None, None)
        # Made anew, it is taken along without embedding anything again.
        Calibration.read(run / "calibration.json").write(run / "calibration.json")
        stricter = Judgement(weights=judgement.weights, threshold=0.999, queries=100)
        Calibration(
            fingerprint="1" * 64,
            shared=stricter,
            languages={},
            background=background,
            collection=64,
            growth=0.0,
            false_accepts=0.01,
        ).write(run / "calibration.json")
        job.index_media(
            run,
            tmp_path / "photos",
            tmp_path / "index",
            job.IndexOptions(device="cpu", decoding=Decoding(workers=1)),
        )
        assert searcher.search("green grass").match is False
    assert len(list((tmp_path / "index").glob("calibration-*.json"))) == 1


class ReadsWords:
    """Texts of the toy corpus get the vectors of their images, blurred by the language they are in."""

    def __init__(self, corpus: Path) -> None:
        from dragoman.corpus import Corpus

        opened = Corpus.open(corpus)
        features = opened.features("toy")
        self.config = {"source": "en", "targets": ["pt"], "features": "toy", "vision": None}
        draws = np.random.default_rng(3)
        self.of_text = {}
        for row in opened.captions.to_pylist():
            image = np.asarray(features.whole(features.rows([row["item_id"]])), np.float32)[0]
            blur = {"en": 1.0, "pt": 2.0}[row["lang"]] * draws.standard_normal(image.shape)
            self.of_text[row["text"]] = image + blur

    def encode_text(self, texts: list[str]) -> np.ndarray:
        return toy_model.unit(np.stack([self.of_text[text] for text in texts]))

    def encode_features(self, vectors: np.ndarray) -> np.ndarray:
        return toy_model.unit(np.asarray(vectors, np.float32))


def test_calibrating_a_run_writes_what_an_index_takes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_world(tmp_path / "corpus", val=60)
    run = save_model(tmp_path / "run")
    monkeypatch.setattr(learning, "load_encoder", lambda *_: ReadsWords(corpus))
    found = calibrate(run, corpus)
    stored = json.loads((run / "calibration.json").read_text())
    assert (stored["fingerprint"], stored["collection"], found.background.shape) == ("1" * 64, 30, (60, 24))
    assert {lang: one.queries for lang, one in found.languages.items()} == {"en": 120, "pt": 120}
    # What is further from the others is believed more.
    assert all(one.weights[2] > 0 for one in found.languages.values())
    # Under the tag by which a query's language is told, however it was spelt.
    assert set(calibrate(run, corpus, languages=("POR",)).languages) == {"pt"}
    with pytest.raises(UserError, match=r"0 captions in 'fi'; at least 20"):
        calibrate(run, corpus, languages=("fi",))
    with pytest.raises(UserError, match=r"12 images with vectors in its split 'test'; at least 20"):
        calibrate(run, corpus, split="test")
    other = save_model(tmp_path / "other", features="absent")
    with pytest.raises(UserError, match=r"lacks the feature set 'absent'.*dragoman features"):
        calibrate(other, corpus)


def test_photos_without_vectors_are_left_out_of_the_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_world(tmp_path / "whole", val=60)
    gone = ("val000", "val031")
    found = []
    for make, name in ((lacking_vectors, "lacking"), (lacking_items, "without")):
        corpus = make(whole, tmp_path / name, *gone)
        monkeypatch.setattr(learning, "load_encoder", lambda *_: ReadsWords(whole))
        run = save_model(tmp_path / f"run-{name}")
        calibration = calibrate(run, corpus)
        found.append(json.loads((run / "calibration.json").read_text()))
        read = Calibration.read(run / "calibration.json").without_vectors
        assert read == calibration.without_vectors == found[-1].pop("without_vectors", {})
        assert read == ({"val": list(gone)} if name == "lacking" else {})
        found[-1].pop("checksum")
    assert found[0] == found[1]
    assert {lang: one["queries"] for lang, one in found[0]["languages"].items()} == {"en": 116, "pt": 116}
    (said,) = caplog.messages
    assert "no vector for 2 of 60 items in val: val000, val031. They are left out" in said
    most = lacking_vectors(whole, tmp_path / "most", *(f"val{number:03d}" for number in range(31)))
    with pytest.raises(UserError, match=r"31 of 60 items in val: .* More than half of a split"):
        calibrate(run, most)
