"""The model folder as it lies on the disk, and what is checked of it whichever library computes. No torch.

T golden texts, D width of the vision vectors, J joint width.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import DamagedError, UserError, out_of_memory
from dragoman.folders import damages, read_sealed
from dragoman.models.identity import WEIGHTS, read_config, read_header, require_readable

MODEL_TYPE = "dragoman-dual"
FORMAT_VERSION = 9
"""2 may hold a fusion encoder, 3 an encoder of frames, 4 a head directly on the vector of a text, 5 the image
head or the padding of the released NRCCR code, 6 a transformer with a prefix or standardised states, 7 the
own vectors of CLIP's text half, or adapters of languages, 8 slots that read descriptions, 9 the heads of
uCLIP and of mCLIP, or vision vectors at unit length; models without are still written, and read elsewhere,
as 1."""
GOLDEN_TOLERANCE = 1e-3
Tensors = Iterable[tuple[str, str, tuple[int, ...], memoryview]]
"""Name, type as PyTorch names it, shape and bytes of each tensor."""
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, RuntimeError)
"""Errors of readers at what is not as it was written."""
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
"""Types of NumPy by their names in safetensors."""


def read_model_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder. Raises UserError for another kind of folder and a newer format."""
    config = read_config(folder)
    require_readable(folder, config, MODEL_TYPE, FORMAT_VERSION, "Give the folder that dragoman train wrote.")
    return config


@contextmanager
def damage_told(folder: Path, also: type[Exception] = ValueError) -> Iterator[None]:
    """Raise DamagedError in the place of what readers raise; `also` is an error of their own."""
    try:
        yield
    except UserError:
        raise
    except (*_DAMAGED, also, OSError) as error:
        if out_of_memory(error):
            raise
        # PyTorch names the tensors that do not fit on the lines after the first.
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise DamagedError(
            f"{folder} is incomplete or damaged ({type(error).__name__}: {reason}). "
            "Copy the whole folder again, or train it again: dragoman train"
        ) from None


def read_weights(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read `model.safetensors`: what it says of golden vectors, and its tensors by their names.

    Raises ValueError, KeyError or TypeError where it is not as it was written.
    """
    with (folder / WEIGHTS).open("rb") as stored:
        header, _ = read_header(stored)
        content = stored.read()
    golden = json.loads(header.pop("__metadata__")["golden"])
    found = {}
    for name, tensor in header.items():
        kind, shape, (start, end) = np.dtype(_TYPES[tensor["dtype"]]), tensor["shape"], tensor["data_offsets"]
        if not 0 <= start <= end <= len(content) or end - start != math.prod(shape) * kind.itemsize:
            raise ValueError(f"{WEIGHTS} is torn")
        found[name] = np.frombuffer(content, kind, math.prod(shape), start).reshape(shape)
    return golden, found


def content_of(tensors: Tensors) -> str:
    """Hash tensors, given by name: their file has no checksum of its own."""
    found = hashlib.sha256()
    for name, kind, shape, content in tensors:
        found.update(f"{name} {kind} {shape}\n".encode())
        found.update(content)
    return found.hexdigest()


def require_written(folder: Path, golden: Mapping[str, Any], tensors: Tensors) -> None:
    """Compare a folder with the checksums in `golden`: its description, its assets, and its tensors.

    Raises DamagedError or ValueError for what differs. Models of before there were checksums have none.
    """
    if "content" in golden:
        read_sealed(folder / "config.json", "Copy the whole folder again.", sealed=True)
    if wrong := damages(folder, golden.get("assets", {})):
        raise ValueError("; ".join(wrong))
    if "content" in golden and golden["content"] != content_of(tensors):
        raise ValueError("the checksum of its weights is that of others")


def golden_features(width: int) -> NDArray[np.float32]:
    """[2, 2, D] of two made up videos of two frames each; the first frame of each is an image."""
    # A sine and no random numbers, which another version of a library may draw otherwise.
    return np.sin(np.arange(4 * width, dtype=np.float32)).reshape(2, 2, width)


def require_golden(
    folder: Path, golden: Mapping[str, Any], texts_TJ: NDArray[np.float32], images_2J: NDArray[np.float32]
) -> None:
    """Raise DamagedError unless golden texts and `golden_features` got the vectors that are stored."""
    gaps = [texts_TJ - np.array(golden["vectors"], np.float32)]
    if "image_vectors" in golden:
        gaps.append(images_2J - np.array(golden["image_vectors"], np.float32))
    # As one array: the largest of all is NaN where one is.
    gap = float(np.abs(np.concatenate([one.ravel() for one in gaps])).max())
    # Not `gap > …`, which is false for NaN.
    if not gap <= GOLDEN_TOLERANCE:
        raise DamagedError(
            f"{folder} does not reproduce its golden vectors (largest difference {gap:.2g}, allowed "
            f"{GOLDEN_TOLERANCE}): weights and vocabulary do not belong together. "
            "Copy the whole folder again."
        )
