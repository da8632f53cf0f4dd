from __future__ import annotations

import base64
import csv
import io
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shelf import Spelling, letters, open_shelf
from starlette.testclient import TestClient

from dragoman.search import answering
from dragoman.search.query import Query
from dragoman.service import schemas, searching
from dragoman.service.tables import table
from dragoman.stores import parse

PORTUGUESE = "duas casas verdes em um gramado"


def ids(answer: Any) -> list[str]:
    return [hit["item_id"] for hit in answer["hits"]]


def test_a_search_answers_what_the_searcher_answers(client: TestClient, shelf: Path) -> None:
    asked = {"text": PORTUGUESE, "k": 4, "lang": "pt", "filter": "year>=1995 and not ground=room"}
    got = client.post("/v1/search", json=asked).json()
    with open_shelf(shelf) as searcher:
        expected = searcher.search(
            Query(text=PORTUGUESE, k=4, lang="pt", filter=parse("year>=1995 and not ground=room"))
        )
    assert ids(got) == [hit.entry.item_id for hit in expected.hits]
    assert [hit["score"] for hit in got["hits"]] == pytest.approx([hit.score for hit in expected.hits])
    assert got["hits"][0]["captions"] == dict(expected.hits[0].entry.captions)
    assert got["hits"][0]["metadata"] == dict(expected.hits[0].entry.metadata)
    assert got["language"] == {"code": "pt", "confidence": 1.0, "given": True, "trained": True}
    assert (got["collection"], got["match"], got["warnings"]) == ("shelf", None, [])


def test_a_language_outside_training_brings_its_warning(client: TestClient) -> None:
    got = client.post("/v1/search", json={"text": "سيارة حمراء على الشاطئ"}).json()
    assert (got["language"]["code"], got["language"]["trained"]) == ("ar", False)
    assert len(got["warnings"]) == 1


@pytest.mark.parametrize("way", ["base64", "form"])
def test_a_photo_finds_itself(client: TestClient, shelf: Path, way: str) -> None:
    photo = (shelf.parent / "photos" / "007.jpg").read_bytes()
    if way == "form":
        answer = client.post("/v1/search", files={"image": ("p.jpg", photo)}, data={"k": "3"})
    else:
        answer = client.post("/v1/search", json={"image": base64.b64encode(photo).decode(), "k": 3})
    assert answer.status_code == 200
    assert ids(answer.json())[0] == "007.jpg"
    assert len(ids(answer.json())) == 3
    assert answer.json()["language"] is None


def test_more_like_this_leaves_out_this(client: TestClient) -> None:
    got = client.post("/v1/search", json={"item_id": "003.jpg", "k": 36}).json()
    assert sorted(ids(got)) == [f"{number:03d}.jpg" for number in range(36) if number != 3]


@pytest.mark.parametrize("few", [0, 50])
def test_a_batch_answers_in_order_what_each_query_answers_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(searching, "FEW", few)
    queries = [{"text": PORTUGUESE, "k": 3}, {"item_id": "001.jpg"}, {"text": "a red car", "k": 1}]
    together = client.post("/v1/search/batch", json={"queries": queries}).json()["answers"]
    alone = [client.post("/v1/search", json=query).json() for query in queries]
    for answer in (*together, *alone):
        answer.pop("seconds")
    assert together == alone
    assert [len(answer["hits"]) for answer in alone] == [3, 10, 1]


