"""From a run and a corpus to a report folder: figures, and the page that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragoman.arrow import pq
from dragoman.corpus.corpus import Corpus
from dragoman.folders import Format, stage, write_json
from dragoman.pages.report import write_report_page
from dragoman.reports import folds
from dragoman.reports.evaluation import measure_run
from dragoman.reports.evaluator import Evaluator
from dragoman.reports.format import FOLDS, QUERIES, REPORT
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.base import Model


def evaluate(
    run: str | Path | Model,
    corpus: str | Path | Corpus,
    settings: EvaluationSettings | None = None,
    *,
    out: str | Path,
    translate_test_run: str | Path | Model | None = None,
) -> dict[str, Any]:
    """Evaluate a run on the human captions of a split and write the report folder `out`.

    run: a run folder, or any object with `config`, `encode_text` and `encode_features`.
    translate_test_run: another model, that knows the source language only, for the machine-translated
    queries; it adds the row `translate_test_source_only`.

    Returns the content of `report.json`; `results[language][row][direction][metric]` are the figures. An
    existing report is replaced only on success. Raises UserError where anything does not fit.
    """
    evaluator = Evaluator.open(run, corpus, settings or EvaluationSettings(), translate_test_run)
    with stage(Path(out), REPORT, replace=True) as work:
        evaluation = measure_run(evaluator, work.folder)
        write_report_page(work.folder / "report.html", evaluation)
        _finish(work.folder, evaluation.report, REPORT)
    return evaluation.report


def evaluate_folds(
    run: str | Path | Model,
    corpus: str | Path,
    settings: EvaluationSettings | None = None,
    *,
    out: str | Path,
    translate_test_run: str | Path | Model | None = None,
) -> dict[str, Any]:
    """Evaluate each fold of a split by itself, into `out/fold-<name>`, and write the means as `report.json`.

    The metadata column `fold` of the items tells the folds. A metric is the mean of its values on the folds,
    each ranked among the images and captions of the fold alone.

    Returns the content of `report.json`. An existing one is replaced only on success. Raises UserError where
    the items have no folds, and where anything does not fit.
    """
    settings = settings or EvaluationSettings()
    parts = folds.open_folds(Corpus.open(corpus), settings.split)
    with stage(Path(out), FOLDS, replace=True) as work:
        folder = work.folder
        reports = {
            name: evaluate(
                run, part, settings, out=folder / f"fold-{name}", translate_test_run=translate_test_run
            )
            for name, part in parts.items()
        }
        tables = [pq.read_table(folder / f"fold-{name}" / QUERIES) for name in parts]
        report = folds.mean_of_folds(reports, tables)
        write_json(folder / "report.json", report)
        _finish(folder, report, FOLDS)
    return report


def _finish(folder: Path, report: dict[str, Any], format: Format) -> None:
    provenance = report["provenance"]
    inputs = provenance["run"] | provenance["corpus"]
    format.write(folder, inputs=inputs, seed=report["settings"]["seed"])
