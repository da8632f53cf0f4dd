"""The attention block that students and teacher share, and masked pooling (NRCCR, section 3.2).

N batch, L padded length, H width. Masks are boolean, true at real tokens.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def masked_mean(states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
    """Mean over real tokens, (N, H). A row without a real token gives zeros."""
    weights_NL1 = mask_NL.unsqueeze(-1).to(states_NLH.dtype)
    return (states_NLH * weights_NL1).sum(1) / weights_NL1.sum(1).clamp(min=1)


class SharedAttention(nn.Module):
    """Multi-head attention with keys narrower than values; one weight set for self and cross mode.

    Self mode keeps the query as residual; cross mode has none, so the source only decides which target
    content survives. Only keys are masked: rows of padded queries are garbage that pooling leaves out.

    `scale_width` is the width whose square root divides the logits: the key width of a head. The released
    code divides by the square root of the value width of a head instead.
    """

    def __init__(
        self, width: int, *, heads: int, key_width: int, dropout: float, released_scale: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, key_width)
        self.key = nn.Linear(width, key_width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = dropout
        self.scale = 1 / math.sqrt((width if released_scale else key_width) / heads)

    def attend(self, query_NLH: Tensor, memory_NMH: Tensor, memory_mask_NM: Tensor) -> Tensor:
        """The output before residual and norm, (N, L, H)."""
        attended = F.scaled_dot_product_attention(
            self._split(self.query(query_NLH)),
            self._split(self.key(memory_NMH)),
            self._split(self.value(memory_NMH)),
            attn_mask=memory_mask_NM[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
        )
        return F.dropout(self.out(attended.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def forward(self, states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        """Self mode, (N, L, H)."""
        normed: Tensor = self.norm(self.attend(states_NLH, states_NLH, mask_NL) + states_NLH)
        return normed

    def cross(self, query_NLH: Tensor, memory_NMH: Tensor, memory_mask_NM: Tensor) -> Tensor:
        """Cross mode: memory content at query positions, (N, L, H)."""
        normed: Tensor = self.norm(self.attend(query_NLH, memory_NMH, memory_mask_NM))
        return normed

    def _split(self, states: Tensor) -> Tensor:
        return torch.unflatten(states, -1, (self.heads, -1)).transpose(1, 2)
