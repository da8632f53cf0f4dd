"""The embedded index: what a kill, a crash, a second process and age do to it."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_world import WIDTH, Oracle, draw_vectors, make_entries, make_entry
from killed_writers import Witness, killed_again

from dragoman.errors import DamagedError, UserError
from dragoman.records import Entry
from dragoman.stores.embedded import rows, transactions
from dragoman.stores.embedded import store as embedded
from dragoman.stores.embedded.store import EmbeddedStore
from dragoman.stores.exact import Config, open_store


def open_index(folder: Path, wait: float = 5.0, width: int = WIDTH) -> EmbeddedStore:
    opened = open_store(folder, Config(wait=wait), width, "photos")
    assert isinstance(opened, EmbeddedStore)
    return opened


@pytest.fixture
def index(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with open_index(tmp_path / "index") as opened:
        yield opened


def filled(index: EmbeddedStore, count: int) -> Oracle:
    oracle = Oracle()
    entries, vectors = make_entries(count), draw_vectors(count)
    index.add(entries, vectors)
    oracle.put(entries, vectors)
    return oracle


def assert_holds(index: EmbeddedStore, oracle: Oracle) -> None:
    assert index.check() == []
    assert index.scan(limit=10_000) == oracle.passing()
    queries = draw_vectors(3, seed=77)
    assert [list(map(tuple, one)) for one in index.search(queries, 7)] == oracle.search(queries, 7)


@pytest.mark.parametrize(("name", "settings"), [("exact", {}), ("faiss", {"least": 30, "recall": 1.0})])
def test_a_killed_writer_loses_nothing_and_leaves_nothing_by_halves(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    if name == "faiss":
        pytest.importorskip("faiss", reason="needs dragoman[faiss]")
    witness, draw = Witness(), random.Random(5)
    for _ in range(3):
        killed_again(name, tmp_path, settings, witness, draw)
    assert witness.writes > 10


@pytest.mark.parametrize("lost", ["removed", "emptied"])
def test_an_index_that_lost_its_files_is_not_found_empty(tmp_path: Path, lost: str) -> None:
    with open_index(tmp_path / "index") as index:
        filled(index, 20)
    for file in (tmp_path / "index").iterdir():
        file.unlink()
    if lost == "emptied":
        (tmp_path / "index" / "entries.sqlite").touch()
    for _ in range(2):
        with pytest.raises(DamagedError, match=r"entries\.sqlite is (missing|empty)\. Restore the index"):
            open_store(tmp_path / "index", Config(), WIDTH, "photos", make=False)
    assert [file.name for file in (tmp_path / "index").iterdir() if file.stat().st_size] == []


def test_files_of_two_indexes_that_changed_places_are_told(tmp_path: Path) -> None:
    names = ("g0000000a_00000000000a", "g0000000b_00000000000a")
    for seed, name in enumerate(names):
        with open_store(tmp_path / name, Config(), WIDTH, name) as index:
            index.add(make_entries(20), draw_vectors(20, seed=seed))
    one, other = (tmp_path / name for name in names)
    one.rename(tmp_path / "kept")
    other.rename(one)
    (tmp_path / "kept").rename(other)
    for name in names:
        with pytest.raises(DamagedError, match="belongs to another index"):
            open_store(tmp_path / name, Config(), WIDTH, name)
        # By a name that says nothing, as people may give it.
        with open_store(tmp_path / name, Config(), WIDTH, "photos") as index:
            assert index.count() == 20


def test_vectors_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    with open_index(tmp_path / "index") as index:
        filled(index, 20)
    (vectors,) = (tmp_path / "index").glob("vectors-*")
    vectors.unlink()
    vectors.mkdir()
    for number in range(100):  # until the folder is as long as the rows
        (vectors / f"{number:0250}").touch()
    assert vectors.stat().st_size >= 20 * WIDTH * 4
    with pytest.raises(DamagedError, match=r"vectors-0\.f32 is a folder"):
        open_index(tmp_path / "index")


def test_a_write_that_fails_before_its_commit_leaves_no_trace(index: EmbeddedStore) -> None:
    oracle = filled(index, 20)

    with pytest.raises(ZeroDivisionError), index._store.writing() as database:
        index._insert(database, [make_entry("half", 1)], draw_vectors(1, seed=9))
        raise ZeroDivisionError
    assert_holds(index, oracle)
    more = [make_entry(f"more-{i}", i) for i in range(5)]
    index.add(more, draw_vectors(5, seed=3))
    oracle.put(more, draw_vectors(5, seed=3))
    assert_holds(index, oracle)


def test_vectors_are_on_the_disk_before_they_are_named(
    index: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a crash of the computer may keep: nothing that was not synced."""
    filled(index, 2)  # so that the file is there, and its folder is synced
    events: list[str] = []
    fsync = rows.os.fsync
    monkeypatch.setattr(rows.os, "fsync", lambda handle: (events.append("fsync"), fsync(handle))[1])
    connection = index._store._idle[-1]
    connection.set_trace_callback(lambda statement: events.append(statement.split(" ")[0]))
    index.add([Entry(item_id="a")], draw_vectors(1))
    assert events.count("fsync") == 1
    assert events.index("BEGIN") < events.index("fsync") < events.index("COMMIT")
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_check_finds_a_torn_vector_and_whose_it_is(index: EmbeddedStore) -> None:
    oracle = filled(index, 10)
    path = index._store.folder / "vectors-0.f32"
    with path.open("r+b") as file:
        file.seek(3 * WIDTH * 4 + 5)
        file.write(b"\xff")
    assert index.check() == [f"{list(oracle.entries)[3]}: the vector is torn"]


