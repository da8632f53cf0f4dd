"""The two losses of the fusion encoder (1-to-K), asked for by their weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from dragoman.errors import UserError
from dragoman.objectives.contract import Fused, MatchingConfig
from dragoman.objectives.one_to_k import fused_terms


def config(**settings: Any) -> MatchingConfig:
    return MatchingConfig(**{"sampling_temperature": 0.5} | settings)


def test_the_terms_are_mean_cross_entropies() -> None:
    fused = Fused(
        match_logits=torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]),
        match_labels=torch.tensor([1, 0, 0]),
        word_logits=torch.tensor([[1.0, 2.0, 3.0]]),
        word_labels=torch.tensor([2]),
    )
    terms = fused_terms(fused, config(mitm_weight=1.0, cmlm_weight=2.0))
    mitm = (math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.e)) / 3
    assert terms["mitm"].item() == pytest.approx(mitm, abs=1e-6)
    cmlm = math.log(math.exp(-2) + math.exp(-1) + 1)
    assert terms["cmlm"].item() == pytest.approx(cmlm, abs=1e-6)
    assert set(fused_terms(fused, config(cmlm_weight=1.0))) == {"cmlm"}
    assert fused_terms(None, config()) == {}


def test_terms_are_asked_for_by_their_weights() -> None:
    assert MatchingConfig().needs == ("image", "text")
    assert MatchingConfig(cmlm_weight=0.5).needs == ("image", "text", "fused")
    assert MatchingConfig(cmlm_weight=0.5).fused_weights == {"cmlm": 0.5}
    with pytest.raises(UserError, match="mitm_weight must be 0 or more, got -1"):
        MatchingConfig(mitm_weight=-1)
    with pytest.raises(UserError, match="sampling_temperature must lie in"):
        MatchingConfig(sampling_temperature=0)
