"""Weights of a graph as 8-bit integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dragoman.export.onnx.graphs import LARGE, quiet


def quantise(path: Path) -> None:
    """Replace a graph by one with int8 weights.

    Matrix products are computed in integers, with activations quantised as they come. Convolutions keep
    computing in fp32 from int8 weights: integer convolutions were slower and worse.
    """
    with quiet():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        graph = onnx.load(path)
        # The exporter notes shapes that onnxruntime infers otherwise; they are inferred anew.
        del graph.graph.value_info[:]
        _pack_convolutions(graph)
        quantize_dynamic(
            graph,
            path,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=path.stat().st_size > LARGE,
            extra_options={"MatMulConstBOnly": True},
        )


def _pack_convolutions(model: Any) -> None:
    """Store the weights of convolutions as int8 with a scale for each output channel."""
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    users = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in weights]
    for name in {node.input[1] for node in users}:
        kernel = numpy_helper.to_array(weights[name])
        largest = np.abs(kernel).reshape(len(kernel), -1).max(1)
        scale = np.maximum(largest / 127, 1e-12).astype(np.float32)
        packed = np.round(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.int8)
        graph.initializer.remove(weights[name])
        parts = {"_int8": packed, "_scale": scale}
        graph.initializer.extend(
            numpy_helper.from_array(value, name + suffix) for suffix, value in parts.items()
        )
        inputs = [name + suffix for suffix in parts]
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=0))
