"""Replacing a whole folder at once: the old one stays until the new one is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import read_manifest, sole_writer


@contextmanager
def replaced_folder(out: Path, *, format: str, format_version: int, make: str) -> Iterator[Path]:
    """Yield an empty folder beside `out` that takes its name on success.

    On any exception, and after a kill, `out` is as it was. A folder that holds something else than a
    `format` is never replaced: UserError.
    """
    staging, old = (out.parent / f".{out.name}.{end}" for end in ("new", "old"))
    with sole_writer(staging):
        try:
            if old.exists() and not out.exists():
                old.rename(out)  # killed between the two renames below
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                _require_kind(out, format, format_version, make)
            _empty(staging)
            yield staging
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        staging.rename(out)
        (out / ".lock").unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)


def _require_kind(out: Path, format: str, format_version: int, make: str) -> None:
    try:
        read_manifest(out, format=format, format_version=format_version, make=make)
    except UserError as error:
        raise UserError(
            f"{out} exists and is nothing that may be replaced, so it was left alone: {error} "
            "Give another --out, or remove the folder."
        ) from None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != ".lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
