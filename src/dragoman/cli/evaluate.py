"""`dragoman evaluate`: a run and a corpus in, a report out."""

from __future__ import annotations

from typing import Any

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run")
@click.argument("corpus")
@click.option(
    "--languages", help="Languages of the queries, with commas: pt,en (default: those of the training)."
)
@click.option("--out", required=True, help="Folder of the report; an earlier report there is replaced.")
@click.option("--split", help="train, val or test (default: test).")
@click.option(
    "--match",
    multiple=True,
    metavar="LANG=GLOB",
    help="Only human captions of LANG whose caption id fits GLOB are queries. Repeatable.",
)
@click.option(
    "--consistency",
    metavar="LANGUAGES",
    help="Languages whose ranks are compared with one another, with commas (default: all evaluated).",
)
@click.option(
    "--slots",
    help="Captions of an image are compared across languages by position, or drawn (default: position).",
)
@click.option("--features", help="Feature set of the images (default: the one the model was trained on).")
@click.option(
    "--fusion-normalisation",
    help="Scale of the fused channels: matrix, query or none (default: matrix).",
)
@click.option("--translation-engine", help="Which translation of the queries to use, if there are several.")
@click.option(
    "--drop-untranslated",
    is_flag=True,
    help="Leave queries without translation out of all rows instead of failing.",
)
@click.option(
    "--translate-test-run",
    help="Run of another model, for the source language only, that scores the translated queries.",
)
@click.option(
    "--rerank",
    type=click.IntRange(min=1),
    metavar="K",
    help="Also put the best K hits of each query into the order of the model's fusion encoder.",
)
@click.option(
    "--folds",
    is_flag=True,
    help="The mean over the folds of the split, each a gallery of its own, as for COCO 1K.",
)
@click.option("--run-depth", type=click.IntRange(min=10), help="Hits per query in TREC runs (default: 100).")
@click.option("--seed", type=int, help="Of the bootstrap and the shown examples (default: 0).")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of a table.")
def command(
    run: str,
    corpus: str,
    languages: str | None,
    out: str,
    match: tuple[str, ...],
    consistency: str | None,
    drop_untranslated: bool,
    translate_test_run: str | None,
    folds: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Measure how well RUN finds the images of CORPUS, in both directions, with intervals.

    Writes report.html to look at, report.json, queries.parquet with every rank, and TREC runs and qrels.
    Besides the queries themselves (direct) it scores their machine translations (translate_test) and both
    together (fused), where the corpus holds the translations.

    \b
    dragoman evaluate run/ corpus/ --languages pt,en --out report/
    dragoman evaluate run/ corpus/ --languages pt --match 'pt=*#pt#*' --out report-written/
    dragoman evaluate run/ corpus/ --rerank 128 --out report-reranked/
    """
    import json

    from dragoman.pipelines.evaluate import evaluate, evaluate_folds
    from dragoman.reports.settings import EvaluationSettings
    from dragoman.reports.terminal import fold_lines, result_lines

    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if drop_untranslated:
        given["untranslated"] = "drop"
    settings = EvaluationSettings(
        languages=_listed(languages), consistency=_listed(consistency), match=_globs(match), **given
    )
    report = (evaluate_folds if folds else evaluate)(
        run, corpus, settings, out=out, translate_test_run=translate_test_run
    )
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
        return
    for line in fold_lines(report) if folds else result_lines(report):
        click.echo(line)
    click.echo(f"Look at {out}/{'fold-…/' if folds else ''}report.html", err=True)


def _listed(languages: str | None) -> list[str] | None:
    return None if languages is None else [one.strip() for one in languages.split(",") if one.strip()]


def _globs(match: tuple[str, ...]) -> dict[str, list[str]]:
    from dragoman.settings import pairs

    globs: dict[str, list[str]] = {}
    for language, glob in pairs(match, "--match", "LANG=GLOB", "'pt=*#pt#*'", empty=False):
        globs.setdefault(language, []).append(glob)
    return globs
