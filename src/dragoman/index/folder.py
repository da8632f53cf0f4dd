"""The index folder: `manifest.json`, `generations/<name>/` with the files of the store, `calibration-*.json`.

The manifest names the generation that is searched. Vectors of another model grow beside it, in a generation
of their own, until the manifest is replaced, atomically: a search sees the old index or the new one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dragoman import plugins
from dragoman.errors import DamagedError, ReadOnlyError, reason
from dragoman.folders import MANIFEST, Format, read_sealed, remove, sha256, write_sealed
from dragoman.settings import make
from dragoman.stores import STORES, Store

INDEX = Format(
    "dragoman-index",
    1,
    "dragoman index RUN MEDIA --out {folder}",
    # Entries and vectors change with every file that comes: their store keeps a checksum of each.
    files=(),
)
COLLECTION = Format(
    "dragoman-collection",
    1,
    "dragoman make PHOTOS --to LANG --out {folder}",
    # Corpus, run and index below it list their own.
    files=(),
)
METRIC = "cosine"
ABOUT = "about.json"
"""Store and settings of a generation."""


@dataclass(frozen=True, kw_only=True)
class IndexInfo:
    """Contents of the `manifest.json` of an index."""

    folder: Path
    generation: str
    """Folder below `generations/`, and the name by which the store knows it."""
    model: str
    """Run or export folder whose model filled it."""
    fingerprint: str
    """Hash of that model (`retrievers.loading`)."""
    image_fingerprint: str
    """Hash of its image side: while it stays, so do the vectors of the index."""
    vision: str | None
    """Folder of the vision tower, where the model does not know it."""
    width: int
    backend: str
    settings: Mapping[str, object]
    """All settings of the store."""
    described: Mapping[str, object]
    """Facts that the store tells of itself: chosen parameters, and the recall of approximate search where it
    was measured."""
    count: int
    """Entries when the job last finished; `Store.count` counts now."""
    media: str | None
    """Absolute path that the paths of entries are relative to."""
    languages: tuple[str, ...]
    """Languages that the model was trained on."""
    calibration: Mapping[str, object] | None
    """`file` in the index folder, and what it holds; None where scores are cosines only."""
    created: str
    updated: str
    """UTC, ISO 8601."""

    @property
    def place(self) -> Path:
        """Folder of the files of the store."""
        return self.folder / "generations" / self.generation

    @property
    def media_root(self) -> Path | None:
        """Folder of the media, from which files may be given; None where the index names none, or none that
        this computer could have indexed.

        An index of others may name a relative one, which would be another wherever a program is started, or
        the whole disk.
        """
        root = Path(self.media or "")
        whole = root.resolve()
        return root if root.is_absolute() and whole != whole.parent else None


_HINTS = {name: hint for name, hint in get_type_hints(IndexInfo).items() if name != "folder"}


def _fits(value: object, hint: Any) -> bool:
    """Tell if a value that was read is of the type of its field."""
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    kind = get_origin(hint) or hint
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    return isinstance(value, dict) if kind is Mapping else type(value) is kind


def read_info(folder: Path) -> IndexInfo:
    """Read the manifest. Raises UserError where the folder holds no complete index, or a damaged one."""
    manifest, rebuild = INDEX.read(folder), INDEX.make.replace("{folder}", str(folder))
    names = [field.name for field in dataclasses.fields(IndexInfo) if field.name != "folder"]
    try:
        values = {name: manifest[name] for name in names} | {"languages": tuple(manifest["languages"])}
        info = IndexInfo(folder=folder, **values)
        if wrong := [name for name, hint in _HINTS.items() if not _fits(getattr(info, name), hint)]:
            raise TypeError(f"{wrong[0]} is {values[wrong[0]]!r}")
        # Of names that lead elsewhere, other files would be read.
        for name in (info.generation, info.calibration["file"] if info.calibration else info.generation):
            if not re.fullmatch(r"\w[\w.-]*", str(name)):
                raise ValueError(f"{name!r} is no name")
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(
            f"{folder / MANIFEST} is damaged ({reason(error)}). Rebuild the index: {rebuild}"
        ) from None
    if not info.place.is_dir():
        raise DamagedError(f"{folder} lacks {info.place.relative_to(folder)}. Rebuild the index: {rebuild}")
    return info


def calibration_name(file: Path) -> str:
    """Name a calibration in an index by its content.

    So who reads the manifest of before still finds the one that it names, and none is taken for another.
    """
    return f"calibration-{sha256(file)[:12]}.json"


def write_info(info: IndexInfo) -> None:
    """Replace the manifest: from here on the index is what `info` says."""
    details = {name: value for name, value in asdict(info).items() if name != "folder"}
    INDEX.write(info.folder, inputs={"model": info.fingerprint}, metric=METRIC, **details)


def store_module(name: str) -> ModuleType:
    """Import `stores/<name>.py`, or the folder of that name."""
    return plugins.load(STORES, name, "store")


def complete_settings(store: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Return all settings of a store as plain values, with defaults for those that are not given.

    Raises UserError for a store or a setting that does not exist, and for a value that does not fit.
    """
    return asdict(make(store_module(store).Config, given, f"The store {store}"))


def open_generation(info: IndexInfo) -> Store:
    """Open the store of the generation that `info` names; what is missing of a new one is made.

    Raises DamagedError where the manifest names it, so that it was whole once, and nothing is there.
    """
    module = store_module(info.backend)
    try:
        config = module.Config(**info.settings)
    except TypeError as error:
        said = f"{info.folder / MANIFEST} is damaged (settings: {reason(error)})."
        raise DamagedError(f"{said} {INDEX.mend(info.folder)}") from None
    make = not _is_named(info)
    if not (info.place / ABOUT).is_file():
        # It is read only to drop the store, which takes writing as well.
        with suppress(ReadOnlyError):
            write_sealed(info.place / ABOUT, {"backend": info.backend, "settings": info.settings})
    opened: Store = module.open_store(info.place, config, info.width, info.generation, make)
    return opened


def _is_named(info: IndexInfo) -> bool:
    return (info.folder / MANIFEST).is_file() and INDEX.peek(info.folder)["generation"] == info.generation


def generation_name(folder: Path, image_fingerprint: str, backend: str, settings: Mapping[str, Any]) -> str:
    """Name the generation of this content: the one that was begun already, else a new name.

    A name begins at random, because stores on servers keep the collections of many indexes.
    """
    content = json.dumps([image_fingerprint, backend, settings], sort_keys=True, default=str)
    ending = hashlib.sha256(content.encode()).hexdigest()[:12]
    begun = sorted(path.name for path in (folder / "generations").glob(f"g????????_{ending}"))
    return begun[0] if begun else f"g{secrets.token_hex(4)}_{ending}"


def other_generations(info: IndexInfo) -> list[Path]:
    """List the folders of generations that are searched no longer, or never were."""
    found = (info.folder / "generations").iterdir()
    return sorted(path for path in found if path.is_dir() and path.name != info.generation)


def remove_leftovers(info: IndexInfo) -> None:
    """Remove what the manifest no longer names, also what a server keeps of it."""
    for path in other_generations(info):
        _drop(path)
        remove(path)
    named = (info.calibration or {}).get("file")
    for path in info.folder.glob("calibration-*.json"):
        if path.name != named:
            path.unlink()


def _drop(place: Path) -> None:
    """Let a store on a server forget a generation; what lies in the folder goes with it."""
    if not (place / ABOUT).is_file():
        return
    about = read_sealed(place / ABOUT, "Remove the folder.")
    module = store_module(about["backend"])
    module.drop_store(place, module.Config(**about["settings"]), place.name)
