"""A network of texts alone learns beside the model which captions and which words translate each other, and
teaches it how near captions lie"""

from __future__ import annotations

from dataclasses import replace

from dragoman.training.config import TrainConfig

PAPER = "CL2CM: Wang et al., AAAI 2024, arXiv 2312.08984"


def recipe(base: TrainConfig) -> TrainConfig:
    """Let the network stand on the states of the text encoder, as one that is partly shared."""
    return replace(base.with_objective("cl2cm"), incomplete="keep")
