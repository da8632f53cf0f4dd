"""The methods of the field on one bench: equal encoder, captions read, steps, rate and looks at validation.

    python benchmarks/methods/methods.py --data DIR --out WORK [--seeds 1,2,3] [--methods nrccr,one_to_k]
    python benchmarks/methods/methods.py --data DIR --out WORK --noise 0.4

DIR is the folder `flickr8k_multilingual`. WORK may be that of `benchmarks/pretrained/noise.py`, whose corpus
and runs are used again. All methods stand on the kept vectors `use` of texts and words, learn from English
captions and their machine translations into Portuguese, are chosen on machine-translated captions of val, and
are asked by captions of test that people wrote: Portuguese, which they learned, and Chinese, Arabic, German
and Czech, of which they saw nothing. --noise is the share of the machine captions that were damaged on
purpose. Runs that are finished are not repeated. Writes results.json and results.md beside this file, of all
that WORK holds.

The primary figure, named before the test is looked at, is the mean SumR of Portuguese as it was written from
the photo and as people translated it from English.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "pretrained"))

import noise  # noqa: E402
from equality import settings_of  # noqa: E402
from leccr import copied  # noqa: E402
from noise import BASELINE, ENGINES, ENGLISH, FIXED, LOOKS, STEPS, equal, told  # noqa: E402

from dragoman.descriptions import describe_nearest  # noqa: E402
from dragoman.evaluation.consistency import MRV  # noqa: E402
from dragoman.features.texts import TextOptions, extract_texts  # noqa: E402
from dragoman.folders import MANIFEST  # noqa: E402
from dragoman.pipelines import experiment  # noqa: E402
from dragoman.pipelines.experiment import Arm, Trial, spread, table  # noqa: E402

KINDS = ("written", "aligned")
"""Captions as people wrote them from the photo; and captions of one meaning, translated by people."""
ASKED = ("en", "pt", "zh", "ar", "de", "cs")
RATES = (0.0, 0.4)
TRAIN_IMAGES = 6000
ORACLE, DESCRIBED = "oracle", "leccr"


def by_image(recipe: str, about: str, images: int, **settings: str) -> Arm:
    """A method whose step holds so many images, with the same number of captions as the others."""
    every = {"validate_every": str(STEPS / LOOKS / (TRAIN_IMAGES // images)), "batch_size": str(images)}
    return equal(recipe, about, **(FIXED | every | settings))


METHODS = {
    name: noise.ARMS[name]
    for name in (
        *(ENGLISH, BASELINE, "linear", "mlp", "glossed", "triplet", "nrccr", "nrccr_released"),
        *("translate_train+trust", "translate_train+gsc", "translate_train+ncr"),
    )
} | {
    "random_language": by_image("random_language", "an image with one caption, of either language", 1024),
    "pivot": equal("pivot", "images-English, English-Portuguese", **FIXED),
    "per_language": by_image("per_language", "an image with a caption of each language, uncoupled", 512),
    "one_to_k": by_image("one_to_k", "1-to-K", 512),
    "cl2cm": equal("cl2cm", "a network of texts beside the model teaches it", **FIXED),
    "cl2cm_frozen": equal("cl2cm_frozen", "the frozen vectors of texts teach it", **FIXED),
    "shuffled": equal(
        "cl2cm_frozen", "control: `cl2cm_frozen`, taught of other captions", loss__teacher="shuffled", **FIXED
    ),
    DESCRIBED: equal(
        "leccr", "captions of the five training photos most alike beside a photo", descriptions="use", **FIXED
    ),
    ORACLE: noise.ARMS[ORACLE],
}
"""Rows of the table, the must-beat ones first."""


class Job(NamedTuple):
    """One training."""

    method: str
    rate: float = 0.0
    seed: int = 1

    @property
    def name(self) -> str:
        """Names the folders, as those of noise.py."""
        return f"{self.method}-pt-{self.rate:g}-{self.seed}"

    def report(self, out: Path, kind: str) -> Path:
        """The report on one kind of captions."""
        return out / "method-reports" / f"{self.name}-{kind}"

    def sizes(self, out: Path) -> Path:
        """The file with the number of parameters."""
        return out / "method-sizes" / f"{self.name}.json"

    def trial(self, data: Path, out: Path, device: str) -> Trial:
        """The training, asked with each kind of captions."""
        method = METHODS[self.method]
        changes = dict(method.settings)
        if self.method == ENGLISH:
            method = replace(method, targets=())
        else:
            method = replace(method, targets=("pt",))
            if "target_captions" not in changes:
                changes["engines"] = ",".join(f"pt={engine}" for engine in ENGINES["pt"])
        asked = settings_of(data)
        asked["written"] = replace(asked["written"], languages=ASKED)
        return Trial(
            corpus=corpus_of(out, self.rate, described=self.method == DESCRIBED),
            arm=replace(method, settings=changes),
            seed=self.seed,
            run=out / "noise-runs" / self.name,
            reports={self.report(out, kind): asked[kind] for kind in KINDS},
            measures={self.sizes(out): parameters},
            device=device,
        )


def corpus_of(out: Path, rate: float, *, described: bool) -> Path:
    """The folder of a corpus with so much planted damage."""
    plain = noise.corpus_of(out, rate)
    return plain.with_name(f"{plain.name}-described") if described else plain


def describe(out: Path, rate: float) -> None:
    """Describe the photos in a copy of a corpus, whose other runs stay those of what they were trained on."""
    plain, corpus = (corpus_of(out, rate, described=described) for described in (False, True))
    if not (corpus / MANIFEST).is_file():
        copied(plain, corpus)
    describe_nearest(corpus, noise.FEATURES)
    extract_texts(corpus, encoder="use", options=TextOptions(words=True))


def parameters(trial: Trial) -> dict[str, int]:
    """Count what was learned: the encoder of the sentences is frozen and has none here."""
    from dragoman.retrievers.trained import Retriever

    model = Retriever.load(trial.run).model
    return {"parameters": sum(value.numel() for value in model.parameters())}


def main() -> None:
    """Train, evaluate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--methods", default=",".join(METHODS), help="none writes the page alone")
    parser.add_argument("--noise", type=float, choices=RATES, default=0.0)
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    chosen = [name for name in options.methods.split(",") if name]
    noise.prepare(options.data, options.out, [options.noise])
    if DESCRIBED in chosen:
        describe(options.out, options.noise)
    jobs = [Job(name, options.noise, int(seed)) for seed in options.seeds.split(",") for name in chosen]
    trials = [job.trial(options.data, options.out, options.device) for job in jobs]
    experiment.perform(trials, workers=options.workers)
    everything = measured(options.out, options.workers)
    experiment.write_results(HERE, everything, page(everything))


