"""The trained model as a user holds it: texts and images in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image


class Retriever:
    """A dual encoder loaded from a run folder. Vectors are float32 of unit length; score = dot product."""

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Retriever:
        """Load `run/` (or its `model/`). Raises UserError for another format or a newer version."""
        raise NotImplementedError

    @property
    def config(self) -> dict[str, Any]:
        """Source and target languages, feature set name, recipe, seed: what the run was trained with."""
        raise NotImplementedError

    def encode_text(self, texts: Sequence[str], batch_size: int = 256) -> NDArray[np.float32]:
        """[n, d] unit vectors; equal texts are encoded once."""
        raise NotImplementedError

    def encode_image(self, images: Sequence[str | Path | Image], batch_size: int = 32) -> NDArray[np.float32]:
        """[n, d] unit vectors of image files or PIL images, through the vision tower and the image head."""
        raise NotImplementedError

    def encode_features(self, vectors: NDArray[np.floating], batch_size: int = 1024) -> NDArray[np.float32]:
        """[n, d] unit vectors of frozen vision vectors [n, D] of the feature set the run was trained on."""
        raise NotImplementedError
