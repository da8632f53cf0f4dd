from __future__ import annotations

import asyncio
import base64
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dragoman.errors import DamagedError, UserError
from dragoman.index.folder import read_info, write_info
from dragoman.records import Entry
from dragoman.service import bodies
from dragoman.service.batching import Batcher
from dragoman.service.bodies import DECODED_AT_ONCE, holds_too_much
from dragoman.service.collection import Facets
from dragoman.service.config import ServiceSettings
from dragoman.service.problems import UNTOLD, Problem, first_sentence
from dragoman.service.schemas import SearchRequest
from dragoman.service.threads import Slots
from dragoman.stores.embedded.store import EmbeddedStore

SEARCH = {"text": "a red car"}


def searcher_of(client: TestClient) -> Any:
    return client.app.state.service.collections["shelf"].searcher  # type: ignore[attr-defined]


def test_a_body_that_says_it_is_too_large_is_refused(service: Callable[..., TestClient]) -> None:
    client = service(limits={"max_body_mb": 0.001})
    answer = client.post("/v1/search", json={"text": "a" * 2000})
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "The request's body is larger than 0.001 MB.",
    )


def test_a_body_that_grows_too_large_is_refused_while_it_comes(service: Callable[..., TestClient]) -> None:
    client = service(limits={"max_body_mb": 0.001})
    sent: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(1000):
            sent.append(number)
            yield b"a" * 100

    answer = client.post("/v1/search", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_an_answer_that_does_not_come_in_time_is_a_504(
    service: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = service(limits={"request_seconds": 0.05})
    never = threading.Event()
    monkeypatch.setattr(searcher_of(client), "search_many", lambda queries: never.wait(10))
    answer = client.post("/v1/search", json=SEARCH)
    never.set()
    assert (answer.status_code, answer.json()["detail"]) == (504, "No answer within 0.05 seconds.")


def test_more_requests_than_allowed_are_sent_away_and_may_come_again(
    service: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = service(limits={"max_requests": 2})
    searcher, go, asked = searcher_of(client), threading.Event(), threading.Semaphore(0)
    real = searcher.search_many

    def held(queries: Any) -> Any:
        asked.release()
        assert go.wait(10)
        return real(queries)

    monkeypatch.setattr(searcher, "search_many", held)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.post, "/v1/search", json=SEARCH) for _ in range(2)]
        assert asked.acquire(timeout=10)
        while client.app.state.service.metrics.in_flight._value.get() < 2:  # type: ignore[attr-defined]
            threading.Event().wait(0.005)
        full = client.get("/v1/collections")
        watched = client.get("/metrics")
        go.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
    assert (full.status_code, full.headers["retry-after"]) == (503, "1")
    assert watched.status_code == 200
    assert client.get("/v1/collections").status_code == 200


def test_an_image_of_too_many_pixels_is_refused(service: Callable[..., TestClient], shelf: Path) -> None:
    client = service(limits={"max_megapixels": 0.01})
    photo = (shelf.parent / "photos" / "001.jpg").read_bytes()
    answer = client.post("/v1/search", files={"image": photo})
    assert (answer.status_code, "192x192 is 0.0 megapixels" in answer.json()["detail"]) == (422, True)


def test_an_unexpected_error_is_a_500_that_tells_nothing(
    service: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = service()

    def broken(queries: Any) -> Any:
        raise RuntimeError("cannot read /srv/secret/file")

    monkeypatch.setattr(searcher_of(client), "search_many", broken)
    answer = client.post("/v1/search", json=SEARCH, headers={"x-request-id": "look-me-up"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["instance"] == "urn:dragoman:request:look-me-up"
    assert "request look-me-up failed" in caplog.text
    assert "cannot read /srv/secret/file" in caplog.text


def test_an_index_that_cannot_be_opened_any_more_is_a_503_that_tells_nothing(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    client = service(own_shelf)
    (own_shelf / "manifest.json").write_text('{"format": "dragoman-index"}')
    for answer in (client.post("/v1/search", json=SEARCH), client.get("/readyz")):
        assert (answer.status_code, answer.json()["detail"]) == (
            503,
            "The collection shelf cannot be searched at the moment.",
        )
        assert str(own_shelf) not in answer.text


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("The index holds no item 'a/b'. Give the id.", "The index holds no item 'a/b'."),
        ("/srv/data/index holds 3-wide vectors. Rebuild it: dragoman", UNTOLD),
        ("/data is busy", UNTOLD),
        ("C:\\Our Museum\\a b.jpg is busy", UNTOLD),
        ("Cannot read /home/a/b.jpg: damaged", "Cannot read …"),
        # No rule tells where a path ends: it may have blanks, commas, full stops and quotes.
        ("Cannot read /srv/Our Museum. Old/private, closed/it's.jpg: damaged", "Cannot read …"),
        ("Cannot read '/srv/é t é/x:y/z w': damaged", "Cannot read '…"),
        ("It lies in:/srv/a", "It lies in:…"),
        ("//srv/a b is busy", UNTOLD),
        ("Ask https://example.org/a/b for </a> and a/b.", "Ask https://example.org/a/b for </a> and a/b."),
        ("k must lie in 1..10, got 11.", "k must lie in 1..10, got 11."),
    ],
)
def test_what_is_told_of_an_error_is_its_first_sentence_without_paths(message: str, told: str) -> None:
    assert first_sentence(UserError(message)) == told


def test_limits_must_be_above_zero() -> None:
    with pytest.raises(UserError, match=r"request_seconds must be above 0, got -1\."):
        ServiceSettings(request_seconds=-1)


def test_whoever_changes_an_index_does_not_wait_for_those_who_read_its_fields() -> None:
    begun, go, reads = threading.Event(), threading.Event(), []

    class Slow:
        def scan(self, after: str, limit: int) -> list[Entry]:
            reads.append(after)
            begun.set()
            assert go.wait(10)
            return [Entry(item_id="a", metadata={"year": len(reads)})]

    async def ask() -> list[int]:
        facets = Facets(limit=10, seconds=60)
        early = [asyncio.create_task(facets.of(Slow)) for _ in range(3)]  # type: ignore[arg-type]
        while not begun.is_set():
            await asyncio.sleep(0.001)
        facets.forget()  # on the event loop, which would stand still here until `go`
        late = asyncio.create_task(facets.of(Slow))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        go.set()
        found = [*await asyncio.gather(*early), await late, await facets.of(Slow)]  # type: ignore[arg-type]
        return [int(one.fields[0].minimum or 0) for one in found]

    # Three who ask together are answered by one reading, who asks after the change by another, which is kept.
    assert asyncio.run(ask()) == [1, 1, 1, 2, 2]
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("content", "too_much"),
    [
        (b"[" + b",".join([b"{}"] * 20_001) + b"]", False),
        (b"[" + b",".join([b"{}"] * 20_002) + b"]", True),
        (b"{" + b",".join([b'"a":0'] * 20_001) + b"}", False),
        (b"{" + b",".join([b'"a":0'] * 20_002) + b"}", True),
        # Commas in texts count for nothing, whatever their quotes and backslashes are.
        (b'["' + b"," * 41_000 + b'"]', False),
        (b'["' + b'\\",' * 41_000 + b'"]', False),
        (b'["\\\\",' + b"0," * 20_001 + b'"]', True),
        (b'["\\\\\\",' + b"0," * 20_001 + b'"]', False),
        (b'""' * 41_000, True),
    ],
)
def test_values_of_a_body_are_counted_before_it_is_read(content: bytes, too_much: bool) -> None:
    assert holds_too_much(content, 20_000) is too_much


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/search/batch", b'{"queries":[' + b",".join([b"{}"] * 30_000) + b"]}"),
        ("/v1/embeddings", b'{"input":[' + b",".join([b'""'] * 50_000) + b"]}"),
        ("/v1/search", b"{" + b",".join([b'"a":0'] * 200) + b"}"),
    ],
)
def test_a_body_of_many_values_is_refused_unread(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes
) -> None:
    monkeypatch.setattr(bodies, "_validated", lambda *_: pytest.fail("it was read"))
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    most = "100" if path == "/v1/search" else "20,000"
    assert (answer.status_code, answer.json()["detail"]) == (422, f"The body holds more than {most} values.")


