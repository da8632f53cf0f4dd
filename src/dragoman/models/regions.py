"""The spatial map of a vision tower, pooled to a grid: what a fusion encoder attends to.

N images, G cells along a side, D width of the tower's vector, W width of its map, L tokens.

The map is the last feature map of a convolutional tower, or the patch tokens of a transformer without class
and register tokens. Towers that project their vector into a joint space (CLIP) project every patch in the
same way, so that the vector and the cells of an image have one width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.errors import UserError


def with_regions(model: Any, inputs: dict[str, Tensor], output: Any, vectors_ND: Tensor, grid: int) -> Tensor:
    """[N, 1 + G * G, D]: the vector, then the cells from top left to bottom right, row by row.

    `output` is what the tower gave for `inputs`. Raises UserError where it keeps no map, or one smaller than
    the grid.
    """
    map_NWHV = _spatial_map(model, inputs, output)
    rows, columns = map_NWHV.shape[2:]
    if min(rows, columns) < grid:
        raise UserError(
            f"The map of this tower has {rows} x {columns} positions, fewer than a grid of {grid} x {grid} "
            f"cells. Give --grid {min(rows, columns)} or less, or another tower."
        )
    cells_NGD = _project(model, F.adaptive_avg_pool2d(map_NWHV, grid).flatten(2).transpose(1, 2))
    if cells_NGD.shape[-1] != vectors_ND.shape[-1]:
        raise UserError(
            f"The map of this tower is {cells_NGD.shape[-1]} wide and its vector {vectors_ND.shape[-1]}, and "
            "no projection from one to the other is known. Choose another tower for --grid."
        )
    return torch.cat([vectors_ND.unsqueeze(1), cells_NGD], dim=1)


def _spatial_map(model: Any, inputs: dict[str, Tensor], output: Any) -> Tensor:
    """[N, W, rows, columns]."""
    # transformers 4 gives a bare embedding for dual towers.
    found = model.vision_model(**inputs) if isinstance(output, Tensor) else output
    state: Tensor = found.last_hidden_state
    if state.ndim == 4:
        return state
    state = _normed(model, state)
    rows, columns = _patches(model, inputs["pixel_values"], state.shape[1])
    patches_NLW = state[:, state.shape[1] - rows * columns :]
    return torch.unflatten(patches_NLW.transpose(1, 2), 2, (rows, columns))


def _patches(model: Any, pixels: Tensor, tokens: int) -> tuple[int, int]:
    """Rows and columns of patches; class and register tokens stand before them."""
    config = getattr(model.config, "vision_config", model.config)
    size = getattr(config, "patch_size", None)
    if pixels.ndim == 4 and isinstance(size, int):
        rows, columns = pixels.shape[2] // size, pixels.shape[3] // size
        if rows * columns <= tokens:
            return rows, columns
    # Towers that merge patches on the way (Swin) have fewer tokens than patches, and none before them.
    side = math.isqrt(tokens)
    if pixels.ndim == 4 and side * side == tokens:
        return side, side
    raise UserError(
        f"This tower ({config.model_type}) gives {tokens} tokens for an input of shape "
        f"{tuple(pixels.shape[1:])}, which are no grid of patches. Choose another tower for --grid."
    )


def _normed(model: Any, state: Tensor) -> Tensor:
    # CLIP normalises its class token alone, after the state that it hands out.
    norm = getattr(getattr(model, "vision_model", None), "post_layernorm", None)
    normed: Tensor = norm(state) if norm is not None and hasattr(model, "visual_projection") else state
    return normed


def _project(model: Any, cells: Tensor) -> Tensor:
    projection = getattr(model, "visual_projection", None)
    projected: Tensor = cells if projection is None else projection(cells)
    return projected
