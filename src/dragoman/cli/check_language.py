"""`dragoman check-language`: has a language a chance, before an afternoon is spent on it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import PATH, Verb, needs, options, spelled

if TYPE_CHECKING:
    from dragoman.pipelines.prospect import CheckOptions


@click.command(cls=Verb, short_help="Tell what searches in a language will find, before anything is made.")
@click.argument("langs", nargs=-1, required=True, metavar="LANG…")
@options(
    "dragoman.pipelines.prospect:CheckOptions",
    "chosen",
    source=spelled("--from", metavar="LANG"),
    engines=spelled("--engine", multiple=True, metavar="LANG=ENGINE"),
    texts=PATH,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(langs: tuple[str, ...], chosen: CheckOptions, as_json: bool) -> None:
    """Tell of each LANG how well the sentence encoder reads it, which engines and dictionaries there are,
    what share of what English finds is to be expected, and the cheapest way to more.

    \b
    dragoman check-language pt sw eu
    dragoman check-language cs --encoder e5/ --prefix "query: "
    dragoman check-language gl --texts captions.tsv --json

    `go` stands for half of what English finds or more, `weak` for a fifth, `no-go` for less. Nothing is
    written or downloaded.
    """
    import json

    with needs("use", "dragoman check-language"):
        from dragoman.pipelines.prospect import check_languages

    found = []
    for one in check_languages(langs, chosen):
        found.append(one.as_dict())
        if not as_json:
            click.echo("\n".join(one.lines()))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
