"""A folder takes its place only when it is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.corpus.staging import staged
from dragoman.errors import UserError
from dragoman.folders import sole_writer

OLD = {".lock": "", "manifest.json": "{}", "table": "old"}


def finished(folder: Path) -> Path:
    folder.mkdir()
    for name, text in OLD.items():
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_failure_leaves_the_old_folder_and_no_trace(tmp_path: Path) -> None:
    out = finished(tmp_path / "out")
    with pytest.raises(RuntimeError, match="boom"), staged(out, overwrite=True) as staging:
        (staging / "table").write_text("half")
        raise RuntimeError("boom")
    assert contents(out) == OLD
    assert list(tmp_path.iterdir()) == [out]


def test_two_builders_of_one_folder_are_told(tmp_path: Path) -> None:
    with (
        staged(tmp_path / "out", overwrite=False),
        pytest.raises(UserError, match="being written by another"),
        staged(tmp_path / "out", overwrite=False),
    ):
        pass


def test_a_folder_in_use_is_not_replaced(tmp_path: Path) -> None:
    out = finished(tmp_path / "out")
    with (
        sole_writer(out),
        pytest.raises(UserError, match="out is being written by another"),
        staged(out, overwrite=True),
    ):
        pass
    assert contents(out) == OLD


def test_a_file_is_no_place_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="out is a file"), staged(tmp_path / "out", overwrite=True):
        pass


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with staged(tmp_path / "out", overwrite=False) as staging:
        (staging / "table").write_text("new")
    assert contents(tmp_path / "out") == {".lock": "", "table": "new"}


STEPS = """
import os, signal, sys
from pathlib import Path
from dragoman.corpus.staging import staged

moment, out = int(sys.argv[1]), Path(sys.argv[2])
count = 0

def watch(event, arguments):
    global count
    if event in ("os.rename", "os.rmdir", "os.remove", "os.mkdir", "open"):
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
with staged(out, overwrite=True) as staging:
    (staging / "manifest.json").write_text("{}")
    (staging / "table").write_text("new")
print(count)
"""


def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one(tmp_path: Path) -> None:
    new = OLD | {"table": "new"}
    moment, killed, seen = 0, True, []
    while killed:
        moment += 1
        place = tmp_path / str(moment)
        place.mkdir()
        out = finished(place / "out")
        command = [sys.executable, "-c", STEPS, str(moment), str(out)]
        killed = subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
        if not out.exists():
            # Between the two renames; the next start puts the old folder back.
            with pytest.raises(UserError, match="exists already"), staged(out, overwrite=False):
                pass
        assert contents(out) in (OLD, new)
        seen.append(contents(out)["table"])
        with staged(out, overwrite=True) as staging:
            (staging / "manifest.json").write_text("{}")
            (staging / "table").write_text("new")
        assert contents(out) == new
        assert list(place.iterdir()) == [out]
    assert seen[0] == "old"
    assert seen[-1] == "new"
    assert moment > 8
