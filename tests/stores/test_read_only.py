"""Embedded stores in folders that cannot be written: what was written is found, and nothing changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_world import Oracle, draw_vectors, make_entries, make_entry
from killed_writers import open_index

from dragoman.errors import ReadOnlyError, UserError
from dragoman.stores.embedded import transactions
from dragoman.stores.embedded.store import EmbeddedStore
from dragoman.stores.filters import parse
from read_only import content, denied, in_mount

KINDS = pytest.mark.parametrize(
    ("name", "settings"), [("exact", {}), ("faiss", {"least": 30, "recall": 1.0})]
)


def fill(store: EmbeddedStore, count: int = 60) -> Oracle:
    if store.__class__.__module__.endswith("faiss"):
        pytest.importorskip("faiss", reason="needs dragoman[faiss]")
    oracle, entries, vectors = Oracle(), make_entries(count), draw_vectors(count)
    store.add(entries, vectors)
    oracle.put(entries, vectors)
    return oracle


def put(store: EmbeddedStore, oracle: Oracle, item_id: str) -> None:
    """Add one more entry."""
    entries, vectors = [make_entry(item_id, 3)], draw_vectors(1, seed=len(oracle.entries))
    store.add(entries, vectors)
    oracle.put(entries, vectors)


def assert_holds(store: EmbeddedStore, oracle: Oracle) -> None:
    assert store.check() == []
    assert store.scan(limit=1000) == oracle.passing()
    queries = draw_vectors(3, seed=77)
    assert [list(map(tuple, one)) for one in store.search(queries, 7)] == oracle.search(queries, 7)
    chosen = parse("year >= 2010")
    assert store.count(chosen) == len(oracle.passing(chosen)) > 0
    first = oracle.passing()[0].item_id
    np.testing.assert_array_equal(store.vectors([first])[0], oracle.vectors[first])


@KINDS
def test_a_store_that_was_closed_is_read_and_refuses_changes(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    folder = tmp_path / "store"
    with open_index(name, folder, settings) as store:
        oracle = fill(store)
    before = content(folder)
    with denied(folder):
        with open_index(name, folder, settings) as store:
            assert_holds(store, oracle)
            known = oracle.passing()[0]
            for change in (
                lambda: store.add([make_entry("more", 1)], draw_vectors(1)),
                lambda: store.update([known]),
                lambda: store.delete([known.item_id]),
            ):
                with pytest.raises(ReadOnlyError, match="cannot be written by this user"):
                    change()
            assert_holds(store, oracle)
        assert content(folder) == before
    # Nothing is remembered of that: who may write again does.
    with open_index(name, folder, settings) as store:
        put(store, oracle, "after")
        assert_holds(store, oracle)


@KINDS
def test_a_store_whose_writer_was_killed_is_read_with_its_log(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    folder, left = tmp_path / "store", tmp_path / "left"
    with open_index(name, folder, settings) as store:
        oracle = fill(store)
        shutil.copytree(folder, left)
    assert (left / "entries.sqlite-wal").stat().st_size > 0
    before = content(left)
    with denied(left), open_index(name, left, settings) as store:
        assert_holds(store, oracle)
    assert content(left) == before

    (left / "entries.sqlite-shm").unlink()
    with (
        denied(left),
        pytest.raises(UserError, match=r"-wal holds changes .* Run `dragoman check INDEX` once"),
    ):
        open_index(name, left, settings)
    # As the message says.
    open_index(name, left, settings).close()
    with denied(left), open_index(name, left, settings) as store:
        assert_holds(store, oracle)


class Reader:
    """A process that finds the folder mounted read-only, and answers as often as it is asked."""

    def __init__(self, folder: Path) -> None:
        command = in_mount(folder, sys.executable, __file__, str(folder))
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def assert_sees(self, oracle: Oracle) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        print("read", file=self.process.stdin, flush=True)
        wrong, ids, found = json.loads(self.process.stdout.readline())
        assert wrong == []
        assert ids == [entry.item_id for entry in oracle.passing()]
        assert [[item_id for item_id, _ in one] for one in found] == [
            [item_id for item_id, _ in one] for one in oracle.search(draw_vectors(3, seed=77), 7)
        ]

    def close(self) -> None:
        self.process.communicate()


def answer(folder: Path) -> None:
    """The work of a `Reader`."""
    with open_index("exact", folder, {}) as store:
        for _ in sys.stdin:
            ids = [entry.item_id for entry in store.scan(limit=1000)]
            print(json.dumps([store.check(), ids, store.search(draw_vectors(3, seed=77), 7)]), flush=True)


def test_a_reader_in_a_read_only_mount_sees_what_is_written_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with open_index("exact", folder, {}) as store:
        oracle = fill(store)
    with closing(Reader(folder)) as reader:
        # Nobody writes: read without locks. Then with those of a writer, who comes and goes.
        reader.assert_sees(oracle)
        for round in range(2):
            with open_index("exact", folder, {}) as store:
                for number in range(3):
                    put(store, oracle, f"new-{round}-{number}")
                    reader.assert_sees(oracle)
            reader.assert_sees(oracle)
        # Between two readings, so that the log has come and gone.
        with open_index("exact", folder, {}) as store:
            store.delete(["new-1-1"])
        del oracle.entries["new-1-1"], oracle.vectors["new-1-1"]
        reader.assert_sees(oracle)


def test_what_changes_while_it_is_read_without_locks_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    with open_index("exact", folder, {}) as store:
        oracle = fill(store)
    after = shutil.copytree(folder, tmp_path / "after")
    with open_index("exact", after, {}) as store:
        put(store, oracle, "new")
    changes = iter([True])
    real = transactions.Transactions._renewed

    def overtaken(self: transactions.Transactions, *given: Any) -> transactions.Snapshot:
        """Another user's process writes, and joins its log, while the state is read."""
        made = real(self, *given)
        if next(changes, False):
            for name in ("vectors-0.f32", "entries.sqlite"):
                (folder / name).chmod(0o600)
                (folder / name).write_bytes((after / name).read_bytes())
        return made

    with denied(folder), open_index("exact", folder, {}) as store:
        assert store.count() == 60
        store._store._last = None
        monkeypatch.setattr(transactions.Transactions, "_renewed", overtaken)
        # The 60 of before are in the snapshot that was just made, and must not be told.
        assert store.count() == 61
        assert_holds(store, oracle)


if __name__ == "__main__":
    answer(Path(sys.argv[1]))
