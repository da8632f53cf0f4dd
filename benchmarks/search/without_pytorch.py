"""What it saves to search a run without PyTorch: installation, memory, time to the first answer.

    python benchmarks/search/without_pytorch.py INDEX [--query "um cão"] [--rounds 5] [--out FILE]

INDEX names a run whose texts are read without PyTorch. In each round `dragoman search` asks it once with
PyTorch and once where neither it nor transformers can be imported, each in a process of its own; told are
medians. The hits must be the same. Sizes are those of the packages of this environment that the extras need,
without bytecode.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dragoman.pipelines.computer import commit_and_computer

LIGHT, WHOLE = ("serve", "use"), ("serve", "use", "train")
HIDDEN = "torch transformers tokenizers safetensors scipy onnx onnxruntime"
SEARCH = """
import sys
hidden = sys.argv.pop(1).split()
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from dragoman.cli import main
sys.argv[0] = "dragoman"
main()
"""
# PyTorch for CUDA brings these along; they are told apart, as its build for the CPU has none.
OF_CUDA = ("nvidia-", "cuda-", "triton")


class Asked(NamedTuple):
    """What one process took, and what it answered."""

    seconds: float
    processor: float
    megabytes: float
    hits: list[tuple[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    parser.add_argument("--query", default="um cão")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="Write the page there instead of to the terminal.")
    options = parser.parse_args()
    with_it: list[Asked] = []
    without: list[Asked] = []
    for _ in range(options.rounds):
        with_it.append(ask(options.index, options.query, hidden=""))
        without.append(ask(options.index, options.query, hidden=HIDDEN))
    gap = require_same(with_it[0], without[0])
    text = page(options, with_it, without, gap)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)


def ask(index: Path, query: str, hidden: str) -> Asked:
    """Search in a process of its own."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        words = [sys.executable, "-c", SEARCH, hidden, "search", str(index), query, "--json"]
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"dragoman search failed with {process.returncode}, hidden: {hidden or 'nothing'}")
        output.seek(0)
        found = json.load(output)["hits"]
    hits = [(hit["item_id"], hit["score"]) for hit in found]
    return Asked(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, hits)


def require_same(one: Asked, other: Asked) -> float:
    """The largest difference of scores; fails where the hits are others."""
    if [item for item, _ in one.hits] != [item for item, _ in other.hits]:
        sys.exit(f"Without PyTorch the hits are others: {one.hits} and {other.hits}")
    return max(abs(a - b) for (_, a), (_, b) in zip(one.hits, other.hits, strict=True))


def sizes(extras: Iterable[str]) -> dict[str, int]:
    """Bytes of each package of this environment that the extras need, directly or not."""
    found: dict[str, int] = {}
    waiting: deque[Requirement] = deque([Requirement(f"dragoman[{','.join(extras)}]")])
    seen: set[str] = set()
    while waiting:
        one = waiting.popleft()
        name = canonicalize_name(one.name)
        if f"{name}{sorted(one.extras)}" in seen or name.startswith(OF_CUDA):
            continue
        seen.add(f"{name}{sorted(one.extras)}")
        # This checkout is installed as a link; its own size is the same in both.
        if name != "dragoman":
            found[name] = size_of(metadata.distribution(name))
        for text in metadata.requires(name) or []:
            child = Requirement(text)
            if child.marker is None or any(child.marker.evaluate({"extra": e}) for e in ("", *one.extras)):
                waiting.append(child)
    return found


def size_of(one: metadata.Distribution) -> int:
    files = {Path(str(file.locate())) for file in one.files or [] if not str(file).endswith(".pyc")}
    return sum(file.stat().st_size for file in files if file.is_file())


def page(options: Any, with_it: list[Asked], without: list[Asked], gap: float) -> str:
    light, whole = sizes(LIGHT), sizes(WHOLE)
    rows = [("installation, MB", sum(whole.values()) / 1e6, sum(light.values()) / 1e6)]
    for number, name in enumerate(("first answer, seconds", "processor, seconds", "memory, MB")):
        medians = (statistics.median(one[number] for one in many) for many in (with_it, without))
        rows.append((name, *medians))
    lines = [
        "# A run searched without PyTorch",
        "",
        f"`dragoman search` of {options.query!r}, each in a process of its own, {options.rounds} rounds in "
        "turn; medians,",
        "memory at its largest. Installed are "
        f"`[{','.join(WHOLE)}]` ({len(whole)} packages) and `[{','.join(LIGHT)}]` ({len(light)}),",
        "counted without Dragoman itself, bytecode and libraries of CUDA. "
        f"The hits are the same; scores differ by {gap:.1e}.",
        "",
        "    python benchmarks/search/without_pytorch.py INDEX",
        "",
        "| | with PyTorch | without | ratio |",
        "|---|---|---|---|",
        *(f"| {name} | {many:,.1f} | {few:,.1f} | {many / few:.1f} |" for name, many, few in rows),
        "",
        f"Made {commit_and_computer()}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
