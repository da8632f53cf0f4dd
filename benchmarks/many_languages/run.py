"""One model for seven languages, from machine translations only, tested on captions by people.

    python benchmarks/many_languages/run.py --data DIR --out WORK [--seeds 1,2,3] [--workers 2]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). English plus pt, es, gl, zh, uk, ar
by whichever engines translated them. Every arm gets the same text encoder, features, steps, learning rate and
number of captions a step; the arms "at equal steps" get as many images a step as 1-to-K has, whatever that
costs. `--words` names a list of Portuguese words (Debian: apt-get install wbrazilian) for the lexicon. Runs
that are finished are not repeated; seeds that results.json holds from elsewhere stay in it. Writes
results.json and results.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from dragoman.evaluation.consistency import MRV, rank_values
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, by_seed, spread, table, told_over
from dragoman.reports.compare import compare
from dragoman.reports.settings import EvaluationSettings
from dragoman.translation import build_lexicon
from dragoman.trust import Bridge, score_trust

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
TARGETS = ("pt", "es", "gl", "zh", "uk", "ar")
TESTED = ("en", "pt", "zh", "ar")
GOAL = ("pt", "zh", "ar")
"""Human captions of languages that were learned from machine ones."""
UNSEEN = ("de", "cs")
ASKED = EvaluationSettings(
    languages=(*TESTED, *UNSEEN),
    # Portuguese and German written from the photo; Arabic and Czech have translations only.
    match={"pt": ("*#pt#*",), "de": ("*#de#*",)},
    consistency=TESTED,
    slots="drawn",
)
CAPTIONS_PER_STEP = 384
STEPS = 400
IMAGES_PER_STEP = 58
"""As many as 1-to-K has: 384 captions over 6.6 languages an image."""
SPREADS = (*MRV, "mrv_var")


def arm(
    recipe: str, about: str, targets: tuple[str, ...] = TARGETS, images: int | None = None, **settings: object
) -> Arm:
    """A row of the table, of so many images a step in place of captions; in names, `__` stands for a dot."""
    size = {"captions_per_step": None, "batch_size": images} if images else {}
    changes: dict[str, object] = {
        "engines": "*",
        "steps": STEPS,
        "captions_per_step": CAPTIONS_PER_STEP,
        "validation_captions": 500,
        "validate_every": 1000,
        "checkpoint_every": 10_000,
        **size,
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    return Arm(
        recipe=recipe,
        about=about,
        targets=targets,
        features=FEATURES,
        settings={name: str(value) for name, value in changes.items()},
    )


def nrccr(lang: str, steps: int) -> Arm:
    """NRCCR for one language."""
    # No engine translated the others back, so they go without NRCCR's cycle.
    back = {} if lang == "pt" else {"loss__cycle": "false"}
    return arm("nrccr", f"NRCCR for {lang} alone", (lang,), incomplete="keep", steps=steps, **back)


# The same number of captions over the run, in steps of half the size.
small = partial(arm, captions_per_step=CAPTIONS_PER_STEP // 2, steps=2 * STEPS)
house = partial(small, "dragoman")
by_images = partial(arm, images=IMAGES_PER_STEP)
ARMS = {
    "source_only": arm("source_only", "English captions alone"),
    "random": arm("random_language", "1-to-1, a random language"),
    "pivot": arm("pivot", "images-English, English-other"),
    "per_language": arm("per_language", "all languages, uncoupled"),
    "one_to_k": arm("one_to_k", "1-to-K"),
    "one_to_k_1/K": arm("one_to_k", "1-to-K, text to image over K", loss__text_weight="inverse_k"),
    **{
        f"nrccr_{lang}{share}": nrccr(lang, steps)
        for lang in GOAL
        for share, steps in (("", STEPS), ("/3", STEPS // 3))
    },
    "random, small steps": small("random_language", "half the captions, twice the steps"),
    "dragoman": house("the house recipe, small steps"),
    "dragoman-links": house("without links between words", text__links=0),
    "random+links": arm("random_language", "1-to-1, with links", text__links=2),
    "one_to_k+links": arm("one_to_k", "1-to-K, with links", text__links=2),
    "dragoman-lexicon": house("without the lexicon", synonyms=0, renderings=0),
    "dragoman-images": house("without extra images", extra_images=0),
    "dragoman-trust": house("without trust", trust__weight="false"),
    "dragoman, shuffled trust": house("trust dealt out at random", trust__shuffled="true"),
    "dragoman+ties": house(
        "with source captions, distillation and bridge",
        always_source="true",
        loss__bridge_weight=0.5,
        loss__distil_weight=0.5,
    ),
    "random, equal steps": by_images("random_language", "1-to-1, a random language"),
    "pivot, equal steps": by_images("pivot", "images-English, English-other"),
    "dragoman, equal steps": by_images("dragoman", "the house recipe"),
}


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", action="store_true", help="write the page anew from results.json alone")
    parser.add_argument("--words", type=Path, default=Path("/usr/share/dict/brazilian"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=";".join(ARMS), help="by semicolons")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of a run")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", action="store_true", help="train nothing, write what is there")
    options = parser.parse_args()
    if options.page:
        everything = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
        experiment.write_results(HERE, everything, page(everything))
        return
    if options.data is None or options.out is None:
        parser.error("--data and --out are needed, but for --page")
    seeds = options.seeds.split(",")
    if not options.results:
        corpus = prepare(options.data, options.out, options.words)
        trials = [
            trial(corpus, options.out, name, seed, options.device)
            for seed in seeds
            for name in options.arms.split(";")
        ]
        experiment.perform(trials, workers=options.workers, threads=options.threads)
    everything = measured(options.out, seeds, vars(options))
    experiment.write_results(HERE, everything, page(everything))


def prepare(data: Path, out: Path, words: Path) -> Path:
    """The corpus of this benchmark, with trust scores and a Portuguese lexicon."""
    corpus = experiment.captions_corpus(data, out / "corpus", wanted, features=FEATURES)
    if not (corpus / "trust" / "manifest.json").is_file():
        bridge = Bridge(source="es", target="pt", engine="apertium:es-pt")
        score_trust(corpus, words={"pt": words}, bridges=[bridge])
    if not (corpus / "lexicon" / "pt.tsv").is_file():
        build_lexicon(corpus, lang="pt", words=words, engine="apertium:pt-es|spa-eng")
    return corpus


def wanted(caption: Mapping[str, str]) -> bool:
    """True for machine captions, English ones, and what people wrote for validation and test."""
    if caption["role"] != "human" or caption["lang"] == "en":
        return True
    return caption["split"] != "train" and caption["lang"] in (*TESTED, *UNSEEN)


def trial(corpus: Path, out: Path, name: str, seed: str, device: str) -> Trial:
    """One arm with one seed."""
    return Trial(
        corpus=corpus,
        arm=ARMS[name],
        seed=int(seed),
        run=out / "runs" / f"{folder_of(name)}-{seed}",
        reports={report_of(out, name, seed): ASKED},
        device=device,
    )


def folder_of(name: str) -> str:
    """An arm as the name of a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def report_of(out: Path, name: str, seed: str) -> Path:
    """The report of one trial."""
    return out / "reports" / f"{folder_of(name)}-{seed}"


