"""The view `fused`: what the fusion encoder makes of some texts and images of a step.

T texts, B images, N drawn images, L tokens, H hidden width, R regions, D width of the vision vectors, M
hidden words, V words of the vocabulary.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dragoman.encoders.dual import DualEncoder
from dragoman.objectives._masking import Masks, draw_masks
from dragoman.objectives._matching import Fused, MatchingConfig, draw
from dragoman.objectives._views import Batch, Views
from dragoman.training.batches import Step
from dragoman.training.chunks import recomputed


def compute_fused(
    model: DualEncoder,
    step: Step,
    states_TLH: Tensor,
    regions_BRD: Tensor,
    views: Views,
    batch: Batch,
    config: MatchingConfig,
    chunk: int | None,
) -> Fused:
    """Draw captions, negatives and hidden words, and fuse them; only what a term of `config` reads.

    Back-translations are left out. With `chunk`, memory holds the graph of so many pairs only.
    """
    assert views.mask is not None
    usable = torch.zeros_like(batch.item, dtype=torch.bool)
    usable[batch.captions()] = True
    draws = draw(views.image.detach() @ views.text.detach().T, batch.item, usable, config)
    memory_BRH = model.encode_regions(regions_BRD)
    match_logits = match_labels = word_logits = word_labels = None
    if config.mitm_weight:
        texts, images, match_labels = draws.pairs
        match_logits = _match(model, states_TLH, views.mask, texts, memory_BRH, images, chunk)
    if config.cmlm_weight:
        texts_N = [step.texts[row] for row in step.row_of_text[draws.text.cpu()].tolist()]
        word_logits, word_labels = _predict_words(model, texts_N, memory_BRH[draws.image], chunk)
    return Fused(
        match_logits=match_logits,
        match_labels=match_labels,
        word_logits=word_logits,
        word_labels=word_labels,
    )


def _match(
    model: DualEncoder,
    states_TLH: Tensor,
    mask_TL: Tensor,
    text_N: Tensor,
    memory_BRH: Tensor,
    image_N: Tensor,
    chunk: int | None,
) -> Tensor:
    """Match logits [N, 2] of texts with images."""
    assert model.fusion is not None
    if not len(text_N):  # a step with a single image has no negatives
        return states_TLH.new_zeros(0, 2)
    parts = list(
        zip(*(torch.split(rows_N, chunk or len(rows_N)) for rows_N in (text_N, image_N)), strict=True)
    )
    logits = [
        recomputed(
            partial(model.fusion.match_pairs, states_TLH, mask_TL, texts, memory_BRH, images),
            model.feature_mean,
            len(parts),
        )
        for texts, images in parts
    ]
    return torch.cat(logits)


def _predict_words(
    model: DualEncoder, texts_N: list[str], memory_NRH: Tensor, chunk: int | None
) -> tuple[Tensor, Tensor]:
    """Logits [M, V] and labels [M] of words that are hidden in captions, each seen with its image."""
    assert model.fusion is not None
    size = chunk or len(texts_N)
    logits, labels = [], []
    for start in range(0, len(texts_N), size):
        prepared = model.trunk.prepare(texts_N[start : start + size])
        inputs = {name: value.to(memory_NRH.device) for name, value in prepared.items()}
        label_NL = model.trunk.labels(inputs, model.fusion.config.words)
        masks = draw_masks(label_NL, inputs["mask"].sum(1))
        predict = partial(_predict_hidden, model, inputs, masks, memory_NRH[start : start + size])
        logits.append(recomputed(predict, model.feature_mean, -(-len(texts_N) // size)))
        labels.append(label_NL[masks.chosen])
    return torch.cat(logits), torch.cat(labels)


def _predict_hidden(
    model: DualEncoder, inputs: dict[str, Tensor], masks: Masks, memory_NRH: Tensor
) -> Tensor:
    assert model.fusion is not None
    found = model.encode_text(model.trunk.corrupt(inputs, masks.hidden, masks.swapped), tokens=True)
    assert found.states is not None and found.mask is not None
    fused_NLH = model.fusion(found.states, found.mask, memory_NRH)
    table_VW = model.trunk.label_table(model.fusion.config.words)
    logits_MV: Tensor = model.word_head(fused_NLH[masks.chosen], table_VW)
    return logits_MV