def test_queries_of_many_clients_are_worked_on_together_and_answered_apart(
    service: Callable[..., TestClient], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = service(limits={"batch_wait_ms": 100.0})
    searcher = client.app.state.service.collections["shelf"].searcher  # type: ignore[attr-defined]
    sizes: list[int] = []
    real = searcher.search_many

    def counted(queries: list[Query]) -> Any:
        sizes.append(len(queries))
        return real(queries)

    monkeypatch.setattr(searcher, "search_many", counted)
    texts = [f"{colour} {thing}" for colour in ("red", "green") for thing in ("car", "tree", "hat", "book")]
    ready = threading.Barrier(len(texts))

    def ask(text: str) -> Any:
        ready.wait()
        return client.post("/v1/search", json={"text": text, "k": 5, "lang": "en"}).json()

    with ThreadPoolExecutor(len(texts)) as pool:
        answers = list(pool.map(ask, texts))
    assert sum(sizes) == len(texts)
    assert max(sizes) > 1
    with open_shelf(shelf) as alone:
        for text, answer in zip(texts, answers, strict=True):
            expected = alone.search(Query(text=text, k=5, lang="en")).hits
            assert ids(answer) == [hit.entry.item_id for hit in expected]


def test_one_bad_query_spoils_no_other_of_its_batch(service: Callable[..., TestClient]) -> None:
    client = service(limits={"batch_wait_ms": 100.0})
    ready = threading.Barrier(2)

    def ask(body: dict[str, str]) -> Any:
        ready.wait()
        return client.post("/v1/search", json=body)

    with ThreadPoolExecutor(2) as pool:
        good, bad = pool.map(ask, [{"text": "a red car"}, {"item_id": "nowhere.jpg"}])
    assert good.status_code == 200
    assert (bad.status_code, bad.json()["detail"]) == (404, "The index holds no item 'nowhere.jpg'.")


@pytest.mark.parametrize("lang", ["pt-BR", "pt_br", "por-BR", "pt_BR.UTF-8"])
def test_a_language_is_taken_in_every_spelling(client: TestClient, lang: str) -> None:
    told = client.post("/v1/search", json={"text": PORTUGUESE, "lang": lang}).json()["language"]
    assert told == {"code": "pt-BR", "confidence": 1.0, "given": True, "trained": True}


def shown(url: str) -> dict[str, Any]:
    """An image as a part of a message of OpenAI's API."""
    return {"type": "image_url", "image_url": {"url": url}}


def address(file: Path) -> str:
    """The address that holds a file, which is long enough to be kept apart from the JSON around it."""
    content = file.read_bytes() + b"\0" * schemas.MAX_TEXT
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def test_images_and_texts_are_embedded_in_their_order(client: TestClient, shelf: Path) -> None:
    photos = [shelf.parent / "photos" / name for name in ("004.jpg", "001.jpg")]
    # As some encoders of JSON escape them: what holds long files must be known by both.
    body = json.dumps(
        {
            "input": [
                shown(address(photos[0])),
                {"type": "text", "text": "um carro"},
                shown(address(photos[1])),
            ]
        }
    )
    with open_shelf(shelf) as alone:
        (first, last), (said,) = alone.encode_image(photos), alone.encode_text(["um carro"])
    for content in (body, body.replace("/", r"\/")):
        answer = client.post("/v1/embeddings", content=content, headers={"content-type": "application/json"})
        found = [one["embedding"] for one in answer.json()["data"]]
        np.testing.assert_allclose(found, [first, said, last], atol=1e-6)
        assert answer.json()["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_vectors_are_shortened_where_the_model_was_trained_to_be(
    service: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spelling, "config", {**Spelling.config, "widths": [64, 8, 300]})
    monkeypatch.setattr(Spelling, "tokens", lambda self, texts: [len(text) for text in texts])
    client = service()
    texts = ["a red car", "um carro vermelho"]
    told = client.get("/openapi.json").json()["components"]["schemas"]["EmbeddingsRequest"]
    assert told["properties"]["dimensions"]["anyOf"][0]["enum"] == [8, 64, 256]
    answer = client.post("/v1/embeddings", json={"input": texts, "dimensions": 64}).json()
    cut = [vector[:64] / np.sqrt(sum(float(one) ** 2 for one in vector[:64])) for vector in letters(texts)]
    np.testing.assert_allclose([one["embedding"] for one in answer["data"]], cut, atol=1e-6)
    # Tokens as the model counts them, which here are characters.
    assert answer["usage"] == {"prompt_tokens": 26, "total_tokens": 26}
    refused = client.post("/v1/embeddings", json={"input": texts, "dimensions": 65}).json()
    assert refused["detail"] == (
        "This model's vectors have 256 dimensions, and were trained to be shortened to 8, 64 alone."
    )


def test_embeddings_have_the_shape_that_openai_clients_read(client: TestClient) -> None:
    texts = ["a red car", "um carro vermelho"]
    numbers = client.post("/v1/embeddings", json={"input": texts, "model": "shelf"}).json()
    packed = client.post(
        "/v1/embeddings", json={"input": texts, "model": "run", "encoding_format": "base64"}
    ).json()
    assert numbers["object"] == "list"
    assert [(one["object"], one["index"]) for one in numbers["data"]] == [("embedding", 0), ("embedding", 1)]
    np.testing.assert_allclose([one["embedding"] for one in numbers["data"]], letters(texts), atol=1e-6)
    unpacked = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in packed["data"]]
    np.testing.assert_array_equal(unpacked, letters(texts))
    assert (numbers["model"], numbers["usage"]) == ("run", {"prompt_tokens": 6, "total_tokens": 6})


