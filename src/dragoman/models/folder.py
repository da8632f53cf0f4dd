"""The model folder: `config.json`, `model.safetensors`, the text encoder's assets, a card.

Safetensors and JSON only: nothing is unpickled. While a run improves its model, only `model.safetensors`
changes, which holds the golden vectors as well: after a kill at any moment, or on a full disk, the folder is
the old model or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dragoman.folders import atomic_path, list_files, write_sealed, write_text
from dragoman.models import text
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.fusion import FusionConfig
from dragoman.models.identity import CALIBRATION, WEIGHTS
from dragoman.models.sentences import GOLDEN_TEXTS
from dragoman.models.slots import SlotConfig
from dragoman.models.stored import (
    FORMAT_VERSION,
    MODEL_TYPE,
    Tensors,
    content_of,
    damage_told,
    golden_features,
    read_model_config,
    require_golden,
    require_written,
)
from dragoman.models.temporal import VideoConfig
from dragoman.models.text.frozen import FrozenText

_NO_ASSETS = (WEIGHTS, "config.json", "README.md", CALIBRATION)
"""Files that come later, or change nothing."""


def save_model(folder: Path, model: DualEncoder, details: Mapping[str, Any]) -> None:
    """Write the model so that the folder is self-contained; `config.json` is written last.

    `details` (languages, recipe, feature set, vision tower) is kept in `config.json` under `trained`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.trunk.save_assets(folder)
    if model.sentence is not None:
        model.sentence.trunk.save_assets(folder)
    found = {name: value for name, value in model.state_dict().items() if not name.startswith("trunk.")}
    found |= {f"trunk.{name}": value for name, value in model.trunk.finished().items()}
    weights = {name: value.contiguous() for name, value in found.items()}
    assets = list_files(folder, ("*",), _NO_ASSETS)
    golden = {
        "texts": GOLDEN_TEXTS,
        "vectors": _golden(model, GOLDEN_TEXTS).tolist(),
        "image_vectors": _golden_images(model).tolist(),
        "content": content_of(_tensors(weights)),
        "assets": assets,
    }
    # In the one file that changes while a run improves its model, so that all of it changes at once; under
    # one name, since safetensors writes several in any order, and equal models would have unequal files.
    metadata = {"golden": json.dumps(golden)}
    with atomic_path(folder / WEIGHTS) as temporary:
        # Not save_file: on a full disk it raises an error of its own instead of OSError.
        temporary.write_bytes(save(weights, metadata=metadata))
    write_text(folder / "README.md", _card(details))
    config = {
        "model_type": MODEL_TYPE,
        "architectures": ["DualEncoder"],
        # The lowest that can hold it, so that older versions go on reading what they understand.
        "format_version": _version(model),
        "dual": _shape(model),
        "text": text.name_of(model.trunk),
        "feature_width": model.feature_width,
        "joint": model.joint,
        "trained": dict(details),
    }
    if model.sentence is not None:
        config["sentence"] = True
    if model.hubness is not None:
        config["hubs"] = [len(model.hubness.captions), len(model.hubness.images)]
    if model.fusion is not None:
        config["fusion"] = asdict(model.fusion.config)
        config["regions"] = model.fusion.regions
    if model.image_slots is not None:
        config["slots"] = asdict(model.image_slots.config)
        config["description_width"] = model.image_slots.sentence_width
        config["regions"] = model.image_slots.regions
    if model.image_frames is not None:
        config["video"] = asdict(model.image_frames.config)
    write_sealed(folder / "config.json", config)


def load_model(folder: Path) -> tuple[DualEncoder, dict[str, Any]]:
    """The encoder in eval mode on the CPU, and its `trained` details.

    Raises UserError for a folder of another kind, of a newer format, damaged, or whose golden vectors are
    not met.
    """
    config = read_model_config(folder)
    with damage_told(folder, SafetensorError):
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
            sentence=FrozenText.from_assets(folder) if config.get("sentence") else None,
            hubs=tuple(config.get("hubs", (0, 0))),
            slots=SlotConfig(**config["slots"]) if "slots" in config else None,
            description_width=config.get("description_width", 0),
        )
        with safe_open(folder / WEIGHTS, "pt") as stored:
            golden = json.loads(stored.metadata()["golden"])
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        require_written(folder, golden, _tensors(weights))
        model.load_state_dict(weights)
        if model.hubness is not None:
            model.hubness.used = True
        texts = _golden(model.eval(), golden["texts"])
        require_golden(folder, golden, texts.numpy(), _golden_images(model).numpy())
    return model, trained


def _tensors(weights: Mapping[str, Tensor]) -> Tensors:
    """Name, type, shape and bytes of each tensor, by name."""
    for name, value in sorted(weights.items()):
        content = value.detach().cpu().reshape(-1).view(torch.uint8).numpy()
        yield name, str(value.dtype), tuple(value.shape), content.data


@torch.no_grad()
def _golden_images(model: DualEncoder) -> Tensor:
    """The vectors of two made up images, with their descriptions where the model reads them, or videos of two
    frames each, [2, J]."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    features = torch.from_numpy(golden_features(model.packed_width)).to(device)
    vectors = model.encode_image(features if model.image_frames is not None else features[:, 0]).cpu()
    model.train(training)
    return vectors


@torch.no_grad()
def _golden(model: DualEncoder, texts: Sequence[str]) -> Tensor:
    training = model.training
    model.eval()
    # By turns untouched and as each adapted language, so that the weights of all are used.
    tags = ("", *model.adapted)
    languages = [tags[row % len(tags)] for row in range(len(texts))]
    vectors = model.encode_text(model.prepare(list(texts), languages=languages)).vector.cpu()
    model.train(training)
    return vectors


def _shape(model: DualEncoder) -> dict[str, Any]:
    shape = asdict(model.config)
    # What a model does not have, older versions do not know by name.
    if model.config.text_head == "attention":
        del shape["text_head"]
    if model.sentence is None:
        del shape["sentence_head"], shape["word_weight"]
    if model.hubness is None:
        del shape["hubness"], shape["hubness_neighbours"]
    for name in ("released_padding", "image_unit"):
        if not shape[name]:
            del shape[name]
    # It says how training began, not what came of it.
    del shape["position_scale"]
    return shape


def _version(model: DualEncoder) -> int:
    read, dual = model.trunk.config, model.config
    if dual.text_head == "projector" or dual.image_head in ("projector", "matrix") or dual.image_unit:
        return FORMAT_VERSION
    if model.image_slots is not None:
        return 8
    if read.by_language or dual.text_head == "none":
        return 7
    if getattr(read, "prefix", "") or getattr(read, "standardise", False):
        return 6
    if model.config.released_padding or model.config.image_head == "released":
        return 5
    if model.config.text_head != "attention" or model.sentence is not None or model.hubness is not None:
        return 4
    if model.image_frames is not None:
        return 3
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
