"""Options of a verb that are the fields of dataclasses."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

from dragoman.cli import main
from dragoman.cli.verb import LISTED, Renamed, Verb, argument, assignments, needs, options, spelled
from dragoman.errors import MissingExtraError, UserError


@dataclass(frozen=True)
class Ink:
    colour: Literal["blue", "red"] = "blue"
    """Colour of `ink`."""
    drops: int = 3
    """Drops of it."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    to: str
    """Who reads it."""
    text: str = ""
    sealed: bool = False
    stamped: bool = True
    stamp: float | None = None
    """Worth of the stamp."""
    file: str | Path | None = None
    lines: tuple[int, ...] = ()
    tags: Sequence[str] | None = ("new", "old")
    marks: Mapping[str, str] = field(default_factory=dict)
    ink: Ink = Ink(drops=5)
    secret: str = "none"

    def __post_init__(self) -> None:
        if self.stamp == 0:
            raise UserError("stamp must be above 0")


def written(*words: str) -> Any:
    seen: list[Any] = []

    @click.command(cls=Verb)
    @options(
        Letter,
        "letter",
        text=argument(),
        stamp=spelled("--worth"),
        tags=LISTED,
        marks=assignments("a=1", "--mark", "KEY=TEXT"),
        drops=spelled("--drops", "-d", cls=Renamed, old="--drips"),
        secret=None,
    )
    @click.option("--again", is_flag=True)
    def command(letter: Letter, again: bool) -> None:
        seen.extend((letter, again))

    done = CliRunner().invoke(command, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return seen if seen else done.output


def test_what_is_not_given_is_the_default_of_its_field() -> None:
    assert written("--to", "Ana") == [Letter(to="Ana"), False]


def test_each_type_has_an_option_of_its_kind() -> None:
    words = (
        "hello --to Ana --sealed --no-stamped --worth 1.5 --file a/b --lines 3 --lines 4 --tags x,,y --again"
    )
    words += " --mark a=1 --mark b= --colour red -d 2"
    assert written(*words.split()) == [
        Letter(
            to="Ana",
            text="hello",
            sealed=True,
            stamped=False,
            stamp=1.5,
            file=Path("a/b"),
            lines=(3, 4),
            tags=("x", "y"),
            marks={"a": "1", "b": ""},
            ink=Ink(colour="red", drops=2),
        ),
        True,
    ]


def test_an_old_flag_is_read_and_not_shown() -> None:
    assert written("--to", "Ana", "--drips", "7")[0].ink == Ink(drops=7)
    assert "--drips" not in written("--help")


def test_help_explains_with_the_docstrings_and_shows_the_defaults_that_say_something() -> None:
    lines = [" ".join(line.split()) for line in written("--help").splitlines()]
    assert "--to TEXT Who reads it. [required]" in lines
    assert "--worth FLOAT Worth of the stamp." in lines
    assert "--sealed" in lines and "--stamped / --no-stamped [default: stamped]" in lines
    assert "--tags A,B,… [default: new, old]" in lines
    assert "--mark KEY=TEXT" in lines
    assert "--colour [blue|red] Colour of ink. [default: blue]" in lines
    assert "-d, --drops INTEGER Drops of it. [default: 5]" in lines
    assert not any("secret" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing option '--to'"),
        (("--to", "Ana", "--colour", "pink"), "'pink' is not one of 'blue', 'red'"),
        (("--to", "Ana", "--drops", "many"), "Invalid value for '--drops'"),
    ],
)
def test_a_value_that_does_not_fit_is_told_by_its_flag(words: tuple[str, ...], said: str) -> None:
    assert said in written(*words)


def test_the_dataclass_checks_itself() -> None:
    with pytest.raises(UserError, match="stamp must be above 0"):
        written("--to", "Ana", "--worth", "0")
    with pytest.raises(UserError, match=r"--mark takes KEY=TEXT, got 'a'. Example: --mark a=1"):
        written("--to", "Ana", "--mark", "a")


def test_a_field_that_is_not_there_is_told_to_the_author() -> None:
    @click.command(cls=Verb)
    @options(Ink, "ink", dorps=LISTED)
    def command(ink: Ink) -> None: ...

    with pytest.raises(AssertionError, match="Ink has no field dorps"):
        CliRunner().invoke(command, [], catch_exceptions=False)


def test_a_dataclass_is_imported_only_when_its_verb_is_asked() -> None:
    @click.command(cls=Verb)
    @options("dragoman.nowhere:Options")
    def command(options: object) -> None: ...

    with pytest.raises(ModuleNotFoundError, match=r"dragoman\.nowhere"):
        command.get_params(click.Context(command))


def test_a_package_that_cannot_be_loaded_is_told_with_the_reason() -> None:
    said = r"Reading needs the package 'reader', which cannot be loaded \(libread\.so: cannot be mapped\)\.$"
    with pytest.raises(MissingExtraError, match=said), needs("train", "Reading"):
        raise ImportError("libread.so: cannot be mapped", name="reader")


def test_a_missing_package_is_named_with_its_extra() -> None:
    with (
        pytest.raises(
            MissingExtraError, match=r"Reading needs the package 'no_such_package'.*dragoman\[train\]"
        ),
        needs("train", "Reading"),
    ):
        import no_such_package  # noqa: F401


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_leave_their_core_to_others_unless_told_otherwise(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dragoman", "--version"])
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    with pytest.raises(SystemExit):
        main()
    assert os.environ["OMP_WAIT_POLICY"] == expected
