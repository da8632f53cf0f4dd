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
from dragoman.models.hub import PAIR, config_in, is_pair, loading, model_folder, pair_part

try:
    import torch  # noqa: F401
except ImportError:
    raise MissingExtraError("torch", "train", "Loading a public model") from None

from dragoman.models.sentences import (
    TextSide,
    dual,
    kind_of,
    load_text_side,
    mclip,
    sentence_transformers,
)
from dragoman.models.vision import VisionTower, checked_device, tower_fingerprint
from dragoman.retrievers.base import BatchedEncoder, require_width, unit

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MODEL_TYPE = "public"
TOWERS = (mclip, sentence_transformers)
"""Kinds of text encoders that were trained into the space of some vision tower; others only by chance."""


class PublicDual(BatchedEncoder):
    """A public dual encoder. Vectors are float32 of unit length; score = dot product."""

    batch_of_texts = 64

    def __init__(self, folder: Path, device: str, description: dict[str, Any]) -> None:
        self._folder, self._device, self._description = folder, device, description
        # Two, so that a query in words need not wait until the image side is loaded.
        self._locks = {"text": threading.Lock(), "vision": threading.Lock()}
        self._tower: VisionTower | None = None
        self._text: TextSide | None = None
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

    def text_side(self) -> TextSide:
        with self._locks["text"]:
            if self._text is None:
                self._require_same()
                apart = self._description.get("text")
                if apart is None:
                    self._text = dual.load(self._folder, self._device)
                else:
                    self._text = load_text_side(Path(apart), self._device)
            return self._text

    def prepare_image(self, image: Image) -> dict[str, Tensor]:
        return self.tower().prepare(image)

    def _see(self, prepared: Sequence[dict[str, Tensor]]) -> NDArray[np.float32]:
        return self.tower().embed(prepared)[:, None]

    def _require_vectors(self, vectors: NDArray[np.floating]) -> None:
        require_width(vectors, self.feature_width, f"of {self._folder.name}")

    def _head(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit(vectors)

    def tower(self) -> VisionTower:
        """The image half, loaded once."""
        with self._locks["vision"]:
            if self._tower is None:
                self._require_same()
                self._tower = VisionTower.load(self.vision["path"], self._device)
            return self._tower

    def _require_same(self) -> None:
        # Its halves are loaded when they are first needed: by then another model may have taken the place.
        if describe(self._folder)["fingerprint"] != self.fingerprint:
            raise UserError(
                f"Another model lies in {self._folder} than was opened there. Open it anew: restart what "
                "uses it."
            )


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
    kind = kind_of(text)
    if kind not in TOWERS:
        raise UserError(
            f"{text} is no text tower that is known: M-CLIP's folders (model_type M-CLIP) and those of "
            "sentence-transformers (modules.json) are. A folder with both sides stands for itself."
        )
    joint = kind.width(text)
    with loading(vision, "vision tower"):
        seen = dual.width(vision)
    if joint != seen:
        raise UserError(
            f"{text} gives vectors of width {joint}, but {vision} of width {seen}: they are not of one "
            "space. Take the vision tower that the text tower's page names."
        )
    eye = tower_fingerprint(vision)
    whole = hashlib.sha256((eye + kind.fingerprint(text)).encode())
    return _description(f"{text.name} with {vision.name}", joint, whole.hexdigest(), vision, eye) | {
        "text": str(text)
    }


@cache
def _describe(folder: Path, files: Stamps) -> dict[str, Any]:
    if not dual.holds_both_sides(folder):
        if kind_of(folder) in TOWERS:
            raise _half(folder)
        with loading(folder, "dual encoder"):
            kind = config_in(folder).model_type
        raise UserError(
            f"{folder} holds a {kind} model, which has no text and image side in one space. Give a dual "
            "encoder (CLIP, SigLIP 2, AltCLIP, …), a folder that dragoman train wrote, or an export."
        )
    config, eye = config_in(folder), tower_fingerprint(folder)
    return _description(str(config.model_type), dual.width(folder), dual.fingerprint(folder), folder, eye)


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
