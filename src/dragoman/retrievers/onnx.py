"""An exported model as a user holds it, without PyTorch: NumPy, Pillow, onnxruntime and tokenizers.

The folder is written by `dragoman export RUN --to onnx`. N texts or images, D width of the vision vectors, J
joint width.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.models.inputs import require_list, require_width
from dragoman.models.preprocessing import Preprocessing
from dragoman.retrievers.onnx_graph import AGAIN, Graph, damaged, providers
from dragoman.retrievers.onnx_text import READERS, TextReader

if TYPE_CHECKING:
    from PIL.Image import Image

MODEL_TYPE = "dragoman-onnx"
FORMAT_VERSION = 1
TOKENS = 2048
"""Of a batch of texts, padding among them."""
GOLDEN_TOLERANCE = {"fp32": 1e-3, "int8": 2e-2}
"""Largest difference from the golden vectors. Integers are exact everywhere, but what is rounded to them
differs a little between processors."""


class OnnxRetriever:
    """A dual encoder in an export folder; as `Retriever`, but for `rerank`, which is not exported.

    Vectors are float32 of unit length; score = dot product. Graphs are loaded when they are needed first, so
    a server that reads texts only holds the text side.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], providers: list[str], threads: int) -> None:
        self._folder = folder
        self._description = config
        self._providers = providers
        self._threads = threads
        self.config: dict[str, Any] = dict(config["trained"])
        """Source and target languages, feature set, recipe, seed: what the model was trained with."""

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", *, threads: int | None = None) -> OnnxRetriever:
        """Load the folder that `dragoman export --to onnx` wrote, and check its golden vectors.

        `device` is cpu, cuda, or auto: cuda where onnxruntime has it. `threads` is how many one call uses
        (default: OMP_NUM_THREADS, or else the cores). Raises UserError for another format, a newer version,
        a damaged folder, or golden vectors that are not met.
        """
        path = Path(folder)
        config = read_config(path)
        limit = threads if threads is not None else int(os.environ.get("OMP_NUM_THREADS", 0))
        found = cls(path, config, providers(device), limit)
        found._check_golden("text_vectors", lambda golden: found.encode_text(golden["texts"]))
        return found

    @property
    def width(self) -> int:
        """J."""
        return int(self._description["joint"])

    @property
    def fingerprint(self) -> str:
        """Of the model that was exported; other precisions of it have the same."""
        return str(self._description["fingerprint"])

    @property
    def precision(self) -> str:
        """fp32 or int8, of the weights of both towers."""
        return str(self._description["precision"])

    def encode_text(self, texts: Sequence[str], batch_size: int = 256) -> NDArray[np.float32]:
        """[N, J] unit vectors; equal texts are encoded once, so that they get equal vectors."""
        require_list(texts, "encode_text", "texts")
        rows: dict[str, int] = {}
        row_of_text = [rows.setdefault(text, len(rows)) for text in texts]
        different = list(rows)
        vectors = np.empty((len(different), self.width), np.float32)
        for batch in _batches(self._reader.lengths(different), batch_size):
            vectors[batch] = self._text.run(self._reader.prepare([different[row] for row in batch]))
        return vectors[row_of_text]

    def encode_image(self, images: Sequence[str | Path | Image], batch_size: int = 32) -> NDArray[np.float32]:
        """[N, J] unit vectors of image files or PIL images, through the vision tower and the image head."""
        require_list(images, "encode_image", "images")
        if not len(images):
            return np.empty((0, self.width), np.float32)
        blocks = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        return np.concatenate([self.encode_features(self.see(block)[:, 0]) for block in blocks])

    def see(self, images: Sequence[str | Path | Image]) -> NDArray[np.float16]:
        """[N, 1, D] what the vision tower makes of image files or PIL images."""
        from dragoman.media.images import open_image

        require_list(images, "see", "images")
        preprocess, tower = self._preprocessing, self._tower
        pixels = np.stack([preprocess(open_image(image)) for image in images])
        # Features are stored as float16; the same rounding here gives the same vectors.
        vectors: NDArray[np.float16] = tower.run({"pixel_values": pixels})[:, None].astype(np.float16)
        return vectors

    def encode_features(self, vectors: NDArray[np.floating], batch_size: int = 1024) -> NDArray[np.float32]:
        """[N, J] unit vectors of frozen vision vectors [N, D] of the feature set the run was trained on."""
        require_width(vectors, int(self._description["feature_width"]), self.config["features"])
        encoded = np.empty((len(vectors), self.width), np.float32)
        for start in range(0, len(vectors), batch_size):
            block = np.asarray(vectors[start : start + batch_size], np.float32)
            encoded[start : start + batch_size] = self._head.run({"features": block})
        return encoded

    @cached_property
    def _reader(self) -> TextReader:
        try:
            return READERS[self._description["text"]](self._folder, self._description)
        except UserError:
            raise
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise damaged(self._folder, error) from None

    @cached_property
    def _text(self) -> Graph:
        return self._graph("text.onnx")

    @cached_property
    def _head(self) -> Graph:
        return self._graph("head.onnx")

    @cached_property
    def _preprocessing(self) -> Preprocessing:
        if self._description["vision"] is None:
            raise UserError(
                f"{self._folder} holds no vision tower, so it encodes texts and vectors, but no images. "
                "Export it with the tower that made the features: dragoman export RUN --to onnx --vision "
                "FOLDER --out EXPORT"
            )
        try:
            return Preprocessing.from_json(json.loads((self._folder / "preprocess.json").read_text("utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise damaged(self._folder, error) from None

    @cached_property
    def _tower(self) -> Graph:
        tower = self._graph("image.onnx")
        shape = self._preprocessing.shape
        self._check_golden(
            "vision_vector", lambda golden: tower.run({"pixel_values": golden_pixels(shape)[None]})
        )
        return tower

    def _graph(self, name: str) -> Graph:
        return Graph(self._folder / name, self._providers, self._threads)

    def _check_golden(self, name: str, encode: Any) -> None:
        try:
            golden = json.loads((self._folder / "golden.json").read_text(encoding="utf-8"))
            expected = np.asarray(golden[name], np.float32)
            found = encode(golden)
            gap = float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))
        except UserError:
            raise
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise damaged(self._folder, error) from None
        if not gap <= GOLDEN_TOLERANCE[self.precision]:
            raise UserError(
                f"{self._folder} does not reproduce its golden vectors ({name.replace('_', ' ')}: largest "
                f"difference {gap:.2g}, allowed {GOLDEN_TOLERANCE[self.precision]}): graph, vocabulary and "
                f"onnxruntime do not belong together. {AGAIN}"
            )


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of an export. Raises UserError for another kind of folder and for a newer version."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no exported model (no config.json). {AGAIN}")
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8")))
        kind, version = config.get("model_type"), int(config.get("format_version", 0))
    except (ValueError, TypeError) as error:
        raise damaged(folder, error) from None
    if kind != MODEL_TYPE:
        raise UserError(f"{folder} holds a model of type {kind!r}, expected {MODEL_TYPE!r}. {AGAIN}")
    if version > FORMAT_VERSION:
        raise UserError(
            f"{folder} has format version {version}, but this dragoman reads up to {FORMAT_VERSION}. "
            "Upgrade it: pip install --upgrade dragoman"
        )
    return config


def golden_pixels(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """[3, H, W] slow waves in -1..1, the picture of which every export keeps the vision vector."""
    channel, row, column = np.indices(shape)
    waves: NDArray[np.float64] = np.sin(0.05 * (channel + 1) * row + 0.08 * column + channel)
    return waves.astype(np.float32)


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Row numbers by ascending length, so that little is computed on padding and memory is bounded."""
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[row] > TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
