"""CL2CM: from cross-lingual to cross-modal (arXiv 2312.08984). A network of texts alone, for which source and
target captions are an easy match, teaches which target captions lie near to which source captions.

No code was published: the forms of its losses are those of the shared description of the method. R target
captions, S source captions, L tokens, W width of the network of texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, ObjectiveConfig, Views
from dragoman.objectives.losses.contrast import LanguagesApart, Temperature, bridge, softmax_contrast
from dragoman.objectives.losses.distil import relational_transfer
from dragoman.objectives.losses.transport import (
    alignment_loss,
    cosine_cost,
    mutual_pairs,
    sinkhorn,
    weighted_mean,
)


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    """The cross-lingual network learns beside the model, or is a frozen sentence encoder."""

    network: Literal["own", "frozen"] = "own"
    """`own`: layers over the states of the text encoder, which learn by the terms `sentence` and `word`, and
    which a finished model has not. `frozen`: the vectors that the run setting `frozen` names."""
    teacher: Literal["source", "shuffled"] = "source"
    """`shuffled` is a control that teaches a target caption the row of another one."""
    temperature: float = 0.07
    """Divisor of similarities in the contrasts, at the start."""
    learn_temperature: bool = True
    source_weight: float = 1.0
    target_weight: float = 1.0
    sentence_weight: float = 1.0
    """Weight of the contrast of source captions and translations in the own network."""
    word_weight: float = 0.1
    """Weight of the words that its transport aligns."""
    distil_weight: float = 1.0
    """Weight of the divergence of the model's similarities from those of the network, both ways."""
    distil_temperature: float = 0.1
    """Divisor of similarities on both sides of it."""
    word_loss: Literal["pairs", "plan"] = "pairs"
    """`pairs`: tokens that give each other most of their mass find each other by queries and keys; `plan`:
    the cost of the transport itself."""
    width: int = 256
    """W of the own network."""
    epsilon: float = 0.1
    """Weight of the entropy of the transport; the smaller, the sharper, and the longer it takes."""
    tolerance: float = 1e-4
    """Largest error of the mass of a token, with which a transport is found."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `NEEDS` that this configuration reads; nothing else is computed."""
        return (*super().needs, "tokens" if self.network == "own" else "frozen")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "epsilon", "tolerance"):
            if not getattr(self, name) > 0:
                raise UserError(f"loss.{name} must be above 0, got {getattr(self, name)}")


class CrossLingual(nn.Module):
    """The own network: states of tokens, and queries and keys by which words find one another."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, inner)
        self.query, self.key = nn.Linear(inner, inner), nn.Linear(inner, inner)

    def forward(self, tokens_TLH: Tensor, mask_TL: Tensor) -> tuple[Tensor, Tensor]:
        """States [T, L, W], and sentence vectors [T, W] of unit length, their mean."""
        states_TLW = self.enter(tokens_TLH)
        # With nothing between mean and tokens, what brings sentences together brings their words together.
        summed_TW = (states_TLW * mask_TL.unsqueeze(2)).sum(1)
        return states_TLW, F.normalize(summed_TW, dim=1)


class CL2CM(LanguagesApart):
    """Terms `source`, `target` and `distil`; of the own network `sentence` and `word` as well."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(config.source_weight, config.target_weight)
        self.config = config
        self.temperature = Temperature(config.temperature, learned=config.learn_temperature)
        self.weights = {**self.weights, "distil": config.distil_weight}
        self.network: CrossLingual | None = None
        if config.network == "own":
            self.network = CrossLingual(width, config.width)
            self.sentence_temperature = Temperature(config.temperature, learned=config.learn_temperature)
            self.weights |= {"sentence": config.sentence_weight, "word": config.word_weight}

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        terms = super().forward(views, batch)
        taught = views.frozen
        if self.network is not None:
            assert views.tokens is not None and views.mask is not None
            states, taught = self.network(views.tokens, views.mask)
            terms |= self._learn_texts(states, views.mask, replace(views, text=taught), batch)
        assert taught is not None
        targets = [_linked(batch, lang) for lang in range(1, len(batch.languages))]
        found = [self._transfer(taught, views, batch, target) for target in targets if len(target)]
        if self.config.distil_weight and found:
            terms["distil"] = torch.stack(found).mean()
        return terms

    def contrast(self, views: Views, batch: Batch, rows: Tensor) -> Tensor:
        return softmax_contrast(views, batch, rows, self.temperature()).symmetric()

    def _learn_texts(
        self, states_TLW: Tensor, mask_TL: Tensor, texts: Views, batch: Batch
    ) -> dict[str, Tensor]:
        """Terms of the own network; `texts` has its sentence vectors in the place of the model's."""
        config, terms = self.config, dict[str, Tensor]()
        tied = bridge(texts, batch, self.sentence_temperature()) if config.sentence_weight else None
        if tied is not None:
            terms["sentence"] = tied.symmetric()
        translated = batch.captions()
        translated = translated[batch.lang[translated] != 0]
        source = batch.sources(translated)
        # A caption of the same item says other words: only the own source caption has those of a translation.
        paired = (batch.pair[source] == batch.pair[translated]) & (source != translated)
        if config.word_weight and paired.any():
            source, translated = source[paired], translated[paired]
            sides = (states_TLW[source], states_TLW[translated], mask_TL[source], mask_TL[translated])
            terms["word"] = self._align(*sides, batch.weights(translated))
        return terms

    def _align(
        self, source_RLW: Tensor, target_RLW: Tensor, source_RL: Tensor, target_RL: Tensor, weight_R: Tensor
    ) -> Tensor:
        config, network = self.config, self.network
        assert network is not None
        cost_RLL = cosine_cost(source_RLW, target_RLW)
        plan_RLL = sinkhorn(
            cost_RLL, source_RL, target_RL, epsilon=config.epsilon, tolerance=config.tolerance
        )
        if config.word_loss == "plan":
            return weighted_mean((plan_RLL * cost_RLL).sum((1, 2)), weight_R)
        logits_RLL = network.query(source_RLW) @ network.key(target_RLW).transpose(1, 2)
        logits_RLL = logits_RLL / math.sqrt(config.width)
        return alignment_loss(logits_RLL, mutual_pairs(plan_RLL), source_RL, target_RL, weight_R)

    def _transfer(self, taught_TW: Tensor, views: Views, batch: Batch, target: Tensor) -> Tensor:
        source = batch.rows(0)
        nearness_RS = taught_TW[target] @ taught_TW[source].T
        if self.config.teacher == "shuffled":
            # Pairs stand in random order, so the next one is any other.
            nearness_RS = nearness_RS.roll(1, 0)
        rows, columns = relational_transfer(
            nearness_RS / self.config.distil_temperature,
            views.text[target] @ views.image.T / self.config.distil_temperature,
            batch.item[source],
            batch.weights(target),
        )
        return rows + columns


def _linked(batch: Batch, lang: int) -> Tensor:
    """Return the rows of the captions of a language whose item has a source caption in the step."""
    rows, source = batch.rows(lang), batch.rows(0)
    return rows[(batch.item[rows][:, None] == batch.item[source][None, :]).any(1)]


def build(config: Config, width: int) -> CL2CM:
    """Return the objective; its own network reads trunk states of `width`."""
    return CL2CM(config, width)
