"""Verbs of `dragoman corpus` that are found by the name of their reader: published data sets and formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dragoman.cli.verb import LISTED

FILE = click.Path(path_type=Path)
Tell = Callable[[Any, dict[str, Any]], None]
Options = list[Callable[[Any], Any]]


def names() -> list[str]:
    """Return the names of the verbs, as they are typed."""
    from dragoman.corpus import datasets

    return datasets.names()


def verb(
    name: str, fixed: Options, free: Options, tell: Tell, options: Callable[[dict[str, Any]], Any]
) -> click.Command:
    """The command that builds a corpus from the data set `name`.

    It takes the options `fixed`, and also `free` where the files leave languages or splits to the user.
    """
    from dragoman.corpus import datasets

    reader = datasets.load(name)

    def run(root: Path, out: Path, **given: Any) -> None:
        from dragoman.settings import pairs

        # Options that a published data set does not take are absent, not unset.
        absent = dict.fromkeys(("split_fractions",))
        reading = datasets.ReadOptions(
            languages=given.pop("languages", None),
            test=given.pop("test", None),
            columns=dict(pairs(given.pop("column", ()), "--column", "KEY=HEADER", "text=caption")),
            extract=given.pop("extract", None),
        )
        report = datasets.build_dataset(name, root, out, options(absent | given), reading)
        tell(report, given)

    command: Any = run
    for option in reversed([*_own(reader.about), *fixed, *(free if reader.about.free else [])]):
        command = option(command)
    return click.command(name=name, help=_help(name, reader))(click.argument("root", type=FILE)(command))


def _own(about: Any) -> Options:
    own = []
    if len(about.languages) != 1:
        known = f" Known: {', '.join(about.languages)}." if about.languages else ""
        own.append(
            click.option(
                "--languages",
                type=LISTED,
                metavar="A,B,…",
                help=f"Languages to read.{known}  [default: all there are]",
            )
        )
    if about.tests or about.names_tests:
        known = f" One of {', '.join(about.tests)}." if about.tests else ""
        default = f"  [default: {about.tests[0]}]" if about.tests else ""
        own.append(click.option("--test", metavar="NAME", help=f"The test set to read.{known}{default}"))
    if about.columns:
        own.append(
            click.option(
                "--column",
                multiple=True,
                metavar="KEY=HEADER",
                help="Where a key stands, as text=caption; repeatable.",
            )
        )
    if about.packed:
        own.append(
            click.option(
                "--extract", type=FILE, help="Write the pictures that the files hold into this folder."
            )
        )
    return own


def _help(name: str, reader: Any) -> str:
    where = "".join(
        f"\n\nPublished{f' ({start}…)' if start else ''}: {address}"
        for start, address in reader.about.where.items()
    )
    return f"{reader.help}{where}\n\n\b\ndragoman corpus {name} ROOT --out corpus/"
