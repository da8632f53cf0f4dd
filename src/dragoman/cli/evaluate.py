"""`dragoman evaluate`: a run and a corpus in, a report out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, Verb, options, spelled
from dragoman.settings import pairs

if TYPE_CHECKING:
    from dragoman.reports.settings import EvaluationSettings

DROP = "Leave queries without translation out of all rows instead of failing."


@dataclass(frozen=True, kw_only=True)
class OtherOptions:
    """Options beside the settings of a report."""

    translate_test_run: str | None = None
    """Run of another model, for the source language only, that scores the translated queries."""
    folds: bool = False
    """The mean over the folds of the split, each a gallery of its own, as for COCO 1K."""
    json: bool = False
    """Print report.json instead of a table."""


def _globs(ctx: click.Context, param: click.Parameter, match: tuple[str, ...]) -> dict[str, list[str]]:
    globs: dict[str, list[str]] = {}
    for language, glob in pairs(match, "--match", "LANG=GLOB", "'pt=*#pt#*'", empty=False):
        globs.setdefault(language, []).append(glob)
    return globs


@click.command(cls=Verb)
@click.argument("run")
@click.argument("corpus")
@click.option("--out", required=True, help="Folder of the report; an earlier report there is replaced.")
@options(
    "dragoman.reports.settings:EvaluationSettings",
    "settings",
    languages=LISTED,
    match=spelled(multiple=True, default=(), metavar="LANG=GLOB", callback=_globs),
    consistency=LISTED,
    untranslated=spelled("--drop-untranslated", flag_value="drop", show_default=False, help=DROP),
    primary=spelled(metavar="LANGS:METRIC"),
    rerank=spelled(type=click.IntRange(min=0), metavar="K"),
    run_depth=click.IntRange(min=10),
)
@options(OtherOptions, "other")
def command(run: str, corpus: str, out: str, settings: EvaluationSettings, other: OtherOptions) -> None:
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
    from dragoman.reports.terminal import fold_lines, result_lines

    measure = evaluate_folds if other.folds else evaluate
    report = measure(run, corpus, settings, out=out, translate_test_run=other.translate_test_run)
    if other.json:
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
        return
    for line in fold_lines(report) if other.folds else result_lines(report):
        click.echo(line)
    click.echo(f"Look at {out}/{'fold-…/' if other.folds else ''}report.html", err=True)
