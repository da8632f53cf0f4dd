"""Matching with hard negatives (MITM) and masked word modelling (CMLM) of 1-to-K (arXiv 2406.18254).

Any objective takes part whose `Config` inherits `MatchingConfig`. Which texts and images are fused is drawn
here, from similarities; training fuses them and hands out the logits as the view `fused`.

B images, T texts, N drawn images, M hidden words, V words of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.errors import UserError

FLOOR = 1e-5
"""Added to every share, so that no candidate is out of reach."""


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """Both terms are off until they have a weight."""

    mitm_weight: float = 0.0
    """Of matching texts and images in the fusion encoder, with hard negatives."""
    cmlm_weight: float = 0.0
    """Of predicting hidden words of a caption from the rest and its image, in the fusion encoder."""
    positive_language: Literal["released", "uniform", "similarity"] = "released"
    """Which caption of an image is fused with it: `released` favours those that hold little of the image's
    softmax over all texts, `similarity` those less like the image than its other captions."""
    sampling_temperature: float = 0.07
    """Divisor of the similarities that captions and negatives are drawn by."""

    def __post_init__(self) -> None:
        for name in ("mitm_weight", "cmlm_weight"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0.001 <= self.sampling_temperature <= 0.5:
            raise UserError(f"sampling_temperature must lie in [0.001, 0.5], got {self.sampling_temperature}")

    @property
    def fused_needs(self) -> tuple[str, ...]:
        """The view `fused`, where a term reads it."""
        return ("fused",) if self.mitm_weight or self.cmlm_weight else ()

    @property
    def fused_weights(self) -> dict[str, float]:
        """Weights of the terms that are on."""
        weights = {"mitm": self.mitm_weight, "cmlm": self.cmlm_weight}
        return {name: weight for name, weight in weights.items() if weight}


@dataclass(frozen=True, kw_only=True)
class Fused:
    """What the fusion encoder made of a step; a term that is off has None."""

    match_logits: Tensor | None = None
    """[3N, 2] of not matching and of matching: N pairs that match, then 2N that do not."""
    match_labels: Tensor | None = None
    """[3N] 1 for pairs that match."""
    word_logits: Tensor | None = None
    """[M, V]"""
    word_labels: Tensor | None = None
    """[M]"""


def fused_terms(fused: Fused | None, config: MatchingConfig) -> dict[str, Tensor]:
    """`mitm` and `cmlm`, means of cross-entropies over pairs and over hidden words; those that are on."""
    terms: dict[str, Tensor] = {}
    if config.mitm_weight:
        assert fused is not None and fused.match_logits is not None and fused.match_labels is not None
        terms["mitm"] = _cross_entropy(fused.match_logits, fused.match_labels)
    if config.cmlm_weight:
        assert fused is not None and fused.word_logits is not None and fused.word_labels is not None
        terms["cmlm"] = _cross_entropy(fused.word_logits, fused.word_labels)
    return terms


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    # The mean over no row would be NaN; this zero keeps the parameters in the graph.
    return F.cross_entropy(logits.float(), labels) if len(labels) else logits.sum() * 0


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Texts and images to fuse, one entry an image that has a text."""

    image: Tensor
    """[N] the image."""
    text: Tensor
    """[N] one of its own texts."""
    negative_image: Tensor
    """[N] an image to fuse with that text; -1 where a step holds no other image."""
    negative_text: Tensor
    """[N] a text of another image to fuse with the image; -1 where there is none."""

    @property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Texts, images and labels: N pairs that match, then up to 2N that do not.

        An image without a negative gives no pair at all: with matches alone, the head would learn to say yes.
        """
        whole = (self.negative_image >= 0) & (self.negative_text >= 0)
        image, text = self.image[whole], self.text[whole]
        texts = torch.cat([text, text, self.negative_text[whole]])
        images = torch.cat([image, self.negative_image[whole], image])
        return texts, images, (torch.arange(len(texts), device=text.device) < len(text)).long()


@torch.no_grad()
def draw(similarity_BT: Tensor, item_T: Tensor, usable_T: Tensor, config: MatchingConfig) -> Draws:
    """One own text, one negative image and one negative text for every image that has a usable text.

    Over P, the softmax of an image over all texts, and Q, that of a text over all images: an own text by
    `positive_language`, a negative image by Q of that text, a negative text by P. Own items are never
    negatives, whatever they score. `similarity_BT` are cosines; `usable_T` is false at texts that are left
    out. No gradient flows.
    """
    logits_BT = similarity_BT.float() / config.sampling_temperature
    usable_BT = usable_T.expand_as(logits_BT)
    own_BT = (torch.arange(len(logits_BT), device=item_T.device)[:, None] == item_T) & usable_BT
    share_BT = logits_BT.masked_fill(~usable_BT, -torch.inf).softmax(1) + FLOOR
    image_N = own_BT.any(1).nonzero().squeeze(1)
    weight_BT = _own_weights(logits_BT, share_BT, own_BT, config)
    text_N = _draw_rows(weight_BT[image_N], own_BT[image_N])
    image_share_NB = logits_BT.softmax(0).T[text_N] + FLOOR
    other_NB = torch.arange(len(logits_BT), device=item_T.device) != image_N[:, None]
    other_NT = (usable_BT & ~own_BT)[image_N]
    return Draws(
        image=image_N,
        text=text_N,
        negative_image=_draw_rows(image_share_NB, other_NB),
        negative_text=_draw_rows(share_BT[image_N], other_NT),
    )


def _own_weights(logits_BT: Tensor, share_BT: Tensor, own_BT: Tensor, config: MatchingConfig) -> Tensor:
    if config.positive_language == "released":
        return share_BT.max() + FLOOR - share_BT
    if config.positive_language == "uniform":
        return torch.ones_like(share_BT)
    return (-logits_BT).masked_fill(~own_BT, -torch.inf).softmax(1).nan_to_num()


def _draw_rows(weight_NC: Tensor, allowed_NC: Tensor) -> Tensor:
    """[N] a column of each row by its weight, among those allowed; -1 where none is."""
    kept_NC = weight_NC * allowed_NC
    some_N = allowed_NC.any(1)
    if not weight_NC.shape[0]:
        return some_N.long()
    # multinomial refuses a row of zeros; what it draws there is thrown away.
    column_N = torch.multinomial(torch.where(some_N[:, None], kept_NC, 1.0), 1).squeeze(1)
    return torch.where(some_N, column_N, -1)
