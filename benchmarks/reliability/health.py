"""Ask `/healthz` twenty times a second while others load the service, and see how long it takes to answer.

    python benchmarks/reliability/health.py index/ --out benchmarks/reliability/health.md
    python benchmarks/reliability/health.py index/ --mixed-seconds 600

Starts `dragoman serve INDEX`, and then one load after the other, each by so many client processes that ask as
fast as they are answered. They are niced: what is measured is the service, not a computer with too few cores.
`longest` is the longest answer of `/healthz`; `worked` the longest for which the service itself worked while
`/healthz` waited, in processor time: what remains where other programs take none of it. Memory is what it has
resident. Last, all are mixed.
For pictures as queries the model of the index must be one that reads them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import http.client
import io
import json
import multiprocessing
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from dragoman.pipelines.computer import commit_and_computer

TEXTS = ["a red ball on the grass", "um cão", "dois carros azuis", "una pelota", "night", "一只狗"]
LARGE = 19_000_000
"""Bytes of a large body: the service reads 20 MB."""
Ask = Callable[[http.client.HTTPConnection, random.Random], int]


def post(connection: http.client.HTTPConnection, path: str, body: bytes) -> int:
    """Ask once; give the status."""
    connection.request("POST", path, body, {"content-type": "application/json"})
    return read(connection)


def read(connection: http.client.HTTPConnection) -> int:
    """Read an answer; give its status."""
    answer = connection.getresponse()
    answer.read()
    return answer.status


def searches(connection: http.client.HTTPConnection, draw: random.Random) -> int:
    """Ask for 20 hits to a text, now and then with a filter."""
    asked = {"text": draw.choice(TEXTS), "k": 20}
    if draw.random() < 0.2:
        asked["filter"] = "kind=image"
    return post(connection, "/v1/search", json.dumps(asked).encode())


def batches(connection: http.client.HTTPConnection, draw: random.Random) -> int:
    """Ask 64 texts for 200 hits each."""
    queries = [{"text": f"{draw.choice(TEXTS)} {draw.random()}", "k": 200} for _ in range(64)]
    return post(connection, "/v1/search/batch", json.dumps({"queries": queries}).encode())


def filled(part: bytes, before: bytes = b"[", after: bytes = b"]") -> bytes:
    """Repeat a part until the body is large."""
    return before + part * (LARGE // len(part)) + after


BODIES: list[Callable[[], bytes]] = [
    lambda: filled(b"{},", b'{"queries":[', b"{}]}"),
    lambda: filled(b"["),
    lambda: filled(b'{"a":'),
    lambda: filled(b"a", b'{"text":"', b'"}'),
    lambda: filled(rb"\"", b'{"text":"', b'"}'),
    lambda: filled("雪".encode(), b'{"text":"', b'"}'),
    lambda: filled(b" ", b"{", b"}"),
    lambda: filled(b"1", b'{"k":', b"}"),
    lambda: filled(b"A", b'{"image":"', b'"}'),
    lambda: filled(b'"a":0,', b"{", b'"b":0'),
]


def large_bodies(connection: http.client.HTTPConnection, draw: random.Random) -> int:
    """Send 19 MB of JSON of one of ten shapes, nine of which fit nothing."""
    path = draw.choice(["/v1/search", "/v1/search/batch", "/v1/embeddings"])
    return post(connection, path, draw.choice(BODIES)())


@functools.cache
def picture(seed: int) -> bytes:
    """Make a body that asks with a picture of 12 megapixels."""
    noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((4000, 3000)).save(file, "JPEG" if seed % 2 else "PNG", compress_level=1)
    return json.dumps({"image": base64.b64encode(file.getvalue()).decode(), "k": 20}).encode()


def pictures(connection: http.client.HTTPConnection, draw: random.Random) -> int:
    """Ask with a picture of 12 megapixels, now and then with bytes that are none."""
    body = picture(draw.randrange(4))
    if draw.random() < 0.1:
        body = body[:200_000] + b'"}'
    return post(connection, "/v1/search", body)


def readings(connection: http.client.HTTPConnection, draw: random.Random) -> int:
    """Read a thousand items, what there is to filter by, metrics, the page and its description."""
    paths = [
        "/v1/items?limit=1000",
        "/v1/collections/one",
        "/v1/collections",
        "/metrics",
        "/",
        "/openapi.json",
    ]
    connection.request("GET", draw.choice(paths))
    return read(connection)


def half_requests(connection: http.client.HTTPConnection, draw: random.Random) -> int:
    """Begin fifty requests and leave in the middle of their heads or bodies."""
    where = (connection.host, connection.port)
    begun = []
    for _ in range(50):
        one = socket.create_connection(where, timeout=10)
        one.sendall(b"POST /v1/search HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        if draw.random() < 0.5:
            one.sendall(b'content-type: application/json\r\ncontent-length: 1000000\r\n\r\n{"text":')
        begun.append(one)
    time.sleep(draw.random())
    for one in begun:
        one.close()
    return 0


def all_at_once(connection: http.client.HTTPConnection, draw: random.Random) -> int:
    """Do any of the others."""
    return draw.choices(list(LOADS.values()), [40, 1, 1, 2, 20, 1])[0](connection, draw)


LOADS: dict[str, Ask] = {
    "searches": searches,
    "batches of 64, 200 hits each": batches,
    "bodies of 19 MB": large_bodies,
    "pictures of 12 megapixels": pictures,
    "readings": readings,
    "half requests": half_requests,
}


def ask_until(
    until: float, name: str, port: int, seed: int, told: multiprocessing.Queue[Counter[int]]
) -> None:
    """Put this load on the service until then; tell the statuses."""
    os.nice(19)
    draw, statuses = random.Random(seed), Counter[int]()
    load = LOADS.get(name, all_at_once)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.monotonic() < until:
        try:
            statuses[load(connection, draw)] += 1
        except (OSError, http.client.HTTPException):
            # The service answers what it refuses before it has read it, and closes the connection.
            statuses[0] += 1
            connection.close()
    told.put(statuses)


class Seen(NamedTuple):
    """One load: seconds of `/healthz`, statuses of the clients, megabytes at most and at the end."""

    name: str
    seconds: list[float]
    worked: list[float]
    """Seconds for which the service itself worked at most while `/healthz` waited."""
    statuses: Counter[int]
    most: float
    after: float


def watched(name: str, seconds: float, clients: int, port: int, process: int) -> Seen:
    """Ask `/healthz` while the clients are at work."""
    until = time.monotonic() + seconds
    fork = multiprocessing.get_context("fork")
    told: multiprocessing.Queue[Counter[int]] = fork.Queue()
    working = [
        fork.Process(target=ask_until, args=(until, name, port, n, told), daemon=True) for n in range(clients)
    ]
    for one in working:
        one.start()
    taken, worked, most = list[float](), list[float](), 0.0
    while time.monotonic() < until:
        before, begun = processor_seconds(process), time.perf_counter()
        assert asked(port, "/healthz") == 200
        taken.append(time.perf_counter() - begun)
        # Threads that work at once, without the lock of the interpreter, count twice.
        worked.append(min(taken[-1], processor_seconds(process) - before))
        most = max(most, resident(process))
        time.sleep(max(0.0, 0.05 - taken[-1]))
    statuses = sum((told.get() for _ in working), Counter[int]())
    for one in working:
        one.join()
    return Seen(name, sorted(taken), sorted(worked), statuses, most, resident(process))


def asked(port: int, path: str) -> int:
    """Read something on a connection of its own; give the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    try:
        return read(connection)
    finally:
        connection.close()


