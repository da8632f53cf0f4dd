"""`dragoman translate`: captions of one language into another, by machine."""

from __future__ import annotations

import click

from dragoman.errors import Exit


class _Translate(click.Command):
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
@click.option("--split", "splits", metavar="NAMES", help="Only these splits, as in val,test.")
@click.option("--role", default="human", show_default=True, help="Captions to translate: human, mt or back.")
@click.option("--batch-size", type=click.IntRange(1), help="Lines a call.  [default: the engine's]")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds a batch.  [default: 120]")
@click.option("--device", help="Where models run: cpu, cuda, cuda:1.  [default: a GPU where there is one]")
@click.option("--cache", type=click.Path(file_okay=False), help="Cache folder.  [default: the user's]")
@click.option("--retry-rejected", is_flag=True, help="Try the captions again that failed in earlier runs.")
def command(
    corpus: str,
    to: str,
    source: str,
    engine: str,
    back: str | None,
    splits: str | None,
    role: str,
    batch_size: int | None,
    timeout: float | None,
    device: str | None,
    cache: str | None,
    retry_rejected: bool,
) -> None:
    """Translate captions of CORPUS, and back where asked; the results join the corpus.

    \b
    dragoman translate corpus/ --to pt --engine "apertium:eng-spa|es-pt" --back "apertium:pt-es|spa-eng"
    dragoman translate corpus/ --from pt --to en --split val,test --engine "apertium:pt-es|spa-eng"

    Options of an engine follow a question mark: "transformers:facebook/m2m100_418M?beams=5".

    A run that was stopped goes on where it was. Exit status 3: some captions were rejected, and listed in
    CORPUS/rejected/.
    """
    from dragoman.translation import TranslateSettings, translate

    report = translate(
        corpus,
        to=to,
        source=source,
        engine=engine,
        back=back,
        settings=TranslateSettings(
            role=role,
            splits=splits.split(",") if splits else None,
            batch_size=batch_size,
            timeout=TranslateSettings.timeout if timeout is None else timeout,
            device=device,
            cache=cache,
            retry_rejected=retry_rejected,
        ),
    )
    for title, counts in ((f"{source} to {to}", report.there), (f"{to} to {source}", report.back)):
        if counts:
            click.echo(
                f"{title}: {counts.lines} distinct lines, {counts.translated} translated, "
                f"{counts.cached} from the cache, {counts.rejected} rejected"
            )
    if report.reject_file:
        click.echo(f"{report.rejected} captions were rejected; see {report.reject_file}", err=True)
    raise click.exceptions.Exit(Exit.REJECTED if report.reject_file else Exit.OK)
