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
import statistics
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from corpora import FEATURES, NOISE_SEED, RATES, TRAIN_ITEMS, corpus_of, fingerprint, prepare
from page import chart, detection, page

from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial
from dragoman.reports.settings import EvaluationSettings
from dragoman.trust import score_trust

HERE = Path(__file__).parent
ASKED = EvaluationSettings(languages=("pt",), match={"pt": ("*#pt#*",)})
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

    def trial(self, out: Path) -> Trial:
        """The training, of which the report is kept; new scores of trust are a new report."""
        corpus = corpus_of(out, self.rate)
        scores = "" if self.variant == "without" else f"-{fingerprint(corpus)}"
        name = f"{self.arm}-{self.variant}-{self.rate:g}-{self.seed}{scores}"
        settings = {name: str(value) for name, value in COMMON.items()} | VARIANTS[self.variant]
        return Trial(
            corpus=corpus,
            arm=Arm(recipe=self.arm, targets=("pt",), features=FEATURES, settings=settings),
            seed=self.seed,
            run=out / "runs" / name,
            reports={out / "reports" / name: ASKED},
            keep_run=False,
        )


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
            score_trust(corpus_of(options.out, rate))
        experiment.perform([job.trial(options.out) for job in chosen], workers=options.workers)
    everything = gather(options.out)
    experiment.write_results(HERE, everything, page(everything))
    chart(everything["sum_r"], HERE / "results.svg")


def jobs() -> Iterator[Job]:
    """All trainings, those first that say most."""
    for variants in (("without", "weight"), ("filter",), ("soft",)):
        for rates in (REPEATED, (0.6,), (0.2,), (0.1,)):
            yield from (Job(a, v, rate, 1) for a in ARMS for rate in rates for v in variants)
    for seed in (2, 3):
        yield from (Job(a, v, rate, seed) for a in ARMS for rate in REPEATED for v in ("without", "weight"))
    yield from (Job(arm, "shuffled", rate, 1) for arm in CONTROLLED for rate in RATES)


def gather(out: Path) -> dict[str, Any]:
    """Gather what is finished, and list what is not."""
    done = {job: report for job in jobs() for report in experiment.finished([*job.trial(out).reports])}
    curves: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for job, report in done.items():
        found = experiment.read_report(report)["results"]["pt"]["direct"]["sum_r"]
        seeds = curves.setdefault(job.arm, {}).setdefault(job.variant, {}).setdefault(f"{job.rate:g}", {})
        seeds[str(job.seed)] = found
    differences: dict[str, dict[str, dict[str, object]]] = {}
    for arm, variant, rate in dict.fromkeys((job.arm, job.variant, job.rate) for job in done):
        plain = [replace(job, variant="without") for job in done if (job.arm, job.rate) == (arm, rate)]
        pairs = [(job, replace(job, variant=variant)) for job in dict.fromkeys(plain)]
        both = [(done[a], done[b]) for a, b in pairs if a in done and b in done]
        if both and variant != "without":
            told = experiment.difference(*zip(*both, strict=True), language="pt") | {"seeds": len(both)}
            differences.setdefault(arm, {}).setdefault(variant, {})[f"{rate:g}"] = told
    scored = [rate for rate in RATES if (corpus_of(out, rate) / "trust" / "signals.parquet").is_file()]
    return {
        "circumstances": experiment.circumstances(
            "python benchmarks/noise_curve/run.py --data DIR --out WORK",
            train_items=TRAIN_ITEMS,
            noise_seed=NOISE_SEED,
            rates=[f"{rate:g}" for rate in RATES],
            settings={name: value for name, value in COMMON.items() if name not in UNTOLD},
            minutes=statistics.median(map(experiment.minutes, done.values())) if done else 0.0,
        ),
        "auc": {f"{rate:g}": detection(corpus_of(out, rate)) for rate in scored if rate},
        "sum_r": curves,
        "differences": differences,
        "missing": [" ".join(map(str, astuple(job))) for job in jobs() if job not in done],
    }


if __name__ == "__main__":
    main()
