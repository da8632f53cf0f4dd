"""`dragoman scenes`: the generated world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, Verb, options

if TYPE_CHECKING:
    from dragoman.scenes.world import WorldSettings


@click.command(cls=Verb, no_args_is_help=True)
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Corpus folder to write.")
@options("dragoman.scenes.world:WorldSettings", "config", languages=LISTED)
def command(out: str, config: WorldSettings) -> None:
    """Generate pictures of coloured things, captioned in eight languages by hand-written grammars.

    With --motion, video clips: things appear, move, turn and meet, and every clip comes with its reversal.

    \b
    dragoman scenes --out world/ --items 600 --seed 1
    dragoman scenes --out moving/ --motion
    dragoman translate world/ --to pt --engine recorded:world/apertium.jsonl.gz
    """
    from dragoman.scenes.world import write_world

    corpus = write_world(out, config)
    what = "clips" if config.motion else "pictures"
    click.echo(f"{out}: {corpus.items.num_rows} {what}, {corpus.captions.num_rows} captions")
