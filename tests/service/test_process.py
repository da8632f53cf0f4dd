"""`dragoman serve` as a process: it starts, answers over a real socket, and stops in good order."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running import STAND_IN, serving, threaded

from dragoman.service.config import ServiceSettings
from dragoman.service.run import address, listen, server


def test_sigterm_finishes_what_was_begun_and_takes_no_more(shelf: Path) -> None:
    # A query waits for others to join it, long enough to be caught by the signal.
    with serving(str(shelf), "--set", "batch_wait_ms=1500") as (process, url):
        where = httpx2.URL(url)
        connection = http.client.HTTPConnection(where.host, where.port, timeout=30)
        body = b'{"text": "a red car", "k": 1}'
        connection.request("POST", "/v1/search", body, {"content-type": "application/json"})
        idle = http.client.HTTPConnection(where.host, where.port, timeout=30)
        idle.request("GET", "/healthz")
        assert idle.getresponse().read() == b'{"status":"ok"}'
        while "dragoman_http_requests_in_flight 2.0" not in httpx2.get(f"{url}metrics").text:
            pass  # this request is the other one
        process.send_signal(signal.SIGTERM)
        while True:
            # Not closed under a client that may just be asking: its answer says that it is the last.
            idle.request("GET", "/healthz")
            with idle.getresponse() as last:
                assert (last.status, last.read()) == (200, b'{"status":"ok"}')
                if last.getheader("connection") == "close":
                    break
        with connection.getresponse() as answer:
            assert (answer.status, len(answer.read()) > 0) == (200, True)
            assert answer.getheader("connection") == "close"
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
                refused = connection.recv(2000)
                assert refused.startswith(b"HTTP/1.1 400 ")
                assert b"content-type: application/problem+json\r\n" in refused
        assert httpx2.get(f"{url}healthz").status_code == 200


def head(of: socket.socket) -> bytes:
    of.settimeout(10)
    try:
        return of.recv(15)
    except ConnectionResetError:
        return b""


def test_who_never_ends_the_head_of_a_request_is_closed_and_locks_no_one_out(shelf: Path) -> None:
    begun = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
    with threaded(shelf=shelf) as start, ExitStack() as opened:

        def connect(url: str, content: bytes = b"") -> socket.socket:
            where = httpx2.URL(url)
            one = opened.enter_context(socket.create_connection((where.host, where.port), timeout=30))
            one.sendall(content)
            return one

        late, _ = start({"head_seconds": 0.2})
        # Nothing, a part of the first head, a part of the second one, and one that is whole.
        held = [connect(late, content) for content in (b"", begun, begun + b"\r\n\r\n" + begun)]
        assert [head(one) for one in held] == [b"", b"", b"HTTP/1.1 200 OK"]
        while held[2].recv(1000):
            pass  # the answer to its first request, and the end

        few, _ = start({"max_connections": 4})
        held = [connect(few, begun) for _ in range(10)]
        assert httpx2.get(f"{few}healthz").status_code == 200
        # The longest waiting ones had to go: four may stay, one of whom was the one who asked.
        assert [head(one) for one in held[:6]] == [b""] * 6
        held[-1].sendall(b"\r\n\r\n")
        assert head(held[-1]) == b"HTTP/1.1 200 OK"


def test_who_reads_no_answer_is_closed_and_who_reads_slowly_is_not() -> None:
    parts, ended = 400, set[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for left in reversed(range(parts)):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": left > 0})
        ended.add(scope["path"])

    def read_all(one: socket.socket, wait: float) -> int:
        got = 0
        with suppress(ConnectionResetError):
            while content := one.recv(400_000):
                got += content.count(0)
                time.sleep(wait)
        return got

    with ExitStack() as held:
        bound = held.enter_context(listen("127.0.0.1", 0))
        service = server(app, ServiceSettings(stalled_seconds=0.5), "")  # type: ignore[arg-type]
        service.config.lifespan = "off"
        running = threading.Thread(target=service.run, kwargs={"sockets": [bound]}, daemon=True)
        running.start()
        slow, deaf = (held.enter_context(socket.create_connection(bound.getsockname())) for _ in range(2))
        for one, path in ((slow, b"/slow"), (deaf, b"/deaf")):
            one.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert read_all(slow, 0.01) >= parts * 100_000
        for _ in range(600):
            if "/deaf" not in ended:
                time.sleep(0.05)
        assert "/deaf" in ended
        assert read_all(deaf, 0) < parts * 100_000
        service.should_exit = True
        running.join()


def test_a_process_that_is_ready_to_serve_takes_turns_often_and_collects_little() -> None:
    code = """
import gc, sys
from dragoman.service.run import settle
settle()
at_once = gc.get_freeze_count()
few = [[] for _ in range(100)]
gc.collect()
after_few = gc.get_freeze_count()
many = [[] for _ in range(3_000_000)]
gc.collect()
print(at_once, after_few, gc.get_freeze_count() - at_once, sys.getswitchinterval())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    at_once, after_few, after_many, interval = map(float, done.stdout.split())
    assert (at_once > 1000, after_few, after_many > 2_000_000, interval) == (True, at_once, True, 0.0005)


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
