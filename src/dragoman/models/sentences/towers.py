"""Transformer, pooling and linear layers: the shape of most published sentence encoders. Needs PyTorch.

N texts, L tokens, H width of the states, J width of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dragoman.models.hub import longest_input
from dragoman.models.hub import pieces as pieces_of
from dragoman.models.hub import reads as reads_tokens
from dragoman.models.layers import layers_of, states_below
from dragoman.models.sentences import Reading, TextSide


@dataclass(eq=False, kw_only=True)
class TextTower(TextSide):
    """A frozen transformer whose states are pooled and go through a head."""

    pools = ("mean", "first", "last", "max")
    width: int
    reading: Reading
    tokenizer: Any
    trunk: nn.Module
    head: Sequence[Callable[[Tensor], Tensor]]
    device: str

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return reads_tokens(self.tokenizer, self.reading.bare(texts))

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        return pieces_of(self.tokenizer, self.reading.bare(texts))

    @property
    def layers(self) -> int:
        return len(layers_of(self.trunk)[1])

    @torch.inference_mode()
    def states(self, texts: Sequence[str], first: int) -> list[NDArray[np.float32]]:
        inputs = self._inputs(self.reading.given(texts))
        mask_NL = inputs["attention_mask"].bool()
        states_NLH = states_below(self.trunk, first, inputs["input_ids"], mask_NL).float()
        return [
            states_LH[mask_L].cpu().numpy() for states_LH, mask_L in zip(states_NLH, mask_NL, strict=True)
        ]

    def _inputs(self, given: list[str]) -> Any:
        return self.tokenizer(
            given,
            padding=True,
            truncation=True,
            max_length=self.reading.longest,
            return_tensors="pt",
        ).to(self.device)

    @torch.inference_mode()
    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        inputs = self._inputs(given)
        states_NLH = self.trunk(**inputs).last_hidden_state
        vectors = POOLINGS[self.reading.pool](states_NLH, inputs["attention_mask"])
        for layer in self.head:
            vectors = layer(vectors)
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found


def _mean(states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
    kept_NL1 = mask_NL.unsqueeze(2).to(states_NLH.dtype)
    return (states_NLH * kept_NL1).sum(1) / kept_NL1.sum(1).clamp(min=1e-9)


def _first(states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
    # The first real token, not place 0: some tokenizers pad on the left.
    return states_NLH[torch.arange(len(states_NLH), device=mask_NL.device), mask_NL.argmax(1)]


def _largest(states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
    # States may all be negative, so that zeros in the place of padding would win.
    return states_NLH.masked_fill(mask_NL.unsqueeze(2) == 0, -torch.inf).amax(1)


def _last(states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
    # The last real token, whichever side is padded.
    last_N = mask_NL.shape[1] - 1 - mask_NL.flip(1).argmax(1)
    return states_NLH[torch.arange(len(states_NLH), device=mask_NL.device), last_N]


POOLINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "first": _first,
    "last": _last,
    "max": _largest,
}
"""States [N, L, H] and mask [N, L] to [N, H]."""


def frozen(module: Any, device: str) -> Any:
    """Put a module on a device, in eval mode and without gradients."""
    return module.to(device).eval().requires_grad_(False)


def longest_text(config: Any, said: object) -> int:
    """Count the tokens of a text at most; `said` is what the folder says beside the model, if anything."""
    places = longest_input(config, otherwise=512)
    return min(places, said) if isinstance(said, int) else places
