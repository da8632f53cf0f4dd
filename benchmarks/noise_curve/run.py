"""Training over the rate of planted noise, with and without trust, for every objective.

    python benchmarks/noise_curve/run.py --data DIR --out WORK [--workers 2] [--results]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). Of 2,000 training images, captioned
by people in English, the Portuguese captions by Apertium are damaged at several rates, translated back by
Apertium (apt-get install apertium apertium-eng-spa apertium-es-pt) and scored by `dragoman trust`. Every arm
trains on each, with the same text encoder, steps and captions a step, and is asked by people in Portuguese.

Runs that are finished are not repeated; those that use trust are, when the scores change. `--results` trains
nothing. Both write results.json, results.md and results.svg beside this file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from corpora import FEATURES, NOISE_SEED, RATES, TRAIN_ITEMS, call, corpus_of, fingerprint, prepare
from page import detection, difference, write

HERE = Path(__file__).parent
MATCH = "*#pt#*"
"""Portuguese written from the photo."""
COMMON = {
    "steps": 100,
    "captions_per_step": 256,
    "learning_rate": 0.01,
    "text.width": 128,
    "text.dropout": 0,
    "text.piece_dropout": 0,
    "text.whole_dropout": 0.2,
    "word_dropout": 0,
    "dual.hidden": 128,
    "dual.key_width": 128,
    "dual.joint": 256,
    "dual.dropout": 0,
    "dual.image_dropout": 0,
    "validation_captions": 500,
    "validate_every": 1000,
    "checkpoint_every": 10_000,
}
"""A small model, a high rate and little dropout, which learn most in a short run. One validation, at the end:
the last model is the one that is tested."""
UNTOLD = ("validate_every", "checkpoint_every")
ARMS = ("translate_train", "one_to_k", "nrccr", "pivot", "triplet", "dragoman")
"""A recipe of every objective."""
OFF = {"trust.weight": "false"}
VARIANTS = {
    "without": OFF,
    "weight": {"trust.weight": "true"},
    "filter": OFF | {"trust.drop_below": "0.8"},
    "soft": OFF | {"trust.soft": "true"},
    "shuffled": {"trust.weight": "true", "trust.shuffled": "true"},
}
REPEATED = (0.0, 0.4)
"""Rates with three seeds."""
CONTROLLED = ("translate_train", "dragoman")
"""Arms that are trained with shuffled trust too."""


@dataclass(frozen=True)
class Job:
    """One training."""

    arm: str
    variant: str
    rate: float
    seed: int

    def report(self, out: Path) -> Path:
        """Its report; new scores of trust are a new report."""
        scores = "" if self.variant == "without" else f"-{fingerprint(corpus_of(out, self.rate))}"
        return out / "reports" / f"{self.arm}-{self.variant}-{self.rate:g}-{self.seed}{scores}"


def main() -> None:
    """Damage, score, train, evaluate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--rates", default=",".join(f"{rate:g}" for rate in RATES))
    parser.add_argument("--seeds", default="1,2,3", help="the second and third at some rates only")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, a thread each")
    parser.add_argument("--results", action="store_true", help="only write the page from what is finished")
    options = parser.parse_args()
    # The gradient of the embeddings is a large block; without these, every step asks the system for it anew.
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
    os.environ["OMP_NUM_THREADS"] = "1"
    prepare(options.data, options.out)
    if not options.results:
        arms, variants = options.arms.split(","), options.variants.split(",")
        rates, seeds = set(map(float, options.rates.split(","))), set(map(int, options.seeds.split(",")))
        chosen = [
            job
            for job in jobs()
            if job.arm in arms and job.variant in variants and job.rate in rates and job.seed in seeds
        ]
        for rate in sorted({job.rate for job in chosen if job.variant != "without"}):
            call("trust", corpus_of(options.out, rate))
        train_all(chosen, options.out, options.workers)
    write(gather(options.out), HERE)


