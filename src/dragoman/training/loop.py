"""The training loop: corpus in, run folder out; stoppable, resumable, one criterion.

A run folder holds `config.json`, `metrics.jsonl`, `checkpoints/last.pt`, `model/` (the best so far) and, once
finished, `manifest.json`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.folders import read_sealed, remove_torn, resume, write_sealed, write_text
from dragoman.models.folder import save_model
from dragoman.models.identity import RUN
from dragoman.models.sentences import kind_of
from dragoman.progress import bar
from dragoman.retrievers.described import read_by
from dragoman.training.augment import glosses, lexicon_hashes, load_augmentation
from dragoman.training.batches import StepPlan, nearest_items
from dragoman.training.closed_form import solutions
from dragoman.training.config import TrainConfig, objective_config
from dragoman.training.extension import Extension, made_from
from dragoman.training.processes import Processes, join_processes, others_needed
from dragoman.training.run_folder import CONFIG, Progress
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState, rate_factor
from dragoman.training.validation import Validation, load_validation

log = logging.getLogger(__name__)

LOG_EVERY = 20
"""Steps between lines of `metrics.jsonl`."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """The end of a run."""

    folder: Path
    steps: int
    best: float
    """Value of the criterion for the model that was kept, 0 to 600."""
    best_step: int
    criterion: str


def train(
    corpus: str | Path,
    config: TrainConfig,
    out: str | Path,
    *,
    init: str | Path | None = None,
    device: str = "auto",
    on_step: Callable[[int], None] = lambda step: None,
) -> TrainReport:
    """Train by `config` and write the run folder `out`.

    `init` is the run that a configuration with an `extension` starts from (`extended_config`).
    Items of train and val that have no vector in the feature set are left out with their captions, and told.
    A run that was stopped goes on from its last checkpoint, on a CPU with the result, bit for bit, of a run
    that was not; a finished one returns at once. `on_step` is told the number of steps done. Raises
    UserError for a folder that holds another run, a corpus that lacks what the recipe needs, and a loss that
    is no longer a number; KeyboardInterrupt, after a checkpoint, on Ctrl-C.

    Where `torchrun` started several processes, each calls this; they share the texts and images of every
    step, whose gradient is that of one process, and the first one writes.
    """
    processes = join_processes(device)
    folder, opened = Path(out), Corpus.open(corpus)
    features = opened.features(config.features)
    seen = opened.with_vectors(features, "train", "val")
    processes.on_first(lambda: _make_texts(opened, config))
    identity: dict[str, Any] = {
        "config": _as_begun(config, folder),
        "corpus": opened.fingerprint(),
        "features": made_from(features),
        "lexicons": lexicon_hashes(opened, config),
    }
    if config.kept_texts:
        identity["texts"] = {name: made_from(opened.features(name)) for name in config.kept_texts}
    if seen.without_vectors:
        # Not every set notes what it was made of: one that was completed since must be told in any case.
        named = json.dumps(seen.without_vectors)
        identity["without_vectors"] = hashlib.sha256(named.encode()).hexdigest()
    extension = None
    if init is not None:
        extension = Extension(Path(init), config)
        extension.require_same_features(features)
        identity["init"] = extension.identity()
    elif config.extension is not None:
        raise UserError("This configuration adds languages to a finished run: name it, --init RUN")
    fix = "Give another folder (--out). A run goes on with its own settings, corpus and features alone."
    with ExitStack() as held:
        work = resume(folder, RUN, identity, note=CONFIG, fix=fix)
        if processes.on_first(lambda: held.enter_context(work).done) is None:
            with others_needed():
                _Run(seen, config, folder, identity, processes, extension).go(on_step)
    manifest = RUN.read(folder)
    kept = ("steps", "best", "best_step", "criterion")
    return TrainReport(folder=folder, **{name: manifest[name] for name in kept})


def _as_begun(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """The configuration, less the settings that came after the run in `folder` was begun and are as if they
    had not come."""
    plain = config.as_dict()
    if not (folder / CONFIG).is_file():
        return plain
    try:
        begun = read_sealed(folder / CONFIG, "Train in another folder (--out).").get("config")
    except UserError:
        # Damaged: whoever compares the two says so, or begins anew.
        return plain
    named = {name: getattr(config, name) for name in ("recipe", "source", "targets", "features")}
    # Of the plainest objective: another may want settings that are not the usual ones.
    plainest = "translate_train"
    default = TrainConfig(**named, objective=plainest, loss=objective_config(plainest)).as_dict()
    own = {name: plain[name] for name in ("objective", "loss")}
    return _less_new(plain, begun, {**default, **own})


def _less_new(plain: dict[str, Any], begun: Any, default: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(begun, dict):
        return plain
    found = {}
    for name, value in plain.items():
        usual = default.get(name)
        if name not in begun and value == usual:
            continue
        if isinstance(value, dict) and isinstance(usual, dict):
            value = _less_new(value, begun.get(name), usual)
        found[name] = value
    return found


def _make_texts(corpus: Corpus, config: TrainConfig) -> None:
    """Make sets of vectors of texts that are named after an encoder which comes as a package."""
    for name in config.kept_texts:
        if name not in corpus.feature_names and kind_of(Path(name)) is not None:
            log.info("%s has no vectors of its texts by %s yet: they are made now", corpus.folder, name)
            extract_texts(corpus.folder, encoder=name, options=TextOptions(words=config.reads_words))


class _Run:
    def __init__(
        self,
        corpus: Corpus,
        config: TrainConfig,
        folder: Path,
        identity: dict[str, Any],
        processes: Processes,
        extension: Extension | None = None,
    ) -> None:
        self.corpus, self.config, self.folder, self.identity = corpus, config, folder, identity
        self.processes, self.extension = processes, extension
        back = "back" in config.loss.needs
        samples = load_samples(corpus, config, back=back)
        if samples.dropped:
            log.warning("%d source captions without target text are left out", samples.dropped)
        if samples.distrusted:
            log.warning("%d translations are left out, as their trust is too low", samples.distrusted)
        self.validation: Validation = load_validation(corpus, config)
        augmentation = load_augmentation(corpus, config)
        known = (
            glosses(corpus, config, samples.source_text)
            if config.reads_words
            else augmentation.words_for(samples.source_text)
        )
        self.state = TrainState(config, corpus, samples, known, extension, processes)
        self.val_vectors = self.state.encoder.vectors(self.validation.items)
        nearest = None
        if config.hard_negatives:
            nearest = nearest_items(corpus.features(config.features), samples.items)
        self.plan = StepPlan(
            samples=samples,
            config=config,
            back=back,
            augmentation=augmentation,
            nearest=nearest,
            labels=self.state.labels,
        )
        self.steps = config.steps or config.epochs * self.plan.steps_per_epoch
        if config.trust.learns and self.steps <= self.plan.steps_per_epoch:
            raise UserError(
                f"trust.learn={config.trust.learn} makes labels after every epoch, and this run of "
                f"{self.steps} steps ends within the first, of {self.plan.steps_per_epoch}. Train longer "
                "(--set epochs=10), or without: --set trust.learn=off"
            )
        self.validate_steps = max(1, round(config.validate_every * self.plan.steps_per_epoch))
        self.checkpoint = folder / "checkpoints" / "last.pt"
        self.metrics = folder / "metrics.jsonl"

    def go(self, on_step: Callable[[int], None]) -> None:
        """Run to the end, from the last checkpoint if there is one."""
        if self.config.solve != "none":
            self.processes.on_first(lambda: self._solve(on_step))
            self.processes.on_first(self._finish)
            return
        progress = self._start()
        written = self.metrics if self.processes.first else Path(os.devnull)
        with (
            stop_signal(alone=self.processes.count == 1) as stop,
            bar(self.steps, self.config.recipe, "steps") as shown,
            written.open("a", encoding="utf-8") as history,
        ):
            shown.update(progress.step)
            clock, captions = time.perf_counter(), 0
            while progress.step < self.steps and not progress.stopped:
                step = self.plan.step(progress.step)
                rate = rate_factor(self.config, progress, self.steps, self.plan.steps_per_epoch)
                terms = self.state.take_step(step, rate, progress.step / self.steps)
                captions += len(step.row_of_text)
                shown.update(1)
                if progress.step % LOG_EVERY == 0:
                    self.state.require_finite()
                    values = {name: term.item() for name, term in terms.items()}
                    speed = captions / (time.perf_counter() - clock)
                    self._log(history, terms=values, rate=rate, captions_per_second=round(speed, 1))
                    loss = " ".join(f"{name} {value:.3f}" for name, value in values.items())
                    shown.set_postfix_str(f"{loss}, {speed:.0f} captions/s")
                    clock, captions = time.perf_counter(), 0
                if progress.step % self.plan.steps_per_epoch == 0:
                    self._refresh_labels(history)
                due = progress.step % self.validate_steps == 0 or progress.step == self.steps
                if due:
                    started = time.perf_counter()
                    self.state.require_finite()
                    vars(progress).update(self.processes.on_first(lambda: self._validate(history)))
                    # Captions a second are those of training.
                    clock += time.perf_counter() - started
                # A signal that reached one of them stops all of them, after the same step.
                stopping = self.processes.largest(stop.number)
                if due or stopping or progress.step % self.config.checkpoint_every == 0:
                    self.state.save(self.checkpoint)
                on_step(progress.step)
                if stopping:
                    stop.number = stopping
                    break
        # A stop has raised KeyboardInterrupt by now: only a whole run gets its manifest.
        self.processes.on_first(self._finish)

    def _solve(self, on_step: Callable[[int], None]) -> None:
        """Keep the best of all solutions; it takes seconds, so a stopped run begins anew."""
        self._tidy()
        state = self.state
        assert state.anchors is not None
        with self.metrics.open("w", encoding="utf-8") as history:
            found = solutions(self.config.solve, state.model, state.anchors, self.plan.samples.source_text)
            for number, solution in enumerate(found, 1):
                state.progress.step = number
                self._log(history, **solution)
                self._validate(history)
                on_step(number)

    def _start(self) -> Progress:
        self.processes.on_first(self._tidy)
        if self.checkpoint.is_file():
            self.state.restore(self.checkpoint)
            log.info("%s: going on after step %d", self.folder, self.state.progress.step)
        self.processes.on_first(self._shorten_history)
        return self.state.progress

    def _tidy(self) -> None:
        remove_torn(self.folder)
        # Before the first step: what a kill leaves then says which run it was.
        write_sealed(self.folder / CONFIG, self.identity)

    def _shorten_history(self) -> None:
        done = self.state.progress.step
        lines = self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.is_file() else []
        # What came after the checkpoint will be logged again.
        write_text(self.metrics, "".join(f"{line}\n" for line in lines if _step_of(line) <= done))

    def _refresh_labels(self, history: Any) -> None:
        labels = self.state.labels
        if labels is None:
            return
        # One process for all: what a step draws may depend on the last bit of a label.
        labels.load_state_dict(self.processes.on_first(labels.refreshed))
        self._log(history, labels=labels.means())

    def _validate(self, history: Any) -> dict[str, Any]:
        """The fields of the progress, which the validation moves on."""
        progress, config = self.state.progress, self.config
        found = self.validation.score(self.state.model, self.val_vectors)
        self._log(history, validation=found)
        if found["mean"] > progress.best or config.select == "last":
            progress.best, progress.best_step, progress.stale = found["mean"], progress.step, 0
            # Before the checkpoint: a kill between the two repeats this validation, with the same result.
            with self.state.remembered(self.plan.samples):
                save_model(self.folder / "model", self.state.model, self._details())
            progress.since_halving += 1
        else:
            progress.stale += 1
            progress.since_halving += 1
            if progress.since_halving >= 3:
                progress.rate, progress.since_halving = progress.rate / 2, 0
        progress.stopped = progress.stale >= config.patience
        log.info(
            "step %d/%d  validation SumR %.1f (best %.1f at step %d)",
            progress.step,
            self.steps,
            found["mean"],
            progress.best,
            progress.best_step,
        )
        return asdict(progress)

    def _log(self, history: Any, **values: object) -> None:
        line = {"step": self.state.progress.step, **values}
        history.write(json.dumps(line) + "\n")
        history.flush()

    def _details(self) -> dict[str, Any]:
        config, encoder = self.config, self.state.features.manifest.get("encoder")
        frozen = {lang for one in self.state.model.frozen for lang in one.languages}
        # Words are read by lexicons as well, of languages that nothing else knows.
        words = set(self.identity["lexicons"]) if config.reads_words else set()
        reads = sorted(frozen | words - {config.source, *config.targets})
        return {
            "recipe": config.recipe,
            "source": config.source,
            "targets": list(config.targets),
            "target_captions": {
                "mt": "machine-translated",
                "human": "human",
                "both": "human and machine-translated",
            }[config.target_captions],
            "features": config.features,
            "vision": encoder,
            **self._described(),
            "seed": config.seed,
            "criterion": self.validation.described,
            "engines": list(dict.fromkeys(self._engines())),
            **({"reads": reads} if reads else {}),
            **({"widths": list(config.loss.prefixes)} if config.loss.prefixes else {}),
        } | ({} if self.extension is None else {"extends": self.extension.identity()})

    def _described(self) -> dict[str, Any]:
        """The way in which the model reads descriptions, where it does."""
        config = self.config
        if config.descriptions is None:
            return {}
        return {"descriptions": read_by(self.corpus, config.descriptions, config.slots.sentences)}

    def _engines(self) -> Iterator[str]:
        """Yield who translated what the model has learned from."""
        yield from () if self.extension is None else self.extension.trained["engines"]
        for target in self.plan.samples.targets:
            yield from target.engines

    def _finish(self) -> None:
        progress, without = self.state.progress, self.corpus.without_vectors
        left_out = {"without_vectors": without} if without else {}
        RUN.write(
            self.folder,
            inputs=self.identity["corpus"],
            seed=self.config.seed,
            steps=progress.step,
            best=progress.best,
            best_step=progress.best_step,
            criterion=self.validation.described,
            processes=self.processes.count,
            parameters=sum(weight.numel() for weight in self.state.trained),
            captions=len(self.plan.samples),
            dropped=self.plan.samples.dropped,
            **left_out,
        )


@dataclass
class Stop:
    """A request to stop."""

    number: int = 0
    """Number of the signal that asks to stop; 0 while none does."""


@contextmanager
def stop_signal(*, alone: bool) -> Iterator[Stop]:
    """Note the first SIGINT or SIGTERM, so that the step in hand can be finished and kept.

    The signal then takes its usual course: KeyboardInterrupt, or the end of the process. A second one does so
    at once, but not where several processes work together: there `torchrun` hands on what the terminal has
    already sent to all of them, and kills those that do not end in time.
    """
    stop = Stop()
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    else:
        before = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        stop.number = number
        if alone:
            restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()
    if stop.number:
        if before:
            signal.raise_signal(stop.number)
        raise KeyboardInterrupt  # where the signal was ignored before


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a line cut short by a kill
