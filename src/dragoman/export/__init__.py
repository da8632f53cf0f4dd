"""A trained model in the form of other libraries: one file per target, found by its name.

A target is a module with a frozen `Config` of its options and `write(run, folder, config)`, which fills an
empty folder and returns how well what it wrote agrees with the model; it raises CheckFailedError where that
is not well enough.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman import plugins
from dragoman.corpus.staging import staged
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, read_manifest, sha256, write_json, write_manifest
from dragoman.models.identity import CALIBRATION, model_in

if TYPE_CHECKING:
    from dragoman.export.onnx.parity import Agreement

FORMAT = "dragoman-export"
FORMAT_VERSION = 1
PARITY = "parity.json"


@dataclass(frozen=True, kw_only=True)
class Export:
    """What `export` wrote."""

    folder: Path
    parity: Sequence[Agreement]
    sizes: dict[str, int]
    """Bytes of each file, by its path in the folder."""


def targets() -> list[str]:
    """What `to` may be."""
    return [name.replace("_", "-") for name in plugins.names(__name__)]


def export(run: str | Path, *, to: str, out: str | Path, **settings: Any) -> Export:
    """Write the model of `run` (or of its `model/`) to the folder `out`, for the target `to`.

    `settings` are fields of the target's `Config`. The folder appears when it is whole and has been checked;
    an earlier export there is replaced. Raises UserError for unknown targets and settings and for a folder
    that holds something else, CheckFailedError where the export gives other vectors than the model.
    """
    target = plugins.load(__name__, to.replace("-", "_"), "export target")
    known = {field.name for field in fields(target.Config)}
    if unknown := sorted(settings.keys() - known):
        raise UserError(f"--to {to} has no option --{unknown[0]}. It has: {', '.join(sorted(known))}.")
    folder = Path(out)
    model = model_in(Path(run))
    _require_free(folder)
    with staged(folder, overwrite=True) as building:
        parity = target.write(model, building, target.Config(**settings))
        write_json(building / PARITY, [asdict(one) for one in parity])
        write_manifest(
            building,
            format=FORMAT,
            format_version=FORMAT_VERSION,
            inputs={"model.safetensors": sha256(model / "model.safetensors")},
            target=to,
        )
        sizes = {
            str(file.relative_to(building)): file.stat().st_size
            for file in sorted(building.rglob("*"))
            if file.is_file() and file.name != ".lock"
        }
    return Export(folder=folder, parity=parity, sizes=sizes)


def copy_beside(model: Path, folder: Path) -> None:
    """The model card, and what its scores are worth, go where the model goes."""
    for name in ("README.md", CALIBRATION):
        if (model / name).is_file():
            shutil.copy(model / name, folder)


def _require_free(out: Path) -> None:
    if out.is_dir() and any(entry.name != ".lock" for entry in out.iterdir()):
        if not (out / MANIFEST).is_file():
            raise UserError(
                f"{out} holds other files and is no export, so it is left alone. Give another --out."
            )
        read_manifest(out, format=FORMAT, format_version=FORMAT_VERSION, make="give another --out")
