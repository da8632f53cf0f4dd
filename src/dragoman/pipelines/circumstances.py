"""Under which circumstances a row of ours was made, in the words of the published rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.corpus import Corpus
from dragoman.pipelines.literature import EACH, ENGLISH, ZERO_SHOT
from dragoman.training.config import TrainConfig


def of_public(features: Mapping[str, Any]) -> dict[str, str]:
    """Tell those of a public model, by the manifest of the features that its tower made."""
    return {**_tower(features, ""), **ZERO_SHOT}


def of_recipe(
    chosen: TrainConfig,
    corpus: Corpus,
    targets: Sequence[str],
    settings: Mapping[str, str],
    seeds: int,
    alone: bool,
) -> dict[str, str]:
    """Tell those of trained models: `chosen` configures one of them, `settings` are the user's changes."""
    validation = "human" if chosen.validation == "human" or not targets else "machine"
    made_by = {
        **_tower(corpus.features(chosen.features).manifest, chosen.features),
        "training text": _training_text(chosen, corpus, targets),
        "selection": f"val ({validation} captions)" if chosen.select == "best" else "last step",
        "queries": "as asked",
        "re-ranking": "no",
        "seeds": str(seeds),
    }
    if alone:
        made_by["models"] = "one a language"
    if settings:
        made_by["settings"] = ", ".join(f"{name}={value}" for name, value in settings.items())
    return made_by


def _tower(features: Mapping[str, Any], name: str) -> dict[str, str]:
    made_by = features.get("encoder")
    if not isinstance(made_by, Mapping):
        return {"tower": f"given as {name}"}
    found = {"tower": Path(str(made_by["path"])).name}
    side = _side(features.get("preprocessing"))
    return found | ({} if side is None else {"resolution": str(side)})


def _side(preprocessing: object) -> int | None:
    """Find the side of the square that a tower sees, where its preprocessing tells it."""
    if not isinstance(preprocessing, Mapping):
        return None
    cropped = preprocessing.get("do_center_crop") and preprocessing.get("crop_size")
    size = cropped or preprocessing.get("size")
    if isinstance(size, int):
        return size
    found = size.get("height", size.get("shortest_edge")) if isinstance(size, Mapping) else None
    return found if isinstance(found, int) else None


def _training_text(chosen: TrainConfig, corpus: Corpus, targets: Sequence[str]) -> str:
    if not targets:
        return ENGLISH
    if chosen.target_captions == "human":
        return EACH
    named = [name.rpartition("=")[2] for name in chosen.engines]
    if not named or "*" in named:
        found = [corpus.engines(source=chosen.source, target=lang, split="train") for lang in targets]
        named = sorted({engine for engines in found for engine in engines})
    return f"machine ({', '.join(named)})"
