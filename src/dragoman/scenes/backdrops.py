"""Grounds: beach, meadow, room, snow and street, each a little different every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dragoman.scenes.draws import Draws

RGB = tuple[int, int, int]
OVERSAMPLING = 2
Band = tuple[float, RGB, RGB]
"""The height where a band of colour begins (0 top, 1 bottom), and its colours at its upper and lower edge."""


def backdrop(ground: str, side: int, draws: Draws) -> Image.Image:
    """An RGB picture of an empty ground, `side` pixels square."""
    image = PAINTER_OF[ground](side * OVERSAMPLING, draws)
    return image.resize((side, side), Image.Resampling.BOX)


def _bands(side: int, bands: Sequence[Band], draws: Draws) -> Image.Image:
    """Horizontal gradients with a soft irregular light over them."""
    edges = [round(side * start) for start, _, _ in bands] + [side]
    rows: list[NDArray[np.float32]] = []
    for (_, upper, lower), top, bottom in zip(bands, edges[:-1], edges[1:], strict=True):
        rows.append(np.linspace(upper, lower, bottom - top, dtype=np.float32))
    pixels = np.broadcast_to(np.concatenate(rows)[:, None], (side, side, 3))
    x, y = np.meshgrid(*[np.linspace(0, 1, side, dtype=np.float32)] * 2)
    wave = np.sin(5 * x + draws.uniform(0, 6)) * np.sin(4 * y + draws.uniform(0, 6))
    light = 1 + 0.03 * wave + draws.uniform(-0.05, 0.05)
    return Image.fromarray(np.clip(pixels * light[..., None], 0, 255).astype(np.uint8), "RGB")


def _beach(side: int, draws: Draws) -> Image.Image:
    horizon, shore = draws.uniform(0.3, 0.38), draws.uniform(0.52, 0.6)
    image = _bands(
        side,
        [
            (0, (176, 214, 240), (222, 238, 246)),
            (horizon, (72, 150, 190), (132, 200, 212)),
            (shore, (240, 224, 184), (222, 196, 144)),
        ],
        draws,
    )
    pen = ImageDraw.Draw(image)
    for x in range(-1, 9):
        left = (x + draws.uniform(0, 0.5)) * side / 8
        box = [left, (shore - 0.02) * side, left + side / 6, (shore + 0.02) * side]
        pen.ellipse(box, fill=(238, 244, 242))
    return image


def _meadow(side: int, draws: Draws) -> Image.Image:
    horizon = draws.uniform(0.38, 0.46)
    image = _bands(
        side,
        [(0, (164, 206, 242), (214, 234, 246)), (horizon, (160, 200, 110), (112, 168, 84))],
        draws,
    )
    pen = ImageDraw.Draw(image)
    for _ in range(3):
        x, width = draws.uniform(-0.2, 0.9) * side, draws.uniform(0.5, 0.9) * side
        pen.ellipse([x, (horizon - 0.06) * side, x + width, (horizon + 0.14) * side], fill=(150, 192, 108))
    _cloud(pen, side, draws, (246, 250, 252))
    for _ in range(60):
        x, y = draws.uniform(0, 1) * side, draws.uniform(horizon + 0.1, 1) * side
        pen.line([(x, y), (x + side / 120, y - side / 50)], fill=(96, 150, 70), width=max(1, side // 200))
    return image


def _room(side: int, draws: Draws) -> Image.Image:
    floor = draws.uniform(0.6, 0.68)
    image = _bands(
        side,
        [(0, (236, 226, 210), (222, 208, 188)), (floor, (186, 150, 116), (160, 124, 92))],
        draws,
    )
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, (floor - 0.025) * side, side, floor * side], fill=(248, 244, 236))
    for plank in range(1, 5):
        y = (floor + (1 - floor) * (plank / 5) ** 1.3) * side
        pen.line([(0, y), (side, y)], fill=(146, 112, 82), width=max(1, side // 200))
    for stripe in range(12):
        x = (stripe + 0.5) * side / 12
        pen.line([(x, 0), (x, (floor - 0.03) * side)], fill=(230, 218, 200), width=max(1, side // 100))
    return image


def _snow(side: int, draws: Draws) -> Image.Image:
    horizon = draws.uniform(0.4, 0.5)
    image = _bands(
        side,
        [(0, (150, 172, 200), (196, 208, 222)), (horizon, (232, 238, 244), (208, 220, 232))],
        draws,
    )
    pen = ImageDraw.Draw(image)
    x = draws.uniform(-0.1, 0.4) * side
    for width, height in ((0.6, 0.2), (0.7, 0.15)):
        peak = (x + width * side / 2, (horizon - height) * side)
        pen.polygon([(x, horizon * side), peak, (x + width * side, horizon * side)], fill=(214, 222, 234))
        x += 0.4 * side
    for _ in range(40):
        x, y, r = draws.uniform(0, 1) * side, draws.uniform(0, 1) * side, draws.uniform(0.003, 0.008) * side
        pen.ellipse([x - r, y - r, x + r, y + r], fill=(250, 252, 254))
    return image


def _street(side: int, draws: Draws) -> Image.Image:
    kerb = draws.uniform(0.54, 0.62)
    image = _bands(
        side,
        [
            (0, (200, 212, 222), (224, 228, 230)),
            (kerb, (186, 184, 180), (186, 184, 180)),
            (kerb + 0.06, (128, 130, 136), (108, 110, 116)),
        ],
        draws,
    )
    pen = ImageDraw.Draw(image)
    x = draws.uniform(-0.15, 0.0)
    while x < 1:
        width, top = draws.uniform(0.16, 0.26), draws.uniform(0.12, 0.32)
        shade = 168 + draws.below(30)
        wall = [x * side, top * side, (x + width - 0.01) * side, kerb * side]
        pen.rectangle(wall, fill=(shade, shade - 6, shade - 10))
        x += width
    dash = draws.uniform(0, 0.2)
    for step in range(-1, 5):
        left = (step * 0.24 + dash) * side
        pen.rectangle([left, 0.83 * side, left + 0.13 * side, 0.845 * side], fill=(226, 224, 214))
    return image


def _cloud(pen: ImageDraw.ImageDraw, side: int, draws: Draws, fill: RGB) -> None:
    x, y = draws.uniform(0.05, 0.7), draws.uniform(0.06, 0.2)
    for step, size in enumerate((0.05, 0.075, 0.055)):
        centre = x + step * 0.07
        box = [
            (centre - size) * side,
            (y - size * 0.6) * side,
            (centre + size) * side,
            (y + size * 0.6) * side,
        ]
        pen.ellipse(box, fill=fill)


PAINTER_OF: dict[str, Callable[[int, Draws], Image.Image]] = {
    "beach": _beach,
    "meadow": _meadow,
    "room": _room,
    "snow": _snow,
    "street": _street,
}
