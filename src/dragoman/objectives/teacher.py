"""Learning from the text side of a public dual encoder: a caption belongs where it puts the source caption.

Teacher learning (Reimers and Gurevych, EMNLP 2020, section 3; M-CLIP: Carlsson et al., LREC 2022) on unit
vectors, the English-anchored map of M2M (arXiv 2601.10096), and a contrast with the images afterwards.

R captions, J joint width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, ObjectiveConfig, Views
from dragoman.objectives.losses.contrast import LanguagesApart, Temperature, bridge, softmax_contrast
from dragoman.objectives.losses.distil import feature_distillation


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """Two stages in one run: the anchors alone, then a contrast beside them."""

    distance: Literal["cos", "mse"] = "cos"
    """Distance of a caption to its anchor: 1 - cos, or the mean of the squared differences of the components
    of unit vectors, as M2M has it, which is 2 (1 - cos) / J."""
    teach_weight: float = 1.0
    structure_weight: float = 0.0
    """Weight of the squared differences between the cosines of two captions and of their anchors (M2M: 1
    beside 48 times `mse`)."""
    contrast_from: float = 1.0
    """Share of the run after which the contrast joins; 1 is never. With a cosine, the learning rate is a
    tenth of its peak at 0.8."""
    teach_end: float = 0.2
    """Part of `teach_weight` that is left at the end of a run with a contrast, linearly from where it joins;
    without anchors it would fit the photos of the training alone."""
    source_weight: float = 1.0
    """Weight of the contrast of images and source captions."""
    target_weight: float = 1.0
    bridge_weight: float = 0.1
    """Weight of the contrast of source captions and translations."""
    temperature: float = 0.07
    """Divisor of similarities in the contrast, at the start; CLIP's own is 0.01."""
    learn_temperature: bool = True

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `NEEDS` that this configuration reads; nothing else is computed."""
        return (*super().needs, "anchor")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("contrast_from", "teach_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"loss.{name} must lie in [0, 1], got {getattr(self, name)}")


class TeacherLearning(LanguagesApart):
    """Terms `taught` and `structure`; in the second stage `source`, `target` and `bridge` as well."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.source_weight, config.target_weight)
        self.config = config
        self.weights = {
            **self.weights,
            "taught": config.teach_weight,
            "structure": config.structure_weight,
            "bridge": config.bridge_weight,
        }
        self.temperature = Temperature(
            config.temperature, learned=config.learn_temperature and config.contrast_from < 1
        )

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        assert views.anchor is not None
        config, rows = self.config, batch.captions()
        text_RJ, anchor_RJ = views.text[rows], views.anchor[rows]
        taught = feature_distillation(anchor_RJ, text_RJ, weight_N=batch.weights(rows))
        if config.distance == "mse":
            taught = 2 * taught / text_RJ.shape[1]
        terms = {"taught": taught}
        if config.structure_weight:
            terms["structure"] = structure(text_RJ, anchor_RJ)
        if config.contrast_from < 1 and batch.done >= config.contrast_from:
            through = (batch.done - config.contrast_from) / (1 - config.contrast_from)
            terms["taught"] = (1 - (1 - config.teach_end) * through) * taught
            terms |= super().forward(views, batch)
            tied = bridge(views, batch, self.temperature()) if config.bridge_weight else None
            if tied is not None:
                terms["bridge"] = tied.symmetric()
        return terms

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        return softmax_contrast(views, batch, rows, self.temperature()).symmetric()


def structure(text_RJ: Tensor, anchor_RJ: Tensor) -> Tensor:
    """Return the mean, over pairs of different captions, of the squared difference between their cosine and
    that of their anchors; 0 of a single one."""
    gap_RR = text_RJ @ text_RJ.T - anchor_RJ @ anchor_RJ.T
    count = len(gap_RR)
    # The diagonal of unit vectors is 1 on both sides, up to rounding.
    squared_RR = gap_RR.square().fill_diagonal_(0)
    return squared_RR.sum() / max(1, count * (count - 1))


def build(config: Config, width: int) -> TeacherLearning:
    """Return the objective; the width of the trunk does not matter to it."""
    return TeacherLearning(config)
