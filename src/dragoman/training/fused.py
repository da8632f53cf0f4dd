"""The view `fused`: what the fusion encoder makes of some texts and images of a step.

The drawn texts are encoded once more, with their tokens: keeping the tokens of all texts of a step would need
memory for each of its languages.

B images, N pairs, L tokens, H hidden width, R regions, D width of the vision vectors, M hidden words, V words
of the vocabulary.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dragoman.models.dual import DualEncoder, unique_texts
from dragoman.objectives._masking import Masks, draw_masks
from dragoman.objectives._matching import Draws, Fused, MatchingConfig, draw
from dragoman.objectives._views import Batch, Views
from dragoman.training.batches import Step
from dragoman.training.chunks import recomputed
from dragoman.training.processes import Processes


def compute_fused(
    model: DualEncoder,
    step: Step,
    regions_BRD: Tensor,
    views: Views,
    batch: Batch,
    config: MatchingConfig,
    chunk: int | None,
    processes: Processes,
) -> Fused:
    """Draw captions, negatives and hidden words, and fuse them; only what a term of `config` reads.

    Back-translations are left out. With `chunk`, memory holds the graph of so many pairs only. The first
    process draws for all, and each fuses its share.
    """
    usable = torch.zeros_like(batch.item, dtype=torch.bool)
    usable[batch.captions()] = True
    similarity_BT = views.image.detach() @ views.text.detach().T
    drawn = vars(draw(similarity_BT, batch.item, usable, config))
    draws = Draws(**{name: processes.of_first(value) for name, value in drawn.items()})
    match_logits = match_labels = word_logits = word_labels = None
    if config.mitm_weight:
        texts, images, match_labels = draws.pairs
        mine = processes.share(len(texts))
        match_logits = processes.gather(
            _match(
                model,
                _texts(step, texts[mine]),
                regions_BRD[images[mine]],
                similarity_BT[images[mine], texts[mine]],
                chunk,
            )
        )
    if config.cmlm_weight:
        mine = processes.share(len(draws.text))
        words = _predict_words(model, _texts(step, draws.text[mine]), regions_BRD[draws.image[mine]], chunk)
        word_logits, word_labels = (processes.gather(found) for found in words)
    return Fused(
        match_logits=match_logits,
        match_labels=match_labels,
        word_logits=word_logits,
        word_labels=word_labels,
    )


def _texts(step: Step, text_N: Tensor) -> list[str]:
    return [step.texts[row] for row in step.row_of_text[text_N.cpu()].tolist()]


def _match(
    model: DualEncoder, texts_N: list[str], regions_NRD: Tensor, cosine_N: Tensor, chunk: int | None
) -> Tensor:
    """Match logits [N, 2] of texts with images."""
    if not texts_N:  # a step with a single image has no negatives
        return regions_NRD.new_zeros(0, 2)
    size = chunk or len(texts_N)
    parts = [slice(start, start + size) for start in range(0, len(texts_N), size)]
    logits = [
        recomputed(
            partial(_match_part, model, texts_N[part], regions_NRD[part], cosine_N[part]),
            model.feature_mean,
            len(parts),
        )
        for part in parts
    ]
    return torch.cat(logits)


def _match_part(model: DualEncoder, texts_N: list[str], regions_NRD: Tensor, cosine_N: Tensor) -> Tensor:
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


def _predict_words(
    model: DualEncoder, texts_N: list[str], regions_NRD: Tensor, chunk: int | None
) -> tuple[Tensor, Tensor]:
    """Logits [M, V] and labels [M] of words that are hidden in captions, each seen with its image."""
    assert model.fusion is not None
    table_VW = model.trunk.label_table(model.fusion.config.words)
    if not texts_N:  # more processes than captions
        return table_VW.new_zeros(0, len(table_VW)), torch.zeros(0, dtype=torch.long, device=table_VW.device)
    size = chunk or len(texts_N)
    logits, labels = [], []
    for start in range(0, len(texts_N), size):
        prepared = model.trunk.prepare(texts_N[start : start + size])
        inputs = {name: value.to(regions_NRD.device) for name, value in prepared.items()}
        label_NL = model.trunk.labels(inputs, model.fusion.config.words)
        masks = draw_masks(label_NL, inputs["mask"].sum(1))
        predict = partial(_predict_part, model, inputs, masks, regions_NRD[start : start + size])
        logits.append(recomputed(predict, model.feature_mean, -(-len(texts_N) // size)))
        labels.append(label_NL[masks.chosen])
    return torch.cat(logits), torch.cat(labels)


def _predict_part(model: DualEncoder, inputs: dict[str, Tensor], masks: Masks, regions_NRD: Tensor) -> Tensor:
    assert model.fusion is not None
    found = model.encode_text(model.trunk.corrupt(inputs, masks.hidden, masks.swapped), tokens=True)
    assert found.states is not None and found.mask is not None
    fused_NLH = model.fusion(found.states, found.mask, model.encode_regions(regions_NRD))
    table_VW = model.trunk.label_table(model.fusion.config.words)
    logits_MV: Tensor = model.word_head(fused_NLH[masks.chosen], table_VW)
    return logits_MV
