"""From a step's texts and vision vectors to the views that an objective reads. Only what is needed.

T texts, B items, D width of the vision vectors. A large step is encoded in chunks whose graphs are thrown
away and built anew in the backward pass, with the same random draws (GradCache: Gao et al., 2021, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.encoders.dual import DualEncoder
from dragoman.objectives._matching import MatchingConfig
from dragoman.objectives._views import Batch, Views
from dragoman.training.batches import Step
from dragoman.training.chunks import Chunk, cut, recomputed
from dragoman.training.fused import compute_fused


def compute_views(
    model: DualEncoder,
    step: Step,
    features: Tensor,
    needs: Sequence[str],
    chunk: int | None = None,
    matching: MatchingConfig | None = None,
) -> tuple[Views, Batch]:
    """Encode every different text once, then hand out its vector to each caption that has this text.

    About `chunk` texts and images are encoded at a time, and memory holds the graph of so many only; without
    a number it holds all. `features` are [B, D] or, with regions, [B, R, D]; `matching` says what the view
    `fused` holds; without it there is none.
    """
    features_BD = features[:, 0] if features.ndim == 3 else features
    device = features_BD.device
    count = len(step.texts)
    taught = _taught(step) if "teacher" in needs else []
    chunks = cut(count, taught, 1 if chunk is None else -(-count // chunk))
    inputs = [model.trunk.prepare([step.texts[row] for row in here.texts.tolist()]) for here in chunks]
    found = [
        recomputed(partial(_encode_texts, model, given, here, needs), model.feature_mean, len(chunks))
        for given, here in zip(inputs, chunks, strict=True)
    ]
    images = torch.split(features_BD, chunk or len(features_BD))
    vectors = [
        recomputed(partial(model.encode_image, part), model.feature_mean, len(images)) for part in images
    ]
    # Chunks hand out their texts in an order of their own.
    place_of_text = torch.argsort(torch.cat([here.texts[: here.own] for here in chunks]))
    place_of_pair = torch.argsort(torch.cat([here.pairs for here in chunks])).to(device)
    row_of_text = place_of_text[step.row_of_text].to(device)
    handed_out: dict[str, Any] = {
        name: _joined([part[name] for part in found])[place_of_pair if name == "teacher" else row_of_text]
        for name in found[0]
    }
    views, batch = Views(image=torch.cat(vectors), **handed_out), _moved(step.batch, device)
    if matching is not None:
        views = replace(views, fused=compute_fused(model, step, features, views, batch, matching, chunk))
    return views, batch


def _taught(step: Step) -> list[tuple[int, int]]:
    """Source and target of each teacher vector, as rows of the different texts."""
    batch = step.batch
    target = batch.rows(1)
    source = batch.rows(0)[batch.pair[target]]
    rows = torch.stack([step.row_of_text[source], step.row_of_text[target]], dim=1)
    return [(first, second) for first, second in rows.tolist()]


def _encode_texts(
    model: DualEncoder, inputs: dict[str, Tensor], here: Chunk, needs: Sequence[str]
) -> dict[str, Tensor]:
    """The views of the texts that a chunk owns, and its teacher vectors; nothing else keeps memory."""
    found = model.encode_text(inputs, tokens=bool({"teacher", "tokens"} & set(needs)))
    views = {"text": found.vector[: here.own]}
    if "pooled" in needs:
        views["pooled"] = found.pooled[: here.own]
    if "tokens" in needs:
        assert found.trunk is not None and found.mask is not None
        views |= {"tokens": found.trunk[: here.own], "mask": found.mask[: here.own]}
    if "teacher" in needs:
        device = found.vector.device
        views["teacher"] = model.teach(found[here.source.to(device)], found[here.target.to(device)])
    return views


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Rows of all parts; tokens are padded to the longest text of all."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat(
        [F.pad(part, (*(0, 0) * (part.dim() - 2), 0, longest - part.shape[1])) for part in parts]
    )


def _moved(batch: Batch, device: torch.device) -> Batch:
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in tensors.items() if isinstance(value, Tensor)
    }
    return replace(batch, **moved)
