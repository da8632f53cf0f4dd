"""`dragoman benchmark`: a published data set by its name, measured and set beside published rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, PATH, Verb, assignments, options, spelled
from dragoman.errors import UserError

if TYPE_CHECKING:
    from dragoman.corpus.given import GivenFeatures, GivenFrames


# `BenchmarkSettings` stands beside what trains, and PyTorch may be missing where help is asked for.
@dataclass(frozen=True, kw_only=True)
class ChoiceOptions:
    """Choices of a measurement."""

    languages: tuple[str, ...] = ()
    """Languages beside English, with commas; by default all."""
    test: str | None = None
    """The test set, where there are several."""
    recipe: str = "nrccr"
    """Name of the recipe."""
    model: str | None = None
    """A public dual encoder, measured as it is, instead of a recipe."""
    media: str | None = None
    """Folder of the images or videos."""
    encoder: str | None = None
    """Vision tower that makes the features."""
    engine: str | None = None
    """Translates the English training captions, e.g. apertium:eng-spa."""
    back: str | None = None
    """Translates them back."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Number of seeds, or which ones, with commas."""
    settings: dict[str, str] = field(default_factory=dict)
    """Change a setting of the training; repeatable."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class VectorOptions:
    """Features that were made elsewhere."""

    features: Path | None = None
    """Vectors (.npy) instead, one row an item."""
    feature_ids: Path | None = None
    """Their item ids, line i for row i."""
    frames: Path | None = None
    """Frame features of videos, as for dragoman corpus."""

    def given(self) -> GivenFeatures | GivenFrames | None:
        """Return what was given. Raises UserError for half of it, or for both kinds."""
        from dragoman.corpus.given import GivenFeatures, GivenFrames

        if (self.features is None) != (self.feature_ids is None) or (self.features and self.frames):
            raise UserError("--features needs --feature-ids, and --frames stands alone. Give one of the two.")
        if self.features is not None and self.feature_ids is not None:
            return GivenFeatures(vectors=self.features, ids=self.feature_ids)
        return GivenFrames(path=self.frames) if self.frames else None


def _seeds(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise UserError(f"--seeds is {text!r}; expected a number of seeds, or a list such as 1,2,3")
    return tuple(range(1, found[0] + 1)) if len(found) == 1 else tuple(found)


@click.command(cls=Verb, short_help="Measure a recipe or a public model on a published data set.")
@click.argument("name")
@click.option("--root", type=PATH, required=True, help="Folder of the published files.")
@click.option("--out", type=PATH, help="Folder of everything that is made.  [default: NAME-RECIPE]")
@options(
    ChoiceOptions,
    "chosen",
    languages=LISTED,
    media=spelled("--images", "--videos"),
    seeds=spelled(type=str, default="3", callback=_seeds),
    settings=assignments("epochs=5"),
)
@options(VectorOptions, "vectors")
def command(name: str, root: Path, out: Path | None, chosen: ChoiceOptions, vectors: VectorOptions) -> None:
    """Prepare the data set NAME, translate if an engine is named, train, evaluate, and print the row beside
    the published ones, with what differs in how they were made.

    \b
    dragoman benchmark multi30k-task1 --root multi30k/ --images flickr30k-images/ --encoder clip/ \\
        --languages de,fr,cs --recipe nrccr --engine ctranslate2:nllb/ --seeds 3 --out m30k/
    dragoman benchmark xm3600 --root xm3600/ --images xm3600/images/ --model siglip2/ --out siglip2-xm3600/

    The same command goes on where it was stopped, and further seeds can be added. Data sets: see
    `dragoman corpus --help`.
    """
    from dragoman.pipelines.benchmark import BenchmarkSettings, run_benchmark

    config = BenchmarkSettings(name=name, features=vectors.given(), **vars(chosen))
    folder = out or Path(f"{name}-{Path(config.model).name if config.model else config.recipe}")
    for line in run_benchmark(config, root, folder).lines:
        click.echo(line)
