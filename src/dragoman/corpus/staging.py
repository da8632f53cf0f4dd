"""Build a folder beside its place, and let it take that place only when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import MANIFEST, sole_writer


@contextmanager
def staged(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder; when the block ends well it becomes `out`, otherwise it vanishes.

    `out` is replaced only with `overwrite`, and only if it is a finished folder of ours. Both are locked,
    so that a second builder, or a job that writes into `out`, is told instead of overrun.
    """
    out = out.absolute()
    staging, replaced = out.with_name(f".{out.name}.building"), out.with_name(f".{out.name}.replaced")
    out.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(staging):
        if replaced.exists() and not out.exists():
            # A kill between the two renames below left the old folder under its other name.
            replaced.rename(out)
        occupied = out.exists() and any(entry.name != ".lock" for entry in _entries(out))
        _check(out, occupied, overwrite)
        _clear(staging)
        with sole_writer(out) if occupied else nullcontext():
            try:
                yield staging
                shutil.rmtree(replaced, ignore_errors=True)
                if out.exists():
                    out.rename(replaced)
                staging.rename(out)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                if replaced.exists() and not out.exists():
                    replaced.rename(out)
                raise
            shutil.rmtree(replaced, ignore_errors=True)


def _entries(out: Path) -> list[Path]:
    if not out.is_dir():
        raise UserError(f"{out} is a file, but a folder is to be written. Give another --out.")
    return list(out.iterdir())


def _check(out: Path, occupied: bool, overwrite: bool) -> None:
    if not occupied:
        return
    if not (out / MANIFEST).is_file():
        raise UserError(f"{out} holds other files and is no corpus, so it is left alone. Give another --out.")
    if not overwrite:
        raise UserError(
            f"{out} exists already, made from other inputs or with other options. Give another --out, or "
            "replace it, with all translations and features in it: --overwrite"
        )


def _clear(staging: Path) -> None:
    for entry in staging.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != ".lock":
            entry.unlink()
