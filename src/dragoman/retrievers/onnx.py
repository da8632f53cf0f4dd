"""An exported model as a user holds it, without PyTorch: NumPy, Pillow, onnxruntime and tokenizers.

The folder is written by `dragoman export RUN --to onnx`. N texts or images, D width of the vision vectors, J
joint width.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.folders import require_sound
from dragoman.models.identity import require_readable
from dragoman.models.sentences import Reading, TextSide
from dragoman.retrievers.base import BatchedEncoder
from dragoman.retrievers.onnx_inputs import READERS, Preprocessing, TextReader

if TYPE_CHECKING:
    from PIL.Image import Image

AGAIN = "Export the model again: dragoman export RUN --to onnx --out FOLDER"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MODEL_TYPE = "dragoman-onnx"
FORMAT_VERSION = 1
PIXELS = "pixel_values"
"""The input of the graph of the vision tower."""
GOLDEN_TOLERANCE = {"fp32": 1e-3, "int8": 2e-2}
"""Largest difference from the golden vectors. Integers are exact everywhere, but what is rounded to them
differs a little between processors."""


class OnnxGraph:
    """One ONNX file with one output. `run` may be called by several threads at once."""

    def __init__(self, path: Path, providers: Sequence[str] = (CPU,), threads: int = 0) -> None:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Errors alone: it would warn of every shape that it infers otherwise than the exporter did.
        options.log_severity_level = 3
        # Weights that are stored as int8 only to be small are unpacked once, not at every call.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=list(providers))
        except Exception as error:
            # onnxruntime raises a dozen classes of its own that share no base.
            raise damaged(path.parent, error) from None
        self._inputs = {one.name for one in self._session.get_inputs()}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The output for those of `inputs` that the graph reads."""
        given = {name: value for name, value in inputs.items() if name in self._inputs}
        found: NDArray[np.float32] = self._session.run(None, given)[0]
        return found


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "onnx", "Loading an exported model") from None
    return onnxruntime


def providers(device: str) -> list[str]:
    """Names of onnxruntime's execution providers for cpu, cuda or auto. Raises UserError where absent."""
    known = _onnxruntime().get_available_providers()
    if device == "cpu" or (device == "auto" and CUDA not in known):
        return [CPU]
    if device in ("auto", "cuda") and CUDA in known:
        # The CPU stands behind it for the operators that the GPU does not have.
        return [CUDA, CPU]
    raise UserError(
        f"No device {device!r} for exported models here (onnxruntime offers {', '.join(known)}). Use cpu, or "
        "install onnxruntime-gpu in place of onnxruntime."
    )


def damaged(folder: Path, error: Exception) -> UserError:
    """Make the error for an export folder that cannot be read."""
    return UserError(f"{folder} is incomplete or damaged ({type(error).__name__}: {reason(error)}). {AGAIN}")


class ExportedTexts(TextSide):
    """The text side of an export: a reader of texts and one graph."""

    unit = True
    reading = Reading(folded=False)

    def __init__(self, reader: TextReader, graph: OnnxGraph, width: int) -> None:
        self.reader, self._graph, self.width = reader, graph, width

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return self.reader.lengths(texts)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return self.reader.lengths(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return self.reader.reads(texts)

    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        return self._graph.run(self.reader.prepare(given))


class OnnxRetriever(BatchedEncoder):
    """A dual encoder in an export folder; as `Retriever`, but for `rerank`, which is not exported.

    Vectors are float32 of unit length; score = dot product. Graphs are loaded when they are needed first, so
    a server that reads texts only holds the text side.
    """

    threaded = True
    """Sessions keep pools of threads, which a fork leaves behind: a child loads the model again."""

    batch_of_tokens = 2048

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
        require_sound(path, "Copy the whole folder again, or export the model again: dragoman export RUN")
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
        """Name of the model that was exported; other precisions of it have the same."""
        return str(self._description["fingerprint"])

    @property
    def precision(self) -> str:
        """fp32 or int8, of the weights of both towers."""
        return str(self._description["precision"])

    @property
    def feature_width(self) -> int:
        """D."""
        return int(self._description["feature_width"])

    def text_side(self) -> ExportedTexts:
        return self._texts

    def prepare_image(self, image: Image) -> dict[str, NDArray[np.float32]]:
        # Named as the towers of transformers name it, and told apart from a frozen vector by that.
        return {PIXELS: self._preprocessing(image)}

    def _see(self, prepared: Sequence[dict[str, NDArray[np.float32]]]) -> NDArray[np.float32]:
        return self._tower.run({PIXELS: np.stack([one[PIXELS] for one in prepared])})[:, None]

    def _head(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._head_graph.run({"features": vectors})

    @cached_property
    def _texts(self) -> ExportedTexts:
        try:
            reader = READERS[self._description["text"]](self._folder, self._description)
        except UserError:
            raise
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise damaged(self._folder, error) from None
        return ExportedTexts(reader, self._graph("text.onnx"), self.width)

    @cached_property
    def _head_graph(self) -> OnnxGraph:
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
    def _tower(self) -> OnnxGraph:
        tower = self._graph("image.onnx")
        shape = self._preprocessing.shape
        self._check_golden("vision_vector", lambda golden: tower.run({PIXELS: golden_pixels(shape)[None]}))
        return tower

    def _graph(self, name: str) -> OnnxGraph:
        # Graphs are loaded when they are first needed: by then another export may have taken the place.
        if read_config(self._folder).get("fingerprint") != self.fingerprint:
            raise UserError(
                f"Another model lies in {self._folder} than was opened there. Open it anew: restart what "
                "uses it."
            )
        return OnnxGraph(self._folder / name, self._providers, self._threads)

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
    except (ValueError, TypeError) as error:
        raise damaged(folder, error) from None
    require_readable(folder, config, MODEL_TYPE, FORMAT_VERSION, AGAIN)
    return config


def golden_pixels(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """[3, H, W] slow waves in -1..1, the picture of which every export keeps the vision vector."""
    channel, row, column = np.indices(shape)
    waves: NDArray[np.float64] = np.sin(0.05 * (channel + 1) * row + 0.08 * column + channel)
    return waves.astype(np.float32)
