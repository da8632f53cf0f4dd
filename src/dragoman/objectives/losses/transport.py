"""Optimal transport between the tokens of two texts, and the words that it aligns (CL2CM, arXiv 2312.08984).

Texts come in pairs. N pairs, L and M tokens of the longest text of either side, W width of the states. Masks
[N, L] and [N, M] are true at real tokens; padding carries no mass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 10
"""Updates between two looks at the marginals; but for the first of them they multiply in place of taking
logarithms, which takes a third of the time."""
MOST = 10_000
"""Updates at most: small regularisers need many, and some plans never come near enough in 32 bits."""


def cosine_cost(first_NLW: Tensor, second_NMW: Tensor) -> Tensor:
    """Return 1 − cos of all tokens of a text with all of its partner, [N, L, M]."""
    return 1 - F.normalize(first_NLW, dim=2) @ F.normalize(second_NMW, dim=2).transpose(1, 2)


@torch.no_grad()
def sinkhorn(
    cost_NLM: Tensor,
    first_NL: Tensor,
    second_NM: Tensor,
    *,
    epsilon: float = 0.1,
    tolerance: float = 1e-4,
    most: int = MOST,
) -> Tensor:
    """Return the plan that minimises the cost less `epsilon` times its entropy, [N, L, M], without gradient.

    Each real token of a text has the same mass, together 1; a plan of texts without tokens is 0. Columns sum
    to it to rounding, rows within `tolerance`, or as near as `most` updates bring them (Cuturi, 2013; in the
    logarithmic domain, so that a small `epsilon` is no danger).
    """
    # Half precision has no marginals as near as this.
    with torch.autocast(cost_NLM.device.type, enabled=False):
        exact = torch.promote_types(cost_NLM.dtype, torch.float32)
        return _transported(cost_NLM.to(exact) / epsilon, first_NL, second_NM, tolerance, most)


def _transported(
    cost_NLM: Tensor, first_NL: Tensor, second_NM: Tensor, tolerance: float, most: int
) -> Tensor:
    row_NL, column_NM = _uniform(first_NL, cost_NLM), _uniform(second_NM, cost_NLM)
    real_NLM = first_NL[:, :, None] & second_NM[:, None, :]
    # Finite, as the logarithmic sum of a row of −inf has no difference to anything.
    log_NLM = (-cost_NLM).masked_fill(~real_NLM, -1e30)
    up_NL, over_NM = torch.zeros_like(row_NL), torch.zeros_like(column_NM)
    left_R = real_NLM.any(2).any(1).nonzero().squeeze(1)
    done = 0
    # Most plans are found soon, and a few take ten times as long: those alone go on.
    while len(left_R) and done < most:
        row, column, log = row_NL[left_R], column_NM[left_R], log_NLM[left_R]
        up = torch.where(row > 0, row.log() - (log + over_NM[left_R, None, :]).logsumexp(2), 0.0)
        over = torch.where(column > 0, column.log() - (log + up[:, :, None]).logsumexp(1), 0.0)
        # From here rows hold at least the share of a column, so that few products can leave the range.
        plan = (log + up[:, :, None] + over[:, None, :]).exp()
        size = min(BLOCK, most - done)
        rows, columns = torch.ones_like(row), torch.ones_like(column)
        for _ in range(size - 1):
            rows = _divided(row, (plan @ columns[:, :, None]).squeeze(2))
            columns = _divided(column, (rows[:, None, :] @ plan).squeeze(1))
        found = rows * (plan @ columns[:, :, None]).squeeze(2)
        # What is 1 stays 0 in the sum: padding has no logarithm.
        up_NL[left_R] = up + torch.where(row > 0, rows, 1.0).log()
        over_NM[left_R] = over + torch.where(column > 0, columns, 1.0).log()
        done += size
        left_R = left_R[(found - row).abs().amax(1) > tolerance]
    return (log_NLM + up_NL[:, :, None] + over_NM[:, None, :]).exp() * real_NLM


def _uniform(mask_NL: Tensor, like: Tensor) -> Tensor:
    return mask_NL.to(like.dtype) / mask_NL.sum(1, keepdim=True).clamp(min=1)


def _divided(mass_NL: Tensor, by_NL: Tensor) -> Tensor:
    return torch.where(mass_NL > 0, mass_NL / by_NL, 0.0)


def mutual_pairs(plan_NLM: Tensor) -> Tensor:
    """Return the pairs of tokens each of which gives the other most of its mass, bool [N, L, M]; the first of
    equals. Padding, whose mass is 0, is in no pair."""
    of_row = F.one_hot(plan_NLM.argmax(2), plan_NLM.shape[2]).bool()
    of_column = F.one_hot(plan_NLM.argmax(1), plan_NLM.shape[1]).bool().transpose(1, 2)
    return of_row & of_column & (plan_NLM > 0)


def alignment_loss(
    logits_NLM: Tensor, pairs_NLM: Tensor, first_NL: Tensor, second_NM: Tensor, weight_N: Tensor
) -> Tensor:
    """Return the cross-entropy of both tokens of each pair to find the other among all of its text: the mean
    over the pairs of a text, then the weighted mean over texts. Without any pair it is 0."""
    real_NLM = first_NL[:, :, None] & second_NM[:, None, :]
    # The least number and not −inf: rows of padding must have a gradient of 0, not of no number.
    logits_NLM = logits_NLM.masked_fill(~real_NLM, torch.finfo(logits_NLM.dtype).min)
    log_share_NLM = logits_NLM.log_softmax(2) + logits_NLM.log_softmax(1)
    count_N = pairs_NLM.sum((1, 2))
    per_text_N = -torch.where(pairs_NLM, log_share_NLM, 0.0).sum((1, 2)) / count_N.clamp(min=1)
    return weighted_mean(per_text_N, weight_N * (count_N > 0))


def weighted_mean(value_N: Tensor, weight_N: Tensor) -> Tensor:
    """Return the weighted mean; 0, with gradients of 0, where nothing has a weight."""
    return (weight_N * value_N).sum() / weight_N.sum().clamp(min=torch.finfo(value_N.dtype).tiny)
