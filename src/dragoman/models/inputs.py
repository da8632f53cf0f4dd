"""What every model asks of the lists and vectors it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.media.frames import MOST_FRAMES


def require_list(values: object, method: str, what: str) -> None:
    """Raise UserError for a single string or path, which is a sequence too, of letters."""
    if isinstance(values, str | Path):
        raise UserError(f"{method} takes a list of {what}, got {values!r}. Write {method}([{values!r}])")


def require_width(vectors: NDArray[np.floating], width: int, features: str | None) -> None:
    """Raise UserError unless the vectors are [N, width], as those of the feature set that is named."""
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise UserError(
            f"These vectors have shape {vectors.shape}, but the model reads [N, {width}] of the feature set "
            f"{features!r}. Extract that feature set (dragoman features), or train a model on this one."
        )


def require_frames(vectors: NDArray[np.floating], width: int, features: str | None) -> None:
    """Raise UserError unless the vectors are [N, F, width], each video with a frame or more."""
    if vectors.shape[2] != width or not 1 <= vectors.shape[1] <= MOST_FRAMES:
        raise UserError(
            f"These vectors have shape {vectors.shape}, but the model reads [N, up to {MOST_FRAMES} frames, "
            f"{width}] of the feature set {features!r}. Take them from there (FeatureSet.whole), or train a "
            "model on this one."
        )
    empty_N = np.isnan(vectors[:, 0, 0])
    if empty_N.any():
        raise UserError(
            f"Video {int(empty_N.argmax())} of {len(vectors)}, counted from 0, begins with NaN, which stands "
            "for a frame that is not there, but one frame or more was expected. Leave it out."
        )
