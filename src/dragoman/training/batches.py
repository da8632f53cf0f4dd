"""The order of a run and the texts of a step; both follow from seed and step number alone.

So a resumed run sees what the uninterrupted one would have seen, without any stored state. P pairs of a step,
T texts, B different items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from dragoman.encoders.dual import unique_texts
from dragoman.encoders.text import TextEncoder
from dragoman.objectives._views import Batch
from dragoman.records import ROLES
from dragoman.training.samples import Samples
from dragoman.training.wording import Wording

HUMAN, MT, BACK = (ROLES.index(role) for role in ("human", "mt", "back"))


@dataclass(frozen=True, kw_only=True)
class Step:
    """All a step needs, on the CPU."""

    inputs: dict[str, Tensor]
    """What the text trunk prepared of the different texts."""
    row_of_text: Tensor
    """[T] row of each text among the different ones."""
    batch: Batch
    items: list[str]
    """B item ids."""


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Draws the steps of a run."""

    samples: Samples
    source: str
    batch_size: int
    back_share: float
    """Share of the source captions whose back-translations join a step."""
    wording: Wording
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """The last, smaller batch of an epoch is left out; another shuffle takes its captions in."""
        return max(1, len(self.samples) // self.batch_size)

    def step(self, number: int, trunk: TextEncoder) -> Step:
        """Step `number` of the run, counted from 0."""
        epoch, position = divmod(number, self.steps_per_epoch)
        order = _order(self.seed, epoch, len(self.samples))
        draws = np.random.default_rng([self.seed, epoch, position])
        pairs = order[position * self.batch_size : (position + 1) * self.batch_size].tolist()
        return self._build(pairs, draws, trunk)

    def _build(self, pairs: list[int], draws: Generator, trunk: TextEncoder) -> Step:
        samples = self.samples
        items = list(dict.fromkeys(samples.item_id[pair] for pair in pairs))
        row_of_item = {item_id: row for row, item_id in enumerate(items)}
        texts: list[str] = []
        columns: list[tuple[int, int, int, int, float]] = []

        def add(number: int, lang: int, role: int, text: str, trust: float) -> None:
            texts.append(self.wording.drop_words(text, draws))
            columns.append((row_of_item[samples.item_id[pairs[number]]], number, lang, role, trust))

        for number, pair in enumerate(pairs):
            add(number, 0, HUMAN, samples.source_text[pair], 1.0)
        for lang, target in enumerate(samples.targets, start=1):
            role = MT if target.engine is not None else HUMAN
            for number, pair in enumerate(pairs):
                if target.text[pair]:
                    text = target.text[pair][int(draws.integers(len(target.text[pair])))]
                    if role == MT:
                        text = self.wording.vary_target(text, samples.source_text[pair], lang - 1, draws)
                    add(number, lang, role, text, float(target.trust[pair]))
            for number, pair in enumerate(pairs[: round(self.back_share * len(pairs))]):
                back = target.back[pair]
                if back is not None:
                    add(number, 0, BACK, back, float(target.trust[pair]))
        item, number_, lang_, role_, trust_ = zip(*columns, strict=True)
        different, row_of_text = unique_texts(texts)
        return Step(
            inputs=trunk.prepare(different),
            row_of_text=row_of_text,
            batch=Batch(
                item=torch.tensor(item),
                pair=torch.tensor(number_),
                lang=torch.tensor(lang_),
                role=torch.tensor(role_),
                trust=torch.tensor(trust_),
                languages=(self.source, *(target.lang for target in samples.targets)),
            ),
            items=items,
        )


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    # Kept, as every step of an epoch asks for the same one.
    return np.random.default_rng([seed, epoch]).permutation(count)
