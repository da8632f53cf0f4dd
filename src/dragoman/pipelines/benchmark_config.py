"""What is measured, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragoman.corpus.given import GivenFeatures, GivenFrames

SOURCE = "en"


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is measured on a data set of `dragoman corpus`."""

    name: str
    languages: tuple[str, ...] = ()
    """Beside English; all of the data set where none is named."""
    test: str | None = None
    recipe: str = "nrccr"
    model: str | None = None
    """A public dual encoder, evaluated as it is instead of a recipe."""
    encoder: str | None = None
    """Vision tower that makes the features."""
    features: GivenFeatures | GivenFrames | None = None
    """Features that were made elsewhere."""
    media: str | None = None
    """Folder of the images or videos."""
    engine: str | None = None
    """Translates the English training captions; without it the data set's own captions are learned from."""
    back: str | None = None
    seeds: tuple[int, ...] = (1, 2, 3)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the training."""
    device: str = "auto"
