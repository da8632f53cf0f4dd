"""The view `fused`: what the fusion encoder makes of some texts and images of a step.

Pairs to match and words to hide are drawn here (MITM and CMLM of 1-to-K, arXiv 2406.18254), then fused. The
drawn texts are encoded once more, with their tokens: keeping the tokens of all texts of a step would need
memory for each of its languages.

B images, T texts, N pairs or drawn images, C columns, L tokens, H hidden width, R regions, D width of the
vision vectors, M hidden words, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dragoman.models.dual import unique_texts
from dragoman.objectives.contract import Batch, Fused, MatchingConfig, Objective, Views
from dragoman.training.batches import Step
from dragoman.training.views import StepEncoder, recomputed

FLOOR = 1e-5
"""Added to every share, so that no candidate is out of reach."""
MASKED_SHARE, MOST_MASKED = 0.4, 12
"""Words of a caption that are chosen to be predicted."""
HIDE, SWAP = 0.8, 0.1
"""Shares of the chosen words that are hidden, and swapped for another; the others stay."""


@dataclass(frozen=True, kw_only=True)
class FusingEncoder(StepEncoder):
    """A `StepEncoder` that adds the view `fused`: it draws and fuses what the terms of the objective read.

    With `chunk`, memory holds the graph of so many pairs only. Each process fuses its share.
    """

    objective: Objective

    def encode(self, step: Step) -> tuple[Views, Batch]:
        """Return the views that the objective reads, and the metadata of the texts, on the model's device."""
        # What is fused may be any image of the step, so each process needs the regions of all of them.
        regions_BRD = self.on_device(self.regions(step.items))
        mine = self.processes.share(len(step.items))
        views, batch = self.encode_beside(step, self.model.whole(regions_BRD[mine]))
        return replace(views, fused=self._fuse(step, regions_BRD, views, batch)), batch

    def regions(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the vision vectors of items and their regions, [B, R, D]."""
        return np.asarray(self.features.parts(self.features.rows(item_ids)), np.float32)

    def _fuse(self, step: Step, regions_BRD: Tensor, views: Views, batch: Batch) -> Fused:
        """Draw captions, negatives and hidden words, and fuse them; back-translations are left out."""
        processes, loss = self.processes, self.config.loss
        assert isinstance(loss, MatchingConfig), "`fused` is drawn by the settings of a MatchingConfig"
        usable = torch.zeros_like(batch.item, dtype=torch.bool)
        usable[batch.captions()] = True
        # Draws choose what is learned from; nothing is learned through them.
        similarity_BT = views.image.detach() @ views.text.detach().T
        temperature = self.objective.learned_temperature if loss.learned_sampling else None
        drawn = vars(draw(similarity_BT, batch.item, usable, loss, temperature))
        # The first process draws for all: they must fuse parts of one draw.
        draws = FusedDraws(**{name: processes.of_first(value) for name, value in drawn.items()})
        match_logits = match_labels = word_logits = word_labels = None
        if loss.mitm_weight:
            texts, images, match_labels = draws.pairs
            mine = processes.share(len(texts))
            texts, images = texts[mine], images[mine]
            cosine_N = similarity_BT[images, texts]
            match_logits = processes.gather(self._match(_texts(step, texts), regions_BRD[images], cosine_N))
        if loss.cmlm_weight:
            mine = processes.share(len(draws.text))
            words = self._predict_words(_texts(step, draws.text[mine]), regions_BRD[draws.image[mine]])
            word_logits, word_labels = (processes.gather(found) for found in words)
        return Fused(
            match_logits=match_logits,
            match_labels=match_labels,
            word_logits=word_logits,
            word_labels=word_labels,
        )

    def _match(self, texts_N: list[str], regions_NRD: Tensor, cosine_N: Tensor) -> Tensor:
        """Return the match logits of texts with images, [N, 2]."""
        if not texts_N:  # a step with a single image has no negatives
            return regions_NRD.new_zeros(0, 2)
        size = self.config.chunk or len(texts_N)
        parts = [slice(start, start + size) for start in range(0, len(texts_N), size)]
        logits = [
            recomputed(
                partial(self._match_part, texts_N[part], regions_NRD[part], cosine_N[part]),
                self.model.feature_mean,
                len(parts),
            )
            for part in parts
        ]
        return torch.cat(logits)

    def _match_part(self, texts_N: list[str], regions_NRD: Tensor, cosine_N: Tensor) -> Tensor:
        model = self.model
        assert model.fusion is not None
        different, row_of_text = unique_texts(texts_N)
        found = model.encode_text(model.trunk.prepare(different), tokens=True)
        assert found.states is not None and found.mask is not None
        device = regions_NRD.device
        memory_NRH = model.encode_regions(regions_NRD)
        return model.fusion.match_pairs(
            found.states,
            found.mask,
            row_of_text.to(device),
            memory_NRH,
            torch.arange(len(texts_N), device=device),
            cosine_N,
        )

    def _predict_words(self, texts_N: list[str], regions_NRD: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [M, V] and labels [M] of words hidden in captions, each seen with its image."""
        model = self.model
        assert model.fusion is not None
        table_VW = model.trunk.label_table(model.fusion.config.words)
        if not texts_N:  # more processes than captions
            nothing = torch.zeros(0, dtype=torch.long, device=table_VW.device)
            return table_VW.new_zeros(0, len(table_VW)), nothing
        size = self.config.chunk or len(texts_N)
        logits, labels = [], []
        for start in range(0, len(texts_N), size):
            prepared = model.trunk.prepare(texts_N[start : start + size])
            inputs = {name: value.to(regions_NRD.device) for name, value in prepared.items()}
            label_NL = model.trunk.labels(inputs, model.fusion.config.words)
            masks = draw_masks(label_NL, inputs["mask"].sum(1))
            predict = partial(self._predict_part, inputs, masks, regions_NRD[start : start + size])
            logits.append(recomputed(predict, self.model.feature_mean, -(-len(texts_N) // size)))
            labels.append(label_NL[masks.chosen])
        return torch.cat(logits), torch.cat(labels)

    def _predict_part(self, inputs: dict[str, Tensor], masks: Masks, regions_NRD: Tensor) -> Tensor:
        model = self.model
        assert model.fusion is not None
        found = model.encode_text(model.trunk.corrupt(inputs, masks.hidden, masks.swapped), tokens=True)
        assert found.states is not None and found.mask is not None
        fused_NLH = model.fusion(found.states, found.mask, model.encode_regions(regions_NRD))
        table_VW = model.trunk.label_table(model.fusion.config.words)
        logits_MV: Tensor = model.word_head(fused_NLH[masks.chosen], table_VW)
        return logits_MV


def _texts(step: Step, text_N: Tensor) -> list[str]:
    return [step.texts[row] for row in step.row_of_text[text_N.cpu()].tolist()]


@dataclass(frozen=True, kw_only=True)
class FusedDraws:
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
def draw(
    similarity_BT: Tensor,
    item_T: Tensor,
    usable_T: Tensor,
    config: MatchingConfig,
    temperature: Tensor | None = None,
) -> FusedDraws:
    """Draw one own text, one negative image and one negative text for every image that has a usable text.

    Over P, the softmax of an image over all texts, and Q, that of a text over all images: an own text by
    `positive_language`, a negative image by Q of that text, a negative text by P. Own items are never
    negatives, whatever they score. `similarity_BT` are cosines; `usable_T` is false at texts that are left
    out; a `temperature` stands in the place of `sampling_temperature`. No gradient flows.
    """
    divisor = config.sampling_temperature if temperature is None else temperature
    logits_BT = similarity_BT.float() / divisor
    usable_BT = usable_T.expand_as(logits_BT)
    own_BT = (torch.arange(len(logits_BT), device=item_T.device)[:, None] == item_T) & usable_BT
    share_BT = logits_BT.masked_fill(~usable_BT, -torch.inf).softmax(1) + FLOOR
    image_N = own_BT.any(1).nonzero().squeeze(1)
    weight_BT = _own_weights(logits_BT, share_BT, own_BT, config)
    text_N = _draw_rows(weight_BT[image_N], own_BT[image_N])
    image_share_NB = logits_BT.softmax(0).T[text_N] + FLOOR
    other_NB = torch.arange(len(logits_BT), device=item_T.device) != image_N[:, None]
    other_NT = (usable_BT & ~own_BT)[image_N]
    return FusedDraws(
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
    """Draw a column of each row by its weight, [N], among those allowed; -1 where none is."""
    kept_NC = weight_NC * allowed_NC
    some_N = allowed_NC.any(1)
    if not weight_NC.shape[0]:
        return some_N.long()
    # multinomial refuses a row of zeros; what it draws there is thrown away.
    column_N = torch.multinomial(torch.where(some_N[:, None], kept_NC, 1.0), 1).squeeze(1)
    return torch.where(some_N, column_N, -1)


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Boolean [N, L]; `hidden` and `swapped` are disjoint parts of `chosen`."""

    chosen: Tensor
    """To be predicted."""
    hidden: Tensor
    swapped: Tensor


@torch.no_grad()
def draw_masks(label_NL: Tensor, length_N: Tensor) -> Masks:
    """Choose min(12, max(1, round(0.4 x length))) tokens of each text, or all that can be predicted if fewer.

    `label_NL` is -1 at tokens that are never chosen: padding, special tokens, words out of the vocabulary.
    `length_N` counts all tokens of a text.
    """
    known_NL = label_NL >= 0
    wanted_N = (MASKED_SHARE * length_N).round().clamp(1, MOST_MASKED)
    # The n largest of random keys are n tokens drawn without replacement.
    key_NL = torch.rand(label_NL.shape, device=label_NL.device).masked_fill(~known_NL, -1)
    place_NL = key_NL.argsort(dim=1, descending=True).argsort(dim=1)
    chosen_NL = (place_NL < wanted_N[:, None]) & known_NL
    fate_NL = torch.rand(label_NL.shape, device=label_NL.device)
    return Masks(
        chosen=chosen_NL,
        hidden=chosen_NL & (fate_NL < HIDE),
        swapped=chosen_NL & (fate_NL >= HIDE) & (fate_NL < HIDE + SWAP),
    )
