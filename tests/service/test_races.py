"""Writes, deletions and swaps that meet, and kills between their steps: against a dictionary."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shelf import open_shelf

from dragoman.folders import sole_writer
from dragoman.index.folder import open_generation, read_info, remove_leftovers, write_info
from dragoman.index.job import _carry_over
from dragoman.search import searcher as searcher_module
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.service import items, schemas
from dragoman.service.config import ServiceSettings

STATE: Any = SimpleNamespace(config=ServiceSettings())
ASKED = schemas.ItemRequest()


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


def swap(index: Path, name: str) -> None:
    """Do what `dragoman index` does for other settings of the store: copy, name it, drop the old one."""
    with sole_writer(index):
        before = read_info(index)
        info = replace(before, generation=name)
        with open_generation(info) as store:
            _carry_over(before, info, store)
        write_info(info)
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
