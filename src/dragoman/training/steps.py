"""The order of a run and the texts of a step; both follow from seed and step number alone.

So a resumed run sees what the uninterrupted one would have seen, without any stored state. U units (source
captions, or images with all their captions), T texts, B different items.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from dragoman.errors import UserError
from dragoman.models.dual import unique_texts
from dragoman.objectives.contract import Batch
from dragoman.records import ROLES
from dragoman.training.augment import Augmentation
from dragoman.training.config import TrainConfig
from dragoman.training.hard_negatives import side_by_side
from dragoman.training.samples import Choice, Samples

HUMAN, MT, BACK = (ROLES.index(role) for role in ("human", "mt", "back"))


@dataclass(frozen=True, kw_only=True)
class Step:
    """All a step needs, on the CPU."""

    texts: list[str]
    """The different texts."""
    row_of_text: Tensor
    """[T] row of each text among the different ones."""
    batch: Batch
    items: list[str]
    """B item ids, those with captions first."""
    source_of_pair: list[str]
    """The source caption of each pair, with all its words."""


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Draws the steps of a run."""

    samples: Samples
    config: TrainConfig
    back: bool
    """True where back-translations join a step."""
    augmentation: Augmentation
    nearest: NDArray[np.int64] | None = None
    """[I, N] items that look alike, by place among the different ones, where they shall share steps."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps; what is left at the end of an epoch and fills no step is taken in by another
        shuffle."""
        if self.config.captions_per_step is None:
            return max(1, len(self.units) // self.config.batch_size)
        return max(1, int(self._sizes.sum() // self.config.captions_per_step))

    @cached_property
    def units(self) -> list[list[int]]:
        """Source captions by number, alone or together with the others of their image."""
        if self.config.unit == "caption":
            return [[caption] for caption in range(len(self.samples))]
        of_item: dict[str, list[int]] = {}
        for caption, item_id in enumerate(self.samples.item_id):
            of_item.setdefault(item_id, []).append(caption)
        return list(of_item.values())

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        """Captions that each unit brings into a step; back-translations by their share."""
        config, targets = self.config, self.samples.targets
        present_UK = np.array(
            [[any(target.choices[c] for c in unit) for target in targets] for unit in self.units], bool
        ).reshape(len(self.units), len(targets))
        languages_U = present_UK.sum(1) + (config.source_part == "drawn")
        if config.draw is not None:
            languages_U = np.minimum(languages_U, config.draw)
        backs_U = config.back_share * present_UK.sum(1) if self.back else 0.0
        sizes_U: NDArray[np.float64] = languages_U + (config.source_part == "always") + backs_U
        return sizes_U

    def __post_init__(self) -> None:
        budget = self.config.captions_per_step
        if budget is not None and budget < self._sizes.max():
            raise UserError(
                f"captions_per_step is {budget}, but one {self.config.unit} brings up to "
                f"{math.ceil(self._sizes.max())}. Give room for several: --set captions_per_step=384"
            )

    def step(self, number: int) -> Step:
        """Step `number` of the run, counted from 0."""
        epoch, position = divmod(number, self.steps_per_epoch)
        draws = np.random.default_rng([self.config.seed, epoch, position])
        return self._build(self._units_of(epoch, position), draws)

    def _units_of(self, epoch: int, position: int) -> list[int]:
        config = self.config
        order_U = self._order(epoch)
        if config.captions_per_step is None:
            chosen = order_U[position * config.batch_size : (position + 1) * config.batch_size]
        else:
            sizes_U = self._sizes[order_U]
            # A unit belongs to the step in whose budget its first caption falls, so that the captions of a
            # step differ from the budget by less than one unit, and nothing adds up over the epoch.
            step_U = ((np.cumsum(sizes_U) - sizes_U) // config.captions_per_step).astype(np.int64)
            chosen = order_U[step_U == position]
        return [int(unit) for unit in chosen]

    @cached_property
    def _order(self) -> Callable[[int], NDArray[np.int64]]:
        """The units in the order of an epoch; kept, as every step of the epoch asks for the same."""

        @lru_cache(maxsize=2)
        def order(epoch: int) -> NDArray[np.int64]:
            order_U = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.units))
            if self.nearest is None:
                return order_U
            return side_by_side(order_U, self._item_of_unit, self.nearest)

        return order

    @cached_property
    def _item_of_unit(self) -> NDArray[np.int64]:
        place_of = {item_id: place for place, item_id in enumerate(self.samples.items)}
        return np.array([place_of[self.samples.item_id[unit[0]]] for unit in self.units], np.int64)

    def _build(self, units: list[int], draws: Generator) -> Step:
        config, samples = self.config, self.samples
        captions = [self._draw_caption(self.units[unit], draws) for unit in units]
        languages = [self._draw_languages(self.units[unit], draws) for unit in units]
        items = list(dict.fromkeys(samples.item_id[caption] for caption in captions))
        row_of_item = {item_id: row for row, item_id in enumerate(items)}
        pair_of = {caption: number for number, caption in enumerate(captions)}
        texts: list[str] = []
        columns: list[tuple[int, int, int, int, float]] = []

        def add(caption: int, lang: int, role: int, text: str, trust: float) -> None:
            texts.append(self.augmentation.drop_words(text, draws))
            pair = pair_of.setdefault(caption, len(pair_of))
            columns.append((row_of_item[samples.item_id[caption]], pair, lang, role, trust))

        for caption, chosen in zip(captions, languages, strict=True):
            if 0 in chosen:
                add(caption, 0, HUMAN, samples.source_text[caption], 1.0)
        with_back = round(config.back_share * len(units)) if self.back else 0
        for lang, target in enumerate(samples.targets, start=1):
            role = MT if target.engines else HUMAN
            drawn: list[tuple[int, Choice]] = []
            for number, unit in enumerate(units):
                if lang not in languages[number]:
                    continue
                caption = _translated(target.choices, captions[number], self.units[unit], draws)
                choices = target.choices[caption]
                choice = choices[int(draws.integers(len(choices)))]
                text = choice.text
                if role == MT:
                    text = self.augmentation.vary_target(text, samples.source_text[caption], lang - 1, draws)
                add(caption, lang, role, text, choice.trust)
                if number < with_back:
                    drawn.append((caption, choice))
            for caption, choice in drawn:
                if choice.back is not None:
                    add(caption, 0, BACK, choice.back, choice.trust)
        items += self._draw_items(set(items), draws)
        item, pair, lang_, role_, trust = (list(column) for column in zip(*columns, strict=True))
        different, row_of_text = unique_texts(texts)
        scores = torch.tensor(trust, dtype=torch.float32)
        return Step(
            texts=different,
            row_of_text=row_of_text,
            batch=Batch(
                item=torch.tensor(item),
                pair=torch.tensor(pair),
                lang=torch.tensor(lang_),
                role=torch.tensor(role_),
                weight=config.trust.weights(scores),
                confidence=config.trust.confidences(scores),
                languages=(config.source, *(target.lang for target in samples.targets)),
            ),
            items=items,
            source_of_pair=[samples.source_text[caption] for caption in pair_of],
        )

    def _draw_items(self, taken: set[str], draws: Generator) -> list[str]:
        """Items for `extra_images`, fewer where there are not so many others."""
        count = self.config.extra_images
        if not count:
            return []
        chosen = draws.permutation(len(self.samples.items))[: count + len(taken)].tolist()
        return [item_id for at in chosen if (item_id := self.samples.items[at]) not in taken][:count]

    def _draw_caption(self, unit: list[int], draws: Generator) -> int:
        return unit[int(draws.integers(len(unit)))] if len(unit) > 1 else unit[0]

    def _draw_languages(self, unit: list[int], draws: Generator) -> set[int]:
        """Positions among the languages, the source being 0."""
        config = self.config
        present = [
            lang
            for lang, target in enumerate(self.samples.targets, start=1)
            if any(target.choices[caption] for caption in unit)
        ]
        present = [0, *present] if config.source_part == "drawn" else present
        if config.draw is not None and len(present) > config.draw:
            present = [present[at] for at in draws.permutation(len(present))[: config.draw]]
        return {0, *present} if config.source_part == "always" else set(present)


def _translated(choices: list[tuple[Choice, ...]], caption: int, unit: list[int], draws: Generator) -> int:
    """The caption itself where it is translated, else another of its image that is."""
    if choices[caption]:
        return caption
    others = [other for other in unit if choices[other]]
    return others[int(draws.integers(len(others)))]
