"""Source captions against their translations: the text side of pivot training and of bitext tasks.

S source captions, R translations.
"""

from __future__ import annotations

from torch import Tensor

from dragoman.objectives._contrast import ContrastTerms, multi_positive, uniform_targets, weighted_targets
from dragoman.objectives._views import Batch, Views


def bridge(views: Views, batch: Batch, temperature: Tensor) -> ContrastTerms | None:
    """The unified loss of source captions against all translations whose item has one; None without any.

    Captions of one item are positives of each other, never negatives, whichever of them was translated.
    """
    source, rows = batch.rows(0), batch.captions()
    rows = rows[batch.lang[rows] != 0]
    item_S, item_R = batch.item[source], batch.item[rows]
    same_SR = item_S[:, None] == item_R[None, :]
    linked_R = same_SR.any(0)
    if not linked_R.any():
        return None
    rows, same_SR = rows[linked_R], same_SR[:, linked_R]
    weight_R = batch.weights(rows)
    same_SR = same_SR.to(views.text.dtype)
    return multi_positive(
        views.text[source] @ views.text[rows].T / temperature,
        batch.item[rows],
        weighted_targets(same_SR, weight_R),
        text_weight_T=weight_R,
        text_target_BT=uniform_targets(same_SR.T).T,
    )
