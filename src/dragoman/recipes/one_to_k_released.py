"""1-to-K as its authors' code computes it (pre-training), for comparison.

docs/released.md says what is not theirs.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.models.dual import DualConfig
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training.config import TrainConfig

PAPER = "1-to-K: Nie et al., KDD 2024, arXiv 2406.18254; code BUAADreamer/CCRK at 06449d2"


def recipe(base: TrainConfig) -> TrainConfig:
    """Divide text to image by K, let an image be its own negative, match and hide words at equal weights,
    take their texts, optimizer and length, keep the last model."""
    config = base.with_objective(
        "one_to_k",
        text_weight="inverse_k",
        rows="caption",
        mitm_weight=1.0,
        cmlm_weight=1.0,
        learned_sampling=True,
    )
    return replace(
        config,
        text=SmallTextConfig(lowercase=True, strip_punctuation=True, max_words=40),
        dual=DualConfig(joint=256, image_dropout=0.0),
        incomplete="keep",
        epochs=30,
        warmup=0.03006,
        schedule="linear",
        beta=0.98,
        clip=1.0,
        # What is new learns twice as fast as what was trained before.
        learning_rate=2e-4,
        pretrained_learning_rate=1e-4,
        word_dropout=0.0,
        select="last",
    )
