"""From the frames of a video to one vector: NRCCR's frame encoder, the mean, or a temporal transformer.

A frame that is not there is NaN (`media/frames.py`): it is masked wherever frames meet, so that it never
influences a vector.

B videos, F frames, D width of the vision vectors, H hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.media.frames import MOST_FRAMES
from dragoman.models.attention import SharedAttention, masked_mean, projection


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """Shape of what makes one vector of frames. Used where the feature set holds frames of videos."""

    pooling: Literal["nrccr", "mean", "temporal"] = "nrccr"
    """`nrccr`: projection, positions, one block of attention and the mean; `mean`: the mean of the frames,
    which knows no order; `temporal`: the mean of the frames and of what a transformer over them adds, nothing
    at first, so that it begins as `mean` and keeps the space of the vision vectors."""
    hidden: int = 512
    """H of `nrccr` and `temporal` (1024 in the code of NRCCR); a multiple of `heads`."""
    heads: int = 8
    key_width: int = 256
    """Width of queries and keys over all heads of `nrccr` (512 there)."""
    layers: int = 4
    """Layers of `temporal`."""
    feed_forward: int = 1024
    """Width between the layers of `temporal`."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("hidden", "heads", "key_width", "layers", "feed_forward"):
            if getattr(self, name) < 1:
                raise UserError(f"video.{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"video.dropout must lie in [0, 1), got {self.dropout}")
        if self.hidden % self.heads or self.key_width % self.heads:
            raise UserError(
                f"video.hidden {self.hidden} and video.key_width {self.key_width} must be multiples of "
                f"video.heads {self.heads}"
            )


class FrameEncoder(nn.Module):
    """Frames in, one vector a video out."""

    def __init__(self, config: VideoConfig, frame_width: int, *, released_scale: bool = False) -> None:
        super().__init__()
        self.config = config
        kind = {"nrccr": AttendedFrames, "mean": MeanFrames, "temporal": TemporalFrames}[config.pooling]
        self.pool = kind(config, frame_width, released_scale)
        self.width = config.hidden if config.pooling == "nrccr" else frame_width
        """Width of the vector."""

    def forward(self, frames_BFD: Tensor, mask_BF: Tensor) -> Tensor:
        """[B, width]; what stands at masked frames is of no account, but finite."""
        pooled: Tensor = self.pool(frames_BFD, mask_BF)
        return pooled


class MeanFrames(nn.Module):
    """The mean of the frames."""

    def __init__(self, config: VideoConfig, frame_width: int, released_scale: bool) -> None:
        super().__init__()

    def forward(self, frames_BFD: Tensor, mask_BF: Tensor) -> Tensor:
        return masked_mean(frames_BFD, mask_BF)


class AttendedFrames(nn.Module):
    """Frame encoder of the code of NRCCR: norm, projection, positions, norm, one attention block, mean."""

    def __init__(self, config: VideoConfig, frame_width: int, released_scale: bool) -> None:
        super().__init__()
        self.project = projection(frame_width, config.hidden, config.dropout)
        self.positions = _positions(config.hidden)
        self.position_norm = nn.LayerNorm(config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.attention = SharedAttention(
            config.hidden,
            heads=config.heads,
            key_width=config.key_width,
            dropout=config.dropout,
            released_scale=released_scale,
        )

    def forward(self, frames_BFD: Tensor, mask_BF: Tensor) -> Tensor:
        placed_BFH = self.project(frames_BFD) + self.positions[: mask_BF.shape[1]]
        states_BFH = self.attention(self.dropout(self.position_norm(placed_BFH)), mask_BF)
        return masked_mean(states_BFH, mask_BF)


class TemporalFrames(nn.Module):
    """CLIP4Clip's sequential transformer (arXiv 2104.08860) with projections around it.

    The frames pass by as a residual. The last projection begins at zero, so that training starts from the
    mean of the frames and not from what a random transformer makes of them.
    """

    def __init__(self, config: VideoConfig, frame_width: int, released_scale: bool) -> None:
        super().__init__()
        self.enter = nn.Linear(frame_width, config.hidden)
        self.positions = _positions(config.hidden)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.hidden,
                config.heads,
                config.feed_forward,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.leave = nn.Linear(config.hidden, frame_width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, frames_BFD: Tensor, mask_BF: Tensor) -> Tensor:
        # Absent frames enter as zeros, not as NaN, which a mask of attention would not stop: 0 * NaN is NaN.
        states_BFH = self.enter(frames_BFD) + self.positions[: mask_BF.shape[1]]
        # Of a step with few videos a process may get none, for which PyTorch's layers have no shape.
        for layer in self.layers if len(mask_BF) else ():
            states_BFH = layer(states_BFH, src_key_padding_mask=~mask_BF)
        return masked_mean(frames_BFD + self.leave(self.norm(states_BFH)), mask_BF)


POSITION_SCALE = 0.5
"""That of the frames that positions are added to: with far smaller ones a transformer learns no more than the
mean of the frames for hundreds of steps (benchmarks/motion)."""


def _positions(width: int) -> nn.Parameter:
    """[MOST_FRAMES, width] before training."""
    return nn.Parameter(torch.randn(MOST_FRAMES, width) * POSITION_SCALE)


def present(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames [B, F, D] with zeros where there is none, and where there is one, [B, F].

    A vector [B, D] is a video of one frame. Positions beyond the longest video are cut off.
    """
    frames_BFD = frames.unsqueeze(1) if frames.ndim == 2 else frames
    # One component tells: whoever pads writes NaN into a whole frame, and stored vectors are finite.
    mask_BF = ~frames_BFD[..., 0].isnan()
    longest = max(1, int(mask_BF.any(0).sum()))
    mask_BF = mask_BF[:, :longest]
    return torch.where(mask_BF.unsqueeze(-1), frames_BFD[:, :longest], 0.0), mask_BF
