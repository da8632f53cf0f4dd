"""From a step's texts and vision vectors to the views that an objective reads. Only what is needed.

T texts, B items, D width of the vision vectors. A large step is encoded in chunks whose graphs are thrown
away and built anew in the backward pass, with the same random draws (GradCache: Gao et al., 2021, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dragoman.encoders.dual import DualEncoder
from dragoman.objectives._views import Batch, Views
from dragoman.training.batches import Step
from dragoman.training.chunks import Chunk, cut

Found = TypeVar("Found")


def compute_views(
    model: DualEncoder, step: Step, features_BD: Tensor, needs: Sequence[str], chunk: int | None = None
) -> tuple[Views, Batch]:
    """Encode every different text once, then hand out its vector to each caption that has this text.

    About `chunk` texts and images are encoded at a time, and memory holds the graph of so many only; without
    a number it holds all.
    """
    device = features_BD.device
    batch = _moved(step.batch, device)
    count = len(step.inputs["mask"])
    taught = _taught(step) if "teacher" in needs else []
    chunks = cut(count, taught, _parts(count, chunk))
    found = [
        _encoded(partial(_encode_texts, model, step, here, needs), model, len(chunks)) for here in chunks
    ]
    images = torch.split(features_BD, chunk or len(features_BD))
    vectors = [_encoded(partial(model.encode_image, part), model, len(images)) for part in images]
    # Chunks hand out their texts in an order of their own.
    place_of_text = torch.argsort(torch.cat([here.texts[: here.own] for here in chunks]))
    row_of_text = place_of_text[step.row_of_text].to(device)
    place_of_pair = torch.argsort(torch.cat([here.pairs for here in chunks])).to(device)

    def whole(name: str) -> Tensor:
        return torch.cat([part[name] for part in found])

    def handed_out(name: str) -> Tensor | None:
        return whole(name)[row_of_text] if name in needs else None

    text = handed_out("text")
    assert text is not None
    return (
        Views(
            image=torch.cat(vectors),
            text=text,
            teacher=whole("teacher")[place_of_pair] if "teacher" in needs else None,
            pooled=handed_out("pooled"),
            tokens=handed_out("tokens"),
            mask=step.inputs["mask"][step.row_of_text].to(device) if "tokens" in needs else None,
        ),
        batch,
    )


def _taught(step: Step) -> list[tuple[int, int]]:
    """Source and target of each teacher vector, as rows of the different texts."""
    batch = step.batch
    target = batch.rows(1)
    source = batch.rows(0)[batch.pair[target]]
    rows = torch.stack([step.row_of_text[source], step.row_of_text[target]], dim=1)
    return [(first, second) for first, second in rows.tolist()]


def _parts(count: int, chunk: int | None) -> int:
    return 1 if chunk is None else -(-count // chunk)


def _encoded(encode: Callable[[], Found], model: DualEncoder, parts: int) -> Found:
    """What `encode` gives, with a graph that is built in the backward pass where it is one of several."""
    if parts == 1:
        return encode()
    # The argument is of no use but to name the device whose random state is kept for the second time.
    found: Found = checkpoint(lambda _: encode(), model.feature_mean, use_reentrant=False)
    return found


def _encode_texts(model: DualEncoder, step: Step, here: Chunk, needs: Sequence[str]) -> dict[str, Tensor]:
    """The views of the texts that a chunk owns, and its teacher vectors; nothing else keeps memory."""
    whole = step.inputs["mask"]
    inputs = step.inputs if here.own == len(whole) else model.trunk.select(step.inputs, here.texts)
    found = model.encode_text(inputs, tokens=bool({"teacher", "tokens"} & set(needs)))
    views = {"text": found.vector[: here.own]}
    if "pooled" in needs:
        views["pooled"] = found.pooled[: here.own]
    if "tokens" in needs:
        assert found.trunk is not None
        padding = whole.shape[1] - found.trunk.shape[1]
        views["tokens"] = F.pad(found.trunk[: here.own], (0, 0, 0, padding))
    if "teacher" in needs:
        device = found.vector.device
        views["teacher"] = model.teach(found[here.source.to(device)], found[here.target.to(device)])
    return views


def _moved(batch: Batch, device: torch.device) -> Batch:
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in tensors.items() if isinstance(value, Tensor)
    }
    return replace(batch, **moved)
