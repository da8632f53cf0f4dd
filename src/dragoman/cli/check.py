"""`dragoman check`: is a folder as it was written?"""

from __future__ import annotations

from pathlib import Path

import click

from dragoman.errors import Exit, UserError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def command(ctx: click.Context, folders: tuple[Path, ...]) -> None:
    """Read FOLDERS whole and say what is damaged, and the command that mends it.

    A folder is a corpus, a feature set, a run, a model, a report, an export or an index, or one that holds
    such folders, at any depth. Every file is compared with the checksum that was noted when it was written,
    and an index entry by entry. Nothing is changed. Exit status 4 where something is damaged, 1 where
    something could not be read.

    \b
    dragoman check archive/index
    dragoman check corpus/ run/ report/
    """
    from dragoman.pipelines.check import check

    damaged = unread = unchecked = 0
    for folder in folders:
        try:
            for found in check(folder):
                damaged += bool(found.damages)
                unread += found.unread is not None
                sound = "sound" if found.files else "sound, as far as can be told"
                state = "damaged" if found.damages else sound if found.unread is None else "not read whole"
                click.echo(f"{found.folder}: {found.kind}, {state}")
                for sentence in (*found.damages, *([found.unread] if found.unread else [])):
                    click.echo(f"  {sentence}")
        except UserError as error:
            # The others are read all the same: who asks for several wants to know of each.
            unchecked = error.exit_code
            click.echo(f"Error: {error}", err=True)
    if damaged or unread or unchecked:
        ctx.exit(Exit.CHECK_FAILED if damaged else unchecked or Exit.FAILURE)
