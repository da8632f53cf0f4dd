"""Index and search with two versions of the package in turn, and compare their times.

    python benchmarks/reliability/ratios.py RUN PHOTOS --before ../old/src --name COMMIT

RUN was trained by the older version. In every round each version indexes PHOTOS (`ingest`, the command as a
whole), opens the index, and answers texts one after the other (`search`), and in the service one client and
then eight (`service`). A ratio is the newer time by the older one of the same round: 1 is as fast as before.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from dragoman.pipelines.computer import commit_and_computer

NEW = Path(__file__).resolve().parents[2] / "src"
TEXTS = [
    f"{size} {colour} {thing}"
    for size in ("small", "um", "two", "drei")
    for colour in ("red", "azul", "green", "amarelo")
    for thing in ("ball", "casa", "car", "árvore")
]
SEARCHES = """
import sys, time
from dragoman.search.searcher import Searcher
begun = time.perf_counter()
searcher = Searcher.open(sys.argv[1])
searcher.search("a photo")
opened = time.perf_counter() - begun
texts, seconds = sys.argv[2].split("|"), []
for text in texts * 8:
    begun = time.perf_counter()
    searcher.search(text)
    seconds.append(time.perf_counter() - begun)
print(opened, sorted(seconds)[len(seconds) // 2])
"""
MEASURES = (
    "ingest",
    "open and first search",
    "search, p50",
    "service, 1 client, p50",
    "service, 8 clients, p50",
)


def run(source: Path, *arguments: str) -> str:
    """Run Python with the package of this source; give what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(source), capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


def environment(source: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def measured(source: Path, given: argparse.Namespace, folder: Path) -> list[float]:
    """Seconds of all MEASURES."""
    index = folder / "index"
    begun = time.perf_counter()
    run(source, "-m", "dragoman", "index", given.run, given.photos, "--out", str(index))
    found = [time.perf_counter() - begun]
    found += map(float, run(source, "-c", SEARCHES, str(index), "|".join(TEXTS)).split())
    command = [sys.executable, "-m", "dragoman", "serve", str(index), "--port", "0"]
    with subprocess.Popen(
        command, env=environment(source), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        port = urlsplit(process.stdout.readline().strip()).port or 0
        ask(port, TEXTS[:8])
        found += [asked(port, clients) for clients in (1, 8)]
        process.terminate()
    return found


def asked(port: int, clients: int) -> float:
    """Seconds of half of the answers at most, where so many ask at once."""
    seconds: list[list[float]] = [[] for _ in range(clients)]
    threads = [threading.Thread(target=lambda one=one: one.extend(ask(port, TEXTS * 4))) for one in seconds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.median(second for one in seconds for second in one)


def ask(port: int, texts: list[str]) -> list[float]:
    """Ask one text after the other on one connection; give the seconds of each."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    seconds = []
    for text in texts:
        begun = time.perf_counter()
        body = json.dumps({"text": text, "k": 20})
        connection.request("POST", "/v1/search", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert len(answer.read()) > 100 and answer.status == 200
        seconds.append(time.perf_counter() - begun)
    connection.close()
    return seconds


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("run")
    reader.add_argument("photos")
    reader.add_argument("--before", type=Path, required=True, help="src of the older version")
    reader.add_argument("--name", default="the older version", help="of it, as a commit")
    reader.add_argument("--rounds", type=int, default=7)
    reader.add_argument("--out", type=Path)
    given = reader.parse_args()
    rounds = []
    for number in range(given.rounds):
        # Whoever comes first in a round comes second in the next one.
        versions = [given.before, NEW][:: 1 if number % 2 else -1]
        with tempfile.TemporaryDirectory() as folder:
            took = {}
            for version in versions:
                place = Path(folder, str(len(took)))
                place.mkdir()
                took[version] = measured(version, given, place)
        rounds.append((took[given.before], took[NEW]))
        print(*(f"{new / old:.2f}" for old, new in zip(*rounds[-1], strict=True)), flush=True)
    lines = [
        "# Speed beside an older version",
        "",
        f"`python benchmarks/reliability/ratios.py RUN PHOTOS --before SRC --rounds {given.rounds}`: newer "
        f"time by that of {given.name}, median of {given.rounds} rounds, the least and the largest; "
        f"{commit_and_computer()}.",
        "",
        "| | older, median | ratio | range |",
        "|---|---|---|---|",
    ]
    for name, each in zip(
        MEASURES, zip(*[zip(*one, strict=True) for one in rounds], strict=True), strict=True
    ):
        ratios = [new / old for old, new in each]
        lines.append(
            f"| {name} | {1000 * statistics.median(old for old, _ in each):.1f} ms "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
