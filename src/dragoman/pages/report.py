"""`report.html`: a report for a person to read, in one file without any request to elsewhere."""

from __future__ import annotations

import base64
import io
import json
import warnings
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image, ImageOps

from dragoman.corpus.corpus import Corpus
from dragoman.errors import MissingExtraError
from dragoman.evaluation.metrics import RECALLS, Metric
from dragoman.media.images import ImageError
from dragoman.media.reading import mosaic
from dragoman.pages import engine
from dragoman.pages.charts import interval_chart, recall_curves
from dragoman.reports.evaluation import Evaluation
from dragoman.reports.evaluator import digest
from dragoman.reports.examples import FAR, draw_examples, find_disagreements
from dragoman.reports.measure import part
from dragoman.reports.terminal import consistency_notes, left_out_notes, notes

COLUMNS = {metric: metric.short for metric in (*RECALLS, Metric("medr"), Metric("map"))}
LANGUAGES_WITH_EXAMPLES = 12
"""Thumbnails make a page heavy; further languages show their figures alone."""
SIDE, QUALITY = 132, 72
"""Pixels and JPEG quality of a thumbnail."""


def write_report_page(path: Path, evaluation: Evaluation) -> None:
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
        left_out=list(left_out_notes(report)),
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
        thumbnails=InlineThumbnails(evaluation.corpus),
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


class InlineThumbnails:
    """Thumbnails of a corpus's items by id: of a video four of its frames. An item without a readable local
    file has none."""

    def __init__(self, corpus: Corpus) -> None:
        items = corpus.items.select(["item_id", "path", "kind"]).to_pydict()
        self._path = dict(zip(items["item_id"], items["path"], strict=True))
        self._kind = dict(zip(items["item_id"], items["kind"], strict=True))
        self._corpus = corpus
        self._made: dict[str, str | None] = {}

    def of(self, item_id: str) -> str | None:
        """Give a data URI, or null."""
        if item_id not in self._made:
            path = self._path.get(item_id)
            made = None if path is None else self._corpus.media_path(path)
            self._made[item_id] = made and _data_uri(made, self._kind[item_id])
        return self._made[item_id]


def _data_uri(path: str, kind: str) -> str | None:
    if "://" in path:
        return None
    try:
        # Pillow warns of image bombs before it raises; a report must not decode either.
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            jpeg = _jpeg(mosaic(path, SIDE)) if kind == "video" else _small_jpeg(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    except (ImageError, MissingExtraError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _small_jpeg(path: str) -> bytes:
    with Image.open(path) as image:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        small = ImageOps.exif_transpose(image).convert("RGBA")
    small.thumbnail((SIDE, SIDE))
    paper = Image.new("RGB", small.size, "white")
    paper.paste(small, mask=small.getchannel("A"))
    return _jpeg(paper)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
