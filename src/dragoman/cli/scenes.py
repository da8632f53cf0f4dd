"""`dragoman scenes`: the generated world."""

from __future__ import annotations

from typing import Any

import click


@click.command(no_args_is_help=True)
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Corpus folder to write.")
@click.option("--items", type=int, help="Number of pictures, or of clips.  [default: 1200]")
@click.option("--motion", is_flag=True, help="Clips in which things move, in place of pictures.")
@click.option("--seed", type=int, help="Another seed gives another world.  [default: 1]")
@click.option("--captions", type=int, help="Captions an item and language.  [default: 3]")
@click.option("--languages", help="Beside English, as in pt,gl,zh.  [default: all that have a grammar]")
@click.option("--target-captions", is_flag=True, help="Caption training items in those languages too.")
def command(
    out: str,
    items: int | None,
    motion: bool,
    seed: int | None,
    captions: int | None,
    languages: str | None,
    target_captions: bool,
) -> None:
    """Generate pictures of coloured things, captioned in eight languages by hand-written grammars.

    With --motion, video clips: things appear, move, turn and meet, and every clip comes with its reversal.

    \b
    dragoman scenes --out world/ --items 600 --seed 1
    dragoman scenes --out moving/ --motion
    dragoman translate world/ --to pt --engine recorded:world/apertium.jsonl.gz
    """
    from dragoman.scenes.world import WorldConfig, write_world

    given: dict[str, Any] = {
        "items": items,
        "motion": motion,
        "seed": seed,
        "captions": captions,
        "target_captions": target_captions,
    }
    if languages:
        given["languages"] = tuple(lang.strip() for lang in languages.split(","))
    chosen = {name: value for name, value in given.items() if value is not None}
    corpus = write_world(out, WorldConfig(**chosen))
    what = "clips" if motion else "pictures"
    click.echo(f"{out}: {corpus.items.num_rows} {what}, {corpus.captions.num_rows} captions")
