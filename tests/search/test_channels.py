"""Channels of a language: measured against a slow count, and asked as they were measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from slow_engine import NAME, SPEC, SlowEngine
from training_world import EN, PT, edit_captions, tiny, write_world

from dragoman import EvaluationSettings, evaluate
from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.index import IndexOptions, index_media
from dragoman.index.folder import read_info
from dragoman.retrievers.base import unit
from dragoman.retrievers.trained import Retriever
from dragoman.search import calibrate as learning
from dragoman.search import calibration as judging
from dragoman.search import translating
from dragoman.search.calibrate import calibrate, calibrate_once
from dragoman.search.calibration import Calibration, Channel, fused
from dragoman.search.query import Answer, Query, QueryChannel
from dragoman.search.searcher import Searcher
from dragoman.search.trial_queries import queries_of
from dragoman.training import train

# An engine that takes four words for others: what it loses, the text itself still says.
WORDS = dict(zip(PT, EN, strict=True)) | {PT[0]: EN[3], PT[4]: EN[5], PT[8]: EN[10], PT[12]: EN[13]}
TEXT = " ".join((PT[0], PT[5], PT[8]))


def into_english(text: str) -> str:
    return " ".join(WORDS[word] for word in text.split())


def record(corpus: Path, file: Path) -> None:
    """Write the translation of all that calibration asks in Portuguese, and of all captions."""
    opened = Corpus.open(corpus)
    texts = set(opened.select(role="human", lang="pt").texts) | {TEXT}
    images = opened.split("val")["item_id"].to_pylist()
    texts |= set(queries_of(opened, images, ("pt",), "en")["pt"].texts)
    lines = [
        {"source_lang": "pt", "target_lang": "en", "text": text, "translation": into_english(text)}
        for text in sorted(texts)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def with_translations(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The captions that `dragoman translate --from pt --to en` would add."""
    found = [row for row in rows if row["role"] != "back"]
    for row in rows:
        if (row["lang"], row["role"]) == ("pt", "human") and not str(row["item_id"]).startswith("train"):
            text = into_english(str(row["text"]))
            found.append(
                row
                | {"caption_id": f"{row['caption_id']}-en", "lang": "en", "role": "mt", "text": text}
                | {"source_id": row["caption_id"], "engine": "recorded:pt.jsonl"}
            )
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`corpus`, a `run` that learnt wrong translations, calibrated with an engine, and its `index`."""
    folder = tmp_path_factory.mktemp("channels")
    write_world(folder / "corpus", val=60, test=30, shuffled=0.7)
    edit_captions(folder / "corpus", with_translations)
    train(folder / "corpus", tiny("translate_train", steps="60"), folder / "run")
    record(folder / "corpus", folder / "pt.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        calibrate("run", "corpus", engines={"por": "recorded:pt.jsonl"}, device="cpu")
    index_media(folder / "run", folder / "corpus", folder / "index", IndexOptions(device="cpu"))
    return folder


def vectors(world: Path, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of texts, and of their translations."""
    model = Retriever.load(world / "run")
    return model.encode_text(texts), model.encode_text([into_english(text) for text in texts])


def mean_recall(world: Path, weight: float) -> float:
    """By counting, among the pictures of val."""
    corpus = Corpus.open(world / "corpus")
    items = corpus.split("val")["item_id"].to_pylist()
    features = corpus.features("toy")
    images = Retriever.load(world / "run").encode_features(features.whole(features.rows(items)))
    said = corpus.select(role="human", lang="pt", split="val")
    direct, translated = vectors(world, said.texts)
    hits: list[bool] = []
    for item, one, other in zip(said.item_ids, direct, translated, strict=True):
        scores = images @ (weight * other + (1 - weight) * one)
        rank = 1 + int((scores > scores[items.index(item)]).sum())
        hits += [rank <= most for most in (1, 5, 10)]
    return 100 * float(np.mean(hits))


def test_channels_are_measured_and_the_best_is_taken(world: Path) -> None:
    channel = Calibration.read(world / "run/model/calibration.json").channels["pt"]
    assert (channel.engine, channel.engine_name) == (f"recorded:{world / 'pt.jsonl'}", "recorded:pt.jsonl")
    assert (channel.lang, channel.source, channel.captions, channel.human) == ("pt", "en", 120, True)
    assert list(channel.recalls) == [round(0.1 * step, 1) for step in range(11)]
    for weight in (0.0, channel.best, 1.0):
        assert channel.recalls[weight] == pytest.approx(mean_recall(world, weight), abs=1e-6)
    assert channel.best == min(
        (weight for weight in channel.recalls if weight), key=lambda one: (-channel.recalls[one], one)
    )
    assert channel.gain == pytest.approx(channel.recalls[channel.best] - channel.recalls[0.0])
    # A model that learnt wrong translations finds more through English.
    assert channel.interval[0] > 0 and channel.weight == channel.best
    assert channel.judgement is not None and channel.judgement.queries == 120
    told = read_info(world / "index").calibration
    assert told is not None
    assert told["channels"] == {"pt": {"engine_name": "recorded:pt.jsonl", "weight": channel.weight}}


