"""The batches of a run: its order, and the texts of each step. Both follow from seed and step number alone,
but for captions that learned labels (`labels`) leave out.

So a resumed run sees what the uninterrupted one would have seen, without any stored state. Items that look
alike may stand side by side, so that the hardest negatives of a text are in its own step: mining by frozen
vectors, as NegCLIP (arXiv 2210.01936, section 4) does, costs nothing while training.

U units (source captions, or images with all their captions), T texts, B different items. Of near items: I
items, N near ones each, D width of the vectors.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.grouping import unique
from dragoman.objectives.contract import Batch
from dragoman.records import ROLES
from dragoman.training.augment import Augmentation
from dragoman.training.config import TrainConfig
from dragoman.training.labels import LabelMemory
from dragoman.training.samples import Choice, Samples, Target

HUMAN, MT, BACK = (ROLES.index(role) for role in ("human", "mt", "back"))
NEAREST = 8
"""N: where many items are close to one, its own units are soon used up."""
BLOCK = 1024


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
    number: Tensor
    """[T] of machine captions `Choice.number`; -1 for other texts."""
    whole: list[str] | None = None
    """The captions of `texts` with all their words, where a frozen sentence encoder reads them; texts of
    different captions then count as different."""
    languages: list[str] | None = None
    """Languages of `texts`, where the text encoder has parts for each; equal texts in two languages then
    count as different."""


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
    labels: LabelMemory | None = None
    """Labels in the place of trust, as they are when a step is drawn."""

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
        # A generator for each step, so that a resumed run need not draw what came before.
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
        # All share one generator: captions, languages, then texts, a language after the other. The order of
        # draws is part of what a seed means.
        captions = [self._draw_caption(self.units[unit], draws) for unit in units]
        languages = [self._draw_languages(self.units[unit], draws) for unit in units]
        items = list(dict.fromkeys(samples.item_id[caption] for caption in captions))
        row_of_item = {item_id: row for row, item_id in enumerate(items)}
        pair_of = {caption: number for number, caption in enumerate(captions)}
        texts: list[str] = []
        wholes: list[str] = []
        columns: list[tuple[int, int, int, int, float, int]] = []

        def add(
            caption: int, lang: int, role: int, text: str, choice: Choice | None, whole: str | None = None
        ) -> None:
            texts.append(self.augmentation.drop_words(text, draws))
            wholes.append(text if whole is None else whole)
            pair = pair_of.setdefault(caption, len(pair_of))
            number = choice.number if choice is not None and role == MT else -1
            item = row_of_item[samples.item_id[caption]]
            columns.append((item, pair, lang, role, self._trust(choice), number))

        for caption, chosen in zip(captions, languages, strict=True):
            if 0 in chosen:
                add(caption, 0, HUMAN, samples.source_text[caption], None)
        # Units stand in random order, so the first ones are a random share.
        with_back = round(config.back_share * len(units)) if self.back else 0
        for lang, target in enumerate(samples.targets, start=1):
            drawn: list[tuple[int, Choice]] = []
            for number, unit in enumerate(units):
                if lang not in languages[number]:
                    continue
                caption = self._translated(target, captions[number], self.units[unit], draws)
                choices = self._choices(target, caption)
                choice = choices[int(draws.integers(len(choices)))]
                text, role = choice.text, HUMAN if choice.human else MT
                if not choice.human:
                    text = self.augmentation.vary_target(text, samples.source_text[caption], lang - 1, draws)
                add(caption, lang, role, text, choice, choice.text)
                if number < with_back:
                    drawn.append((caption, choice))
            for caption, choice in drawn:
                if choice.back is not None:
                    add(caption, 0, BACK, choice.back, choice)
        items += self._draw_items(set(items), draws)
        item_, pair_, lang_, role_, trust, number_ = (list(column) for column in zip(*columns, strict=True))
        tags = (config.source, *(target.lang for target in samples.targets))
        told = [tags[lang] if config.text.by_language else "" for lang in lang_]
        wholes = wholes if config.reads_whole else texts
        different, row_of_text = unique(list(zip(texts, wholes, told, strict=True)))
        scores = torch.tensor(trust, dtype=torch.float32)
        return Step(
            texts=[text for text, _, _ in different],
            row_of_text=torch.tensor(row_of_text, dtype=torch.long),
            whole=[whole for _, whole, _ in different] if config.reads_whole else None,
            languages=[lang for _, _, lang in different] if config.text.by_language else None,
            batch=Batch(
                item=torch.tensor(item_),
                pair=torch.tensor(pair_),
                lang=torch.tensor(lang_),
                role=torch.tensor(role_),
                weight=config.trust.weights(scores),
                confidence=config.trust.confidences(scores),
                languages=tags,
            ),
            items=items,
            source_of_pair=[samples.source_text[caption] for caption in pair_of],
            number=torch.tensor(number_),
        )

    def _draw_items(self, taken: set[str], draws: Generator) -> list[str]:
        """Items for `extra_images`, fewer where there are not so many others."""
        count = self.config.extra_images
        if not count:
            return []
        # Enough are left when those in the step already are passed over.
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
            if any(self._choices(target, caption) for caption in unit)
        ]
        present = [0, *present] if config.source_part == "drawn" else present
        if config.draw is not None and len(present) > config.draw:
            present = [present[at] for at in draws.permutation(len(present))[: config.draw]]
        return {0, *present} if config.source_part == "always" else set(present)

    def _translated(self, target: Target, caption: int, unit: list[int], draws: Generator) -> int:
        """The caption itself where it is translated, else another of its image that is."""
        if self._choices(target, caption):
            return caption
        others = [other for other in unit if self._choices(target, other)]
        return others[int(draws.integers(len(others)))]

    def _choices(self, target: Target, caption: int) -> tuple[Choice, ...]:
        """The translations of a caption, but for those whose labels are too low by now."""
        choices = target.choices[caption]
        return choices if self.labels is None else self.labels.kept(choices)

    def _trust(self, choice: Choice | None) -> float:
        if choice is None:
            return 1.0
        return choice.trust if self.labels is None else self.labels.of(choice)


def nearest_items(features: FeatureSet, item_ids: Sequence[str]) -> NDArray[np.int64]:
    """[I, N] of each item those that look most alike, by place in `item_ids`, the nearest first.

    By the cosine of vectors less the mean of all; a video is the mean of its frames. Takes time in I² D and
    memory in I D; fewer than N where there are not so many others.
    """
    rows_I = features.rows(item_ids)
    vectors_ID = np.empty((len(rows_I), features.width), np.float32)
    for start in range(0, len(rows_I), BLOCK):
        seen = np.asarray(features.whole(rows_I[start : start + BLOCK]), np.float32)
        # Frames that are not there are NaN.
        vectors_ID[start : start + BLOCK] = np.nanmean(seen, axis=1) if seen.ndim == 3 else seen
    # Vectors of a tower share a large part, which would bring all cosines near to 1.
    vectors_ID -= vectors_ID.mean(axis=0)
    vectors_ID /= np.maximum(np.linalg.norm(vectors_ID, axis=1, keepdims=True), 1e-9)
    count = min(NEAREST, len(rows_I) - 1)
    found_IN = np.empty((len(rows_I), count), np.int64)
    if not count:
        return found_IN
    for start in range(0, len(rows_I), BLOCK):
        cosine_BI = vectors_ID[start : start + BLOCK] @ vectors_ID.T
        places_B = np.arange(len(cosine_BI))
        cosine_BI[places_B, start + places_B] = -np.inf  # itself
        some_BN = np.argpartition(-cosine_BI, count - 1, axis=1)[:, :count]
        nearness_BN = np.take_along_axis(cosine_BI, some_BN, axis=1)
        order_BN = np.argsort(-nearness_BN, axis=1, kind="stable")
        found_IN[start : start + BLOCK] = np.take_along_axis(some_BN, order_BN, axis=1)
    return found_IN


def side_by_side(
    order_U: NDArray[np.int64], item_U: NDArray[np.int64], nearest_IN: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The same units, each followed by the next one of the nearest item that has any left.

    item_U: the item of each unit. Units whose near items are used up follow one another as before.
    """
    waiting: list[deque[int]] = [deque() for _ in nearest_IN]
    for unit in order_U.tolist():
        waiting[item_U[unit]].append(unit)
    found = []
    for unit in order_U.tolist():
        own = waiting[item_U[unit]]
        # Units of an item are used in their order, so that one which is not at the head has been.
        if not own or own[0] != unit:
            continue
        found.append(own.popleft())
        partner = next((waiting[near] for near in nearest_IN[item_U[unit]] if waiting[near]), None)
        if partner is not None:
            found.append(partner.popleft())
    return np.array(found, np.int64)
