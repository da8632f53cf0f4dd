"""The parts of a dual encoder as ONNX graphs, in fp32 and with weights of 8-bit integers.

T texts, L tokens of the longest text, U different words, P their pieces, N images, D width of the vision
vectors.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import MissingExtraError, UserError
from dragoman.models.dual import DualEncoder
from dragoman.models.sentences import GOLDEN_TEXTS
from dragoman.models.text import name_of
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.models.text.small import SmallText
from dragoman.models.vision import VisionTower, image_vectors, run_tower

OPSET = 20
"""Read by onnxruntime from 1.17 on."""
LARGE = 1 << 30
"""Bytes of weights from which other libraries are to write them beside a graph: it can hold 2 GiB at most."""


class WordsGraph(nn.Module):
    """The text side over the `small` trunk."""

    def __init__(self, model: DualEncoder, trunk: SmallText) -> None:
        super().__init__()
        self.model = model
        self.trunk = trunk

    def forward(self, words: Tensor, mask: Tensor, pieces: Tensor, owners: Tensor, sizes: Tensor) -> Tensor:
        """Unit vectors of what `Spelling.prepare` gives, and `owners` [P], the word of each piece."""
        # EmbeddingBag has no counterpart in ONNX; a sum by index is the same.
        pieces_PH = F.embedding(pieces, self.trunk.pieces.weight)
        summed_UH = pieces_PH.new_zeros(sizes.shape[0], self.trunk.width).index_add(0, owners, pieces_PH)
        words_TLH = F.embedding(words, summed_UH / sizes.unsqueeze(1))
        return self.model.read(words_TLH + self.trunk.positions.weight[: words.shape[1]], mask)


class TokensGraph(nn.Module):
    """The text side over a Hugging Face trunk."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.read(input_ids, mask)


class HeadGraph(nn.Module):
    """The image head."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        return self.model.encode_image(features)


class TowerGraph(nn.Module):
    """A vision tower with its rule of which vector counts."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixel_values: Tensor) -> Tensor:
        return image_vectors(self.tower, run_tower(self.tower, {"pixel_values": pixel_values}))


def save_text(model: DualEncoder, path: Path) -> None:
    """Write the text side: texts and tokens are dynamic."""
    if model.sentence is not None:
        raise UserError(
            "There is no graph for a model with a sentence side beside its words. Serve the run itself: it "
            "needs no PyTorch where the sentence encoder needs none."
        )
    inputs = model.trunk.prepare(GOLDEN_TEXTS)
    if isinstance(model.trunk, SmallText):
        sizes = inputs["sizes"]
        inputs["owners"] = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        _save(WordsGraph(model, model.trunk), inputs, path)
    elif isinstance(model.trunk, HuggingFaceText):
        _save(TokensGraph(model), inputs, path)
    else:
        raise UserError(
            f"There is no graph for the text encoder {name_of(model.trunk)!r}. Export it to "
            "sentence-transformers, or serve the run itself: it needs no PyTorch where its sentence encoder "
            "needs none."
        )


def save_head(model: DualEncoder, path: Path) -> None:
    """Write the image head: `features` [N, D]."""
    # Two rows: a dimension of 1 is traced as a constant.
    _save(HeadGraph(model), {"features": torch.zeros(2, model.feature_width)}, path, dynamic=1)


def save_tower(tower: VisionTower, shape: tuple[int, int, int], path: Path) -> None:
    """Write the vision tower: `pixel_values` [N, 3, H, W], only N is dynamic."""
    _save(TowerGraph(tower.model), {"pixel_values": torch.zeros(2, *shape)}, path, dynamic=1)


def _save(module: nn.Module, inputs: dict[str, Tensor], path: Path, dynamic: int | None = None) -> None:
    """Trace `module` with `inputs`, of which the first `dynamic` dimensions (all) may differ."""
    shapes = {
        name: dict.fromkeys(range(min(value.ndim, dynamic or value.ndim)), torch.export.Dim.DYNAMIC)
        for name, value in inputs.items()
    }
    with quiet(), torch.no_grad():
        torch.onnx.export(
            module.eval(),
            (),
            path,
            kwargs=inputs,
            dynamo=True,
            opset_version=OPSET,
            output_names=["vector"],
            dynamic_shapes=shapes,
            external_data=weight_bytes(module) > LARGE,
            verbose=False,
        )
        _store(path)


def weights_of(path: Path) -> Path:
    """Name the file that holds the weights of a graph."""
    return path.with_name(f"{path.name}.data")


def _store(path: Path) -> None:
    """Keep the weights of a graph in a file of their own, which is mapped where the graph is run."""
    import onnx_ir
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    graph = onnx_ir.load(path)
    # The exporter notes at each operation the line of code, in a folder of this computer.
    ClearMetadataAndDocStringPass()(graph)
    onnx_ir.save(graph, path, external_data=weights_of(path).name)


def weight_bytes(module: nn.Module) -> int:
    """Count the bytes of the parameters of a module."""
    return sum(value.numel() * value.element_size() for value in module.parameters())


@contextmanager
def quiet() -> Iterator[None]:
    """Export without the chatter of the libraries, and with attention layers written out."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "onnx", "export", "Exporting to ONNX") from None
    # Fused layers of the fast path have no counterpart in ONNX.
    fast, level = torch.backends.mha.get_fastpath_enabled(), logging.root.manager.disable
    torch.backends.mha.set_fastpath_enabled(False)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        logging.disable(level)


def quantise(path: Path) -> None:
    """Replace a graph by one with int8 weights.

    Matrix products are computed in integers, with activations quantised as they come. Convolutions keep
    computing in fp32 from int8 weights: integer convolutions were slower and worse.
    """
    with quiet():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        graph, weights = onnx.load(path), weights_of(path)
        large = sum(one.stat().st_size for one in (path, weights) if one.exists()) > LARGE
        # The quantiser would write behind what is there.
        weights.unlink(missing_ok=True)
        # The exporter notes shapes that onnxruntime infers otherwise; they are inferred anew.
        del graph.graph.value_info[:]
        _pack_convolutions(graph)
        quantize_dynamic(
            graph,
            path,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            # Without VNNI (AVX2 alone), a processor adds two products of 8 bits in 16, which overflow in
            # silence: vectors were wrong by a tenth. Weights of 7 bits leave room.
            reduce_range=True,
            use_external_data_format=large,
            extra_options={"MatMulConstBOnly": True},
        )
        _store(path)


def _pack_convolutions(model: Any) -> None:
    """Store the weights of convolutions as int8 with a scale for each output channel."""
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    users = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in weights]
    for name in {node.input[1] for node in users}:
        kernel = numpy_helper.to_array(weights[name])
        largest = np.abs(kernel).reshape(len(kernel), -1).max(1)
        # 127 and not 128: symmetric, so that 0 stays 0. The least scale is for channels without weights.
        scale = np.maximum(largest / 127, 1e-12).astype(np.float32)
        packed = np.round(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.int8)
        graph.initializer.remove(weights[name])
        parts = {"_int8": packed, "_scale": scale}
        graph.initializer.extend(
            numpy_helper.from_array(value, name + suffix) for suffix, value in parts.items()
        )
        inputs = [name + suffix for suffix in parts]
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=0))
