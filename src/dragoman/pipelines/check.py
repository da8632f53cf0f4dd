"""Check of folders: everything that a stage wrote is read whole and compared with its checksums."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dragoman.corpus.corpus import CORPUS, Corpus
from dragoman.corpus.features import FEATURES, FeatureSet
from dragoman.errors import UserError, reason
from dragoman.export import EXPORT
from dragoman.folders import MANIFEST, Format, damages, read_sealed
from dragoman.index.folder import ABOUT, INDEX, open_generation, read_info
from dragoman.models.identity import CALIBRATION
from dragoman.reports.evaluation import REPORT
from dragoman.reports.folds import FOLDS
from dragoman.search.calibration import Calibration
from dragoman.training.run_folder import RUN, require_whole
from dragoman.trust.score import TRUST

_ALWAYS = ("items.parquet", "vectors.npy")
"""Files that never stand without a manifest beside them."""


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


def check(folder: str | Path) -> Iterator[Checked]:
    """Read a folder of any kind whole, and all such folders below it, one after the other.

    Raises UserError where there is none at all.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root} does not exist, or is no folder. Give one that dragoman wrote.")
    # A folder before those below it.
    every = sorted(root.rglob(MANIFEST), key=lambda path: path.parent)
    manifests = [path for path in every if _is_ours(path)]
    torn = sorted(path.parent for name in _ALWAYS for path in root.rglob(name) if _lacks_manifest(path, root))
    models = [] if manifests else [path for path in (root / "config.json",) if path.is_file()]
    if not (manifests or models or torn):
        raise UserError(
            f"{root} holds no folder that dragoman wrote (no {MANIFEST}), so nothing was checked."
        )
    for path in manifests:
        yield _check(path.parent)
    for place in torn:
        said = f"{place} has no {MANIFEST}, so it is not whole. Restore it, or make the folder again."
        yield Checked(folder=place, kind="folder", damages=(said,), files=0)
    if models and any((root / name).is_dir() for name in ("checkpoints", "model")):
        said = (
            f"{root} has no {MANIFEST}: the run is not finished. The command that began it goes on with it."
        )
        yield Checked(folder=root, kind=RUN.kind, damages=(said, *_said(partial(_check_run, root))), files=0)
        return
    for path in models:
        found = tuple(_said(partial(_check_model, path.parent)))
        yield Checked(folder=path.parent, kind="model", damages=found, files=0)


def _lacks_manifest(path: Path, root: Path) -> bool:
    # A folder whose name begins with a dot is unfinished work, which goes on.
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and not (path.parent / MANIFEST).is_file()


def _is_ours(path: Path) -> bool:
    """Tell a manifest of ours, also where it is damaged, from that of another program below the folder."""
    try:
        value = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError, OSError):
        return True
    return isinstance(value, dict) and str(value.get("format", "")) in _CHECKS


def _check(folder: Path) -> Checked:
    try:
        sealed = read_sealed(folder / MANIFEST, "Restore it from a backup, or make the folder anew.")
        format, more = _CHECKS[str(sealed["format"])]
        manifest = format.peek(folder)
    except UserError as error:
        return Checked(folder=folder, kind="folder", damages=(str(error),), files=0)
    listed = manifest.get("files", {})
    found = [f"{folder / wrong}. {format.mend(folder)}" for wrong in damages(folder, listed, None)]
    # A second sentence about the same file would help nobody.
    found = found or list(_said(partial(more, folder)))
    return Checked(folder=folder, kind=format.kind, damages=tuple(found), files=len(listed))


def _said(look: Callable[[], Iterator[str] | None]) -> Iterator[str]:
    try:
        yield from look() or ()
    except UserError as error:
        yield str(error)


def _check_corpus(folder: Path) -> None:
    corpus = Corpus.open(folder)
    for table in (corpus.items, corpus.captions):
        table.validate(full=True)


def _check_features(folder: Path) -> None:
    _ = FeatureSet.open(folder).ids


def _check_run(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("checkpoints/*.pt")):
        try:
            require_whole(path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            said = f"{path} is damaged ({reason(error)}), so the run cannot go on."
            yield f"{said} Its model is not touched by that."
    if (folder / "model").is_dir():
        yield from _check_model(folder / "model")


def _check_model(folder: Path) -> Iterator[str]:
    from dragoman.retrievers.loading import load_encoder

    load_encoder(folder)
    if (folder / CALIBRATION).is_file():
        Calibration.read(folder / CALIBRATION)
    yield from ()


def _check_index(folder: Path) -> Iterator[str]:
    info = read_info(folder)
    read_sealed(info.place / ABOUT, INDEX.mend(folder))
    with open_generation(info) as store:
        for wrong in store.check():
            yield f"{wrong}. {INDEX.mend(folder)}"
    if info.calibration:
        Calibration.read(folder / str(info.calibration["file"]))


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
        (REPORT, _nothing),
        (FOLDS, _nothing),
        (TRUST, _nothing),
    )
}
