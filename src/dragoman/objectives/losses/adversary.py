"""Language discriminators (NRCCR, section 3.4): does a text come from the source or the target language?

N texts, L tokens, H trunk width. A logit above 0 says source.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Strength = Literal["weak", "medium", "strong"]


class LanguageDiscriminator(nn.Module):
    """`weak` is linear and `medium` a small perceptron over pooled states; `strong` convolves over tokens.

    `logits` is 1; 2 gives the released form, two logits trained on the same label.
    """

    def __init__(self, width: int, strength: Strength = "medium", logits: int = 1) -> None:
        super().__init__()
        self.reads_tokens = strength == "strong"
        if strength == "weak":
            self.net: nn.Module = nn.Linear(width, logits)
        elif strength == "medium":
            self.net = nn.Sequential(
                nn.Linear(width, 256), nn.Tanh(), nn.Linear(256, 128), nn.Tanh(), nn.Linear(128, logits)
            )
        else:
            self.net = ConvolutionalDiscriminator(width, logits)

    def forward(self, states: Tensor, mask_NL: Tensor | None = None) -> Tensor:
        """Logits [N, logits] of pooled states [N, H], or of token states [N, L, H] and their mask."""
        found: Tensor = self.net(states, mask_NL) if self.reads_tokens else self.net(states)
        return found


class ConvolutionalDiscriminator(nn.Module):
    """Three residual blocks of two convolutions each, then a masked mean."""

    def __init__(self, width: int, logits: int, channels: int = 128, blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv1d(width, channels, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                # Not in place: the skip path must stay as it is.
                nn.ReLU(),
                nn.Conv1d(channels, channels, 5, padding=2),
                nn.ReLU(),
                nn.Conv1d(channels, channels, 5, padding=2),
            )
            for _ in range(blocks)
        )
        self.out = nn.Linear(channels, logits)

    def forward(self, states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        keep_N1L = mask_NL[:, None, :].to(states_NLH.dtype)
        # Zeroing before every convolution makes padding look like the border of the text.
        hidden = self.enter(states_NLH.transpose(1, 2)) * keep_N1L
        for block in self.blocks:
            inner = hidden
            for layer in block:  # type: ignore[attr-defined]
                inner = layer(inner) * keep_N1L
            hidden = hidden + 0.3 * inner
        pooled = (hidden * keep_N1L).sum(2) / keep_N1L.sum(2).clamp(min=1)
        found: Tensor = self.out(pooled)
        return found


def binary(logits: Tensor, label: float) -> Tensor:
    """Return the mean binary cross-entropy of logits against one label for all."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
