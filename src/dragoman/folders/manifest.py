"""The manifest of a folder, and the comparison of the work that it notes with other work."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dragoman.errors import UserError
from dragoman.folders.files import LOCK, write_json

MANIFEST = "manifest.json"
VERSIONED = ("dragoman", "numpy", "pyarrow", "torch", "transformers", "pillow", "sacrebleu")
OWN = ("format", "format_version", "inputs", "command", "versions", "seed")
"""Keys that every manifest has; all others are details of its kind."""


def versions(names: Sequence[str] = VERSIONED) -> dict[str, str]:
    """Versions of Python and of those named packages that are installed."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Format:
    """A kind of folder: the name and version in its manifest, and the command that makes one."""

    name: str
    """Such as `dragoman-corpus`; messages say what follows the first hyphen."""
    version: int
    make: str
    """The command; `{folder}` stands for the folder."""

    @property
    def kind(self) -> str:
        """The noun for messages: "corpus"."""
        return self.name.removeprefix("dragoman-")

    def write(
        self, folder: Path, *, inputs: Mapping[str, str], seed: int | None = None, **details: Any
    ) -> None:
        """Write `manifest.json`: format, input hashes, command line, library versions, seed, details.

        `inputs` maps a name or path to a content hash. Write it last: its presence says the folder is
        complete.
        """
        # All of the folder stands but this file, in a stage still beside its place: what every manifest must
        # say of `files_of(folder)` belongs here, and no stage can forget it.
        said = {
            "format": self.name,
            "format_version": self.version,
            "inputs": dict(inputs),
            "command": sys.argv,
            "versions": versions(),
            "seed": seed,
        }
        write_json(folder / MANIFEST, said | details)

    def read(self, folder: Path) -> dict[str, Any]:
        """Read the manifest.

        Raises UserError where the folder is missing, of another format, torn, or of a newer version.
        """
        path, make = folder / MANIFEST, self.make.replace("{folder}", str(folder))
        if not path.is_file():
            state = f"has no {MANIFEST}" if folder.is_dir() else "does not exist"
            raise UserError(f"{folder} {state}, so it is no complete {self.kind} folder. Make one: {make}")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            found, version = manifest["format"], int(manifest["format_version"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error!r}). Rebuild the folder: {make}") from None
        if found != self.name:
            raise UserError(f"{folder} holds a {found}, but a {self.name} was expected. Make one: {make}")
        if version > self.version:
            raise UserError(
                f"{folder} has format version {version}, but this dragoman reads up to {self.version}. "
                "Upgrade it: pip install --upgrade dragoman"
            )
        return dict(manifest)

    def is_in(self, folder: Path) -> bool:
        """Tell if the folder holds a finished one. Raises UserError where it holds anything else.

        An empty folder, or none, may be filled; a folder of other files is left alone.
        """
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file, but a folder is to be written. Give another --out.")
        if (folder / MANIFEST).is_file():
            try:
                self.read(folder)
            except UserError as error:
                raise UserError(
                    f"{folder} exists and is nothing that may be replaced, so it was left alone: {error} "
                    "Give another --out, or remove the folder."
                ) from None
            return True
        if folder.is_dir() and any(entry.name != LOCK for entry in folder.iterdir()):
            raise UserError(
                f"{folder} holds other files and is no {self.kind}, so it is left alone. Give another --out."
            )
        return False


def files_of(folder: Path) -> list[Path]:
    """List the files that the manifest of a folder answers for, and the manifest itself, by path.

    A folder below it with a manifest of its own answers for itself.
    """
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        # A leading dot marks locks, files without a name yet, and folders of unfinished work.
        if path.name.startswith("."):
            continue
        if path.is_file():
            found.append(path)
        elif not path.is_symlink() and not (path / MANIFEST).is_file():
            found += files_of(path)
    return found


def details_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a manifest that only its kind has; each write says the others anew."""
    return {name: value for name, value in manifest.items() if name not in OWN}


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in what the work noted in a folder differs from this one; an empty list where it is the same.

    Both map the name of a part (`config`, `inputs`) to plain values, or to a mapping of such. Settings are
    given with both values, without the name of their part; of content hashes, the part is named.
    """
    found: list[str] = []
    now = json.loads(json.dumps(now, default=str))  # tuples and paths as they were stored
    for name in dict.fromkeys([*now, *stored]):
        before, after = stored.get(name), now.get(name)
        if before == after:
            continue
        flat = [_flat(part if isinstance(part, dict) else {name: part}) for part in (before, after)]
        keys = sorted(flat[0].keys() | flat[1].keys())
        changed = [key for key in keys if flat[0].get(key) != flat[1].get(key)]
        values = [[of.get(key) for of in flat] for key in changed]
        mixed = isinstance(before, dict) != isinstance(after, dict)
        if mixed or not changed or any(_is_hash(one) for pair in values for one in pair):
            found.append(name)
        else:
            found += [f"{k}={b!r} there, {a!r} now" for k, (b, a) in zip(changed, values, strict=True)]
    return found


def require_same(
    folder: Path, kind: str, stored: Mapping[str, Any], now: Mapping[str, Any], fix: str
) -> None:
    """Raise UserError, with what differs and the `fix`, where other work is noted in `folder`."""
    if differ := differences(stored, now):
        raise UserError(f"{folder} holds another {kind}; it differs in {'; '.join(differ)}. {fix}")


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, part in value.items():
        flat |= _flat(part, f"{prefix}{name}.") if isinstance(part, dict) else {f"{prefix}{name}": part}
    return flat


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32,}", value) is not None
