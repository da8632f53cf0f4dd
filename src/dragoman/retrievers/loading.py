"""The model of a folder: a run in PyTorch or without, an export in ONNX, or a public dual encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragoman.errors import MissingExtraError
from dragoman.models.hub import PAIR
from dragoman.models.identity import own_config, own_fingerprint, own_image_fingerprint, read_config
from dragoman.retrievers.base import Encoder


def model_config(folder: Path) -> dict[str, Any]:
    """Describe a model: `config.json` of a run or an export, or what it would say of a public model.

    Raises UserError where there is none.
    """
    config = read_config(folder)
    if config.get("model_type") == PAIR or ("trained" not in config and "transformers_version" in config):
        from dragoman.retrievers.public import describe

        return describe(folder)
    return own_config(folder)


def model_fingerprint(folder: Path) -> str:
    """Name the model of any such folder by what decides its vectors: equal for those that give equal vectors.

    Raises UserError where the folder holds no model, or a damaged one.
    """
    config = model_config(folder)
    # Exports and public models say it themselves; a run is read whole, tensor by tensor.
    return str(config["fingerprint"]) if "fingerprint" in config else own_fingerprint(folder)


def image_fingerprint(folder: Path) -> str:
    """Name the image side alone: an index of images stays valid while it stays."""
    config = model_config(folder)
    if "fingerprint" in config:
        return str(config.get("image_fingerprint", config["fingerprint"]))
    return own_image_fingerprint(folder)


def load_encoder(folder: str | Path, device: str = "cpu", vision: str | Path | None = None) -> Encoder:
    """Load the model of a run folder, an export, or a public one. Raises UserError where there is none.

    `device` may be "auto": cuda where there is one. `vision` is where the vision tower of a run is, if the
    run does not know it or it has moved; an export brings its own. Where there is no PyTorch, a run can be
    loaded whose text side needs none.
    """
    kind = model_config(Path(folder)).get("model_type")
    if kind == "dragoman-onnx":
        from dragoman.retrievers.onnx import OnnxRetriever

        return OnnxRetriever.load(folder, device)
    if kind == "public":
        from dragoman.retrievers.public import PublicDual

        return PublicDual.load(folder, device)
    try:
        from dragoman.retrievers.trained import Retriever
    except MissingExtraError:
        from dragoman.retrievers.light import LightRetriever

        return LightRetriever.load(folder, device)
    from dragoman.models.vision import checked_device

    return Retriever.load(folder, checked_device(device), vision=vision)
