"""Export of a trained model to the form of other libraries: one file per target, found by its name.

A target is a module with

    Config                          a frozen dataclass of its options, which extends `ExportConfig`
    write(model, folder, config)    fills an empty folder with the model of the folder `model`, and returns
                                    how well what lies there agrees with it (`parity.agreements`)

`export` does the rest, for all of them: it refuses what does not agree well enough, and lets the folder
appear when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.export.parity import Agreement, require
from dragoman.folders import Format, files_of, sha256, stage, write_json
from dragoman.models.identity import CALIBRATION, model_in, read_config
from dragoman.settings import make

EXPORT = Format(
    "dragoman-export",
    1,
    "dragoman export RUN --to onnx --out {folder}",
    # The one may be made anew later, and is sealed; people edit the card.
    apart=(CALIBRATION, "README.md"),
)
PARITY = "parity.json"
SHARED = ("parity", "plain_modules", "samples")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Options that every target has."""

    corpus: str | None = None
    """Corpus of which captions, and where the target has them vectors and images, are compared."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """An export as it was written."""

    folder: Path
    parity: Sequence[Agreement]
    sizes: dict[str, int]
    """Bytes of each file, by its path in the folder."""


def targets() -> list[str]:
    """List what `to` may be."""
    return [name.replace("_", "-") for name in plugins.names(__name__)]


def config_of(to: str, options: Mapping[str, object]) -> ExportConfig:
    """Make the settings of a target, by name: values, or texts as on the command line.

    Raises UserError for an unknown target, an unknown setting, and a value that does not fit.
    """
    config: ExportConfig = make(_load(to).Config, options, f"The target {to!r}")
    return config


def export(run: str | Path, *, to: str | ExportConfig, out: str | Path) -> Export:
    """Write the model of `run` (or of its `model/`) to the folder `out`.

    `to` is a target, or the `Config` of one with its options, as in `onnx.Config(int8=True)`. The folder
    appears when it is whole and has been checked; an earlier export there is replaced. Raises UserError for
    an unknown target and for a folder that holds something else, CheckFailedError where the export gives
    other vectors than the model.
    """
    config = config_of(to, {}) if isinstance(to, str) else to
    name = type(config).__module__.removeprefix(f"{__name__}.").replace("_", "-")
    folder = Path(out)
    model = model_in(Path(run))
    if read_config(model).get("text") == "adapters":
        raise UserError(
            f"{run} reads a text by the adapters of its language, and nothing that is exported is told the "
            "language of a text. Search and serve the run itself: dragoman index RUN MEDIA --out INDEX"
        )
    with stage(folder, EXPORT, replace=True) as work:
        building = work.folder
        agreed = _load(name).write(model, building, config)
        # Before the folder takes its name: an export that differs must not replace a good one.
        require(agreed)
        write_json(building / PARITY, [asdict(one) for one in agreed])
        inputs = {"model.safetensors": sha256(model / "model.safetensors")}
        EXPORT.write(building, inputs=inputs, target=name)
        sizes = {str(file.relative_to(building)): file.stat().st_size for file in files_of(building)}
    return Export(folder=folder, parity=agreed, sizes=sizes)


def _load(to: str) -> ModuleType:
    return plugins.load(__name__, to.replace("-", "_"), "export target")


def copy_beside(model: Path, folder: Path) -> None:
    """Copy the model card, and what its scores are worth, to where the model goes."""
    for name in ("README.md", CALIBRATION):
        if (model / name).is_file():
            shutil.copy(model / name, folder)
