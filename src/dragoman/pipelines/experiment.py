"""Experiments: arms that are trained with several seeds and evaluated, each once; what is finished is reused.

The demonstration, `dragoman benchmark` and the scripts under `benchmarks/` are lists of trials, and their
words about them.
"""

from __future__ import annotations

import gzip
import json
import logging
import multiprocessing
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.corpus import BuildOptions, Corpus, build_jsonl
from dragoman.corpus.given import GivenFeatures
from dragoman.errors import DamagedError
from dragoman.evaluation.significance import OVER_IMAGES, t_interval
from dragoman.folders import MANIFEST, damages, read_sealed, remove, require_sound, write_text
from dragoman.pipelines.computer import commit, computer
from dragoman.pipelines.evaluate import evaluate, evaluate_folds
from dragoman.recipes import load_recipe
from dragoman.reports.compare import Difference, compare, compare_mean
from dragoman.reports.evaluator import fingerprint
from dragoman.reports.settings import EvaluationSettings
from dragoman.training import train
from dragoman.training.config import TrainConfig

log = logging.getLogger(__name__)

SECONDS = "seconds.json"
"""Wall time of a training, beside its manifest."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way of training: one row of a table."""

    recipe: str
    about: str = ""
    """The words of the row."""
    source: str = "en"
    targets: tuple[str, ...] = ()
    features: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that are not the recipe's, as `--set` takes them."""

    def config(self, seed: int) -> TrainConfig:
        """The configuration of one run. Raises UserError for unknown recipes and settings."""
        plain = load_recipe(self.recipe)(self.source, self.targets, self.features)
        return plain.with_settings({**self.settings, "seed": str(seed)})


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training with one seed, and the reports that are made of its model."""

    corpus: Path
    arm: Arm
    seed: int
    run: Path
    """Folder of the training."""
    reports: Mapping[Path, EvaluationSettings]
    """Report folder to what is asked."""
    measures: Mapping[Path, Callable[[Trial], Any]] = field(default_factory=dict)
    """JSON file to what else is measured of the trained model, by a function of a module."""
    folds: bool = False
    """Evaluate each fold of the split by itself."""
    keep_run: bool = True
    """False removes a run once it is evaluated: reports are small, models are not."""
    device: str = "cpu"
    train: Callable[[Trial], None] | None = None
    """Another way to train into `run`, in place of the arm's configuration."""

    @property
    def missing(self) -> list[Path]:
        """Reports that are not finished, damaged, or about another model or corpus than lies here now,
        and measures without a file."""
        reports = [report for report in self.reports if not self._stands(report)]
        return reports + [file for file in self.measures if not file.is_file()]

    def perform(self) -> None:
        """Train and evaluate what is missing. Training that was interrupted goes on where it was."""
        missing = self.missing
        if not missing:
            return
        self.fit()
        measure = evaluate_folds if self.folds else evaluate
        for path in missing:
            if path in self.measures:
                found = json.dumps(self.measures[path](self), indent=1)
                write_text(path, found + "\n")
                continue
            measure(self.run, self.corpus, self.reports[path], out=path)
            # A report outlives its run.
            if (self.run / SECONDS).is_file():
                shutil.copy(self.run / SECONDS, path)
        if not self.keep_run:
            remove(self.run)

    def fit(self) -> None:
        """Train, unless that is finished. Raises UserError where `run` holds another configuration."""
        known, started = (self.run / MANIFEST).is_file(), time.perf_counter()
        if self.train is None:
            train(self.corpus, self.arm.config(self.seed), self.run, device=self.device)
        elif not known:
            self.train(self)
        # Of the last start alone, where a training was interrupted.
        if not known:
            write_text(self.run / SECONDS, json.dumps(time.perf_counter() - started))

    def _stands(self, report: Path) -> bool:
        if not (report / MANIFEST).is_file():
            return False
        try:
            manifest = read_sealed(report / MANIFEST, "")
        except DamagedError:
            return False
        if damages(report, manifest.get("files", {})):
            return False
        if not (self.run / MANIFEST).is_file():
            # A finished report stands whatever became of its run, or of the version that trained it.
            return True
        return bool(manifest["inputs"] == fingerprint(self.run) | Corpus.open(self.corpus).fingerprint())


def perform(trials: Sequence[Trial], *, workers: int = 1, threads: int = 1) -> None:
    """Perform the trials that are not finished, several at a time, each in a process of its own.

    Raises what the first failing trial raises; what the others have finished is kept.
    """
    waiting = [trial for trial in trials if trial.missing]
    if not waiting:
        return
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # The gradient of the embeddings is a large block; without these, every step asks the system for it anew.
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
    context = multiprocessing.get_context("spawn")  # so that libraries see the number of threads
    # A process for each trial gives its memory back, and cannot hand its random state on.
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        futures = {pool.submit(trial.perform): trial for trial in waiting}
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            log.info("%d of %d: %s", number, len(waiting), futures[future].run.name)