@pytest.mark.parametrize(
    ("change", "status", "detail"),
    [
        ({"dimensions": 128}, 422, "256 dimensions, and were not trained to be shortened."),
        ({"dimensions": 256.0}, 200, None),
        ({"dimensions": 256.5}, 422, "does not fit"),
        ({"model": "text-embedding-3-small"}, 404, "Name a collection, whose model is used: shelf."),
        ({"input": [1, 2, 3]}, 422, "does not fit"),
        ({"input": ["", "a"]}, 422, "empty"),
        ({"input": ["a"] * 65}, 422, "Expected 1 to 64 inputs in one request, got 65."),
        ({"input": [{"type": "text", "text": " "}]}, 422, "empty"),
        ({"input": [shown("http://127.0.0.1/secret.png")]}, 422, "this service fetches nothing"),
        ({"input": [shown("file:///etc/passwd")]}, 422, "this service fetches nothing"),
        ({"input": [shown("data:text/plain;base64,YQ==")]}, 422, "this service fetches nothing"),
        ({"input": [shown("data:image/png;base64,?")]}, 422, "The image of an address is not base64."),
        ({"input": [shown("data:image/png;base64,bm90IGFuIGltYWdl")]}, 422, "not an image of a known format"),
        ({"input": [{"type": "image_url"}]}, 422, "does not fit"),
    ],
)
def test_embeddings_that_cannot_be(
    client: TestClient, change: dict[str, Any], status: int, detail: str | None
) -> None:
    answer = client.post("/v1/embeddings", json={"input": "a red car"} | change)
    assert answer.status_code == status
    assert detail is None or detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "Give a text, an image, a video or an item_id."),
        ({"text": "  "}, "Give a text, an image, a video or an item_id."),
        ({"text": "a" * 1001}, "A text has 1,001 characters; at most 1,000 are read."),
        ({"text": "a", "k": 201}, "k is 201, but at most 200 hits are given."),
        ({"text": "a", "filter": "year>=" + "1" * 2000}, "The filter is longer than 2,000 characters."),
        ({"text": "a", "filter": "year>>1"}, "The filter stops making sense at character 6"),
        ({"text": "a", "filter": 'not (path>"/a")'}, "path is not a field that this service filters by."),
        ({"image": "?"}, "image is not base64."),
        ({"image": "bm90IGFuIGltYWdl"}, "not an image of a known format"),
    ],
)
def test_a_query_that_does_not_fit_is_told_why(client: TestClient, body: dict[str, Any], detail: str) -> None:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": 3}, "text"),
        ({"text": "a", "k": "10"}, "k"),
        ({"text": "a", "k": 0}, "k"),
        ({"text": "a\x00b"}, "text"),
        ({"text": "a", "lang": "not a language"}, "lang"),
        ({"text": "a", "min_score": 2}, "min_score"),
        ({"text": "a", "url": "http://127.0.0.1/secret"}, "url"),
    ],
)
def test_a_field_that_does_not_fit_is_named(client: TestClient, body: dict[str, Any], field: str) -> None:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b'{"text": "a", "min_score": NaN}', "application/json", 422),
        (b'{"text": "a"', "application/json", 400),
        (b'{"text": "\\ud800"}', "application/json", 400),
        (b'{"text": "\xff"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"", "application/json", 400),
        (b'{"text": "a"}', "text/plain", 415),
        (b"text=a", "application/x-www-form-urlencoded", 415),
        (b"--x", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n\r\n\x00--x--", "multipart/form-data; boundary=x", 400),
        (b"x", "multipart/form-data", 400),
    ],
)
def test_a_body_that_cannot_be_read(client: TestClient, content: bytes, media_type: str, status: int) -> None:
    answer = client.post("/v1/search", content=content, headers={"content-type": media_type})
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_an_unknown_collection_is_told_the_known_ones(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"text": "a", "collection": "maps"})
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "There is no such collection. Known: shelf.",
    )


def test_warnings_and_errors_have_codes_by_which_a_page_says_them(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"text": "koira juoksee rannalla", "filter": "year=x"}).json()
    assert [one["code"] for one in answer["warning_codes"]] == ["language_untrained", "field_numbers"]
    assert answer["warning_codes"][0]["arguments"] == {
        "language": "fi",
        "languages": ["en", "es", "pt", "zh"],
    }
    assert len(answer["warnings"]) == 2 and "Finnish" in answer["warnings"][0]
    for body, code, arguments in [
        ({"item_id": "nowhere"}, "item_unknown", {"item": "'nowhere'"}),
        ({"text": "-red"}, "query_subtracts", {}),
        ({"text": "a", "collection": "x"}, "collection_unknown", {"known": "shelf"}),
        ({"text": "a", "filter": "year>>1"}, "filter_unread", {}),
        ({"image": "bm90IGFuIGltYWdl"}, "image_unusable", {}),
        ({"text": "a", "k": 201}, "refused", {}),
    ]:
        problem = client.post("/v1/search", json=body).json()
        assert (problem["code"], problem["arguments"]) == (code, arguments), problem


