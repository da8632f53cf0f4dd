"""Which words of a caption are hidden for masked word modelling (CMLM of 1-to-K, arXiv 2406.18254).

N texts, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SHARE = 0.4
MOST = 12
HIDE, SWAP = 0.8, 0.1
"""Of the chosen words: hidden, and swapped for another; the others stay."""


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Boolean [N, L]; `hidden` and `swapped` are disjoint parts of `chosen`."""

    chosen: Tensor
    """To be predicted."""
    hidden: Tensor
    swapped: Tensor


@torch.no_grad()
def draw_masks(label_NL: Tensor, length_N: Tensor) -> Masks:
    """Choose min(12, max(1, round(0.4 x length))) tokens of each text, or all that can be predicted if fewer.

    `label_NL` is -1 at tokens that are never chosen: padding, special tokens, words out of the vocabulary.
    `length_N` counts all tokens of a text.
    """
    known_NL = label_NL >= 0
    wanted_N = (SHARE * length_N).round().clamp(1, MOST)
    # The n largest of random keys are n tokens drawn without replacement.
    key_NL = torch.rand(label_NL.shape, device=label_NL.device).masked_fill(~known_NL, -1)
    place_NL = key_NL.argsort(dim=1, descending=True).argsort(dim=1)
    chosen_NL = (place_NL < wanted_N[:, None]) & known_NL
    fate_NL = torch.rand(label_NL.shape, device=label_NL.device)
    return Masks(
        chosen=chosen_NL,
        hidden=chosen_NL & (fate_NL < HIDE),
        swapped=chosen_NL & (fate_NL >= HIDE) & (fate_NL < HIDE + SWAP),
    )
