"""The row of a benchmark beside the published ones, with what differs in how they were made."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from dragoman.pipelines.literature import CIRCUMSTANCES, Row

Figures = Mapping[str, Mapping[str, Sequence[float]]]


def page(
    title: str,
    note: str,
    ours: str,
    figures: Figures,
    consistency: Sequence[float],
    made_by: Mapping[str, str],
    published: Sequence[Row],
) -> Iterator[str]:
    """Markdown: a table for each figure, ours first, then the published rows."""
    yield f"# {title}"
    yield ""
    yield f"{note[:1].upper()}{note[1:]}. {_made(made_by)}."
    if "settings" in made_by:
        yield f"Settings that are not the recipe's: {made_by['settings']}."
    if consistency:
        yield f"Consistency over the languages: mrv_std {_shown(consistency)}, mean of both directions."
    for name, values in figures.items():
        rows = [row for row in published if row.figure == name]
        columns = list(dict.fromkeys([*values, *(lang for row in rows for lang in row.values)]))
        yield from ("", f"## {name}", "")
        yield f"| system | {' | '.join(columns)} | source | made otherwise |"
        yield f"|---|{'---|' * len(columns)}---|---|"
        cells = [_shown(values[lang]) if lang in values else "" for lang in columns]
        yield f"| **{ours}** | {' | '.join(cells)} | this run | |"
        for row in rows:
            cells = [f"{row.values[lang]:g}" if lang in row.values else "" for lang in columns]
            yield f"| {row.system} | {' | '.join(cells)} | {row.source} | {_otherwise(row, made_by)} |"
        if not rows:
            yield from ("", "No published figure of this kind was verified for this test set.")


def _made(made_by: Mapping[str, str]) -> str:
    shown = (*CIRCUMSTANCES, "models")
    return "; ".join(f"{name}: {made_by[name]}" for name in shown if name in made_by)


def _otherwise(row: Row, made_by: Mapping[str, str]) -> str:
    """Each circumstance that differs or is not told."""
    told = [
        f"{name}: {row.circumstances.get(name, 'not told')}"
        for name in CIRCUMSTANCES
        if row.circumstances.get(name) != made_by.get(name)
    ]
    return "; ".join(told)


def _shown(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"
