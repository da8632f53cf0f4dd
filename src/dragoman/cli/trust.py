"""`dragoman trust`: score the machine captions of a corpus."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--langid", is_flag=True, help="Also identify the language of each caption (extra langid).")
@click.option("--worst", type=click.IntRange(min=0), default=0, help="Print the N worst lines per language.")
def command(corpus: Path, langid: bool, worst: int) -> None:
    """Score every machine caption in 0..1 and report the worst.

    Writes the column `trust` of the captions, trust/signals.parquet and trust/report.html in the corpus.

    \b
    dragoman trust corpus/
    dragoman trust corpus/ --langid --worst 5
    """
    from dragoman.translation.trust import score_trust
    from dragoman.translation.trust_report import summary_lines, worst_lines
    from dragoman.translation.trust_report_html import write_report

    table = score_trust(corpus, langid=langid)
    report = write_report(corpus / "trust", table)
    for line in summary_lines(table):
        click.echo(line)
    for line in worst_lines(table, worst):
        click.echo(line)
    click.echo(report)
