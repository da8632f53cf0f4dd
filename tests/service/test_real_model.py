"""The service over a real model, and an index that the real job fills and changes beneath it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_world import save_seeing_run
from starlette.testclient import TestClient

from dragoman.index import IndexOptions, index_media
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.service.access import Access
from dragoman.service.app import create_app
from dragoman.service.config import ServiceSettings

QUESTION = {"text": "um cão corre na praia", "lang": "pt", "k": 10}


class World:
    """A run, photos, their index, and a client of the service over it."""

    def __init__(self, folder: Path, photos: Path) -> None:
        self.run = save_seeing_run(folder)
        self.photos = folder / "photos"
        self.photos.mkdir()
        for number in range(8):
            shutil.copy(photos / f"{number:03d}.jpg", self.photos)
        self.index = folder / "index"
        self.update()

    def update(self) -> None:
        index_media(self.run, self.photos, self.index, IndexOptions(device="cpu"))


@pytest.fixture(scope="module")
def world(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("real"), shelf.parent / "photos")


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    app = create_app({"real": Searcher.open(world.index)}, ServiceSettings(), Access(allow_writes=True))
    with TestClient(app, base_url="http://localhost") as opened:
        yield opened


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["item_id"] for hit in answer.json()["hits"]]


def test_a_text_and_a_photo_find_what_the_searcher_finds(client: TestClient, world: World) -> None:
    photo = world.photos / "003.jpg"
    with Searcher.open(world.index) as searcher:
        by_text = [hit.entry.item_id for hit in searcher.search(Query(**QUESTION)).hits]  # type: ignore[arg-type]
        by_photo = [hit.entry.item_id for hit in searcher.search(Query(image=photo)).hits]
    assert ids(client.post("/v1/search", json=QUESTION)) == by_text
    assert ids(client.post("/v1/search", files={"image": photo.read_bytes()})) == by_photo
    assert by_photo[0] == "003.jpg"


def test_an_index_that_changes_beneath_needs_no_restart(
    client: TestClient, world: World, shelf: Path
) -> None:
    before = set(ids(client.post("/v1/search", json=QUESTION)))
    assert before == {f"{number:03d}.jpg" for number in range(8)}
    shutil.copy(shelf.parent / "photos" / "020.jpg", world.photos)
    (world.photos / "000.jpg").unlink()
    world.update()
    assert set(ids(client.post("/v1/search", json=QUESTION))) == before - {"000.jpg"} | {"020.jpg"}
    assert client.get("/v1/items/020.jpg/thumbnail").status_code == 200
    assert client.get("/v1/items/000.jpg").status_code == 404


def test_what_was_uploaded_stays_when_the_index_is_brought_up_to_date(
    client: TestClient, world: World, shelf: Path
) -> None:
    photo = (shelf.parent / "photos" / "030.jpg").read_bytes()
    assert client.put("/v1/items/mine", files={"image": photo}).status_code == 201
    world.update()
    assert ids(client.post("/v1/search", files={"image": photo}))[0] == "mine"
    assert client.get("/v1/items/mine/media").content == photo
    assert client.delete("/v1/items/mine").status_code == 204
