"""The view `retrieved`: what captions find among texts of other languages and among images, which are no
pairs of theirs (uCLIP, arXiv 2511.13036).

T texts, M texts and I images of the memories, H width of the vectors of the sentence encoder, D of those of
the dual encoder, J joint width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, MemoryConfig, Retrieved, Views
from dragoman.training.batches import Step
from dragoman.training.samples import Samples, spread
from dragoman.training.views import KeptAnchors, StepEncoder, moved


@dataclass(frozen=True, kw_only=True)
class RetrievingEncoder(StepEncoder):
    """A `StepEncoder` that adds the view `retrieved`, and noise to all vectors but those of the images."""

    anchors: KeptAnchors
    texts: Tensor
    """[M, H] of unit length."""
    images: Tensor
    """[I, D] of unit length."""

    @classmethod
    def fresh(cls, plain: StepEncoder, anchors: KeptAnchors, samples: Samples) -> RetrievingEncoder:
        """Fill the memories with captions of the target languages and images of training, as many as the
        objective wants. Raises UserError for videos."""
        loss = plain.config.loss
        assert isinstance(loss, MemoryConfig), "`retrieved` is found by the settings of a MemoryConfig"
        texts = sorted({one.text for target in samples.targets for some in target.choices for one in some})
        texts, items = (
            spread(known, min(loss.memory, len(known))) for known in (texts, sorted(samples.items))
        )
        images = plain.on_device(plain.vectors(items))
        if images.dim() > 2:
            raise UserError(
                f"{plain.features.folder} holds frames of videos, and the memory of the objective "
                f"{plain.config.objective!r} one vector an image: --recipe mclip, or teacher"
            )
        return cls(
            **vars(plain),
            anchors=anchors,
            texts=F.normalize(plain.model.prepare(texts)["vectors"].squeeze(1), dim=1).to(images.device),
            images=F.normalize(images, dim=1),
        )

    def encode(self, step: Step) -> tuple[Views, Batch]:
        """Return the views that the objective reads, and the metadata of the texts, on the model's device."""
        loss, device = self.config.loss, self.images.device
        assert isinstance(loss, MemoryConfig)
        batch = moved(step.batch, device)
        text_TH = self.model.prepare(step.texts)["vectors"].squeeze(1)[step.row_of_text].to(device)
        anchor_TD = self.anchors.places(step, batch)
        # A vector that is found is as long as the one that asked.
        found_TH = retrieve(text_TH, self.texts, loss.memory_temperature) * text_TH.norm(dim=1, keepdim=True)
        image_TD = retrieve(anchor_TD, self.images, loss.memory_temperature)
        views = Views(
            image=self._images(step),
            text=self._read(text_TH, loss.noise),
            anchor=self._see(anchor_TD, loss.noise),
            retrieved=Retrieved(text=self._read(found_TH, loss.noise), image=self._see(image_TD, loss.noise)),
        )
        return views, batch

    def _read(self, text_TH: Tensor, noise: float) -> Tensor:
        vectors = noisy(text_TH, noise).unsqueeze(1)
        inputs = {"vectors": vectors, "mask": torch.ones(len(vectors), 1, dtype=torch.bool)}
        return self.model.encode_text(inputs).vector

    def _see(self, image_TD: Tensor, noise: float) -> Tensor:
        return self.model.encode_image(noisy(image_TD, noise))

    @torch.no_grad()
    def _images(self, step: Step) -> Tensor:
        # They are only looked at: the norms of the projector shall not know them.
        self.model.eval()
        seen: Tensor = self.model.encode_image(self.on_device(self.vectors(step.items)))
        self.model.train()
        return seen


def retrieve(asked_TH: Tensor, memory_MH: Tensor, temperature: float) -> Tensor:
    """Return the mean of a memory of unit vectors, weighed by the softmax of their cosines with each vector
    that asks, at unit length, [T, H]."""
    share_TM = (F.normalize(asked_TH, dim=1) @ memory_MH.T / temperature).softmax(1)
    return F.normalize(share_TM @ memory_MH, dim=1)


def noisy(vector_TH: Tensor, variance: float) -> Tensor:
    """Return vectors with Gaussian noise in every component of their directions, as long as they were."""
    if not variance:
        return vector_TH
    direction_TH = F.normalize(vector_TH, dim=1)
    direction_TH = direction_TH + math.sqrt(variance) * torch.randn_like(direction_TH)
    found: Tensor = F.normalize(direction_TH, dim=1) * vector_TH.norm(dim=1, keepdim=True)
    return found
