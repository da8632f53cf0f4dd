"""Hubness taken out of the joint space: images that are near to every caption, and the other way round.

CSLS (Conneau et al., arXiv 1710.04087, section 2.3) ranks by q·v − h r(v) − h r(q), where r is the mean
cosine of a vector to its nearest neighbours of the other kind, here among what the model was trained on:
neither other queries nor the images of an index matter. Five more components make a dot product of unit
vectors of it, so that indexes, stores and exports need not know of it.

N texts or images, J width of the space, M remembered vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MORE = 5
"""Components that are added."""
MOST = 10_000
"""Vectors of a kind that are remembered at most."""


class Hubness(nn.Module):
    """Remembers training captions and training images; its vectors have J + 5 components."""

    captions: Tensor
    images: Tensor

    def __init__(self, width: int, captions: int, images: int, *, part: float, neighbours: int) -> None:
        """`part` is h."""
        super().__init__()
        self.part, self.neighbours = part, neighbours
        self.register_buffer("captions", torch.zeros(captions, width, dtype=torch.float16))
        self.register_buffer("images", torch.zeros(images, width, dtype=torch.float16))
        self.used = False
        """Off in training, which moves the vectors."""

    def texts(self, vectors_NJ: Tensor) -> Tensor:
        """[N, J + 5] of unit vectors of texts, of unit length."""
        hub_N1 = self._hub(vectors_NJ, self.images)
        one, none = torch.ones_like(hub_N1), torch.zeros_like(hub_N1)
        return self._joined(vectors_NJ, one, -hub_N1, self._rest(hub_N1), none)

    def pictures(self, vectors_NJ: Tensor) -> Tensor:
        """[N, J + 5] of unit vectors of images, of unit length."""
        hub_N1 = self._hub(vectors_NJ, self.captions)
        one, none = torch.ones_like(hub_N1), torch.zeros_like(hub_N1)
        return self._joined(vectors_NJ, -hub_N1, one, none, self._rest(hub_N1))

    def _hub(self, vectors_NJ: Tensor, others_MJ: Tensor) -> Tensor:
        """[N, 1] h times the mean cosine to the nearest others."""
        cosine_NM = vectors_NJ @ others_MJ.to(vectors_NJ.dtype).T
        nearest_NK = cosine_NM.topk(min(self.neighbours, cosine_NM.shape[1]), dim=1).values
        return self.part * nearest_NK.mean(1, keepdim=True)

    def _rest(self, hub_N1: Tensor) -> Tensor:
        # Makes the lengths of all vectors of a kind the same, and meets a zero on the other side.
        return (self.part**2 - hub_N1.square()).clamp(min=0).sqrt()

    def _joined(self, *parts: Tensor) -> Tensor:
        # The last one adds h to every score, so that those of good hits stay above 0.
        last_N1 = torch.full_like(parts[-1], self.part**0.5)
        # 1 of the vector, 1 of the one, h² of hub and rest, and h.
        joined_NJ: Tensor = torch.cat([*parts, last_N1], dim=1) / (2 + self.part**2 + self.part) ** 0.5
        return joined_NJ
