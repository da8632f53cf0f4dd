"""Check of folders: everything that a stage wrote is read whole and compared with its checksums."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dragoman.corpus.features import FEATURES, FeatureSet
from dragoman.corpus.format import CORPUS
from dragoman.errors import DamagedError, UserError, reason
from dragoman.export import EXPORT
from dragoman.folders import MANIFEST, SEAL, Format, damages, read_sealed, require_whole_archive
from dragoman.index.folder import ABOUT, COLLECTION, INDEX, open_generation, read_info
from dragoman.models.identity import CALIBRATION, RUN
from dragoman.reports.format import FOLDS, REPORT
from dragoman.search.calibration import Calibration
from dragoman.trust.format import TRUST

_SIGNS = (
    *("items.parquet", "vectors.npy", "signals.parquet", "queries.parquet", "parity.json"),
    *("generations/*/entries.sqlite", "checkpoints/last.pt"),
)
"""Files of a folder that has a manifest, unless it is lost or the folder is not finished."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One folder that was read."""

    folder: Path
    kind: str
    """Noun of its format: corpus, features, run, report, index, export …"""
    damages: tuple[str, ...]
    """Sentences, each with what mends it; none where the folder is sound."""
    files: int
    """Files that its manifest lists with checksums; folders of older versions list none."""
    unread: str | None = None
    """Reason why a part of it could not be read, which says nothing of damage; None where all was."""


def check(folder: str | Path) -> Iterator[Checked]:
    """Read a folder of any kind whole, and all such folders below it, one after the other.

    Raises UserError where there is none at all.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root} does not exist, or is no folder. Give one that dragoman wrote.")
    found = False
    for one in _folders(root):
        checked = one if isinstance(one, Checked) else _checked(one, root)
        if checked is not None:
            found = True
            yield checked
    if not found:
        raise UserError(
            f"{root} holds no folder that dragoman wrote (no {MANIFEST}), so nothing was checked."
        )


def _folders(root: Path) -> Iterator[Path | Checked]:
    """Yield a folder and all below it, also behind links, each before those within; or that it is unread."""
    unread: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    for name, folders, _ in os.walk(root, followlinks=True, onerror=unread.append):
        while unread:
            yield _unreadable(unread.pop())
        place = Path(name)
        state = place.stat()
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()  # a link to a folder that was read, perhaps one around itself
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        yield place
    while unread:
        yield _unreadable(unread.pop())


def _unreadable(error: OSError) -> Checked:
    place = Path(str(error.filename))
    said = f"{place} cannot be read ({error.strerror}). Run the same check as a user who may read it."
    return Checked(folder=place, kind="folder", damages=(), files=0, unread=said)


def _checked(place: Path, root: Path) -> Checked | None:
    """Check one folder alone; None where it is none of ours."""
    # A folder whose name begins with a dot is unfinished work, which goes on.
    if any(part.startswith(".") for part in place.relative_to(root).parts):
        return None
    if (place / MANIFEST).is_file():
        return _check(place) if _is_ours(place / MANIFEST) else None
    is_model = place == root and (place / "config.json").is_file()
    said = f"{place} has no {MANIFEST}"
    if is_model and any((place / name).is_dir() for name in ("checkpoints", "model")):
        said += ": the run is not finished. The command that began it goes on with it."
        found, unread = _looked(partial(_check_run, place))
        return Checked(folder=place, kind=RUN.kind, damages=(said, *found), files=0, unread=unread)
    if any(True for sign in _SIGNS for _ in place.glob(sign)):
        said += ", so it is not whole. Restore it, or run the command that made it again."
        return Checked(folder=place, kind="folder", damages=(said,), files=0)
    if is_model:
        found, unread = _looked(partial(_check_model, place))
        return Checked(folder=place, kind="model", damages=found, files=0, unread=unread)
    return None


def _is_ours(path: Path) -> bool:
    """Tell a manifest of ours, also where it is damaged, from that of another program below the folder."""
    try:
        value = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError, OSError):
        return True
    if not isinstance(value, dict):
        return False
    # By its seal as well: the name of the format itself may be what is damaged.
    return str(value.get("format", "")) in _CHECKS or {SEAL, "format_version"} <= value.keys()


def _check(folder: Path) -> Checked:
    try:
        sealed = read_sealed(folder / MANIFEST, "Restore it from a backup, or make the folder anew.")
        format, more = _CHECKS.get(str(sealed.get("format")), (None, _nothing))
        if "inputs" not in sealed:
            raise DamagedError(
                f"{folder / MANIFEST} is another file than a manifest. Restore it from a backup."
            )
        if format is None:
            raise UserError(
                f"{folder} holds a {sealed.get('format')}, which this dragoman does not know. "
                "Upgrade it: pip install --upgrade dragoman"
            )
        manifest = format.peek(folder)
    except DamagedError as error:
        return Checked(folder=folder, kind="folder", damages=(str(error),), files=0)
    except UserError as error:
        return Checked(folder=folder, kind="folder", damages=(), files=0, unread=str(error))
    listed = manifest.get("files", {})
    found = tuple(f"{folder / wrong}. {format.mend(folder)}" for wrong in damages(folder, listed, None))
    unread = None
    if not found:  # a second sentence about the same file would help nobody
        found, unread = _looked(partial(more, folder))
    return Checked(folder=folder, kind=format.kind, damages=found, files=len(listed), unread=unread)


def _looked(look: Callable[[], Iterator[str] | None]) -> tuple[tuple[str, ...], str | None]:
    """Collect what is damaged, and why a part could not be read."""
    found: list[str] = []
    try:
        found.extend(look() or ())
    except DamagedError as error:
        found.append(str(error))
    except UserError as error:
        # A package that is missing, or a server that does not answer.
        return tuple(found), str(error)
    return tuple(found), None


def _check_corpus(folder: Path) -> None:
    # The extra `corpus` is not needed for other folders.
    from dragoman.corpus.corpus import Corpus

    corpus = Corpus.open(folder)
    for table in (corpus.items, corpus.captions):
        table.validate(full=True)


def _check_features(folder: Path) -> None:
    _ = FeatureSet.open(folder).files


def _check_run(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("checkpoints/*.pt")):
        try:
            require_whole_archive(path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            said = f"{path} is damaged ({reason(error)}), so the run cannot go on."
            yield f"{said} Its model is not touched by that."
    if (folder / "model").is_dir():
        yield from _check_model(folder / "model")


def _check_model(folder: Path) -> Iterator[str]:
    from dragoman.retrievers.loading import load_encoder, model_fingerprint

    load_encoder(folder)
    file = folder / CALIBRATION
    if file.is_file() and Calibration.read(file).fingerprint != model_fingerprint(folder):
        yield f"{file} is of another model. Make it anew: dragoman calibrate RUN CORPUS"


def _check_index(folder: Path) -> Iterator[str]:
    info = read_info(folder)
    read_sealed(info.place / ABOUT, INDEX.mend(folder))
    with open_generation(info) as store:
        for wrong in store.check():
            yield f"{wrong}. {INDEX.mend(folder)}"
    Calibration.of_index(info)


def _nothing(folder: Path) -> None:
    """Files alone tell of this kind."""


_CHECKS: Mapping[str, tuple[Format, Callable[[Path], Iterator[str] | None]]] = {
    format.name: (format, more)
    for format, more in (
        (CORPUS, _check_corpus),
        (FEATURES, _check_features),
        (RUN, _check_run),
        (EXPORT, _check_model),
        (INDEX, _check_index),
        (COLLECTION, _nothing),
        (REPORT, _nothing),
        (FOLDS, _nothing),
        (TRUST, _nothing),
    )
}