def captions_corpus(
    data: Path, out: Path, wanted: Callable[[Mapping[str, str]], bool], *, features: str
) -> Path:
    """Build a corpus of some captions of a folder with `captions.jsonl.gz` and `features/`; once.

    wanted: tells of a caption, as a line of JSON gives it, whether it takes part.
    """
    if (out / MANIFEST).is_file():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    chosen = out.parent / "captions.jsonl"
    with gzip.open(data / "captions.jsonl.gz", "rb") as lines, chosen.open("wb") as file:
        file.writelines(line for line in lines if wanted(json.loads(line)))
    vectors = GivenFeatures(vectors=data / "features" / f"{features}.npy", ids=data / "features" / "ids.txt")
    build_jsonl(chosen, out, BuildOptions(features=(vectors,)))
    return out


def read_report(folder: Path) -> dict[str, Any]:
    """`report.json` of a report folder. Raises DamagedError where the folder is not as it was written."""
    require_sound(folder, "Remove it, and run the same command again.")
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def minutes(folder: Path) -> float:
    """Minutes that a training took, by its run folder or a report of it."""
    return float(json.loads((folder / SECONDS).read_text(encoding="utf-8"))) / 60


def finished(reports: Sequence[Path]) -> list[Path]:
    """The report folders among these that are complete."""
    return [report for report in reports if (report / MANIFEST).is_file()]


def difference(
    baseline: Sequence[Path], other: Sequence[Path], *, language: str, baseline_row: str | None = None
) -> dict[str, Any]:
    """Paired difference of SumR, asked directly: `difference`, `interval` (95 %), `p`, and `over` what.

    Report folders stand for the seeds of a system. Interval and p are over images and seeds, or over images
    alone where a system has one seed.
    """
    (one,) = (
        one
        for one in compare(baseline, other, baseline_row=baseline_row)
        if (one.metric, one.pair.language, one.pair.row) == ("sum_r", language, "direct")
    )
    return _told(one)


def mean_difference(
    kinds: Sequence[tuple[Sequence[Path], Sequence[Path]]], *, language: str, baseline_row: str | None = None
) -> dict[str, Any]:
    """Paired difference as `difference` gives it, in the mean of several kinds of captions: for each the
    reports of the baseline and of the other."""
    return _told(compare_mean(kinds, language, baseline_row=baseline_row))


def _told(one: Difference) -> dict[str, Any]:
    return {"difference": one.difference, "interval": list(one.interval), "p": one.p, "over": one.over}


def told_over(differences: Sequence[Mapping[str, Any]]) -> str:
    """Tell in words what the intervals and p values of `difference` let vary."""
    over = sorted({one.get("over", OVER_IMAGES) for one in differences})
    known = {OVER_IMAGES: "over images alone, which leaves other seeds out"}
    return f"Intervals and p: {'; '.join(known.get(one, f'over {one}') for one in over)}"


def by_seed(baseline: Sequence[float], other: Sequence[float], digits: int = 1) -> tuple[str, str]:
    """Print the difference of each seed, and the t interval (95 %) of their mean, which needs no ranks."""
    gains = [after - before for before, after in zip(baseline, other, strict=True)]
    each = ", ".join(f"{gain:+.{digits}f}" for gain in gains)
    if len(gains) < 2:
        return each, "–"
    low, high = t_interval(gains)
    return each, f"{low:+.{digits}f} to {high:+.{digits}f}"


def circumstances(command: str, **more: object) -> dict[str, object]:
    """Tell how figures came about: command, commit and computer, and what else the caller knows."""
    return {"command": command, "commit": commit(), "computer": computer(), **more}


def spread(values: Sequence[float] | None, digits: int = 1) -> str:
    """Print mean ± sample standard deviation; a dash where there is nothing."""
    if not values:
        return "–"
    around = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{around}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Print a table as lines of Markdown."""
    rule = "|" + "---|" * len(head)
    for line in (head, None, *rows):
        yield rule if line is None else f"| {' | '.join(map(str, line))} |".replace("|  |", "| |")


def write_results(
    folder: Path, everything: Mapping[str, Any], page: Iterator[str], name: str = "results"
) -> None:
    """Write `results.json` and `results.md` beside a script."""
    write_text(folder / f"{name}.json", json.dumps(everything, indent=1) + "\n")
    write_text(folder / f"{name}.md", "\n".join(page) + "\n")
