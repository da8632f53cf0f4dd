"""The fusion encoder: reads a text and the regions of an image together.

It says whether the two belong together (match head), and which word was hidden (word head). An optional
module of the dual encoder; 1-to-K contrastive learning (arXiv 2406.18254) uses it in training and for
re-ranking. Layers are self-attention over the text, cross-attention from the text to the regions, and a
feed-forward part, each behind a norm.

N pairs of text and image, T texts, L tokens, R regions, B images, D width of the vision vectors, H hidden
width, M hidden words, V words of the vocabulary, W width of the word vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.models.attention import masked_mean, run_by_length

LEAN = 10.0
"""Scale of slope and offset of the cosine, so that they move as fast as other parameters."""


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Shape of the fusion encoder. It is built only where an objective reads the view `fused`."""

    layers: int = 2
    heads: int = 4
    feed_forward: int = 512
    dropout: float = 0.1
    pool: Literal["mean", "first"] = "mean"
    """Input of the match head: the masked mean of the fused tokens, or the first token."""
    words: int = 8000
    """Most frequent words that can be predicted where they are hidden. With a Hugging Face text encoder all
    tokens can."""

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "feed_forward", "words"):
            if getattr(self, name) < 1:
                raise UserError(f"fusion.{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"fusion.dropout must lie in [0, 1), got {self.dropout}")


class Fusion(nn.Module):
    """Token states and regions in, fused token states out; two heads read them."""

    def __init__(
        self, config: FusionConfig, width: int, *, regions: int, region_width: int, frames: bool = False
    ) -> None:
        """With `frames`, the regions of a video are its frames, at most so many, and absent ones are NaN."""
        super().__init__()
        if width % config.heads:
            raise UserError(f"dual.hidden {width} must be a multiple of fusion.heads {config.heads}")
        self.config = config
        self.regions = regions
        self.frames = frames
        self.region_in = nn.Sequential(nn.Linear(region_width, width), nn.LayerNorm(width))
        # Where a region lies: without it, "left of" could not be read from a grid.
        self.places = nn.Parameter(0.02 * torch.randn(regions, width))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width,
                config.heads,
                config.feed_forward,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        verdict = nn.Linear(2 * width, 2)
        # Next to nothing at first: re-ranking begins with the order of the dual encoder.
        nn.init.normal_(verdict.weight, std=0.002)
        self.match_head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), verdict
        )
        self.lean = nn.Parameter(torch.tensor([1.0, -0.3]))

    def read(self, regions_BRD: Tensor) -> Tensor:
        """Memory of each image that texts attend to, [B, R, H]; absent frames of videos stay NaN."""
        places_RH = self.places[: regions_BRD.shape[1]]
        if not self.frames:
            memory_BRH: Tensor = self.region_in(regions_BRD) + places_RH
            return memory_BRH
        absent_BR1 = regions_BRD[..., :1].isnan()
        # Through the projection, NaN would reach the gradient of its weights.
        memory_BRH = self.region_in(regions_BRD.masked_fill(absent_BR1, 0.0)) + places_RH
        return memory_BRH.masked_fill(absent_BR1, torch.nan)

    def forward(self, states_NLH: Tensor, mask_NL: Tensor, memory_NRH: Tensor) -> Tensor:
        """Fused token states [N, L, H]; those of padding are garbage."""
        absent_NR = None
        if self.frames:
            absent_NR = memory_NRH[..., 0].isnan()
            memory_NRH = memory_NRH.masked_fill(absent_NR.unsqueeze(-1), 0.0)
        for layer in self.layers:
            states_NLH = layer(
                states_NLH, memory_NRH, tgt_key_padding_mask=~mask_NL, memory_key_padding_mask=absent_NR
            )
        fused_NLH: Tensor = self.norm(states_NLH)
        return fused_NLH

    def match(self, fused_NLH: Tensor, mask_NL: Tensor) -> Tensor:
        """Logits [N, 2] of not belonging and of belonging together."""
        # Place 0 is a real token in every text: padding is on the right.
        pooled_NH = masked_mean(fused_NLH, mask_NL) if self.config.pool == "mean" else fused_NLH[:, 0]
        logits_N2: Tensor = self.match_head(pooled_NH)
        return logits_N2

    def match_pairs(
        self,
        states_TLH: Tensor,
        mask_TL: Tensor,
        text_N: Tensor,
        memory_BRH: Tensor,
        image_N: Tensor,
        cosine_N: Tensor,
    ) -> Tensor:
        """Logits of `match`, of text `text_N[n]` with image `image_N[n]`, texts of similar length together.

        What the dual encoder says of a pair, a line in the cosine of its two vectors, is added to the match:
        the fusion encoder learns where the dual encoder errs, which a short training can teach. From
        nothing, cross-attention stays at chance for hundreds of steps.
        """

        def run(row_NL: Tensor, mask_NL: Tensor) -> dict[str, Tensor]:
            row_N, length = row_NL[:, 0], mask_NL.shape[1]
            states_NLH = states_TLH[text_N[row_N], :length]
            return {"match": self.match(self(states_NLH, mask_NL, memory_BRH[image_N[row_N]]), mask_NL)}

        mask_NL = mask_TL[text_N]
        # Rows instead of states: nothing is copied but what a bucket holds.
        row_NL = torch.arange(len(text_N), device=text_N.device)[:, None].expand_as(mask_NL)
        logits_N2 = run_by_length(run, row_NL, mask_NL, mask_NL.sum(1).cpu())["match"]
        slope, offset = LEAN * self.lean
        return logits_N2 + F.pad((slope * cosine_N + offset)[:, None], (1, 0))


class WordHead(nn.Module):
    """Logits of hidden words: dense, GELU, norm, and the vectors of the words themselves as decoder."""

    def __init__(self, width: int, table_VW: Tensor) -> None:
        super().__init__()
        self.dense = nn.Linear(width, table_VW.shape[1])
        self.norm = nn.LayerNorm(table_VW.shape[1])
        # Logits of deviation 1 to begin with, however long the word vectors are.
        scale = 1 / (float(table_VW.detach().std()) * math.sqrt(table_VW.shape[1]))
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, fused_MH: Tensor, table_VW: Tensor) -> Tensor:
        """[M, V]."""
        logits_MV: Tensor = self.norm(nn.functional.gelu(self.dense(fused_MH))) @ table_VW.T
        return logits_MV