def test_check_finds_rows_that_belong_to_nobody_and_lost_metadata(index: EmbeddedStore) -> None:
    filled(index, 10)
    with index._store.writing() as database:
        database.execute("DELETE FROM entries WHERE slot = 4")
        database.execute("DELETE FROM fields WHERE slot = 5 AND name = 'year'")
    first, second = index.check()
    assert first.endswith("1 rows belong to no entry")
    assert second.endswith("filters see other metadata than the entries have")


def test_dead_rows_are_given_back_when_they_are_most(
    index: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "COMPACT_AFTER", 50)
    oracle = filled(index, 200)
    ids = list(oracle.entries)
    files = lambda: sorted(path.name for path in index._store.folder.glob("*.f32"))  # noqa: E731
    with open_index(index._store.folder) as reader:
        before = reader.search(draw_vectors(2), 3)
        index.delete(ids[:100])
        assert files() == ["vectors-0.f32"]
        index.delete(ids[100:101])
        oracle.delete(ids[:101])
        assert files() == ["vectors-1.f32"]
        assert_holds(index, oracle)
        assert_holds(reader, oracle)
        assert before != reader.search(draw_vectors(2), 3)
        more = [make_entry(ids[0], 5)]
        reader.add(more, draw_vectors(1, seed=8))
        oracle.put(more, draw_vectors(1, seed=8))
        assert_holds(index, oracle)


