"""From a run and a corpus to a report folder: figures, and the page that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dragoman.corpus.store import Corpus
from dragoman.folders import write_json, write_manifest
from dragoman.pages.report import write_page
from dragoman.reports import folds
from dragoman.reports.evaluation import FORMAT, FORMAT_VERSION, MAKE, measure_run
from dragoman.reports.evaluator import Evaluator
from dragoman.reports.measure import QUERIES
from dragoman.reports.model import Model
from dragoman.reports.placing import replaced_folder
from dragoman.reports.settings import EvaluationSettings


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
    with replaced_folder(Path(out), format=FORMAT, format_version=FORMAT_VERSION, make=MAKE) as folder:
        evaluation = measure_run(evaluator, folder)
        write_page(folder / "report.html", evaluation)
        _finish(folder, evaluation.report, FORMAT, FORMAT_VERSION)
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
    with replaced_folder(
        Path(out), format=folds.FORMAT, format_version=folds.FORMAT_VERSION, make=folds.MAKE
    ) as folder:
        reports = {
            name: evaluate(
                run, part, settings, out=folder / f"fold-{name}", translate_test_run=translate_test_run
            )
            for name, part in parts.items()
        }
        tables = [pq.read_table(folder / f"fold-{name}" / QUERIES) for name in parts]
        report = folds.mean_of_folds(reports, tables)
        write_json(folder / "report.json", report)
        _finish(folder, report, folds.FORMAT, folds.FORMAT_VERSION)
    return report


def _finish(folder: Path, report: dict[str, Any], format: str, version: int) -> None:
    provenance = report["provenance"]
    inputs = provenance["run"] | provenance["corpus"]
    seed = report["settings"]["seed"]
    write_manifest(folder, format=format, format_version=version, inputs=inputs, seed=seed)
