"""Reports, and differences between them, as lines of text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dragoman.evaluation.metrics import RECALLS
from dragoman.reports.compare import Difference, Pair
from dragoman.reports.rows import DIRECTIONS
from dragoman.reports.systems import AMONG

_RECALLS = "".join(f"{metric.short:>7}" for metric in RECALLS)
HEADER = (
    f"{'':8}{'':28}{'text to image':>21}{'image to text':>24}\n"
    f"{'language':<9}{'row':<27}{_RECALLS}   {_RECALLS}{'SumR':>9}  95 % interval"
)


def result_lines(report: dict[str, Any]) -> Iterator[str]:
    """Print recalls and SumR of every language and row, then what a reader should know of them."""
    yield from table_lines(report)
    for language, details in report["languages"].items():
        yield from notes(language, details)
    for row, block in report["consistency"].items():
        if "undefined" not in block:
            yield _consistency_line(row, block)
    yield from consistency_notes(report)


def fold_lines(report: dict[str, Any]) -> Iterator[str]:
    """Print the means over the folds, and the size of the folds."""
    yield from table_lines(report)
    sizes = report["folds"].values()
    each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    yield f"mean over {len(sizes)} folds of {each} images, each a gallery of its own"


def table_lines(report: dict[str, Any]) -> Iterator[str]:
    """Print recalls and SumR of every language and row."""
    yield from HEADER.split("\n")
    for language, rows in report["results"].items():
        for row, result in rows.items():
            low, high = report["intervals"][language][row]["sum_r"]
            recalls = ["".join(f"{result[way][name]:7.1f}" for name in RECALLS) for way in DIRECTIONS]
            yield (
                f"{language:<9}{row:<27}{recalls[0]}   {recalls[1]}{result['sum_r']:9.1f}"
                f"  {low:.1f} to {high:.1f}"
            )


def notes(language: str, details: dict[str, Any]) -> Iterator[str]:
    """Tell the number of queries, the origin of the fusion weight, and why rows are missing."""
    queries, gallery = details["queries"], details["gallery"]
    only = f" (only {', '.join(details['match'])})" if details["match"] else ""
    yield (
        f"{language}: {queries['text_to_image']} captions{only} against {gallery['text_to_image']} images, "
        f"{queries['image_to_text']} images against {gallery['image_to_text']} captions"
    )
    if details["dropped_untranslated"]:
        yield f"{language}: {details['dropped_untranslated']} captions without translation were dropped"
    if details["translation_engine"]:
        yield f"{language}: translated by {details['translation_engine']}"
    if fusion := details["fusion"]:
        yield f"{language}: fusion weight {fusion['weight']} chosen on {fusion['chosen_on']}"
    for row, reason in details["missing_rows"].items():
        yield f"{language}: no row {row}: {reason}"


def consistency_notes(report: dict[str, Any]) -> Iterator[str]:
    """Tell what consistency was measured on, and why it is missing where it is."""
    common = report["common"]
    if common["undefined"]:
        yield f"no consistency: {common['undefined']}"
        return
    for row, block in report["consistency"].items():
        if "undefined" in block:
            yield f"no consistency of {row}: {block['undefined']}"
    left_out = [
        f"{language} {counts['items']} images and {counts['captions']} captions"
        for language, counts in common["left_out"].items()
        if any(counts.values())
    ]
    yield (
        f"consistency is that on the {common['items']} images and {common['captions']} captions of each that "
        f"{', '.join(common['languages'])} have in common"
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )
    order = {"position": "by their position", "drawn": "in an order drawn at random"}
    yield (
        f"captions of an image stand beside those of the other languages "
        f"{order[common['captions_aligned_by']]}; whether they translate one another is not known"
    )


def _consistency_line(row: str, block: dict[str, Any]) -> str:
    ways = []
    for way in DIRECTIONS:
        low, high = block[way]["intervals"]["mrv_std"]
        ways.append(f"{block[way]['mrv_std']:.2f} ({low:.2f} to {high:.2f}) {way.replace('_', ' ')}")
    lowest = block["spread"]["mean_recall"]
    return (
        f"consistency of {row} over {', '.join(block['languages'])}: mrv_std {'; '.join(ways)}; overlap@10 "
        f"{block['mean']['overlap@10']:.2f}; mean recall {lowest['mean']:.1f}, lowest {lowest['min']:.1f} "
        f"({lowest['min_language']})"
    )


DIFFERENCE_HEADER = (
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
    """Print a table for every pair of systems and row."""
    title = None
    width = max((len(one.pair.language) for one in differences), default=0)
    width = max(width, len("language")) + 2
    for one in differences:
        if (now := _title(one.pair)) != title:
            title = now
            yield from (title, f"{'language':<{width}}{DIFFERENCE_HEADER}")
        yield f"{one.pair.language:<{width}}{_difference_line(one)}"
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


def _difference_line(one: Difference) -> str:
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
