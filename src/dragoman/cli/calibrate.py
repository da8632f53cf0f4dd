"""`dragoman calibrate`: what the scores of a run are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, PATH, needs
from dragoman.settings import pairs

if TYPE_CHECKING:
    from dragoman.search.calibration import Channel


@click.command(short_help="Learn what the scores of a run are worth.")
@click.argument("run", type=PATH)
@click.argument("corpus", type=PATH)
@click.option("--split", default="val", show_default=True, help="Whose captions are asked.")
@click.option("--languages", type=LISTED, default=(), help="By commas.  [default: all with captions there]")
@click.option(
    "--false-accepts",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of queries without an answer that may pass for answered.  [default: 0.1]",
)
@click.option("--centre", is_flag=True, help="Searches move the mean of a text's language to the source's.")
@click.option("--align", is_flag=True, help="And map its sentence vectors to the source language's.")
@click.option(
    "--csls",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Part of their nearness to all captions that searches take from images; 0.5 is usual.",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="LANG=ENGINE",
    help="Engine from a language into the source language, to measure if it helps; repeatable.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
def command(
    run: Path,
    corpus: Path,
    split: str,
    languages: tuple[str, ...],
    false_accepts: float | None,
    centre: bool,
    align: bool,
    csls: float,
    engines: tuple[str, ...],
    device: str,
) -> None:
    """Learn from CORPUS what the scores of RUN are worth, in every language.

    \b
    dragoman calibrate run/ corpus/
    dragoman calibrate run/ corpus/ --split test --languages pt,en --false-accepts 0.05
    dragoman calibrate run/ corpus/ --engine 'pt=apertium:pt-es|spa-eng'

    Writes RUN/model/calibration.json; `dragoman index` takes it along. Hits then have a relevance, the
    estimated probability that they answer, and a search says when there is no good match. With --engine,
    texts of a language are asked through its translation as well, where that was measured to find more.
    """
    with needs("train", "Calibrating"):
        from dragoman.search.calibrate import FALSE_ACCEPTS, calibrate
        from dragoman.search.calibration import FEW_CAPTIONS
    allowed = FALSE_ACCEPTS if false_accepts is None else false_accepts
    found = calibrate(
        run,
        corpus,
        split=split,
        languages=languages,
        false_accepts=allowed,
        centre=centre,
        align=align,
        csls=csls,
        engines=dict(pairs(engines, "--engine", "LANG=ENGINE", "'pt=apertium:pt-es|spa-eng'", empty=False)),
        device=device,
    )
    click.echo("A match from a relevance of, by the words of a query:")
    words = ("1", "2-3", "4-7", "more")
    click.echo(f"{'language':<10}{'captions':>8}" + "".join(f"{one:>7}" for one in words))
    for lang, one in found.languages.items():
        shown = "".join(f"{value:7.2f}" for value in one.thresholds)
        few = f"  too few to estimate from; {FEW_CAPTIONS} are needed"
        click.echo(f"{lang:<10}{one.queries:>8}{few if one.queries < FEW_CAPTIONS else shown}")
    for lang, channel in found.channels.items():
        click.echo(f"\n{_about(lang, channel)}")


def _about(lang: str, channel: Channel) -> str:
    """Say how texts of a language are asked, and what was measured of it."""
    recalls, best = channel.recalls, channel.best
    by = "people" if channel.human else "machines"
    low, high = channel.interval
    ways = {"directly": 0.0, "translated": 1.0, f"fused, translation x {best}": best}
    figures = ", ".join(f"{way} {recalls[weight]:.1f}" for way, weight in ways.items())
    gain = f"gain {channel.gain:+.1f} ({low:+.1f} to {high:+.1f})"
    return (
        f"{lang} is asked {channel.name}, with {channel.engine_name}. Mean of recall@1, @5, @10 on "
        f"{channel.captions} captions by {by}: {figures}; {gain}."
    )
