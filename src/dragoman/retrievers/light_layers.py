"""The layers of a dual encoder in NumPy, with the weights that PyTorch learnt and names.

What each computes is said where it is trained: `models/dual.py`, `attention.py` and `hubness.py`.

T texts, L states of the longest text, K heads of the attention, H width of the states; N texts or images, M
remembered vectors, J joint width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Weights = dict[str, NDArray[Any]]
"""Tensors by name; each part takes its own out, so that what is left over belongs to no part."""
Shape = Mapping[str, Any]
"""`dual` of `config.json`; what a model does not have may not stand there."""

NORM_EPSILON, LENGTH_EPSILON = 1e-5, 1e-12
"""Summand of variances, and least length that is divided by, as in PyTorch."""


class Linear:
    """A linear map."""

    def __init__(self, weights: Weights, name: str, *, bias: bool = True) -> None:
        self._matrix = weights.pop(f"{name}.weight").T
        self._bias = weights.pop(f"{name}.bias") if bias else np.float32(0)
        self.width = self._matrix.shape[1]

    def __call__(self, states: Floats) -> Floats:
        found: Floats = states @ self._matrix + self._bias
        return found


class LayerNorm:
    """Mean 0 and variance 1 over the last axis, then a factor and a summand each."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._factor, self._summand = weights.pop(f"{name}.weight"), weights.pop(f"{name}.bias")

    def __call__(self, states: Floats) -> Floats:
        centred = states - states.mean(-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(NORM_EPSILON))
        found: Floats = centred / deviation * self._factor + self._summand
        return found


class BatchNorm:
    """A factor and a summand of each component, from what it learnt."""

    def __init__(self, weights: Weights, name: str) -> None:
        del weights[f"{name}.num_batches_tracked"]
        mean, variance = (weights.pop(f"{name}.running_{part}") for part in ("mean", "var"))
        factor = weights.pop(f"{name}.weight") / np.sqrt(variance + np.float32(NORM_EPSILON))
        self._factor = np.asarray(factor, np.float32)
        self._summand = weights.pop(f"{name}.bias") - mean * self._factor

    def __call__(self, states: Floats) -> Floats:
        found: Floats = states * self._factor + self._summand
        return found


class Head:
    """Linear, BatchNorm where there is one, unit length."""

    def __init__(self, weights: Weights, name: str, shape: Shape, *, bias: bool = True) -> None:
        self._linear = Linear(weights, f"{name}.linear", bias=bias)
        self.width = self._linear.width
        self._norm = BatchNorm(weights, f"{name}.norm") if shape.get("head_batch_norm") else None

    def __call__(self, states: Floats) -> Floats:
        found = self._linear(states)
        return unit(found if self._norm is None else self._norm(found))


