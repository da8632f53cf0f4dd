"""All that changes while a run goes on: weights, optimizers, progress, random state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from dragoman.corpus import Corpus, FeatureSet
from dragoman.errors import UserError
from dragoman.models.dual import DualEncoder
from dragoman.models.text.contract import TextEncoder
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.models.text.small import SmallText
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.objectives import load_objective
from dragoman.objectives.contract import MatchingConfig, Objective
from dragoman.training.config import TrainConfig
from dragoman.training.extension import Extension
from dragoman.training.processes import Alone, Processes, uses_gpu
from dragoman.training.run_folder import (
    Progress,
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from dragoman.training.samples import Samples
from dragoman.training.steps import Step
from dragoman.training.views import compute_views
from dragoman.training.word_links import word_links


class TrainState:
    """Model, objective, their optimizers, and how far the run is. Seeds the random state when built.

    `known_words` join the vocabulary, where one is fitted, and are linked to the source words they render.
    """

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        samples: Samples,
        device: str,
        known_words: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        extension: Extension | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.processes = processes or Alone()
        if self.processes.count > 1 and config.dual.mates_matter:
            raise UserError(
                "With dual.head_batch_norm or dual.pool=all a vector depends on the texts encoded beside it, "
                f"so {self.processes.count} processes cannot share a step. Start one: dragoman train …"
            )
        self.accelerator = _accelerator(config, device)
        self.features = corpus.features(config.features)
        torch.manual_seed(config.seed)
        matching = config.loss if isinstance(config.loss, MatchingConfig) else None
        self.matching = matching if "fused" in config.loss.needs else None
        self.extension = extension
        if extension is not None:
            model = extension.student(samples.all_texts(), known_words)
        else:
            model = DualEncoder(
                config.dual,
                _trunk(config, samples, known_words),
                self.features.width,
                fusion=None if self.matching is None else config.fusion,
                regions=self.features.most_parts,
                video=config.video if self.features.layout == "frames" else None,
            )
            model.fit_features(*_moments(self.features, samples.item_id))
        objective = load_objective(config.objective).build(config.loss, model.trunk.width)
        if extension is not None:
            objective = extension.objective(objective)
        self.model: DualEncoder = model.to(self.accelerator.device)
        self.objective: Objective = objective.to(self.accelerator.device)
        opponent = objective.opponent
        theirs = set() if opponent is None else set(map(id, opponent.parameters()))
        mine = [p for p in (*model.parameters(), *objective.parameters()) if id(p) not in theirs]
        self.trained = [parameter for parameter in mine if parameter.requires_grad]
        encoders = set(map(id, model.parameters()))
        self._shared = [parameter for parameter in self.trained if id(parameter) in encoders]
        self._whole = [parameter for parameter in self.trained if id(parameter) not in encoders]
        pretrained = model.trunk.parameters() if isinstance(model.trunk, HuggingFaceText) else ()
        # Decay would move the rows of a vocabulary that must stay as well.
        still = config.extension is not None and config.extension.learn == "vocabulary"
        decay = replace(config, weight_decay=0.0) if still else config
        self.optimizer = self.accelerator.prepare(make_optimizer(self.trained, pretrained, decay))
        self.opponent_optimizer = None
        if opponent is not None:
            adam = torch.optim.Adam(opponent.parameters(), lr=config.opponent_learning_rate)
            self.opponent_optimizer = self.accelerator.prepare(adam)
        self.progress = Progress()
        self._last_terms: dict[str, Tensor] = {}
        if self.processes.rank:
            # Weights begin alike; what is drawn from here on, such as dropout, must differ.
            torch.manual_seed(config.seed + self.processes.rank)

    def take_step(self, step: Step, rate_factor: float) -> dict[str, Tensor]:
        """One update of the opponent, if there is one, and of the encoders; the detached terms.

        Raises UserError where the step before went astray.
        """
        # Looked at one step late, a GPU need not be waited for.
        self.require_finite()
        self.model.train()
        with self.accelerator.autocast():
            views, batch = compute_views(
                self.model,
                step,
                self._features,
                self.config.loss.needs,
                chunk=self.config.chunk,
                processes=self.processes,
                matching=self.matching,
            )
            if self.extension is not None:
                views = replace(views, anchor=self.extension.anchors(step, batch))
        if self.opponent_optimizer is not None:
            with self.accelerator.autocast():
                opposing = self.objective.opponent_loss(views, batch)
            self.opponent_optimizer.zero_grad()
            self.accelerator.backward(opposing)
            assert self.objective.opponent is not None
            self.processes.add_gradients([], list(self.objective.opponent.parameters()))
            self.opponent_optimizer.step()
        with self.accelerator.autocast():
            terms = self.objective(views, batch)
            total = self.objective.total(terms)
        # What no term learns from, such as a teacher that is only looked at, needs no memory any more.
        del views
        set_rate(self.optimizer, rate_factor)
        self.optimizer.zero_grad()
        self.accelerator.backward(total)
        self.processes.add_gradients(self._shared, self._whole)
        norm = self.accelerator.clip_grad_norm_(self.trained, self.config.clip or math.inf)
        self.optimizer.step()
        self.progress.step += 1
        found = {name: term.detach() for name, term in {**terms, "total": total}.items()}
        self._last_terms = {**found, "gradient norm": norm}
        return found

    def require_finite(self) -> None:
        """Raises UserError that names the terms of the last step if one of them is NaN or infinite."""
        values = list(self._last_terms.values())
        if not values or torch.stack(values).isfinite().all():
            return
        listed = ", ".join(f"{name} {value.item():.4g}" for name, value in self._last_terms.items())
        raise UserError(
            f"Training broke down at step {self.progress.step}: {listed}. The last checkpoint and the best "
            "model so far are kept. Train in another folder with smaller steps, --set learning_rate="
            f"{self.config.learning_rate / 10:g}, and see that the features hold no absurd values."
        )

    def _features(self, item_ids: Sequence[str]) -> Tensor:
        found = self.vectors(item_ids) if self.matching is None else self.regions(item_ids)
        return torch.from_numpy(np.asarray(found, np.float32)).to(self.accelerator.device)

    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.floating]:
        """[B, D] vision vectors of items, or [B, F, D] of their frames, as they are stored."""
        return self.features.whole(self.features.rows(item_ids))

    def regions(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """[B, R, D] vision vectors of items and their regions."""
        return np.asarray(self.features.parts(self.features.rows(item_ids)), np.float32)

    def save(self, path: Path) -> None:
        """Write a checkpoint. Raises UserError rather than keeping weights that are not finite."""
        self.require_finite()
        draws = self.processes.collect(random_state(self.accelerator.device))
        states = {name: part.state_dict() for name, part in self._parts().items()}
        self.processes.on_first(lambda: save_checkpoint(path, self.progress, states, draws))

    def restore(self, path: Path) -> None:
        """Go back to a checkpoint. Raises UserError for a damaged one."""
        self.progress, draws = load_checkpoint(path, self._parts())
        if len(draws) != self.processes.count:
            raise UserError(
                f"{path} was written by {len(draws)} processes, but {self.processes.count} would go on; each "
                f"has its own random state. Start as many: torchrun --nproc-per-node {len(draws)} "
                "-m dragoman train …"
            )
        set_random_state(draws[self.processes.rank], self.accelerator.device)

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "objective": self.objective, "optimizer": self.optimizer}
        if self.opponent_optimizer is not None:
            parts["opponent_optimizer"] = self.opponent_optimizer
        return parts


def make_optimizer(
    trained: Sequence[Tensor], pretrained: Iterable[Tensor], config: TrainConfig
) -> torch.optim.Optimizer:
    """One optimizer over the trained parameters; only matrices decay, and `pretrained` ones learn slowly."""
    if not trained:
        raise UserError("Every parameter is frozen, so there is nothing to train: --set text.layers=last:4")
    known = set(map(id, pretrained))
    groups = [
        {
            "params": [w for w in trained if (w.dim() > 1) == matrices and (id(w) in known) == old],
            "weight_decay": config.weight_decay if matrices else 0.0,
            "full_rate": config.pretrained_learning_rate if old else config.learning_rate,
        }
        for matrices in (True, False)
        for old in (False, True)
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    given = [group for group in groups if group["params"]]
    return kind(given, lr=config.learning_rate, betas=(0.9, config.beta), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give each group its full learning rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor


def rate_factor(config: TrainConfig, progress: Progress, steps: int, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied with in the coming step.

    `cosine` and `linear` fall to zero over `steps` after a linear warm-up. `nrccr` (released code) is 0.99
    per epoch times `progress.rate`, which halves when validation stalls.
    """
    if config.schedule == "nrccr":
        return float(progress.rate * 0.99 ** (progress.step // steps_per_epoch))
    warmup = max(1, round(config.warmup * steps))
    rising = min(1.0, (progress.step + 1) / warmup)
    done = min(1.0, progress.step / steps)
    return rising * (1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))


def _accelerator(config: TrainConfig, device: str) -> Accelerator:
    cuda = uses_gpu(device)
    half = config.precision == "bf16" or (
        config.precision == "auto" and cuda and torch.cuda.is_bf16_supported()
    )
    return Accelerator(cpu=not cuda, mixed_precision="bf16" if half else "no")


def _trunk(config: TrainConfig, samples: Samples, known_words: Mapping[str, tuple[str, ...]]) -> TextEncoder:
    if isinstance(config.text, SmallTextConfig):
        links = word_links(samples, config.text, known_words)
        return SmallText.fit(samples.all_texts(), config.text, known_words, links)
    return HuggingFaceText.load(config.text)


def _moments(features: FeatureSet, item_ids: list[str]) -> tuple[Tensor, Tensor]:
    """Mean and deviation [D] over the training items, or over their frames, in blocks: the vectors may exceed
    the memory."""
    rows = np.sort(features.rows(sorted(set(item_ids))))
    total, squares = np.zeros(features.width), np.zeros(features.width)
    count, size = 0, max(1, 8192 // features.per_item)
    for start in range(0, len(rows), size):
        block = np.asarray(features.whole(rows[start : start + size]), np.float64)
        vectors = block.reshape(-1, features.width)
        # Frames that are not there are NaN.
        vectors = vectors[~np.isnan(vectors[:, 0])]
        count += len(vectors)
        total += vectors.sum(0)
        squares += np.square(vectors).sum(0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
