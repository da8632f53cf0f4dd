"""From a step's texts and vision vectors to the views that an objective reads. Only what is needed.

T texts, B items, R regions, D width of the vision vectors. A large step is encoded in chunks whose graphs are
thrown away and built anew in the backward pass, with the same random draws (GradCache: Gao et al., 2021,
section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.models.dual import DualEncoder
from dragoman.objectives.contract import Batch, MatchingConfig, Views
from dragoman.training.chunks import Chunk, cut, recomputed
from dragoman.training.fused import compute_fused
from dragoman.training.processes import Processes
from dragoman.training.steps import Step


def compute_views(
    model: DualEncoder,
    step: Step,
    features: Callable[[Sequence[str]], Tensor],
    needs: Sequence[str],
    *,
    chunk: int | None,
    processes: Processes,
    matching: MatchingConfig | None = None,
) -> tuple[Views, Batch]:
    """Encode every different text once, then hand out its vector to each caption that has this text.

    `features` gives the vision vectors of N items, [N, D] or, with regions or frames, [N, R, D]. About
    `chunk` texts and images are encoded at a time, and memory holds the graph of so many only; without a
    number it holds all. Each process encodes its share and gets the views of the whole step. `matching` says
    what the view `fused` holds; without it there is none.
    """
    device = model.feature_mean.device
    taught = _taught(step) if "teacher" in needs else []
    chunks = cut(len(step.texts), taught, processes.count * _parts(len(step.texts), chunk, processes))
    found = _encode_texts(model, step, chunks[processes.share(len(chunks))], needs)
    mine = processes.share(len(step.items))
    # What is fused may be any image of the step.
    regions_BRD = None if matching is None else features(step.items)
    whole_N = features(step.items[mine]) if regions_BRD is None else model.whole(regions_BRD[mine])
    images = torch.split(whole_N, chunk or max(1, len(whole_N)))
    vectors = [
        recomputed(partial(model.encode_image, part), model.feature_mean, len(images)) for part in images
    ]
    # Chunks hand out their texts in an order of their own.
    place_of_text = torch.argsort(torch.cat([here.texts[: here.own] for here in chunks]))
    place_of_pair = torch.argsort(torch.cat([here.pairs for here in chunks])).to(device)
    row_of_text = place_of_text[step.row_of_text].to(device)
    handed_out: dict[str, Any] = {
        name: processes.gather(_joined(parts))[place_of_pair if name == "teacher" else row_of_text]
        for name, parts in found.items()
    }
    image = processes.gather(torch.cat(vectors))
    views, batch = Views(image=image, **handed_out), _moved(step.batch, device)
    if matching is None or regions_BRD is None:
        return views, batch
    fused = compute_fused(model, step, regions_BRD, views, batch, matching, chunk, processes)
    return replace(views, fused=fused), batch


def _taught(step: Step) -> list[tuple[int, int]]:
    """Source and target of each teacher vector, as rows of the different texts."""
    batch = step.batch
    target = batch.rows(1)
    source = batch.rows(0)[batch.pair[target]]
    rows = torch.stack([step.row_of_text[source], step.row_of_text[target]], dim=1)
    return [(first, second) for first, second in rows.tolist()]


def _parts(texts: int, chunk: int | None, processes: Processes) -> int:
    """How many chunks each process encodes."""
    return 1 if chunk is None else -(-texts // (chunk * processes.count))


def _encode_texts(
    model: DualEncoder, step: Step, chunks: Sequence[Chunk], needs: Sequence[str]
) -> dict[str, list[Tensor]]:
    """The views of the texts that the chunks own, and their teacher vectors, each a list of parts."""
    inputs = [model.trunk.prepare([step.texts[row] for row in here.texts.tolist()]) for here in chunks]
    found = [
        recomputed(partial(_encode_chunk, model, given, here, needs), model.feature_mean, len(chunks))
        for given, here in zip(inputs, chunks, strict=True)
    ]
    return {name: [part[name] for part in found] for name in found[0]}


def _encode_chunk(
    model: DualEncoder, inputs: dict[str, Tensor], here: Chunk, needs: Sequence[str]
) -> dict[str, Tensor]:
    """Only what is needed: nothing else keeps memory."""
    found = model.encode_text(inputs, tokens=bool({"teacher", "tokens"} & set(needs)))
    views = {"text": found.vector[: here.own]}
    if "pooled" in needs:
        views["pooled"] = found.pooled[: here.own]
    if "tokens" in needs:
        assert found.trunk is not None and found.mask is not None
        views |= {"tokens": found.trunk[: here.own], "mask": found.mask[: here.own]}
    if "teacher" in needs:
        source, target = here.source.to(found.vector.device), here.target.to(found.vector.device)
        views["teacher"] = model.teach(found[source], found[target]) if len(source) else found.vector[:0]
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
