"""How long does a large corpus take to build, and how much memory?

    python benchmarks/corpus/run.py --out benchmarks/corpus/results.md
    python benchmarks/corpus/run.py --data FOLDER --out benchmarks/corpus/results.md

Each row is a process of its own. The generated captions are five human ones an item, their translations and
the way back. FOLDER adds a real corpus: `captions.jsonl.gz`, `features/*.npy`, `features/ids.txt`, `images/`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dragoman.folders import versions, write_text
from dragoman.pipelines.computer import commit_and_computer

WIDTH = 512
PER_ITEM = 15
LIMIT_SECONDS, LIMIT_GB = 60, 2
KEYS = ("caption_id", "item_id", "split", "lang", "role", "text", "source_id", "engine")
TRIPLES = (
    "import sys, time; from dragoman.corpus import Corpus; corpus = Corpus.open(sys.argv[1]);"
    "corpus.items; corpus.captions; start = time.perf_counter();"
    "found = corpus.translations(source='en', target='pt', split='train', engine=sys.argv[2]);"
    "print(len(found), time.perf_counter() - start)"
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One process: what it did, and what it took."""

    what: str
    output: str
    seconds: float
    cpu_seconds: float
    peak_gb: float


def captions(count: int) -> Iterator[dict[str, str]]:
    """Captions of about twelve words; lengths and words are drawn with seed 0."""
    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(20_000)])
    for number in range(count):
        item, place = divmod(number, PER_ITEM)
        slot, stage = divmod(place, 3)
        lang, role = (("en", "human"), ("pt", "mt"), ("en", "back"))[stage]
        name = f"item-{item:08d}"
        caption = {
            "caption_id": f"{name}#{slot}#{stage}",
            "item_id": name,
            "split": "train" if item % 10 else "val",
            "lang": lang,
            "role": role,
            "text": " ".join(random.choice(words, random.integers(6, 18))),
        }
        if stage:
            caption |= {"source_id": f"{name}#{slot}#{stage - 1}", "engine": f"engine-{stage}"}
        yield caption


def generate(folder: Path, count: int) -> None:
    """The same captions as JSON Lines, gzip JSON Lines and CSV; vectors; and a folder of a fifth of them."""
    with (
        (folder / "captions.jsonl").open("w") as plain,
        gzip.open(folder / "captions.jsonl.gz", "wt", compresslevel=6) as zipped,
        (folder / "captions.csv").open("w", newline="") as table,
    ):
        writer = csv.DictWriter(table, KEYS)
        writer.writeheader()
        for caption in captions(count):
            line = json.dumps(caption) + "\n"
            plain.write(line)
            zipped.write(line)
            writer.writerow(caption)
    items = -(-count // PER_ITEM)
    ids = [f"item-{item:08d}" for item in range(items)]
    np.save(folder / "vectors.npy", np.random.default_rng(1).normal(size=(items, WIDTH)).astype(np.float32))
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in ids))
    photos = folder / "photos"
    photos.mkdir()
    for name in ids[: items // 5]:
        (photos / f"{name}.jpg").touch()
        (photos / f"{name}.txt").write_text("".join(f"caption {k} of {name}\n" for k in range(PER_ITEM)))


def measure(what: str, *command: str | Path) -> Measured:
    """Run a process to its end; peak memory is its own resident maximum."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{what}: exit status {process.returncode}")
    return Measured(
        what=what,
        output=output.strip(),
        seconds=time.perf_counter() - start,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        # Linux counts in kilobytes.
        peak_gb=usage.ru_maxrss / 1e6,
    )


def builds(place: Path, data: Path | None) -> Iterator[Measured]:
    """All rows of the table."""
    verb = ["-c", "from dragoman.cli import main; main()", "-q", "corpus"]
    vectors = ["--features", place / "vectors.npy", "--feature-ids", place / "ids.txt"]
    for name in ("captions.jsonl", "captions.jsonl.gz"):
        out = ["--out", place / f"{name}.corpus"]
        yield measure(f"{name}, vectors of width {WIDTH}", *verb, "jsonl", place / name, *vectors, *out)
    yield measure("captions.csv", *verb, "csv", place / "captions.csv", "--out", place / "csv.corpus")
    photos = ["folder", place / "photos", "--lang", "en", "--out", place / "folder.corpus"]
    yield measure("folder of images and text files", *verb, *photos)
    yield measure("show", *verb, "show", place / "captions.jsonl.corpus", "--samples", "0")
    yield measure("triples", "-c", TRIPLES, place / "captions.jsonl.corpus", "engine-1")
    if data is not None:
        given = [data / "captions.jsonl.gz", "--media-root", data / "images"]
        for file in sorted((data / "features").glob("*.npy")):
            given += ["--features", file]
        given += ["--feature-ids", data / "features" / "ids.txt", "--out", place / "real.corpus"]
        yield measure(f"{data.name}, all vectors", *verb, "jsonl", *given)
        yield measure(
            f"triples of {data.name}", "-c", TRIPLES, place / "real.corpus", "apertium:eng-spa|es-pt"
        )


def page(rows: list[Measured], count: int) -> str:
    """The results with their circumstances."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux").split(" (")[0]
    numbers = ", ".join(f"{name} {version}" for name, version in versions(("numpy", "pyarrow")).items())
    lines = [
        "# Building corpora",
        "",
        f"{count:,} generated captions of {-(-count // PER_ITEM):,} items; the folder holds a fifth of the",
        f"items. The bound for 500,000 captions is {LIMIT_SECONDS} s and {LIMIT_GB} GB on 2 cores. Made by",
        "",
        f"    {shlex.join(['python', *sys.argv])}",
        "",
        commit_and_computer(),
        f"({system}, {numbers}), one run each, with other work on the machine, so processor time is the",
        "steadier number.",
        "",
        "| what | seconds | processor seconds | peak memory, GB | result |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        result = row.output.splitlines()[-1].split(": ")[-1] if "corpus" in row.output else ""
        if row.what.startswith("triples"):
            number, seconds = row.output.split()
            result = f"{int(number):,} triples joined in {float(seconds):.2f} s"
        lines.append(
            f"| {row.what} | {row.seconds:.1f} | {row.cpu_seconds:.1f} | {row.peak_gb:.2f} | {result} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--captions", type=int, default=500_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name), given.captions)
        rows = list(builds(Path(name), given.data))
    write_text(given.out, page(rows, given.captions))


if __name__ == "__main__":
    main()
