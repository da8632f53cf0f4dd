"""From a step's texts and vision vectors to the views that an objective reads, and nothing else.

T texts, B items, R regions, D width of the vision vectors. A large step is encoded in chunks whose graphs are
thrown away and built anew in the backward pass, with the same random draws (GradCache: Gao et al., 2021,
section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dragoman.corpus import FeatureSet
from dragoman.models.dual import DualEncoder
from dragoman.objectives.contract import Batch, MatchingConfig, Views
from dragoman.training.chunks import Chunk, cut, recomputed
from dragoman.training.config import TrainConfig
from dragoman.training.fused import Fuser
from dragoman.training.processes import Processes
from dragoman.training.steps import Step


@dataclass(frozen=True, kw_only=True)
class StepEncoder:
    """Encodes every different text of a step once, and hands out its vector to each caption that has this
    text.

    About `config.chunk` texts and images are encoded at a time, and memory holds the graph of so many only;
    without a number it holds all. Each process encodes its share and gets the views of the whole step.
    """

    model: DualEncoder
    features: FeatureSet
    config: TrainConfig
    processes: Processes

    @property
    def matching(self) -> MatchingConfig | None:
        """Settings of the view `fused`, where the objective reads it."""
        loss = self.config.loss
        return loss if isinstance(loss, MatchingConfig) and "fused" in loss.needs else None

    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.floating]:
        """Return the vision vectors of items as they are stored, [B, D], or [B, F, D] of their frames."""
        return self.features.whole(self.features.rows(item_ids))

    def regions(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the vision vectors of items and their regions, [B, R, D]."""
        return np.asarray(self.features.parts(self.features.rows(item_ids)), np.float32)

    def encode(self, step: Step) -> tuple[Views, Batch]:
        """Return the views that the objective reads, and the metadata of the texts, on the model's device."""
        processes, device = self.processes, self.model.feature_mean.device
        taught = _taught(step) if "teacher" in self.config.loss.needs else []
        chunks = cut(len(step.texts), taught, processes.count * self._parts(len(step.texts)))
        found = self._encode_texts(step, chunks[processes.share(len(chunks))])
        # What is fused may be any image of the step.
        regions_BRD = None if self.matching is None else self._on_device(self.regions(step.items))
        vectors = self._encode_images(step.items, regions_BRD)
        # Chunks hand out their texts in an order of their own.
        place_of_text = torch.argsort(torch.cat([here.texts[: here.own] for here in chunks]))
        place_of_pair = torch.argsort(torch.cat([here.pairs for here in chunks])).to(device)
        row_of_text = place_of_text[step.row_of_text].to(device)
        handed_out: dict[str, Any] = {
            name: processes.gather(_joined(parts))[place_of_pair if name == "teacher" else row_of_text]
            for name, parts in found.items()
        }
        views = Views(image=processes.gather(vectors), **handed_out)
        batch = _moved(step.batch, device)
        if self.matching is None or regions_BRD is None:
            return views, batch
        fuser = Fuser(self.model, self.matching, self.config.chunk, processes)
        return replace(views, fused=fuser.fuse(step, regions_BRD, views, batch)), batch

    def _parts(self, texts: int) -> int:
        """Count the chunks that each process encodes."""
        chunk = self.config.chunk
        return 1 if chunk is None else -(-texts // (chunk * self.processes.count))

    def _on_device(self, vectors: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.asarray(vectors, np.float32)).to(self.model.feature_mean.device)

    def _encode_images(self, items: Sequence[str], regions_BRD: Tensor | None) -> Tensor:
        """Return the vectors of the images that fall to this process."""
        model, mine = self.model, self.processes.share(len(items))
        if regions_BRD is None:
            whole_N = self._on_device(self.vectors(items[mine]))
        else:
            whole_N = model.whole(regions_BRD[mine])
        images = torch.split(whole_N, self.config.chunk or max(1, len(whole_N)))
        vectors = [
            recomputed(partial(model.encode_image, part), model.feature_mean, len(images)) for part in images
        ]
        return torch.cat(vectors)

    def _encode_texts(self, step: Step, chunks: Sequence[Chunk]) -> dict[str, list[Tensor]]:
        """Return the views of the texts that the chunks own, and their teacher vectors, each a list of
        parts."""
        model = self.model
        inputs = [model.trunk.prepare([step.texts[row] for row in here.texts.tolist()]) for here in chunks]
        found = [
            recomputed(partial(self._encode_chunk, given, here), model.feature_mean, len(chunks))
            for given, here in zip(inputs, chunks, strict=True)
        ]
        return {name: [part[name] for part in found] for name in found[0]}

    def _encode_chunk(self, inputs: dict[str, Tensor], here: Chunk) -> dict[str, Tensor]:
        # Only what is needed: nothing else keeps memory.
        model, needs = self.model, self.config.loss.needs
        found = model.encode_text(inputs, tokens=bool({"teacher", "tokens"} & set(needs)))
        views = {"text": found.vector[: here.own]}
        if "pooled" in needs:
            views["pooled"] = found.pooled[: here.own]
        if "tokens" in needs:
            assert found.trunk is not None and found.mask is not None
            views |= {"tokens": found.trunk[: here.own], "mask": found.mask[: here.own]}
        if "teacher" in needs:
            source, target = here.source.to(found.vector.device), here.target.to(found.vector.device)
            taught = model.teach(found[source], found[target]) if len(source) else found.vector[:0]
            views["teacher"] = taught
        return views


def _taught(step: Step) -> list[tuple[int, int]]:
    """Return source and target of each teacher vector, as rows of the different texts."""
    batch = step.batch
    target = batch.rows(1)
    source = batch.rows(0)[batch.pair[target]]
    rows = torch.stack([step.row_of_text[source], step.row_of_text[target]], dim=1)
    return [(first, second) for first, second in rows.tolist()]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the rows of all parts; tokens are padded to the longest text of all."""
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
