"""From a step's texts and vision vectors to the views that an objective reads. Only what is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from dragoman.encoders.dual import DualEncoder
from dragoman.objectives._views import Batch, Views
from dragoman.training.batches import Step


def compute_views(
    model: DualEncoder, step: Step, features_BD: Tensor, needs: Sequence[str]
) -> tuple[Views, Batch]:
    """Encode every different text once, then hand out its vector to each caption that has this text."""
    device = features_BD.device
    batch = _moved(step.batch, device)
    row_of_text = step.row_of_text.to(device)
    found = model.encode_text(step.inputs, tokens=bool({"teacher", "tokens"} & set(needs)))
    teacher = None
    if "teacher" in needs:
        target = batch.rows(1)
        source = batch.rows(0)[batch.pair[target]]
        teacher = model.teach(found[row_of_text[source]], found[row_of_text[target]])

    def handed_out(name: str, states: Tensor | None) -> Tensor | None:
        return states[row_of_text] if name in needs and states is not None else None

    return (
        Views(
            image=model.encode_image(features_BD),
            text=found.vector[row_of_text],
            teacher=teacher,
            pooled=handed_out("pooled", found.pooled),
            tokens=handed_out("tokens", found.trunk),
            mask=handed_out("tokens", found.mask),
        ),
        batch,
    )


def _moved(batch: Batch, device: torch.device) -> Batch:
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in tensors.items() if isinstance(value, Tensor)
    }
    return replace(batch, **moved)
