"""`dragoman search`: queries in, hits out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from dragoman.cli.verb import AT_LEAST_1, PATH, ReaderOptions, Verb, argument, needs, options, spelled
from dragoman.errors import UserError

if TYPE_CHECKING:
    from dragoman.search.query import Answer, Query
    from dragoman.search.searcher import Searcher

NOTHING = 1
"""Exit status where no query has a hit, as grep has it."""
AT_ONCE = 64
"""Queries of a file that are encoded together."""


class _Filter(click.ParamType):  # type: ignore[type-arg]
    name = "filter"

    def convert(self, value: Any, *where: Any) -> Any:
        from dragoman.stores import parse

        return parse(value) if value else None


@click.command(cls=Verb, short_help="Search an index by text, image or video.")
@click.argument("index", type=PATH)
@options(
    "dragoman.search.query:Query",
    "query",
    text=argument(type=str),
    k=spelled("-k", type=AT_LEAST_1),
    filter=_Filter(),
    speech=click.Path(path_type=Path),
    image=PATH,
    video=click.Path(),
    item_id=spelled("--like", metavar="ITEM"),
)
@options(ReaderOptions, "reader")
@click.option("--recogniser", help="Folder, address or hub id of a recogniser of speech, for --speech.")
@click.option("--queries", type=click.File(encoding="utf-8"), help="One query a line; - is standard input.")
@click.option("--json", "form", flag_value="json", help="One JSON object a query.")
@click.option("--paths", "form", flag_value="paths", help="Only the paths, one a line.")
@click.option("--print0", "form", flag_value="print0", help="Only the paths, each ended by a zero byte.")
def command(
    index: Path,
    query: Query,
    reader: ReaderOptions,
    recogniser: str | None,
    queries: IO[str] | None,
    form: str | None,
) -> None:
    """Search INDEX for TEXT in any language.

    \b
    dragoman search index/ "um cão a correr na praia" -k 5
    dragoman search index/ "beach +sunset -people" --filter 'year>=2010 and place=Porto'
    dragoman search index/ --speech question.wav --recogniser whisper/
    dragoman search index/ --image photo.jpg
    dragoman search index/ --video clip.mp4#t=3,8
    dragoman search index/ --like trip/dog.jpg --print0 | xargs -0 ls -l
    dragoman search index/ --queries queries.txt --json

    +word is added to the query and -word subtracted; so is a phrase in quotes. A text that begins with -
    needs -- before it. Hits go to standard output, the language and warnings to standard error. The exit
    status is 1 where nothing was found.
    """
    from dragoman.search.detection import read_ahead

    if query.lang is None and (query.text or queries is not None):
        read_ahead()
    with needs("train", "Searching"):
        from dragoman.search.searcher import Searcher
    parts = (query.text, query.speech, query.image, query.video, query.item_id)
    if queries is not None and any(parts):
        raise UserError("--queries holds all queries; leave out TEXT, --speech, --image, --video and --like.")
    batches = (
        [[query]]
        if queries is None
        else ([replace(query, text=line) for line in lines] for lines in _batches(queries))
    )
    found = False
    opened = Searcher.open(index, model=reader.model, device=reader.device, recogniser=recogniser)
    with opened as searcher:
        for batch in batches:
            for asked, answer in zip(batch, searcher.search_many(batch), strict=True):
                found = found or bool(answer.hits)
                try:
                    _show(searcher, asked, answer, form, several=queries is not None)
                except BrokenPipeError:
                    # Whoever reads has seen enough; click would call that a failure.
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                    return
    if not found:
        click.get_current_context().exit(NOTHING)


def _batches(lines: IO[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for line in lines:
        if line.strip():
            batch.append(line.strip())
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _show(searcher: Searcher, query: Query, answer: Answer, form: str | None, several: bool) -> None:
    from dragoman.search import printing

    if form == "json":
        click.echo(printing.as_json(searcher, query, answer))
    elif form == "print0":
        for path in printing.paths(searcher, answer):
            click.echo(path.encode("utf-8", "surrogateescape") + b"\0", nl=False)
    elif form == "paths":
        for path in printing.paths(searcher, answer):
            click.echo(printing.plain(path) if sys.stdout.isatty() else path)
    else:
        if several:
            click.echo(f"# {printing.plain(query.text)}")
        if answer.heard is not None:
            click.echo(printing.understood(answer.heard), err=True)
        for line in printing.lines(searcher, answer):
            click.echo(line)
    for line in printing.remarks(answer):
        click.echo(line, err=True)
