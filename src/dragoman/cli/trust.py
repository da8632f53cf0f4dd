"""`dragoman trust`: score the machine captions of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED
from dragoman.errors import UserError

if TYPE_CHECKING:
    from dragoman.trust.evidence import Bridge


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--langid", is_flag=True, help="Also identify the language of each caption (extra langid).")
@click.option(
    "--words",
    multiple=True,
    metavar="LANG=FILE",
    help="Words of LANG, one a line: captions with other words are trusted less. Repeatable.",
)
@click.option(
    "--bridge",
    "bridges",
    multiple=True,
    metavar="FROM,TO=ENGINE",
    help="Compare captions in TO with those that other engines made in FROM, through ENGINE. Repeatable.",
)
@click.option(
    "--model", metavar="RUN", help="Also ask a trained model (dragoman train) whether text and picture fit."
)
@click.option(
    "--sentences",
    metavar="NAME",
    help="Also ask a sentence encoder, by the vectors it made (dragoman features --texts), whether both mean "
    "the same.",
)
@click.option("--worst", type=click.IntRange(min=0), default=0, help="Print the N worst lines per language.")
@click.option(
    "--review",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the worst as a sheet to correct: .xlsx or .csv.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Captions of each language in it.",
)
@click.option("--languages", type=LISTED, default=(), help="Languages in it.  [default: all]")
def command(
    corpus: Path,
    langid: bool,
    words: tuple[str, ...],
    bridges: tuple[str, ...],
    model: str | None,
    sentences: str | None,
    worst: int,
    review: Path | None,
    count: int,
    languages: tuple[str, ...],
) -> None:
    """Score every machine caption in 0..1 and report the worst.

    Writes the column `trust` of the captions, trust/signals.parquet and trust/report.html in the corpus.

    \b
    dragoman trust corpus/
    dragoman trust corpus/ --langid --worst 5
    dragoman trust corpus/ --words pt=/usr/share/dict/brazilian --bridge es,pt=apertium:es-pt
    dragoman trust corpus/ --model run/
    dragoman trust corpus/ --sentences use
    dragoman trust corpus/ --review worst.xlsx --languages pt
    """
    from dragoman.pages.trust import write_trust_page
    from dragoman.settings import pairs
    from dragoman.trust.report import summary_lines, worst_lines
    from dragoman.trust.score import score_trust

    if review is not None and review.exists():
        raise UserError(f"{review} is there, and may hold corrections. Give another name, or move it.")
    kept = None
    if sentences is not None:
        from dragoman.corpus.corpus import Corpus
        from dragoman.features.kept_texts import KeptTexts

        kept = KeptTexts(Corpus.open(corpus).features(sentences))
    retriever = None
    if model is not None:
        from dragoman import Retriever

        retriever = Retriever.load(model)
    table = score_trust(
        corpus,
        langid=langid,
        words=dict(pairs(words, "--words", "LANG=FILE", "pt=words.txt", empty=False)),
        bridges=[_bridge(option) for option in bridges],
        model=retriever,
        kept=kept,
    )
    report = write_trust_page(corpus / "trust" / "report.html", table)
    for line in summary_lines(table):
        click.echo(line)
    for line in worst_lines(table, worst):
        click.echo(line)
    click.echo(report)
    if review is not None:
        from dragoman.corpus.corpus import Corpus
        from dragoman.corpus.corrections import COLUMNS
        from dragoman.sheets import write_records
        from dragoman.trust.report import review_rows

        rows = review_rows(table, Corpus.open(corpus), count, languages)
        write_records(review, COLUMNS, rows)
        click.echo(f"{review}: {len(rows):,} captions. Fill in the column correction, and give it back:")
        click.echo(f"  dragoman make … --corrections {review}, or dragoman corpus folder … likewise")


def _bridge(option: str) -> Bridge:
    from dragoman.settings import pairs
    from dragoman.trust.evidence import Bridge

    [(pair, engine)] = pairs([option], "--bridge", "FROM,TO=ENGINE", "es,pt=apertium:es-pt", empty=False)
    source, comma, target = pair.partition(",")
    if not (comma and source and target):
        raise UserError(f"--bridge {option}: expected FROM,TO=ENGINE, such as es,pt=apertium:es-pt")
    return Bridge(source=source, target=target, engine=engine)
