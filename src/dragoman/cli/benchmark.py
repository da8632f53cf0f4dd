"""`dragoman benchmark`: a published data set by its name, measured and set beside published rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)


@click.command(short_help="Measure a recipe or a public model on a published data set.")
@click.argument("name")
@click.option("--root", type=FILE, required=True, help="Folder of the published files.")
@click.option("--out", type=FILE, help="Folder of everything that is made.  [default: NAME-RECIPE]")
@click.option("--languages", default="", help="Languages beside English, with commas.  [default: all]")
@click.option("--test", help="The test set, where there are several.")
@click.option("--recipe", default="nrccr", show_default=True, help="Name of the recipe.")
@click.option("--model", help="A public dual encoder, measured as it is, instead of a recipe.")
@click.option("--images", "--videos", "media", help="Folder of the images or videos.")
@click.option("--encoder", help="Vision tower that makes the features.")
@click.option("--features", type=FILE, help="Vectors (.npy) instead, one row an item.")
@click.option("--feature-ids", type=FILE, help="Their item ids, line i for row i.")
@click.option("--frames", type=FILE, help="Frame features of videos, as for dragoman corpus.")
@click.option("--engine", help="Translates the English training captions, e.g. apertium:eng-spa.")
@click.option("--back", help="Translates them back.")
@click.option("--seeds", default="3", show_default=True, help="How many, or which, with commas: 1,2,3.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Of the training; repeatable.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def command(
    name: str,
    root: Path,
    out: Path | None,
    languages: str,
    features: Path | None,
    feature_ids: Path | None,
    frames: Path | None,
    seeds: str,
    settings: tuple[str, ...],
    **given: Any,
) -> None:
    """Prepare the data set NAME, translate if an engine is named, train, evaluate, and print the row beside
    the published ones, with what differs in how they were made.

    \b
    dragoman benchmark multi30k-task1 --root multi30k/ --images flickr30k-images/ --encoder clip/ \\
        --languages de,fr,cs --recipe nrccr --engine ctranslate2:nllb/ --seeds 3 --out m30k/
    dragoman benchmark xm3600 --root xm3600/ --images xm3600/images/ --model siglip2/ --out siglip2-xm3600/

    The same command goes on where it was stopped, and further seeds can be added. Data sets: see
    `dragoman corpus --help`.
    """
    from dragoman.corpus.given import GivenFeatures, GivenFrames
    from dragoman.errors import UserError
    from dragoman.pipelines.benchmark import BenchmarkSettings, run_benchmark
    from dragoman.settings import pairs

    if (features is None) != (feature_ids is None) or (features and frames):
        raise UserError("--features needs --feature-ids, and --frames stands alone. Give one of the two.")
    vectors: GivenFeatures | GivenFrames | None = GivenFrames(path=frames) if frames else None
    if features is not None and feature_ids is not None:
        vectors = GivenFeatures(vectors=features, ids=feature_ids)
    config = BenchmarkSettings(
        name=name,
        languages=tuple(lang.strip() for lang in languages.split(",") if lang.strip()),
        features=vectors,
        seeds=_seeds(seeds),
        settings=dict(pairs(settings, "--set", "NAME=VALUE", "epochs=5")),
        **given,
    )
    folder = out or Path(f"{name}-{Path(config.model).name if config.model else config.recipe}")
    for line in run_benchmark(config, root, folder).lines:
        click.echo(line)


def _seeds(text: str) -> tuple[int, ...]:
    from dragoman.errors import UserError

    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise UserError(f"--seeds is {text!r}; expected a number of seeds, or a list such as 1,2,3")
    return tuple(range(1, found[0] + 1)) if len(found) == 1 else tuple(found)
