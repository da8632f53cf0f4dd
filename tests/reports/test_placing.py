"""A report is replaced as a whole or not at all, also when the process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dragoman.errors import UserError
from dragoman.folders import sole_writer, write_manifest
from dragoman.reports.placing import replaced_folder

KIND = {"format": "dragoman-report", "format_version": 1, "make": "dragoman evaluate"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(out: Path, text: str) -> None:
    with replaced_folder(out, **KIND) as folder:
        (folder / "report.json").write_text(text)
        write_manifest(folder, format="dragoman-report", format_version=1, inputs={})


def killed_while(out: Path, when: str) -> None:
    """Run `write` in another process and kill it at the point that `when` patches."""
    code = textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_placing
        def die(*args, **settings): os.kill(os.getpid(), signal.SIGKILL)
        {when}
        test_placing.write(Path({str(out)!r}), "second")
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_new_folder_takes_the_name_of_the_old(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")
    write(tmp_path / "out", "second")
    assert (tmp_path / "out" / "report.json").read_text() == "second"
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["manifest.json", "report.json"]


def test_a_kill_while_writing_leaves_the_old_report(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")
    killed_while(tmp_path / "out", "test_placing.write_manifest = die")
    assert (tmp_path / "out" / "report.json").read_text() == "first"
    write(tmp_path / "out", "third")
    assert (tmp_path / "out" / "report.json").read_text() == "third"
    assert names(tmp_path) == ["out"]


def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")
    killed_while(
        tmp_path / "out",
        "real = Path.rename; Path.rename = lambda a, b: die() if a.name == '.out.new' else real(a, b)",
    )
    assert (tmp_path / ".out.old" / "report.json").read_text() == "first"
    with pytest.raises(RuntimeError, match="evaluation failed"), replaced_folder(tmp_path / "out", **KIND):
        raise RuntimeError("evaluation failed")
    assert (tmp_path / "out" / "report.json").read_text() == "first"


def test_two_writers_of_one_report_exclude_each_other(tmp_path: Path) -> None:
    with sole_writer(tmp_path / ".out.new"), pytest.raises(UserError, match="is being written by another"):
        write(tmp_path / "out", "x")
    write(tmp_path / "out", "y")
    assert (tmp_path / "out" / "report.json").read_text() == "y"


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "x")
    assert (tmp_path / "out" / "report.json").read_text() == "x"


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="nothing that may be replaced"):
        write(tmp_path / "out", "x")
    assert (tmp_path / "out").read_text() == "mine"
