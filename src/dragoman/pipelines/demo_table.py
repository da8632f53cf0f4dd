"""The comparison as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dragoman.evaluation.metrics import RECALLS
from dragoman.reports.compare import Difference

ROWS = ("direct", "translate_test", "fused")
WAY = "text_to_image"


def comparison_lines(
    reports: Mapping[str, Mapping[str, Any]], differences: Sequence[Difference]
) -> Iterator[str]:
    """Print a line a language, row and recipe, then what nrccr gains when asked directly."""
    heads = "".join(f"{metric.short:>7}" for metric in RECALLS)
    yield f"{'queries':<9}{'row':<16}{'recipe':<17}{heads}{'SumR':>8}  95 % interval"
    for lang, row, recipe, result, (low, high) in cells(reports):
        recalls = "".join(f"{result[WAY][metric]:7.1f}" for metric in RECALLS)
        yield f"{lang:<9}{row:<16}{recipe:<17}{recalls}{result['sum_r']:8.1f}  {low:.1f} to {high:.1f}"
    yield from gain_lines(differences)


def gain_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """Tell what nrccr gains in SumR when asked directly, a line a language."""
    for one in differences:
        if one.metric != "sum_r" or one.pair.row != "direct":
            continue
        low, high = one.interval
        yield (
            f"{one.pair.language}, asked directly: nrccr {one.difference:+.1f} SumR against translate_train "
            f"(95 % interval {low:+.1f} to {high:+.1f}, p {one.p:.3f}; one seed)"
        )


def cells(
    reports: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str, str, Mapping[str, Any], tuple[float, float]]]:
    """List language, row, recipe, its results, and the interval of its SumR."""
    first = next(iter(reports.values()))["results"]
    for lang in first:
        for row in ROWS:
            for recipe, report in reports.items():
                if row in report["results"][lang]:
                    low, high = report["intervals"][lang][row]["sum_r"]
                    yield lang, row, recipe, report["results"][lang][row], (low, high)
