"""Charts as inline SVG, drawn by hand: they take the page's colours, in the dark too, and need nothing.

Colours are classes of `style.css`, one for each row of a report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

LEFT, WIDTH, LINE, RIGHT = 190, 720, 22, 70
PANEL_WIDTH, PANEL_HEIGHT = 340, 220
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 180, 36


def interval_chart(
    bars: Mapping[str, Mapping[str, tuple[float, float, float]]], names: Mapping[str, str], top: float
) -> Markup:
    """Draw a line per language and row: a dot at the value and a bar over its interval, from 0 to `top`.

    bars: language to row to (value, low, high).
    """
    step = _step(top)
    span = math.ceil(top / step) * step
    parts: list[str] = []
    y = 8.0
    for language, rows in bars.items():
        parts.append(f'<text class="name" x="0" y="{y + LINE * 0.7:.0f}">{escape(names[language])}</text>')
        for row, (value, low, high) in rows.items():
            parts.append(_bar(row, y + LINE / 2, value, [_across(one, span) for one in (value, low, high)]))
            y += LINE
        y += LINE / 2
    grid = "".join(_tick(step * i, span, y) for i in range(round(span / step) + 1))
    return Markup(
        f'<svg class="chart" viewBox="0 0 {LEFT + WIDTH + RIGHT} {y + 22:.0f}" role="img" '
        f'aria-label="SumR with 95 % intervals">{grid}{"".join(parts)}</svg>'
    )


def recall_curves(ranks: Mapping[str, NDArray[np.float64]], gallery: int, title: str) -> Markup:
    """Draw the share of queries that find their image among the first K, for every K up to the gallery.

    ranks: row to the ranks of its queries.
    """
    ticks = [10**power for power in range(8) if 10**power < gallery]
    lines = "".join(_cutoff_tick(_log_x(k, gallery), k) for k in ticks)
    lines += "".join(
        f'<line class="grid" x1="40" x2="{PANEL_WIDTH - 10}" y1="{_y(p):.1f}" y2="{_y(p):.1f}"/>'
        f'<text class="tick" text-anchor="end" x="34" y="{_y(p) + 4:.1f}">{p}</text>'
        for p in (0, 25, 50, 75, 100)
    )
    chance = _path([(k, 100 * k / gallery) for k in _cutoffs(gallery)], gallery)
    curves = f'<path class="chance" d="{chance}"/>'
    for row, rank_Q in ranks.items():
        points = [(k, 100 * float((rank_Q <= k).mean())) for k in _cutoffs(gallery)]
        curves += f'<path class="curve {escape(row)}" d="{_path(points, gallery)}"/>'
    return Markup(
        f'<svg class="panel" viewBox="0 0 {PANEL_WIDTH} {PANEL_HEIGHT + 24}" role="img" '
        f'aria-label="{escape(title)}"><text class="name" x="40" y="14">{escape(title)}</text>'
        f"{lines}{curves}</svg>"
    )


def histogram(values: NDArray[np.float64], bins: int = 20) -> Markup:
    """Draw how often values of 0..1 fall into each of so many equal bins; the fullest has full height."""
    counts, _ = np.histogram(values, bins=bins, range=(0, 1))
    fullest = max(1, counts.max())
    wide = HISTOGRAM_WIDTH / bins
    bars = "".join(
        f'<rect x="{place * wide + 0.06 * wide:.1f}" y="{HISTOGRAM_HEIGHT - tall:.1f}" '
        f'width="{0.88 * wide:.1f}" height="{tall:.1f}"/>'
        for place, count in enumerate(counts)
        if (tall := (HISTOGRAM_HEIGHT - 2) * count / fullest)
    )
    return Markup(
        f'<svg class="histogram" viewBox="0 0 {HISTOGRAM_WIDTH} {HISTOGRAM_HEIGHT + 1}" role="img" '
        f'aria-label="distribution from 0 to 1">{bars}'
        f'<line x1="0" x2="{HISTOGRAM_WIDTH}" y1="{HISTOGRAM_HEIGHT}" y2="{HISTOGRAM_HEIGHT}"/></svg>'
    )


def _bar(row: str, y: float, value: float, places: Sequence[float]) -> str:
    x, low, high = places
    return (
        f'<g class="{escape(row)}"><line class="interval" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
        f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="5"/>'
        f'<text class="value" x="{high + 10:.1f}" y="{y + 4}">{value:.1f}</text></g>'
    )


def _tick(value: float, span: float, bottom: float) -> str:
    x = _across(value, span)
    return (
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{bottom:.0f}"/>'
        f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{bottom + 16:.0f}">{value:g}</text>'
    )


def _cutoff_tick(x: float, cutoff: int) -> str:
    return (
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="24" y2="{_y(0)}"/>'
        f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{_y(0) + 16}">{cutoff:,}</text>'
    )


def _across(value: float, span: float) -> float:
    return LEFT + WIDTH * value / span


def _step(top: float) -> float:
    return next(step for step in (5, 10, 20, 50, 100) if top / step <= 7 or step == 100)


def _cutoffs(gallery: int) -> Sequence[int]:
    # Evenly spaced on the logarithmic axis: every K of a large gallery would be a heavy page.
    return sorted({round(gallery ** (i / 80)) for i in range(81)} | set(range(1, min(10, gallery) + 1)))


def _path(points: Sequence[tuple[int, float]], gallery: int) -> str:
    return "M" + " L".join(f"{_log_x(k, gallery):.1f},{_y(share):.1f}" for k, share in points)


def _log_x(k: float, gallery: int) -> float:
    return 40 + (PANEL_WIDTH - 50) * (math.log(k) / math.log(gallery) if gallery > 1 else 0)


def _y(share: float) -> float:
    return 24 + (PANEL_HEIGHT - 24) * (1 - share / 100)
