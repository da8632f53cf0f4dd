"""Tokenizer and preprocessing of a model, as files that are read without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.errors import UserError
from dragoman.export.samples import pictures
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.models.vision import VisionTower
from dragoman.retrievers.onnx_inputs import TOKENIZER, Preprocessing

TOLERANCE = 1e-5


def preprocessing_of(tower: VisionTower) -> Preprocessing:
    """Find what does the same as the image processor of `tower`, on pictures of odd sizes.

    Raises UserError that names the processor where it does anything else.
    """
    told = tower.preprocessing
    name = told.get("image_processor_type", "unknown")
    try:
        found = described(told)
        # Tried, not believed: a configuration does not say everything that a processor does.
        gap = max(_gap(tower, found, seed) for seed in range(len(pictures())))
    except (UserError, KeyError, TypeError, ValueError) as error:
        raise _refusal(name, str(error)) from None
    if not gap <= TOLERANCE:
        raise _refusal(name, f"its values differ by up to {gap:.2g}, allowed {TOLERANCE:g}")
    return found


def described(told: Mapping[str, Any]) -> Preprocessing:
    """Translate the configuration of an image processor, as far as we can do what it says."""
    settings: dict[str, Any] = {"scale": 1.0}
    if told.get("do_resize"):
        size = told["size"]
        if "shortest_edge" in size:
            settings["shortest_edge"] = int(size["shortest_edge"])
        else:
            settings["size"] = (int(size["height"]), int(size["width"]))
        settings["resample"] = int(told["resample"])
    if told.get("do_center_crop"):
        settings["crop"] = (int(told["crop_size"]["height"]), int(told["crop_size"]["width"]))
    if told.get("do_rescale"):
        settings["scale"] = float(told["rescale_factor"])
    if told.get("do_normalize"):
        settings["mean"] = tuple(map(float, told["image_mean"]))
        settings["deviation"] = tuple(map(float, told["image_std"]))
    if told.get("do_flip_channel_order"):
        settings["channels"] = "bgr"
    return Preprocessing(**settings)


def _gap(tower: VisionTower, found: Preprocessing, number: int) -> float:
    picture = pictures()[number]
    expected = tower.prepare(picture)
    if set(expected) != {"pixel_values"}:
        raise ValueError(f"it gives {', '.join(sorted(expected))}, not pixel_values alone")
    values, ours = expected["pixel_values"][0].numpy(), found(picture)
    if values.shape != ours.shape:
        raise ValueError(f"it makes {values.shape} of a picture of {picture.size}, expected {ours.shape}")
    return float(np.abs(values - ours).max())


def _refusal(name: str, reason: str) -> UserError:
    return UserError(
        f"The preprocessing of this vision tower ({name}) cannot be done without transformers: {reason}. "
        "Export the text side alone and encode images with PyTorch, or train on another tower (CLIP, SigLIP, "
        "DINOv2, ViT, MobileNet, …)."
    )


def save_tokenizer(trunk: HuggingFaceText, folder: Path) -> dict[str, Any]:
    """Write `tokenizer.json`, which cuts as the trunk does and pads nothing; the ids to pad and to end with,
    and the prefix of every text, if any.

    Raises UserError for a tokenizer that exists in Python only.
    """
    from tokenizers import Tokenizer

    fast: Any = getattr(trunk.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise UserError(
            f"The tokenizer of {trunk.config.path} ({type(trunk.tokenizer).__name__}) has no fast form, "
            "which an export without transformers needs. Train on an encoder that has one (a "
            "tokenizer.json in its folder), or serve the run with PyTorch."
        )
    written = Tokenizer.from_str(fast.to_str())
    # Readers pad by themselves; truncation is in the file, so that both sides cut at the same token.
    written.no_padding()
    written.enable_truncation(trunk.max_length, direction=trunk.tokenizer.truncation_side)
    written.save(str(folder / TOKENIZER))
    prefix = {"prefix": trunk.config.prefix} if trunk.config.prefix else {}
    return {"pad_id": trunk.pad_id, "end_id": trunk.end_id, **prefix}
