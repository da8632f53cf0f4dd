"""`dragoman make`: from a folder of photos to a page that finds them, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, PATH, Verb, assignments, needs, options, spelled
from dragoman.errors import Exit, UserError

if TYPE_CHECKING:
    from dragoman.pipelines.options import MakeOptions


@click.command(cls=Verb, short_help="Photos become a collection that can be searched.")
@click.argument("photos", type=PATH)
@click.option("--out", required=True, type=PATH, help="Folder of the collection.")
@options(
    "dragoman.pipelines.options:MakeOptions",
    "chosen",
    to=LISTED,
    engines=spelled("--engine", multiple=True, metavar="LANG=ENGINE"),
    settings=assignments("steps=500"),
    exclude=spelled("--exclude", multiple=True, metavar="PATTERN"),
    corrections=spelled("--corrections", multiple=True, metavar="FILE"),
)
@click.option("--yes", is_flag=True, help="Begin without asking.")
@click.option("--dry-run", is_flag=True, help="Tell the plan, and stop.")
def command(photos: Path, out: Path, chosen: MakeOptions, yes: bool, dry_run: bool) -> None:
    """Make PHOTOS, a folder of images with or without captions, searchable in the languages of --to.

    \b
    dragoman make photos/ --to pt,sw --out collection/
    dragoman make photos/ --to pt --out collection/ --vision openai/clip-vit-base-patch32

    Tells a plan first, with time, disk, memory, downloads and licences. The same command goes on where it
    was stopped, and later does only what photos, captions or corrections changed. Exit status 3: some photos
    could not be read.
    """
    import logging
    import sys
    import warnings

    with needs("train", "dragoman make"):
        from dragoman.corpus.features import shown
        from dragoman.pipelines.make import make, told, unread_file
        from dragoman.pipelines.plan import make_plan
    # Pillow warns of every odd tag in a file; what cannot be read is told by name.
    warnings.filterwarnings("ignore", module="PIL")
    if not chosen.to:
        raise UserError("Name the languages in which visitors ask: --to pt,es")
    ours = logging.getLogger("dragoman")
    if ours.level == logging.INFO:
        # The stages tell what they do; what they log is for --verbose.
        ours.setLevel(logging.WARNING)
    plan = make_plan(photos, chosen, out)
    for line in plan.lines():
        click.echo(line)
    if dry_run:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("Nobody is there to be asked whether to begin. Add --yes.")
        click.confirm("Begin?", default=True, abort=True)
    made = make(plan, out)
    click.echo(f"{made.index}: {made.count:,} items")
    for one in made.measured:
        click.echo(f"  {told(one)}")
    click.echo(f"Open the page: dragoman serve {made.index}")
    if made.unread:
        count, names = f"{len(made.unread):,}", shown(made.unread)
        click.echo(f"{count} photos could not be read, so no search finds them: {names}", err=True)
        click.echo(f"  Why: {unread_file(out)}", err=True)
        click.echo("  Mend them, or put others in their place, and give the same command again.", err=True)
        click.get_current_context().exit(Exit.REJECTED)
