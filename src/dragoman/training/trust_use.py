"""How a run uses the trust of machine captions (`dragoman trust`); any objective can use all of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dragoman.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TrustUse:
    """Three switches, which may be combined; all are off by default. q is the trust of a caption, 0 to 1."""

    weight: bool = False
    """Weigh every machine caption by max(q, floor): its share among the captions of its image (the targets
    of 1-to-K) and its part in every mean. Human captions weigh 1."""
    soft: bool = False
    """Aim a machine caption at its own image by max(q, floor) only, and for the rest at the images that its
    source caption finds similar."""
    drop_below: float = 0.0
    """Leave out machine captions with a lower q."""
    floor: float = 0.1
    shuffled: bool = False
    """Deal the scores of a language out at random: a control, which shows what the scores themselves are
    worth."""

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 1:
            raise UserError(f"trust.floor must lie in (0, 1], got {self.floor}")
        if not 0 <= self.drop_below <= 1:
            raise UserError(f"trust.drop_below must lie in [0, 1], got {self.drop_below}")

    @property
    def used(self) -> bool:
        """Whether trust matters to the run."""
        return self.weight or self.soft or self.drop_below > 0

    def weights(self, trust_T: Tensor) -> Tensor | None:
        """[T] weights of texts, None for equal ones."""
        return trust_T.clamp(min=self.floor) if self.weight else None

    def confidences(self, trust_T: Tensor) -> Tensor | None:
        """[T] weights of the own image among the targets of a text, None for 1."""
        return trust_T.clamp(min=self.floor) if self.soft else None
