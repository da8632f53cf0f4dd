"""What an objective sees: tensors and metadata, never a model or a token id.

A file of this package is an objective: a frozen `Config` whose `needs` names the views it reads, the tuple
`NEEDS` of all it can ask for, and `build(config, width)`. Besides the fields of `Views`, "back" asks for
back-translations among the texts.

T texts, B items (unique), P pairs, J joint width, H trunk width, L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dragoman.objectives._matching import Fused
from dragoman.records import ROLES


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

    def rows(self, lang: int, *, back: bool = False) -> Tensor:
        """Rows of the captions of one language, or of its back-translations, by ascending pair.

        The order makes source, translation and back-translation of a pair line up.
        """
        chosen = (self.lang == lang) & ((self.role == ROLES.index("back")) == back)
        rows = chosen.nonzero().squeeze(1)
        return rows[torch.argsort(self.pair[rows], stable=True)]

    def captions(self) -> Tensor:
        """Rows of all texts that are no back-translations."""
        return (self.role != ROLES.index("back")).nonzero().squeeze(1)

    def weights(self, rows: Tensor) -> Tensor:
        """[R] what each of some texts counts."""
        if self.weight is None:
            return torch.ones(len(rows), device=rows.device)
        return self.weight[rows]

    def sources(self, rows: Tensor) -> Tensor:
        """[R] for each of some texts the row of its source caption, else of another source caption of its
        item, else of the text itself; a source caption is its own.
        """
        source = self.rows(0)
        if not len(source):
            return rows
        # The own pair counts more than the item alone; argmax takes the first of equals.
        fit_RS = (self.item[rows][:, None] == self.item[source][None, :]).long()
        fit_RS = fit_RS + (self.pair[rows][:, None] == self.pair[source][None, :]).long()
        best_R, at_R = fit_RS.max(1)
        human_R = (self.lang[rows] == 0) & (self.role[rows] != ROLES.index("back"))
        return torch.where((best_R > 0) & ~human_R, source[at_R], rows)


@dataclass(frozen=True, kw_only=True)
class Views:
    """Vectors of one step; what no objective asked for is None."""

    image: Tensor
    """[B, J], unit length."""
    text: Tensor
    """[T, J], unit length."""
    teacher: Tensor | None = None
    """[P, J] teacher vectors of the target captions, in the order of `batch.rows(1)`."""
    pooled: Tensor | None = None
    """[T, H] pooled states of the text trunk."""
    tokens: Tensor | None = None
    """[T, L, H] states of the text trunk."""
    mask: Tensor | None = None
    """[T, L] true at real tokens."""
    fused: Fused | None = None
    """Logits of the fusion encoder, for some captions and negatives of the step."""
    anchor: Tensor | None = None
    """[T, J] where a model that was trained before puts a text, or the source caption of its pair."""


class Objective(nn.Module):
    """Named scalar terms of a step and their weights; `forward(views, batch)` gives the terms, unweighted.

    An objective with an opponent (a language discriminator) names its parameters in `opponent` and trains
    it on `opponent_loss`, in a step and with an optimizer of its own.
    """

    weights: Mapping[str, float]

    @property
    def opponent(self) -> nn.Module | None:
        """The module that the second optimizer trains."""
        return None

    def opponent_loss(self, views: Views, batch: Batch) -> Tensor:
        """What the opponent minimises; its inputs are detached."""
        raise NotImplementedError

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum that training minimises."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
