"""Writes, deletions and swaps that meet, and kills between their steps: against a dictionary."""

from __future__ import annotations

import io
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from interleaved import Truth, Turns, install
from PIL import Image
from shelf import open_shelf

from dragoman.errors import UserError
from dragoman.folders import sole_writer
from dragoman.index.folder import open_generation, read_info, remove_leftovers, write_info
from dragoman.index.job import _carry_over
from dragoman.search import searcher as searcher_module
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.service import items, schemas
from dragoman.service.config import ServiceSettings
from dragoman.service.problems import Problem

STATE: Any = SimpleNamespace(config=ServiceSettings())
ASKED = schemas.ItemRequest()
RACES, KILLS = (int(os.environ.get(name, "12")) for name in ("DRAGOMAN_RACES", "DRAGOMAN_KILLS"))
"""Random orders; docs/reliability.md says how many were tried at once."""


def png(shade: int = 90) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 30, 30)).save(content, "PNG")
    return content.getvalue()


def collection(searcher: Searcher) -> Any:
    return SimpleNamespace(info=searcher.info, searcher=searcher, name="shelf")


def put(searcher: Searcher, item_id: str, image: bytes) -> bool:
    return items._store(STATE, collection(searcher), item_id, ASKED, image)[0]


def delete(searcher: Searcher, item_id: str) -> None:
    (entry,) = searcher.store.get([item_id])
    if entry is not None:
        items._remove(collection(searcher), entry)


def swap(index: Path, name: str, point: Callable[[], None] = lambda: None) -> None:
    """Do what `dragoman index` does for other settings of the store: copy, name it, drop the old one."""
    with sole_writer(index):
        point()
        before = read_info(index)
        info = replace(before, generation=name)
        with open_generation(info) as store:
            _carry_over(before, info, store)
        point()
        write_info(info)
        point()
        remove_leftovers(info)


def files(index: Path) -> dict[str, bytes]:
    found = (index / "uploads").glob("*")
    return {str(file.absolute()): file.read_bytes() for file in found}


