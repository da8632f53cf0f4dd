"""Who may ask what, and under which name."""

from __future__ import annotations

import dataclasses
import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from shelf import WIDTH
from starlette.testclient import TestClient

from dragoman.cli import dragoman
from dragoman.errors import UserError
from dragoman.index.folder import open_generation, read_info, write_info
from dragoman.records import Entry
from dragoman.service.access import KeyFile, new_key
from dragoman.service.run import is_loopback

SEARCH = {"text": "a red car", "k": 1}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_new_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "keys.txt"
    done = CliRunner().invoke(dragoman, ["serve", "--new-key", str(file)])
    key = done.stdout.strip()
    assert done.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()
    assert file.read_text().split()[0] == hashlib.sha256(key.encode()).hexdigest()
    second = new_key(file)
    keys = KeyFile(file)
    assert [keys.holds(one) for one in (key, second, key[:-1], "")] == [True, True, False, False]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_key_is_appended_to_a_file_whose_last_line_has_no_end(tmp_path: Path, end: bytes) -> None:
    file = tmp_path / "keys.txt"
    first = new_key(file)
    file.write_bytes(file.read_bytes().rstrip(b"\n") + end)
    second = new_key(file)
    keys = KeyFile(file)
    assert [keys.holds(one) for one in (first, second)] == [True, True]
    assert len(file.read_text().splitlines()) == 2


def test_a_key_is_revoked_by_deleting_its_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    first, second = new_key(file), new_key(file)
    keys = KeyFile(file)
    file.write_text("# those who may\n" + file.read_text().splitlines()[1] + "\n")
    assert [keys.holds(one) for one in (first, second)] == [False, True]


@pytest.mark.parametrize(
    ("content", "said"), [("", "holds no key"), ("secret\n", "line 1: expected the SHA-256 of a key")]
)
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "keys.txt").write_text(content)
    with pytest.raises(UserError, match=said):
        KeyFile(tmp_path / "keys.txt")
    with pytest.raises(UserError, match="Make a key: dragoman serve --new-key"):
        KeyFile(tmp_path / "none.txt")


def test_with_keys_everything_but_page_and_health_needs_one(
    service: Callable[..., TestClient], tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keys.txt")
    client = service(keys=KeyFile(tmp_path / "keys.txt"))
    answer = client.post("/v1/search", json=SEARCH)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="dragoman"')
    for headers in (bearer("dragoman_wrong"), {"authorization": key}, {"authorization": f"Basic {key}"}):
        assert client.post("/v1/search", json=SEARCH, headers=headers).status_code == 401
    assert client.post("/v1/search", json=SEARCH, headers=bearer(key)).status_code == 200
    closed = ["/v1/collections", "/v1/items/001.jpg/thumbnail", "/metrics", "/openapi.json", "/nowhere"]
    assert [client.get(path).status_code for path in closed] == [401] * 5
    assert [client.get(path).status_code for path in ("/", "/healthz", "/readyz")] == [200] * 3


def test_public_search_opens_searching_but_neither_changes_nor_metrics(
    service: Callable[..., TestClient], own_shelf: Path, tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keys.txt")
    client = service(own_shelf, keys=KeyFile(tmp_path / "keys.txt"), public_search=True)
    assert client.post("/v1/search", json=SEARCH).status_code == 200
    assert client.get("/v1/items/001.jpg/thumbnail").status_code == 200
    assert [client.delete("/v1/items/001.jpg").status_code, client.get("/metrics").status_code] == [401, 401]
    assert client.delete("/v1/items/001.jpg", headers=bearer(key)).status_code == 204


def test_a_key_file_that_has_gone_opens_nothing(service: Callable[..., TestClient], tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys.txt")
    client = service(keys=KeyFile(tmp_path / "keys.txt"))
    (tmp_path / "keys.txt").unlink()
    assert client.post("/v1/search", json=SEARCH, headers=bearer(key)).status_code == 401


def test_without_keys_nothing_is_changed_unless_that_was_allowed(client: TestClient) -> None:
    answer = client.delete("/v1/items/001.jpg")
    assert (answer.status_code, "--allow-writes" in answer.json()["detail"]) == (403, True)
    assert client.get("/v1/items/001.jpg").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("LOCALHOST:1", 200),
        ("attacker.example", 421),
        ("localhost.attacker.example:8000", 421),
        ("", 421),
    ],
)
def test_a_page_of_another_name_cannot_ask(client: TestClient, host: str, status: int) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == status


def test_other_origins_may_ask_only_where_that_was_allowed(
    client: TestClient, service: Callable[..., TestClient]
) -> None:
    ask = {"origin": "https://museum.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.options("/v1/search", headers=ask).headers
    allowing = service(cors=["https://museum.example"])
    assert allowing.options("/v1/search", headers=ask).headers["access-control-allow-origin"] == ask["origin"]
    other = ask | {"origin": "https://attacker.example"}
    assert "access-control-allow-origin" not in allowing.options("/v1/search", headers=other).headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}, 200),
        # Behind a proxy that passes another Host on.
        ({"origin": "https://search.example", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"origin": "http://other.localhost", "sec-fetch-site": "same-site"}, 403),
    ],
)
def test_a_form_on_a_page_of_another_origin_is_refused_before_it_is_read(
    client: TestClient, service: Callable[..., TestClient], headers: dict[str, str], status: int
) -> None:
    answers = [
        client.post("/v1/search", headers=headers, files={"image": b"no picture"}),
        client.put("/v1/items/x", headers=headers, files={"image": b"no picture"}),
        client.delete("/v1/items/x", headers=headers),
    ]
    # Read, it would be refused for its picture; without --allow-writes, changes are refused to all.
    assert [answer.status_code for answer in answers] == [422 if status == 200 else 403, 403, 403]
    assert ("--cors" in answers[1].json()["detail"]) is (status == 403)


