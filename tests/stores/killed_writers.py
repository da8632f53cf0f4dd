"""A process that writes to an index and is killed, and what must be there afterwards.

`killed_again` kills one writer at a random moment; `Witness` knows what was acknowledged. The fault benchmark
runs the same.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from index_world import WIDTH, Oracle, draw_vectors, make_entry

from dragoman import plugins
from dragoman.stores import STORES
from dragoman.stores.embedded import store as embedded
from dragoman.stores.embedded.store import EmbeddedStore


def open_index(name: str, folder: Path, settings: Mapping[str, Any]) -> EmbeddedStore:
    module = plugins.load(STORES, name, "store")
    opened = module.open_store(folder, module.Config(**settings), WIDTH, "killed")
    assert isinstance(opened, EmbeddedStore)
    return opened


class Witness:
    """What an index must hold after its acknowledged writes."""

    def __init__(self) -> None:
        self.sure = Oracle()
        self.pending: dict[str, Any] | None = None
        self.writes = 0

    def hear(self, line: str) -> None:
        """A line of the writer: a write that begins, or `done`."""
        if line.strip() == "done":
            assert self.pending is not None
            apply(self.sure, self.pending)
            self.pending = None
            self.writes += 1
        else:
            self.pending = json.loads(line)

    def compare(self, index: EmbeddedStore) -> None:
        """Raise AssertionError unless the index holds every acknowledged write, and the one that was under
        way wholly or not at all."""
        assert index.check() == []
        held = index.scan(limit=1_000_000)
        if self.pending is not None:
            after = deepcopy(self.sure)
            apply(after, self.pending)
            if same(index, after):
                self.sure = after
            self.pending = None
        assert held == self.sure.passing()
        assert same(index, self.sure)
        if held:
            queries = draw_vectors(2, seed=self.writes)
            assert [list(map(tuple, one)) for one in index.search(queries, 5)] == self.sure.search(queries, 5)


def same(index: EmbeddedStore, oracle: Oracle) -> bool:
    """Whether an index holds the entries and vectors of an oracle, bit for bit."""
    entries = oracle.passing()
    if index.scan(limit=1_000_000) != entries:
        return False
    ids = [entry.item_id for entry in entries]
    expected = np.stack([oracle.vectors[item_id] for item_id in ids]) if ids else np.empty((0, WIDTH))
    return bool((index.vectors(ids) == expected).all())


def killed_again(
    name: str, folder: Path, settings: Mapping[str, Any], witness: Witness, draw: random.Random
) -> None:
    """Let a process write, kill it at a random moment, and compare what is there."""
    command = [sys.executable, __file__, name, str(folder), json.dumps(dict(settings)), str(draw.random())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as writer:
        assert writer.stdout is not None
        for _ in range(draw.randint(1, 40)):
            witness.hear(writer.stdout.readline())
        time.sleep(draw.random() * 0.02)
        writer.kill()
        for line in writer.stdout:
            if line.endswith("\n"):
                witness.hear(line)
    assert writer.returncode == -signal.SIGKILL
    with open_index(name, folder, settings) as index:
        witness.compare(index)


def apply(oracle: Oracle, write: Mapping[str, Any]) -> None:
    """Do what a line of the writer says, to an oracle."""
    if write["verb"] == "delete":
        oracle.delete(write["ids"])
    else:
        oracle.put(*content(write))


def content(write: Mapping[str, Any]) -> tuple[list[Any], np.ndarray | None]:
    """Entries and vectors of a write."""
    entries = [make_entry(item_id, write["number"] + i) for i, item_id in enumerate(write["ids"])]
    vectors = None if write["verb"] == "rewrite" else draw_vectors(len(entries), seed=write["number"])
    return entries, vectors


def next_write(draw: random.Random, known: list[str]) -> dict[str, Any]:
    """A write that may follow where an index holds `known` ids."""
    number = draw.randrange(1 << 30)
    verb = draw.choice(["add", "add", "update", "rewrite", "delete"]) if len(known) > 20 else "add"
    count = draw.randint(1, 12)
    ids = [f"{number:010}-{i}" for i in range(count)] if verb == "add" else draw.sample(known, count)
    return {"verb": verb, "number": number, "ids": ids}


def write_forever(name: str, folder: Path, settings: Mapping[str, Any], seed: str) -> None:
    """Write at random; say each write before it, and `done` after it."""
    embedded.COMPACT_AFTER = 30  # so that a kill meets compaction as well
    draw = random.Random(seed)
    with open_index(name, folder, settings) as index:
        known = [entry.item_id for entry in index.scan(limit=1_000_000)]
        while True:
            write = next_write(draw, known)
            print(json.dumps(write), flush=True)
            if write["verb"] == "delete":
                index.delete(write["ids"])
                known = [item_id for item_id in known if item_id not in set(write["ids"])]
            elif write["verb"] == "add":
                index.add(*content(write))
                known += write["ids"]
            else:
                index.update(*content(write))
            print("done", flush=True)


if __name__ == "__main__":
    write_forever(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4])
