"""Terms of the fusion encoder: matching with hard negatives (MITM) and masked word modelling (CMLM) of 1-to-K
(arXiv 2406.18254)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dragoman.objectives.contract import Fused, MatchingConfig


def fused_terms(fused: Fused | None, config: MatchingConfig) -> dict[str, Tensor]:
    """Return `mitm` and `cmlm`, means of cross-entropies over pairs and over hidden words; those that are
    on."""
    terms: dict[str, Tensor] = {}
    if config.mitm_weight:
        assert fused is not None and fused.match_logits is not None and fused.match_labels is not None
        terms["mitm"] = _cross_entropy(fused.match_logits, fused.match_labels)
    if config.cmlm_weight:
        assert fused is not None and fused.word_logits is not None and fused.word_labels is not None
        terms["cmlm"] = _cross_entropy(fused.word_logits, fused.word_labels)
    return terms


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    # The mean over no row would be NaN; this zero keeps the parameters in the graph.
    return F.cross_entropy(logits.float(), labels) if len(labels) else logits.sum() * 0
