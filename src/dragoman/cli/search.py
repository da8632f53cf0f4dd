"""`dragoman search`: queries in, hits out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dragoman.search.answer import Answer, Query
    from dragoman.search.searcher import Searcher

NOTHING = 1
"""Exit status where no query has a hit, as grep has it."""
AT_ONCE = 64
"""Queries of a file that are encoded together."""


@click.command(short_help="Search an index by text, image or video.")
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("text", default="")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Hits at most.")
@click.option("--lang", help="Language of the query, as BCP 47 tag.  [default: detected]")
@click.option("--filter", "filter_text", metavar="FILTER", help="Condition on metadata, as year>=2010.")
@click.option("--image", type=click.Path(path_type=Path), help="Search by this image, or add it to the text.")
@click.option("--video", type=click.Path(), help="Search by this video, or by a part: clip.mp4#t=3,8.")
@click.option("--like", "item_id", metavar="ITEM", help="More like this item, which is left out itself.")
@click.option("--moments", is_flag=True, help="Every moment of a video, not its best one alone.")
@click.option("--min-score", type=float, help="Leave out hits below: by relevance, else by cosine.")
@click.option("--model", type=click.Path(path_type=Path), help="Run or export to read queries with.")
@click.option("--queries", type=click.File(encoding="utf-8"), help="One query a line; - is standard input.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, or auto.")
@click.option("--json", "form", flag_value="json", help="One JSON object a query.")
@click.option("--paths", "form", flag_value="paths", help="Only the paths, one a line.")
@click.option("--print0", "form", flag_value="print0", help="Only the paths, each ended by a zero byte.")
def command(
    index: Path,
    text: str,
    k: int,
    lang: str | None,
    filter_text: str | None,
    image: Path | None,
    video: str | None,
    item_id: str | None,
    moments: bool,
    min_score: float | None,
    model: Path | None,
    queries: IO[str] | None,
    device: str,
    form: str | None,
) -> None:
    """Search INDEX for TEXT in any language.

    \b
    dragoman search index/ "um cão a correr na praia" -k 5
    dragoman search index/ "beach +sunset -people" --filter 'year>=2010 and place=Porto'
    dragoman search index/ --image photo.jpg
    dragoman search index/ --video clip.mp4#t=3,8
    dragoman search index/ --like trip/dog.jpg --print0 | xargs -0 ls -l
    dragoman search index/ --queries queries.txt --json

    +word is added to the query and -word subtracted; so is a phrase in quotes. A text that begins with -
    needs -- before it. Hits go to standard output, the language and warnings to standard error. The exit
    status is 1 where nothing was found.
    """
    from dragoman.errors import MissingExtraError, UserError
    from dragoman.stores import parse

    try:
        from dragoman.search.answer import Query
        from dragoman.search.searcher import Searcher
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "train", "Searching") from None
    if queries is not None and (text or image or video or item_id):
        raise UserError("--queries holds all queries; leave out TEXT, --image, --video and --like.")
    chosen = parse(filter_text) if filter_text else None
    common: dict[str, Any] = {"k": k, "lang": lang, "filter": chosen, "min_score": min_score}
    common["moments"] = moments
    batches = (
        [[Query(text=text, image=image, video=video, item_id=item_id, **common)]]
        if queries is None
        else ([Query(text=line, **common) for line in lines] for lines in _batches(queries))
    )
    found = False
    with Searcher.open(index, model=model, device=device) as searcher:
        for batch in batches:
            for query, answer in zip(batch, searcher.search_many(batch), strict=True):
                found = found or bool(answer.hits)
                try:
                    _show(searcher, query, answer, form, several=queries is not None)
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
        for line in printing.lines(searcher, answer):
            click.echo(line)
    for line in printing.remarks(answer):
        click.echo(line, err=True)
