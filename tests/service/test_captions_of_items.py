"""Captions of items over HTTP: corrected by who may write, shown at once, and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from shelf import open_shelf
from starlette.testclient import TestClient

from dragoman.folders import sole_writer
from dragoman.service.access import KeyFile, new_key

WRONG = "um carro vermelha"
PT = "/v1/items/001.jpg/captions/pt"


@pytest.fixture
def client(service: Callable[..., TestClient], own_shelf: Path) -> Iterator[TestClient]:
    """Of an index in which a machine wrote the Portuguese of one item, which everybody may change."""
    with open_shelf(own_shelf) as searcher:
        (entry,) = searcher.store.get(["001.jpg"])
        assert entry is not None
        machine = replace(entry, captions={**entry.captions, "pt": WRONG}, machine=frozenset({"pt"}))
        more = replace(machine, item_id="a/captions/pt")
        searcher.store.update([machine])
        searcher.store.add([more], searcher.store.vectors(["001.jpg"]))
    yield service(own_shelf, allow_writes=True)


def kept(index: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (index / "corrections.jsonl").read_text().splitlines()]


def test_a_translation_is_corrected_and_the_correction_taken_back(
    client: TestClient, own_shelf: Path
) -> None:
    shown = {"lang": "pt", "text": WRONG, "role": "mt", "corrected": False, "translation": None}
    assert client.get(PT).json() == shown
    answer = client.put(PT, json={"text": " um carro\tvermelho "})
    assert (answer.status_code, answer.headers["location"]) == (200, PT)
    assert answer.json() == client.get("/v1/items/001.jpg").json()
    assert answer.json()["captions"]["pt"] == "um carro vermelho"
    assert answer.json()["caption_roles"]["pt"] == "human"
    changed = {"text": "um carro vermelho", "role": "human", "corrected": True, "translation": WRONG}
    assert client.get(PT).json() == shown | changed
    expected = {"item_id": "001.jpg", "lang": "pt", "text": "um carro vermelho", "translation": WRONG}
    assert kept(own_shelf) == [expected]
    (hit,) = client.post("/v1/search", json={"text": "a", "filter": "item_id=001.jpg"}).json()["hits"]
    assert (hit["captions"]["pt"], hit["caption_roles"]["pt"]) == ("um carro vermelho", "human")

    assert client.delete(PT).status_code == 204
    assert client.get(PT).json() == shown
    assert kept(own_shelf) == []
    assert client.delete(PT).status_code == 404


def test_a_language_without_a_caption_gets_its_first(client: TestClient) -> None:
    before = client.get("/v1/items/001.jpg").json()
    assert client.get("/v1/items/001.jpg/captions/fr").status_code == 404
    answer = client.put("/v1/items/001.jpg/captions/FR_be", json={"text": "une voiture"})
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/items/001.jpg/captions/fr-BE")
    languages = client.get("/v1/collections/shelf").json()["caption_languages"]
    assert "fr-BE" in languages
    assert client.delete("/v1/items/001.jpg/captions/fr-BE").status_code == 204
    assert client.get("/v1/items/001.jpg").json() == before


def test_an_id_that_looks_like_the_address_of_a_caption_is_an_id(client: TestClient) -> None:
    whole = client.get("/v1/items/a%2Fcaptions%2Fpt").json()
    assert whole["item_id"] == "a/captions/pt"
    assert client.get("/v1/items/a/captions/pt").status_code == 404
    assert client.put("/v1/items/a%2Fcaptions%2Fpt", json={"text": "x"}).status_code == 422
    own = "/v1/items/a%2Fcaptions%2Fpt/captions/pt"
    assert client.put(own, json={"text": "x"}).json()["captions"]["pt"] == "x"
    assert client.get(own).json()["corrected"] is True
    assert client.delete("/v1/items/a%2Fcaptions%2Fpt").status_code == 204
    assert client.get(own).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PT, {"text": ""}, 422),
        (PT, {"text": " \u200b"}, 422),
        (PT, {"text": "a\x00"}, 422),
        (PT, {"text": "x" * 10_001}, 422),
        (PT, {"texts": "x"}, 422),
        (PT, {}, 422),
        (f"{PT}?collection=none", {"text": "x"}, 404),
        ("/v1/items/none/captions/pt", {"text": "x"}, 404),
        ("/v1/items/001.jpg/captions/p%20t", {"text": "x"}, 404),
    ],
)
def test_what_is_no_caption_is_refused(
    client: TestClient, own_shelf: Path, path: str, body: dict[str, str], status: int
) -> None:
    assert client.put(path, json=body).status_code == status
    assert not (own_shelf / "corrections.jsonl").exists()


@pytest.mark.parametrize(
    ("lang", "headers", "status"),
    [
        ("pt", {"if-none-match": "*"}, 412),
        ("fr", {"if-none-match": "*"}, 201),
        ("fr", {"if-match": "*"}, 412),
        ("pt", {"if-match": "*"}, 200),
        ("pt", {"if-match": '"x"'}, 412),
        ("pt", {"content-range": "bytes 0-1/2"}, 400),
    ],
)
def test_a_caption_is_changed_only_in_the_state_that_is_asked_for(
    client: TestClient, lang: str, headers: dict[str, str], status: int
) -> None:
    answer = client.put(f"/v1/items/001.jpg/captions/{lang}", json={"text": "x"}, headers=headers)
    assert answer.status_code == status


def test_who_reads_alone_corrects_nothing(
    service: Callable[..., TestClient], own_shelf: Path, tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keys.txt")
    kept_out = service(own_shelf)
    assert kept_out.put(PT, json={"text": "x"}).status_code == 403
    keyed = service(own_shelf, keys=KeyFile(tmp_path / "keys.txt"), public_search=True)
    assert keyed.get(PT).status_code == 200
    for method in ("PUT", "DELETE"):
        assert keyed.request(method, PT, json={"text": "x"}).status_code == 401
    assert not (own_shelf / "corrections.jsonl").exists()
    with_key = {"authorization": f"Bearer {key}"}
    assert keyed.put(PT, json={"text": "x"}, headers=with_key).status_code == 200


def test_while_another_process_writes_it_is_to_be_tried_again(client: TestClient, own_shelf: Path) -> None:
    with sole_writer(own_shelf):
        answer = client.put(PT, json={"text": "x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert client.delete(PT).status_code == 503
    assert client.get(PT).json()["text"] == WRONG


def test_many_at_once_lose_none(client: TestClient, own_shelf: Path) -> None:
    ids = [f"{number:03d}.jpg" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(client.put, f"/v1/items/{one}/captions/pt", json={"text": f"é {one}"}) for one in ids
        ]
    assert [one.result().status_code for one in done] == [200] * 8
    assert {one["item_id"]: one["text"] for one in kept(own_shelf)} == {one: f"é {one}" for one in ids}
    assert all(client.get(f"/v1/items/{one}").json()["captions"]["pt"] == f"é {one}" for one in ids)


def test_the_methods_of_a_caption_are_told(client: TestClient) -> None:
    answer = client.post(PT)
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, PUT")
