"""Texts through an engine: each once, cached, in batches that a kill cannot undo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman import progress
from dragoman.translation.cache import Cache, default_cache_folder
from dragoman.translation.engine import Engine, Rejected
from dragoman.translation.lines import Isolator, Outcome, one_line


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
class TranslateOptions:
    """Settings of a job: its captions, and its dealings with the engine."""

    role: str = "human"
    """Role of the captions that are translated."""
    splits: Sequence[str] | None = None
    """Splits of the captions that are translated; all where not given."""
    batch_size: int | None = None
    """Lines a call; the engine's own measure where not given."""
    timeout: float = 120.0
    """Seconds that one batch may take."""
    device: str | None = None
    """Device that models run on: cpu, cuda, cuda:1; a GPU where there is one."""
    cache: str | Path | None = None
    """Folder of the cache; one for all projects where not given."""
    retry_rejected: bool = False
    """Try the captions again that failed in earlier runs."""

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
    texts: Iterable[str], engine: Engine, source: str, target: str, options: TranslateOptions
) -> tuple[dict[str, Outcome], Counts]:
    """The outcome of every text, by text as given, and what it cost.

    Texts that are equal once white space is normalised are translated once. Every finished batch is in the
    cache before the next begins.
    """
    line_of = {text: one_line(text) for text in texts}
    lines = dict.fromkeys(line_of.values())
    outcomes: dict[str, Outcome] = {"": Rejected("it holds no character that could be translated")}
    with Cache(options.cache_folder, engine, source, target) as cache:
        for line, outcome in cache.find(lines):
            if isinstance(outcome, str) or not options.retry_rejected:
                outcomes[line] = outcome
        cached = sum(isinstance(outcomes.get(line), str) for line in lines)
        fresh = _translate(
            [line for line in lines if line not in outcomes], len(lines), engine, cache, target, options
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
    lines: Sequence[str], total: int, engine: Engine, cache: Cache, target: str, options: TranslateOptions
) -> dict[str, Outcome]:
    size = options.batch_size or engine.batch_size
    isolator = Isolator(engine, options.timeout, cache.any_translated)
    done: dict[str, Outcome] = {}
    with progress.bar(total, f"translate into {target}", "lines") as bar:
        bar.update(total - len(lines))
        for start in range(0, len(lines), size):
            batch = lines[start : start + size]
            outcomes = dict(zip(batch, isolator.translate(batch), strict=True))
            cache.store(outcomes)
            done |= outcomes
            bar.update(len(batch))
    return done
