"""`dragoman lexicon`: words that the translation engine understands but never writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import AT_LEAST_1, NO_CLUSTER, Verb, options, spelled

if TYPE_CHECKING:
    from dragoman.translation import JobSettings


@click.command(cls=Verb, short_help="Translate a word list, for training with words the engine never writes.")
@click.argument("corpus", type=click.Path(exists=True, file_okay=False))
@click.option("--lang", required=True, help="Language of the words, such as pt.")
@click.option(
    "--words",
    type=click.Path(dir_okay=False),
    help="Text file, one word a line; by default what the engine lists, if it can (dictionary).",
)
@click.option("--engine", required=True, help="Engine from that language into the source language.")
@click.option("--source", default="en", show_default=True, help="Source language of the corpus.")
@options(
    "dragoman.translation:JobSettings",
    "settings",
    batch_size=spelled(type=AT_LEAST_1, help="Words a call; by default 2000."),
    timeout=None,
    device=None,
    cache=click.Path(file_okay=False),
    retry_rejected=None,
    **NO_CLUSTER,
)
def command(
    corpus: str, lang: str, words: str | None, engine: str, source: str, settings: JobSettings
) -> None:
    """Translate a list of words into the source language and keep the result in CORPUS/lexicon/.

    A translation engine picks one word for a meaning, people use many. In the opposite direction the engine
    knows more of them, and training can put them into the machine captions:

    \b
    dragoman lexicon corpus/ --lang pt --words /usr/share/dict/brazilian --engine "apertium:pt-es|spa-eng"
    dragoman lexicon corpus/ --lang cs --engine "dictionary:eng-ces?texts=corpus/"
    dragoman train corpus/ --recipe nrccr --targets pt … --set synonyms=0.3 --set renderings=0.3

    Word lists are packaged for many languages: apt-get install wbrazilian (or wspanish, wfrench, wngerman …).
    """
    from dragoman.translation import build_lexicon

    report = build_lexicon(corpus, lang=lang, words=words, engine=engine, source=source, settings=settings)
    click.echo(f"{report.path}: {report.kept:,} of {report.words:,} words have a translation")
