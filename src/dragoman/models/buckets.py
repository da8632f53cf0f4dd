"""Run a function on texts of similar length, so that little is computed on padding.

T texts, L length of the longest, H width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

TOKENS_PER_BUCKET = 2048
"""Large enough for full matrix multiplications, small enough that lengths within a bucket are close."""


def length_buckets(lengths_T: Tensor, budget: int = TOKENS_PER_BUCKET) -> list[Tensor]:
    """Row numbers by ascending length, cut so that rows times longest stays within `budget` tokens."""
    order = torch.argsort(lengths_T, stable=True)
    buckets: list[Tensor] = []
    start = 0
    for end, length in enumerate(lengths_T[order].tolist()):
        if end > start and (end - start + 1) * length > budget:
            buckets.append(order[start:end])
            start = end
    return [*buckets, order[start:]]


def run_by_length(
    function: Callable[[Tensor, Tensor], dict[str, Tensor]],
    embedded_TL: Tensor,
    mask_TL: Tensor,
    lengths_T: Tensor,
    budget: int = TOKENS_PER_BUCKET,
) -> dict[str, Tensor]:
    """Apply `function(embedded, mask)` to buckets and put its rows back into order.

    `lengths_T` lies on the CPU. Results of two dimensions are per text; those of three are per token and
    are padded with zeros to L.
    """
    buckets = length_buckets(lengths_T, budget)
    parts: list[dict[str, Tensor]] = []
    for rows in buckets:
        longest = int(lengths_T[rows].max())
        here = rows.to(embedded_TL.device)
        parts.append(function(embedded_TL[here, :longest], mask_TL[here, :longest]))
    back = torch.argsort(torch.cat(buckets)).to(embedded_TL.device)
    full = mask_TL.shape[1]
    return {name: torch.cat([_pad_tokens(part[name], full) for part in parts])[back] for name in parts[0]}


def _pad_tokens(states: Tensor, length: int) -> Tensor:
    return F.pad(states, (0, 0, 0, length - states.shape[1])) if states.dim() == 3 else states
