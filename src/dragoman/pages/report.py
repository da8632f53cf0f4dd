"""`report.html`: a report for a person to read, in one file without any request to elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dragoman.evaluation.metrics import RECALLS, Metric
from dragoman.pages import engine
from dragoman.pages.charts import interval_chart, recall_curves
from dragoman.pages.thumbnails import Thumbnails
from dragoman.reports.evaluation import Evaluation
from dragoman.reports.examples import FAR, draw_examples, find_disagreements
from dragoman.reports.measure import part
from dragoman.reports.provenance import digest
from dragoman.reports.terminal import consistency_notes, notes

COLUMNS = {metric: metric.short for metric in (*RECALLS, Metric("medr"), Metric("map"))}
LANGUAGES_WITH_EXAMPLES = 12
"""Thumbnails make a page heavy; further languages show their figures alone."""


def write_page(path: Path, evaluation: Evaluation) -> None:
    """Write the page of a finished report."""
    report, texts = evaluation.report, evaluation.texts
    names = {language: engine.language_name(language) for language in report["results"]}
    provenance = report["provenance"]
    engine.write_page(
        path,
        "report.html",
        title=f"Retrieval report: {report['system']['name']}",
        report=report,
        names=names,
        targets=", ".join(map(str, report["system"]["config"].get("targets") or [])) or "no other language",
        columns=COLUMNS,
        rows_shown=list(dict.fromkeys(row for rows in report["results"].values() for row in rows)),
        sum_r_chart=_sum_r_chart(report, names),
        curves=_curves(evaluation, names),
        agreement=_agreement(evaluation, names),
        agreement_notes=list(consistency_notes(report)),
        language_notes={one: list(notes(one, report["languages"][one])) for one in names},
        examples={
            one.language: dict(
                zip(
                    ("Found at once", f"Missed: not among the first {FAR}"),
                    draw_examples(evaluation.queries, one, report["settings"]["seed"]),
                    strict=True,
                )
            )
            for one in texts[:LANGUAGES_WITH_EXAMPLES]
        },
        thumbnails=Thumbnails(evaluation.corpus),
        run_digest=digest(provenance["run"]),
        corpus_digest=digest(provenance["corpus"]),
        provenance=json.dumps(provenance, ensure_ascii=False, indent=2),
    )


def _sum_r_chart(report: dict[str, Any], names: dict[str, str]) -> Markup:
    ends = report["intervals"]
    bars = {
        language: {row: (one["sum_r"], *ends[language][row]["sum_r"]) for row, one in rows.items()}
        for language, rows in report["results"].items()
    }
    return interval_chart(bars, names, max(high for rows in bars.values() for _, _, high in rows.values()))


def _curves(evaluation: Evaluation, names: dict[str, str]) -> list[Markup]:
    """Draw a panel for each language."""
    panels = []
    for language, rows in evaluation.report["results"].items():
        parts = {row: part(evaluation.queries, language, row, "text_to_image") for row in rows}
        ranks = {row: one["rank"].to_numpy() for row, one in parts.items()}
        gallery = evaluation.report["languages"][language]["gallery"]["text_to_image"]
        panels.append(recall_curves(ranks, gallery, names[language]))
    return panels


def _agreement(evaluation: Evaluation, names: dict[str, str]) -> dict[str, Any] | None:
    """Collect figures of the rows whose languages compare, and disagreements of the first; null without."""
    blocks = {row: one for row, one in evaluation.report["consistency"].items() if "undefined" not in one}
    if evaluation.common is None or not blocks:
        return None
    row, block = next(iter(blocks.items()))
    by_language = {one.language: dict(zip(one.ids, one.texts, strict=True)) for one in evaluation.texts}
    wanted = [one["languages"] for one in blocks.values()]
    return {
        "block": block,
        "languages": [names[one] for one in block["languages"]],
        # A row without the source language stands beside the others without it, for only these compare.
        "rows": [
            (name, one)
            for name, whole in blocks.items()
            for one in (whole, whole["without_source"])
            if one is not None and one["languages"] in wanted
        ],
        "apart": find_disagreements(evaluation.common, block["languages"], row, by_language),
    }
