"""The dual encoder: texts and frozen vision vectors into one joint space of unit vectors.

Text branch and teacher follow NRCCR (arXiv 2208.12526, section 3.2): trunk, token projection, positions,
shared attention, masked mean, head. T texts, L tokens, H hidden width, N pairs, B items, R regions, F frames,
D width of the vision vectors, J joint width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.grouping import unique
from dragoman.models.attention import (
    TOKENS_PER_BATCH,
    SharedAttention,
    masked_mean,
    projection,
    run_by_length,
)
from dragoman.models.fusion import Fusion, FusionConfig, WordHead
from dragoman.models.temporal import FrameEncoder, VideoConfig, present
from dragoman.models.text.contract import TextEncoder


@dataclass(frozen=True, kw_only=True)
class DualConfig:
    """Shape of both branches; the trunk of the text branch is configured apart."""

    joint: int = 512
    """J, width of the joint space."""
    hidden: int = 256
    """H of the token projection and the shared attention; a multiple of `heads`."""
    heads: int = 4
    key_width: int = 256
    """Width of queries and keys over all heads."""
    positions: int = 250
    dropout: float = 0.1
    head_dropout: float = 0.0
    image_head: Literal["linear", "mlp", "none"] = "linear"
    """`none` keeps the space of the vision vectors: J is then their width, and an index stays valid."""
    image_dropout: float = 0.2
    pool: Literal["masked", "all"] = "masked"
    """`all` counts padding, as the released NRCCR code does."""
    teacher_pool: Literal["cat", "cross_only"] = "cat"
    released_scale: bool = False
    """Divide attention logits as the released code does (`attention.py`)."""
    head_batch_norm: bool = False
    """BatchNorm in the heads, as in the released code; it makes a vector depend on its batch in training."""

    def __post_init__(self) -> None:
        for name in ("joint", "hidden", "heads", "key_width", "positions"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("dropout", "head_dropout", "image_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.hidden % self.heads or self.key_width % self.heads:
            raise UserError(
                f"hidden {self.hidden} and key_width {self.key_width} must be multiples of heads {self.heads}"
            )

    @property
    def depends_on_batch(self) -> bool:
        """True where the vector of a text depends on the texts encoded beside it, as in the released code."""
        return self.head_batch_norm or self.pool == "all"


@dataclass(frozen=True, kw_only=True)
class TextViews:
    """Vectors and states of one pass over texts."""

    vector: Tensor
    """[T, J], unit length."""
    pooled: Tensor
    """[T, H'] masked mean of the trunk's states, what a language discriminator reads."""
    projected: Tensor | None = None
    """[T, L, H] states before the shared attention, what the teacher reads."""
    trunk: Tensor | None = None
    """[T, L, H'] states of the trunk."""
    states: Tensor | None = None
    """[T, L, H] states after the shared attention, what the fusion encoder reads."""
    mask: Tensor | None = None
    """[T, L] true at real tokens."""

    def __getitem__(self, rows: Tensor) -> TextViews:
        """The views of some texts; rows may repeat."""

        def take(value: Tensor | None) -> Tensor | None:
            return None if value is None else value[rows]

        return TextViews(
            vector=self.vector[rows],
            pooled=self.pooled[rows],
            projected=take(self.projected),
            trunk=take(self.trunk),
            states=take(self.states),
            mask=take(self.mask),
        )


class Head(nn.Module):
    """Linear (Xavier, zero bias), optional BatchNorm, dropout, unit length."""

    def __init__(self, width: int, joint: int, config: DualConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(width, joint)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.norm = nn.BatchNorm1d(joint) if config.head_batch_norm else nn.Identity()
        self.dropout = nn.Dropout(config.head_dropout)

    def forward(self, states_NH: Tensor) -> Tensor:
        return F.normalize(self.dropout(self.norm(self.linear(states_NH))), dim=-1)


class DualEncoder(nn.Module):
    """Text trunk and two heads. Knows no loss; training hands its views to an objective."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self,
        config: DualConfig,
        trunk: TextEncoder,
        feature_width: int,
        *,
        fusion: FusionConfig | None = None,
        regions: int = 1,
        video: VideoConfig | None = None,
    ) -> None:
        """With `fusion`, texts can be fused with `regions` vision vectors of an image. With `video`, items
        are frames of videos, and an image is a video of one frame."""
        super().__init__()
        self._still: tuple[nn.Module, ...] = ()
        self.config, self.trunk, self.feature_width = config, trunk, feature_width
        self.joint = feature_width if config.image_head == "none" else config.joint
        # The order of the parts decides which random numbers each begins with, and how the state of the
        # optimizer lies in checkpoints.
        self._build_text_side()
        self._build_image_side(video)
        # Last, so that the dual encoder begins with the same weights with and without it.
        self.fusion: Fusion | None = None
        if fusion is not None:
            self.fusion = Fusion(
                fusion, config.hidden, regions=regions, region_width=feature_width, frames=video is not None
            )
            self.word_head = WordHead(config.hidden, trunk.label_table(fusion.words))

    def _build_text_side(self) -> None:
        config = self.config
        self.project = projection(self.trunk.width, config.hidden, config.dropout)
        self.positions = nn.Embedding(config.positions, config.hidden)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.position_norm = nn.LayerNorm(config.hidden)
        self.attention = SharedAttention(
            config.hidden,
            heads=config.heads,
            key_width=config.key_width,
            dropout=config.dropout,
            released_scale=config.released_scale,
        )
        self.text_head = Head(config.hidden, self.joint, config)

    def _build_image_side(self, video: VideoConfig | None) -> None:
        config, width = self.config, self.feature_width
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_scale", torch.ones(width))
        self.image_frames: FrameEncoder | None = None
        if video is not None:
            if config.image_head == "none" and video.pooling == "nrccr":
                raise UserError(
                    "dual.image_head=none keeps the space of the vision vectors, which video.pooling=nrccr "
                    "leaves. Choose one that stays in it: --set video.pooling=temporal, or mean"
                )
            self.image_frames = FrameEncoder(video, width, released_scale=config.released_scale)
            width = self.image_frames.width
        self.image_trunk: nn.Module = nn.Identity()
        if config.image_head == "mlp":
            self.image_trunk = nn.Sequential(nn.Linear(width, 2 * self.joint), nn.ReLU())
            width = 2 * self.joint
        self.image_dropout = nn.Dropout(config.image_dropout)
        self.image_head = None if config.image_head == "none" else Head(width, self.joint, config)

    @torch.no_grad()
    def fit_features(self, mean_D: Tensor, deviation_D: Tensor) -> None:
        """Standardise vision vectors by the training set's mean and deviation; a constant stays zero."""
        # Without a head the vectors must stay where they are: an index of them stays valid.
        if self.image_head is not None:
            self.feature_mean.copy_(mean_D)
            # A constant component has deviation 0, and its rounding must not become a signal.
            self.feature_scale.copy_(1 / deviation_D.clamp(min=1e-3))

    def freeze(self, *parts: nn.Module) -> None:
        """Parts that do not learn and stay in eval mode: a frozen norm must not go on adapting."""
        self._still = (*self._still, *parts)
        for part in parts:
            part.requires_grad_(False).eval()

    def freeze_images(self) -> None:
        """The image side does not learn: vectors of images stay what they are, bit for bit."""
        parts = (self.image_frames, self.image_trunk, self.image_dropout, self.image_head)
        self.freeze(*(part for part in parts if part is not None))

    def train(self, mode: bool = True) -> DualEncoder:
        super().train(mode)
        # Training calls this at each step, and would wake the dropout and the norms of frozen parts.
        for part in self._still:
            part.eval()
        return self

    def encode_image(self, features: Tensor) -> Tensor:
        """Unit vectors [B, J] of frozen vision vectors [B, D]; of videos [B, F, D], absent frames NaN."""
        if self.image_frames is None:
            seen_BD = self._standard(features)
        else:
            frames_BFD, mask_BF = present(features)
            seen_BD = self.image_frames(self._standard(frames_BFD), mask_BF)
        if self.image_head is None:
            return F.normalize(seen_BD, dim=-1)
        vector: Tensor = self.image_head(self.image_dropout(self.image_trunk(seen_BD)))
        return vector

    def encode_regions(self, regions_BRD: Tensor) -> Tensor:
        """Inputs of the fusion encoder from images, [B, R, H]; absent frames of videos stay NaN."""
        assert self.fusion is not None
        return self.fusion.read(self.image_dropout(self._standard(regions_BRD)))

    def whole(self, regions_BRD: Tensor) -> Tensor:
        """Inputs of `encode_image` from images with their regions, or from videos."""
        return regions_BRD[:, 0] if self.image_frames is None else regions_BRD

    def encode_text(self, inputs: dict[str, Tensor], *, tokens: bool = False) -> TextViews:
        """One length-bucketed pass over all texts of a step, whatever their role.

        `inputs` is what `trunk.prepare` returned, `mask` still on the CPU or moved. With `tokens` the token
        states are kept as well.
        """
        lengths_T = inputs["mask"].sum(1).cpu()
        device = self.feature_mean.device
        moved = {name: value.to(device, non_blocking=True) for name, value in inputs.items()}
        # Pooling over padding is only defined for one length: that of the longest text of the batch.
        budget = TOKENS_PER_BATCH if self.config.pool == "masked" else 1 << 62
        found = run_by_length(
            self._run_texts(tokens), self.trunk.embed(moved), moved["mask"], lengths_T, budget
        )
        return TextViews(**found, mask=moved["mask"] if tokens else None)

    def read(self, embedded_TL: Tensor, mask_TL: Tensor) -> Tensor:
        """Unit vectors [T, J] of what `trunk.embed` gave, in one piece instead of buckets."""
        return self._run_texts(False)(embedded_TL, mask_TL)["vector"]

    def teach(self, source: TextViews, target: TextViews) -> Tensor:
        """Teacher vectors [N, J]: target content seen from the source, beside the target itself (3.2)."""
        assert source.projected is not None and target.projected is not None
        assert source.mask is not None and target.mask is not None
        crossed_NLH = self.attention.cross(source.projected, target.projected, target.mask)
        if self.config.teacher_pool == "cross_only":
            return self._head(crossed_NLH, source.mask)
        both_NLH = torch.cat([crossed_NLH, target.projected], dim=1)
        return self._head(both_NLH, torch.cat([source.mask, target.mask], dim=1))

    def _standard(self, features: Tensor) -> Tensor:
        return (features - self.feature_mean) * self.feature_scale

    def _run_texts(self, tokens: bool) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
        def run(embedded: Tensor, mask_TL: Tensor) -> dict[str, Tensor]:
            trunk_TLH = self.trunk(embedded, mask_TL)
            positions_LH = self.positions.weight[: mask_TL.shape[1]]
            projected_TLH = self.position_norm(self.project(trunk_TLH) + positions_LH)
            projected_TLH = F.dropout(projected_TLH, self.config.dropout, self.training)
            states_TLH = self.attention(projected_TLH, mask_TL)
            found = {"vector": self._head(states_TLH, mask_TL), "pooled": self._pool(trunk_TLH, mask_TL)}
            kept = {"projected": projected_TLH, "trunk": trunk_TLH, "states": states_TLH}
            return found | (kept if tokens else {})

        return run

    def _pool(self, states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        return masked_mean(states_NLH, mask_NL) if self.config.pool == "masked" else states_NLH.mean(1)

    def _head(self, states_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        vector: Tensor = self.text_head(self._pool(states_NLH, mask_NL))
        return vector


def unique_texts(texts: Sequence[str]) -> tuple[list[str], Tensor]:
    """List the different texts in order of first appearance, and for each text its row among them."""
    different, row_of_text = unique(texts)
    return different, torch.tensor(row_of_text, dtype=torch.long)
