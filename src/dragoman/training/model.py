"""The model that a run starts with: sized, fitted and seeded by what it is going to learn from.

D width of the vision vectors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from dragoman.corpus import FeatureSet
from dragoman.models import text
from dragoman.models.dual import DualEncoder
from dragoman.models.text.contract import Material
from dragoman.training.config import TrainConfig
from dragoman.training.samples import Samples
from dragoman.training.word_links import word_links


def new_model(
    config: TrainConfig, features: FeatureSet, samples: Samples, known_words: Mapping[str, tuple[str, ...]]
) -> DualEncoder:
    """Return an untrained model; its weights are drawn from the random state.

    `known_words` join the vocabulary, where one is fitted, and are linked to the source words they render.
    """
    material = Material(
        texts=samples.all_texts,
        known=known_words,
        links=lambda settings: word_links(samples, settings, known_words),
    )
    model = DualEncoder(
        config.dual,
        text.load(text.name_of(config.text)).Encoder.fresh(config.text, material),
        features.width,
        fusion=config.fusion if "fused" in config.loss.needs else None,
        regions=features.most_parts,
        video=config.video if features.layout == "frames" else None,
    )
    model.fit_features(*_moments(features, samples.item_id))
    return model


def _moments(features: FeatureSet, item_ids: list[str]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [D] over the training items, or over their frames."""
    # In blocks: the vectors may exceed the memory.
    rows = np.sort(features.rows(sorted(set(item_ids))))
    total, squares = np.zeros(features.width), np.zeros(features.width)
    count, size = 0, max(1, 8192 // features.per_item)
    for start in range(0, len(rows), size):
        block = np.asarray(features.whole(rows[start : start + size]), np.float64)
        vectors = block.reshape(-1, features.width)
        # Frames that are not there are NaN.
        vectors = vectors[~np.isnan(vectors[:, 0])]
        count += len(vectors)
        total += vectors.sum(0)
        squares += np.square(vectors).sum(0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
