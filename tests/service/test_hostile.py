"""A part of the malformed requests of benchmarks/search/hostile.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import threaded
from shelf import MODEL, make_shelf

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "search"))

from hostile import KINDS, faults, http, requests, send


def test_malformed_requests_get_a_4xx_that_tells_no_path(tmp_path: Path) -> None:
    index = make_shelf(tmp_path, items=12)
    with threaded(shelf=index) as start:
        url, _ = start(allow_writes=True)
        port = int(url.rstrip("/").rpartition(":")[2])
        found = []
        for request in requests(4 * len(KINDS), seed=7):
            answer = send("127.0.0.1", port, request.content)
            if wrong := faults(answer, [str(tmp_path), MODEL]):
                found.append((request.kind, wrong, request.content[:300], answer.content[:600]))
        assert found == []
        whole = http("POST", "/v1/search", b'{"text": "a car", "k": 1}')
        assert send("127.0.0.1", port, whole).status == 200
        assert send("127.0.0.1", port, http("GET", "/v1/items?limit=100")).content.count(b'"item_id"') == 12


def test_a_good_answer_or_one_with_a_path_counts_as_a_fault() -> None:
    from hostile import Answer

    assert faults(Answer(404, b"nothing here"), ["/srv"]) == []
    assert faults(Answer(500, b"oh"), []) == ["status 500"]
    assert faults(Answer(422, b"cannot read /srv/a"), ["/srv"]) == ["shows '/srv'"]


def test_a_body_that_is_no_http_fills_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = make_shelf(tmp_path, items=12)
    head = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with threaded(shelf=index) as start:
        url, _ = start()
        port = int(url.rstrip("/").rpartition(":")[2])
        assert [send("127.0.0.1", port, head + b"zz\r\n").status for _ in range(5)] == [400] * 5
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []
