"""Pictures and texts in one list of hits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_model
from toy_model import save_model, save_picture, unit

from dragoman.index import job
from dragoman.records import Entry, Hit
from dragoman.search import kinds
from dragoman.search.calibration import Calibration, Judgement, Scale
from dragoman.search.kinds import PICTURES, TEXTS, Kinds, merged, rarity
from dragoman.search.query import Answer, Query
from dragoman.search.searcher import Searcher
from dragoman.stores.filters import And, Compare

MANY = 200


def word(colour: str) -> np.ndarray:
    """What the toy model makes of a text that names a colour."""
    return unit(np.eye(3)[[toy_model.COLOURS[colour]]] + 0.01)[0]


def at(query: np.ndarray, cosine: float, turn: float) -> np.ndarray:
    """A unit vector at this cosine from a query, somewhere around it."""
    one = np.cross(query, [0.3, -0.5, 0.8])
    one /= np.linalg.norm(one)
    beside = np.cos(turn) * one + np.sin(turn) * np.cross(query, one)
    return (cosine * query + np.sqrt(1 - cosine**2) * beside).astype(np.float32)


def test_rarity_is_the_tail_of_a_sample_by_hand() -> None:
    sample = np.random.default_rng(0).permutation(np.arange(100) / 100)
    # Of the ten highest, .90 to .99, the mean is .945, .055 above the next lower one, .89.
    found = rarity(np.array([1.0, 0.945, 0.89, 0.5, -1.0]), sample, 1000)
    expected = [
        np.log(10) + 0.11 / 0.055,
        np.log(10) + 1.0,
        np.log(100 / 11.5),
        np.log(100 / 50.5),
        np.log(100 / 100.5),
    ]
    np.testing.assert_allclose(found, np.array(expected) - np.log(1000))


def test_an_entry_that_stands_for_few_is_no_rarer_for_it() -> None:
    # Equal scores have a tail of the least length, and one entry none of its own.
    np.testing.assert_allclose(
        rarity(np.array([0.42]), np.full(5, 0.4), 5), [np.log(5 / 2) + 0.02 / kinds.LEAST - np.log(5)]
    )
    np.testing.assert_allclose(rarity(np.array([0.4]), np.array([0.4]), 1), [np.log(1 / 1.5)])
    assert rarity(np.array([0.4, 0.3]), np.empty(0), 7).tolist() == [0.4, 0.3]


def test_as_many_entries_are_rare_by_chance_as_are_expected() -> None:
    draws = np.random.default_rng(1)
    counts = []
    for _ in range(300):
        scores = draws.normal(0.1, 0.05, 5000)
        found = rarity(scores, scores[:: len(scores) // kinds.SAMPLE], len(scores))
        counts.append([(found >= -np.log(expected)).sum() for expected in (5, 50)])
    # An exponential tail falls more slowly than that of normal scores: fewer are as rare as it says.
    assert 2 < np.mean(counts, axis=0)[0] < 5
    assert 40 < np.mean(counts, axis=0)[1] < 55


def hits(*names: str) -> list[Hit]:
    return [Hit(entry=Entry(item_id=name), score=0.0) for name in names]


def test_lists_are_merged_by_worth_and_keep_their_order() -> None:
    found = merged((hits("a", "b", "c", "d"), [5.0, 2.0, 3.0, 0.0]), (hits("x", "y"), [4.0, 2.0]))
    # What is worth more than one before it in its own list comes no earlier.
    assert [hit.entry.item_id for hit in found] == ["a", "x", "b", "y", "c", "d"]
    assert merged((hits("a"), [1.0]), ([], [])) == hits("a")


def test_a_store_is_looked_at_now_and_then(world: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(kinds, "monotonic", lambda: now[0])
    store = world.store
    seen = Kinds(store)
    sample = seen.sample(TEXTS)
    assert (seen.count(TEXTS), sample.shape, seen.sample(PICTURES).shape) == (MANY, (MANY, 3), (MANY + 1, 3))
    store.delete(["t000"])
    assert (seen.count(TEXTS), len(seen.sample(TEXTS))) == (MANY, MANY)
    now[0] += kinds.COUNTED
    assert (seen.count(TEXTS), len(seen.sample(TEXTS))) == (MANY - 1, MANY)
    now[0] += kinds.SECONDS
    assert len(seen.sample(TEXTS)) == MANY - 1
    store.delete(["t001"])
    seen.forget()
    assert seen.count(TEXTS) == MANY - 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """run/, and index/ of one picture."""
    toy_model.install(monkeypatch)
    save_model(tmp_path / "run")
    save_picture(tmp_path / "photos" / "one.png", "blue")
    index(tmp_path)
    return tmp_path


def index(folder: Path) -> None:
    job.index_media(folder / "run", folder / "photos", folder / "index", job.IndexOptions(device="cpu"))


@pytest.fixture
def world(folder: Path) -> Searcher:
    """Texts lie nearer to the word "red" than pictures do: .5 to .7 beside -.1 to .1, each but for one."""
    searcher = Searcher.open(folder / "index")
    draws, red = np.random.default_rng(0), word("red")
    of_texts, of_pictures = draws.uniform(0.5, 0.7, MANY), draws.uniform(-0.1, 0.1, MANY)
    of_texts[7], of_pictures[7] = 0.95, 0.4
    turns = draws.uniform(0, 2 * np.pi, 2 * MANY)
    texts = [
        Entry(item_id=f"t{number:03}", kind="text", lang="en", captions={"en": "red"}, metadata={"n": number})
        for number in range(MANY)
    ]
    pictures = [Entry(item_id=f"p{number:03}", metadata={"n": number}) for number in range(MANY)]
    vectors = [at(red, *one) for one in zip([*of_texts, *of_pictures], turns, strict=True)]
    searcher.store.add([*texts, *pictures], np.stack(vectors))
    return searcher


def names(answer: Answer) -> list[str]:
    return [hit.entry.item_id for hit in answer.hits]


def test_neither_kind_floods_the_list_of_an_index_without_calibration(world: Searcher) -> None:
    answer = world.search("red", k=20)
    assert {hit.entry.item_id for hit in answer.hits[:2]} == {"t007", "p007"}
    assert 6 <= sum(hit.entry.kind == "text" for hit in answer.hits) <= 14
    assert (answer.match, answer.unjudged) == (None, "not_calibrated")
    # Within a kind by cosine, which is what is told.
    for kind in ("text", "image"):
        scores = [hit.score for hit in answer.hits if hit.entry.kind == kind]
        assert scores == sorted(scores, reverse=True)
    assert answer.hits[0].relevance is None
    # By the nearest alone, texts are all there is.
    raw = world.store.search(word("red")[None], 20)[0]
    assert all(match.item_id.startswith("t") for match in raw)
    # Each is at its place by hand.
    red = word("red")
    worth = {}
    for kind, count in ((TEXTS, MANY), (PICTURES, MANY + 1)):
        sample = world.store.sample(kinds.SAMPLE, kind) @ red
        for match in world.store.search(red[None], 20, kind)[0]:
            worth[match.item_id] = rarity(np.array([match.score]), sample, count)[0]
    expected = sorted(worth, key=lambda name: -worth[name])[:20]
    assert names(answer) == expected


def test_few_entries_of_a_kind_are_ranked_by_their_cosines(world: Searcher) -> None:
    many = world.search("red", k=40)
    world.delete([f"p{number:03}" for number in range(MANY) if number % 10 != 7])
    assert world.store.count(PICTURES) == 21
    assert names(world.search("red", k=40))[:2] == names(many)[:2]
    world.delete(["p017", "p027"])
    few = world.search("red", k=40)
    assert [hit.score for hit in few.hits] == sorted([hit.score for hit in few.hits], reverse=True)
    assert {hit.entry.kind for hit in few.hits} == {"text"}


def test_pages_of_a_mixed_list_follow_one_another(world: Searcher) -> None:
    whole = names(world.search("red", k=40))
    parts = [names(world.search("red", k=10, offset=offset)) for offset in (0, 10, 20, 30)]
    assert [name for part in parts for name in part] == whole
    assert len(set(whole)) == 40


def test_filters_take_one_kind_alone(world: Searcher) -> None:
    texts = world.search("red", k=5, filter="kind=text")
    assert [hit.entry.kind for hit in texts.hits] == ["text"] * 5
    assert [hit.score for hit in texts.hits] == sorted([hit.score for hit in texts.hits], reverse=True)
    pictures = world.search("red", k=5, filter="kind!=text and n<100")
    assert [hit.entry.kind for hit in pictures.hits] == ["image"] * 5
    assert all(hit.entry.metadata["n"] < 100 for hit in pictures.hits)  # type: ignore[operator]
    both = world.search("red", k=300, filter="n>=100")
    assert len(both.hits) == 200
    least = world.search("red", k=300, min_score=0.6)
    assert all(hit.score >= 0.6 for hit in least.hits)
    assert world.search("red", filter="n>1000").hits == ()


def test_what_looks_like_an_item_is_of_both_kinds(world: Searcher) -> None:
    answer = world.search(item_id="p007", k=20)
    assert "p007" not in names(answer)
    assert {hit.entry.kind for hit in answer.hits} == {"image", "text"}
    assert answer.unjudged == "not_calibrated"


def test_many_queries_are_answered_as_one_by_one(world: Searcher) -> None:
    asked = [Query(text="red", k=7), Query(text="green", k=3), Query(text="red blue", k=7, filter="n<50")]
    assert [names(one) for one in world.search_many(asked)] == [names(world.search(one)) for one in asked]


def judgement(bias: float, slope: float, threshold: float) -> Judgement:
    """Relevance by the cosine alone."""
    return Judgement(weights=(bias, slope / 10, 0.0), thresholds=(threshold,) * 4, queries=200)


def calibrate(folder: Path, texts: Scale | None, threshold: float = 0.5) -> Searcher:
    """Let an index have a calibration: a picture is worth -3 + 10 cosines."""
    background = toy_model.unit(np.random.default_rng(3).normal(size=(16, 3))).astype(np.float32)
    pictures = {"en": judgement(-3.0, 10.0, threshold), "pt": judgement(-3.0, 10.0, threshold)}
    Calibration(
        fingerprint="1" * 64,
        languages=pictures,
        background=background,
        collection=100,
        growth=0.0,
        false_accepts=0.1,
        texts=texts,
    ).write(folder / "run" / "calibration.json")
    index(folder)
    return Searcher.open(folder / "index")


def scale(threshold: float = 0.5, growth: float = 0.0) -> Scale:
    """A text is worth -9 + 10 cosines."""
    background = np.eye(3, dtype=np.float32)
    languages = {"en": judgement(-9.0, 10.0, threshold)}
    return Scale(languages=languages, background=background, collection=100, growth=growth)


def test_a_calibrated_index_ranks_by_relevance(world: Searcher, folder: Path) -> None:
    by_rarity = names(world.search("red", k=20))
    with calibrate(folder, scale()) as searcher:
        answer = searcher.search("red", k=20, lang="en")
        assert (answer.match, answer.unjudged) == (True, None)
        for hit in answer.hits:
            odds = 10 * hit.score - (9 if hit.entry.kind == "text" else 3)
            assert hit.relevance == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-6)
        worth = [hit.relevance or 0.0 for hit in answer.hits]
        assert worth == sorted(worth, reverse=True)
        # .4 of a picture and 1 of a text are worth as much.
        assert names(answer)[:2] == ["p007", "t007"]
        assert {hit.entry.kind for hit in answer.hits[2:]} == {"image", "text"}
        least = searcher.search("red", k=20, lang="en", min_score=0.5)
        assert names(least) == ["p007", "t007"]
        # Of a language that was not measured on texts, none is told, and rarity ranks them.
        other = searcher.search("red", k=20, lang="pt")
        relevances = {hit.entry.kind: hit.relevance for hit in other.hits}
        assert (relevances["text"], relevances["image"] is None) == (None, False)
        assert (other.match, other.unjudged) == (True, None)
        assert names(other) == by_rarity
        assert searcher.search("red", lang="pt", filter="kind=text").unjudged == "few_captions"
        # A text without relevance is not left out.
        kept = searcher.search("red", k=401, lang="pt", min_score=0.5)
        assert {hit.entry.item_id for hit in kept.hits if hit.entry.kind == "image"} == {"p007"}
        assert sum(hit.entry.kind == "text" for hit in kept.hits) == MANY


def test_a_match_is_told_of_either_kind(world: Searcher, folder: Path) -> None:
    def match(threshold: float, texts: Scale | None, **query: str) -> bool | None:
        with calibrate(folder, texts, threshold) as searcher:
            return searcher.search("red", lang="en", **query).match  # type: ignore[arg-type]

    # The best picture has a relevance of 1 / (1 + e^-1) = .73, the best text of .62.
    assert match(0.7, scale(0.6)) is True
    assert match(0.7, scale(0.7)) is True
    assert match(0.8, scale(0.6)) is True
    assert match(0.8, scale(0.7)) is False
    assert match(0.8, scale(0.6), filter="kind!=text") is False
    assert match(0.8, scale(0.6), filter="kind=text") is True
    # Where nobody knows of texts, only a picture can tell that there is something.
    assert match(0.7, None) is True
    assert match(0.8, None) is None
    assert match(0.8, None, filter="kind=text") is None
    # There are twice as many texts as it was learned with: .62 has odds of .5, and ln 2 more are asked for.
    assert match(0.8, scale(0.45, growth=1.0)) is True
    assert match(0.8, scale(0.45 + 0.01, growth=1.0)) is False


def test_a_calibration_that_knows_no_texts_is_told_of(world: Searcher, folder: Path) -> None:
    nothing = Scale(languages={}, background=np.empty((0, 3), np.float32), collection=1, growth=0.0)
    by_rarity = names(world.search("red", k=20))
    for texts in (None, nothing):
        with calibrate(folder, texts) as searcher:
            assert searcher.search("red", lang="en", filter="kind=text").unjudged == "not_calibrated"
            assert names(searcher.search("red", k=20, lang="en")) == by_rarity


def test_an_index_of_pictures_is_searched_as_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragoman.search import answering

    monkeypatch.setattr(answering, "merged", lambda *_: pytest.fail("there is nothing to merge"))
    with Searcher.open(folder / "index") as searcher:
        assert names(searcher.search("blue")) == ["one.png"]
        text = Entry(item_id="r", kind="text", lang="en", captions={"en": "blue"})
        searcher.add(text)
        monkeypatch.undo()
        toy_model.install(monkeypatch)
        # What this process adds is seen at once.
        assert set(names(searcher.search("blue"))) == {"one.png", "r"}
        searcher.delete(["one.png"])
        assert names(searcher.search("blue")) == ["r"]


def test_filters_are_joined() -> None:
    year = Compare("year", ">", 1990)
    assert kinds.both(None, TEXTS) == TEXTS
    assert kinds.both(year, PICTURES) == And((year, PICTURES))
