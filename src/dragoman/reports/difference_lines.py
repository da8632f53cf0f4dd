"""Differences between systems as lines of text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dragoman.reports.comparison import Difference, Pair
from dragoman.reports.joined import AMONG

HEADER = (
    f"{'direction':<15}{'metric':<10}{'a':>8}{'b':>8}{'b - a':>9}  {'95 % interval':<19}"
    f"{'p':>8}{'p Holm':>8}{'McNemar':>9}{'Holm':>8}"
)
LEGEND = (
    "Intervals and p: over images (bootstrap, sign flips). McNemar: over queries. Holm: over languages. "
    "*: p Holm below 0.05."
)
CONSISTENCY_LEGEND = (
    "mrv_std, mrv_var: how far apart the languages joined by + rank the same picture; lower is better."
)
WITH_SEEDS = ("sum_r", "mrv_std")


def difference_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """A table for every pair of systems and row."""
    title = None
    width = max((len(one.pair.language) for one in differences), default=0)
    width = max(width, len("language")) + 2
    for one in differences:
        if (now := _title(one.pair)) != title:
            title = now
            yield from (title, f"{'language':<{width}}{HEADER}")
        yield f"{one.pair.language:<{width}}{_line(one)}"
        seeds = one.spread_a is not None or one.spread_b is not None
        if one.direction == "both" and one.metric in WITH_SEEDS and seeds:
            yield f"{'':<{width}}{one.metric} of the seeds: a {_seeds(one.seeds_a, one.spread_a)}; " + (
                f"b {_seeds(one.seeds_b, one.spread_b)}"
            )
    yield LEGEND
    if any(AMONG in one.pair.language for one in differences):
        yield CONSISTENCY_LEGEND


def _title(pair: Pair) -> str:
    if pair.row == pair.baseline_row:
        return f"{pair.row} of b ({pair.b}) against a ({pair.a})"
    return f"{pair.row} of b ({pair.b}) against {pair.baseline_row} of a ({pair.a})"


def _line(one: Difference) -> str:
    ends = f"{one.interval[0]:+.2f} to {one.interval[1]:+.2f}"
    test = " " * 17 if one.mcnemar is None else f"{one.mcnemar:9.4f}{one.mcnemar_holm:8.4f}"
    mark = " *" if one.p_holm < 0.05 else ""
    return (
        f"{one.direction:<15}{one.metric:<10}{one.a:8.2f}{one.b:8.2f}"
        f"{one.difference:+9.2f}  {ends:<19}{one.p:8.4f}{one.p_holm:8.4f}{test}{mark}"
    ).rstrip()


def _seeds(values: Sequence[float], spread: float | None) -> str:
    beside = "" if spread is None else f" (sample std {spread:.2f})"
    return ", ".join(f"{value:.{1 if value >= 100 else 2}f}" for value in values) + beside
