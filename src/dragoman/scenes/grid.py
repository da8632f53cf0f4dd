"""The feature set `grid`: what a picture looks like, computed from its pixels by fixed rules.

Nothing is learned and nothing is known of the scene. Four parts, each of unit length: colours on a grid,
edges on a grid, and the mean and the maximum of small patterns over the picture (edges with their colours,
seen through fixed random filters), which tell things apart wherever they stand.

C cells along a side, B bins, F filters.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]

NAME = "grid"
CELLS = 24
CELL_PIXELS = 4
"""Edges are read at CELLS * CELL_PIXELS pixels a side, colours at CELLS."""
HUES, GREYS, ORIENTATIONS = 12, 4, 8
COLOUR_GRID, EDGE_GRID = 6, 12
WINDOW, FILTERS, THRESHOLD = 5, 512, 0.3
EDGE_GAIN, COLOUR_GAIN = 2.0, 0.5

WIDTH = COLOUR_GRID**2 * (2 * HUES + GREYS) + EDGE_GRID**2 * ORIENTATIONS + 2 * FILTERS
"""D."""


def describe(image: Image.Image) -> Array:
    """The descriptor [D] of a picture of any size."""
    # Square roots, for a wide sky would outweigh all that stands before it.
    edges_CCB = np.sqrt(_edges(_pixels(image, CELLS * CELL_PIXELS)))
    colours_CCB = np.sqrt(_colours(_pixels(image, CELLS)))
    seen_CCF = _patterns(np.concatenate([EDGE_GAIN * edges_CCB, COLOUR_GAIN * colours_CCB], axis=-1))
    parts = (
        _pooled(colours_CCB, COLOUR_GRID),
        _pooled(edges_CCB, EDGE_GRID),
        np.sqrt(seen_CCF.mean(axis=(0, 1))),
        seen_CCF.max(axis=(0, 1)),
    )
    described: Array = np.concatenate([_unit(part) for part in parts])
    return described


def _unit(vector: Array) -> Array:
    return (vector / (np.linalg.norm(vector) + 1e-6)).astype(np.float32)


def _pixels(image: Image.Image, side: int) -> Array:
    shrunk = image.convert("RGB").resize((side, side), Image.Resampling.BOX)
    return np.asarray(shrunk, np.float32) / np.float32(255)


def _colours(rgb: Array) -> Array:
    """Soft shares of bright hues, dark hues and greys, per pixel."""
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = high - low + 1e-6
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    sixth = np.where(
        high == red,
        (green - blue) / chroma % 6,
        np.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
    )
    saturation = (chroma / (high + 1e-6))[..., None]
    hue = _circular(sixth / 6, HUES) * saturation
    bright = (high > 0.62)[..., None]
    levels = np.linspace(0, 1, GREYS, dtype=np.float32)
    grey = np.maximum(0, 1 - np.abs(high[..., None] - levels) * (GREYS - 1)) * np.maximum(0, 1 - saturation)
    return np.concatenate([hue * bright, hue * ~bright, grey], axis=-1).astype(np.float32)


def _edges(rgb: Array) -> Array:
    """Strength of edges per cell and orientation, taken in the colour channel where it is strongest."""
    across, down = np.zeros_like(rgb), np.zeros_like(rgb)
    across[:, 1:-1] = rgb[:, 2:] - rgb[:, :-2]
    down[1:-1] = rgb[2:] - rgb[:-2]
    strength = np.hypot(across, down)
    # A red thing on grey of the same lightness has no edge in the sum of the channels.
    best = strength.argmax(-1)[..., None]
    x, y, size = (np.take_along_axis(part, best, -1)[..., 0] for part in (across, down, strength))
    spread: Array = _circular(np.arctan2(y, x) % np.pi / np.pi, ORIENTATIONS) * size[..., None]
    mean: Array = spread.reshape(CELLS, CELL_PIXELS, CELLS, CELL_PIXELS, ORIENTATIONS).mean((1, 3))
    return mean


def _circular(turn: Array, bins: int) -> Array:
    """Linear shares of a circular value in 0..1 among its two nearest bins."""
    distance = turn[..., None] * bins - np.arange(bins, dtype=np.float32)
    distance = np.abs((distance + bins / 2) % bins - bins / 2)
    return np.maximum(0, 1 - distance).astype(np.float32)


def _patterns(cells_CCB: Array) -> Array:
    """Strength of the answer of each window to each filter, beyond what its rows mostly show."""
    # Grounds are made of horizontal bands, so the median of a row is the ground behind the things.
    apart_CCB = cells_CCB - np.median(cells_CCB, axis=1, keepdims=True)
    windows = sliding_window_view(apart_CCB, (WINDOW, WINDOW), axis=(0, 1))
    flat = windows.reshape(*windows.shape[:2], -1)
    seen: Array = np.maximum(0, np.abs(flat @ _filters(flat.shape[-1])) - THRESHOLD)
    return seen


@cache
def _filters(width: int) -> Array:
    """[width, F] of ±1 / √width."""
    # Signs from a hash: they are the same on every machine and in every version of NumPy.
    bits = hashlib.shake_256(b"dragoman grid").digest(width * FILTERS // 8)
    signs = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.float32) * 2 - 1
    return (signs / np.float32(np.sqrt(width))).reshape(width, FILTERS)


def _pooled(cells_CCB: Array, grid: int) -> Array:
    pixels = CELLS // grid
    pooled: Array = cells_CCB.reshape(grid, pixels, grid, pixels, -1).mean((1, 3))
    return pooled.ravel()
