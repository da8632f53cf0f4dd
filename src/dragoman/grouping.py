"""Texts that are encoded together: each different one once, those of similar length side by side."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Text = TypeVar("Text", bound=Hashable)
"""A text, or a text with what tells it from others of the same words."""


def unique(texts: Sequence[Text]) -> tuple[list[Text], list[int]]:
    """List the different texts in order of first appearance, and for each text its row among them."""
    rows: dict[Text, int] = {}
    row_of_text = [rows.setdefault(text, len(rows)) for text in texts]
    return list(rows), row_of_text


def by_length(
    lengths: Sequence[int],
    *,
    rows: int | None = None,
    tokens: int | None = None,
    kind: Callable[[int], object] = lambda _: None,
) -> list[list[int]]:
    """Cut row numbers, by ascending length, into batches: little is computed on padding, memory is bounded.

    A batch has at most `rows` rows, and rows times its longest stays within `tokens`; a row that is longer
    than `tokens` stands alone. Lengths of different `kind` never share a batch.
    """
    batches: list[list[int]] = []
    # Sorting is stable: rows of equal length keep their order, so that a batch, and with it the last bits of
    # its results, depends on the input alone.
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        length, batch = lengths[row], batches[-1] if batches else []
        fits = (
            batch
            and (rows is None or len(batch) < rows)
            and (tokens is None or (len(batch) + 1) * length <= tokens)
            and kind(lengths[batch[0]]) == kind(length)
        )
        if fits:
            batch.append(row)
        else:
            batches.append([row])
    return batches
