"""The manifest of a folder, and the comparison of the work that it notes with other work."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dragoman.errors import DamagedError, UserError
from dragoman.folders.files import LOCK, atomic_path
from dragoman.folders.integrity import (
    MANIFEST,
    Digest,
    damages,
    digest,
    list_files,
    read_sealed,
    write_sealed,
)

VERSIONED = ("dragoman", "numpy", "pyarrow", "torch", "transformers", "pillow", "sacrebleu")
OWN = ("format", "format_version", "inputs", "command", "versions", "seed", "files")
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
    files: tuple[str, ...] = ("*",)
    """Patterns of the files that the manifest lists with their checksums."""
    apart: tuple[str, ...] = ()
    """Patterns of those it does not list, since they come later or change on their own."""

    @property
    def kind(self) -> str:
        """The noun for messages: "corpus"."""
        return self.name.removeprefix("dragoman-")

    def write(
        self, folder: Path, *, inputs: Mapping[str, str], seed: int | None = None, **details: Any
    ) -> None:
        """Write `manifest.json`: format, input hashes, command line, library versions, seed, files, details.

        `inputs` maps a name or path to a content hash. `files` are the digests of what the folder holds.
        Write it last: its presence says the folder is complete.
        """
        # All of the folder stands but this file, in a stage still beside its place: no stage can forget it.
        files = list_files(folder, self.files, self.apart)
        self._write(folder, files, {"inputs": dict(inputs), "seed": seed} | details)

    def replace(
        self, folder: Path, name: str, fill: Callable[[Path], None], **details: Any
    ) -> dict[str, Any]:
        """Let `fill` write a file anew, and the manifest with it; returns the new manifest.

        `details` are added to those that the manifest has. A kill at any moment leaves the old content or
        the new one, and a manifest that knows both: the file is named there as it will be before it changes.
        """
        manifest = self.read(folder)
        files: dict[str, Digest] = manifest.get("files", {})
        details = details_of(manifest) | {name: manifest.get(name) for name in ("inputs", "seed")} | details
        with atomic_path(folder / name) as temporary:
            fill(temporary)
            new = digest(temporary)
            # As it is now, not as it was listed: folders of before list nothing, and after a kill two are.
            self._write(folder, {**files, name: {**digest(folder / name), "next": new}}, details)
        self._write(folder, {**files, name: new}, details)
        return self.read(folder)

    def read(self, folder: Path) -> dict[str, Any]:
        """Read the manifest, and compare the files that it lists with their checksums.

        Raises UserError where the folder is missing, of another format or of a newer version, and
        DamagedError where it is not as it was written.
        """
        manifest = self.peek(folder)
        if wrong := damages(folder, manifest.get("files", {})):
            raise DamagedError(f"{folder} is damaged: {'; '.join(wrong[:3])}. {self.mend(folder)}")
        return manifest

    def peek(self, folder: Path) -> dict[str, Any]:
        """Read the manifest alone. Raises UserError as `read`, but for damaged files."""
        path = folder / MANIFEST
        if not path.is_file():
            state = f"has no {MANIFEST}" if folder.is_dir() else "does not exist"
            missing = f"{folder} {state}, so it is no complete {self.kind} folder."
            raise UserError(f"{missing} Make one: {self._command(folder)}")
        manifest = read_sealed(path, self.mend(folder))
        try:
            found, version = manifest["format"], int(manifest["format_version"])
            dict(manifest.get("files", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{path} is damaged ({error!r}). {self.mend(folder)}") from None
        if found != self.name:
            raise UserError(
                f"{folder} holds a {found}, but a {self.name} was expected. Make one: {self._command(folder)}"
            )
        if version > self.version:
            raise UserError(
                f"{folder} has format version {version}, but this dragoman reads up to {self.version}. "
                "Upgrade it: pip install --upgrade dragoman"
            )
        return manifest

    def _write(self, folder: Path, files: Mapping[str, Digest], details: Mapping[str, Any]) -> None:
        said = {
            "format": self.name,
            "format_version": self.version,
            "inputs": {},
            "command": sys.argv,
            "versions": versions(),
            "seed": None,
            "files": dict(files),
        }
        write_sealed(folder / MANIFEST, said | dict(details))

    def _command(self, folder: Path) -> str:
        return self.make.replace("{folder}", str(folder))

    def mend(self, folder: Path) -> str:
        """Say what to do about a damaged folder."""
        return f"Restore it from a backup, or remove it and make it anew: {self._command(folder)}"

    def is_in(self, folder: Path) -> bool:
        """Tell if the folder holds a finished one. Raises UserError where it holds anything else.

        An empty folder, or none, may be filled; a folder of other files is left alone.
        """
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file, but a folder is to be written. Give another --out.")
        if (folder / MANIFEST).is_file():
            try:
                self.peek(folder)
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