def test_a_form_field_of_many_values_is_refused_unread(service: Callable[..., TestClient]) -> None:
    form = {"metadata": '{"a":[' + ",".join(["0"] * 50_000) + "]}"}
    answer = service(allow_writes=True).put("/v1/items/x", files={"image": b"x"}, data=form)
    assert (answer.status_code, "more than 20,000 values" in answer.json()["detail"]) == (422, True)


def test_a_slot_stays_taken_while_work_goes_on_that_nobody_waits_for() -> None:
    go, now, most = threading.Event(), 0, 0

    def work() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        assert go.wait(10)
        now -= 1

    async def impatient(slots: Slots) -> None:
        async with asyncio.timeout(0.02), slots.one() as slot:
            await slot.run(work)

    async def all_of_them() -> None:
        slots = Slots(2)
        gone = await asyncio.gather(*[impatient(slots) for _ in range(6)], return_exceptions=True)
        assert [type(one) for one in gone] == [TimeoutError] * 6
        assert now == 2
        go.set()
        async with slots.one() as one, slots.one() as other:
            await one.run(work)
            await other.run(work)

    asyncio.run(all_of_them())
    assert (most, now) == (2, 0)


def test_who_goes_away_leaves_no_picture_in_the_queue() -> None:
    class Picture:
        pass

    begun, go = threading.Event(), threading.Event()

    def work(asked: list[Any]) -> list[Any]:
        begun.set()
        assert go.wait(10)
        return asked

    batcher: Batcher[Any, Any] = Batcher(work, size=1, wait=0)
    first = batcher.submit("first")
    assert begun.wait(10)
    picture = Picture()
    left = weakref.ref(picture)
    waiting = batcher.submit(picture)
    del picture
    assert left() is not None
    waiting.cancel()
    assert left() is None
    go.set()
    assert first.result(10) == "first"
    batcher.close()


