"""`trust/report.html`: what the trust scores say, for a person to read."""

from __future__ import annotations

from pathlib import Path

from dragoman.arrow import pa
from dragoman.pages import engine
from dragoman.pages.charts import histogram
from dragoman.trust.calibration import FAILED
from dragoman.trust.report import engine_summaries, worst

SHOWN = 20
"""Worst captions a language."""
ODD = 0.05
"""A signal is marked where at most this share of the language's captions is no better."""


def write_trust_page(path: Path, table: pa.Table) -> Path:
    """Write the page of a table of `score_trust`; give its path. Equal tables give equal bytes."""
    summaries = engine_summaries(table)
    names = [
        name
        for name in summaries[0].median_signals
        if any(one.median_signals[name] is not None for one in summaries)
    ]
    engine.write_page(
        path,
        "trust.html",
        title="Trust in machine translations",
        captions=len(table),
        failed_at_most=FAILED,
        summaries=[(one, histogram(one.trust)) for one in summaries],
        signals=names,
        worst=worst(table, SHOWN),
        odd=ODD,
    )
    return path