def processor_seconds(process: int) -> float:
    """Processor time that the threads of a process have taken."""
    found = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            found += int((thread / "schedstat").read_text().split()[0])
    return found / 1e9


def resident(process: int) -> float:
    """Megabytes of a process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1e3 if found else float("nan")


def row(one: Seen) -> str:
    statuses = ", ".join(f"{status or 'closed'}: {count:,}" for status, count in sorted(one.statuses.items()))
    cells: list[object] = [one.name, f"{len(one.seconds):,}"]
    for seconds, shares in ((one.seconds, (0.5, 0.99, 1)), (one.worked, (1,))):
        at = [seconds[min(len(seconds) - 1, int(len(seconds) * share))] for share in shares]
        cells += [*(f"{1000 * second:.0f} ms" for second in at), sum(second > 0.1 for second in seconds)]
    cells += [f"{one.most:,.0f} MB", f"{one.after:,.0f} MB", statuses]
    return f"| {' | '.join(map(str, cells))} |"


def served(index: str) -> Iterator[tuple[int, int]]:
    """Start the service; give its port and the number of its process, and stop it in the end."""
    command = [sys.executable, "-m", "dragoman", "serve", f"one={index}", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        port = urlsplit(process.stdout.readline().strip()).port or 0
        assert asked(port, "/readyz") == 200
        yield port, process.pid
        process.terminate()


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("index")
    reader.add_argument("--clients", type=int, default=8)
    reader.add_argument("--seconds", type=float, default=30, help="of each load")
    reader.add_argument("--mixed-seconds", type=float, default=60, help="of all at once")
    reader.add_argument("--out", type=Path)
    given = reader.parse_args()
    lines = [
        "# `/healthz` under load",
        "",
        f"`python benchmarks/reliability/health.py INDEX --clients {given.clients} "
        f"--seconds {given.seconds:g} --mixed-seconds {given.mixed_seconds:g}`; clients and service "
        f"share the computer: {commit_and_computer()}.",
        "",
        "| load | asked | p50 | p99 | longest | above 100 ms | worked | above 100 ms "
        "| most memory | after it | answers to clients |",
        f"|{'---|' * 11}",
    ]
    for port, process in served(given.index):
        for name in (*LOADS, "all at once"):
            seconds = given.seconds if name in LOADS else given.mixed_seconds
            lines.append(row(watched(name, seconds, given.clients, port, process)))
            print(lines[-1], flush=True)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
