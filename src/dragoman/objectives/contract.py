"""The contract between training and an objective: its declarations, its input and its output.

A module of this package, but for this one and `losses`, is an objective, and its name is the name that a user
gives. It holds

- `Config`, a frozen `ObjectiveConfig`: its settings, and what it declares to training;
- `build(config, width)`, which returns the `Objective`; `width` is H, that of the text trunk's pooled states.
  Where `raw` is among its needs, `build(config, width, joint)`, J as well.

An objective sees tensors and metadata, never a model or a token id, so it can be tested on toy values.

T texts, B items (unique), P pairs, J joint width, H trunk width, L tokens, N drawn images, M hidden words,
V words of the vocabulary, K width of a frozen sentence encoder's vectors; n slots of W, R vision vectors of
an item.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.records import ROLES

NEEDS = (
    *("image", "text", "back", "teacher", "pooled", "tokens", "fused", "anchor", "frozen", "retrieved"),
    *("raw", "raw_image", "semantic", "agnostic", "slots"),
)
"""All that an objective can ask for: fields of `Views`, and "back", back-translations among the texts.

"fused" is drawn by the settings of a `MatchingConfig`, "retrieved" by those of a `MemoryConfig`, so only a
subclass of that asks for it.
"""
BACK = ROLES.index("back")
Teacher = Literal["source", "shuffled", "itself"]
"""Texts that the teacher of a target caption reads beside it: its source caption, that of another pair of the
step, or none, which makes the teacher a second pass over the caption with other dropout."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Settings of an objective, and what it declares: `needs`, `reads_source`, `target_languages`.

    Fields named `…temperature` must lie in [0.001, 0.5] and numbers named `…weight` must be 0 or more; a
    subclass with rules of its own calls `super().__post_init__()` first. Both raise UserError.
    """

    reads_source: ClassVar[bool] = False
    """Source captions must be in every step, also where they cannot move (a run that only adds languages)."""
    target_languages: ClassVar[int | None] = None
    """Number of target languages that a run must learn; None is any number, none included."""
    anchors_learn: ClassVar[bool] = False
    """Anchors pass the image side of the model, as images do, and move with it; otherwise they stay where
    another model put them."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `NEEDS` that this configuration reads; nothing else is computed."""
        return ("image", "text")

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Numbers of leading components of a vector that are trained to stand for it as well."""
        return ()

    @property
    def taught_by(self) -> Teacher:
        """Reading of the teacher, where it is among the needs."""
        return "source"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            # `learn_temperature` is a switch, and a weight may be the name of a rule.
            if isinstance(value, bool | str):
                continue
            if field.name.endswith("temperature") and not 0.001 <= value <= 0.5:
                raise UserError(f"{field.name} must lie in [0.001, 0.5], got {value}")
            # Written so that NaN is refused as well.
            if field.name.endswith("weight") and not value >= 0:
                raise UserError(f"{field.name} must be 0 or more, got {value}")


@dataclass(frozen=True, kw_only=True)
class MatchingConfig(ObjectiveConfig):
    """Settings of an objective with terms of the fusion encoder: matching with hard negatives (MITM) and
    masked word modelling (CMLM) of 1-to-K (arXiv 2406.18254). Both are off until they have a weight.

    Training draws which texts and images are fused, fuses them, and hands out the view `fused`.
    """

    mitm_weight: float = 0.0
    """Weight of matching texts and images in the fusion encoder, with hard negatives."""
    cmlm_weight: float = 0.0
    """Weight of predicting hidden words of a caption from the rest and its image, in the fusion encoder."""
    positive_language: Literal["released", "uniform", "similarity"] = "released"
    """Choice of the caption that is fused with its image: `released` favours those that hold little of the
    image's softmax over all texts, `similarity` those less like the image than its other captions."""
    sampling_temperature: float = 0.07
    """Divisor of the similarities that captions and negatives are drawn by."""
    learned_sampling: bool = False
    """Draw by the temperature that the contrast learns in place of it, as released."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `NEEDS` that this configuration reads; `fused` where a term reads it."""
        return (*super().needs, "fused") if self.fused_weights else super().needs

    @property
    def fused_weights(self) -> dict[str, float]:
        """Weights of the terms that are on."""
        weights = {"mitm": self.mitm_weight, "cmlm": self.cmlm_weight}
        return {name: weight for name, weight in weights.items() if weight}


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(ObjectiveConfig):
    """Settings of an objective that reads what captions find among other texts and images, which need be no
    pairs (uCLIP, arXiv 2511.13036). Training asks the memories, and hands out the view `retrieved`.
    """

    anchors_learn: ClassVar[bool] = True
    memory: int = 20_000
    """Captions of the target languages, and images, that a caption is compared with; fewer where there are
    not so many."""
    memory_temperature: float = 0.01
    """Divisor of the similarities by which what is found is mixed."""
    noise: float = 0.004
    """Variance of the noise in each component of a vector of unit length, before it is read; 0 adds none. In
    512 components the released 0.004 is longer than the vector."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The part of `NEEDS` that this configuration reads; nothing else is computed."""
        return (*super().needs, "anchor", "retrieved")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory < 1:
            raise UserError(f"loss.memory must be at least 1, got {self.memory}")
        if not self.noise >= 0:
            raise UserError(f"loss.noise must be 0 or more, got {self.noise}")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Metadata of the texts of a step, one entry a text, on the device of the views.

    A pair is one source caption of one item; its translations and back-translations share its number. The
    source caption itself may be absent.
    """

    item: Tensor
    """[T] row of the text's item among the views' images."""
    pair: Tensor
    """[T] number of the source caption."""
    lang: Tensor
    """[T] position in `languages`."""
    role: Tensor
    """[T] position in `records.ROLES`."""
    weight: Tensor | None = None
    """[T] above 0, how much each text counts; None is 1 for all."""
    confidence: Tensor | None = None
    """[T] in 0..1, how surely each text belongs to its item; None is 1 for all."""
    languages: tuple[str, ...]
    """The source language first."""
    done: float = 0.0
    """Share of the run's steps that were taken before this one, for what changes in its course."""

    def rows(self, lang: int, *, back: bool = False) -> Tensor:
        """Return the rows of the captions of one language, or of its back-translations, by ascending pair.

        The order makes source, translation and back-translation of a pair line up.
        """
        chosen = (self.lang == lang) & ((self.role == BACK) == back)
        rows = chosen.nonzero().squeeze(1)
        return rows[torch.argsort(self.pair[rows], stable=True)]

    def captions(self) -> Tensor:
        """Return the rows of all texts but back-translations."""
        return (self.role != BACK).nonzero().squeeze(1)

    def weights(self, rows: Tensor) -> Tensor:
        """Return how much each of some texts counts, [R]."""
        if self.weight is None:
            return torch.ones(len(rows), device=rows.device)
        return self.weight[rows]

    def confidences(self, rows: Tensor) -> Tensor | None:
        """Return how surely each of some texts belongs to its item, [R]; None is 1 for all."""
        return None if self.confidence is None else self.confidence[rows]

    def sources(self, rows: Tensor) -> Tensor:
        """Return for each of some texts the row of its source caption, [R]; else of another source caption of
        its item, else of the text itself. A source caption is its own.
        """
        source = self.rows(0)
        if not len(source):
            return rows
        # The own pair counts more than the item alone; argmax takes the first of equals.
        fit_RS = (self.item[rows][:, None] == self.item[source][None, :]).long()
        fit_RS = fit_RS + (self.pair[rows][:, None] == self.pair[source][None, :]).long()
        best_R, at_R = fit_RS.max(1)
        human_R = (self.lang[rows] == 0) & (self.role[rows] != BACK)
        return torch.where((best_R > 0) & ~human_R, source[at_R], rows)


