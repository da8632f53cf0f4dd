"""`dragoman serve` as a process: it starts, answers over a real socket, and stops in good order."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from running import STAND_IN, serving, threaded

from dragoman.service.run import address, listen


def test_sigterm_finishes_what_was_begun_and_takes_no_more(shelf: Path) -> None:
    # A query waits for others to join it, long enough to be caught by the signal.
    with serving(str(shelf), "--set", "batch_wait_ms=1500") as (process, url):
        where = httpx2.URL(url)
        connection = http.client.HTTPConnection(where.host, where.port, timeout=30)
        body = b'{"text": "a red car", "k": 1}'
        connection.request("POST", "/v1/search", body, {"content-type": "application/json"})
        while "dragoman_http_requests_in_flight 2.0" not in httpx2.get(f"{url}metrics").text:
            pass  # this request is the other one
        process.send_signal(signal.SIGTERM)
        with connection.getresponse() as answer:
            assert (answer.status, len(answer.read()) > 0) == (200, True)
        connection.close()
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (143, "", "")
        with pytest.raises(ConnectionRefusedError, match="refused"):
            socket.create_connection((where.host, where.port))


def test_what_is_no_http_or_too_long_a_head_is_refused(shelf: Path) -> None:
    with threaded(shelf=shelf) as start:
        url, _ = start()
        where = httpx2.URL(url)
        for request in (b"\x16\x03\x01 hello\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):
            with socket.create_connection((where.host, where.port), timeout=30) as connection:
                connection.sendall(request)
                assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        assert httpx2.get(f"{url}healthz").status_code == 200


def test_a_port_that_is_taken_is_told(shelf: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address(taken) == f"http://127.0.0.1:{port}/"
        done = subprocess.run(
            [sys.executable, str(STAND_IN), "serve", str(shelf), "--port", str(port)],
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Error: Cannot listen on 127.0.0.1, port {port}: is taken by another program. "
        "Choose another: --port 8001\n"
    )
