"""Texts and images to the inputs of exported graphs, with NumPy, Pillow and tokenizers alone.

Texts are read for both kinds of trunk; preprocessing of images is plain data, which is executed here.

T texts, L tokens of the longest, U different words, P their pieces; H, W height and width of what the tower
reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError
from dragoman.models.text import pad
from dragoman.models.text.spelling import Spelling
from dragoman.texts import legible

if TYPE_CHECKING:
    from PIL.Image import Image

TOKENIZER = "tokenizer.json"


class TextReader(Protocol):
    """Turns texts into the inputs of the text graph."""

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text."""

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether anything of it is known."""

    def prepare(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Inputs of the graph, padded to the longest text."""


class Words:
    """Texts for the `small` trunk."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._spelling = Spelling.load(folder)
        self.lengths = self._spelling.lengths
        self.reads = self._spelling.reads

    def prepare(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Inputs by `Spelling.prepare`, and `owners` [P], the word of each piece."""
        found = self._spelling.prepare(texts)
        return found | {"owners": np.repeat(np.arange(len(found["sizes"])), found["sizes"])}


class Tokens:
    """Texts for a Hugging Face trunk; the tokenizer file says where they are cut."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingExtraError("tokenizers", "onnx", "Reading texts for an exported model") from None
        # Read first: the library reports a file that is missing as one of its own plain exceptions.
        self._tokenizer = Tokenizer.from_str((folder / TOKENIZER).read_text(encoding="utf-8"))
        special = self._tokenizer.get_added_tokens_decoder()
        self._special = {number for number, token in special.items() if token.special}
        self._pad, self._end = int(config["pad_id"]), int(config["end_id"])
        self._prefix = str(config.get("prefix", ""))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._ids(texts)]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        # The mark of a space alone stands before what is not known.
        return [
            any(
                token.strip("▁Ġ ")
                for number, token in zip(one.ids, one.tokens, strict=True)
                if number not in self._special
            )
            for one in self._encoded([legible(text) for text in texts])
        ]

    def prepare(self, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
        input_ids, mask = pad(self._ids(texts), self._pad)
        return {"input_ids": input_ids, "mask": mask}

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        # Tokenizers without special tokens give nothing for an empty text.
        given = [self._prefix + legible(text) for text in texts]
        return [one.ids or [self._end] for one in self._encoded(given)]

    def _encoded(self, given: list[str]) -> list[Any]:
        found: list[Any] = self._tokenizer.encode_batch(given)
        return found


READERS: Mapping[str, type[Words] | type[Tokens]] = {"small": Words, "huggingface": Tokens}


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, crop, scale, normalise: in this order, each where it is asked for."""

    size: tuple[int, int] | None = None
    """Resize to this height and width, whatever the shape of the image was."""
    shortest_edge: int | None = None
    """Or resize so that the shorter edge is so long, and keep the shape; the longer edge is rounded down."""
    resample: int = 2
    """Filter of the resizing, by Pillow's number: 0 nearest, 2 bilinear, 3 bicubic, …"""
    crop: tuple[int, int] | None = None
    """Cut this height and width out of the middle; what lies outside of the image is black."""
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """A value is (scale * pixel - mean) / deviation, by channel in the order of `channels`."""
    channels: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        if self.size is not None and self.shortest_edge is not None:
            raise UserError("Images are resized to a size or to a shortest edge, but both are given.")
        if self.size is None and self.crop is None:
            raise UserError("Neither size nor crop is given, so images would differ in shape.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        height, width = self.crop or self.size or (0, 0)
        return 3, height, width

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """[3, H, W] of an RGB image."""
        pixels_HWC = np.asarray(self._cropped(self._resized(image)))
        if self.channels == "bgr":
            pixels_HWC = pixels_HWC[:, :, ::-1]
        return np.stack([self._values[channel][pixels_HWC[:, :, channel]] for channel in range(3)])

    def as_json(self) -> dict[str, Any]:
        """Give the fields for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """Make it of what `as_json` gave and JSON has kept. Raises TypeError for unknown fields."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**fields)

    @cached_property
    def _values(self) -> NDArray[np.float32]:
        # [3, 256]: there are no more values than that, so nothing is computed per pixel.
        scaled = (np.arange(256) * self.scale).astype(np.float32)
        mean, deviation = (np.array(one, np.float32)[:, None] for one in (self.mean, self.deviation))
        return (scaled - mean) / deviation

    def _resized(self, image: Image) -> Image:
        if self.size is not None:
            height, width = self.size
        elif self.shortest_edge is not None:
            # Pillow is imported here, so that whoever reads texts only does without it.
            from dragoman.media.images import shortened

            image = shortened(image)
            short = min(image.size)
            # Rounded down as transformers does; one pixel more would move the crop.
            width, height = (int(self.shortest_edge * edge / short) for edge in image.size)
        else:
            return image
        # Pillow and no tensor library: it is what the towers' own processors use, and filters differ.
        return image.resize((width, height), resample=self.resample)

    def _cropped(self, image: Image) -> Image:
        if self.crop is None:
            return image
        height, width = self.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))
