"""Noise-robust training in a clean form: teacher, cycle and language adversary; one target language, with
back-translations"""

from __future__ import annotations

from dataclasses import replace

from dragoman.training.config import TrainConfig

PAPER = "NRCCR: Wang et al., ACM MM 2022, arXiv 2208.12526"


def recipe(base: TrainConfig) -> TrainConfig:
    """Put teacher, cycle and adversary on top of translate-train's contrast."""
    # InfoNCE instead of triplets, and a quarter of the back-translations, measured better at the same number
    # of captions a step (`benchmarks/noisy_translation`).
    config = base.with_objective("nrccr", contrast="info_nce", cycle_contrast="info_nce", target_weight=1.0)
    return replace(config, back_share=0.25)
