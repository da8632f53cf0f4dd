"""A tiny CLIP over the words of `training_world`, and the recipe that trains adapters on it."""

from __future__ import annotations

from pathlib import Path

from tiny_encoders import save_encoder
from training_world import DE, EN, PT, WIDTH

from dragoman.recipes import load_recipe
from dragoman.training import TrainConfig

ENGLISH = ["dog ball red runs", "old hill", "cat"]
PORTUGUESE = ["cão bola vermelho corre", "velho monte", "gato"]
GERMAN = ["Hund Ball rot rennt", "Katze"]


def save_clip(folder: Path) -> Path:
    """Its vectors are as wide as those of the pictures."""
    return save_encoder(folder, "clip", words=[*EN, *PT, *DE], joint=WIDTH)


def config(clip: Path, languages: tuple[str, ...] = ("pt",), **settings: str) -> TrainConfig:
    """The recipe on the tiny CLIP; dots are written `__`."""
    given = {"text.path": str(clip), "text.rank": "4", "text.max_length": "16", "batch_size": "10"}
    given |= {"pretrained_learning_rate": "1e-2", "select": "last", "validate_every": "2"}
    given |= {"text.conditioning": "dynamic"}
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return load_recipe("dasd")("en", languages, "toy").with_settings(given | named)
