"""Answers as HTTP wants them: methods, preconditions, ranges, lengths, parameters, and forms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import threaded
from shelf import make_shelf
from starlette.testclient import TestClient
from test_hostile import http, send

from dragoman.service import searching

MEDIA = "/v1/items/004.jpg/media"
READ = ("/", "/healthz", "/readyz", "/metrics", "/v1/collections", "/v1/items", "/v1/items/004.jpg", MEDIA)


@pytest.mark.parametrize("path", [*READ, "/v1/items/004.jpg/thumbnail", "/openapi.json"])
def test_what_can_be_read_can_be_asked_for_without_its_content(client: TestClient, path: str) -> None:
    read, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == read.headers["content-type"]
    if path != "/metrics":  # which counts this very request
        assert head.headers["content-length"] == str(len(read.content))


def test_what_cannot_be_read_is_told_without_content_as_well(client: TestClient) -> None:
    assert client.head("/v1/items/none").status_code == 404


@pytest.mark.parametrize(
    ("asked", "path", "methods"),
    [
        ("POST", "/v1/items/004.jpg", "DELETE, GET, HEAD, PUT"),
        ("GET", "/v1/search", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
    ],
)
def test_a_method_that_an_address_has_not_is_refused_with_those_it_has(
    client: TestClient, asked: str, path: str, methods: str
) -> None:
    answer = client.request(asked, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)
    assert answer.headers["content-type"] == "application/problem+json"


def test_openapi_describes_what_follows_from_get(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert sorted(paths["/v1/items/{item_id}"]) == ["delete", "get", "head", "put"]
    media = paths["/v1/items/{item_id}/media"]
    assert media["head"]["parameters"] == media["get"]["parameters"]
    assert set(media["head"]["responses"]) == set(media["get"]["responses"]) >= {"200", "206", "304"}
    assert all("content" not in one for one in media["head"]["responses"].values())


def test_an_address_with_a_slash_too_many_leads_nowhere(client: TestClient) -> None:
    """Not to an address made of whatever Host the client named."""
    for path in ("/healthz/", "/v1/collections/"):
        answer = client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers.get("location")) == (404, None)


@pytest.mark.parametrize("path", [MEDIA, "/v1/items/004.jpg/thumbnail", "/"])
def test_a_copy_that_still_holds_is_not_sent_again(client: TestClient, path: str) -> None:
    tag = client.get(path).headers["etag"]
    for said in (tag, "*", f"W/{tag}", f'"other", {tag}'):
        answer = client.get(path, headers={"if-none-match": said})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"if-none-match": '"other"'}).status_code == 200
    # A weak tag names no bytes, so that nothing matches it (RFC 9110, section 13.1.1).
    assert client.get(path, headers={"if-match": tag}).status_code == (412 if tag.startswith("W/") else 200)
    assert client.get(path, headers={"if-match": '"other"'}).status_code == 412


def test_dates_count_where_no_tag_is_given(client: TestClient) -> None:
    first = client.get(MEDIA).headers
    before = "Mon, 01 Jan 2001 00:00:00 GMT"

    def status(**headers: str) -> int:
        return client.get(
            MEDIA, headers={name.replace("_", "-"): one for name, one in headers.items()}
        ).status_code

    assert status(if_modified_since=first["last-modified"]) == 304
    assert status(if_modified_since=before) == 200
    assert status(if_modified_since="yesterday") == 200
    assert status(if_modified_since=first["last-modified"], if_none_match='"other"') == 200
    assert status(if_unmodified_since=first["last-modified"]) == 200
    assert status(if_unmodified_since=before) == 412
    assert status(if_unmodified_since=before, if_match=first["etag"]) == 200


def test_a_range_of_other_units_counts_for_nothing(client: TestClient) -> None:
    whole = client.get(MEDIA)
    answer = client.get(MEDIA, headers={"range": "seconds=0-1"})
    assert (answer.status_code, answer.content) == (200, whole.content)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/webp", "image/webp"),
        ("text/html, IMAGE/WebP;q=0.8", "image/webp"),
        ("image/webp;q=0, image/jpeg", "image/jpeg"),
        ("image/webp; q=0.000", "image/jpeg"),
        ("image/*", "image/jpeg"),
    ],
)
def test_a_thumbnail_is_of_a_type_that_is_accepted(client: TestClient, accept: str, kind: str) -> None:
    answer = client.get("/v1/items/004.jpg/thumbnail", headers={"accept": accept})
    assert answer.headers["content-type"] == kind


def test_a_length_that_is_stated_in_two_ways_is_refused_and_the_connection_closed(tmp_path: Path) -> None:
    head = (
        b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
    )
    behind = http("GET", "/healthz")
    with threaded(shelf=make_shelf(tmp_path, items=2)) as start:
        url, _ = start()
        port = int(url.rstrip("/").rpartition(":")[2])
        answer = send("127.0.0.1", port, head + b'c\r\n{"text":"a"}\r\n0\r\n\r\n' + behind)
    assert (answer.status, answer.content.count(b"HTTP/1.1 ")) == (400, 1)
    assert b"connection: close" in answer.content
    assert b"The request states its length in two ways." in answer.content


def test_an_address_may_be_written_whole_and_then_names_the_host(tmp_path: Path) -> None:
    def asked(target: str, host: str) -> int:
        head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        return send("127.0.0.1", port, head.encode()).status

    with threaded(shelf=make_shelf(tmp_path, items=12)) as start:
        url, _ = start()
        port = int(url.rstrip("/").rpartition(":")[2])
        assert asked("http://localhost/v1/items/004.jpg/media?collection=shelf", "evil.example") == 200
        assert asked(f"HTTP://127.0.0.1:{port}", "127.0.0.1") == 200
        assert asked("http://evil.example/healthz", "127.0.0.1") == 421
        assert asked("http://localhost/nothing", "127.0.0.1") == 404


def test_an_address_whose_bytes_are_no_text_is_refused(
    service: Callable[..., TestClient], shelf: Path
) -> None:
    client, photo = service(allow_writes=True), shelf.parent / "photos" / "000.jpg"
    for one in ("%FF", "a%C3/media"):
        answer = client.get(f"/v1/items/{one}")
        said = "There is no such address: its bytes are not UTF-8."
        assert (answer.status_code, answer.json()["detail"]) == (404, said)
    # Under this id all of these were one item.
    assert client.put("/v1/items/%FF", files={"image": photo.read_bytes()}).status_code == 404
    assert client.get("/v1/items/%EF%BF%BD").json()["detail"] == "There is no such item."
    answer = client.get("/v1/items?filter=a%3D%FE")
    said = "The parameters of the address are not UTF-8."
    assert (answer.status_code, answer.json()["detail"]) == (422, said)


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("br", 415), ("x, y", 415), ("Identity", 200)])
def test_a_body_that_is_packed_is_refused(client: TestClient, coding: str, status: int) -> None:
    answer = client.post("/v1/search", json={"text": "a car"}, headers={"content-encoding": coding})
    assert answer.status_code == status
    assert status == 200 or answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=5&limit=6", "limit"),
        ("filter=year<1995&filter=year>1990", "filter"),
        ("cursor=&cursor=", "cursor"),
    ],
)
def test_a_parameter_that_comes_twice_is_refused(client: TestClient, query: str, name: str) -> None:
    answer = client.get(f"/v1/items?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (422, f"The parameter {name} is given twice.")


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/v1/items?fliter=a=1", "'fliter'. Those known here are collection, cursor, filter, limit."),
        ("GET", "/v1/items/004.jpg?key=secret", "'key'. Those known here are collection."),
        ("POST", "/v1/search?collection=shelf", "'collection'. There are none here."),
    ],
)
def test_a_parameter_that_counts_for_nothing_is_refused(
    client: TestClient, method: str, path: str, told: str
) -> None:
    answer = client.request(method, path, json={"text": "a car"} if method == "POST" else None)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"There is no parameter {told}")
    assert client.get("/?q=a+car&f.year=1").status_code == 200


def test_a_field_that_comes_twice_is_refused_at_any_depth(service: Callable[..., TestClient]) -> None:
    client = service(allow_writes=True)
    for method, path, body, field in (
        ("POST", "/v1/search", '{"text": "a car", "k": 1, "text": "a dog"}', "text"),
        ("POST", "/v1/search/batch", '{"queries": [{"text": "a car"}, {"k": 1, "text": "a", "k": 2}]}', "k"),
        ("PUT", "/v1/items/new", '{"metadata": {"year": 1990, "year": 2000}}', "year"),
    ):
        answer = client.request(method, path, content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["detail"]) == (422, "The body has a field twice.")
        assert answer.json()["errors"] == [{"field": field, "message": "given twice"}]
    in_form = client.put("/v1/items/new", files={"metadata": (None, '{"year": 1, "year": 2}')})
    assert (in_form.status_code, in_form.json()["detail"]) == (422, "The body has a field twice.")


def form(client: TestClient, content: bytes, charset: str = "") -> Any:
    kind = f"multipart/form-data; boundary=XX{charset}"
    return client.post("/v1/search", content=content, headers={"content-type": kind})


def field(name: bytes, value: bytes) -> bytes:
    return b'--XX\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"


def test_a_form_is_utf_8_whatever_charset_it_names(client: TestClient) -> None:
    text = field(b"text", "um cão".encode()) + b"--XX--\r\n"
    expected = form(client, text).json()["hits"]
    assert expected == client.post("/v1/search", json={"text": "um cão"}).json()["hits"]
    for charset in ("utf-8", "latin-1", "utf-16", "punycode", "undefined", "idna", "rot13", "none"):
        answer = form(client, text, f"; charset={charset}")
        assert answer.json()["hits"] == expected, charset
    latin = form(client, field(b"text", "um cão".encode("latin-1")) + b"--XX--\r\n")
    assert (latin.status_code, latin.json()["detail"]) == (400, "The field text of the form is not UTF-8.")


def test_a_form_that_was_cut_off_is_no_shorter_form(client: TestClient) -> None:
    whole = field(b"text", b"a car") + field(b"filter", b"year<1992") + b"--XX--\r\n"
    assert form(client, whole).status_code == 200
    for end in (len(whole) - 4, whole.index(b"year") + 2, whole.index(b"--XX", 10)):
        answer = form(client, whole[:end])
        assert answer.status_code == 400
        assert answer.json()["detail"] == "The form ends before its last boundary."


def test_filters_of_a_batch_are_read_off_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, read = [], searching.filter_of

    def noting(text: str | None) -> Any:
        threads.append(threading.current_thread().name)
        return read(text)

    monkeypatch.setattr(searching, "filter_of", noting)
    queries = [{"text": "a car", "k": 1, "filter": f"year={year}"} for year in (1990, 1991)]
    answers = client.post("/v1/search/batch", json={"queries": queries}).json()["answers"]
    assert [answer["hits"][0]["metadata"]["year"] for answer in answers] == [1990, 1991]
    assert len(threads) == 2
    assert all(name.startswith("dragoman-work") for name in threads)


def put(client: TestClient, item_id: str, image: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): one for name, one in headers.items()}
    return client.put(f"/v1/items/{item_id}", files={"image": ("a.png", image)}, headers=named)


def test_an_item_is_changed_only_in_the_state_that_the_client_names(
    service: Callable[..., TestClient], own_shelf: Path, red: bytes
) -> None:
    client = service(own_shelf, allow_writes=True)
    assert put(client, "new", red, if_match="*").status_code == 412
    assert put(client, "new", red, if_none_match="*").status_code == 201
    stored = sorted((own_shelf / "uploads").iterdir())
    again = put(client, "new", red, if_none_match="*")
    assert (again.status_code, again.json()["detail"]) == (412, "Not changed: there is such an item already.")
    assert put(client, "new", red, if_match='"tag"').status_code == 412
    assert sorted((own_shelf / "uploads").iterdir()) == stored
    assert client.delete("/v1/items/new", headers={"if-match": '"tag"'}).status_code == 412
    assert put(client, "new", red, if_match="*").status_code == 200
    assert client.delete("/v1/items/new", headers={"if-match": "*"}).status_code == 204


def test_a_part_of_an_item_is_not_taken_for_the_whole(
    service: Callable[..., TestClient], own_shelf: Path, red: bytes
) -> None:
    client = service(own_shelf, allow_writes=True)
    answer = put(client, "new", red, content_range="bytes 0-9/100")
    assert (answer.status_code, answer.json()["detail"][:40]) == (
        400,
        "A part of an item cannot be replaced. Se",
    )


@pytest.mark.parametrize("item_id", [".", ".."])
def test_an_id_that_clients_take_for_a_step_is_none(
    service: Callable[..., TestClient], own_shelf: Path, item_id: str, red: bytes
) -> None:
    url = "http://127.0.0.1:8000/v1/items/"
    client = service(own_shelf, allow_writes=True)
    request = client.build_request("PUT", url + "x", files={"image": ("a.png", red)})
    request.url = request.url.copy_with(raw_path=b"/v1/items/" + item_id.replace(".", "%2E").encode())
    answer = client.send(request)
    assert (answer.status_code, answer.json()["detail"][:27]) == (404, "This is no id of an item: c")
