"""A folder takes its place only when it is whole, and never that of other work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.errors import UserError
from dragoman.folders import Format, life, sole_writer, stage

BOOK = Format("dragoman-book", 1, "dragoman print --out {folder}")
OLD = {"title": "old"}


def finished(folder: Path, title: str = "old") -> Path:
    folder.mkdir(parents=True)
    (folder / "title").write_text(title)
    BOOK.write(folder, inputs={"paper": "a" * 64}, options={"title": title})
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != "manifest.json"}


def write(out: Path, title: str) -> None:
    with stage(out, BOOK, replace=True) as work:
        (work.folder / "title").write_text(title)
        BOOK.write(work.folder, inputs={})


def test_a_new_folder_takes_the_name_of_the_old(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")
    write(tmp_path / "out", "second")
    assert contents(tmp_path / "out") == {"title": "second"}
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_failure_leaves_the_old_folder_and_no_trace(tmp_path: Path) -> None:
    out = finished(tmp_path / "out")
    with pytest.raises(RuntimeError, match="boom"), stage(out, BOOK, replace=True) as work:
        (work.folder / "title").write_text("half")
        raise RuntimeError("boom")
    assert contents(out) == OLD
    assert list(tmp_path.iterdir()) == [out]


def test_two_builders_of_one_folder_are_told(tmp_path: Path) -> None:
    with (
        stage(tmp_path / "out", BOOK, replace=False) as work,
        pytest.raises(UserError, match="being written by another"),
        stage(tmp_path / "out", BOOK, replace=False),
    ):
        pass
    assert work.folder.parent.name == ".out.building"
    with stage(tmp_path / "out", BOOK, replace=True):  # nobody holds it any more
        pass


def test_a_folder_in_use_is_not_replaced(tmp_path: Path) -> None:
    out = finished(tmp_path / "out")
    with (
        sole_writer(out),
        pytest.raises(UserError, match="out is being written by another"),
        stage(out, BOOK, replace=True),
    ):
        pass
    assert contents(out) == OLD | {".lock": ""}


def test_a_folder_that_is_replaced_is_held_meanwhile(tmp_path: Path) -> None:
    out = finished(tmp_path / "out")
    with (
        stage(out, BOOK, replace=True),
        pytest.raises(UserError, match="out is being written by another"),
        sole_writer(out),
    ):
        pass


def test_a_file_is_no_place_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="out is a file"), stage(tmp_path / "out", BOOK, replace=True):
        pass
    assert (tmp_path / "out").read_text() == "a file"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with stage(tmp_path / "out", BOOK, replace=False) as work:
        (work.folder / "title").write_text("new")
    assert contents(tmp_path / "out") == {"title": "new"}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    (out / "thesis").write_text("years")
    with (
        pytest.raises(UserError, match="out holds other files and is no book, so it is left alone"),
        stage(out, BOOK, replace=True),
    ):
        pass
    assert contents(out) == {"thesis": "years"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Format("dragoman-film", 1, ""), "holds a dragoman-film, but a dragoman-book was expected"),
        (Format("dragoman-book", 2, ""), "has format version 2, but this dragoman reads up to 1"),
    ],
)
def test_folders_of_another_kind_are_left_alone(tmp_path: Path, other: Format, message: str) -> None:
    (out := tmp_path / "out").mkdir()
    other.write(out, inputs={})
    with pytest.raises(UserError, match=f"left alone: .*{message}"), stage(out, BOOK, replace=True):
        pass


def test_the_same_work_is_done_already(tmp_path: Path) -> None:
    out = finished(tmp_path / "out")
    same = {"inputs": {"paper": "a" * 64}, "options": {"title": "old"}}
    with stage(out, BOOK, same, replace=True) as work:
        assert work.folder == out
        assert work.done is not None
        assert work.done["options"] == {"title": "old"}
    assert contents(out) == OLD


def test_other_work_is_refused_with_what_differs(tmp_path: Path) -> None:
    out = finished(tmp_path / "out")
    other = {"inputs": {"paper": "b" * 64}, "options": {"title": "new"}}
    with (
        pytest.raises(
            UserError,
            match=r"out holds another book; it differs in inputs; title='old' there, 'new' now\. Use ink\.",
        ),
        stage(out, BOOK, other, replace=False, fix="Use ink."),
    ):
        pass
    with (
        pytest.raises(UserError, match=r"out holds a book already\. Use ink\."),
        stage(out, BOOK, replace=False, fix="Use ink."),
    ):
        pass
    with stage(out, BOOK, other, replace=True) as work:
        assert work.done is None
        BOOK.write(work.folder, **other)
    assert contents(out) == {}


STEPS = """
import os, signal, sys
from pathlib import Path
from dragoman.folders import Format, stage
import dragoman.folders.life
import filelock, pathlib, shutil

