"""Distillation: of similarities and of vectors, from a teacher (NRCCR, section 3.3) or from source captions.

N pairs, J joint width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SoftTargets:
    """Rules for turning the similarities of a teacher into targets."""

    temperature: float
    """Divisor of the similarities of both sides."""
    form: Literal["ce", "kl"] = "ce"
    """`kl` subtracts the teacher's entropy, which has no gradient where its images are detached."""
    detach_image: bool = True
    """Keep the images on the teacher's side from learning; the teacher itself never learns from this."""


def similarity_distillation(
    image_NJ: Tensor,
    teacher_NJ: Tensor,
    student_NJ: Tensor,
    targets: SoftTargets,
    weight_N: Tensor | None = None,
) -> Tensor:
    """Return the soft-target cross-entropy between teacher and student similarities to the images, the mean
    of both directions. `weight_N` (default 1) weighs the pairs."""
    teacher_image_NJ = image_NJ.detach() if targets.detach_image else image_NJ
    taught_NN = teacher_image_NJ @ teacher_NJ.detach().T / targets.temperature
    learned_NN = image_NJ @ student_NJ.T / targets.temperature
    weight = torch.ones(len(image_NJ), device=image_NJ.device) if weight_N is None else weight_N
    losses = []
    # Rows ask for the caption of an image, columns for the image of a caption.
    for dim in (1, 0):
        share, log_learned = taught_NN.softmax(dim), learned_NN.log_softmax(dim)
        log_learned = log_learned if targets.form == "ce" else log_learned - taught_NN.log_softmax(dim)
        losses.append(-(weight * (share * log_learned).sum(dim)).sum() / weight.sum())
    return (losses[0] + losses[1]) / 2


def source_distillation(
    image_BJ: Tensor, source_NJ: Tensor, student_NJ: Tensor, temperature: float, weight_N: Tensor
) -> Tensor:
    """Return the cross-entropy between the similarities to the images of source captions and of their
    translations, the weighted mean over the pairs.

    The rows of CL2CM's relational transfer (arXiv 2312.08984), with the images themselves in place of the
    source captions that stand for them.
    """
    # Source captions and images get no gradient, so only translations move towards them.
    taught_NB = (source_NJ @ image_BJ.T).detach().div(temperature).softmax(1)
    learned_NB = (student_NJ @ image_BJ.detach().T).div(temperature).log_softmax(1)
    per_pair_N = -(taught_NB * learned_NB).sum(1)
    return (weight_N * per_pair_N).sum() / weight_N.sum()


def feature_distillation(
    teacher_NJ: Tensor,
    student_NJ: Tensor,
    *,
    form: Literal["cos", "smooth_l1"] = "cos",
    detach_teacher: bool = True,
    weight_N: Tensor | None = None,
) -> Tensor:
    """Return the mean of 1 − cos, or smooth L1 with threshold 4 over all components as in the released code.

    `weight_N` (default 1) weighs the pairs.
    """
    teacher_NJ = teacher_NJ.detach() if detach_teacher else teacher_NJ
    if form == "cos":
        apart_N = 1 - F.cosine_similarity(student_NJ, teacher_NJ, dim=1)
    else:
        apart_N = F.smooth_l1_loss(student_NJ, teacher_NJ, beta=4, reduction="none").mean(1)
    weight = torch.ones_like(apart_N) if weight_N is None else weight_N
    return (weight * apart_N).sum() / weight.sum()


def relational_transfer(
    taught_RS: Tensor,
    learned_RB: Tensor,
    item_S: Tensor,
    weight_R: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the divergence KL(P‖Q) of a text-to-text teacher from a text-to-image student, over the rows of
    target captions and over the columns of source captions (CL2CM, arXiv 2312.08984).

    Both matrices are similarities over temperature: of R target captions to S source captions, each of which
    stands for its image, and to B images. Source captions of one item add up to the share of the item; items
    without a source caption are left out. `weight_R` weighs rows in their mean, and target captions among the
    shares of a column. The teacher gets no gradient. Every target caption needs a source caption of its item
    among the S.
    """
    present, column_S = torch.unique(item_S, return_inverse=True)
    taught_RS, learned_RB = taught_RS.detach(), learned_RB[:, present]
    merged_RB = torch.zeros_like(learned_RB, dtype=taught_RS.dtype)
    merged_RB = merged_RB.index_add(1, column_S, taught_RS.softmax(1))
    row_R = _divergence(merged_RB, learned_RB.log_softmax(1), 1)
    share_RS = weight_R[:, None] * taught_RS.softmax(0)
    share_RS = share_RS / share_RS.sum(0).clamp(min=torch.finfo(share_RS.dtype).tiny)
    column = _divergence(share_RS, learned_RB.log_softmax(0)[:, column_S], 0)
    return (weight_R * row_R).sum() / weight_R.sum(), column.mean()


def _divergence(share: Tensor, log_learned: Tensor, dim: int) -> Tensor:
    # `xlogy` is 0 at a share of 0, where x · ln x is no number.
    return (torch.xlogy(share, share) - share * log_learned).sum(dim)
