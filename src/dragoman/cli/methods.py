"""`dragoman methods`: the recipes, and the papers that they are from."""

from __future__ import annotations

import click

from dragoman.cli.verb import needs


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List what `dragoman train` can learn by: each recipe, what it does, and the paper that it is from.

    \b
    dragoman methods
    dragoman train corpus/ --recipe cl2cm --targets pt --features clip --out run/
    """
    with needs("train", "dragoman methods"):
        from dragoman.recipes import methods

    for one in methods():
        click.echo(one.name)
        for line in filter(None, (one.about, one.paper)):
            click.echo(click.wrap_text(line, 100, initial_indent="    ", subsequent_indent="    "))
