"""The step of training, and all that it changes: weights, optimizers, progress, random state."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.models.dual import DualEncoder
from dragoman.models.layers import LowRank
from dragoman.objectives import build_objective
from dragoman.objectives.contract import Batch, Objective, Views
from dragoman.retrievers.trained import Retriever
from dragoman.training.batches import Step
from dragoman.training.config import TrainConfig
from dragoman.training.extension import Extension
from dragoman.training.fused import FusingEncoder
from dragoman.training.labels import LabelMemory
from dragoman.training.memories import RetrievingEncoder
from dragoman.training.model import new_model
from dragoman.training.processes import Alone, Processes
from dragoman.training.run_folder import (
    Progress,
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from dragoman.training.samples import Samples, spread
from dragoman.training.views import KeptAnchors, KeptSentences, StepEncoder, seen_with

log = logging.getLogger(__name__)


class TrainState:
    """Model, objective, their optimizers, and how far the run is. Seeds the random state when built."""

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        samples: Samples,
        known_words: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        extension: Extension | None = None,
        processes: Processes | None = None,
    ) -> None:
        """Build all anew; with `extension` the model is that of another run. `known_words`: see
        `new_model`."""
        self.config, self.extension, self.processes = config, extension, processes or Alone()
        if self.processes.count > 1 and config.dual.depends_on_batch:
            raise UserError(
                "With dual.head_batch_norm, dual.pool=all or a projector, a vector depends on those encoded "
                f"beside it, so {self.processes.count} processes cannot share a step. "
                "Start one: dragoman train …"
            )
        self.features = seen_with(corpus, config)
        # Model, objective, then all that steps draw: another order would be another run of the same seed.
        torch.manual_seed(config.seed)
        if extension is None:
            model = new_model(config, corpus, samples, known_words)
        else:
            model = extension.student(samples, known_words)
        objective = build_objective(config.objective, config.loss, model.trunk.width, model.space)
        if extension is not None:
            objective = extension.objective(objective)
        device = self.processes.device
        self.model: DualEncoder = model.to(device)
        self.objective: Objective = objective.to(device)
        self.encoder = StepEncoder(
            model=model, features=self.features, config=config, processes=self.processes
        )
        if "fused" in config.loss.needs:
            self.encoder = FusingEncoder(**vars(self.encoder), objective=objective)
        self.anchors: KeptAnchors | None = None
        if "anchor" in config.loss.needs:
            self.anchors = KeptAnchors(corpus, config, model, self.processes)
        if "retrieved" in config.loss.needs:
            assert self.anchors is not None
            self.encoder = RetrievingEncoder.fresh(self.encoder, self.anchors, samples)
        self.sentences = KeptSentences(corpus, config) if "frozen" in config.loss.needs else None
        self.labels = LabelMemory(config, samples) if config.trust.learns else None
        self._share_out()
        pretrained = model.trunk.parameters() if model.trunk.pretrained else ()
        # Decay would move the rows of a vocabulary that must stay as well.
        decay = replace(config, weight_decay=0.0) if config.learns_new_alone else config
        low_rank = (part for part in model.modules() if isinstance(part, LowRank))
        lasting = [weight for part in low_rank for weight in (part.down, part.up)]
        self.optimizer = make_optimizer(self.trained, pretrained, decay, lasting)
        self.opponent_optimizer = None
        if objective.opponent is not None:
            rate = config.opponent_learning_rate
            self.opponent_optimizer = torch.optim.Adam(objective.opponent.parameters(), lr=rate)
        half = config.precision == "bf16" or (
            config.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
        )
        self._autocast = partial(torch.autocast, device.type, dtype=torch.bfloat16, enabled=half)
        self.progress = Progress()
        self._last_terms: dict[str, Tensor] = {}
        if self.processes.rank:
            # Weights begin alike; what is drawn from here on, such as dropout, must differ.
            torch.manual_seed(config.seed + self.processes.rank)

    def _share_out(self) -> None:
        """Tell apart what the optimizer trains: encoders, of which processes share the work, and the loss's
        own."""
        opponent = self.objective.opponent
        theirs = set() if opponent is None else set(map(id, opponent.parameters()))
        mine = [p for p in (*self.model.parameters(), *self.objective.parameters()) if id(p) not in theirs]
        self.trained = [parameter for parameter in mine if parameter.requires_grad]
        encoders = set(map(id, self.model.parameters()))
        self._shared = [parameter for parameter in self.trained if id(parameter) in encoders]
        self._whole = [parameter for parameter in self.trained if id(parameter) not in encoders]

    def take_step(self, step: Step, rate_factor: float, done: float = 0.0) -> dict[str, Tensor]:
        """Update the opponent, if there is one, and the encoders; return the detached terms.

        `done` is the share of the run that lies behind.

        Raises UserError where the step before went astray.
        """
        # Looked at one step late, a GPU need not be waited for.
        self.require_finite()
        self.model.train()
        with self._autocast():
            views, batch = self.encoder.encode(step)
            batch = replace(batch, done=done)
            if self.anchors is not None and views.anchor is None:
                views = replace(views, anchor=self.anchors(step, batch))
            if self.sentences is not None:
                views = replace(views, frozen=self.sentences(step, batch))
            if self.extension is not None:
                views = replace(views, anchor=self.extension.anchors(step, batch))
        # First, on the views as they are: what the encoders then deceive has seen this step.
        if self.opponent_optimizer is not None:
            self._train_opponent(self.opponent_optimizer, views, batch)
        with self._autocast():
            terms = self.objective(views, batch)
            total = self.objective.total(terms)
            # Where one loss is shared, the words carry it, and the sentence side stays untrained.
            for name in ("sentence", "words"):
                side = getattr(views, name)
                if side is not None:
                    own = self.objective(replace(views, text=side), batch)
                    total = total + self.objective.total(own)
                    terms |= {f"{name} {term}": value for term, value in own.items()}
        if self.labels is not None:
            weight = self.config.trust.geometry_weight if self.config.trust.learn == "gsc" else 0
            geometry = self.labels.geometry_loss(views, batch, step.number) if weight else None
            if geometry is not None:
                total = total + weight * geometry
                terms |= {"geometry": geometry}
            self.labels.observe(views, batch, step.number)
        # What no term learns from, such as a teacher that is only looked at, needs no memory any more.
        del views
        set_rate(self.optimizer, rate_factor)
        # To none and not to 0: what this step does not reach, the optimizer leaves alone, momentum included.
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self.processes.add_gradients(self._shared, self._whole)
        # Where nothing is clipped, the norm is still wanted: it tells first that a run goes astray.
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.config.clip or math.inf)
        self.optimizer.step()
        self.progress.step += 1
        found = {name: term.detach() for name, term in {**terms, "total": total}.items()}
        self._last_terms = {**found, "gradient norm": norm}
        return found

    def _train_opponent(self, optimizer: torch.optim.Optimizer, views: Views, batch: Batch) -> None:
        """Update the opponent; the encoders do not move."""
        assert self.objective.opponent is not None
        with self._autocast():
            opposing = self.objective.opponent_loss(views, batch)
        optimizer.zero_grad()
        opposing.backward()  # type: ignore[no-untyped-call]
        self.processes.add_gradients([], list(self.objective.opponent.parameters()))
        optimizer.step()

    @contextmanager
    def remembered(self, samples: Samples) -> Iterator[None]:
        """Let the model take hubness out as long as it is saved: it then knows what it was trained on."""
        hubness = self.model.hubness
        if hubness is None:
            yield
            return
        retriever = Retriever(self.model.eval(), {}, None)
        captions = spread(samples.source_text, len(hubness.captions))
        images = spread(samples.items, len(hubness.images))
        hubness.captions.copy_(torch.from_numpy(retriever.encode_text(captions)))
        hubness.images.copy_(torch.from_numpy(retriever.encode_features(self.encoder.vectors(images))))
        hubness.used = True
        try:
            yield
        finally:
            hubness.used = False
            self.model.train()

    def require_finite(self) -> None:
        """Raise UserError that names the terms of the last step if one of them is NaN or infinite."""
        values = list(self._last_terms.values())
        if not values or torch.stack(values).isfinite().all():
            return
        listed = ", ".join(f"{name} {value.item():.4g}" for name, value in self._last_terms.items())
        raise UserError(
            f"Training broke down at step {self.progress.step}: {listed}. The last checkpoint and the best "
            "model so far are kept. Train in another folder with smaller steps, --set learning_rate="
            f"{self.config.learning_rate / 10:g}, and see that the features hold no absurd values."
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint. Raises UserError rather than keeping weights that are not finite."""
        self.require_finite()
        draws = self.processes.collect(random_state(self.processes.device))
        states = {name: part.state_dict() for name, part in self._parts().items()}
        self.processes.on_first(lambda: save_checkpoint(path, self.progress, states, draws))

    def restore(self, path: Path) -> None:
        """Go back to a checkpoint, also of more or fewer processes. Raises UserError for a damaged one."""
        self.progress, draws = load_checkpoint(path, self._parts())
        # Last: building the model has drawn.
        if len(draws) == self.processes.count:
            set_random_state(draws[self.processes.rank], self.processes.device)
            return
        log.warning(
            "%s was written by %d processes, and %d go on: the steps are the same, but what each process "
            "draws for itself, such as dropout, is another sample.",
            path,
            len(draws),
            self.processes.count,
        )
        torch.manual_seed(self.config.seed + self.processes.rank + (self.progress.step << 20))

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "objective": self.objective, "optimizer": self.optimizer}
        if self.opponent_optimizer is not None:
            parts["opponent_optimizer"] = self.opponent_optimizer
        if self.labels is not None:
            parts["labels"] = self.labels
        return parts


