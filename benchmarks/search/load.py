"""Many clients at once against a running service: errors, latency, and its memory over time.

    dragoman serve index/ --port 8000
    python benchmarks/search/load.py http://127.0.0.1:8000/ --clients 32 --seconds 60 --out load.md

Each client asks one text after the other, with a filter or as "more like this" now and then, as fast as it is
answered. Captions of the collection itself are the texts. Memory is what the service's own metrics say.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import random
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from dragoman.pipelines.computer import commit_and_computer


class Sample(NamedTuple):
    """One answered request."""

    seconds: float
    status: int


class Client(threading.Thread):
    """Asks until `until`, on one connection."""

    def __init__(
        self, host: str, port: int, texts: list[str], ids: list[str], seed: int, until: float
    ) -> None:
        super().__init__(daemon=True)
        self.host, self.port, self.texts, self.ids, self.until = host, port, texts, ids, until
        self.draws = random.Random(seed)
        self.samples: list[Sample] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        while time.monotonic() < self.until:
            body = json.dumps(self.question())
            begun = time.perf_counter()
            try:
                connection.request("POST", "/v1/search", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                status = 0
                connection.close()
            self.samples.append(Sample(time.perf_counter() - begun, status))
        connection.close()

    def question(self) -> dict[str, Any]:
        if self.draws.random() < 0.1:
            return {"item_id": self.draws.choice(self.ids), "k": 20}
        asked: dict[str, Any] = {"text": self.draws.choice(self.texts), "k": 20}
        if self.draws.random() < 0.2:
            asked["filter"] = "kind=image"
        return asked


def get(host: str, port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request("GET", path)
    content = connection.getresponse().read()
    connection.close()
    return content


def resident(host: str, port: int) -> float:
    """Megabytes that the service has in memory."""
    found = re.search(rb"^process_resident_memory_bytes (\S+)", get(host, port, "/metrics"), re.MULTILINE)
    return float(found[1]) / 1e6 if found else float("nan")


def percentile(ordered: list[float], share: float) -> float:
    """The nearest-rank percentile of ascending numbers."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("url")
    reader.add_argument("--clients", type=int, default=32)
    reader.add_argument("--seconds", type=float, default=60)
    reader.add_argument("--out", type=Path)
    given = reader.parse_args()
    where = urlsplit(given.url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    page = json.loads(get(host, port, "/v1/items?limit=1000"))["items"]
    about = json.loads(get(host, port, "/v1/collections"))["collections"][0]
    texts = [text for item in page for text in item["captions"].values()] or ["a dog", "um cão", "一只狗"]
    ids = [item["item_id"] for item in page]
    until = time.monotonic() + given.seconds
    clients = [Client(host, port, texts, ids, seed, until) for seed in range(given.clients)]
    memory = [(0.0, resident(host, port))]
    begun = time.monotonic()
    for client in clients:
        client.start()
    while time.monotonic() < until:
        time.sleep(min(5.0, given.seconds / 6))
        memory.append((time.monotonic() - begun, resident(host, port)))
    for client in clients:
        client.join()
    lines = report(given, about, [one for client in clients for one in client.samples], memory)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def report(
    given: argparse.Namespace, about: dict[str, Any], samples: list[Sample], memory: list[tuple[float, float]]
) -> list[str]:
    """The page that is written."""
    times = sorted(one.seconds * 1000 for one in samples)
    statuses = Counter(one.status for one in samples)
    errors = sum(count for status, count in statuses.items() if status != 200)
    third = max(1, len(memory) // 3)
    early, late = (sum(mb for _, mb in part) / len(part) for part in (memory[1 : 1 + third], memory[-third:]))
    return [
        "# Load on the service",
        "",
        f"`python benchmarks/search/load.py URL --clients {given.clients} --seconds {given.seconds:g}`, "
        f"a collection of {about['items']:,} items, on loopback; clients and service share "
        f"the computer: {commit_and_computer()}.",
        "",
        "| | |",
        "|---|---|",
        f"| requests | {len(samples):,} ({len(samples) / given.seconds:.0f} a second) |",
        f"| errors | {errors} |",
        f"| p50 | {percentile(times, 0.50):.0f} ms |",
        f"| p95 | {percentile(times, 0.95):.0f} ms |",
        f"| p99 | {percentile(times, 0.99):.0f} ms |",
        f"| memory of the service, first third | {early:.0f} MB |",
        f"| memory of the service, last third | {late:.0f} MB |",
        "",
        "Memory over time (s: MB): " + ", ".join(f"{at:.0f}: {mb:.0f}" for at, mb in memory) + ".",
    ]


if __name__ == "__main__":
    main()