def jobs() -> Iterator[Job]:
    """All trainings, those first that say most."""
    for variants in (("without", "weight"), ("filter",), ("soft",)):
        for rates in (REPEATED, (0.6,), (0.2,), (0.1,)):
            yield from (Job(a, v, rate, 1) for a in ARMS for rate in rates for v in variants)
    for seed in (2, 3):
        yield from (Job(a, v, rate, seed) for a in ARMS for rate in REPEATED for v in ("without", "weight"))
    yield from (Job(arm, "shuffled", rate, 1) for arm in CONTROLLED for rate in RATES)


def train_all(chosen: list[Job], out: Path, workers: int) -> None:
    """Train and evaluate what is not finished."""
    missing = [job for job in chosen if not (job.report(out) / "manifest.json").is_file()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(run, job, out): job for job in missing}
        for number, future in enumerate(as_completed(futures), 1):
            print(f"{number}/{len(missing)} {futures[future]}: {future.result():.1f}", file=sys.stderr)


def run(job: Job, out: Path) -> float:
    """Train and evaluate, and keep the report only; the SumR."""
    from dragoman.pipelines.evaluate import evaluate
    from dragoman.recipes import load_recipe
    from dragoman.reports.settings import EvaluationSettings
    from dragoman.training import train

    corpus, report, started = corpus_of(out, job.rate), job.report(out), time.process_time()
    settings = COMMON | {"seed": job.seed} | VARIANTS[job.variant]
    config = load_recipe(job.arm)("en", ("pt",), FEATURES)
    config = config.with_settings({name: str(value) for name, value in settings.items()})
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        train(corpus, config, scratch, device="cpu")
        trained = time.process_time() - started
        asked = EvaluationSettings(languages=["pt"], match={"pt": [MATCH]})
        found = evaluate(scratch, corpus, asked, out=report)
    (report / "seconds.json").write_text(json.dumps(trained))
    return float(found["results"]["pt"]["direct"]["sum_r"])


def gather(out: Path) -> dict[str, object]:
    """Everything that is finished, and what is not."""
    done = {job: path for job in jobs() if ((path := job.report(out)) / "manifest.json").is_file()}
    curves: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for job, path in done.items():
        found = json.loads((path / "report.json").read_text())["results"]["pt"]["direct"]["sum_r"]
        seeds = curves.setdefault(job.arm, {}).setdefault(job.variant, {}).setdefault(f"{job.rate:g}", {})
        seeds[str(job.seed)] = found
    differences: dict[str, dict[str, dict[str, object]]] = {}
    for arm, variant, rate in dict.fromkeys((job.arm, job.variant, job.rate) for job in done):
        plain = [replace(job, variant="without") for job in done if (job.arm, job.rate) == (arm, rate)]
        pairs = [(job, replace(job, variant=variant)) for job in dict.fromkeys(plain)]
        both = [(done[a], done[b]) for a, b in pairs if a in done and b in done]
        if both and variant != "without":
            of_variant = differences.setdefault(arm, {}).setdefault(variant, {})
            of_variant[f"{rate:g}"] = difference(*map(list, zip(*both, strict=True)))
    scored = [rate for rate in RATES if (corpus_of(out, rate) / "trust" / "signals.parquet").is_file()]
    return {
        "circumstances": circumstances(list(done.values())),
        "auc": {f"{rate:g}": detection(corpus_of(out, rate)) for rate in scored if rate},
        "sum_r": curves,
        "differences": differences,
        "missing": [" ".join(map(str, astuple(job))) for job in jobs() if job not in done],
    }


def circumstances(reports: Sequence[Path]) -> dict[str, object]:
    """How the numbers came about."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
    seconds = [float((path / "seconds.json").read_text()) for path in reports]
    return {
        "command": "python benchmarks/noise_curve/run.py --data DIR --out WORK",
        "commit": commit.stdout.strip(),
        "computer": f"{platform.machine()}, {os.cpu_count()} cores",
        "train_items": TRAIN_ITEMS,
        "noise_seed": NOISE_SEED,
        "rates": [f"{rate:g}" for rate in RATES],
        "settings": {name: value for name, value in COMMON.items() if name not in UNTOLD},
        "seconds": statistics.median(seconds) if seconds else 0.0,
    }


if __name__ == "__main__":
    main()
