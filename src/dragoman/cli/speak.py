"""`dragoman speak`: captions spoken by a machine, in units of sound, from which a model learns to hear."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, PATH, Verb, options, spelled

if TYPE_CHECKING:
    from dragoman.speech.speaking import SpeakSettings
    from dragoman.speech.units import UnitSettings


def _numbers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 120,150,180") from None


@click.command(cls=Verb, short_help="Speak captions, in units of sound that a model can learn.")
@click.argument("corpus", type=PATH)
@click.option("--units", type=PATH, required=True, help="Folder of the units; made where there is none.")
@options(
    "dragoman.speech.speaking:SpeakSettings",
    "settings",
    voices=LISTED,
    variants=LISTED,
    speeds=spelled(type=str, default="120,150,180", callback=_numbers),
    splits=spelled("--split", type=LISTED),
)
@options("dragoman.speech.units:UnitSettings", "unit_settings")
@click.option("--out", type=PATH, required=True, help="Corpus folder to write.")
def command(
    corpus: Path, units: Path, settings: SpeakSettings, unit_settings: UnitSettings, out: Path
) -> None:
    """Write a copy of CORPUS whose captions by people are spoken by espeak-ng, and in units of sound.

    A model that learns from it is asked by speech, also in languages that nobody writes, and no word is
    recognised on the way:

    \b
    dragoman speak corpus/ --voices en=en-us,es=es --units units/ --out spoken/
    dragoman train spoken/ --recipe translate_train --source en --targets es --set target_captions=human \\
        --set validation=human --set text.shortest=1 --set text.longest=3 --features clip --out run/
    dragoman index run/ photos/ --out index/
    dragoman search index/ --speech question.wav --recogniser units/
    """
    from dragoman.speech.speaking import speak_corpus

    found = speak_corpus(corpus, out, units, settings, unit_settings)
    click.echo(f"{out}: {found.captions.num_rows:,} spoken captions, in the units of {units}")
