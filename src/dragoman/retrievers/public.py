"""Public dual encoders as their authors published them (CLIP, SigLIP 2, AltCLIP, …): search without training.

Any folder that transformers loads as a model with `get_text_features` and `get_image_features`, or a pair of
folders: a text tower (`models/text/towers.py`) and the vision tower into whose space it was trained. Which
languages a model was trained on is not known, so no query is warned of its language. N texts or images, J
joint width.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError
from dragoman.models.hub import (
    PAIR,
    is_pair,
    loading,
    longest_input,
    model_folder,
    pair_part,
    pretrained,
    require_trained,
)
from dragoman.models.identity import read_config

try:
    import torch
except ImportError:
    raise MissingExtraError("torch", "train", "Loading a public model") from None

from dragoman.models.text.towers import (
    MCLIP,
    TextTower,
    is_text_tower,
    load_text_tower,
    text_fingerprint,
    text_width,
)
from dragoman.models.vision import VisionTower, checked_device, tower_fingerprint
from dragoman.retrievers.base import BatchedEncoder, require_width

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MODEL_TYPE = "public"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "spiece.model")
"""Files that decide how a text is read, beside those that every fingerprint holds."""
SIGLIP_TOKENS = 64
"""SigLIP and SigLIP 2 were trained on texts padded to this length, without a mask (arXiv 2303.15343)."""


class PublicDual(BatchedEncoder):
    """A public dual encoder. Vectors are float32 of unit length; score = dot product."""

    batch_of_texts = 64

    def __init__(self, folder: Path, device: str, description: dict[str, Any]) -> None:
        self._folder, self._device, self._description = folder, device, description
        self._locks = {"text": threading.Lock(), "vision": threading.Lock()}
        self._tower: VisionTower | None = None
        self._text: _TextSide | TextTower | None = None
        self.config: dict[str, Any] = dict(description["trained"])
        """`source` and `targets` (no language is known beyond), and the vision tower."""

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> PublicDual:
        """Find the model in a folder; its halves are loaded when they are needed first.

        Raises UserError for a folder that holds no such model, or pickled weights only.
        """
        path = Path(folder)
        path = path if is_pair(path) else model_folder(path)
        return cls(path, checked_device(device), describe(path))

    @property
    def width(self) -> int:
        """J."""
        return int(self._description["joint"])

    @property
    def fingerprint(self) -> str:
        """Name of the model: sha256 over weights, configuration, preprocessing and tokenizer."""
        return str(self._description["fingerprint"])

    @property
    def feature_width(self) -> int:
        """D, which is J: the stored vectors are those of the joint space, before they get unit length."""
        return self.width

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        # Characters: tokens would have to be made twice.
        return [len(text) for text in texts]

    def _text_vectors(self, texts: list[str]) -> NDArray[np.float32]:
        return _unit(self._text_side().encode(texts))

    def prepare_image(self, image: Image) -> dict[str, Tensor]:
        return self.tower().prepare(image)

    def _see(self, prepared: Sequence[dict[str, Tensor]]) -> NDArray[np.float32]:
        return self.tower().embed(prepared)[:, None]

    def _require_vectors(self, vectors: NDArray[np.floating]) -> None:
        require_width(vectors, self.feature_width, f"of {self._folder.name}")

    def _head(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return _unit(vectors)

    def tower(self) -> VisionTower:
        """The image half, loaded once."""
        with self._locks["vision"]:
            if self._tower is None:
                self._tower = VisionTower.load(self.config["vision"]["path"], self._device)
            return self._tower

    def _text_side(self) -> _TextSide | TextTower:
        with self._locks["text"]:
            if self._text is None:
                apart = self._description.get("text")
                self._text = (
                    _TextSide(self._folder, self._device)
                    if apart is None
                    else load_text_tower(Path(apart), self._device)
                )
            return self._text


class _TextSide:
    def __init__(self, folder: Path, device: str) -> None:
        import transformers

        with loading(folder, "text encoder"):
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model, missing = pretrained(transformers.AutoModel, folder)
        require_trained(folder, missing)
        # The image half is loaded apart, where it is needed.
        if hasattr(model, "vision_model"):
            del model.vision_model
        self._model, self._device = model.to(device).eval().requires_grad_(False), device
        self._padded = model.config.model_type.startswith("siglip")
        text = getattr(model.config, "text_config", model.config)
        self._longest = min(longest_input(text, otherwise=77), int(self._tokenizer.model_max_length))

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        length = min(SIGLIP_TOKENS, self._longest) if self._padded else self._longest
        inputs = self._tokenizer(
            texts,
            padding="max_length" if self._padded else True,
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        names = ("input_ids",) if self._padded else ("input_ids", "attention_mask")
        output = self._model.get_text_features(**{name: inputs[name].to(self._device) for name in names})
        # A tensor in transformers 4, an output with the projected vector in 5.
        vectors = output if isinstance(output, torch.Tensor) else output.pooler_output
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found


def describe(folder: Path) -> dict[str, Any]:
    """Say of a public model what `config.json` says of our own. Raises UserError for one that is not dual."""
    if is_pair(folder):
        text, vision = (pair_part(folder, name) for name in ("text", "vision"))
        return _describe_pair(text, model_folder(vision), _stamps(text), _stamps(vision))
    return _describe(model_folder(folder), _stamps(folder))


Stamps = tuple[tuple[str, int], ...]


def _stamps(folder: Path) -> Stamps:
    """List names and times of the files of a folder and of those in it."""
    files = sorted(file for pattern in ("*", "*/*") for file in folder.glob(pattern) if file.is_file())
    return tuple((str(file), file.stat().st_mtime_ns) for file in files)


# Cached, as weights are read for the fingerprint, and indexing asks several times. Neither function reads the
# stamps: they are the part of the key that changes with the files.
@cache
def _describe_pair(text: Path, vision: Path, text_files: Stamps, vision_files: Stamps) -> dict[str, Any]:
    if not is_text_tower(text):
        raise UserError(
            f"{text} is no text tower that is known: M-CLIP's folders (model_type M-CLIP) and those of "
            "sentence-transformers (modules.json) are. A folder with both sides stands for itself."
        )
    joint = text_width(text)
    with loading(vision, "vision tower"):
        import transformers

        seen = transformers.AutoConfig.from_pretrained(vision, local_files_only=True, trust_remote_code=False)
    if joint != _joint(seen):
        raise UserError(
            f"{text} gives vectors of width {joint}, but {vision} of width {_joint(seen)}: they are not of "
            "one space. Take the vision tower that the text tower's page names."
        )
    eye = tower_fingerprint(vision)
    whole = hashlib.sha256((eye + text_fingerprint(text)).encode())
    return _description(f"{text.name} with {vision.name}", joint, whole.hexdigest(), vision, eye) | {
        "text": str(text)
    }


@cache
def _describe(folder: Path, files: Stamps) -> dict[str, Any]:
    if read_config(folder).get("model_type") == MCLIP:
        raise _half(folder)
    with loading(folder, "dual encoder"):
        import transformers

        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        model_class = transformers.AutoModel._model_mapping[type(config)]
    if not all(hasattr(model_class, name) for name in ("get_text_features", "get_image_features")):
        if is_text_tower(folder):
            raise _half(folder)
        raise UserError(
            f"{folder} holds a {config.model_type} model, which has no text and image side in one space. "
            "Give a dual encoder (CLIP, SigLIP 2, AltCLIP, …), a folder that dragoman train wrote, or an "
            "export."
        )
    eye = tower_fingerprint(folder)
    whole = hashlib.sha256(eye.encode())
    for file in (folder / name for name in TOKENIZER):
        whole.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
    return _description(str(config.model_type), _joint(config), whole.hexdigest(), folder, eye)


def _half(folder: Path) -> UserError:
    return UserError(
        f"{folder} reads texts alone; the images of its space are read by another model. Name both in the "
        f'config.json of a folder of their own: {{"model_type": "{PAIR}", "text": …, "vision": …}}, see '
        "docs/public_models.md"
    )


def _description(name: str, joint: int, fingerprint: str, vision: Path, eye: str) -> dict[str, Any]:
    trained: dict[str, Any] = {
        "source": "en",
        "targets": [],
        "languages": [],
        "features": None,
        "recipe": f"zero-shot {name}",
        "vision": {"path": str(vision.absolute()), "fingerprint": eye},
    }
    return {
        "model_type": MODEL_TYPE,
        "joint": joint,
        "fingerprint": fingerprint,
        "image_fingerprint": eye,
        "trained": trained,
    }


def _joint(config: Any) -> int:
    """The joint width; SigLIP's image side ends in it without a projection."""
    projected = getattr(config, "projection_dim", None)
    return int(projected if projected is not None else getattr(config, "vision_config", config).hidden_size)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found
