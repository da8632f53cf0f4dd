"""Things: each kind is a few shapes in a square from (-1, -1) to (1, 1), y downwards, lit from above left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

RGB = tuple[int, int, int]
Point = tuple[float, float]
Angles = tuple[float, float]
"""From where to where an arc goes, in degrees clockwise from the right."""

PALETTE: dict[str, RGB] = {
    "black": (44, 44, 50),
    "blue": (45, 104, 214),
    "brown": (133, 84, 48),
    "green": (52, 158, 72),
    "orange": (245, 138, 31),
    "pink": (247, 146, 186),
    "purple": (132, 66, 176),
    "red": (215, 44, 48),
    "white": (246, 246, 242),
    "yellow": (248, 210, 46),
}
WOOD, LEAF, GLASS, METAL, PAPER = (112, 78, 52), (74, 136, 66), (196, 226, 240), (70, 74, 82), (250, 246, 232)
OVERSAMPLING = 4
"""Pillow draws without smooth edges: things are drawn so many times larger, and shrunk."""


class Brush:
    """Draws on an oversampled square; coordinates are those of the unit square, not pixels."""

    def __init__(self, side: int, colour: RGB) -> None:
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self.colour = colour
        self._draw = ImageDraw.Draw(self.image)
        self._half = side / 2

    def tone(self, factor: float) -> RGB:
        """The colour of the thing, darker below 1; above 1 mixed with white."""
        if factor <= 1:
            return _rgb(channel * factor for channel in self.colour)
        return _rgb(channel + (255 - channel) * (factor - 1) for channel in self.colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
        """Fill an ellipse around (x, y)."""
        self._draw.ellipse([self._at(x - rx, y - ry), self._at(x + rx, y + ry)], fill=fill)

    def box(
        self, left: float, top: float, right: float, bottom: float, fill: RGB, radius: float = 0.0
    ) -> None:
        """Fill a rectangle, its corners rounded by `radius`."""
        corners = [self._at(left, top), self._at(right, bottom)]
        self._draw.rounded_rectangle(corners, radius * self._half, fill=fill)

    def polygon(self, points: Sequence[Point], fill: RGB) -> None:
        """Fill what these corners enclose."""
        self._draw.polygon([self._at(x, y) for x, y in points], fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: RGB) -> None:
        """Draw a line through the points, `width` wide."""
        at = [self._at(x, y) for x, y in points]
        self._draw.line(at, fill=fill, width=round(width * self._half), joint="curve")

    def arc(self, x: float, y: float, r: float, angles: Angles, width: float, fill: RGB) -> None:
        """Draw a part of the circle around (x, y), `width` inwards from its radius `r`."""
        box = [self._at(x - r, y - r), self._at(x + r, y + r)]
        self._draw.arc(box, *angles, fill=fill, width=round(width * self._half))

    def half_disc(self, x: float, y: float, rx: float, ry: float, angles: Angles, fill: RGB) -> None:
        """Fill a part of the ellipse around (x, y), as far as its centre."""
        box = [self._at(x - rx, y - ry), self._at(x + rx, y + ry)]
        self._draw.pieslice(box, *angles, fill=fill)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return (x + 1) * self._half, (y + 1) * self._half


def _apple(brush: Brush) -> None:
    brush.line([(0.0, -0.45), (0.08, -0.9)], 0.12, WOOD)
    brush.ellipse(0.34, -0.72, 0.26, 0.12, LEAF)
    brush.ellipse(-0.3, 0.15, 0.52, 0.68, brush.tone(1))
    brush.ellipse(0.3, 0.15, 0.52, 0.68, brush.tone(1))
    brush.ellipse(0.0, -0.42, 0.2, 0.1, brush.tone(0.7))


def _ball(brush: Brush) -> None:
    brush.ellipse(0, 0, 0.88, 0.88, brush.tone(1))
    brush.arc(-1.1, 0, 1.35, (-38, 38), 0.07, brush.tone(0.72))
    brush.arc(1.1, 0, 1.35, (142, 218), 0.07, brush.tone(0.72))


def _bird(brush: Brush) -> None:
    brush.polygon([(-0.3, 0.1), (-0.98, -0.2), (-0.92, 0.3)], brush.tone(0.75))
    brush.line([(-0.05, 0.5), (-0.05, 0.92)], 0.07, WOOD)
    brush.line([(0.2, 0.5), (0.2, 0.92)], 0.07, WOOD)
    brush.ellipse(0, 0.15, 0.62, 0.46, brush.tone(1))
    brush.ellipse(0.46, -0.36, 0.35, 0.35, brush.tone(1))
    brush.polygon([(0.74, -0.46), (1.0, -0.3), (0.74, -0.2)], (240, 170, 50))
    brush.half_disc(-0.08, 0.05, 0.42, 0.4, (0, 180), brush.tone(0.72))
    brush.ellipse(0.54, -0.42, 0.09, 0.09, PAPER)
    brush.ellipse(0.56, -0.42, 0.05, 0.05, (20, 20, 24))


def _boat(brush: Brush) -> None:
    brush.line([(0, 0.35), (0, -0.95)], 0.08, WOOD)
    brush.polygon([(0.08, -0.88), (0.08, 0.18), (0.78, 0.18)], brush.tone(1.2))
    brush.polygon([(-0.1, -0.6), (-0.1, 0.18), (-0.62, 0.18)], PAPER)
    brush.polygon([(-0.95, 0.26), (0.95, 0.26), (0.62, 0.88), (-0.62, 0.88)], brush.tone(1))
    brush.polygon([(-0.95, 0.26), (0.95, 0.26), (0.88, 0.4), (-0.88, 0.4)], brush.tone(0.72))


def _book(brush: Brush) -> None:
    brush.polygon([(-0.66, 0.7), (-0.5, 0.92), (0.74, 0.92), (0.74, -0.7), (0.58, -0.86)], brush.tone(0.6))
    brush.polygon([(-0.5, 0.72), (-0.42, 0.84), (0.68, 0.84), (0.68, -0.66), (0.58, -0.76)], PAPER)
    brush.box(-0.7, -0.92, 0.6, 0.74, brush.tone(1), 0.06)
    brush.box(-0.7, -0.92, -0.48, 0.74, brush.tone(0.68), 0.06)
    brush.box(-0.28, -0.62, 0.4, -0.22, PAPER)
    brush.line([(-0.18, -0.42), (0.3, -0.42)], 0.07, brush.tone(0.6))


def _box(brush: Brush) -> None:
    brush.polygon([(-0.85, -0.4), (-0.3, -0.8), (0.9, -0.8), (0.4, -0.4)], brush.tone(1.3))
    brush.polygon([(0.4, -0.4), (0.9, -0.8), (0.9, 0.4), (0.4, 0.85)], brush.tone(0.68))
    brush.polygon([(-0.85, -0.4), (0.4, -0.4), (0.4, 0.85), (-0.85, 0.85)], brush.tone(1))
    brush.polygon([(-0.34, -0.4), (0.22, -0.8), (0.42, -0.8), (-0.12, -0.4)], (222, 196, 150))
    brush.box(-0.34, -0.4, -0.12, 0.0, (214, 184, 134))


def _car(brush: Brush) -> None:
    brush.polygon([(-0.62, 0.05), (-0.38, -0.48), (0.34, -0.48), (0.66, 0.05)], brush.tone(1))
    brush.polygon([(-0.46, 0.02), (-0.3, -0.36), (-0.04, -0.36), (-0.04, 0.02)], GLASS)
    brush.polygon([(0.06, 0.02), (0.06, -0.36), (0.28, -0.36), (0.5, 0.02)], GLASS)
    brush.box(-0.98, 0.0, 0.98, 0.45, brush.tone(1), 0.16)
    brush.box(-0.98, 0.24, 0.98, 0.36, brush.tone(0.75))
    brush.ellipse(0.9, 0.12, 0.07, 0.07, (255, 240, 180))
    for x in (-0.52, 0.52):
        brush.ellipse(x, 0.45, 0.25, 0.25, (40, 40, 44))
        brush.ellipse(x, 0.45, 0.11, 0.11, (200, 204, 210))


def _chair(brush: Brush) -> None:
    brush.line([(-0.48, -0.1), (-0.48, 0.92)], 0.14, brush.tone(0.75))
    brush.line([(0.54, 0.15), (0.54, 0.92)], 0.14, brush.tone(0.75))
    brush.line([(-0.2, 0.1), (-0.2, 0.72)], 0.12, brush.tone(0.6))
    brush.line([(0.74, 0.1), (0.74, 0.72)], 0.12, brush.tone(0.6))
    brush.box(-0.58, -0.95, -0.36, 0.2, brush.tone(1), 0.08)
    brush.polygon([(-0.58, 0.22), (-0.3, -0.02), (0.85, -0.02), (0.64, 0.22)], brush.tone(1.2))
    brush.box(-0.58, 0.2, 0.66, 0.36, brush.tone(1))


def _cup(brush: Brush) -> None:
    brush.arc(0.5, 0.02, 0.42, (-90, 90), 0.16, brush.tone(0.85))
    brush.polygon([(-0.72, -0.55), (0.56, -0.55), (0.4, 0.8), (-0.56, 0.8)], brush.tone(1))
    brush.ellipse(-0.08, 0.78, 0.48, 0.12, brush.tone(1))
    brush.ellipse(-0.08, -0.55, 0.64, 0.18, brush.tone(1.35))
    brush.ellipse(-0.08, -0.52, 0.52, 0.12, (92, 58, 36))


def _fish(brush: Brush) -> None:
    brush.polygon([(0.35, 0), (0.95, -0.5), (0.82, 0), (0.95, 0.5)], brush.tone(0.75))
    brush.polygon([(-0.2, -0.3), (0.2, -0.72), (0.34, -0.2)], brush.tone(0.75))
    brush.ellipse(-0.2, 0, 0.75, 0.47, brush.tone(1))
    for x in (0.0, 0.26):
        brush.arc(x - 0.35, 0, 0.34, (-50, 50), 0.06, brush.tone(0.72))
    brush.ellipse(-0.62, -0.1, 0.11, 0.11, PAPER)
    brush.ellipse(-0.64, -0.1, 0.06, 0.06, (20, 20, 24))


def _flower(brush: Brush) -> None:
    brush.line([(0, 0.0), (0.03, 0.95)], 0.1, LEAF)
    brush.ellipse(0.3, 0.68, 0.28, 0.11, LEAF)
    brush.ellipse(-0.26, 0.78, 0.26, 0.1, LEAF)
    for turn in range(6):
        angle = math.tau * turn / 6 + 0.3
        brush.ellipse(0.42 * math.cos(angle), -0.3 + 0.42 * math.sin(angle), 0.29, 0.29, brush.tone(1))
    brush.ellipse(0, -0.3, 0.23, 0.23, (250, 205, 70) if brush.colour != PALETTE["yellow"] else (150, 90, 40))


def _hat(brush: Brush) -> None:
    brush.ellipse(0, 0.45, 0.98, 0.26, brush.tone(0.85))
    brush.ellipse(0, 0.36, 0.94, 0.2, brush.tone(1))
    brush.box(-0.55, -0.62, 0.55, 0.36, brush.tone(1), 0.3)
    brush.ellipse(0, 0.34, 0.55, 0.13, brush.tone(1))
    brush.box(-0.55, 0.06, 0.55, 0.28, brush.tone(0.55))


def _house(brush: Brush) -> None:
    brush.box(0.38, -0.85, 0.6, -0.3, (122, 92, 80))
    brush.box(-0.72, -0.15, 0.72, 0.88, brush.tone(1))
    brush.polygon([(-0.95, -0.1), (0, -0.92), (0.95, -0.1)], brush.tone(0.62))
    brush.box(-0.18, 0.3, 0.18, 0.88, WOOD)
    for x in (-0.48, 0.48):
        brush.box(x - 0.16, 0.1, x + 0.16, 0.42, GLASS)


def _star(brush: Brush) -> None:
    points = []
    for turn in range(10):
        angle, radius = math.tau * turn / 10 - math.tau / 4, 0.96 if turn % 2 == 0 else 0.42
        points.append((radius * math.cos(angle), 0.06 + radius * math.sin(angle)))
    brush.polygon(points, brush.tone(1))


def _tree(brush: Brush) -> None:
    brush.polygon([(-0.12, 0.1), (0.12, 0.1), (0.2, 0.95), (-0.2, 0.95)], WOOD)
    brush.ellipse(-0.42, -0.02, 0.45, 0.4, brush.tone(0.88))
    brush.ellipse(0.42, -0.02, 0.45, 0.4, brush.tone(0.88))
    brush.ellipse(0, -0.42, 0.55, 0.5, brush.tone(1))
    brush.ellipse(0, -0.02, 0.5, 0.36, brush.tone(1))


def _umbrella(brush: Brush) -> None:
    brush.line([(0, -0.9), (0, 0.75)], 0.09, METAL)
    brush.arc(-0.18, 0.74, 0.22, (0, 180), 0.09, METAL)
    brush.half_disc(0, 0.05, 0.96, 0.85, (180, 360), brush.tone(1))
    brush.half_disc(0, 0.05, 0.36, 0.85, (180, 360), brush.tone(0.78))
    for x in (-0.66, 0.0, 0.66):
        brush.ellipse(x, 0.07, 0.31, 0.1, brush.tone(0.6))


KIND_OF: dict[str, Callable[[Brush], None]] = {
    "apple": _apple,
    "ball": _ball,
    "bird": _bird,
    "boat": _boat,
    "book": _book,
    "box": _box,
    "car": _car,
    "chair": _chair,
    "cup": _cup,
    "fish": _fish,
    "flower": _flower,
    "hat": _hat,
    "house": _house,
    "star": _star,
    "tree": _tree,
    "umbrella": _umbrella,
}


def sprite(kind: str, colour: str, side: int, tilt: float = 0.0, *, whole: bool = False) -> Image.Image:
    """A lit and outlined RGBA picture of one thing, turned by `tilt` degrees, anticlockwise.

    It is `side` pixels square, and what turns out of it is cut off; where `whole`, the square grows instead.
    """
    large = side * OVERSAMPLING
    brush = Brush(large, PALETTE[colour])
    KIND_OF[kind](brush)
    # Turned before it is lit, so that the light comes from one side, however things stand.
    drawn = brush.image.rotate(tilt, Image.Resampling.BICUBIC, expand=whole)
    grown = round(side * drawn.width / large)
    return _outlined(_lit(drawn), brush.tone(0.45)).resize((grown, grown), Image.Resampling.BOX)


def _lit(drawn: Image.Image) -> Image.Image:
    """Brighter to the upper left, darker to the lower right."""
    pixels = np.asarray(drawn).astype(np.float32)
    ramp = np.linspace(-1, 1, len(pixels), dtype=np.float32)
    light = 1.06 - 0.16 * (ramp[:, None] + ramp[None, :]) / 2
    glow = 34 * np.exp(-((ramp[:, None] + 0.4) ** 2 + (ramp[None, :] + 0.35) ** 2) / 0.16)
    pixels[..., :3] = np.clip(pixels[..., :3] * light[..., None] + glow[..., None], 0, 255)
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def _outlined(drawn: Image.Image, colour: RGB) -> Image.Image:
    """A thin dark rim, so that white things show on snow and black ones at night."""
    rim = drawn.getchannel("A").filter(ImageFilter.MaxFilter(OVERSAMPLING + 1))
    outline = Image.merge("RGBA", [*(Image.new("L", drawn.size, channel) for channel in colour), rim])
    return Image.alpha_composite(outline, drawn)


def _rgb(channels: object) -> RGB:
    red, green, blue = (round(channel) for channel in channels)  # type: ignore[attr-defined]
    return red, green, blue