def test_what_is_no_sure_gain_is_not_taken(world: Path, tmp_path: Path) -> None:
    lines = (world / "pt.jsonl").read_text("utf-8").splitlines()
    same = [json.dumps(json.loads(line) | {"translation": json.loads(line)["text"]}) for line in lines]
    (tmp_path / "same.jsonl").write_text("\n".join(same), encoding="utf-8")
    copy = tmp_path / "run"
    copy.mkdir()
    for file in (world / "run").rglob("*"):
        if file.is_file() and file.name != "calibration.json":
            (copy / file.relative_to(world / "run")).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(world / "run")).write_bytes(file.read_bytes())
    engine = f"recorded:{tmp_path / 'same.jsonl'}"
    found = calibrate(copy, world / "corpus", engines={"pt": engine, "fi": engine}, device="cpu")
    channel = found.channels["pt"]
    # Word for word the same, so nothing is gained, and no engine is needed. Nobody wrote Finnish.
    assert (channel.weight, channel.name, channel.gain, channel.judgement) == (0.0, "direct", 0.0, None)
    assert set(found.channels) == {"pt"} and set(found.languages) == {"en", "pt"}


def test_the_fused_row_of_a_report_is_what_a_search_finds(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EvaluationSettings(languages=["pt"], fusion_normalisation="none")
    report = evaluate(world / "run", world / "corpus", settings, out=tmp_path / "report")
    weight = report["languages"]["pt"]["fusion"]["weight"]
    assert weight > 0
    table = pq.read_table(tmp_path / "report/queries.parquet").to_pylist()
    rank_of = {
        row["qid"]: row["rank"]
        for row in table
        if (row["row"], row["direction"]) == ("fused", "text_to_image")
    }
    said = Corpus.open(world / "corpus").select(role="human", lang="pt", split="test")
    stored = Calibration.of_index
    monkeypatch.setattr(Calibration, "of_index", lambda info: weighted(stored(info), weight))
    queries = [Query(text=text, lang="pt", k=200, translate_within=20) for text in said.texts]
    with Searcher.open(world / "index") as searcher:
        answers = searcher.search_many(queries)
    found = {}
    for caption, item, answer in zip(said.ids, said.item_ids, answers, strict=True):
        assert answer.channel is not None and answer.channel.weight == weight
        tested = [hit.entry.item_id for hit in answer.hits if hit.entry.item_id.startswith("test")]
        assert len(tested) == 30
        found[caption] = 1 + tested.index(item)
    assert found == rank_of and len(found) == 60
    recall = np.mean([rank <= 5 for rank in found.values()])
    assert report["results"]["pt"]["fused"]["text_to_image"]["recall@5"] == pytest.approx(100 * recall)


def weighted(calibration: Calibration | None, weight: float, **changes: object) -> Calibration:
    assert calibration is not None
    channel = replace(calibration.channels["pt"], weight=weight, **changes)  # type: ignore[arg-type]
    return replace(calibration, channels={"pt": channel})


def test_a_text_is_asked_through_its_channel_or_directly(world: Path) -> None:
    channel = Calibration.read(world / "run/model/calibration.json").channels["pt"]
    direct, translated = vectors(world, [TEXT])
    with Searcher.open(world / "index") as searcher:
        best = searcher.search(TEXT, lang="pt-BR", k=3, translate_within=20)
        plain = searcher.search(TEXT, lang="pt-BR", k=3, channel="direct")
        english = searcher.search(into_english(TEXT), lang="en", k=3)
        like = searcher.search(Query(item_id="test000"))
        features = Corpus.open(world / "corpus").features("toy")
        images = Retriever.load(world / "run").encode_features(features.vectors)
    name = channel.name
    assert best.channel == QueryChannel(
        name=name,
        best=name,
        weight=channel.weight,
        engine="recorded:pt.jsonl",
        translation=into_english(TEXT),
    )
    assert plain.channel == QueryChannel(name="direct", best=name, engine="recorded:pt.jsonl")
    assert english.channel == QueryChannel(name="direct", best="direct")
    assert like.channel is None
    assert ("translate" in best.seconds, "translate" in plain.seconds) == (True, False)
    mixed = unit(channel.weight * translated + (1 - channel.weight) * direct)
    for answer, vector in ((best, mixed), (plain, direct)):
        scores = dict(zip(features.ids, (images @ vector[0]).tolist(), strict=True))
        expected = sorted(scores, key=lambda one: -scores[one])[:3]
        assert [hit.entry.item_id for hit in answer.hits] == expected
        assert [hit.score for hit in answer.hits] == pytest.approx(
            [scores[one] for one in expected], abs=1e-5
        )


def test_a_fused_text_is_judged_by_what_was_learnt_of_its_channel(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "FEW_CAPTIONS", 20)
    sure = judging.Judgement(weights=(9.0, 0.0, 0.0), thresholds=(0.5,) * 4, queries=80)
    stored = Calibration.of_index
    monkeypatch.setattr(Calibration, "of_index", lambda info: weighted(stored(info), 0.5, judgement=sure))
    with Searcher.open(world / "index") as searcher:
        best = searcher.search(TEXT, lang="pt", k=3, translate_within=20)
        plain = searcher.search(TEXT, lang="pt", k=3, channel="direct")
    expected = 1 / (1 + np.exp(-9.0))
    assert [hit.relevance for hit in best.hits] == pytest.approx([expected] * 3)
    assert all(hit.relevance is not None and hit.relevance < expected - 1e-4 for hit in plain.hits)


def test_vectors_are_mixed_and_what_is_missing_on_one_side_is_the_other() -> None:
    nothing = [np.nan, np.nan]
    text = np.array([[1.0, 0.0], [1.0, 0.0], nothing], np.float32)
    other = np.array([[0.0, 1.0], nothing, [0.0, 1.0]], np.float32)
    expected = np.array([[0.25, 0.75], [1, 0], [0, 1]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(fused(text, other, 0.75), expected, atol=1e-6)


@pytest.fixture
def engine(world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowEngine]:
    """In the place of the engine of the index."""
    slow = SlowEngine(WORDS)
    stored = Calibration.of_index
    changes = {"engine": SPEC, "engine_name": NAME}
    monkeypatch.setattr(Calibration, "of_index", lambda info: weighted(stored(info), 0.5, **changes))
    monkeypatch.setattr(translating, "open_engine", slow.open)
    yield slow
    slow.free.set()


def codes(answer: Answer) -> list[str]:
    return [one.code for one in answer.warnings if one.code != "language_untrained"]


def until_done(searcher: Searcher, query: Query) -> None:
    translating.wait_for(searcher.begin_translations(query), 20)


def test_hits_do_not_wait_longer_than_they_may_and_are_better_the_next_time(
    world: Path, engine: SlowEngine
) -> None:
    asked = Query(text=TEXT, lang="pt", k=3, translate_within=0.01)
    with Searcher.open(world / "index") as searcher:
        plain = searcher.search(asked, channel="direct")
        assert not engine.opened
        late = searcher.search(asked)
        assert (codes(plain), codes(late)) == ([], ["translation_late"])
        assert [hit.score for hit in late.hits] == [hit.score for hit in plain.hits]
        assert late.channel == QueryChannel(name="direct", best="fused", engine=NAME)
        engine.free.set()
        until_done(searcher, asked)
        # Known by now, it is waited for no more; and other parts of a text are translated apart.
        again = searcher.search(asked, translate_within=0)
        assert codes(again) == [] and again.channel is not None
        assert (again.channel.name, again.channel.translation) == ("fused", into_english(TEXT))
        assert engine.asked == [TEXT] and engine.opened == 1
        parts = searcher.search(f"{PT[1]} +{PT[5]} -{PT[9]}", lang="pt", translate_within=20)
        assert parts.channel is not None and parts.channel.translation == f"{EN[1]} {EN[5]}"
        assert sorted(engine.asked[1:]) == sorted([PT[1], PT[5], PT[9]])


def test_an_engine_that_is_missing_is_one_warning_that_says_what_to_do(
    world: Path, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.missing = UserError("The program 'slow' is not installed. Install it: apt-get install slow")
    engine.free.set()
    asked = Query(text=TEXT, lang="pt", k=3, translate_within=20)
    with Searcher.open(world / "index") as searcher:
        plain = searcher.search(asked, channel="direct")
        found = searcher.search(asked)
        assert codes(found) == ["engine_missing"]
        assert "Portuguese (pt)" in found.warnings[-1] and NAME in found.warnings[-1]
        assert found.warnings[-1].endswith("Install it: apt-get install slow")
        assert [hit.score for hit in found.hits] == [hit.score for hit in plain.hits]
        # It is not tried for each query; but for one of a minute later.
        assert codes(searcher.search(PT[3], lang="pt", translate_within=20)) == ["engine_missing"]
        assert engine.opened == 1
        monkeypatch.setattr(translating, "RETRY", 0.0)
        engine.missing = None
        assert codes(searcher.search(asked)) == [] and engine.opened == 2


def test_a_line_that_fails_harms_no_other(world: Path, engine: SlowEngine) -> None:
    engine.free.set()
    texts = [TEXT, f"{PT[2]} fails", PT[3]]
    queries = [Query(text=text, lang="pt", k=3, translate_within=20) for text in texts]
    with Searcher.open(world / "index") as searcher:
        assert [codes(one) for one in searcher.search_many(queries)] == [[], ["translation_failed"], []]


def test_what_waits_for_an_engine_is_bounded(
    world: Path, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translating, "WAITING", 2)
    with Searcher.open(world / "index") as searcher:
        first = searcher.begin_translations(Query(text=PT[0], lang="pt"))
        assert engine.begun.wait(20)
        waiting = [searcher.begin_translations(Query(text=PT[at], lang="pt"))[0] for at in (1, 2, 3)]
        assert [one.done() for one in waiting] == [False, False, True]
        assert codes(searcher.search(PT[4], lang="pt", translate_within=0)) == ["translation_late"]
        engine.free.set()
        translating.wait_for([*first, *waiting], 20)
        assert [one.result() for one in (*first, *waiting[:2])] == [EN[3], EN[1], EN[2]]
        # Later there is room again.
        until_done(searcher, Query(text=PT[3], lang="pt"))
        assert codes(searcher.search(PT[3], lang="pt", translate_within=0)) == []


def test_a_searcher_that_is_closed_leaves_no_thread(world: Path, engine: SlowEngine) -> None:
    import threading

    engine.free.set()
    with Searcher.open(world / "index") as searcher:
        searcher.search(TEXT, lang="pt", translate_within=20)
        (thread,) = [one for one in threading.enumerate() if one.name == "dragoman-translations"]
    thread.join(20)
    assert not thread.is_alive()


def test_a_run_is_calibrated_anew_for_another_engine(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[dict[str, str]] = []
    monkeypatch.setattr(learning, "calibrate", lambda *_, engines, device: done.append(dict(engines)))
    same, other = f"recorded:{world / 'pt.jsonl'}", f"recorded:{world / 'corpus/nowhere.jsonl'}"
    # Without engines, with the one that was measured, and with one for a language without captions.
    for engines in (None, {"pt": same}, {"por": same}):
        assert calibrate_once(world / "run", world / "corpus", engines=engines)
    assert not done
    # One that cannot be used is left out, so that nothing is new.
    assert calibrate_once(world / "run", world / "corpus", engines={"pt": other})
    assert not done
    copy = world / "copy.jsonl"
    copy.write_bytes((world / "pt.jsonl").read_bytes())
    assert calibrate_once(world / "run", world / "corpus", engines={"pt": f"recorded:{copy}"})
    assert done == [{"pt": f"recorded:{copy}"}]


def test_an_engine_that_cannot_be_used_is_told_before_the_work(world: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.jsonl does not exist"):
        calibrate(world / "run", world / "corpus", engines={"pt": "recorded:nowhere.jsonl"}, device="cpu")


def test_a_damaged_channel_is_a_damaged_calibration(world: Path, tmp_path: Path) -> None:
    from dragoman.folders import write_sealed

    whole = Calibration.read(world / "run/model/calibration.json")
    whole.write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path / "calibration.json").channels == whole.channels
    stored = json.loads((tmp_path / "calibration.json").read_text())
    stored.pop("checksum")
    for name in ("lang", "recalls", "interval", "weight"):
        channel = {key: value for key, value in stored["channels"]["pt"].items() if key != name}
        write_sealed(tmp_path / "calibration.json", stored | {"channels": {"pt": channel}})
        with pytest.raises(UserError, match=r"calibration\.json is damaged"):
            Calibration.read(tmp_path / "calibration.json")


def test_names_of_channels() -> None:
    fields = {"lang": "pt", "engine": "", "engine_name": "", "source": "en", "best": 1.0, "gain": 0.0}
    more = {"interval": (0.0, 0.0), "recalls": {}, "captions": 0, "human": True}
    names = [Channel(weight=weight, **fields, **more).name for weight in (0.0, 0.3, 1.0)]  # type: ignore[arg-type]
    assert names == ["direct", "fused", "translated"]


def test_a_text_of_which_the_model_reads_nothing_has_its_translation_alone(
    world: Path, engine: SlowEngine
) -> None:
    engine.free.set()
    engine.words = engine.words | {"собака": "dog"}
    with Searcher.open(world / "index") as searcher:
        assert searcher.search("собака", lang="pt", channel="direct").hits == ()
        found = searcher.search("собака", lang="pt", k=3, translate_within=20)
        expected = searcher.search("dog", lang="en", k=3)
        # A translation of which it reads nothing either is none.
        failed = searcher.search("кошка", lang="pt", translate_within=20)
    assert codes(found) == []
    assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in expected.hits])
    assert (codes(failed), failed.hits) == (["translation_failed", "unread_nothing"], ())
