"""Videos as queries over HTTP: what they find, what is refused, and that nobody else waits for them."""

from __future__ import annotations

import base64
import json
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from running import threaded
from shelf import open_shelf
from starlette.testclient import TestClient
from tiny_videos import save_slides, save_sound, save_video

from dragoman.index.entries import moment_id
from dragoman.media.video import VideoPart
from dragoman.records import Entry
from dragoman.search import live
from dragoman.search.query import Query


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["item_id"] for hit in answer.json()["hits"]]


@pytest.fixture(scope="module")
def film(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one photo of the shelf, then of another."""
    photos = [shelf.parent / "photos" / f"{number:03d}.jpg" for number in (7, 21)]
    return save_slides(tmp_path_factory.mktemp("films") / "film.mp4", photos)


def in_json(content: bytes, **more: Any) -> dict[str, Any]:
    return {"json": {"video": base64.b64encode(content).decode(), **more}}


def in_form(content: bytes, **more: Any) -> dict[str, Any]:
    return {"files": {"video": ("a.mp4", content)}, "data": {name: str(one) for name, one in more.items()}}


@pytest.mark.parametrize("way", [in_json, in_form])
def test_a_clip_finds_what_the_searcher_finds(
    client: TestClient, shelf: Path, film: Path, way: Callable[..., dict[str, Any]]
) -> None:
    with open_shelf(shelf) as searcher:
        alone = searcher.search(Query(video=film, k=5)).hits
        told = searcher.search(Query(text="a green house", video=film, k=5)).hits
    answer = client.post("/v1/search", **way(film.read_bytes(), k=5))
    assert ids(answer) == [hit.entry.item_id for hit in alone]
    assert set(ids(answer)[:2]) == {"007.jpg", "021.jpg"}
    got = answer.json()
    assert [hit["score"] for hit in got["hits"]] == pytest.approx([hit.score for hit in alone])
    assert (got["language"], got["match"], got["warnings"]) == (None, None, [])
    both = client.post("/v1/search", **way(film.read_bytes(), text="a green house", k=5))
    assert [hit["score"] for hit in both.json()["hits"]] == pytest.approx([hit.score for hit in told])
    assert both.json()["language"]["code"] == "en"


def test_a_photo_and_a_clip_go_together(client: TestClient, shelf: Path, film: Path) -> None:
    photo = shelf.parent / "photos" / "003.jpg"
    with open_shelf(shelf) as searcher:
        expected = searcher.search(Query(image=photo, video=film, k=4)).hits
    files = {"image": photo.read_bytes(), "video": film.read_bytes()}
    answer = client.post("/v1/search", files=files, data={"k": "4"})
    assert ids(answer) == [hit.entry.item_id for hit in expected]


def test_a_batch_may_hold_clips_beside_texts(client: TestClient, film: Path) -> None:
    clip = base64.b64encode(film.read_bytes()).decode()
    queries = [{"text": "a red car", "k": 3}, {"video": clip, "k": 3}, {"item_id": "001.jpg", "k": 3}]
    together = client.post("/v1/search/batch", json={"queries": queries}).json()["answers"]
    alone = [client.post("/v1/search", json=query).json() for query in queries]
    assert [one["hits"] for one in together] == [one["hits"] for one in alone]


def test_every_moment_or_the_best_one_answers(
    service: Callable[..., TestClient], own_shelf: Path, film: Path
) -> None:
    (vector,) = np.eye(1, 256, 3, dtype=np.float32)
    moments = [
        Entry(
            item_id=moment_id("film.mp4", start, start + 1),
            kind="video",
            path="film.mp4",
            metadata={"start": float(start), "end": start + 1.0},
            source="digest",
        )
        for start in range(3)
    ]
    with open_shelf(own_shelf) as searcher:
        searcher.store.add(moments, np.stack([vector] * 3))
    client = service(own_shelf)
    content, every = film.read_bytes(), {moment.item_id for moment in moments}
    for way in (in_json, in_form):
        best = ids(client.post("/v1/search", **way(content, k=50)))
        assert len(best) == 13
        assert len(every & set(best)) == 1
        moments_too = client.post("/v1/search", **way(content, k=50, moments=way is in_json or "true"))
        assert len(ids(moments_too)) == 15
        assert every < set(ids(moments_too))
    # More like a moment: itself is left out, and with it its film, unless moments are asked for.
    asked = {"item_id": moments[0].item_id, "k": 50}
    assert not every & set(ids(client.post("/v1/search", json=asked)))
    others = ids(client.post("/v1/search", json=asked | {"moments": True}))
    assert others[:2] == [moments[1].item_id, moments[2].item_id]
    assert asked["item_id"] not in others


@pytest.fixture(scope="module")
def odd(film: Path) -> dict[str, bytes]:
    """Files that are no clips for this service."""
    folder = film.parent
    return {
        "empty": b"",
        "text": b"no video at all " * 500,
        "picture": (folder / "a.png").read_bytes() if _saved(folder / "a.png") else b"",
        "sound": save_sound(folder / "a.mp3").read_bytes(),
        "torn": film.read_bytes()[:-300],
        "long": save_video(folder / "long.mp4", ["red"] * 301, rate=1).read_bytes(),
        "large": save_video(folder / "large.mp4", ["red"], size=(4200, 2200)).read_bytes(),
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{film}\n#EXT-X-ENDLIST\n".encode(),
    }


def _saved(file: Path) -> bool:
    Image.new("RGB", (8, 8)).save(file)
    return True


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "the file is empty."),
        ("text", "not a video of a known format, or damaged at its beginning or end (Invalid data"),
        ("picture", "not a video of a known format"),
        ("sound", "it has no video stream, only sound."),
        ("torn", "not a video of a known format, or damaged at its beginning or end (End of file"),
        ("long", "it lasts 301.0 seconds, more than the limit of 300."),
        ("large", "4200x2200 is 9.2 megapixels, more than the limit of 9."),
        ("playlist", "not a video of a known format"),
    ],
)
@pytest.mark.parametrize("way", [in_json, in_form])
def test_a_file_that_is_no_clip_is_refused_with_its_reason(
    client: TestClient, odd: dict[str, bytes], name: str, reason: str, way: Callable[..., dict[str, Any]]
) -> None:
    answer = client.post("/v1/search", **way(odd[name]))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"].startswith(f"The video cannot be used: {reason}")
    assert "--max" not in answer.text


def test_limits_can_be_set(service: Callable[..., TestClient], film: Path) -> None:
    client = service(limits={"max_video_seconds": 1.9})
    answer = client.post("/v1/search", **in_json(film.read_bytes()))
    assert answer.json()["detail"].endswith("it lasts 2.0 seconds, more than the limit of 1.9.")
    client = service(limits={"max_video_megapixels": 0.03})
    answer = client.post("/v1/search", **in_json(film.read_bytes()))
    assert answer.json()["detail"].endswith("192x192 is 0.0 megapixels, more than the limit of 0.03.")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"json": {"video": "?"}}, "video is not base64."),
        ({"files": {"film": b"a"}}, "A file of the form must be in the field speech or image or video."),
        ({"files": [("video", b"a"), ("video", b"b")]}, "The form has a field twice."),
        ({"files": {"video": b"a"}, "data": {"moments": "yes"}}, "moments of the form is not JSON."),
        ({"files": {"video": b"a"}, "data": {"moments": "1"}}, "The body does not fit."),
        ({"files": {"video": b"a"}, "data": {"text": "a" * 1001}}, "A text has 1,001 characters"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(client: TestClient, body: dict[str, Any], detail: str) -> None:
    answer = client.post("/v1/search", **body)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


def test_an_item_takes_no_video(service: Callable[..., TestClient], own_shelf: Path, film: Path) -> None:
    client = service(own_shelf, allow_writes=True)
    answer = client.put("/v1/items/a.mp4", files={"video": film.read_bytes()})
    assert answer.json()["detail"] == "A file of the form must be in the field image."


def test_a_service_that_reads_no_videos_says_so(
    client: TestClient, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    answer = client.post("/v1/search", **in_json(film.read_bytes() + b"never sent before"))
    assert (answer.status_code, answer.json()["detail"]) == (
        501,
        "Reading videos needs the package 'av', which is not installed.",
    )
    assert client.post("/v1/search", json={"text": "a red car"}).status_code == 200


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1), damage=st.binary(min_size=1, max_size=60), cut=st.floats(0.05, 1))
def test_no_damage_is_a_fault_of_the_service(
    client: TestClient, film: Path, place: float, damage: bytes, cut: float
) -> None:
    content = bytearray(film.read_bytes())
    at = int(place * len(content))
    content[at : at + len(damage)] = damage
    answer = client.post("/v1/search", **in_form(bytes(content[: int(cut * len(content))])))
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["detail"].startswith("The video cannot be used: ")


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=2000))
def test_no_bytes_are_a_fault_of_the_service(client: TestClient, content: bytes) -> None:
    assert client.post("/v1/search", **in_json(content)).status_code == 422


class Held:
    """Watching that goes on until it is let go, or nobody waits."""

    def __init__(self) -> None:
        self.began, self.go, self.ended = threading.Semaphore(0), threading.Event(), threading.Event()
        self.at_once, self.most = 0, 0
        self._lock = threading.Lock()

    def __call__(self, encoder: Any, clip: VideoPart) -> np.ndarray:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.began.release()
        try:
            while not self.go.wait(0.005):
                clip.check()
        finally:
            with self._lock:
                self.at_once -= 1
            self.ended.set()
        vector: np.ndarray = np.eye(1, encoder.width, dtype=np.float32)[0]
        return vector


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held()
    monkeypatch.setattr(live, "encode_video", found)
    yield found
    found.go.set()


def test_other_queries_do_not_wait_for_a_video(client: TestClient, held: Held) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.post, "/v1/search", **in_json(b"a film"))
        assert held.began.acquire(timeout=10)
        others = [client.post("/v1/search", json={"text": "a red car"}).status_code for _ in range(3)]
        assert (others, slow.done()) == ([200] * 3, False)
        held.go.set()
        assert slow.result().status_code == 200


def test_so_many_videos_are_watched_at_once_as_images_are_decoded(
    service: Callable[..., TestClient], held: Held
) -> None:
    client = service(limits={"decoding": 2})
    with ThreadPoolExecutor(5) as pool:
        films = [in_json(b"a film %d" % number) for number in range(5)]
        asked = [pool.submit(client.post, "/v1/search", **film) for film in films]
        assert held.began.acquire(timeout=10) and held.began.acquire(timeout=10)
        assert not held.began.acquire(timeout=0.3)
        held.go.set()
        assert [one.result().status_code for one in asked] == [200] * 5
    assert held.most == 2


def test_a_video_is_watched_no_longer_than_the_request_may_take(
    service: Callable[..., TestClient], held: Held
) -> None:
    client = service(limits={"request_seconds": 0.3})
    answer = client.post("/v1/search", **in_json(b"a film"))
    assert (answer.status_code, answer.json()["detail"]) == (504, "No answer within 0.3 seconds.")
    assert held.ended.wait(10) and not held.go.is_set()


def test_a_video_is_watched_no_longer_than_somebody_waits(shelf: Path, held: Held) -> None:
    with threaded(shelf=shelf) as start:
        url, _ = start()
        port = int(url.rstrip("/").rpartition(":")[2])
        body = json.dumps({"video": base64.b64encode(b"a film").decode()}).encode()
        head = "POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert held.began.acquire(timeout=10)
        assert held.ended.wait(10) and not held.go.is_set()


def test_a_video_that_comes_again_with_a_word_is_not_watched_again(
    service: Callable[..., TestClient], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, content = service(), film.read_bytes()
    told = {"text": "a green house", "k": 5}
    expected = ids(client.post("/v1/search", **in_json(content, **told)))
    monkeypatch.setitem(sys.modules, "av", None)
    assert ids(client.post("/v1/search", **in_form(content, **told))) == expected
    assert client.post("/v1/search", **in_json(content + b"more")).status_code == 501


def test_no_file_stays_behind(
    client: TestClient, film: Path, odd: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    large = film.read_bytes() + bytes(3_000_000)
    assert client.post("/v1/search", **in_form(large)).status_code == 200
    assert client.post("/v1/search", **in_form(odd["text"] * 300)).status_code == 422
    assert list(tmp_path.iterdir()) == []


def test_queries_are_counted_by_what_they_hold(
    service: Callable[..., TestClient], film: Path, shelf: Path
) -> None:
    client, clip = service(), film.read_bytes()
    photo = base64.b64encode((shelf.parent / "photos" / "001.jpg").read_bytes()).decode()
    for more in ({}, {}, {"text": "a car", "lang": "en"}, {"image": photo}):
        assert client.post("/v1/search", **in_json(clip, **more)).status_code == 200
    counted = client.get("/metrics").text
    assert 'dragoman_queries_total{lang="none",modality="video"} 2.0' in counted
    assert 'dragoman_queries_total{lang="en",modality="text_video"} 1.0' in counted
    assert 'dragoman_queries_total{lang="none",modality="image_video"} 1.0' in counted
    assert "dragoman_search_batch_queries_sum 5.0" in counted  # the first one warmed the service up


def test_the_description_names_video_and_moments(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    search = described["components"]["schemas"]["SearchRequest"]["properties"]
    assert search["moments"]["type"] == "boolean"
    assert "Base64 of a video file; in a form, the file itself" in json.dumps(search["video"])
    assert "multipart/form-data" in described["paths"]["/v1/search"]["post"]["requestBody"]["content"]
