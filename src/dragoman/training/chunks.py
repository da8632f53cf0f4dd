"""Chunks of a step: texts that are encoded together, where they are too many for one pass.

T different texts of the step, N texts of a chunk, P pairs of source and target, Q pairs of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Texts that are encoded together, and the pairs whose teacher is computed beside them."""

    texts: Tensor
    """[N] rows among the T different texts, N at least 1."""
    own: int
    """The first so many are handed out from here; the others belong elsewhere and serve the teacher."""
    pairs: Tensor
    """[Q] numbers among the P pairs."""
    source: Tensor
    """[Q] place of each pair's source in `texts`."""
    target: Tensor
    """[Q] place of each pair's target in `texts`."""


def cut(texts: int, pairs: Sequence[tuple[int, int]], parts: int) -> list[Chunk]:
    """Cut T texts into `parts` chunks of nearly T / `parts` texts.

    Both texts of a pair (row of the source, row of the target) lie in one chunk, as the teacher reads the
    tokens of both. A text of several pairs is handed out by one chunk and encoded again in the others.
    """
    home = [-1] * texts
    placed = 0

    def place(row: int, part: int) -> None:
        nonlocal placed
        if home[row] < 0:
            home[row] = part
            placed += 1

    pairs_of: list[list[int]] = [[] for _ in range(parts)]
    for number, (source, target) in enumerate(pairs):
        part = home[target] if home[target] >= 0 else placed * parts // texts
        place(target, part)
        place(source, part)
        pairs_of[part].append(number)
    for row in range(texts):
        place(row, placed * parts // texts)
    owned: list[list[int]] = [[] for _ in range(parts)]
    for row, part in enumerate(home):
        owned[part].append(row)
    return [_chunk(own, here, pairs) for own, here in zip(owned, pairs_of, strict=True)]


def _chunk(own: list[int], here: list[int], pairs: Sequence[tuple[int, int]]) -> Chunk:
    asked = {row for number in here for row in pairs[number]}
    # An encoder needs a text; where there are fewer than chunks, the first is encoded for nothing.
    texts = own + sorted(asked.difference(own)) or [0]
    place = {row: at for at, row in enumerate(texts)}
    return Chunk(
        texts=torch.tensor(texts),
        own=len(own),
        pairs=torch.tensor(here, dtype=torch.long),
        source=torch.tensor([place[pairs[number][0]] for number in here], dtype=torch.long),
        target=torch.tensor([place[pairs[number][1]] for number in here], dtype=torch.long),
    )


def recomputed(encode: Callable[[], Found], device_of: Tensor, parts: int) -> Found:
    """Return what `encode` gives, with a graph that is built in the backward pass where it is one of
    several."""
    if parts == 1:
        return encode()
    # The argument is of no use but to name the device whose random state is kept for the second time.
    found: Found = checkpoint(lambda _: encode(), device_of, use_reentrant=False)
    return found
