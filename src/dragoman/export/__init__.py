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
from dragoman.errors import UserError
from dragoman.folders import Format, sha256, stage, write_json
from dragoman.models.identity import CALIBRATION, model_in

if TYPE_CHECKING:
    from dragoman.export.onnx.parity import Agreement

EXPORT = Format("dragoman-export", 1, "dragoman export RUN --to onnx --out {folder}")
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
    with stage(folder, EXPORT, replace=True) as work:
        building = work.folder
        parity = target.write(model, building, target.Config(**settings))
        write_json(building / PARITY, [asdict(one) for one in parity])
        inputs = {"model.safetensors": sha256(model / "model.safetensors")}
        EXPORT.write(building, inputs=inputs, target=to)
        sizes = {
            str(file.relative_to(building)): file.stat().st_size
            for file in sorted(building.rglob("*"))
            if file.is_file()
        }
    return Export(folder=folder, parity=parity, sizes=sizes)


def copy_beside(model: Path, folder: Path) -> None:
    """The model card, and what its scores are worth, go where the model goes."""
    for name in ("README.md", CALIBRATION):
        if (model / name).is_file():
            shutil.copy(model / name, folder)
