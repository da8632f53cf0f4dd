"""`dragoman noise`: plant known damage in the machine captions of a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, PATH, Verb, options, spelled

if TYPE_CHECKING:
    from dragoman.trust.noise import NoiseSettings


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """The captions that are damaged, and those that were translated back from them."""

    languages: tuple[str, ...]
    """Languages of the captions to damage."""
    splits: tuple[str, ...] = ("train", "val")
    """Splits to damage."""
    back: str = "drop"
    """Back-translations of damaged captions: drop them, keep the old ones, or make true ones."""


@click.command(cls=Verb)
@click.argument("corpus", type=PATH)
@options(
    TargetOptions,
    "targets",
    languages=spelled("--lang", type=LISTED),
    splits=spelled("--split", type=LISTED),
    back=spelled(metavar="drop|keep|ENGINE"),
)
@options("dragoman.trust.noise:NoiseSettings", "config", kinds=spelled("--kind", type=LISTED))
@click.option("--out", type=PATH, required=True, help="Folder of the damaged corpus.")
def command(corpus: Path, targets: TargetOptions, config: NoiseSettings, out: Path) -> None:
    """Write a copy of a corpus with known damage, to measure what noise does.

    \b
    Kinds: drop, swap, scramble, repeat, shuffle, wrong_language, copy.
    Damaged captions are listed in noise.parquet; human captions are never touched.

    \b
    dragoman noise corpus/ --lang pt --kind drop,swap,shuffle --rate 0.4 --seed 1 --out noisy/
    dragoman noise corpus/ --lang pt --back "apertium:pt-es|spa-eng" --out noisy/
    """
    from collections import Counter

    from dragoman.trust.noise_corpus import plant_noise

    noise = plant_noise(corpus, out, config=config, **vars(targets))
    for name, count in sorted(Counter(noise["kind"].to_pylist()).items()):
        click.echo(f"{name:<16}{count:>9,}")
    click.echo(f"{'damaged':<16}{len(noise):>9,}")
    click.echo(out)
