"""Queries that are asked through a translation: direct hits at once, better ones when the engine is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shelf import WIDTH, Spelling, letters
from slow_engine import NAME, SPEC, SlowEngine
from starlette.testclient import TestClient

from dragoman.errors import UserError
from dragoman.index.folder import calibration_name, read_info, write_info
from dragoman.search import translating
from dragoman.search.calibration import Calibration, Channel, Judgement

PORTUGUESE, ENGLISH = "duas casas verdes", "two green houses"
WORDS = dict(zip(PORTUGUESE.split(), ("two", "houses", "green"), strict=True))


def calibrate(index: Path) -> Path:
    """Give an index a calibration that asks Portuguese texts half through an engine."""
    judgement = Judgement(weights=(0.0, 0.5, 0.0), thresholds=(0.6,) * 4, queries=200)
    channel = Channel(
        lang="pt",
        engine=SPEC,
        engine_name=NAME,
        source="en",
        weight=0.5,
        best=0.5,
        gain=3.0,
        interval=(1.0, 5.0),
        recalls={0.0: 20.0, 0.5: 23.0, 1.0: 21.0},
        captions=200,
        human=True,
        judgement=replace(judgement, weights=(9.0, 0.0, 0.0)),
    )
    Calibration(
        fingerprint=Spelling.fingerprint,
        languages={"pt": judgement, "en": replace(judgement, queries=199)},
        background=letters([f"word{number}" for number in range(8)]),
        collection=36,
        growth=0.0,
        false_accepts=0.1,
        channels={"pt": channel},
    ).write(index / "calibration.json")
    name = calibration_name(index / "calibration.json")
    (index / "calibration.json").rename(index / name)
    told = {"pt": {"engine_name": NAME, "weight": 0.5}}
    info = read_info(index)
    write_info(replace(info, calibration={"file": name, "languages": ["en", "pt"], "channels": told}))
    assert info.width == WIDTH
    return index


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowEngine]:
    slow = SlowEngine(WORDS)
    monkeypatch.setattr(translating, "open_engine", slow.open)
    yield slow
    slow.free.set()


def ask(client: TestClient, text: str, lang: str, **more: Any) -> Any:
    answer = client.post("/v1/search", json={"text": text, "lang": lang, "k": 5, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def hits(answer: Any) -> list[tuple[str, float]]:
    return [(hit["item_id"], hit["score"]) for hit in answer["hits"]]


def test_direct_hits_come_at_once_and_better_ones_are_asked_for_again(
    service: Callable[..., TestClient], own_shelf: Path, engine: SlowEngine
) -> None:
    client = service(calibrate(own_shelf), limits={"translate_seconds": 0.05})
    direct = ask(client, PORTUGUESE, "pt", channel="direct")
    plain = {"name": "direct", "best": "fused", "weight": 0.0, "engine": NAME, "translation": None}
    assert (direct["channel"], direct["warnings"], engine.opened) == (plain, [], 0)
    # The engine does not answer in time: the same hits, and a code that says so.
    late = ask(client, PORTUGUESE, "pt")
    assert (late["channel"], hits(late)) == (plain, hits(direct))
    assert late["warning_codes"] == [{"code": "translation_late", "arguments": {"language": "pt"}}]
    assert late["seconds"]["translate"] >= 0.05
    engine.free.set()
    collection = client.app.state.service.collections["shelf"]  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        from dragoman.search.query import Query

        begun = pool.submit(collection.searcher.begin_translations, Query(text=PORTUGUESE, lang="pt"))
        translating.wait_for(begun.result(), 20)
    best = ask(client, PORTUGUESE, "pt")
    translation = "two houses green"
    assert best["channel"] == plain | {"name": "fused", "weight": 0.5, "translation": translation}
    assert best["warnings"] == [] and engine.asked == [PORTUGUESE]
    mixed = letters([PORTUGUESE])[0] + letters([translation])[0]
    mixed /= float(mixed @ mixed) ** 0.5
    with_vectors = Spelling(own_shelf.parent).vectors
    scores = {item: float(vector @ mixed) for item, vector in with_vectors.items()}
    expected = sorted(scores, key=lambda one: (-scores[one], one))[:5]
    assert [item for item, _ in hits(best)] == expected
    assert [score for _, score in hits(best)] == pytest.approx([scores[one] for one in expected], abs=1e-5)
    # Each channel is judged by what was learnt of it.
    assert best["hits"][0]["relevance"] == pytest.approx(0.999877, abs=1e-6) and best["match"] is True
    assert direct["hits"][0]["relevance"] < 0.99


def test_nobody_else_waits_for_a_translation(
    service: Callable[..., TestClient], own_shelf: Path, engine: SlowEngine
) -> None:
    client = service(calibrate(own_shelf), limits={"translate_seconds": 25.0})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, client, PORTUGUESE, "pt")
        assert engine.begun.wait(20)
        other = ask(client, ENGLISH, "en")
        assert not waiting.done()
        engine.free.set()
        answer = waiting.result(20)
    assert other["channel"]["best"] == "direct" and other["unjudged"] == "few_captions"
    assert answer["channel"]["name"] == "fused" and answer["warnings"] == []


def test_a_batch_is_translated_together(
    service: Callable[..., TestClient], own_shelf: Path, engine: SlowEngine
) -> None:
    engine.free.set()
    client = service(calibrate(own_shelf), limits={"translate_seconds": 25.0})
    queries = [{"text": PORTUGUESE, "lang": "pt"}, {"text": ENGLISH, "lang": "en"}, {"item_id": "001.jpg"}]
    answers = client.post("/v1/search/batch", json={"queries": queries}).json()["answers"]
    assert [(one["channel"] or {}).get("name") for one in answers] == ["fused", "direct", None]
    assert [one["unjudged"] for one in answers] == [None, "few_captions", "not_text"]


def test_a_missing_engine_breaks_nothing_and_shows_no_path(
    service: Callable[..., TestClient], own_shelf: Path, engine: SlowEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.missing = UserError("/srv/secret/words gives no tokenizer. Install it.")
    client = service(calibrate(own_shelf), limits={"translate_seconds": 25.0})
    found = ask(client, PORTUGUESE, "pt")
    arguments = {"language": "pt", "engine": NAME}
    assert found["warning_codes"] == [{"code": "engine_unavailable", "arguments": arguments}]
    assert NAME in found["warnings"][0] and "secret" not in str(found)
    assert hits(found) == hits(ask(client, PORTUGUESE, "pt", channel="direct"))
    # Once for whoever runs the service, with what mends it.
    ask(client, "casas", "pt")
    assert [one for one in caplog.messages if "cannot translate queries in pt" in one] == [
        f"{NAME} cannot translate queries in pt: /srv/secret/words gives no tokenizer. Install it."
    ]


def test_a_collection_says_how_its_languages_are_asked(
    service: Callable[..., TestClient], own_shelf: Path, client: TestClient
) -> None:
    told = service(calibrate(own_shelf)).get("/v1/collections/shelf").json()
    assert told["channels"] == {"pt": {"name": "fused", "engine": NAME}}
    assert client.get("/v1/collections/shelf").json()["channels"] == {}


def test_an_unknown_channel_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"text": "a", "channel": "fused"})
    assert [one["field"] for one in answer.json()["errors"]] == ["channel"]
