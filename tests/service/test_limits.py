from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from shelf import Spelling
from starlette.testclient import TestClient

from dragoman.errors import DamagedError, UnavailableError, UserError
from dragoman.index.folder import read_info, write_info
from dragoman.records import Entry
from dragoman.service import bodies, schemas
from dragoman.service.batching import Batcher
from dragoman.service.bodies import DECODED_AT_ONCE, holds_too_much
from dragoman.service.collection import Facets
from dragoman.service.config import ServiceSettings
from dragoman.service.problems import UNTOLD, Problem, first_sentence
from dragoman.service.schemas import SearchRequest
from dragoman.service.threads import Slots
from dragoman.stores.embedded.store import EmbeddedStore

SEARCH = {"text": "a red car"}
JSON = {"content-type": "application/json"}


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


def test_a_server_of_texts_that_does_not_answer_is_a_503(
    service: Callable[..., TestClient], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(self: Spelling, texts: Sequence[str]) -> None:
        raise UnavailableError("http://10.0.0.1/v1/embeddings failed 5 times.")

    monkeypatch.setattr(Spelling, "encode_text", unanswered)
    answer = service(shelf).post("/v1/search", json=SEARCH)
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "A server that this service asks does not answer; its log says more.",
    )
    assert "10.0.0.1" not in answer.text


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


@given(
    content=st.lists(st.sampled_from([b"\\", b'"', b",", b"a", b"["])).map(b"".join),
    most=st.integers(0, 5),
    at_once=st.integers(1, 8),
)
def test_values_are_counted_alike_however_a_body_is_cut(content: bytes, most: int, at_once: int) -> None:
    plain = re.sub(rb'\\[\\"]', b"", content)
    outside = re.sub(rb'"[^"]*("|$)', b"", plain)
    with patch.object(bodies, "SCANNED_AT_ONCE", at_once):
        found = holds_too_much(content, most)
    assert found is (plain.count(b'"') > 4 * most or outside.count(b",") > most)


def test_large_bodies_are_read_one_after_the_other(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, lock, at_once = bodies._of_content, threading.Lock(), [0]

    def counted(model: type[Any], content: bytes) -> Any:
        assert lock.acquire(blocking=False)
        try:
            time.sleep(0.02)
            at_once[0] += 1
            return read(model, content)
        finally:
            lock.release()

    monkeypatch.setattr(bodies, "_of_content", counted)
    body = b'{"text": "' + b"a" * bodies.LARGE + b'"}'
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda _: (
                    client.post(
                        "/v1/search", content=body, headers={"content-type": "application/json"}
                    ).status_code
                ),
                range(6),
            )
        )
    assert answers == [422] * 6 and at_once == [6]


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


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (schemas.EmbeddingsRequest, b'{"input":[%s0]}' % (b"0," * 9000)),
        (schemas.EmbeddingsRequest, b'{"input":[%s""]}' % (rb'"\u0001",' * 9000)),
        (schemas.BatchRequest, b'{"queries":[%s{}]}' % (b'{"k":"a"},' * 9000)),
        (schemas.ItemRequest, b'{"metadata":{%s}}' % b",".join(b'"%d":null' % n for n in range(9000))),
        (schemas.ItemRequest, b'{"metadata":{"a":[%s0]}}' % (b"null," * 90)),
        (schemas.ItemRequest, b'{"captions":{%s}}' % b",".join(b'"%d":null' % n for n in range(9000))),
    ],
)
def test_of_many_values_that_do_not_fit_the_first_is_told(model: type[schemas.Request], body: bytes) -> None:
    # What is told of each takes longer than to read them, and nobody else is answered meanwhile.
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(body)
    assert 0 < caught.value.error_count() < 10


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
@pytest.mark.parametrize("escape", [("/", "/"), ("/", "\\/"), ("+", "\\u002b"), ("+", "\\u002B")])
def test_base64_is_decoded_in_parts(size: int, escape: tuple[str, str]) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    encoded = base64.b64encode(content).decode().replace(*escape)

    def image(encoded: str) -> bytes | None:
        return bodies._of_content(SearchRequest, b'{"k": 3, "image": "%s"}' % encoded.encode()).image

    assert image(encoded) == content
    for wrong in (
        "*" + encoded,
        encoded + "A",
        "AA==" + "A" * DECODED_AT_ONCE,
        encoded + "\\\\/AA",
        encoded + "====",
    ):
        with pytest.raises(Problem, match="image is not base64"):
            image(wrong)


