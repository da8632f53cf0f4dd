"""The model folder: `config.json`, `model.safetensors`, the text encoder's assets, a card.

Safetensors and JSON only: nothing is unpickled. While a run improves its model, only `model.safetensors`
changes, which holds the golden vectors as well: after a kill at any moment, or on a full disk, the folder is
the old model or the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dragoman.errors import DamagedError, UserError
from dragoman.folders import atomic_path, damages, list_files, write_sealed, write_text
from dragoman.models import text
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.fusion import FusionConfig
from dragoman.models.identity import CALIBRATION, read_config, require_readable
from dragoman.models.temporal import VideoConfig

MODEL_TYPE = "dragoman-dual"
FORMAT_VERSION = 3
"""2 may hold a fusion encoder, 3 an encoder of frames; models without are still written, and read elsewhere,
as 1."""
GOLDEN_TEXTS = ("a dog runs on the beach", "Um cão corre na praia", "一只狗在海滩上奔跑")
GOLDEN_TOLERANCE = 1e-3
_NO_ASSETS = ("model.safetensors", "config.json", "README.md", CALIBRATION)
"""Files that come later, or change nothing."""


def save_model(folder: Path, model: DualEncoder, details: Mapping[str, Any]) -> None:
    """Write the model so that the folder is self-contained; `config.json` is written last.

    `details` (languages, recipe, feature set, vision tower) is kept in `config.json` under `trained`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.trunk.save_assets(folder)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    assets = list_files(folder, ("*",), _NO_ASSETS)
    golden = {
        "texts": GOLDEN_TEXTS,
        "vectors": _golden(model, GOLDEN_TEXTS).tolist(),
        "image_vectors": _golden_images(model).tolist(),
        "content": _content(weights),
        "assets": assets,
    }
    # In the one file that changes while a run improves its model, so that all of it changes at once; under
    # one name, since safetensors writes several in any order, and equal models would have unequal files.
    metadata = {"golden": json.dumps(golden)}
    with atomic_path(folder / "model.safetensors") as temporary:
        # Not save_file: on a full disk it raises an error of its own instead of OSError.
        temporary.write_bytes(save(weights, metadata=metadata))
    write_text(folder / "README.md", _card(details))
    config = {
        "model_type": MODEL_TYPE,
        "architectures": ["DualEncoder"],
        # The lowest that can hold it, so that older versions go on reading what they understand.
        "format_version": _version(model),
        "dual": asdict(model.config),
        "text": text.name_of(model.trunk),
        "feature_width": model.feature_width,
        "joint": model.joint,
        "trained": dict(details),
    }
    if model.fusion is not None:
        config["fusion"] = asdict(model.fusion.config)
        config["regions"] = model.fusion.regions
    if model.image_frames is not None:
        config["video"] = asdict(model.image_frames.config)
    write_sealed(folder / "config.json", config)


def load_model(folder: Path) -> tuple[DualEncoder, dict[str, Any]]:
    """The encoder in eval mode on the CPU, and its `trained` details.

    Raises UserError for a folder of another kind, of a newer format, damaged, or whose golden vectors are
    not met.
    """
    config = read_config(folder)
    require_readable(folder, config, MODEL_TYPE, FORMAT_VERSION, "Give the folder that dragoman train wrote.")
    try:
        trained = dict(config["trained"])
        trunk = text.load(config["text"]).Encoder.from_assets(folder)
        fusion = FusionConfig(**config["fusion"]) if "fusion" in config else None
        model = DualEncoder(
            DualConfig(**config["dual"]),
            trunk,
            config["feature_width"],
            fusion=fusion,
            regions=config.get("regions", 1),
            video=VideoConfig(**config["video"]) if "video" in config else None,
        )
        with safe_open(folder / "model.safetensors", "pt") as stored:
            golden = json.loads(stored.metadata()["golden"])
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        # Models of before there were checksums have none.
        if wrong := damages(folder, golden.get("assets", {})):
            raise ValueError("; ".join(wrong))
        if "content" in golden and golden["content"] != _content(weights):
            raise ValueError("the checksum of its weights is that of others")
        model.load_state_dict(weights)
        gaps = [_golden(model.eval(), golden["texts"]) - torch.tensor(golden["vectors"])]
        if "image_vectors" in golden:
            gaps.append(_golden_images(model) - torch.tensor(golden["image_vectors"]))
        # As one tensor: the largest of all is NaN where one is.
        gap = torch.cat([one.flatten() for one in gaps]).abs().max().item()
    except UserError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        # PyTorch names the tensors that do not fit on the lines after the first.
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise DamagedError(
            f"{folder} is incomplete or damaged ({type(error).__name__}: {reason}). "
            "Copy the whole folder again, or train it again: dragoman train"
        ) from None
    # Not `gap > …`, which is false for NaN.
    if not gap <= GOLDEN_TOLERANCE:
        raise DamagedError(
            f"{folder} does not reproduce its golden vectors (largest difference {gap:.2g}, allowed "
            f"{GOLDEN_TOLERANCE}): weights and vocabulary do not belong together. "
            "Copy the whole folder again."
        )
    return model, trained


def _content(weights: Mapping[str, Tensor]) -> str:
    """Hash names, shapes and bytes of tensors: their file has no checksum of its own."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


@torch.no_grad()
def _golden_images(model: DualEncoder) -> Tensor:
    """The vectors of two made up images, or videos of two frames each, [2, J]."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    # A sine and no random numbers, which another version of PyTorch may draw otherwise.
    features = torch.sin(torch.arange(4 * model.feature_width, device=device)).reshape(2, 2, -1)
    vectors = model.encode_image(features if model.image_frames is not None else features[:, 0]).cpu()
    model.train(training)
    return vectors


@torch.no_grad()
def _golden(model: DualEncoder, texts: Sequence[str]) -> Tensor:
    training = model.training
    model.eval()
    vectors = model.encode_text(model.trunk.prepare(list(texts))).vector.cpu()
    model.train(training)
    return vectors


def _version(model: DualEncoder) -> int:
    if model.image_frames is not None:
        return FORMAT_VERSION
    return 1 if model.fusion is None else 2


def _card(details: Mapping[str, Any]) -> str:
    languages = [details["source"], *details["targets"]]
    listed = "".join(f"\n- {language}" for language in languages)
    return (
        f"---\nlanguage:{listed}\nlibrary_name: dragoman\npipeline_tag: feature-extraction\n---\n"
        "# Text and image encoder for cross-lingual retrieval\n\n"
        f"Trained by the recipe `{details['recipe']}` (seed {details['seed']}) on human captions in "
        f"{details['source']} and {details['target_captions']} captions in "
        f"{', '.join(details['targets']) or 'no other language'}. Images enter as vectors of the feature set "
        f"`{details['features']}`.\n\n"
        "```python\nimport dragoman\n\nretriever = dragoman.Retriever.load('.')\n"
        "vectors = retriever.encode_text(['…'])\n```\n"
    )