@pytest.mark.parametrize("origin", ["null", "http://[", "http://127.0.0.1:8000@evil.example", "//", "a b"])
def test_an_origin_that_is_none_may_not_ask(client: TestClient, origin: str) -> None:
    answer = client.post("/v1/search", json={"text": "a car"}, headers={"origin": origin})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


def test_a_link_may_come_from_anywhere_a_picture_in_a_page_may_not(
    client: TestClient, service: Callable[..., TestClient]
) -> None:
    site = {"sec-fetch-site": "cross-site"}
    link, picture = site | {"sec-fetch-mode": "navigate"}, site | {"sec-fetch-mode": "no-cors"}
    assert client.get("/", headers=link).status_code == 200
    assert client.get("/v1/items/001.jpg/media", headers=picture).status_code == 403
    allowing = service(cors=["https://museum.example"])
    assert allowing.get("/v1/items/001.jpg/media", headers=picture).status_code == 200
    asks = site | {"origin": "https://museum.example"}
    assert allowing.post("/v1/search", headers=asks, json=SEARCH).status_code == 200
    asks["origin"] = "https://evil.example"
    assert allowing.post("/v1/search", headers=asks, json=SEARCH).status_code == 403


def test_an_index_of_others_gives_nothing_outside_its_media_folder(
    service: Callable[..., TestClient], own_shelf: Path, tmp_path: Path
) -> None:
    photo = (tmp_path / "photos" / "000.jpg").read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.jpg").write_bytes(photo)
    (tmp_path / "photos" / "link.jpg").symlink_to(elsewhere / "secret.jpg")
    (tmp_path / "photos" / "folder").symlink_to(elsewhere)
    (tmp_path / "photos" / "passwd").write_text("root:x:0:0")
    paths = {
        "absolute": str(elsewhere / "secret.jpg"),
        "up": "../elsewhere/secret.jpg",
        "link": "link.jpg",
        "below a link": "folder/secret.jpg",
        "beside": str(tmp_path / "photos" / ".." / "elsewhere" / "secret.jpg"),
        "no picture": "passwd",
        "own": "000.jpg",
        "own, absolute": str(tmp_path / "photos" / "000.jpg"),
    }
    with open_generation(read_info(own_shelf)) as store:
        entries = [Entry(item_id=name, path=path) for name, path in paths.items()]
        store.add(entries, np.tile(np.eye(1, WIDTH, dtype=np.float32), (len(entries), 1)))

    def given(client: TestClient) -> list[str]:
        found = []
        for name in paths:
            answers = [client.get(f"/v1/items/{name}/{of}") for of in ("media", "thumbnail")]
            assert not any("root:" in one.text or str(tmp_path) in one.text for one in answers)
            (status,) = {one.status_code for one in answers}
            assert status in (200, 404)
            found += [name] if status == 200 else []
        return found

    assert given(service(own_shelf)) == ["own", "own, absolute"]
    allowed = given(service(own_shelf, media_root=(str(elsewhere),)))
    # Searcher.media_file follows neither `..` nor links out of the folder of the index.
    assert allowed == ["absolute", "beside", "own", "own, absolute"]


@pytest.mark.parametrize("media", ["/", "//", "/tmp/..", ".", "", ".."])
def test_an_index_that_calls_the_whole_disk_its_media_folder_gives_nothing_of_it(
    service: Callable[..., TestClient],
    own_shelf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    media: str,
) -> None:
    photo = tmp_path / "photos" / "000.jpg"
    monkeypatch.chdir(photo.parent)
    info = dataclasses.replace(read_info(own_shelf), media=media)
    write_info(info)
    paths = {"absolute": str(photo), "relative": str(photo.relative_to("/")), "own": "000.jpg"}
    with open_generation(info) as store:
        entries = [Entry(item_id=name, path=path) for name, path in paths.items()]
        store.add(entries, np.tile(np.eye(1, WIDTH, dtype=np.float32), (len(entries), 1)))
    client = service(own_shelf)
    for name in (*paths, "000.jpg"):
        for of in ("media", "thumbnail"):
            assert client.get(f"/v1/items/{name}/{of}").status_code == 404
    allowed = service(own_shelf, media_root=(str(photo.parent),))
    assert allowed.get("/v1/items/absolute/media").status_code == 200


def test_every_answer_carries_its_id_and_the_headers_of_a_careful_page(client: TestClient) -> None:
    for path in ("/", "/v1/collections", "/nowhere"):
        headers = client.get(path, headers={"x-request-id": "abc-1.2_3"}).headers
        assert headers["x-request-id"] == "abc-1.2_3"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    for unsafe in ("a b", "x" * 65, "é".encode(), "<script>"):
        given = client.get("/healthz", headers={"x-request-id": unsafe}).headers["x-request-id"]
        assert len(given) == 32
        assert given.isalnum()


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", "")],
)
def test_which_addresses_only_this_computer_reaches(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached by others, so the service wants keys."),
        (["--set", "max_bodies=3"], "The service has no setting 'max_bodies'. Known here: batch_size"),
        (["--set", "max_k=many"], "max_k must be a whole number, got 'many'"),
        (["--set", "max_k=0"], "max_k must be above 0, got 0."),
        (["other/shelf"], "Two collections are called 'shelf'"),
    ],
)
def test_a_command_line_that_does_not_fit(shelf: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(dragoman, ["serve", str(shelf), *arguments])
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