class Hidden:
    """Linear, BatchNorm where there is one, ReLU."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._linear = Linear(weights, f"{name}.0")
        self._norm = BatchNorm(weights, f"{name}.1") if f"{name}.1.weight" in weights else None

    def __call__(self, states: Floats) -> Floats:
        found = self._linear(states)
        rising: Floats = np.maximum(found if self._norm is None else self._norm(found), 0)
        return rising


class DirectHead:
    """A head directly on the mean of the states of a text: linear, mlp, residual or projector."""

    def __init__(self, weights: Weights, name: str, kind: str, shape: Shape) -> None:
        self._hidden = None if kind == "linear" else Hidden(weights, f"{name}.hidden")
        self._residual = kind == "residual"
        self._head = Head(weights, f"{name}.head", shape)
        self.width = self._head.width

    def __call__(self, states_TLH: Floats, mask_TL: Mask) -> Floats:
        seen_TH = masked_mean(states_TLH, mask_TL)
        read = seen_TH if self._hidden is None else self._hidden(seen_TH)
        return self._head(np.concatenate([seen_TH, read], axis=1) if self._residual else read)


class AttentionHead:
    """Projection, positions, shared attention, masked mean, head."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        self._norm, self._project = LayerNorm(weights, "project.0"), Linear(weights, "project.2")
        self._positions = weights.pop("positions.weight")
        self._position_norm = LayerNorm(weights, "position_norm")
        parts = ("query", "key", "value", "out")
        self._query, self._key, self._value, self._out = (Linear(weights, f"attention.{p}") for p in parts)
        self._attention_norm = LayerNorm(weights, "attention.norm")
        self._heads = int(shape["heads"])
        width = self._value.width if shape.get("released_scale") else self._key.width
        self._scale = np.float32((width / self._heads) ** -0.5)
        self._head = Head(weights, "text_head", shape)
        self.width = self._head.width

    def __call__(self, states_TLH: Floats, mask_TL: Mask) -> Floats:
        projected_TLH = np.maximum(self._project(self._norm(states_TLH)), 0)
        projected_TLH = self._position_norm(projected_TLH + self._positions[: mask_TL.shape[1]])
        attended_TLH = self._out(self._attend(projected_TLH, mask_TL))
        return self._head(masked_mean(self._attention_norm(attended_TLH + projected_TLH), mask_TL))

    def _attend(self, states_TLH: Floats, mask_TL: Mask) -> Floats:
        query, key, value = (self._split(part(states_TLH)) for part in (self._query, self._key, self._value))
        logits_TKLL = query @ key.swapaxes(-1, -2) * self._scale
        logits_TKLL = np.where(mask_TL[:, None, None, :], logits_TKLL, -np.inf)
        shares_TKLL = np.exp(logits_TKLL - logits_TKLL.max(-1, keepdims=True))
        shares_TKLL /= shares_TKLL.sum(-1, keepdims=True)
        found: Floats = (shares_TKLL @ value).swapaxes(1, 2).reshape(*mask_TL.shape, -1)
        return found

    def _split(self, states: Floats) -> Floats:
        return states.reshape(*states.shape[:2], self._heads, -1).swapaxes(1, 2)


class Hubness:
    """Takes out of the scores how near vectors are to all that the model was trained on."""

    def __init__(self, weights: Weights, shape: Shape) -> None:
        self._part, self._neighbours = np.float32(shape["hubness"]), int(shape["hubness_neighbours"])
        captions, images = (weights.pop(f"hubness.{kind}") for kind in ("captions", "images"))
        self._captions, self._images = captions.astype(np.float32), images.astype(np.float32)

    def texts(self, vectors_NJ: Floats) -> Floats:
        """[N, J + 5] of unit vectors of texts."""
        hub_N1, one_N1 = self._hub(vectors_NJ, self._images), np.ones((len(vectors_NJ), 1), np.float32)
        return self._joined(vectors_NJ, one_N1, -hub_N1, self._rest(hub_N1), 0 * one_N1)

    def pictures(self, vectors_NJ: Floats) -> Floats:
        """[N, J + 5] of unit vectors of images."""
        hub_N1, one_N1 = self._hub(vectors_NJ, self._captions), np.ones((len(vectors_NJ), 1), np.float32)
        return self._joined(vectors_NJ, -hub_N1, one_N1, 0 * one_N1, self._rest(hub_N1))

    def _hub(self, vectors_NJ: Floats, others_MJ: Floats) -> Floats:
        cosine_NM = vectors_NJ @ others_MJ.T
        count = min(self._neighbours, cosine_NM.shape[1])
        nearest_NK = np.partition(cosine_NM, -count, axis=1)[:, -count:]
        found: Floats = self._part * nearest_NK.mean(1, keepdims=True)
        return found

    def _rest(self, hub_N1: Floats) -> Floats:
        found: Floats = np.sqrt(np.maximum(self._part**2 - np.square(hub_N1), 0))
        return found

    def _joined(self, *parts: Floats) -> Floats:
        last_N1 = np.full_like(parts[-1], np.sqrt(self._part))
        joined_NJ = np.concatenate([*parts, last_N1], axis=1)
        found: Floats = joined_NJ / np.sqrt(2 + self._part**2 + self._part)
        return found


def masked_mean(states_TLH: Floats, mask_TL: Mask) -> Floats:
    """Mean over what is no padding, [T, H]."""
    weights_TL1 = mask_TL[:, :, None].astype(np.float32)
    found: Floats = (states_TLH * weights_TL1).sum(1) / weights_TL1.sum(1)
    return found


def unit(vectors: Floats) -> Floats:
    """Scale vectors to unit length; 0 stays 0."""
    length = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(LENGTH_EPSILON))
    found: Floats = vectors / length
    return found
