"""`dragoman translate`: captions of one language into another, by machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import AT_LEAST_1, CLUSTER, LISTED, Verb, options, spelled
from dragoman.errors import Exit

if TYPE_CHECKING:
    from dragoman.translation import TranslateSettings


class _Translate(Verb):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Engines are asked only here, since each is imported for its description.
        from dragoman import plugins
        from dragoman.translation.engine import ENGINES, describe_engine

        with formatter.section("Engines"):
            described = map(describe_engine, plugins.names(ENGINES))
            formatter.write_dl([(about.spec, f"{about.what}.") for about in described])


@click.command(cls=_Translate)
@click.argument("corpus", type=click.Path(exists=True, file_okay=False))
@click.option("--to", required=True, metavar="LANG", help="Target language, a BCP 47 tag such as pt.")
@click.option("--from", "source", default="en", show_default=True, metavar="LANG", help="Source language.")
@click.option("--engine", required=True, metavar="NAME:ARGUMENT", help="Translation engine, see below.")
@click.option("--back", metavar="NAME:ARGUMENT", help="Engine that translates the result back.")
@options(
    "dragoman.translation:TranslateSettings",
    "settings",
    splits=spelled("--split", type=LISTED),
    most=AT_LEAST_1,
    batch_size=AT_LEAST_1,
    timeout=click.FloatRange(0, min_open=True),
    cache=click.Path(file_okay=False),
    **CLUSTER,
)
def command(
    corpus: str, to: str, source: str, engine: str, back: str | None, settings: TranslateSettings
) -> None:
    """Translate captions of CORPUS, and back where asked; the results join the corpus.

    \b
    dragoman translate corpus/ --to pt --engine "apertium:eng-spa|es-pt" --back "apertium:pt-es|spa-eng"
    dragoman translate corpus/ --from pt --to en --split val,test --engine "apertium:pt-es|spa-eng"

    Options of an engine follow a question mark: "transformers:facebook/m2m100_418M?beams=5".

    A run that was stopped goes on where it was. Exit status 3: some captions were rejected, and listed in
    CORPUS/rejected/.
    """
    from dragoman.translation import translate

    report = translate(corpus, to=to, source=source, engine=engine, back=back, settings=settings)
    for title, counts in ((f"{source} to {to}", report.there), (f"{to} to {source}", report.back)):
        if counts:
            click.echo(
                f"{title}: {counts.lines} distinct lines, {counts.translated} translated, "
                f"{counts.cached} from the cache, {counts.rejected} rejected"
            )
    if report.reject_file:
        click.echo(f"{report.rejected} captions were rejected; see {report.reject_file}", err=True)
    raise click.exceptions.Exit(Exit.REJECTED if report.reject_file else Exit.OK)
