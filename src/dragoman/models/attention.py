"""Layers over padded texts: shared attention, masked mean (NRCCR, section 3.2), and batches by length.

N batch, T texts, L padded length, H width. Masks are boolean, true at real tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.grouping import by_length

TOKENS_PER_BATCH = 2048
"""Large enough for full matrix multiplications, small enough that lengths within a batch are close."""


def masked_mean(states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
    """Mean over real tokens, (N, H). A row without a real token gives zeros."""
    weights_NL1 = mask_NL.unsqueeze(-1).to(states_NLH.dtype)
    # The clamp is for rows without a real token, such as videos that a process of a step did not get.
    return (states_NLH * weights_NL1).sum(1) / weights_NL1.sum(1).clamp(min=1)


def projection(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Norm, dropout, linear, ReLU: token states or frames on their way into the shared attention."""
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, hidden), nn.ReLU())


class SharedAttention(nn.Module):
    """Multi-head attention with keys narrower than values; one weight set for self and cross mode.

    Self mode keeps the query as residual; cross mode has none, so the source only decides which target
    content survives.

    Logits are divided by the square root of the key width of a head, in the released code by that of the
    value width. There, padded rows attend to everything, padding included; here, to real tokens.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        key_width: int,
        dropout: float,
        released_scale: bool = False,
        released_padding: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, key_width)
        self.key = nn.Linear(width, key_width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = dropout
        self.released_padding = released_padding
        self.scale = 1 / math.sqrt((width if released_scale else key_width) / heads)

    def attend(
        self, query_NLH: Tensor, memory_NMH: Tensor, memory_mask_NM: Tensor, query_mask_NL: Tensor
    ) -> Tensor:
        """The output before residual and norm, (N, L, H)."""
        # Boolean, and of keys alone: a row whose keys were all masked would be NaN, and every text has a
        # token. Garbage at padded queries is cheaper than a second mask; pooling leaves it out.
        mask = memory_mask_NM[:, None, None, :]
        if self.released_padding:
            mask = mask | ~query_mask_NL[:, None, :, None]
        attended = F.scaled_dot_product_attention(
            self._split(self.query(query_NLH)),
            self._split(self.key(memory_NMH)),
            self._split(self.value(memory_NMH)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
        )
        return F.dropout(self.out(attended.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def forward(self, states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        """Self mode, (N, L, H)."""
        normed: Tensor = self.norm(self.attend(states_NLH, states_NLH, mask_NL, mask_NL) + states_NLH)
        return normed

    def cross(
        self, query_NLH: Tensor, memory_NMH: Tensor, memory_mask_NM: Tensor, query_mask_NL: Tensor
    ) -> Tensor:
        """Cross mode: memory content at query positions, (N, L, H)."""
        normed: Tensor = self.norm(self.attend(query_NLH, memory_NMH, memory_mask_NM, query_mask_NL))
        return normed

    def _split(self, states: Tensor) -> Tensor:
        return torch.unflatten(states, -1, (self.heads, -1)).transpose(1, 2)


def run_by_length(
    function: Callable[[Tensor, Tensor], dict[str, Tensor]],
    embedded_TL: Tensor,
    mask_TL: Tensor,
    lengths_T: Tensor,
    budget: int = TOKENS_PER_BATCH,
) -> dict[str, Tensor]:
    """Apply `function(embedded, mask)` to texts of similar length, and put its rows back into order.

    `lengths_T` lies on the CPU. A batch holds at most `budget` tokens, padding among them. Results of two
    dimensions are per text; those of three are per token and are padded with zeros to L.
    """
    # On a GPU, reading the lengths would wait for all that was asked of it before.
    batches = [torch.tensor(rows) for rows in by_length(lengths_T.tolist(), tokens=budget)]
    parts: list[dict[str, Tensor]] = []
    for rows in batches:
        longest = int(lengths_T[rows].max())
        here = rows.to(embedded_TL.device)
        parts.append(function(embedded_TL[here, :longest], mask_TL[here, :longest]))
    back = torch.argsort(torch.cat(batches)).to(embedded_TL.device)
    full = mask_TL.shape[1]
    return {name: torch.cat([_pad_tokens(part[name], full) for part in parts])[back] for name in parts[0]}


def _pad_tokens(states: Tensor, length: int) -> Tensor:
    return F.pad(states, (0, 0, 0, length - states.shape[1])) if states.dim() == 3 else states
