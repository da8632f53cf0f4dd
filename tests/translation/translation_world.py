"""A small corpus and engines whose faults are known, for the tests of translation."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.format import CORPUS
from dragoman.translation.engine import Engine, EngineError, Rejected

LINES = ["a dog runs", "two men sit near a red car on the grass", "a car", "a dog runs"]
"""What the contract of engines has translated; one line stands twice."""


def make_corpus(folder: Path, captions: Iterable[dict[str, Any]]) -> Path:
    """A corpus of captions given by `text`, and perhaps `item_id`, `lang`, `split`, `role` and so on."""
    rows, items = [], {}
    for number, given in enumerate(captions):
        row = {"caption_id": f"c{number}", "item_id": f"i{number}", "lang": "en", "role": "human"} | given
        items[row["item_id"]] = {
            "item_id": row["item_id"],
            "kind": "image",
            "path": None,
            "split": row.pop("split", "train"),
        }
        rows.append(dict.fromkeys(CAPTIONS.names) | row)
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(list(items.values()), ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(rows, CAPTIONS), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    return folder


def captions(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "captions.parquet").to_pylist()


class UpperEngine(Engine):
    """Translates by writing capitals. A call with a bad line fails in the way that stands beside the line."""

    def __init__(
        self, bad: dict[str, str] | None = None, name: str = "fake:upper", version: str = "1"
    ) -> None:
        self.name = name
        self.version = version
        self.batch_size = 8
        self.bad = bad or {}
        self.calls: list[list[str]] = []
        self.timeouts: list[float] = []

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        self.calls.append(list(lines))
        self.timeouts.append(timeout)
        faults = {self.bad[line] for line in lines if line in self.bad}
        out: list[str | Rejected] = [line.upper() for line in lines]
        if "crash" in faults:
            raise EngineError("it crashed")
        if "silence" in faults:
            return []
        if "fewer" in faults:
            return out[1:]
        if "more" in faults:
            return [*out, "ONE MORE"]
        return [
            {"empty": "", "refused": Rejected("not this one")}.get(self.bad.get(line, ""), text)
            for line, text in zip(lines, out, strict=True)
        ]

    @property
    def worked(self) -> list[str]:
        """Every line that was given to the engine, as often as it was."""
        return [line for call in self.calls for line in call]


def bisection_bound(lines: int, bad: int) -> int:
    """Calls that halving may cost for one batch: the batch itself, then two a level and bad line."""
    return 1 + 2 * bad * math.ceil(math.log2(max(lines, 2))) + bad


FAKE_APERTIUM = '''#!{python} -IS
"""Stands in for apertium: writes capitals, marks its pair, and logs every line it is given.

From its line FAKE_STOP_AFTER on it answers no more, until whoever started it is gone.
"""
import os, signal, sys, time

starter = os.getppid()
arguments = sys.argv[1:]
if arguments == ["-l"]:
    print("  eng-spa\\n  spa-por\\n  por-spa\\n  spa-eng")
    sys.exit()
if arguments == ["-V"]:
    print("3.8.3")
    sys.exit()
data = sys.stdin.buffer.read()
texts = data.decode().removesuffix("\\n\\n").split("\\n\\n")
with open(os.environ["FAKE_LOG"], "a+") as log:
    log.write("".join(text + "\\n" for text in texts))
    log.seek(0)
    lines = len(log.readlines())
while lines > int(os.environ.get("FAKE_STOP_AFTER", "999999")) and starter == os.getppid() != 1:
    time.sleep(0.01)
if any("silent" in text for text in texts):
    sys.exit()
if any("crash" in text for text in texts):
    sys.exit("cannot go on")
if any("killed" in text for text in texts):
    os.kill(os.getpid(), signal.SIGSEGV)
if any("hang" in text for text in texts):
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", os.environ["FAKE_HANG"]])
    time.sleep(3600)
if any("torn" in text for text in texts):
    sys.stdout.buffer.write(b"\\xff\\xfe" + data)
    sys.exit()
if any("split" in text for text in texts):
    texts.append("one more")
if any("merge" in text for text in texts):
    texts.pop()
out = ["" if "void" in text else text.upper() + "/" + arguments[-1] for text in texts]
sys.stdout.write("".join(text + "\\n\\n" for text in out))
'''


def install_fake_apertium(folder: Path, **environment: str) -> dict[str, str]:
    """Environment variables under which `apertium` is a program with known faults, which logs its work."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "apertium"
    program.write_text(FAKE_APERTIUM.replace("{python}", sys.executable))
    program.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "FAKE_LOG": str(folder / "work.log"),
        "APERTIUM_DATADIR": str(folder),
        # Seconds that no other test hangs for, so that what hangs can be told by them.
        "FAKE_HANG": f"3600.{uuid4().int % 10**9:09}",
        **environment,
    }


def logged_work(environment: dict[str, str]) -> list[str]:
    log = Path(environment["FAKE_LOG"])
    return log.read_text().splitlines() if log.exists() else []