moment, out = int(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3] == "renames":
    dragoman.folders.life.exchange = lambda *_: False
count = 0

def watch(event, arguments):
    global count
    if event in ("os.rename", "os.rmdir", "os.remove", "os.mkdir", "open", "ctypes.dlopen", "ctypes.dlsym"):
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

book = Format("dragoman-book", 1, "")
sys.addaudithook(watch)
with stage(out, book, replace=True) as work:
    (work.folder / "title").write_text("new")
    (work.folder / "manifest.json").write_text('{"format": "dragoman-book", "format_version": 1}')
print(count)
"""


@pytest.mark.parametrize(
    "by",
    [
        pytest.param("exchange", marks=pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")),
        "renames",
    ],
)
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one(tmp_path: Path, by: str) -> None:
    new = {"title": "new"}
    moment, killed, seen, mended = 0, True, [], 0
    while killed:
        moment += 1
        place = tmp_path / str(moment)
        out = finished(place / "out")
        command = [sys.executable, "-c", STEPS, str(moment), str(out), by]
        killed = subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
        if not out.exists():
            # Between the two renames; the next start puts the old folder back.
            with pytest.raises(UserError, match="holds a book already"), stage(out, BOOK, replace=False):
                pass
            mended += 1
        (out / ".lock").unlink(missing_ok=True)
        assert contents(out) in (OLD, new)
        seen.append(contents(out)["title"])
        write(out, "new")
        assert contents(out) == new
        assert list(place.iterdir()) == [out]
    assert seen[0] == "old"
    assert seen[-1] == "new"
    assert moment > 8
    assert bool(mended) == (by == "renames")


def test_what_an_exception_between_the_renames_left_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = finished(tmp_path / "out"), Path.rename
    monkeypatch.setattr(life, "exchange", lambda *_: False)

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("no space for a name")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no space"):
        write(out, "new")
    assert contents(out) == OLD
    assert list(tmp_path.iterdir()) == [out]


def test_who_holds_a_folder_clears_what_a_killed_writer_left(tmp_path: Path) -> None:
    (tmp_path / ".captions.parquet.0a1b2c3d.tmp").write_text("half")
    (tmp_path / "captions.parquet").write_text("whole")
    below = tmp_path / "features" / ".vectors.npy.0a1b2c3d.tmp"
    below.parent.mkdir()
    below.write_text("of a job that holds the folder below")
    with sole_writer(tmp_path):
        assert contents(tmp_path / "features") == {below.name: below.read_text()}
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "captions.parquet", "features"]


def test_who_begins_to_write_where_nothing_stands_for_a_moment_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = finished(tmp_path / "out"), Path.rename
    monkeypatch.setattr(life, "exchange", lambda *_: False)

    def intrude(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if target.name == "old":
            (out / "features").mkdir(parents=True)
        return moved

    monkeypatch.setattr(Path, "rename", intrude)
    with pytest.raises(OSError, match="not empty"):
        write(out, "new")
    assert contents(out) == OLD
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(os.name == "nt", reason="a fork is of Unix")
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()  # as earlier writers left it
    code = (
        "import os, signal, sys; from pathlib import Path; from dragoman.folders import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="is being written by another"), sole_writer(tmp_path):
            pass
        other.kill()
    with sole_writer(tmp_path):
        pass