def test_a_deletion_that_ends_late_leaves_the_file_of_an_item_that_was_added_since(
    own_shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, go_on = threading.Event(), threading.Event()
    forget = items.forget_upload

    def late(folder: Path, entry: Any) -> None:
        if threading.current_thread().name == "deleter":
            committed.set()
            assert go_on.wait(20)
        forget(folder, entry)

    monkeypatch.setattr(items, "forget_upload", late)
    with open_shelf(own_shelf) as searcher:
        put(searcher, "a", png())
        deleter = threading.Thread(target=delete, args=(searcher, "a"), name="deleter")
        deleter.start()
        assert committed.wait(20)
        assert put(searcher, "a", png())
        go_on.set()
        deleter.join()
        (entry,) = searcher.store.get(["a"])
    assert entry is not None
    assert files(own_shelf) == {entry.path: png()}


def test_a_deletion_takes_the_file_of_the_entry_that_it_finds(own_shelf: Path) -> None:
    with open_shelf(own_shelf) as searcher:
        put(searcher, "a", png())
        (read,) = searcher.store.get(["a"])
        assert read is not None
        put(searcher, "a", png(200))
        items._remove(collection(searcher), read)
        assert searcher.store.get(["a"]) == [None]
    assert files(own_shelf) == {}


@pytest.mark.parametrize("what", ["delete", "add"])
def test_what_waits_for_a_swap_is_written_to_what_it_leaves(
    own_shelf: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    swaps = iter(["g1_other"])

    @contextmanager
    def later(folder: Path) -> Iterator[None]:
        for name in swaps:
            swap(own_shelf, name)
        with sole_writer(folder):
            yield

    monkeypatch.setattr(searcher_module, "sole_writer", later)
    with open_shelf(own_shelf) as searcher:
        if what == "delete":
            assert searcher.delete(["003.jpg", "nowhere"]) == 1
        else:
            put(searcher, "a", png())
        assert searcher.info.generation == "g1_other"
    with open_shelf(own_shelf) as searcher:
        assert [entry is None for entry in searcher.store.get(["003.jpg", "a"])] == [
            what == "delete",
            what == "delete",
        ]


@pytest.mark.parametrize("module", ["read_info", "open_generation"])
def test_a_swap_while_an_index_is_opened_is_seen(
    own_shelf: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    from dragoman.search import live

    names = iter(["g1_a", "g2_b"])
    real = getattr(live, module)

    def slow(given: Any) -> Any:
        # The manifest was read; before its generation is opened, two others have come and gone.
        before = real(given) if module == "read_info" else None
        for name in names:
            swap(own_shelf, name)
        return before or real(given)

    monkeypatch.setattr(live, module, slow)
    with open_shelf(own_shelf) as searcher:
        assert (searcher.info.generation, searcher.store.count()) == ("g2_b", 12)
        assert len(searcher.store.scan()) == 12


IDS = ["a", "b", "c/d"]


class Race:
    """Writers, deleters, readers and swaps over one shelf, with the dictionary that knows better."""

    def __init__(
        self, index: Path, searcher: Searcher, start: dict[str, bytes], seed: int, turns: Turns
    ) -> None:
        self.index, self.searcher, self.seed, self.turns = index, searcher, seed, turns
        self.truth = Truth(start)
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            install(patch, self.turns, self.truth, self.searcher)
            self.turns.run([self.change, self.change, self.change, self.read, self.read, self.swaps])

    def change(self) -> None:
        for _ in range(4):
            item_id, draw = self.turns.random.choice(IDS), self.turns.random
            image = png(draw.randrange(256)) if draw.random() < 0.6 else None
            with self.truth.changing(item_id, image):
                try:
                    if image is None:
                        delete(self.searcher, item_id)
                        self.counts["deleted"] += 1
                    else:
                        created = put(self.searcher, item_id, image)
                        assert created is not self.truth.change.was_there
                        self.counts["put"] += 1
                except Problem as problem:
                    assert problem.status_code == 503
                    self.counts["refused"] += 1

    def read(self) -> None:
        for _ in range(4):
            way = self.turns.random.choice(["get", "scan", "search"])
            since = len(self.truth.states) - 1
            if way == "get":
                known = [entry for entry in self.searcher.store.get(IDS) if entry is not None]
            elif way == "scan":
                known = self.searcher.store.scan()
            else:
                known = [hit.entry for hit in self.searcher.search(Query(text="a", k=50)).hits]
            if way != "get":
                assert sum(entry.item_id.endswith(".jpg") for entry in known) == 12
            seen = {entry.item_id: entry.source for entry in known if entry.item_id in IDS}
            # One of the states between the beginning and the end of the reading, whole.
            possible = [
                {item_id: items.source_of(image) for item_id, image in state.items()}
                for state in self.truth.states[since:]
            ]
            if way == "search":
                # Found in one state and read in a later one.
                for item_id in IDS:
                    assert seen.get(item_id) in [state.get(item_id) for state in possible]
            else:
                assert seen in possible
            self.counts["read"] += 1

    def swaps(self) -> None:
        for number in range(2):
            try:
                swap(self.index, f"g{self.seed}_{number}", self.turns.point)
                self.counts["swapped"] += 1
            except UserError as error:
                assert "being written by another" in str(error)
                self.turns.point()


def check_agrees(index: Path, expected: dict[str, bytes]) -> None:
    with open_shelf(index) as searcher:
        entries = [entry for entry in searcher.store.get(IDS) if entry is not None]
        assert {entry.item_id: Path(str(entry.path)).read_bytes() for entry in entries} == expected
        assert (searcher.store.count(), searcher.store.check()) == (12 + len(expected), [])
    assert sorted(files(index)) == sorted(str(entry.path) for entry in entries)


def test_any_order_of_writes_swaps_and_readings_agrees_with_a_dictionary(own_shelf: Path) -> None:
    expected: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    for seed in range(RACES):
        with open_shelf(own_shelf) as searcher:
            race = Race(own_shelf, searcher, expected, seed, Turns(seed))
            race.run()
        expected = race.truth.states[-1]
        counts += race.counts
        check_agrees(own_shelf, expected)
    # All of it happened.
    assert min(counts[what] for what in ("put", "deleted", "refused", "read", "swapped")) > 0
    print(f"{RACES} orders: {dict(counts)}")


def test_a_kill_at_any_step_loses_nothing_that_was_committed(own_shelf: Path) -> None:
    # From an interpreter of its own: a child must inherit no threads and files that other tests left open.
    code = "import sys, pathlib, test_races; test_races.kills(pathlib.Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    subprocess.run([sys.executable, "-c", code, str(own_shelf)], check=True, env=environment)


def kills(own_shelf: Path) -> None:
    """Kill a child at a random step, `KILLS` times, and compare what is left with what was committed."""
    expected: dict[str, bytes] = {}
    killed = 0
    for seed in range(KILLS):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _race_and_die(own_shelf, expected, seed, writing)
            except BaseException:
                # What went wrong in a child is seen nowhere else.
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            states = told.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        if states:
            last = json.loads(states.splitlines()[-1])
            expected = {item_id: bytes.fromhex(image) for item_id, image in last.items()}
        with open_shelf(own_shelf) as searcher:
            shelf = items.Collection("shelf", searcher, ServiceSettings(), _Metrics())
            shelf.finish_changes()
            shelf.close()
        check_agrees(own_shelf, expected)
    assert killed > KILLS // 2
    print(f"{killed} kills")


def _race_and_die(index: Path, start: dict[str, bytes], seed: int, writing: int) -> None:
    at = random.Random(seed).randrange(5, 250)

    def kill() -> None:
        if turns.points == at:
            os.kill(os.getpid(), signal.SIGKILL)

    class Told(Truth):
        def commit(self) -> None:
            known = len(self.states)
            super().commit()
            if len(self.states) > known:
                state = {item_id: image.hex() for item_id, image in self.states[-1].items()}
                os.write(writing, json.dumps(state).encode() + b"\n")

    turns = Turns(seed, kill)
    with open_shelf(index) as searcher:
        race = Race(index, searcher, start, 1000 + seed, turns)
        race.truth = Told(start)
        race.run()
    os._exit(0)


@pytest.mark.parametrize("killed_at", ["note_change", "keep_upload", "commit", "forget_upload", "end"])
@pytest.mark.parametrize("change", ["put", "replace", "delete"])
def test_a_kill_leaves_no_upload_that_no_entry_names(own_shelf: Path, change: str, killed_at: str) -> None:
    if change != "put":
        with open_shelf(own_shelf) as searcher:
            put(searcher, "a", png())
            put(searcher, "b", png())
    pid = os.fork()
    if pid == 0:
        try:
            _killed(own_shelf, change, killed_at)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (-signal.SIGKILL, 0)
    with open_shelf(own_shelf) as searcher:
        shelf = items.Collection("shelf", searcher, ServiceSettings(), _Metrics())
        shelf.finish_changes()
        entries = [entry for entry in searcher.store.get(["a", "b"]) if entry is not None]
        shelf.close()
    assert files(own_shelf).keys() == {entry.path for entry in entries}
    committed = killed_at in ("forget_upload", "end")
    if change == "put":
        assert len(entries) == committed
    else:
        assert [entry.item_id for entry in entries][-1] == "b"
    if committed:
        expected = {"put": [png()], "replace": [png(200), png()], "delete": [png()]}[change]
        assert [Path(str(entry.path)).read_bytes() for entry in entries] == expected


class _Metrics:
    def batched(self, count: int) -> None:
        """Count nothing."""


def _killed(index: Path, change: str, at: str) -> None:
    def kill(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with open_shelf(index) as searcher:
        if at == "commit":
            with searcher.writing() as opened:
                for name in ("add", "update", "delete"):
                    setattr(opened.store, name, kill)
        elif at != "end":
            real = getattr(items, at)

            def killed(*given: Any) -> None:
                # A part of the file is there, and not yet its name.
                if at == "keep_upload":
                    given[0].with_name(f".{given[0].name}.1234.tmp").write_bytes(b"half")
                if at == "note_change":
                    real(*given)
                kill()

            setattr(items, at, killed)
        if change == "delete":
            delete(searcher, "a")
        else:
            put(searcher, "a", png(200) if change == "replace" else png())
    os._exit(0)


def test_children_of_a_busy_parent_search_as_it_does(own_shelf: Path) -> None:
    with open_shelf(own_shelf) as searcher:

        def found() -> list[str]:
            return [hit.entry.item_id for hit in searcher.search(Query(text="a red car", k=20)).hits]

        expected, stop = found(), threading.Event()
        wrong: list[object] = []

        def busy() -> None:
            while not stop.is_set():
                if found() != expected:
                    wrong.append("another answer")

        threads = [threading.Thread(target=busy) for _ in range(2)]
        for thread in threads:
            thread.start()
        answers = [_in_child(found) for _ in range(8)]
        stop.set()
        for thread in threads:
            thread.join()
    assert (answers, wrong) == ([expected] * 8, [])


def test_a_child_writes_while_threads_of_its_parent_did(own_shelf: Path) -> None:
    with open_shelf(own_shelf) as searcher:
        stop = threading.Event()

        def busy() -> None:
            while not stop.is_set():
                searcher.store.count()

        thread = threading.Thread(target=busy)
        thread.start()
        answer = _in_child(lambda: [str(searcher.delete(["001.jpg"])), str(searcher.store.count())])
        assert answer == ["1", "11"]
        stop.set()
        thread.join()
        # And its parent sees it.
        assert searcher.store.get(["001.jpg"]) == [None]


@pytest.mark.parametrize("library", ["torch", "faiss"])
def test_a_child_computes_with_the_libraries_of_its_parent(own_shelf: Path, library: str) -> None:
    module = pytest.importorskip(library)

    def work() -> list[str]:
        if library == "torch":
            return [str(float((module.ones(512, 512) @ module.ones(512, 512)).sum()))]
        flat = module.IndexFlatIP(64)
        flat.add(np.eye(4000, 64, dtype=np.float32))
        return [str(one) for one in flat.search(np.eye(64, dtype=np.float32), 1)[1][:, 0].tolist()]

    threads = module.get_num_threads() if library == "torch" else module.omp_get_max_threads()
    set_threads = module.set_num_threads if library == "torch" else module.omp_set_num_threads
    set_threads(2)
    try:
        with open_shelf(own_shelf):
            # Without an open index a child would wait here for threads that it does not have.
            assert work() == _in_child(work)
    finally:
        set_threads(threads)


def _in_child(work: Callable[[], list[str]]) -> list[str]:
    """Return what `work` gives in a forked child, which has ten seconds."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], 10)
    answer = os.read(reading, 10_000) if ready else b'["hangs"]'
    if not ready:
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    os.waitpid(pid, 0)
    found: list[str] = json.loads(answer or b'["failed"]')
    return found