def test_an_old_file_that_cannot_be_removed_yet_is_removed_later(
    index: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows removes no file that a reader has mapped."""
    monkeypatch.setattr(embedded, "COMPACT_AFTER", 5)
    oracle = filled(index, 20)
    gone = list(oracle.entries)[:15]
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.name == "vectors-0.f32":
            raise PermissionError
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        index.delete(gone)
    oracle.delete(gone)
    assert_holds(index, oracle)
    assert (index._store.folder / "vectors-0.f32").exists()
    index.delete(["nowhere"])
    assert sorted(path.name for path in index._store.folder.glob("*.f32")) == ["vectors-1.f32"]


def test_updates_compact_as_well_and_everything_may_be_deleted(
    index: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "COMPACT_AFTER", 30)
    oracle = filled(index, 40)
    for round_ in range(3):
        entries = [make_entry(item_id, round_) for item_id in oracle.entries]
        index.update(entries, draw_vectors(40, seed=round_))
        oracle.put(entries, draw_vectors(40, seed=round_))
        assert_holds(index, oracle)
    assert index.delete(list(oracle.entries)) == 40
    assert_holds(index, Oracle())
    assert_holds(index, filled(index, 12))


def test_a_reader_in_the_midst_of_its_work_keeps_its_view(
    index: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "COMPACT_AFTER", 5)
    oracle = filled(index, 20)
    ids = list(oracle.entries)
    with open_index(index._store.folder) as reader, reader._store.reading() as view:
        index.delete(ids[:15])
        index.add([make_entry("new", 1)], draw_vectors(1, seed=9))
        assert not (index._store.folder / "vectors-0.f32").exists()
        assert view.database.execute("SELECT count(*) FROM entries").fetchone() == (20,)
        np.testing.assert_array_equal(view.state.matrix[:20], draw_vectors(20))
        assert reader.count() == 6


def test_a_reader_whose_file_is_removed_under_it_looks_again(
    index: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the state that names a file and the opening of the file, another process may compact."""
    monkeypatch.setattr(embedded, "COMPACT_AFTER", 5)
    oracle = filled(index, 20)
    ids = list(oracle.entries)
    mapped, calls = transactions.mapped, []

    def meanwhile(path: Path, slots: int, width: int, precision: rows.Precision) -> rows.Rows:
        if not calls:
            calls.append(path.name)
            index.delete(ids[:15])
        return mapped(path, slots, width, precision)

    monkeypatch.setattr(transactions, "mapped", meanwhile)
    with open_index(index._store.folder) as reader:
        oracle.delete(ids[:15])
        assert_holds(reader, oracle)
    assert calls == ["vectors-0.f32"]


def test_a_growing_file_needs_no_new_mapping_each_time(index: EmbeddedStore) -> None:
    filled(index, 10)
    with index._store.reading() as view:
        before = view.state.matrix
    index.add([make_entry("one more", 1)], draw_vectors(1, seed=2))
    with index._store.reading() as view:
        assert view.state.matrix is before
    np.testing.assert_array_equal(index.vectors(["one more"]), draw_vectors(1, seed=2))


def test_a_second_writer_waits_for_the_first(index: EmbeddedStore) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with index._store.writing():
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    with open_index(index._store.folder, wait=0.05) as impatient, open_index(index._store.folder) as patient:
        with pytest.raises(
            UserError, match=r"being written by another process, which did not finish within 0.05 s"
        ):
            impatient.add([Entry(item_id="a")], draw_vectors(1))
        assert impatient.count() == 0
        threading.Timer(0.1, leave.set).start()
        patient.add([Entry(item_id="b")], draw_vectors(1))
    holder.join()
    assert [entry.item_id for entry in index.scan()] == ["b"]


def test_threads_of_one_index_wait_for_one_another(tmp_path: Path) -> None:
    with open_index(tmp_path, wait=0.05) as index:
        with index._store.writing(), pytest.raises(UserError, match="being written"):
            index.delete(["a"])
        assert index.delete(["a"]) == 0


def test_another_process_sees_and_writes_the_same(index: EmbeddedStore) -> None:
    filled(index, 5)
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from dragoman.stores.exact import Config, open_store\n"
        "from dragoman.records import Entry\n"
        f"with open_store(Path(sys.argv[1]), Config(), {WIDTH}, 'photos') as index:\n"
        "    print(index.count(), index.search(index.vectors(['photo-000000']), 1)[0][0].item_id)\n"
        f"    index.add([Entry(item_id='theirs')], np.eye(1, {WIDTH}, dtype=np.float32))\n"
    )
    command = [sys.executable, "-c", code, str(index._store.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "photo-000000"]
    assert index.search(np.eye(1, WIDTH, dtype=np.float32), 1)[0][0] == ("theirs", 1.0)


@pytest.mark.parametrize("name", ["entries.sqlite", "vectors-0.f32"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    with open_index(tmp_path) as index:
        filled(index, 300)
    path = tmp_path / name
    path.write_bytes(b"not what it was" * 10)
    what = rf"{name} is (damaged|shorter than the 300 vectors)"
    with pytest.raises(UserError, match=what), open_index(tmp_path) as index:
        index.search(draw_vectors(1), 1)


def test_a_lost_file_of_vectors_is_missed(tmp_path: Path) -> None:
    with open_index(tmp_path) as index:
        filled(index, 3)
    (tmp_path / "vectors-0.f32").unlink()
    with pytest.raises(DamagedError, match="lacks its file of vectors"):
        open_index(tmp_path)


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    open_index(tmp_path).close()
    with sqlite3.connect(tmp_path / "entries.sqlite") as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(UserError, match="format version 9, but this dragoman reads up to 2"):
        open_index(tmp_path)


def test_a_closed_index_says_so(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    index.close()
    with pytest.raises(RuntimeError, match="was closed"):
        index.count()


def test_its_size_is_that_of_what_it_holds(tmp_path: Path) -> None:
    with open_index(tmp_path, width=512) as index:
        index.add([Entry(item_id=str(i)) for i in range(3000)], draw_vectors(3000, width=512))
        # 6 MB of vectors; the hole at the end of the file takes no place.
        assert 3000 * 2048 <= index.size() < 1.25 * 3000 * 2048


def test_a_wait_is_not_negative() -> None:
    with pytest.raises(UserError, match="wait must be 0 or more"):
        Config(wait=-1)
