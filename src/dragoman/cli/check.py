"""`dragoman check`: is a folder as it was written?"""

from __future__ import annotations

from pathlib import Path

import click

from dragoman.errors import Exit


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def command(ctx: click.Context, folders: tuple[Path, ...]) -> None:
    """Read FOLDERS whole and say what is damaged, and the command that mends it.

    A folder is a corpus, a feature set, a run, a model, a report, an export or an index, or one that holds
    such folders, at any depth. Every file is compared with the checksum that was noted when it was written,
    and an index entry by entry. Nothing is changed. Exit status 4 where something is damaged.

    \b
    dragoman check archive/index
    dragoman check corpus/ run/ report/
    """
    from dragoman.pipelines.check import check

    damaged = 0
    for folder in folders:
        for found in check(folder):
            damaged += bool(found.damages)
            state = "damaged" if found.damages else "sound" if found.files else "sound, as far as can be told"
            click.echo(f"{found.folder}: {found.kind}, {state}")
            for sentence in found.damages:
                click.echo(f"  {sentence}")
    if damaged:
        ctx.exit(Exit.CHECK_FAILED)
