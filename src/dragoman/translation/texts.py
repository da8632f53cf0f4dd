"""Texts through an engine: each once, cached, in batches that neither a kill nor a bad line can undo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from dragoman import progress
from dragoman.blocks import HERE, Cluster, Compute, Load, Workers, gathered
from dragoman.errors import UserError
from dragoman.translation.cache import Cache, default_cache_folder
from dragoman.translation.engine import (
    Engine,
    EngineError,
    EngineUnavailableError,
    Outcome,
    Rejected,
    one_line,
)

GIVE_UP_AFTER = 8
"""Lines that fail one after the other, each alone, before the engine itself comes under suspicion."""
BLOCK_BATCHES = 8
"""Batches that a worker of a cluster gets at a time."""
SMALLEST_SHARE = 1 / 8
"""Share of a batch's time limit that a part of the batch gets at least."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Distinct lines: given, translated by the engine in this run, found in the cache, and rejected.

    `rejected` counts those of this run and those remembered from earlier ones, which are not in `cached`.
    """

    lines: int
    translated: int
    cached: int
    rejected: int


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Settings of a job: its dealings with the engine."""

    batch_size: int | None = None
    """Lines a call; the engine's own measure where not given."""
    timeout: float = 120.0
    """Seconds that one batch may take."""
    device: str | None = None
    """Device that models run on: cpu, cuda, cuda:1; by default a GPU where there is one."""
    cache: str | Path | None = None
    """Folder of the cache; by default one for all projects of the user."""
    retry_rejected: bool = False
    """Try the captions again that failed in earlier runs."""
    cluster: Cluster = HERE
    """Computers that run the engine."""

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be positive, got {self.timeout}")

    @property
    def cache_folder(self) -> Path:
        """Folder of the cache."""
        return default_cache_folder() if self.cache is None else Path(self.cache)


def translate_texts(
    texts: Iterable[str], engine: Engine, source: str, target: str, settings: JobSettings
) -> tuple[dict[str, Outcome], Counts]:
    """Return the outcome of every text, by text as given, and what it cost.

    Texts that are equal once white space is normalised are translated once. Every finished batch is in the
    cache before the next begins.
    """
    line_of = {text: one_line(text) for text in texts}
    lines = dict.fromkeys(line_of.values())
    outcomes: dict[str, Outcome] = {"": Rejected("it holds no character that could be translated")}
    with Cache(settings.cache_folder, engine, source, target) as cache:
        for line, outcome in cache.find(lines):
            # What was rejected once is not tried in every run again: each try may take until its time is up.
            if isinstance(outcome, str) or not settings.retry_rejected:
                outcomes[line] = outcome
        cached = sum(isinstance(outcomes.get(line), str) for line in lines)
        fresh = _translate(
            [line for line in lines if line not in outcomes], len(lines), engine, cache, target, settings
        )
    outcomes |= fresh
    counts = Counts(
        lines=len(lines),
        translated=sum(isinstance(outcome, str) for outcome in fresh.values()),
        cached=cached,
        rejected=sum(isinstance(outcomes[line], Rejected) for line in lines),
    )
    return {text: outcomes[line] for text, line in line_of.items()}, counts


def _translate(
    lines: Sequence[str], total: int, engine: Engine, cache: Cache, target: str, settings: JobSettings
) -> dict[str, Outcome]:
    size = settings.batch_size or engine.batch_size
    batches = [lines[at : at + size] for at in range(0, len(lines), size)]
    done: dict[str, Outcome] = {}
    if not batches:
        return done
    with gathered(settings.cluster) as workers:
        isolator = Isolator(engine, settings.timeout, cache.any_translated)
        load: Load[Sequence[str], dict[str, Outcome]] = partial(_by, isolator)
        if settings.cluster.ray is not None:
            load = _elsewhere(engine, settings, workers, cache.any_translated())
        blocks = (batches[at : at + BLOCK_BATCHES] for at in range(0, len(batches), BLOCK_BATCHES))
        with progress.bar(total, f"{engine.doing} {target}", engine.unit) as bar:
            bar.update(total - len(lines))
            for outcomes in workers.computed(load, blocks):
                # Before the next batch: a kill costs one batch, whatever the captions are many.
                cache.store(outcomes)
                done |= outcomes
                bar.update(len(outcomes))
    return done


def _by(isolator: Isolator) -> Compute[Sequence[str], dict[str, Outcome]]:
    return lambda batches: (dict(zip(batch, isolator.translate(batch), strict=True)) for batch in batches)


