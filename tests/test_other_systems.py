"""Every module can be imported where the modules of Unix do not exist."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys, warnings

UNIX = {"fcntl", "resource", "pwd", "grp", "termios"}

class Refuse:
    # What other packages import of these is their affair: on Windows they do without.
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in UNIX:
            caller = sys._getframe(1)
            while "importlib" in caller.f_code.co_filename:
                caller = caller.f_back
            if "dragoman" in caller.f_globals.get("__name__", ""):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

for name in UNIX:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refuse)
warnings.simplefilter("ignore")
import dragoman

failed = {}
for module in pkgutil.walk_packages(dragoman.__path__, "dragoman.", onerror=lambda name: None):
    if module.name == "dragoman.__main__":
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name in UNIX:
            failed[module.name] = error.name
assert not failed, failed
"""


def test_no_module_needs_what_only_unix_has() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


WITHOUT_LOCKS = """
import sys, tempfile, warnings
from pathlib import Path

for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
warnings.simplefilter("ignore")  # filelock says that it has a marker file only

from dragoman.errors import UserError
from dragoman.folders import Format, sole_writer, stage

out, book = Path(tempfile.mkdtemp()) / "out", Format("dragoman-book", 1, "")
for title in ("old", "new"):
    with stage(out, book, replace=True) as work:
        (work.folder / "title").write_text(title)
        book.write(work.folder, inputs={})
assert (out / "title").read_text() == "new"
assert [path.name for path in out.parent.iterdir()] == ["out"]
with sole_writer(out):
    try:
        with sole_writer(out):
            raise AssertionError("two writers")
    except UserError as error:
        assert "is being written by another" in str(error)
with sole_writer(out):
    pass
"""


def test_folders_are_locked_and_swapped_without_fcntl() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_LOCKS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
