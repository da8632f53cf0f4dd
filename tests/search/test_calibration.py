"""Relevance and "no good match", on scores whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_model
from toy_model import save_model, save_picture
from training_world import write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.folders import write_sealed
from dragoman.index import job
from dragoman.media.images import Decoding
from dragoman.records import Entry, Hit
from dragoman.search import calibrate as learning
from dragoman.search.calibrate import (
    Asked,
    ask,
    calibrate,
    calibrate_once,
    fit,
    growth_of,
    learn,
    thresholds,
    unlike,
)
from dragoman.search.calibration import (
    Calibration,
    Judgement,
    Scale,
    evidence,
    length_class,
    relevance,
    size_of,
)
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.search.trial_queries import Queries
from dragoman.search.vocabulary import Vocabulary
from left_out import lacking_items, lacking_vectors

RIGHT = Judgement(weights=(-4.0, 0.5, 1.0), thresholds=(0.5,) * 4, queries=300)


def drawn(queries: int, slope: float, seed: int) -> Asked:
    """Hits whose chance to be right follows from their evidence: odds = -3 + slope * z."""
    draws = np.random.default_rng(seed)
    above = draws.normal(2, 2, (2, queries, 10))
    one, none = np.ones_like(above), np.zeros_like(above)
    seen = np.stack([one, none, above, *[none] * 4], axis=-1)
    odds = (seen[0] @ [-3, 0, slope, 0, 0, 0, 0]).ravel()
    right = (draws.random(10 * queries) < 1 / (1 + np.exp(-odds))).reshape(queries, 10)
    return Asked(
        present=seen[0],
        right=right,
        absent=seen[1],
        fewer=seen[1, :, :1],
        length=np.zeros(queries, np.int64),
        judged=np.ones(queries, bool),
        captions=queries,
    )


def test_evidence_is_cosine_and_distance_from_the_background_and_what_the_query_is() -> None:
    deviation = np.sqrt(0.005)
    found = evidence(np.array([0.5, 0.1]), np.array([0.0, 0.2, 0.1, 0.1]), 4, 0.75)
    first = [1, 5, 0.4 / deviation]
    second = [1, 1, 0]
    expected = [[*one, *(value / 4 for value in one), 0.25] for one in (first, second)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "size", "place"),
    [
        ("dog", 1, 0),
        ("A dog, running!", 3, 1),
        ("a dog runs on", 4, 2),
        ("one two three four five six seven", 7, 2),
        ("one two three four five six seven eight", 8, 3),
        ("狗", 1, 0),
        ("红色的狗", 2, 1),
        ("一只狗在海滩上奔跑", 5, 2),
        ("Hund 狗", 2, 1),
        ("?", 0, 0),
    ],
)
def test_a_query_is_as_long_as_its_words(text: str, size: int, place: int) -> None:
    assert (size_of(text), length_class(size)) == (size, place)


def test_relevance_is_the_logistic_of_the_evidence() -> None:
    seen = np.array([[1.0, 5.0, 2.0]])
    assert relevance(seen, (-4, 0.5, 1.0))[0] == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert relevance(seen * 1e6, (1, 1, 1))[0] == pytest.approx(1)


def test_fitting_finds_the_chance_that_hits_were_drawn_with() -> None:
    one = drawn(1500, 1.0, seed=1)
    # Queries without an answer: the same evidence, and never right. Relevance is the share over both.
    shared, own = fit({"en": one})
    seen = np.concatenate([one.present, one.absent]).reshape(-1, 7)
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
    right = np.eye(50, 800, dtype=bool)
    asked = Queries(texts=["dog"] * 50, own=np.arange(50), right=right, captions=50, human=True)
    scores = texts @ images.T, texts @ images[:64].T
    one = ask(asked, *scores, ~right, [1.0] * 50)
    weights = np.array([-4.0, 0.5, 1.0, 0, 0, 0, 0])
    best, fewer = (seen[:, 0] @ weights for seen in (one.absent, one.fewer))
    gain = np.quantile(best, 0.9) - np.quantile(fewer, 0.9)
    assert growth_of({"en": one}, weights, 0.1) == pytest.approx(gain / np.log(8))
    assert gain > 0.1


def test_few_queries_of_a_language_stay_near_the_shared_weights() -> None:
    shared, own = fit({"en": drawn(1000, 1.0, 1), "pt": drawn(1000, 0.4, 2), "gl": drawn(30, 0.1, 3)})
    few, many = (np.linalg.norm(own[lang] - shared) for lang in ("gl", "pt"))
    assert few < 0.5
    assert own["pt"][2] < own["en"][2] - 0.1
    assert many > 0


def test_no_language_accepts_more_than_it_may() -> None:
    asked = {"en": drawn(1000, 1.0, 1), "pt": drawn(1000, 0.3, 2)}
    _, own = learn(asked, 0.1)
    for lang, one in asked.items():
        best = relevance(one.absent[:, 0], own[lang].weights)
        # 1.645 standard errors below 10 %: 8.4 %.
        assert (best >= own[lang].thresholds[0]).mean() == pytest.approx(0.0844, abs=0.002)
        assert own[lang].queries == 1000
    # What a search would not judge says nothing of how many pass.
    pt = asked["pt"]
    half = replace(
        pt,
        judged=np.arange(1000) % 2 == 0,
        absent=np.where(np.arange(1000)[:, None, None] % 2, 99, pt.absent),
    )
    judged = learn({"pt": half}, 0.1)[1]["pt"]
    best = relevance(half.absent[half.judged, 0], judged.weights)
    assert (best >= judged.thresholds[0]).mean() == pytest.approx(
        0.1 - 1.645 * np.sqrt(0.09 / 500), abs=0.003
    )


def test_fewer_queries_leave_a_wider_margin_and_each_length_has_its_threshold() -> None:
    odds = np.concatenate([np.linspace(-2, 2, 401), np.linspace(0, 1, 100), np.full(40, 9.0)])
    length = np.repeat([0, 2, 3], [401, 100, 40])
    found = thresholds(odds, length, 0.1)
    share = [0.1 - 1.645 * np.sqrt(0.09 / count) for count in (401, 100)]
    passing = [np.quantile(odds[length == at], 1 - one) for at, one in zip((0, 2), share, strict=True)]
    expected = [1 / (1 + np.exp(-one)) for one in passing]
    # Nothing was asked with two words; forty sentences are too few, and phrases are the next shorter ones.
    assert found == pytest.approx((expected[0], expected[0], expected[1], expected[1]))
    accepted = [
        (odds[length == at] >= np.log(one / (1 - one))).mean()
        for at, one in zip((0, 2), found[::2], strict=True)
    ]
    assert accepted[1] < accepted[0] < 0.1
    # Of few queries in all, those together.
    few = thresholds(np.arange(10.0), np.array([0, 1] * 5), 0.5)
    assert (
        few
        == (pytest.approx(1 / (1 + np.exp(-np.quantile(np.arange(10.0), 0.5 + 1.645 * np.sqrt(0.025))))),) * 4
    )


def test_a_query_is_asked_among_all_and_among_the_unlike() -> None:
    images = np.concatenate([np.eye(3), [[0.0, 0.6, 0.8]]])
    texts = np.array([[0.9, 0.4, 0.1], [0.1, 0.2, 0.97]])
    right = np.array([[1, 0, 0, 0], [0, 1, 0, 1]], bool)
    unlike_QI = np.array([[0, 1, 1, 0], [1, 1, 1, 0]], bool)
    asked = Queries(texts=["a dog runs", "cat"], own=np.array([0, 1]), right=right, captions=1, human=True)
    one = ask(asked, texts @ images.T, texts @ images[:3].T, unlike_QI, [2 / 3, 1.0])
    cosines = one.present[:, :, 1] / 10
    np.testing.assert_allclose(cosines, [[0.9, 0.4, 0.32, 0.1], [0.97, 0.896, 0.2, 0.1]])
    assert one.right.tolist() == [[True, False, False, False], [False, True, True, False]]
    # What answers is never among what does not, however unlike it looks.
    np.testing.assert_allclose(one.absent[:, :2, 1] / 10, [[0.4, 0.1], [0.97, 0.1]])
    assert one.length.tolist() == [1, 0]
    np.testing.assert_allclose(one.present[:, 0, 3], [1 / 3, 1])
    np.testing.assert_allclose(one.present[:, 0, 6], [1 / 3, 0])
    assert one.judged.tolist() == [False, True]


def test_the_unlike_half_are_the_images_farthest_from_the_answers_by_their_vectors() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.2], [-1.0, 0.1], [-1.0, -0.3]], np.float16)
    right = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0]], bool)
    assert unlike(vectors, right).astype(int).tolist() == [[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]]


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
    own = np.eye(4, dtype=bool)
    assert unlike(videos, own).tolist() == unlike(means, own).tolist()


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    background = toy_model.unit(np.random.default_rng(0).normal(size=(8, 3))).astype(np.float16)
    written = Calibration(
        fingerprint="1" * 64,
        languages={"pt": Judgement(weights=(-1.0, 0.1, 2.0), thresholds=(0.4, 0.3, 0.2, 0.1), queries=7)},
        background=background.astype(np.float32),
        collection=1000,
        growth=0.4,
        false_accepts=0.1,
        words=Vocabulary.of([("1", "um cão"), ("2", "o cão")]),
        texts=Scale(
            languages={"pt+": RIGHT}, background=background[:3].astype(np.float32), collection=7, growth=1.5
        ),
    )
    written.write(tmp_path / "calibration.json")
    found = Calibration.read(tmp_path / "calibration.json")
    np.testing.assert_array_equal(found.background, written.background)
    assert (found.languages, found.words) == (written.languages, written.words)
    assert found.texts is not None
    np.testing.assert_array_equal(found.texts.background, background[:3])
    assert (found.texts.languages, found.texts.collection, found.texts.growth) == ({"pt+": RIGHT}, 7, 1.5)
    assert (found.known("cão"), found.known("um cão")) == (1.0, 0.5)
    assert found.judgement("pt-BR") == written.languages["pt"]
    assert found.judgement("fi") is None
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(UserError, match=r"is damaged.*dragoman calibrate RUN CORPUS"):
        Calibration.read(tmp_path / "calibration.json")


def test_a_calibration_of_before_has_one_threshold_and_no_words(tmp_path: Path) -> None:
    now = Calibration(
        fingerprint="1" * 64,
        languages={"pt": RIGHT},
        background=np.eye(3, dtype=np.float32),
        collection=10,
        growth=0.0,
        false_accepts=0.1,
    )
    now.write(tmp_path / "calibration.json")
    stored = json.loads((tmp_path / "calibration.json").read_text())
    stored.pop("checksum")
    one = stored["languages"]["pt"]
    one["threshold"] = one.pop("thresholds")[0]
    write_sealed(tmp_path / "calibration.json", stored | {"format_version": 1, "shared": one})
    found = Calibration.read(tmp_path / "calibration.json")
    assert (found.languages, found.words, found.known("anything")) == ({"pt": RIGHT}, None, 1.0)
    for wrong in ({"thresholds": [0.5]}, {"weights": [1.0]}, {"weights": [1.0] * 8}):
        write_sealed(tmp_path / "wrong.json", stored | {"languages": {"pt": one | wrong}})
        with pytest.raises(UserError, match=r"wrong\.json is damaged"):
            Calibration.read(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    ("lang", "trained", "text", "reason"),
    [
        ("pt", True, "cão", None),
        ("pt-BR", True, "um cão preto corre cão", None),
        ("pt", True, "balão", "unknown_words"),
        ("pt", True, "um balão", "unknown_words"),
        ("pt", True, "um cão preto corre", "unknown_words"),
        ("gl", True, "cão", "few_captions"),
        ("es", True, "cão", "few_captions"),
        ("cs", False, "cão", None),
        ("fi", False, "cão", "language_not_measured"),
        ("und", False, "cão", "language_not_measured"),
    ],
)
def test_nothing_is_estimated_where_nothing_was_learnt(
    lang: str, trained: bool, text: str, reason: str | None
) -> None:
    few = Judgement(weights=RIGHT.weights, thresholds=RIGHT.thresholds, queries=199)
    enough = Judgement(weights=RIGHT.weights, thresholds=RIGHT.thresholds, queries=200)
    calibration = Calibration(
        fingerprint="",
        languages={"pt": RIGHT, "gl": few, "cs": enough},
        background=np.eye(3, dtype=np.float32),
        collection=10,
        growth=0.0,
        false_accepts=0.1,
        # Of five words one may be unknown.
        words=Vocabulary.of([(item, "um cão corre") for item in "12"]),
    )
    assert calibration.unjudged(lang, trained, text) == reason


def test_hits_are_judged_in_the_language_of_the_query() -> None:
    background = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
    query = np.array([0.6, 0.8, 0.0], np.float32)
    strict = Judgement(weights=RIGHT.weights, thresholds=(0.99, 0.5, 0.5, 0.5), queries=1)
    calibration = Calibration(
        fingerprint="",
        languages={"pt": strict, "en": RIGHT},
        background=background,
        collection=4,
        growth=0.5,
        false_accepts=0.1,
    )
    hits = [Hit(entry=Entry(item_id=name), score=score) for name, score in (("a", 0.9), ("b", 0.1))]
    scores = np.array([0.6, 0.8, 0, 0])
    judged, match = calibration.judged(hits, query, "en", 4, "dog")
    odds = -4 + 0.5 * 9 + (0.9 - scores.mean()) / scores.std()
    assert judged[0].relevance == pytest.approx(1 / (1 + np.exp(-odds)))
    assert judged[0].relevance > judged[1].relevance  # type: ignore[operator]
    assert match is True
    # 0.5 log odds more are asked for with every e-fold of the collection.
    assert calibration.judged(hits, query, "en", int(4 * np.exp(2 * odds)) - 1, "dog")[1] is True
    assert calibration.judged(hits, query, "en", int(4 * np.exp(2 * odds)) + 2, "dog")[1] is False
    assert calibration.judged(hits, query, "pt", 4, "dog")[1] is False
    assert calibration.judged(hits, query, "pt", 4, "two dogs")[1] is True
    assert calibration.judged([], query, "en", 4, "dog") == ([], False)


def test_a_search_in_a_calibrated_index_says_when_nothing_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_model.install(monkeypatch)
    run = save_model(tmp_path / "run")
    background = toy_model.unit(np.random.default_rng(0).random((64, 3)) + 0.1)
    judgement = Judgement(weights=(-9.0, 1.0, 0.5), thresholds=(0.5,) * 4, queries=200)
    few = Judgement(weights=(-9.0, 1.0, 0.5), thresholds=(0.5,) * 4, queries=199)
    said = "green grass red roses square"
    Calibration(
        fingerprint="1" * 64,
        languages={"en": judgement, "pt": few},
        background=background,
        collection=64,
        growth=0.0,
        false_accepts=0.1,
        words=Vocabulary.of([("1", said), ("2", said)]),
    ).write(run / "calibration.json")
    for colour in ("green", "blue"):
        save_picture(tmp_path / "photos" / f"{colour}.png", colour)
    options = job.IndexOptions(device="cpu", decoding=Decoding(workers=1))
    job.index_media(run, tmp_path / "photos", tmp_path / "index", options)
    with Searcher.open(tmp_path / "index") as searcher:
        assert searcher.info.calibration is not None
        assert searcher.info.calibration["languages"] == ["en", "pt"]
        found, missing = searcher.search("green grass"), searcher.search("red roses")
        assert (found.match, missing.match) == (True, False)
        assert found.hits[0].relevance is not None
        assert found.hits[0].relevance > 0.5 > (found.hits[1].relevance or 0)
        assert [hit.entry.item_id for hit in searcher.search(Query(text="green", min_score=0.5)).hits] == [
            "green.png"
        ]
        assert (found.unjudged, missing.unjudged) == (None, None)
        # A picture is nearer to pictures than any text is: only texts are judged.
        like = searcher.search(Query(item_id="green.png", min_score=0.99))
        assert (like.match, like.unjudged, len(like.hits)) == (None, "not_text", 0)
        for asked, reason in (
            (Query(text="green balloon", lang="en"), "unknown_words"),
            (Query(text="green", lang="pt"), "few_captions"),
            (Query(text="green", lang="fi"), "language_not_measured"),
        ):
            # Nothing is known of these hits, so none is left out for what it is worth.
            answer = searcher.search(asked, min_score=0.99)
            assert (answer.match, answer.unjudged) == (None, reason)
            assert [hit.relevance for hit in answer.hits] == [None, None]
        # Made anew, it is taken along without embedding anything again.
        Calibration.read(run / "calibration.json").write(run / "calibration.json")
        stricter = Judgement(weights=judgement.weights, thresholds=(0.999,) * 4, queries=200)
        Calibration(
            fingerprint="1" * 64,
            languages={"en": stricter},
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


def assert_learned_of_texts(found: Calibration, model: ReadsWords, corpus: Path) -> None:
    """The second caption of each picture stands for a record, which the first one asks for."""
    texts, last_captions = (
        found.texts,
        Corpus.open(corpus).select(role="human", lang="en", split="val").texts[1::2],
    )
    assert texts is not None
    assert (texts.collection, texts.background.shape) == (30, (60, 24))
    # Of the source there are 60 captions, too few to judge by: all 180 of both languages do.
    assert {lang: one.queries for lang, one in texts.languages.items()} == {"en": 180, "pt": 120}
    assert all(one.weights[2] > 0 for one in texts.languages.values())
    background = np.array([model.of_text[text] for text in last_captions])
    np.testing.assert_allclose(texts.background, toy_model.unit(background), atol=1e-3)


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
    assert_learned_of_texts(found, ReadsWords(corpus), corpus)
    # Under the tag by which a query's language is told, however it was spelt.
    assert set(calibrate(run, corpus, languages=("POR",)).languages) == {"pt"}
    # Words of train and val, but not of test; one that is said of a single picture is none.
    assert found.known("dog") == found.known("cão") == 1.0
    assert found.known("zebra") == 0.0
    with pytest.raises(UserError, match=r"0 captions in 'fi'; at least 20"):
        calibrate(run, corpus, languages=("fi",))
    with pytest.raises(UserError, match=r"12 images with vectors in its split 'test'; at least 20"):
        calibrate(run, corpus, split="test")
    other = save_model(tmp_path / "other", features="absent")
    with pytest.raises(UserError, match=r"lacks the feature set 'absent'.*dragoman features"):
        calibrate(other, corpus)


def test_a_run_is_calibrated_once_and_again_where_that_knew_no_words_or_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_world(tmp_path / "corpus", val=24)
    run = save_model(tmp_path / "run")
    monkeypatch.setattr(learning, "load_encoder", lambda *_: ReadsWords(corpus))
    # An export is as calibrated as its index, and has its fingerprint in its description.
    assert not calibrate_once(run, corpus)
    monkeypatch.setattr(learning, "model_config", lambda _: {"trained": ReadsWords(corpus).config})
    assert calibrate_once(run, corpus)
    first = (run / "calibration.json").read_bytes()
    monkeypatch.setattr(learning, "load_encoder", lambda *_: pytest.fail("calibrated twice"))
    assert calibrate_once(run, corpus)
    for unknown in ("words", "texts"):
        stored = json.loads(first)
        for name in ("checksum", unknown):
            stored.pop(name)
        write_sealed(run / "calibration.json", stored)
        with monkeypatch.context() as patch:
            patch.setattr(learning, "load_encoder", lambda *_: ReadsWords(corpus))
            assert calibrate_once(run, corpus)
        assert (run / "calibration.json").read_bytes() == first


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
