"""The life of a folder: filled beside its place and swapped in, or filled in its place step by step."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import UserError
from dragoman.folders.files import LOCK, WINDOWS, sole_writer, sync_file, sync_folder
from dragoman.folders.integrity import MANIFEST, damages, read_sealed
from dragoman.folders.manifest import Format, differences, require_same


@dataclass(kw_only=True)
class Work:
    """A folder to be filled, and the manifest of it where this very work is finished there already."""

    folder: Path
    """Folder to write into."""
    done: dict[str, Any] | None = None


@contextmanager
def stage(
    out: Path,
    format: Format,
    identity: Mapping[str, Any] | None = None,
    *,
    replace: bool,
    renews: Callable[[Mapping[str, Any]], bool] = lambda stored: False,
    fix: str = "Give another folder (--out).",
) -> Iterator[Work]:
    """Fill a folder beside `out`; when the block ends well it takes that place, otherwise it vanishes.

    `identity` are details of the manifest that tell this work from other work. Where `out` holds the same
    work, finished, it is yielded as `done` and left as it is. Another folder of this format is replaced where
    this work `renews` it, by the identity that is stored there, or with `replace`; otherwise it is refused
    with what differs and the `fix`. Anything else is never replaced: UserError.

    Both folders are locked, so that a second builder, or a job that writes into `out`, is told instead of
    overrun. A kill leaves the old folder or the new one; one between the two renames is mended by the next
    call.
    """
    may_replace = (lambda stored: True) if replace else renews
    out = out.absolute()  # a folder such as `.` has no name to put another beside
    # Beside `out`, so on the same disk: only there is a rename one step. The lock is there, too, since a lock
    # in `out` would move with it.
    work = out.with_name(f".{out.name}.building")
    new, old = work / "new", work / "old"
    # What a kill left beside it is removed, under the lock.
    if (done := _finished(out, format, identity, may_replace, fix)) is not None and not work.exists():
        yield Work(folder=out, done=done)
        return
    with sole_writer(work), ExitStack() as of_out:
        mend(out, old)
        try:
            # Asked again under the lock: another process may have finished the same work since.
            if (done := _finished(out, format, identity, may_replace, fix)) is not None:
                yield Work(folder=out, done=done)
                return
            if (out / MANIFEST).is_file():
                of_out.enter_context(_held_for_a_while(out))
            clear(work)
            new.mkdir()
            yield Work(folder=new)
            if WINDOWS:  # where a folder with an open file keeps its name
                of_out.close()
            swap(new, out, old)
        finally:
            mend(out, old)  # Ctrl-C may come at any line
            # While the lock is held: its file loses its name, so a process that opens it now is refused.
            shutil.rmtree(work, ignore_errors=True)
    if WINDOWS:
        with suppress(OSError):
            work.rmdir()


@contextmanager
def resume(
    folder: Path, format: Format, identity: Mapping[str, Any], *, note: str | None = None, fix: str
) -> Iterator[Work]:
    """Hold `folder` for work in its place, which goes on where an earlier call was stopped.

    `identity` tells this work from other work. It is compared with the file `note`, which the caller writes
    before its first result, or with the manifest. Finished work is yielded as `done`, and the folder not
    held. Raises UserError for other work, with what differs and the `fix`.
    """

    def find() -> dict[str, Any] | None:
        manifest = format.read(folder) if (folder / MANIFEST).is_file() else None
        noted = folder / note if note else None
        stored = read_sealed(noted, format.mend(folder)) if noted and noted.is_file() else manifest
        if stored is not None:
            told = stored if noted and noted.is_file() else {name: stored.get(name) for name in identity}
            require_same(folder, format.kind, told, identity, fix)
        return manifest

    if (done := find()) is not None:
        yield Work(folder=folder, done=done)
        return
    with sole_writer(folder):
        yield Work(folder=folder, done=find())


def swap(new: Path, out: Path, old: Path) -> None:
    """Put `new` in the place of `out`: in one step where the system has one, as Linux does.

    Elsewhere the earlier folder lies at `old` for a moment; a kill between the two renames leaves it there,
    for `mend`.
    """
    # All of it is on the disk before it has its name: a manifest that a power cut left without the rest would
    # say that the folder is whole.
    for path in new.rglob("*"):
        if path.is_symlink():
            continue
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            sync_file(path)
    sync_folder(new)
    remove(old)
    if out.exists() and exchange(new, out):
        sync_folder(out.parent)
        sync_folder(new.parent)
        remove(new)
        return
    try:
        # Two renames, since none replaces a folder that is not empty. Between them nothing stands at `out`.
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:
        mend(out, old)
        raise
    sync_folder(out.parent)
    remove(old)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders of one disk change names in one step; False where the system or the disk cannot."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # no Linux, or a C library without it
        return False
    here, exchanged = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <linux/fs.h>
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchanged) == 0)


def mend(out: Path, old: Path) -> None:
    """Finish a swap that was interrupted: an old folder returns to its place where no whole one stands there.

    One without a manifest is no whole one where the old one has it: another process may have begun to write
    where for a moment nothing stood.
    """
    if old.exists() and (not out.exists() or ((old / MANIFEST).is_file() and not (out / MANIFEST).is_file())):
        remove(out)
        old.rename(out)
    remove(old)


def remove(folder: Path) -> None:
    """Remove a folder if it is there, so that half of it is never found again under its name."""
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def clear(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove everything in a folder but its lock and what is to be kept."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            if entry.name not in keep:
                shutil.rmtree(entry)
        elif entry.name not in (LOCK, *keep):
            entry.unlink()


def _finished(
    out: Path,
    format: Format,
    identity: Mapping[str, Any] | None,
    may_replace: Callable[[Mapping[str, Any]], bool],
    fix: str,
) -> dict[str, Any] | None:
    """The manifest at `out`, where it is of the same work; None where `out` may be filled."""
    if not format.is_in(out):
        return None
    manifest = format.peek(out)
    stored = {name: manifest.get(name) for name in identity or ()}
    if identity is not None and not differences(stored, identity):
        # The same work, but damaged, is made anew: the command that made it mends it.
        return None if damages(out, manifest.get("files", {})) else manifest
    if may_replace(stored):
        return None
    if identity is None:
        raise UserError(f"{out} holds a {format.kind} already. {fix}")
    require_same(out, format.kind, stored, identity, fix)
    return None


@contextmanager
def _held_for_a_while(folder: Path) -> Iterator[None]:
    """Hold a folder that is replaced or left as it was, without a trace of the lock."""
    traced = (folder / LOCK).exists()
    with sole_writer(folder):
        try:
            yield
        except BaseException:
            if not traced:
                with suppress(OSError):
                    (folder / LOCK).unlink()
            raise
