"""One ONNX file, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError, reason

AGAIN = "Export the model again: dragoman export RUN --to onnx --out FOLDER"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class Graph:
    """One ONNX file with one output. `run` may be called by several threads at once."""

    def __init__(self, path: Path, providers: Sequence[str] = (CPU,), threads: int = 0) -> None:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
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
        return [CUDA, CPU]
    raise UserError(
        f"No device {device!r} for exported models here (onnxruntime offers {', '.join(known)}). Use cpu, or "
        "install onnxruntime-gpu in place of onnxruntime."
    )


def damaged(folder: Path, error: Exception) -> UserError:
    """Make the error for an export folder that cannot be read."""
    return UserError(f"{folder} is incomplete or damaged ({type(error).__name__}: {reason(error)}). {AGAIN}")