def test_hits_that_were_shown_are_passed_over(client: TestClient) -> None:
    def found(**more: int) -> list[str]:
        return ids(client.post("/v1/search", json={"text": PORTUGUESE, **more}).json())

    every = found(k=36)
    assert len(every) == len(set(every)) == 36
    assert found(k=10) + found(k=10, offset=10) + found(k=10, offset=20) + found(k=10, offset=30) == every
    assert found(k=5, offset=36) == []
    like = [
        ids(client.post("/v1/search", json={"item_id": "003.jpg", "k": 20, "offset": at}).json())
        for at in (0, 20)
    ]
    assert sorted([*like[0], *like[1]]) == sorted(set(every) - {"003.jpg"})
    assert found(k=5, offset=10_000) == []
    assert client.post("/v1/search", json={"text": "a", "offset": 10_001}).status_code == 422


def test_no_more_than_the_best_are_found_however_many_are_passed_over(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MAX_HITS", 30)
    every = ids(client.post("/v1/search", json={"text": PORTUGUESE, "k": 30}).json())
    assert (
        ids(client.post("/v1/search", json={"text": PORTUGUESE, "k": 20, "offset": 25}).json()) == every[25:]
    )


def test_whether_anything_answers_is_told_by_the_best_of_all(client: TestClient, shelf: Path) -> None:
    with open_shelf(shelf) as searcher:
        one, other = (searcher.search(Query(text=PORTUGUESE, k=3, offset=at)) for at in (0, 3))
    assert one.match == other.match
    assert one.hits[-1].score >= other.hits[0].score


@pytest.mark.parametrize("way", ["search", "items"])
def test_answers_are_tables_to_who_accepts_csv(client: TestClient, way: str) -> None:
    headers = {"accept": "text/csv"}
    if way == "search":
        asked = {"text": PORTUGUESE, "k": 300}
        answer = client.post("/v1/search", json=asked, headers=headers)
        plain = client.post("/v1/search", json={**asked, "k": 36}).json()["hits"]
    else:
        answer = client.get("/v1/items", params={"limit": 300}, headers=headers)
        plain = client.get("/v1/items", params={"limit": 300}).json()["items"]
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="results.csv"' in answer.headers["content-disposition"]
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["item_id"] for row in rows] == [item["item_id"] for item in plain]
    assert [row["rank"] for row in rows] == [str(at + 1) for at in range(36)]
    for row, item in zip(rows, plain, strict=True):
        assert row["caption pt"] == item["captions"]["pt"]
        assert row["metadata year"] == str(item["metadata"]["year"])
        assert row["media"] == item["media"]
        assert row.get("score") == (str(item["score"]) if way == "search" else None)


def test_a_table_runs_nothing_in_a_spreadsheet_and_tells_a_machine_from_people() -> None:
    item: dict[str, Any] = {
        "item_id": "=1+1",
        "kind": "image",
        "lang": None,
        "captions": {"en": "@SUM(A1)", "pt": "-um"},
        "more_captions": {"en": ['a second, "quoted"']},
        "caption_roles": {"en": "human", "pt": "mt"},
        "metadata": {"year": -44, "tags": ["a", "b"]},
        "media": "/v1/items/x/media",
    }
    text = bytes(table([item]).body).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row == {
        "rank": "1",
        "item_id": "'=1+1",
        "kind": "image",
        "caption en": '\'@SUM(A1)\na second, "quoted"',
        "caption pt (machine)": "'-um",
        "metadata tags": "a; b",
        "metadata year": "-44",
        "media": "/v1/items/x/media",
    }


def test_texts_are_compressed_and_pictures_are_not(client: TestClient) -> None:
    asked = {"json": {"text": PORTUGUESE, "k": 36}}
    plain = client.post("/v1/search", **asked, headers={"accept-encoding": "identity"})
    packed = client.post("/v1/search", **asked, headers={"accept-encoding": "br, gzip;q=0.5"})
    refused = client.post("/v1/search", **asked, headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers and "content-encoding" not in refused.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert packed.json()["hits"] == plain.json()["hits"]
    assert (
        "accept-encoding" in plain.headers["vary"].lower()
        and "accept-encoding" in packed.headers["vary"].lower()
    )
    gzip = {"accept-encoding": "gzip"}
    for path in ("/v1/items/004.jpg/media", "/v1/items/004.jpg/thumbnail", "/healthz"):
        assert "content-encoding" not in client.get(path, headers=gzip).headers
    assert client.get("/page/page.css", headers=gzip).headers["content-encoding"] == "gzip"
    part = client.get("/v1/items/004.jpg/media", headers={**gzip, "range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
