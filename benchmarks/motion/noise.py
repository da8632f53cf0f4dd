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
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from run import POOLINGS, SETTINGS, TARGET, UNTOLD, Options, call, prepare, show

from dragoman.reports.compare import compare

HERE = Path(__file__).parent
BACK = "apertium:pt-es|spa-eng"
DONORS = ("es", "gl")
"""Languages that only lend their captions as wrong ones."""
POOLING = "nrccr"
RATES = (0.0, 0.2, 0.4, 0.6)
REPEATED = (0.0, 0.4)
"""Rates with three seeds."""
RECIPES = ("translate_train", "nrccr")
VARIANTS = {"without": "false", "weight": "true"}
"""Of trust, with the value of `trust.weight`."""


@dataclass(frozen=True)
class Job:
    """One training."""

    recipe: str
    variant: str
    rate: float
    seed: str

    def report(self, options: Options) -> Path:
        """Its report."""
        name = (self.recipe, self.variant, f"{self.rate:g}", str(options.steps), self.seed)
        return options.out / "noise-reports" / "-".join(name)


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
        for job in jobs(options):
            run(options, job)
            write(options)
    write(options)


def damage(options: Options) -> None:
    """A corpus for every rate, with trust."""
    prepare(options)
    engine = f"recorded:{options.corpus / 'apertium.jsonl.gz'}"
    for donor in DONORS:
        call("translate", options.corpus, "--to", donor, "--engine", engine)
    for rate in RATES:
        corpus = damaged(options, rate)
        if not (corpus / "manifest.json").is_file():
            settings = ("--lang", TARGET, "--rate", rate, "--seed", 1, "--back", BACK)
            call("noise", options.corpus, *settings, "--out", corpus)
        if not (corpus / "trust" / "signals.parquet").is_file():
            call("trust", corpus)


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


def run(options: Options, job: Job) -> None:
    """Train and evaluate, unless that is done; the report is kept."""
    report, corpus = job.report(options), damaged(options, job.rate)
    if (report / "manifest.json").is_file():
        return
    settings = SETTINGS | {"steps": str(options.steps), "learning_rate": POOLINGS[POOLING]}
    settings |= {"video.pooling": POOLING, "trust.weight": VARIANTS[job.variant]}
    with tempfile.TemporaryDirectory(dir=options.out) as scratch:
        call(
            *("train", corpus, "--recipe", job.recipe, "--targets", TARGET),
            *("--features", options.features, "--out", f"{scratch}/run", "--seed", job.seed),
            *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
        )
        call("evaluate", f"{scratch}/run", corpus, "--languages", TARGET, "--out", report)


def write(options: Options) -> None:
    """noise.json and noise.md, of what is finished."""
    done = {
        job: report for job in jobs(options) if ((report := job.report(options)) / "manifest.json").is_file()
    }
    results: dict[str, dict[str, dict[str, float]]] = {}
    for job, report in done.items():
        found = json.loads((report / "report.json").read_text())["results"][TARGET]["direct"]["sum_r"]
        row = results.setdefault(f"{job.recipe}, {job.variant}", {})
        row.setdefault(f"{job.rate:g}", {})[job.seed] = found
    plain = ("translate_train", "without")
    differences: dict[str, dict[str, dict[str, object]]] = {}
    for recipe in RECIPES:
        for variant in VARIANTS:
            for rate in RATES:
                pairs = [
                    (done[Job(*plain, rate, seed)], done[Job(recipe, variant, rate, seed)])
                    for seed in options.seeds
                    if {Job(*plain, rate, seed), Job(recipe, variant, rate, seed)} <= set(done)
                ]
                if pairs and (recipe, variant) != plain:
                    (one,) = (o for o in compare(*map(list, zip(*pairs, strict=True))) if o.metric == "sum_r")
                    told = {"difference": one.difference, "interval": list(one.interval)}
                    differences.setdefault(f"{recipe}, {variant}", {})[f"{rate:g}"] = told
    everything = {
        "command": "python benchmarks/motion/noise.py --out WORK"
        + (" --tower TOWER" if options.tower else ""),
        "computer": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, shared",
        "clips": options.items,
        "features": options.tower.name if options.tower else "grid",
        "settings": SETTINGS | {"steps": str(options.steps), "learning_rate": POOLINGS[POOLING]},
        "sum_r": results,
        "differences": differences,
    }
    (HERE / "noise.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    (HERE / "noise.md").write_text("\n".join(page(everything)) + "\n", encoding="utf-8")


def page(everything: dict) -> Iterator[str]:
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
    rates = [f"{rate:g}" for rate in RATES]
    yield "| recipe, trust | " + " | ".join(f"{float(rate):.0%}" for rate in rates) + " |"
    yield "|---" * (len(rates) + 1) + "|"
    for name, row in everything["sum_r"].items():
        cells = (show(list(row[rate].values())) if rate in row else "–" for rate in rates)
        yield f"| {name} | {' | '.join(cells)} |"
    yield "\n## Against translate_train without trust\n"
    yield (
        "Difference of SumR at the same rate and seeds; 95 % intervals by bootstrap over clips, which do not "
        "hold the spread over seeds.\n"
    )
    yield "| recipe, trust | " + " | ".join(f"{float(rate):.0%}" for rate in rates) + " |"
    yield "|---" * (len(rates) + 1) + "|"
    for name, row in everything["differences"].items():
        cells = (tell(row[rate]) if rate in row else "–" for rate in rates)
        yield f"| {name} | {' | '.join(cells)} |"
    spreads = [
        statistics.stdev(seeds.values())
        for row in everything["sum_r"].values()
        for seeds in row.values()
        if len(seeds) > 1
    ]
    if spreads:
        yield f"\nStandard deviation over seeds, median of the cells: {statistics.median(spreads):.1f}."


def tell(one: dict) -> str:
    """A difference with its interval."""
    low, high = one["interval"]
    return f"{one['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