SIGNS = ['"', "\\", "/", "+", "=", "AAAA", '{"image":"', ', "video" : "', "雪", "\n", "u002b"]
TEXTS = st.one_of(
    st.binary(max_size=30).map(lambda content: base64.b64encode(content).decode()),
    st.lists(st.sampled_from(SIGNS), max_size=6).map("".join),
)
FIELDS = st.sampled_from([*bodies.MEDIA, "text", 'a"image', "image\\"])
QUERIES = st.dictionaries(FIELDS, TEXTS | st.integers(), max_size=3)
DOCUMENTS = QUERIES | st.dictionaries(FIELDS, TEXTS | QUERIES | st.lists(QUERIES, max_size=3), max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    document=DOCUMENTS,
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
    escapes=st.lists(st.sampled_from([("/", "\\/"), ("+", "\\u002b"), ("=", "\\u003D")]), unique=True),
    at_once=st.integers(1, 40),
)
@example(document={'a"image': "AAAAAAAA"}, ascii_only=True, indent=None, escapes=[], at_once=9)
@example(document={"image": 'AAAAAAAA"image":"AAAAAAAA'}, ascii_only=True, indent=None, escapes=[], at_once=9)
@example(document={"video": "AAA+" * 9}, ascii_only=True, indent=None, escapes=[("+", "\\u002b")], at_once=4)
@example(
    document=[{"text": "AAA", "image": "AAAA" * 20}] * 9, ascii_only=True, indent=2, escapes=[], at_once=1
)
def test_files_are_parted_from_json_as_a_parser_finds_them(
    document: Any, ascii_only: bool, indent: int | None, escapes: list[tuple[str, str]], at_once: int
) -> None:
    written = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    for sign, escaped in escapes:
        written = written.replace(sign, escaped)
    with (
        patch.object(bodies, "SCANNED_AT_ONCE", at_once),
        patch.object(bodies, "DECODED_AT_ONCE", at_once + 5),
        patch.object(schemas, "MAX_TEXT", 4),
    ):
        kept, files = bodies._without_files(written.encode())

    def compare(found: Any, right: Any, field: str) -> None:
        if isinstance(right, dict):
            assert found.keys() == right.keys()
            for name in right:
                compare(found[name], right[name], name)
        elif isinstance(right, list):
            assert len(found) == len(right)
            for one, other in zip(found, right, strict=True):
                compare(one, other, "")
        elif found in files:
            assert field in bodies.MEDIA
            sound = len(right) % 4 == 0 and re.fullmatch("[A-Za-z0-9+/]*={0,2}", right)
            assert files[found] == (base64.b64decode(right) if sound else None)
        else:
            assert found == right
            assert not (field in bodies.MEDIA and re.fullmatch(r"[A-Za-z0-9+/=]{50,}", str(right)))

    compare(json.loads(kept), document, "")


def test_a_file_is_given_to_the_query_that_holds_it(client: TestClient, shelf: Path) -> None:
    photos = [(shelf.parent / "photos" / f"{number:03d}.jpg").read_bytes() for number in (7, 3, 7)]
    queries = [
        {"image": base64.b64encode(photo + b"\0" * schemas.MAX_TEXT).decode(), "k": 1} for photo in photos
    ]
    answers = client.post("/v1/search/batch", json={"queries": [*queries, SEARCH]}).json()["answers"]
    assert [answer["hits"][0]["item_id"] for answer in answers[:3]] == ["007.jpg", "003.jpg", "007.jpg"]


def test_a_file_in_the_place_of_a_text_is_too_long_for_one(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    client = service(own_shelf, allow_writes=True)
    long = "A" * (schemas.MAX_TEXT + 4)
    answer = client.put("/v1/items/new", json={"image": "AAAA", "metadata": {"image": long}})
    assert answer.status_code == 422
    assert f"at most {schemas.MAX_TEXT}" in answer.json()["errors"][0]["message"]
    twice = client.post("/v1/search", content=f'{{"image": "{long}", "image": "{long}"}}', headers=JSON)
    assert (twice.status_code, twice.json()["detail"]) == (422, "The body has a field twice.")


@pytest.mark.parametrize("part", ["雪", r"\"", r"\u96ea", " ", '"a":0,', "1"])
def test_much_json_beside_files_is_refused_unread(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(bodies, "_validated", lambda *_: pytest.fail("it was read"))
    body = '{"text": "' + part * (bodies.MAX_BESIDE // len(part.encode())) + '"}'
    answer = client.post("/v1/search", content=body.encode(), headers=JSON)
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "Beside its files, the body holds more than 3 MB of JSON.",
    )