Measured = dict[str, dict[str, float]]
"""Seed to metric to value."""


def measured(out: Path, seeds: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what is finished, beside what was measured before in the same circumstances."""
    results = {name: gather(out, name, seeds) for name in ARMS if not name.startswith("nrccr_")}
    for share, name in JOINED.items():
        results[name] = joined_nrccr(out, seeds, share)
    told = experiment.circumstances(
        f"python benchmarks/many_languages/run.py --seeds {','.join(seeds)}",
        steps=STEPS,
        captions_per_step=CAPTIONS_PER_STEP,
        **{name: options[name] for name in ("device", "workers", "threads")},
    )
    earlier = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    if earlier["circumstances"] | {"commit": None} == told | {"commit": None}:
        for name, values in results.items():
            results[name] = dict(sorted((earlier["results"].get(name, {}) | values).items()))
    return {
        "circumstances": told,
        "results": {name: values for name, values in results.items() if values},
        "differences": differences(out, seeds),
    }


def reports_by_seed(out: Path, name: str, seeds: Sequence[str]) -> dict[str, Path]:
    """The complete reports of an arm, by seed."""
    reports = {seed: report_of(out, name, seed) for seed in seeds}
    return {seed: report for seed, report in reports.items() if experiment.finished([report])}


def gather(out: Path, name: str, seeds: Sequence[str]) -> Measured:
    """Read the finished reports of an arm."""
    found: Measured = {}
    for seed, folder in reports_by_seed(out, name, seeds).items():
        report = experiment.read_report(folder)
        sums = {lang: report["results"][lang]["direct"]["sum_r"] for lang in (*TESTED, *UNSEEN)}
        consistency = report["consistency"]["direct"]
        found[seed] = recalls(sums) | {
            f"{direction} {metric}": consistency[direction][metric]
            for direction in ("text_to_image", "image_to_text", "mean")
            for metric in (*SPREADS, "overlap@1", "overlap@10")
        }
        found[seed]["minutes"] = experiment.minutes(folder)
    return found


def recalls(sums: Mapping[str, float]) -> dict[str, float]:
    """SumR of each language, and what follows from them."""
    goal = [sums[lang] for lang in GOAL]
    whole = {f"{lang} sum_r": value for lang, value in sums.items()}
    return whole | {"mean sum_r": statistics.mean(goal), "min sum_r": min(goal)}


JOINED = {"/3": "nrccr, three models, a third each", "": "nrccr, three models, all each"}


def joined_nrccr(out: Path, seeds: Sequence[str], share: str) -> Measured:
    """A model for each language: what its users get, and how far the models' ranks agree."""
    of = {lang: reports_by_seed(out, f"nrccr_{lang}{share}", seeds) for lang in GOAL}
    found: Measured = {}
    for seed in (seed for seed in seeds if all(seed in reports for reports in of.values())):
        folders = {lang: reports[seed] for lang, reports in of.items()}
        minutes = sum(map(experiment.minutes, folders.values()))
        folders["en"] = folders["pt"]
        values = recalls(
            {
                lang: experiment.read_report(folders[lang])["results"][lang]["direct"]["sum_r"]
                for lang in TESTED
            }
        )
        for direction in ("text_to_image", "image_to_text"):
            ranks = np.stack([ranks_of(folders[lang], lang, direction) for lang in TESTED], axis=1)
            spreads = rank_values(ranks)
            values |= {f"{direction} {metric}": float(spreads[metric].mean()) for metric in SPREADS}
        for metric in SPREADS:
            both = [values[f"{direction} {metric}"] for direction in ("text_to_image", "image_to_text")]
            values[f"mean {metric}"] = statistics.mean(both)
        found[seed] = values | {"minutes": minutes}
    return found


def ranks_of(report: Path, lang: str, direction: str) -> np.ndarray:
    """Ranks of the common instances of one language, ordered by instance."""
    lines = [
        line
        for line in pq.read_table(report / "consistency.parquet").to_pylist()
        if (line["language"], line["row"], line["direction"]) == (lang, "direct", direction)
    ]
    lines.sort(key=lambda line: (line["item_id"], line.get("slot") or 0))
    return np.array([line["rank"] for line in lines])


RIVALS = (
    *("random", "random, small steps", "pivot", "per_language", "one_to_k", "one_to_k_1/K"),
    *("random+links", "one_to_k+links"),
)


def differences(out: Path, seeds: Sequence[str]) -> list[dict[str, object]]:
    """Paired differences of `dragoman` and each rival: SumR of each language, and consistency."""
    found: list[dict[str, object]] = []
    ours = reports_by_seed(out, "dragoman", seeds)
    for rival in RIVALS:
        theirs = reports_by_seed(out, rival, seeds)
        both = [seed for seed in theirs if seed in ours]
        if not both:
            continue
        for one in compare([theirs[seed] for seed in both], [ours[seed] for seed in both]):
            whole = one.metric == "sum_r" or (one.metric in MRV and one.direction == "both")
            if whole and one.pair.row == "direct" and one.pair.language not in UNSEEN:
                found.append(
                    {
                        "against": rival,
                        "seeds": len(both),
                        "language": one.pair.language,
                        "metric": one.metric,
                        "difference": one.difference,
                        "interval": list(one.interval),
                        "p": one.p,
                        "over": one.over,
                    }
                )
    return found


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    circumstances, results = everything["circumstances"], everything["results"]
    yield "# Many languages in one model\n"
    yield (
        f"Flickr8k: English captions, {','.join(TARGETS)} from machine translations only; questions by "
        f"people. MobileNetV2 features, {circumstances['steps']} steps, "
        f"{circumstances['captions_per_step']} captions a step, the same text encoder and learning rate for "
        "all. SumR = R@1 + R@5 + R@10 in both directions, at most 600, 1,000 test images. Mean ± sample "
        "standard deviation over the seeds. de and cs are zero-shot: no caption of theirs was seen.\n"
    )
    yield f"Command: `{circumstances['command']}`. Computer: {circumstances['computer']}, "
    yield f"{circumstances['workers']} runs at a time, {circumstances['threads']} thread(s) each.\n"
    yield "## Recall: SumR\n"
    yield "AR is a sixth. Minimum and mean are over pt, zh, ar. The minutes are those of a busy computer.\n"
    columns = ["en", "pt", "zh", "ar", "mean", "min", "de", "cs"]
    yield from table(
        ("arm", "", "seeds", *columns, "minutes"),
        [
            (
                name,
                ARMS[name].about if name in ARMS else "of the captions of the others",
                len(values),
                *(over_seeds(values, f"{column} sum_r") for column in columns),
                f"{statistics.median(one['minutes'] for one in values.values()):.1f}",
            )
            for name, values in results.items()
        ],
    )
    yield "\n## Consistency over en, pt, zh, ar\n"
    yield (
        "Ranks of the common test images, mean of both directions (docs/evaluation.md); mrv_std and mrv_var "
        "as in the literature, mrv_std_clipped of min(rank, 11), mrv_std_log over logarithms of ranks. Low "
        "is consistent **at equal recall** only, and no column ranks these arms: mrv_std falls and "
        "mrv_std_clipped rises with recall, mrv_std_log favours arms that are bad everywhere. Captions were "
        "written apart, so that a perfect model would not score 0. Where a language has more captions of an "
        "image than another, the common ones are drawn.\n"
    )
    digits = {
        "mrv_std": 1,
        "mrv_std_clipped": 2,
        "mrv_std_log": 3,
        "mrv_var": 1,
        "overlap@1": 3,
        "overlap@10": 3,
    }
    yield from table(
        ("arm", *digits),
        [
            (name, *(over_seeds(values, f"mean {metric}", digits[metric]) for metric in digits))
            for name, values in results.items()
        ],
    )
    yield from beside_recall(results)
    yield "\n## dragoman against its rivals\n"
    yield (
        f"Of the mean of the seeds. {told_over(everything['differences'])}. The last columns are of the "
        "seeds alone, paired: each difference, and the t interval of their mean. None is corrected for the "
        "number of lines; no primary figure was named beforehand.\n"
    )
    yield from table(
        (
            *("against", "seeds", "language", "metric", "difference", "95 % interval", "p"),
            *("each seed", "95 % over seeds"),
        ),
        [
            (
                *(one[name] for name in ("against", "seeds", "language", "metric")),
                f"{one['difference']:+.1f}",
                "{:+.1f} to {:+.1f}".format(*one["interval"]),
                f"{one['p']:.4f}",
                *by_seed(*seeds_of(results, one)),
            )
            for one in everything["differences"]
        ],
    )


def beside_recall(results: Mapping[str, Measured]) -> Iterator[str]:
    """Tell how much of each form of MRV is recall: arms by recall, and how far they are off its line."""
    recall = {
        name: statistics.mean(one[f"{lang} sum_r"] for one in values.values() for lang in TESTED)
        for name, values in results.items()
    }
    forms = {}
    for form in MRV:
        means = {
            name: statistics.mean(one[f"mean {form}"] for one in values.values())
            for name, values in results.items()
            if all(f"mean {form}" in one for one in values.values())
        }
        x, y = (np.log([of[name] for name in means]) for of in (recall, means))
        slope, start = np.polyfit(x, y, 1)
        off = y - (start + slope * x)
        told = {name: (means[name], 100 * (np.exp(one) - 1)) for name, one in zip(means, off, strict=True)}
        forms[form] = (1 - off.var() / y.var(), told)
    shares = ", ".join(f"{form} {100 * share:.0f} %" for form, (share, _) in forms.items())
    yield "\n## Consistency beside recall\n"
    yield (
        f"By the mean SumR of {', '.join(TESTED)}. So much of the variation over the arms is recall (R² of a "
        f"line through the logarithms): {shares}. In percent, how far an arm is off that line, which is no "
        "more than a hint: arms at one recall each cannot tell what another recall would bring.\n"
    )
    rows = []
    for name in sorted(recall, key=lambda one: recall[one]):
        cells = [
            f"{told[name][0]:.{digits}f} ({told[name][1]:+.0f} %)" if name in told else "–"
            for (_, told), digits in zip(forms.values(), (1, 2, 3), strict=True)
        ]
        rows.append((name, f"{recall[name]:.1f}", *cells))
    yield from table(("arm", "mean SumR", *forms), rows)


def seeds_of(results: Mapping[str, Measured], one: Mapping[str, Any]) -> list[list[float]]:
    """The figure of a difference under the seeds that `dragoman` and its rival have in common."""
    name = f"{one['language']} sum_r" if one["metric"] == "sum_r" else f"mean {one['metric']}"
    theirs, ours = results[one["against"]], results["dragoman"]
    both = [seed for seed in theirs if seed in ours]
    return [[of[seed][name] for seed in both] for of in (theirs, ours)]


def over_seeds(values: Mapping[str, Mapping[str, float]], metric: str, digits: int = 1) -> str:
    """Mean and spread of a metric over the seeds that have it."""
    return spread([one[metric] for one in values.values() if metric in one], digits)


if __name__ == "__main__":
    main()
