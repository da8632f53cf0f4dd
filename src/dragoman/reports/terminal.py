"""Reports, and differences between them, as lines of text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dragoman.corpus.features import shown
from dragoman.evaluation.consistency import MRV
from dragoman.evaluation.metrics import RECALLS
from dragoman.evaluation.significance import OVER_SEEDS
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
    yield from left_out_notes(report)
    for language, details in report["languages"].items():
        yield from notes(language, details)
    for row, block in report["consistency"].items():
        if "undefined" not in block:
            yield _consistency_line(row, block)
    yield from consistency_notes(report)
    yield _seed_note(report)


def _seed_note(report: Mapping[str, Any]) -> str:
    seed = report["system"]["seed"]
    which = "a model without a training seed" if seed is None else f"one training, of seed {seed}"
    return (
        f"intervals are over test images alone, of {which}; other seeds are in those of: dragoman compare "
        "a1/,a2/,a3/ b1/,b2/,b3/"
    )


def fold_lines(report: dict[str, Any]) -> Iterator[str]:
    """Print the means over the folds, and the size of the folds."""
    yield from table_lines(report)
    sizes = report["folds"].values()
    each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    yield f"mean over {len(sizes)} folds of {each} images, each a gallery of its own"
    yield from left_out_notes(report)


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


def left_out_notes(report: Mapping[str, Any]) -> Iterator[str]:
    """Tell of images that take no part, as they have no vectors."""
    for split, items in report.get("without_vectors", {}).items():
        which = f"{len(items)} ({shown(items)})"
        yield f"Images left out of {split} for want of vectors, with their captions: {which}"


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
        ends = block[way]["intervals"]
        forms = (
            f"{name} {block[way][name]:.2f} ({ends[name][0]:.2f} to {ends[name][1]:.2f})" for name in MRV
        )
        ways.append(f"{way.replace('_', ' ')} {', '.join(forms)}")
    lowest = block["spread"]["mean_recall"]
    return (
        f"consistency of {row} over {', '.join(block['languages'])}: {'; '.join(ways)}; overlap@10 "
        f"{block['mean']['overlap@10']:.2f}; mean recall {lowest['mean']:.1f}, lowest {lowest['min']:.1f} "
        f"({lowest['min_language']})"
    )


DIFFERENCE_HEADER = (
    f"{'direction':<15}{'metric':<16}{'a':>8}{'b':>8}{'b - a':>9}  {'95 % interval':<19}"
    f"{'p':>8}{'p Holm':>8}{'McNemar':>9}{'Holm':>8}"
)
LEGEND = "McNemar: over queries. Holm: over languages. *: p Holm below 0.05."
NO_PRIMARY = (
    "No primary figure was named, so each p value is one of many. Name one before the test is looked at: "
    "dragoman evaluate ... --primary pt,zh:sum_r"
)
CONSISTENCY_LEGEND = (
    "mrv_*: how far apart the languages joined by + rank the same picture; lower is better, at equal recall: "
    "mrv_std falls and mrv_std_clipped rises with recall, and mrv_std_log favours what is bad everywhere."
)
WITH_SEEDS = ("sum_r", *MRV)


def difference_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """Print the primary figure, then a table for every pair of systems and row."""
    title = None
    named = [one for one in differences if one.primary is not None]
    for one in named:
        yield from _primary_lines(one, len(named))
    differences = [one for one in differences if one.primary is None]
    width = max((len(one.pair.language) for one in differences), default=0)
    width = max(width, len("language")) + 2
    for one in differences:
        if (now := _title(one.pair)) != title:
            title = now
            yield from (title, _variation(one), f"{'language':<{width}}{DIFFERENCE_HEADER}")
        yield f"{one.pair.language:<{width}}{_difference_line(one)}"
        seeds = one.spread_a is not None or one.spread_b is not None
        if one.direction == "both" and one.metric in WITH_SEEDS and seeds:
            yield f"{'':<{width}}{one.metric} of the seeds: a {_seeds(one.seeds_a, one.spread_a)}; " + (
                f"b {_seeds(one.seeds_b, one.spread_b)}"
            )
    yield LEGEND if named else f"{LEGEND} {NO_PRIMARY}"
    if any(AMONG in one.pair.language for one in differences):
        yield CONSISTENCY_LEGEND


def _primary_lines(one: Difference, systems: int) -> Iterator[str]:
    where = (
        "recorded when the reports were made" if one.primary == "recorded" else "named with this comparison"
    )
    kind = "mean over the languages" if "," in one.pair.language else "both directions"
    yield f"Primary figure: {one.metric} of {one.pair.language}, {kind}, {where}"
    yield f"{_title(one.pair)}: {one.b:.2f} against {one.a:.2f}"
    low, high = one.interval
    adjusted = f", Holm over {systems} systems {one.p_holm:.4f}" if systems > 1 else ""
    yield f"{one.difference:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}, p {one.p:.4f}{adjusted}"
    yield from (_variation(one), "")


def _variation(one: Difference) -> str:
    """Tell what the intervals let vary."""
    seeds = len(one.seeds_a), len(one.seeds_b)
    if one.over == OVER_SEEDS:
        how = "the same of both, paired" if one.paired else "independent of one another"
        return f"intervals and p over images and seeds ({seeds[0]} and {seeds[1]}, {how})"
    return (
        f"intervals and p over images alone: {seeds[0]} and {seeds[1]} reports; what other seeds would bring "
        "takes two of each system, or more"
    )


def _title(pair: Pair) -> str:
    if pair.row == pair.baseline_row:
        return f"{pair.row} of b ({pair.b}) against a ({pair.a})"
    return f"{pair.row} of b ({pair.b}) against {pair.baseline_row} of a ({pair.a})"


def _difference_line(one: Difference) -> str:
    ends = f"{one.interval[0]:+.2f} to {one.interval[1]:+.2f}"
    test = " " * 17 if one.mcnemar is None else f"{one.mcnemar:9.4f}{one.mcnemar_holm:8.4f}"
    mark = " *" if one.p_holm < 0.05 else ""
    return (
        f"{one.direction:<15}{one.metric:<16}{one.a:8.2f}{one.b:8.2f}"
        f"{one.difference:+9.2f}  {ends:<19}{one.p:8.4f}{one.p_holm:8.4f}{test}{mark}"
    ).rstrip()


def _seeds(values: Sequence[float], spread: float | None) -> str:
    beside = "" if spread is None else f" (sample std {spread:.2f})"
    return ", ".join(f"{value:.{1 if value >= 100 else 2}f}" for value in values) + beside
