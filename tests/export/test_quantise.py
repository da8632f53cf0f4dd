from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dragoman.export.onnx.graphs import quantise
from dragoman.retrievers.onnx import OnnxGraph


def save_graph(path: Path, op: str, weight: np.ndarray, shape: list[int | str], **attributes: int) -> Path:
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "weight"], ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_a_convolution_computes_with_weights_rounded_by_channel(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    kernel = (drawn.normal(size=(5, 4, 1, 1)) * [[[[1]]], [[[10]]], [[[0.1]]], [[[1]]], [[[0]]]]).astype(
        np.float32
    )
    path = save_graph(tmp_path / "conv.onnx", "Conv", kernel, ["n", 4, 2, 2])
    quantise(path)
    steps = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    rounded = np.round(kernel / np.where(steps == 0, 1, steps)) * steps
    x = drawn.normal(size=(3, 4, 2, 2)).astype(np.float32)
    expected = np.einsum("oc,nchw->nohw", rounded[:, :, 0, 0], x)
    np.testing.assert_allclose(OnnxGraph(path).run({"x": x}), expected, atol=1e-4)
    stored = {one.name: one.data_type for one in onnx.load(path).graph.initializer}
    assert stored == {"weight_int8": TensorProto.INT8, "weight_scale": TensorProto.FLOAT}


def test_a_matrix_is_stored_in_a_quarter_and_multiplies_nearly_the_same(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    weight = drawn.normal(size=(256, 128)).astype(np.float32)
    path = save_graph(tmp_path / "matrix.onnx", "MatMul", weight, ["n", 256])
    before = path.stat().st_size
    quantise(path)
    assert path.stat().st_size < before * 0.3
    x = drawn.normal(size=(7, 256)).astype(np.float32)
    expected, found = x @ weight, OnnxGraph(path).run({"x": x})
    assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max() * 2
