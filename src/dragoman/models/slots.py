"""Slots that read the description of an item, and meet what is seen of it (LECCR: ACM MM 2024, arXiv
2409.19961).

A description enters as the frozen vectors of its sentences. Learned queries compress them into a few slots;
then vision and slots attend to each other. An item without a description is seen as if there were no slots.

B items, R vision vectors of an item (of an image: the whole, then its regions), D their width; M sentences, H
width of their vectors; n slots, W width of the states, J joint width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dragoman.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SlotConfig:
    """Shape of what reads descriptions. Used where `descriptions` names vectors of their sentences."""

    count: int = 4
    """Slots of an item."""
    sentences: int = 8
    """Sentences of a description that are read, the first ones."""
    width: int = 256
    """Width of vision, sentences and slots where they meet (512 in the released code); a multiple of
    `heads`."""
    heads: int = 8
    layers: int = 3
    """Layers by which slots read the sentences."""
    meeting_layers: int = 2
    """Layers by which vision reads the slots, and the slots vision."""
    dropout: float = 0.1
    query_scale: float = 0.02
    """Deviation of the queries that slots begin with, before training; with 0, as released, all slots begin
    alike."""

    def __post_init__(self) -> None:
        for name in ("count", "sentences", "width", "heads", "layers", "meeting_layers"):
            if getattr(self, name) < 1:
                raise UserError(f"slots.{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"slots.dropout must lie in [0, 1), got {self.dropout}")
        if not self.query_scale >= 0:
            raise UserError(f"slots.query_scale must be 0 or more, got {self.query_scale}")
        if self.width % self.heads:
            raise UserError(f"slots.width {self.width} must be a multiple of slots.heads {self.heads}")


class Met(NamedTuple):
    """Vision and slots after they met."""

    vision: Tensor
    """[B, W] state of the whole image."""
    described: Tensor
    """[B, 1] true where an item has a description; what slots hold of others is of no account."""
    states: Tensor
    """[B, n, W] slots before they met the image."""
    joint: Tensor
    """[B, n, J] slots afterwards, where texts are; not of unit length."""
    slot_sides: Tensor
    """[B, n, W] projected slots, before they met, that are to agree with …"""
    vision_sides: Tensor
    """[B, R, W] … projected vision, before it met."""


class SlotReader(nn.Module):
    """Vision vectors and the sentences of descriptions in, states of both out."""

    def __init__(
        self, config: SlotConfig, *, vision_width: int, regions: int, sentence_width: int, joint: int
    ) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.vision_width, self.regions, self.sentence_width = vision_width, regions, sentence_width
        self.enter = nn.Linear(vision_width, width)
        # Where a region lies; nothing at first, and of a single vector nothing to tell.
        self.places = nn.Parameter(torch.zeros(regions, width)) if regions > 1 else None
        # Sentence encoders give vectors of any length.
        self.read = nn.Sequential(nn.LayerNorm(sentence_width), nn.Linear(sentence_width, width))
        self.queries = nn.Parameter(config.query_scale * torch.randn(config.count, width))
        self.compress = CrossAttention(config, config.layers)
        self.to_vision = CrossAttention(config, config.meeting_layers)
        self.to_slots = CrossAttention(config, config.meeting_layers)
        self.slot_head = nn.Linear(width, joint)
        self.slot_side, self.vision_side = nn.Linear(width, width), nn.Linear(width, width)

    @property
    def packed_width(self) -> int:
        """Width of an item as it is handed over: R D numbers of vision, then M H of its sentences."""
        return self.regions * self.vision_width + self.config.sentences * self.sentence_width

    def parts(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """Vision [B, R, D], and sentences [B, M, H], NaN where there is none."""
        seen = self.regions * self.vision_width
        return (
            torch.unflatten(packed[:, :seen], 1, (self.regions, self.vision_width)),
            torch.unflatten(packed[:, seen:], 1, (self.config.sentences, self.sentence_width)),
        )

    def look(self, vision_BRD: Tensor) -> Tensor:
        """[B, R, W] states of standardised vision vectors."""
        states_BRW: Tensor = self.enter(vision_BRD)
        return states_BRW if self.places is None else states_BRW + self.places[: vision_BRD.shape[1]]

    def forward(self, vision_BRD: Tensor, sentences_BMH: Tensor) -> Met:
        """Let both meet; the state of an item without a description stays, bit for bit, as `look` gave it."""
        present_BM = ~sentences_BMH[..., 0].isnan()
        described_B1 = present_BM.any(1, keepdim=True)
        vision_BRW = self.look(vision_BRD)
        read_BMW = self.read(torch.where(present_BM.unsqueeze(-1), sentences_BMH, 0.0))
        queries_BnW = self.queries.expand(len(read_BMW), -1, -1)
        # A row whose keys were all masked would be NaN; what comes of it is not used.
        slots_BnW = self.compress(queries_BnW, read_BMW, ~present_BM & described_B1)
        met_BW = self.to_vision(vision_BRW, slots_BnW)[:, 0]
        return Met(
            vision=torch.where(described_B1, met_BW, vision_BRW[:, 0]),
            described=described_B1,
            states=slots_BnW,
            joint=self.slot_head(self.to_slots(slots_BnW, vision_BRW)),
            slot_sides=self.slot_side(slots_BnW),
            vision_sides=self.vision_side(vision_BRW),
        )


class CrossAttention(nn.Module):
    """Layers by which states read a memory: attention, then two linear layers, one residual around both, and
    a norm."""

    def __init__(self, config: SlotConfig, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossAttentionLayer(config) for _ in range(layers))

    def forward(self, states_BNW: Tensor, memory_BMW: Tensor, absent_BM: Tensor | None = None) -> Tensor:
        """[B, N, W]; `absent_BM` is true where there is nothing to read."""
        for layer in self.layers:
            states_BNW = layer(states_BNW, memory_BMW, absent_BM)
        return states_BNW


class CrossAttentionLayer(nn.Module):
    """One of these layers."""

    def __init__(self, config: SlotConfig) -> None:
        super().__init__()
        width, dropout = config.width, config.dropout
        self.attention = nn.MultiheadAttention(width, config.heads, dropout, batch_first=True)
        self.feed = nn.Sequential(
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.Dropout(dropout),
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, states_BNW: Tensor, memory_BMW: Tensor, absent_BM: Tensor | None) -> Tensor:
        """[B, N, W]."""
        read_BNW = self.attention(
            states_BNW, memory_BMW, memory_BMW, key_padding_mask=absent_BM, need_weights=False
        )[0]
        normed: Tensor = self.norm(states_BNW + self.feed(read_BNW))
        return normed
