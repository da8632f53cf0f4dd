from __future__ import annotations

import base64
import errno
import io
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from shelf import open_shelf
from starlette.testclient import TestClient

from dragoman.errors import UserError
from dragoman.media.images import DECODING
from dragoman.service import threads, thumbnails
from dragoman.service.access import Access
from dragoman.service.app import create_app
from dragoman.service.config import ServiceSettings
from dragoman.service.house import House
from dragoman.service.thumbnails import Thumbnails
from read_only import content, denied


def png(colour: str, size: tuple[int, int] = (40, 30)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG")
    return content.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_pages_of_items_hold_each_once_in_order(client: TestClient) -> None:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/items", params={"limit": "10", "filter": "year<2020", **cursor}).json()
        found += [item["item_id"] for item in page["items"]]
        assert page["total"] == (None if cursor else 30)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == [f"{number:03d}.jpg" for number in range(30)]


@pytest.mark.parametrize("cursor", ["%", "ä", "AA=A", "//79", "AA", "YWFh" * 180])
def test_a_cursor_that_is_none_is_refused(client: TestClient, cursor: str) -> None:
    assert client.get("/v1/items", params={"cursor": cursor}).status_code == 422


def test_an_empty_cursor_is_the_beginning(client: TestClient) -> None:
    assert client.get("/v1/items?cursor=&limit=3").json() == client.get("/v1/items?limit=3").json()


def test_an_item_says_which_captions_a_machine_made_and_no_path(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    with open_shelf(own_shelf) as searcher:
        (entry,) = searcher.store.get(["001.jpg"])
        assert entry is not None
        hidden = {
            "folder": "/home/ana/photos",
            "copy": "C:\\scans\\1.tif",
            "share": "\\\\nas\\scans",
            "more": ("a", "/srv/x.jpg"),
            "link": "file:///mnt/1.tif",
        }
        told = {"place": "/Europe/Portugal/Porto", "scale": "1/50", "page": "https://a.example/b/c"}
        changed = replace(entry, metadata={**hidden, **told}, machine=frozenset({"pt"}))
        searcher.store.update([changed])
    client = service(own_shelf)
    item = client.get("/v1/items/001.jpg").json()
    assert item["metadata"] == told
    roles = {"en": "human", "pt": "mt", "es": "human", "ar": "human", "zh": "human"}
    assert item["caption_roles"] == roles
    (hit,) = client.post("/v1/search", json={"text": "a", "filter": "item_id=001.jpg"}).json()["hits"]
    assert (hit["metadata"], hit["caption_roles"]) == (told, roles)
    fields = client.get("/v1/collections/shelf").json()["fields"]
    assert not {field["name"] for field in fields} & hidden.keys()


@pytest.mark.parametrize(("house", "seen"), [(House(), {"year"}), (House(hidden=()), {"year", "split"})])
def test_what_a_house_hides_is_in_no_answer_and_filters_all_the_same(
    own_shelf: Path, house: House, seen: set[str]
) -> None:
    with open_shelf(own_shelf) as searcher:
        (entry,) = searcher.store.get(["001.jpg"])
        assert entry is not None
        searcher.store.update([replace(entry, metadata={"split": "test", "year": 1950})])
    with (
        open_shelf(own_shelf) as searcher,
        TestClient(
            create_app({"shelf": searcher}, ServiceSettings(), Access(allow_writes=True), house),
            base_url="http://127.0.0.1:8000",
        ) as client,
    ):
        fields = client.get("/v1/collections/shelf").json()["fields"]
        assert {field["name"] for field in fields} & {"split", "year"} == seen
        corrected = client.put("/v1/items/001.jpg/captions/pt", json={"text": "um"}).json()
        listed = client.get("/v1/items", params={"filter": "split=test"}).json()["items"]
        asked = {"text": "a", "filter": "split=test"}
        hits = client.post("/v1/search", json=asked).json()["hits"]
        for one in (corrected, client.get("/v1/items/001.jpg").json(), *listed, *hits):
            assert (one["item_id"], set(one["metadata"])) == ("001.jpg", seen)
        assert len(listed) == len(hits) == 1
        table = client.post("/v1/search", json=asked, headers={"accept": "text/csv"}).text
        assert set(re.findall(r"metadata (\w+)", table)) == seen


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("OPTIONS", "/v1/items/a", "DELETE, GET, HEAD, PUT"),
        ("POST", "/v1/items/a%2Fmedia", "DELETE, GET, HEAD, PUT"),
        ("POST", "/v1/items/a%2fb%2Fthumbnail", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/v1/items/a/media", "GET, HEAD"),
        ("DELETE", "/v1/items/a%2Fb/thumbnail", "GET, HEAD"),
        ("POST", "/v1/items/a/thumbnail?size=64", "GET, HEAD"),
        ("GET", "/v1/search", "POST"),
        ("PUT", "/v1%2Fitems", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD"),
    ],
)
def test_a_method_that_an_address_lacks_is_told_those_it_has(
    service: Callable[..., TestClient], method: str, path: str, allowed: str
) -> None:
    answer = service(allow_writes=True).request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_item_says_what_it_is_but_not_where(client: TestClient) -> None:
    item = client.get("/v1/items/004.jpg").json()
    assert item["metadata"]["year"] == 1994
    assert item["thumbnail"] == "/v1/items/004.jpg/thumbnail"
    assert sorted(item) == [
        "caption_roles",
        "captions",
        "item_id",
        "kind",
        "lang",
        "media",
        "metadata",
        "more_captions",
        "thumbnail",
    ]


@pytest.mark.parametrize(
    "item_id", ["nowhere.jpg", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "a%00b", "x" * 600, "%FF"]
)
@pytest.mark.parametrize("of", ["", "/thumbnail", "/media"])
def test_an_item_that_is_not_there_is_a_404(client: TestClient, item_id: str, of: str) -> None:
    answer = client.get(f"/v1/items/{item_id}{of}")
    assert answer.status_code == 404
    assert answer.json()["title"] == "Not Found"


def test_a_thumbnail_is_small_typed_and_not_sent_twice(client: TestClient, shelf: Path) -> None:
    answer = client.get("/v1/items/002.jpg/thumbnail?size=100", headers={"accept": "image/webp,*/*"})
    assert (answer.headers["content-type"], answer.headers["vary"]) == ("image/webp", "Accept")
    assert opened(answer.content).size == (128, 128)
    again = client.get(
        "/v1/items/002.jpg/thumbnail?size=128",
        headers={"accept": "image/webp", "if-none-match": answer.headers["etag"]},
    )
    assert (again.status_code, again.content) == (304, b"")
    jpeg = client.get("/v1/items/002.jpg/thumbnail?size=1024")
    assert (jpeg.headers["content-type"], opened(jpeg.content).size) == ("image/jpeg", (192, 192))


def test_a_thumbnail_stands_upright_and_says_nothing_of_the_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    Image.new("RGB", (600, 300), "teal").save(tmp_path / "lying.jpg", exif=exif)
    small = opened(thumbnails.render(tmp_path / "lying.jpg", 128, "jpeg", DECODING))
    assert small.size == (64, 128)
    assert dict(small.getexif()) == {}


def test_the_cache_of_thumbnails_drops_the_longest_unused() -> None:
    cache = Thumbnails(10e-6)
    cache.put("a", b"1234")
    cache.put("b", b"5678")
    assert cache.get("a") == b"1234"
    cache.put("c", b"90ab")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (b"1234", None, b"90ab")
    cache.put("d", b"x" * 11)
    # What is larger than the whole cache is not kept, and drives nothing out.
    assert [cache.get(tag) for tag in "abcd"] == [b"1234", None, b"90ab", None]


def test_an_original_is_served_whole_and_in_ranges(client: TestClient, shelf: Path) -> None:
    original = (shelf.parent / "photos" / "005.jpg").read_bytes()
    whole = client.get("/v1/items/005.jpg/media")
    assert (whole.content, whole.headers["content-type"]) == (original, "image/jpeg")
    assert "sandbox" in whole.headers["content-security-policy"]
    part = client.get("/v1/items/005.jpg/media", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, original[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(original)}"


@pytest.mark.parametrize(
    ("asked", "status"),
    [("bytes=", 400), ("bytes=99999999-", 416), ("bytes=5-2", 400)],
)
def test_a_range_that_cannot_be_served_is_a_problem(client: TestClient, asked: str, status: int) -> None:
    answer = client.get("/v1/items/005.jpg/media", headers={"range": asked})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert ("content-range" in answer.headers) is (status == 416)
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("of", ["media", "thumbnail"])
def test_an_id_that_ends_like_an_address_is_an_id(
    service: Callable[..., TestClient], own_shelf: Path, of: str
) -> None:
    client = service(own_shelf, allow_writes=True)
    address = f"/v1/items/000.jpg%2F{of}"
    added = client.put(address, files={"image": png("red")}).json()
    assert added["item_id"] == f"000.jpg/{of}"
    assert client.get(address).json() == added
    assert client.get(added["media"]).content == png("red")
    assert opened(client.get(added["thumbnail"]).content).size == (40, 30)
    # Those of 000.jpg are still there.
    photo = client.get("/v1/items/000.jpg/media").content
    assert photo == (own_shelf.parent / "photos" / "000.jpg").read_bytes()
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
    assert client.get("/v1/items/000.jpg").status_code == 200


def test_pictures_called_like_moments_of_one_video_do_not_hide_one_another(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    client = service(own_shelf, allow_writes=True)
    names = ["x.jpg#t=1.00,2.00", "x.jpg#t=3.00,4.00", "x.jpg"]
    for name in names:
        assert client.put(f"/v1/items/{quote(name, safe='')}", files={"image": png("red")}).status_code == 201
    hits = client.post("/v1/search", json={"text": "a", "k": 100}).json()["hits"]
    assert sorted(hit["item_id"] for hit in hits if hit["item_id"].startswith("x.jpg")) == sorted(names)
    # More like one of them: all others, and not itself.
    hits = client.post("/v1/search", json={"item_id": names[0], "k": 100}).json()["hits"]
    assert sorted(hit["item_id"] for hit in hits if hit["item_id"].startswith("x.jpg")) == sorted(names[1:])
    assert client.delete(f"/v1/items/{quote(names[0], safe='')}").status_code == 204
    assert client.get(f"/v1/items/{quote(names[1], safe='')}").json()["kind"] == "image"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OSError(errno.ENOSPC, "no space left on the device", "/srv/x y"), 507, "is full"),
        (OSError(errno.EROFS, "read-only", "/srv/x y"), 503, "cannot be written"),
        (UserError("The index /srv/x y/z cannot be used (readonly)."), 503, "cannot be written"),
    ],
)
def test_a_disk_that_takes_no_more_loses_nothing(
    service: Callable[..., TestClient],
    own_shelf: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    said: str,
) -> None:
    client = service(own_shelf, allow_writes=True)
    client.put("/v1/items/new", files={"image": png("red")})
    searcher = client.app.state.service.collections["shelf"].searcher  # type: ignore[attr-defined]

    def fail(*_: object) -> None:
        raise error

    # In the store itself, when the file of the upload is written already.
    with searcher.writing() as opened:
        for name in ("add", "update", "delete"):
            monkeypatch.setattr(opened.store, name, fail)
    for answer in (client.put("/v1/items/new", files={"image": png("blue")}), client.delete("/v1/items/new")):
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True)
        assert "srv" not in answer.text
        assert "retry-after" not in answer.headers
    assert client.get("/v1/items/new/media").content == png("red")
    assert len(list((own_shelf / "uploads").iterdir())) == 1


