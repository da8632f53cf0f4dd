"""`dragoman noise`: plant known damage in the machine captions of a corpus."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--lang", required=True, help="Language of the captions to damage; several with commas.")
@click.option("--kind", help="Kinds of damage with commas.  [default: drop,swap,shuffle,wrong_language]")
@click.option("--rate", type=float, help="Share of the captions to damage, 0..1.  [default: 0.2]")
@click.option("--strength", type=float, help="Share of the words that drop and swap touch.  [default: 0.3]")
@click.option("--seed", type=int, help="The same seed gives the same damage.  [default: 0]")
@click.option("--split", default="train,val", show_default=True, help="Splits to damage, with commas.")
@click.option(
    "--back",
    default="drop",
    show_default=True,
    metavar="drop|keep|ENGINE",
    help="Back-translations of damaged captions: drop them, keep the old ones, or make true ones.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the damaged corpus.")
def command(
    corpus: Path,
    lang: str,
    kind: str | None,
    rate: float | None,
    strength: float | None,
    seed: int | None,
    split: str,
    back: str,
    out: Path,
) -> None:
    """Write a copy of a corpus with known damage, to measure what noise does.

    \b
    Kinds: drop, swap, scramble, repeat, shuffle, wrong_language, copy.
    Damaged captions are listed in noise.parquet; human captions are never touched.

    \b
    dragoman noise corpus/ --lang pt --kind drop,swap,shuffle --rate 0.4 --seed 1 --out noisy/
    dragoman noise corpus/ --lang pt --back "apertium:pt-es|spa-eng" --out noisy/
    """
    from collections import Counter

    from dragoman.trust.noise import NoiseConfig
    from dragoman.trust.noise_corpus import plant_noise

    kinds = tuple(kind.split(",")) if kind is not None else None
    given = {"rate": rate, "strength": strength, "seed": seed, "kinds": kinds}
    config = NoiseConfig(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    noise = plant_noise(
        corpus, out, languages=lang.split(","), config=config, splits=split.split(","), back=back
    )
    for name, count in sorted(Counter(noise["kind"].to_pylist()).items()):
        click.echo(f"{name:<16}{count:>9,}")
    click.echo(f"{'damaged':<16}{len(noise):>9,}")
    click.echo(out)
