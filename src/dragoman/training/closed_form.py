"""The English-anchored map in closed form: vectors of a frozen sentence encoder to those of a dual encoder.

M2M (arXiv 2601.10096) learns this affine map by steps; least squares finds it at once. N source captions, H
width of the sentence vectors, J that of the anchors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.models.dual import DirectHead, DualEncoder
from dragoman.models.text.frozen import BLOCK, FrozenText
from dragoman.training.views import KeptAnchors

Floats = NDArray[np.floating]
PARTS = (1e-6, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Values of λ that are tried, as parts of the mean of the diagonal of XᵀX."""


@dataclass(frozen=True)
class Moments:
    """Means and centred products of both sides, sums over the captions."""

    mean_x: Floats
    """[H]"""
    mean_e: Floats
    """[J]"""
    own: Floats
    """[H, H] XᵀX"""
    shared: Floats
    """[H, J] XᵀE"""

    @classmethod
    def of(cls, trunk: FrozenText, anchors: KeptAnchors, texts: Sequence[str]) -> Moments:
        """Measure source captions, a block at a time."""
        sums: list[Floats] = []
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            x_NH = trunk.frozen.vectors(block).astype(np.float64)
            e_NJ = anchors.of(block).astype(np.float64)
            found = [x_NH.sum(0), e_NJ.sum(0), x_NH.T @ x_NH, x_NH.T @ e_NJ]
            sums = found if not sums else [one + more for one, more in zip(sums, found, strict=True)]
        mean_H, mean_J = sums[0] / len(texts), sums[1] / len(texts)
        count = len(texts)
        return cls(
            mean_H,
            mean_J,
            sums[2] - count * np.outer(mean_H, mean_H),
            sums[3] - count * np.outer(mean_H, mean_J),
        )


def ridge(own_HH: Floats, shared_HJ: Floats, penalty: float) -> Floats:
    """Return W [H, J] that minimises ‖X W − E‖² + λ‖W‖², of XᵀX and XᵀE: (XᵀX + λI)⁻¹ XᵀE."""
    found: Floats = np.linalg.solve(own_HH + penalty * np.eye(len(own_HH)), shared_HJ)
    return found


def orthogonal(shared_HJ: Floats) -> Floats:
    """Return the rotation W that minimises ‖X W − E‖², of XᵀE: U Vᵀ of its singular value decomposition
    (Schönemann 1966). Raises UserError where both sides are not equally wide."""
    if shared_HJ.shape[0] != shared_HJ.shape[1]:
        raise UserError(
            f"solve=orthogonal wants vectors of one width, and has {shared_HJ.shape[0]} of texts and "
            f"{shared_HJ.shape[1]} of anchors: --set solve=ridge"
        )
    left, _, right = np.linalg.svd(shared_HJ)
    found: Floats = left @ right
    return found


def solutions(
    kind: str, model: DualEncoder, anchors: KeptAnchors, texts: Sequence[str]
) -> Iterator[dict[str, float]]:
    """Put one solution after the other into the head of the model, and say which it is."""
    trunk = model.trunk
    assert isinstance(trunk, FrozenText)
    moments = Moments.of(trunk, anchors, texts)
    if kind == "orthogonal":
        _fill(model, moments, orthogonal(moments.shared))
        yield {}
        return
    mean = float(np.trace(moments.own)) / len(moments.own)
    for part in PARTS:
        _fill(model, moments, ridge(moments.own, moments.shared, part * mean))
        yield {"penalty": part}


def _fill(model: DualEncoder, moments: Moments, map_HJ: Floats) -> None:
    """Let the head be (x − mean) W + mean, of vectors that the trunk has standardised."""
    trunk, head = model.trunk, model.text_head
    assert isinstance(trunk, FrozenText) and isinstance(head, DirectHead)
    mean_H, scale_H = (one.double().cpu().numpy() for one in (trunk.vector_mean, trunk.vector_scale))
    bias_J = moments.mean_e + (mean_H - moments.mean_x) @ map_HJ
    linear = head.head.linear
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy((map_HJ / scale_H[:, None]).T))
        linear.bias.copy_(torch.from_numpy(bias_J))