def measured(out: Path, workers: int) -> dict[str, Any]:
    """Gather what is finished."""
    command = "python benchmarks/methods/methods.py --data DIR --out WORK"
    return {
        "circumstances": experiment.circumstances(command, workers=workers, steps=STEPS),
        "results": {f"{rate:g}": results(out, rate) for rate in RATES},
    }


def results(out: Path, rate: float) -> dict[str, Any]:
    """Figures of the methods by column, one a seed, and their differences to the baseline."""
    found: dict[str, Any] = {}
    seeds = {name: seeds_of(out, name, rate) for name in METHODS}
    for name in (name for name in METHODS if seeds[name]):
        found[name] = figures(out, [Job(name, rate, seed) for seed in seeds[name]])
        both = sorted(set(seeds[name]) & set(seeds[BASELINE]))
        if both and name != BASELINE:
            found[name]["gain"] = experiment.mean_difference(
                [
                    tuple(
                        [Job(one, rate, seed).report(out, kind) for seed in both] for one in (BASELINE, name)
                    )
                    for kind in KINDS
                ],
                language="pt",
            )
    return found


def seeds_of(out: Path, name: str, rate: float) -> list[int]:
    """Seeds with which a method is finished."""
    runs = (out / "method-sizes").glob(f"{name}-pt-{rate:g}-*.json")
    jobs = [Job(name, rate, int(run.stem.rpartition("-")[2])) for run in runs]
    reports = {job: [job.report(out, kind) for kind in KINDS] for job in jobs}
    return sorted(job.seed for job, some in reports.items() if experiment.finished(some) == some)


def figures(out: Path, jobs: Sequence[Job]) -> dict[str, Any]:
    """SumR by language, forms of MRV over captions of one meaning, minutes and parameters."""
    written, aligned = ([experiment.read_report(job.report(out, kind)) for job in jobs] for kind in KINDS)
    sums = {lang: [one["results"][lang]["direct"]["sum_r"] for one in written] for lang in ASKED}
    translated = [one["results"]["pt"]["direct"]["sum_r"] for one in aligned]
    primary = [statistics.mean(pair) for pair in zip(sums["pt"], translated, strict=True)]
    return {
        "seeds": [job.seed for job in jobs],
        "sum_r": {"primary": primary, "pt translated": translated, **sums},
        "mrv": {form: [one["consistency"]["direct"]["mean"][form] for one in aligned] for form in MRV},
        "minutes": [experiment.minutes(job.report(out, KINDS[0])) for job in jobs],
        "parameters": json.loads(jobs[0].sizes(out).read_text(encoding="utf-8"))["parameters"],
    }


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    circumstances = everything["circumstances"]
    yield "# The methods on one bench\n"
    yield (
        "Flickr8k, MobileNetV2 vectors, Universal Sentence Encoder multilingual v3, frozen: its vector of a "
        "text, and beside it the words (but for `linear` and `mlp`, which have the vector alone). English "
        f"captions and their Portuguese by {ENGINES['pt'][0]}; {circumstances['steps']} steps of 1,024 "
        "captions, back-translations included. SumR = R@1 + R@5 + R@10 in both directions, at most 600, of "
        "1,000 test images and captions by people. zh, ar, de and cs were not learned. Mean ± sample "
        "standard deviation over seeds. *Primary*, named beforehand: the mean of Portuguese written from the "
        f"photo and translated by people. Gain: in that mean over `{BASELINE}`, with its 95 % interval. "
        "MRV: over English, Portuguese and German captions of one meaning, each method at its own recall; "
        "low is consistent.\n"
    )
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}. "
    yield f"Computer: {circumstances['computer']}, {circumstances['workers']} run(s) at a time.\n"
    for rate, found in everything["results"].items():
        if not found:
            continue
        if float(rate):
            yield f"\n## With {float(rate):.0%} of the machine captions damaged\n"
        rows = [
            (
                name,
                METHODS[name].about,
                len(one["seeds"]),
                *(spread(one["sum_r"][column]) for column in ("primary", "en", "zh", "ar", "de", "cs")),
                told(one.get("gain")),
                *(spread(one["mrv"][form], 3) for form in ("mrv_std", "mrv_std_log")),
                f"{statistics.median(one['minutes']):.1f}",
                f"{one['parameters'] / 1e6:.2f}",
            )
            for name, one in found.items()
        ]
        head = ("method", "", "seeds", "primary", "en", "zh", "ar", "de", "cs", "gain")
        yield from table((*head, "mrv_std", "mrv_std_log", "minutes", "parameters (M)"), rows)


if __name__ == "__main__":
    main()