@dataclass(frozen=True, kw_only=True)
class Fused:
    """Logits of the fusion encoder for a step; a term that is off has None."""

    match_logits: Tensor | None = None
    """[3N, 2] of not matching and of matching: N pairs that match, then 2N that do not."""
    match_labels: Tensor | None = None
    """[3N] 1 for pairs that match."""
    word_logits: Tensor | None = None
    """[M, V]"""
    word_labels: Tensor | None = None
    """[M]"""


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """Texts and images that texts find in the memories, mixed into one vector each, and read by the model."""

    text: Tensor
    """[T, J] among captions of the target languages, by the sentence encoder; unit length."""
    image: Tensor
    """[T, J] among images, by the anchor of the text; unit length."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Slots of the images of a step: their descriptions, compressed (`models.slots`)."""

    described: Tensor
    """[B] true where an item has a description; what the slots of others hold is of no account."""
    states: Tensor
    """[B, n, W] slots before they met the image."""
    joint: Tensor
    """[B, n, J] slots afterwards, in the space of the texts, not of unit length."""
    slot_sides: Tensor
    """[B, n, W] projections of the slots before they met the image, …"""
    vision_sides: Tensor
    """[B, R, W] … and of the vision vectors, which are to agree with those of their own item."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """Vectors of one step; what no objective asked for is None."""

    image: Tensor
    """[B, J], unit length."""
    text: Tensor
    """[T, J], unit length."""
    sentence: Tensor | None = None
    """[T, J] where the sentence side alone puts a text, of a model with two sides."""
    words: Tensor | None = None
    """[T, J] where the word side alone puts it."""
    teacher: Tensor | None = None
    """[P, J] teacher vectors of the target captions, in the order of `batch.rows(1)`."""
    pooled: Tensor | None = None
    """[T, H] pooled states of the text trunk."""
    tokens: Tensor | None = None
    """[T, L, H] states of the text trunk."""
    mask: Tensor | None = None
    """[T, L] true at real tokens; comes with `tokens`."""
    fused: Fused | None = None
    """Logits of the fusion encoder, for some captions and negatives of the step."""
    anchor: Tensor | None = None
    """[T, J] where a text belongs, of unit length: where another model puts it, or the source caption of its
    pair."""
    frozen: Tensor | None = None
    """[T, K] where a frozen sentence encoder puts the texts with all their words, of unit length."""
    raw: Tensor | None = None
    """[T, J] `text` before it was scaled to unit length."""
    raw_image: Tensor | None = None
    """[B, J] `image` before it was scaled to unit length, without gradient."""
    semantic: Tensor | None = None
    """[T, J] the part of what adapters are conditioned on that shall tell what a text says."""
    agnostic: Tensor | None = None
    """[T, H] the part that shall tell nothing of it."""
    slots: Slots | None = None
    """Slots of the images, which read their descriptions."""
    retrieved: Retrieved | None = None
    """Texts and images that the texts find in the memories."""


class Objective(nn.Module):
    """Named scalar terms of a step and their weights; `forward(views, batch)` gives the terms, unweighted.

    A term that is switched off, or that a step has no texts for, is absent. An objective with an opponent (a
    language discriminator) names its parameters in `opponent` and trains it on `opponent_loss`, in a step and
    with an optimizer of its own.
    """

    weights: Mapping[str, float]

    @property
    def opponent(self) -> nn.Module | None:
        """The module that the second optimizer trains."""
        return None

    @property
    def learned_temperature(self) -> Tensor | None:
        """The divisor of similarities that the contrast has learned so far, without gradient; None where it
        has none."""
        return None

    def opponent_loss(self, views: Views, batch: Batch) -> Tensor:
        """Return what the opponent minimises; its inputs are detached."""
        raise NotImplementedError

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum that training minimises."""
        # In the order of the terms, not of their names: the last bits of a run depend on it.
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()


class ObjectiveModule(Protocol):
    """A module of this package that is an objective."""

    Config: type[ObjectiveConfig]

    def build(self, config: Any, width: int) -> Objective:
        """Return the objective; `width` is that of the pooled trunk states."""
