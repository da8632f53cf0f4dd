"""NRCCR on clips whose translations were damaged on purpose, over the rate of damage.

    python benchmarks/motion/noise.py --out WORK [--tower models/mobilenet_v2_imagenet] [--results]

The clips, the model and the settings of run.py with NRCCR's frame encoder. A share of Apertium's Portuguese
captions is damaged by `dragoman noise` (dropped and swapped words, another clip's caption, Spanish or
Galician), translated back by Apertium (apt-get install apertium apertium-eng-spa apertium-es-pt) and scored
by `dragoman trust`. Every arm is asked with Portuguese by the grammar. Runs that are finished are not
repeated. Writes noise.json and noise.md beside this file.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run import BACK, POOLINGS, TARGET, UNTOLD, Options, conditions, prepare

from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Trial, spread, table
from dragoman.reports.settings import EvaluationSettings
from dragoman.translation import translate
from dragoman.trust import NoiseSettings, plant_noise, score_trust

HERE = Path(__file__).parent
DONORS = ("es", "gl")
"""Languages that only lend their captions as wrong ones."""
POOLING = "nrccr"
RATES = (0.0, 0.2, 0.4, 0.6)
REPEATED = (0.0, 0.4)
"""Rates with three seeds."""
RECIPES = ("translate_train", "nrccr")
VARIANTS = {"without": "false", "weight": "true"}
"""Uses of trust, with the value of `trust.weight`."""


@dataclass(frozen=True)
class Job:
    """One training."""

    recipe: str
    variant: str
    rate: float
    seed: str

    def trial(self, options: Options) -> Trial:
        """The training, of which the report is kept."""
        name = "-".join((self.recipe, self.variant, f"{self.rate:g}", str(options.steps), self.seed))
        return Trial(
            corpus=damaged(options, self.rate),
            arm=options.arm(self.recipe, POOLING, trust__weight=VARIANTS[self.variant]),
            seed=int(self.seed),
            run=options.out / "noise-runs" / name,
            reports={options.out / "noise-reports" / name: EvaluationSettings(languages=(TARGET,))},
            keep_run=False,
        )


def main() -> None:
    """Damage, score, train, evaluate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tower", type=Path)
    parser.add_argument("--items", type=int, default=1200, help="at most 1200, which is what was recorded")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--results", action="store_true", help="only write the page from what is finished")
    chosen = vars(parser.parse_args())
    only_results = chosen.pop("results")
    options = Options(**chosen, recipes=RECIPES, arms=(), seeds=("1", "2", "3"))
    if not only_results:
        damage(options)
        experiment.perform([job.trial(options) for job in jobs(options)])
    everything = measured(options)
    experiment.write_results(HERE, everything, page(everything), "noise")


def damage(options: Options) -> None:
    """A corpus for every rate, with trust."""
    prepare(options)
    engine = f"recorded:{options.corpus / 'apertium.jsonl.gz'}"
    for donor in DONORS:
        translate(options.corpus, to=donor, engine=engine)
    for rate in RATES:
        corpus = damaged(options, rate)
        if not (corpus / "manifest.json").is_file():
            config = NoiseSettings(rate=rate, seed=1)
            plant_noise(options.corpus, corpus, languages=(TARGET,), config=config, back=BACK)
        if not (corpus / "trust" / "signals.parquet").is_file():
            score_trust(corpus)


def damaged(options: Options, rate: float) -> Path:
    """The corpus with so much damage."""
    return options.out / f"noise-{options.items}-{rate:g}"


def jobs(options: Options) -> Iterator[Job]:
    """All trainings, those first that say most."""
    for seed in options.seeds:
        for rate in REPEATED:
            yield from (Job(recipe, "without", rate, seed) for recipe in RECIPES)
    for seed in options.seeds:
        for rate in REPEATED:
            yield from (Job(recipe, "weight", rate, seed) for recipe in RECIPES)
    for rate in (rate for rate in RATES if rate not in REPEATED):
        yield from (Job(recipe, v, rate, options.seeds[0]) for recipe in RECIPES for v in VARIANTS)


def measured(options: Options) -> dict[str, Any]:
    """Gather what is finished."""
    done = {
        job: report for job in jobs(options) for report in experiment.finished([*job.trial(options).reports])
    }
    results: dict[str, dict[str, dict[str, float]]] = {}
    for job, report in done.items():
        row = results.setdefault(f"{job.recipe}, {job.variant}", {})
        found = experiment.read_report(report)["results"][TARGET]["direct"]["sum_r"]
        row.setdefault(f"{job.rate:g}", {})[job.seed] = found
    differences: dict[str, dict[str, dict[str, object]]] = {}
    others = [(recipe, variant) for recipe in RECIPES for variant in VARIANTS]
    for other in others[1:]:
        for rate in RATES:
            pairs = [
                (done[plain], done[job])
                for seed in options.seeds
                if {plain := Job(*others[0], rate, seed), job := Job(*other, rate, seed)} <= set(done)
            ]
            if pairs:
                told = experiment.difference(*zip(*pairs, strict=True), language=TARGET)
                differences.setdefault(", ".join(other), {})[f"{rate:g}"] = told
    tower = " --tower TOWER" if options.tower else ""
    command = f"python benchmarks/motion/noise.py --out WORK{tower}"
    return conditions(options, command, learning_rate=POOLINGS[POOLING]) | {
        "sum_r": results,
        "differences": differences,
    }


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    settings = ", ".join(
        f"{key}={value}" for key, value in everything["settings"].items() if key not in UNTOLD
    )
    yield "# Planted noise in the captions of clips\n"
    yield (
        f"{everything['clips']} clips of the generated world in motion, features "
        f"`{everything['features']}`, English captions and Apertium's Portuguese, a share of which is "
        "damaged as in benchmarks/noise_curve (rate 0 is what Apertium wrote). Asked with Portuguese by the "
        f"grammar, on the test clips. video.pooling={POOLING}, {settings}; recipes otherwise as they are. "
        "SumR = R@1 + R@5 + R@10 in both directions, at most 600; mean ± sample standard deviation where "
        "there are several seeds. `weight` is trust.weight=true.\n"
    )
    yield f"Command: `{everything['command']}`. Computer: {everything['computer']}, one thread a run.\n"
    yield "## SumR over the rate of noise\n"
    head = ("recipe, trust", *(f"{rate:.0%}" for rate in RATES))
    rates = [f"{rate:g}" for rate in RATES]
    yield from table(
        head,
        [
            (name, *(spread([*row.get(rate, {}).values()]) for rate in rates))
            for name, row in everything["sum_r"].items()
        ],
    )
    yield "\n## Against translate_train without trust\n"
    yield (
        "Difference of SumR at the same rate and seeds; 95 % intervals by bootstrap over clips, which do not "
        "hold the spread over seeds.\n"
    )
    yield from table(
        head,
        [
            (name, *(tell(row[rate]) if rate in row else "–" for rate in rates))
            for name, row in everything["differences"].items()
        ],
    )
    spreads = [
        statistics.stdev(seeds.values())
        for row in everything["sum_r"].values()
        for seeds in row.values()
        if len(seeds) > 1
    ]
    if spreads:
        yield f"\nStandard deviation over seeds, median of the cells: {statistics.median(spreads):.1f}."


def tell(one: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(one["difference"], *one["interval"])


if __name__ == "__main__":
    main()