def make_optimizer(
    trained: Sequence[Tensor],
    pretrained: Iterable[Tensor],
    config: TrainConfig,
    lasting: Iterable[Tensor] = (),
) -> torch.optim.Optimizer:
    """Make one optimizer over the trained parameters; only matrices decay, but for `lasting` ones, and
    `pretrained` ones learn slowly."""
    if not trained:
        raise UserError("Every parameter is frozen, so there is nothing to train: --set text.layers=last:4")
    known, kept = set(map(id, pretrained)), set(map(id, lasting))
    groups = [
        {
            # Biases, norms and temperatures do not decay: 0 is nothing simpler for them.
            "params": [
                w
                for w in trained
                if (w.dim() > 1 and id(w) not in kept) == matrices and (id(w) in known) == old
            ],
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
    """Return the factor of the learning rate in the coming step.

    `cosine` and `linear` fall to zero over `steps` after a linear warm-up. `nrccr` (released code) is 0.99
    per epoch times `progress.rate`, which halves when validation stalls.
    """
    if config.schedule == "nrccr":
        return float(progress.rate * 0.99 ** (progress.step // steps_per_epoch))
    warmup = max(1, round(config.warmup * steps))
    rising = min(1.0, (progress.step + 1) / warmup)
    done = min(1.0, progress.step / steps)
    return rising * (1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))