def test_an_index_that_cannot_be_written_is_searched_and_takes_no_changes(
    service: Callable[..., TestClient],
    own_shelf: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Threads have the rights of who started them; those of tests before may write.
    monkeypatch.setattr(threads, "_THREADS", ThreadPoolExecutor(2))
    with open_shelf(own_shelf) as searcher:
        expected = [hit.entry.item_id for hit in searcher.search("red").hits]
    before = content(own_shelf)
    with denied(own_shelf):
        client = service(own_shelf, allow_writes=True)
        assert "its folder cannot be written, so it takes no changes" in caplog.text
        assert client.get("/readyz").status_code == 200
        for of in ("thumbnail", "media"):
            assert client.get(f"/v1/items/001.jpg/{of}").status_code == 200
        for answer in (
            client.put("/v1/items/001.jpg", files={"image": png("blue")}),
            client.put("/v1/items/new", files={"image": png("blue")}),
            client.delete("/v1/items/001.jpg"),
        ):
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert "retry-after" not in answer.headers, "waiting mends nothing"
            said = answer.json()["detail"]
            assert said == "Not changed: the folder of this collection cannot be written."
        hits = client.post("/v1/search", json={"text": "red"}).json()["hits"]
        assert [hit["item_id"] for hit in hits] == expected
    assert content(own_shelf) == before


def test_a_file_that_has_gone_is_a_404(service: Callable[..., TestClient], own_shelf: Path) -> None:
    client = service(own_shelf)
    (own_shelf.parent / "photos" / "001.jpg").unlink()
    for of in ("thumbnail", "media"):
        answer = client.get(f"/v1/items/001.jpg/{of}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "The item's file is not there.")


@pytest.mark.parametrize("part", ["thumbnail", "media"])
def test_a_pipe_or_a_link_to_itself_in_the_place_of_a_file_is_a_404_at_once(
    service: Callable[..., TestClient], own_shelf: Path, part: str
) -> None:
    client, photos = service(own_shelf, limits={"request_seconds": 5}), own_shelf.parent / "photos"
    for name in ("001.jpg", "002.jpg", "003.jpg"):
        (photos / name).unlink()
    os.mkfifo(photos / "001.jpg")
    (photos / "002.jpg").symlink_to(photos / "002.jpg")
    (photos / "003.jpg").mkdir()
    for name in ("001.jpg", "002.jpg", "003.jpg"):
        answer = client.get(f"/v1/items/{name}/{part}")
        assert (name, answer.status_code) == (name, 404)


@pytest.mark.parametrize("part", ["thumbnail", "media"])
def test_a_file_that_cannot_be_read_now_is_not_said_to_be_gone(
    service: Callable[..., TestClient], own_shelf: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, opens = service(own_shelf), os.open

    def few_files(path: Any, *how: Any, **more: Any) -> int:
        if str(path).endswith("001.jpg"):
            raise OSError(errno.EMFILE, "Too many open files")
        return opens(path, *how, **more)

    monkeypatch.setattr(os, "open", few_files)
    answer = client.get(f"/v1/items/001.jpg/{part}")
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "The item's file cannot be read at the moment.",
    )
    assert client.get(f"/v1/items/002.jpg/{part}").status_code == 200


def test_a_picture_that_is_broken_is_a_404_that_says_so(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    client = service(own_shelf)
    (own_shelf.parent / "photos" / "001.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    answer = client.get("/v1/items/001.jpg/thumbnail")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("The item's picture cannot be shown: ")
    assert str(own_shelf.parent) not in answer.text


@pytest.mark.parametrize("way", ["base64", "form"])
def test_an_item_is_added_found_replaced_and_deleted(
    service: Callable[..., TestClient], own_shelf: Path, way: str
) -> None:
    client = service(own_shelf, allow_writes=True)
    address = "/v1/items/new%2Fphoto%20%C3%A9.png"

    def put(image: bytes, metadata: dict[str, Any]) -> Any:
        if way == "form":
            form = {"metadata": json.dumps(metadata), "captions": '{"por_BR.UTF-8": "um quadrado"}'}
            return client.put(address, files={"image": ("../../x.php", image)}, data=form)
        body = {
            "image": base64.b64encode(image).decode(),
            "metadata": metadata,
            "captions": {"pt-br": "um quadrado"},
        }
        return client.put(address, json=body)

    added = put(png("red"), {"year": 2026, "tags": ["square", "test"]})
    assert (added.status_code, added.headers["location"]) == (201, address)
    assert added.json() == client.get(address).json()
    assert added.json()["item_id"] == "new/photo é.png"
    assert added.json()["metadata"] == {"year": 2026, "tags": ["square", "test"]}
    assert added.json()["captions"] == {"pt-BR": "um quadrado"}
    found = client.post("/v1/search", json={"text": "a", "filter": "tags=square"}).json()["hits"]
    assert [hit["item_id"] for hit in found] == ["new/photo é.png"]
    assert client.get(f"{address}/media").content == png("red")

    assert put(png("blue"), {"year": 2027}).status_code == 200
    assert client.get(f"{address}/media").content == png("blue")
    assert client.get(address).json()["metadata"] == {"year": 2027}
    assert len(list((own_shelf / "uploads").iterdir())) == 1

    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
    assert client.delete(address).status_code == 404
    assert list((own_shelf / "uploads").iterdir()) == []
    assert client.get("/v1/collections/shelf").json()["items"] == 12


def test_deleting_an_item_leaves_a_file_that_was_not_uploaded(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    assert service(own_shelf, allow_writes=True).delete("/v1/items/001.jpg").status_code == 204
    assert (own_shelf.parent / "photos" / "001.jpg").exists()


def test_what_cannot_be_an_item_leaves_nothing_behind(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    client = service(own_shelf, allow_writes=True, limits={"max_megapixels": 0.001})
    image = base64.b64encode(png("red")).decode()
    for body, detail in [
        ({}, "Give the image"),
        ({"image": ""}, "Give the image"),
        ({"image": None}, "does not fit"),
        ({"image": base64.b64encode(b"GIF89a").decode()}, "The image cannot be used"),
        ({"image": image}, "40x30 is 0.0 megapixels, more than the limit of 0.001."),
        ({"image": image, "metadata": {"a": {"b": 1}}}, "does not fit"),
        ({"image": image, "metadata": {"a": 2**63}}, "does not fit"),
        ({"image": image, "metadata": {"a": [-1e19]}}, "does not fit"),
        ({"image": image, "metadata": {"a\n\x00": 1}}, "does not fit"),
        ({"image": image, "metadata": {"a\nb": 1}}, "does not fit"),
        ({"image": image, "metadata": {"a\u0085": 1}}, "does not fit"),
        ({"image": image, "metadata": {"狗" * 100: 1}}, "does not fit"),
        ({"image": image, "metadata": {"tags": []}}, "does not fit"),
        ({"image": image, "metadata": {"tags": list(range(101))}}, "does not fit"),
        ({"image": image, "captions": {"not a tag": "x"}}, "does not fit"),
        ({"image": image, "captions": {"english": "x"}}, "does not fit"),
        ({"image": image, "captions": {"pt-br": "x", "pt-BR": "y"}}, "does not fit"),
    ]:
        answer = client.put("/v1/items/new", json=body)
        assert (answer.status_code, detail in answer.json()["detail"]) == (422, True), answer.json()
        assert "retry-after" not in answer.headers
    assert not (own_shelf / "uploads").exists()
    assert client.get("/v1/items/new").status_code == 404


def test_while_another_process_writes_nothing_is_changed(
    service: Callable[..., TestClient], own_shelf: Path
) -> None:
    from dragoman.folders import sole_writer

    client = service(own_shelf, allow_writes=True)
    with sole_writer(own_shelf):
        answers = [client.delete("/v1/items/001.jpg"), client.put("/v1/items/x", files={"image": png("red")})]
    for answer in answers:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["detail"].startswith("Not changed:")
        assert str(own_shelf) not in answer.text
    # Files are written once the index is held, so that no other writer takes them for leftovers.
    assert not (own_shelf / "uploads").exists()
    assert client.get("/v1/items/001.jpg").status_code == 200


def test_items_of_a_second_collection_carry_its_name(
    service: Callable[..., TestClient], own_shelf: Path, shelf: Path
) -> None:
    from shelf import open_shelf

    from dragoman.service.app import create_app
    from dragoman.service.config import ServiceSettings

    with open_shelf(shelf) as one, open_shelf(own_shelf) as two:
        app = create_app({"one": one, "two & more": two}, ServiceSettings())
        with TestClient(app, base_url="http://localhost") as client:
            counts = client.get("/v1/collections").json()["collections"]
            assert counts == [{"name": "one", "items": 36}, {"name": "two & more", "items": 12}]
            asked = {"text": "a", "collection": "two & more", "k": 1}
            (hit,) = client.post("/v1/search", json=asked).json()["hits"]
            assert hit["media"].endswith("/media?collection=two+%26+more")
            assert client.get(hit["media"]).status_code == 200