def _elsewhere(
    engine: Engine, settings: JobSettings, workers: Workers, translated: str | None
) -> Load[Sequence[str], dict[str, Outcome]]:
    """Open such an engine on other computers. Raises UserError where that cannot be."""
    if engine.again is None:
        raise UserError(f"Give the engine {engine.name} by its spec: workers of a cluster open their own.")
    again = engine.again
    if engine.runs_on_gpu:
        again = partial(again, device=workers.device(settings.device or "auto", str))
    return partial(_opened, again, (engine.name, engine.version), settings.timeout, translated)


def _opened(
    again: Callable[[], Engine], expected: tuple[str, str], timeout: float, translated: str | None
) -> Compute[Sequence[str], dict[str, Outcome]]:
    """Open an engine on another computer. Raises UserError where it is not the one that is `expected`."""
    engine = again()
    if (engine.name, engine.version) != expected:
        raise UserError(
            f"The engine {engine.name} of a node of the cluster has another version ({engine.version}) than "
            f"{expected[0]} here ({expected[1]}). Install the same on all nodes."
        )
    return _by(_Remembering(engine, timeout, translated))


class Isolator:
    """Translates batches with an engine that may crash, hang, or lose lines, and finds the lines at fault.

    A batch that fails is halved until the failing lines stand alone: about 2·log2(batch) calls for each.
    `probe` yields a line that this engine once translated, or None; when many lines in a row have failed
    alone it tells bad lines from a broken engine.
    """

    def __init__(self, engine: Engine, timeout: float, probe: Callable[[], str | None]) -> None:
        self.engine = engine
        self.timeout = timeout
        self.probe = probe
        self._failed_in_a_row = 0

    def translate(self, lines: Sequence[str]) -> list[Outcome]:
        """One outcome a line, in order. Raises EngineUnavailableError where the engine itself is broken."""
        return self._translate(lines, len(lines))

    def _translate(self, lines: Sequence[str], batch: int) -> list[Outcome]:
        # Its share of the time, so that a line that hangs costs no full limit at each halving; but not less
        # than SMALLEST_SHARE, for much of it may go to starting a program.
        timeout = self.timeout * max(len(lines) / batch, SMALLEST_SHARE)
        try:
            outcomes = _checked(lines, self.engine.translate(lines, timeout))
        except EngineError as error:
            if len(lines) > 1:
                middle = len(lines) // 2
                return self._translate(lines[:middle], batch) + self._translate(lines[middle:], batch)
            return [self._failed(str(error))]
        if outcomes == [""]:
            return [self._failed("the engine gave an empty translation")]
        if any(outcomes):
            self._failed_in_a_row = 0
        # An empty line may be another line's fault; alone it has its second chance.
        return [
            outcome if outcome else self._translate([line], batch)[0]
            for line, outcome in zip(lines, outcomes, strict=True)
        ]

    def _failed(self, reason: str) -> Rejected:
        self._failed_in_a_row += 1
        if self._failed_in_a_row == GIVE_UP_AFTER:
            self._failed_in_a_row = 0
            if not self._works():
                self._give_up(reason)
        return Rejected(reason)

    def _works(self) -> bool:
        line = self.probe()
        if line is None:
            return False
        try:
            outcomes = _checked([line], self.engine.translate([line], self.timeout))
        except EngineError:
            return False
        return isinstance(outcomes[0], str) and outcomes[0] != ""

    def _give_up(self, reason: str) -> NoReturn:
        raise EngineUnavailableError(
            f"The engine {self.engine.name} failed on {GIVE_UP_AFTER} {self.engine.unit} in a row, each "
            f"given alone; the last reason: {reason}. Try it by hand on one. What was done so far is kept."
        )


class _Remembering(Isolator):
    """One that has no cache to ask, and remembers a line that was translated."""

    def __init__(self, engine: Engine, timeout: float, translated: str | None) -> None:
        super().__init__(engine, timeout, lambda: self._translated)
        self._translated = translated

    def translate(self, lines: Sequence[str]) -> list[Outcome]:
        outcomes = super().translate(lines)
        good = (line for line, outcome in zip(lines, outcomes, strict=True) if isinstance(outcome, str))
        self._translated = next(good, self._translated)
        return outcomes


def _checked(lines: Sequence[str], outcomes: Sequence[Outcome]) -> list[Outcome]:
    if len(outcomes) != len(lines):
        raise EngineError(f"{len(lines)} lines went in and {len(outcomes)} came out")
    return [one_line(outcome) if isinstance(outcome, str) else outcome for outcome in outcomes]
