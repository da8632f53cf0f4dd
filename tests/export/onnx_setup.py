"""ONNX graphs are read by onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dragoman.retrievers.onnx import OnnxRetriever

VARIANTS = [({"int8": True}, 0.98)]


def encode_text(folder: Path, texts: list[str]) -> np.ndarray:
    return OnnxRetriever.load(folder).encode_text(texts)