def test_a_damaged_index_is_the_fault_of_the_service(
    service: Callable[..., TestClient], own_shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = service(own_shelf)
    assert client.get("/readyz").status_code == 200

    def damaged(*_: Any, **__: Any) -> Any:
        raise DamagedError(f"The index {own_shelf} is damaged (malformed).")

    for name in ("search", "scan", "get", "count"):
        monkeypatch.setattr(EmbeddedStore, name, damaged)
    for answer in (
        client.post("/v1/search", json={"text": "a", "k": 40}),
        client.get("/v1/items"),
        client.get("/v1/items/003.jpg"),
        client.get("/v1/collections/shelf"),
        client.get("/readyz"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert str(own_shelf.parent) not in answer.text
    assert client.get("/healthz").status_code == client.get("/metrics").status_code == 200
    # What is wrong with a request is the caller's fault still.
    assert client.post("/v1/search", json={"text": "a", "filter": "a = ("}).status_code == 422


def test_damage_is_remembered_until_an_index_is_made_anew(
    service: Callable[..., TestClient], own_shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = service(own_shelf)

    def damaged(queries: Any) -> Any:
        raise DamagedError("The entry 'a' of the index is damaged.")

    with monkeypatch.context() as patch:
        patch.setattr(searcher_of(client), "search_many", damaged)
        assert client.get("/readyz").status_code == 200
        answer = client.post("/v1/search", json=SEARCH)
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "A collection of this service is damaged; its log says more.",
    )
    assert client.get("/readyz").status_code == 503
    assert client.post("/v1/search", json=SEARCH).status_code == 200
    write_info(replace(read_info(own_shelf), updated="2026-12-01T00:00:00Z"))
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("size", [0, 1, 2, 3, DECODED_AT_ONCE // 4 * 3, 2 * DECODED_AT_ONCE + 1])
def test_base64_is_decoded_in_parts(size: int) -> None:
    content = (b"0123456789" * (size // 10 + 1))[:size]
    encoded = base64.b64encode(content).decode()
    assert bodies.of_json(SearchRequest(image=encoded)).image == content
    for wrong in ("*" + encoded, encoded + "A", "AA==" + "A" * DECODED_AT_ONCE):
        with pytest.raises(Problem, match="image is not base64"):
            bodies.of_json(SearchRequest(image=wrong))
