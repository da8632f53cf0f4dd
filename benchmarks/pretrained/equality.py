"""Ways to learn seven languages at once on a frozen sentence encoder, at equal recall.

    python benchmarks/pretrained/equality.py --data DIR --out WORK [--seeds 1,2,3]

DIR is the folder `flickr8k_multilingual`. English plus pt, es, gl, zh, uk, ar by whichever engines translated
them; the texts are the vectors `use`, the head is an MLP. An arm is trained at several lengths, each a run of
its own, so that arms are compared at equal captions, at equal images, where they no longer gain, and (for
the consistency of ranks, which follows recall) at one recall that all of them reach.

Consistency is over captions of one meaning: an English caption, and what people made of it in Portuguese and
German. German is never learned. The primary figure, named before the test is looked at, is mrv_std_log at
equal mean SumR of `one_to_k` beside `random`. Runs that are finished are not repeated. Writes equality.json
and equality.md beside this file; seeds that stand there and not in WORK are kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.evaluation.consistency import MRV
from dragoman.evaluation.significance import t_interval
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, spread, table
from dragoman.reports.settings import EvaluationSettings

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
TARGETS = ("pt", "es", "gl", "zh", "uk", "ar")
WRITTEN = ("en", "pt", "zh", "ar", "de")
"""Languages that are asked; the last is not learned."""
LEARNED = ("pt", "zh", "ar")
ALIGNED = ("en", "pt", "de")
LENGTHS = (75, 150, 300, 600)
CAPTIONS_PER_STEP = 512
IMAGES_PER_STEP = 78
"""As many as 1-to-K has: 512 captions over 6.6 languages an image."""


def arm(recipe: str, about: str, images: int | None = None, **settings: object) -> Arm:
    """A way of learning, of so many images a step in place of captions; in names, `__` stands for a dot."""
    changes: dict[str, object] = {
        "text": "frozen:use",
        "dual.text_head": "mlp",
        "dual.joint": 256,
        "dual.image_dropout": 0.3,
        "loss.learn_temperature": "false",
        "word_dropout": 0,
        "learning_rate": 1e-3,
        "weight_decay": 0.2,
        "engines": "*",
        "incomplete": "keep",
        "captions_per_step": None if images else CAPTIONS_PER_STEP,
        "validation_captions": 500,
        "validate_every": 1000,
        "checkpoint_every": 10_000,
        **({"batch_size": images} if images else {}),
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    return Arm(
        recipe=recipe,
        about=about,
        targets=TARGETS,
        features=FEATURES,
        settings={name: str(value) for name, value in changes.items()},
    )


ARMS = {
    "random": arm("random_language", "1-to-1, a random language"),
    "pivot": arm("pivot", "images-English, English-other"),
    "per_language": arm("per_language", "all languages, uncoupled"),
    "one_to_k": arm("one_to_k", "1-to-K"),
    "one_to_k_1/K": arm("one_to_k", "1-to-K, text to image over K", loss__text_weight="inverse_k"),
    "random, equal images": arm("random_language", "1-to-1, a random language", images=IMAGES_PER_STEP),
    "pivot, equal images": arm("pivot", "images-English, English-other", images=IMAGES_PER_STEP),
}
PRIMARY = ("one_to_k", "random")


def main() -> None:
    """Train, evaluate, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=";".join(ARMS), help="by semicolons")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    corpus = experiment.captions_corpus(options.data, options.out / "corpus", wanted, features=FEATURES)
    extract_texts(corpus, encoder="use", options=TextOptions(words=True))
    arms, seeds = options.arms.split(";"), options.seeds.split(",")
    asked = settings_of(options.data)
    trials = [
        Trial(
            corpus=corpus,
            arm=lasting(ARMS[name], steps),
            seed=int(seed),
            run=options.out / "runs" / folder_of(name, steps, seed),
            reports={report_of(options.out, name, steps, seed, kind): asked[kind] for kind in asked},
            keep_run=False,
            device=options.device,
        )
        for seed in seeds
        for name in arms
        for steps in LENGTHS
    ]
    experiment.perform(trials, workers=options.workers)
    everything = measured(options.out, arms, seeds, options.workers)
    experiment.write_results(HERE, everything, page(everything), "equality")


def wanted(caption: Mapping[str, str]) -> bool:
    """True for machine captions, English ones, and what people wrote for validation and test."""
    if caption["role"] == "human":
        return caption["lang"] == "en" or (caption["split"] != "train" and caption["lang"] in WRITTEN)
    return caption["role"] == "mt" and caption["lang"] in TARGETS


def settings_of(data: Path) -> dict[str, EvaluationSettings]:
    """Questions as people write them, and captions of one meaning."""
    with gzip.open(data / "translation_pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        translated = sorted({json.loads(line)["source_id"] for line in lines})
    return {
        "written": EvaluationSettings(languages=WRITTEN, match={"pt": ("*#pt#*",), "de": ("*#de#*",)}),
        "aligned": EvaluationSettings(
            languages=ALIGNED,
            match={"en": translated, "pt": ("*#pt-trans#*",), "de": ("*#de-trans#*",)},
            consistency=ALIGNED,
        ),
    }


def lasting(one: Arm, steps: int) -> Arm:
    """The arm, for so many steps."""
    return replace(one, settings={**one.settings, "steps": str(steps)})


def folder_of(name: str, steps: int, seed: str) -> str:
    """A run as the name of a folder."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    return f"{plain}-{steps}-{seed}"


def report_of(out: Path, name: str, steps: int, seed: str, kind: str) -> Path:
    """The report of one trial and kind of captions."""
    return out / "reports" / f"{folder_of(name, steps, seed)}-{kind}"


Line = dict[str, float]
"""Figures of one run, by name."""


def measured(out: Path, arms: Sequence[str], seeds: Sequence[str], workers: int) -> dict[str, Any]:
    """Gather what is finished, here or on the page of before: by arm, seed and length."""
    file = HERE / "equality.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"results": {}}
    found = {
        name: {
            seed: {
                str(steps): figures(out, name, steps, seed)
                for steps in LENGTHS
                if experiment.finished([report_of(out, name, steps, seed, "aligned")])
            }
            for seed in seeds
        }
        for name in arms
    }
    known = {name: before["results"].get(name, {}) | found.get(name, {}) for name in ARMS}
    results = {
        name: {seed: lines[seed] for seed in sorted(lines, key=int)} for name, lines in known.items() if lines
    }
    asked = ",".join(sorted({seed for lines in results.values() for seed in lines}, key=int))
    command = f"python benchmarks/pretrained/equality.py --data DIR --out WORK --seeds {asked}"
    here = experiment.circumstances(command, workers=workers)
    if any(before["results"].get(name, {}).keys() - found.get(name, {}).keys() for name in ARMS):
        here["commit"] = f"{before['circumstances']['commit']}, {here['commit']}"
    return {"circumstances": here, "results": results}


def figures(out: Path, name: str, steps: int, seed: str) -> Line:
    """SumR by language, and the forms of MRV, mean of both directions."""
    written, aligned = (
        experiment.read_report(report_of(out, name, steps, seed, kind)) for kind in ("written", "aligned")
    )
    found = {lang: written["results"][lang]["direct"]["sum_r"] for lang in WRITTEN}
    found["mean"] = statistics.mean(found[lang] for lang in LEARNED)
    found["aligned"] = statistics.mean(aligned["results"][lang]["direct"]["sum_r"] for lang in ALIGNED)
    return found | {form: aligned["consistency"]["direct"]["mean"][form] for form in MRV}


def at_recall(lines: Mapping[str, Line], recall: float, form: str) -> float | None:
    """The form of MRV at a mean SumR of the aligned captions, between the lengths on both sides of it."""
    ordered = sorted(lines.values(), key=lambda line: line["aligned"])
    sums = [line["aligned"] for line in ordered]
    if not sums or not sums[0] <= recall <= sums[-1]:
        return None
    return float(np.interp(recall, sums, [line[form] for line in ordered]))


def common_recall(results: Mapping[str, Mapping[str, Mapping[str, Line]]]) -> float:
    """The highest mean SumR that each arm reaches with each seed, rounded down."""
    best = [
        max(line["aligned"] for line in lines.values())
        for seeds in results.values()
        for lines in seeds.values()
        if lines
    ]
    return float(np.floor(min(best)))


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    circumstances, results = everything["circumstances"], everything["results"]
    yield "# Seven languages at once, on a frozen sentence encoder\n"
    yield (
        f"Flickr8k: English captions, {', '.join(TARGETS)} from machine translations only; questions by "
        "people, German without any caption learned. MobileNetV2 vectors, Universal Sentence Encoder "
        f"multilingual v3, an MLP. {CAPTIONS_PER_STEP} captions a step, or {IMAGES_PER_STEP} images a step "
        "where it says equal images. SumR = R@1 + R@5 + R@10 in both directions, at most 600, 1,000 test "
        "images. Mean ± sample standard deviation over the seeds; mean is over pt, zh, ar.\n"
    )
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}. "
    yield f"Computer: {circumstances['computer']}, {circumstances['workers']} runs at a time.\n"
    yield "## Recall\n"
    rows = []
    for name, seeds in results.items():
        for steps in map(str, LENGTHS):
            lines = [lines[steps] for lines in seeds.values() if steps in lines]
            if lines:
                sums = (spread([line[column] for line in lines]) for column in ("mean", *WRITTEN))
                rows.append((name, ARMS[name].about, steps, len(lines), *sums))
    yield from table(("arm", "", "steps", "seeds", "mean", *WRITTEN), rows)
    recall = common_recall(results)
    yield f"\n## Consistency at a mean SumR of {recall:.0f}\n"
    yield (
        f"Ranks of captions of one meaning ({', '.join(ALIGNED)}), mean of both directions, between the "
        "lengths whose mean SumR of these captions lies on both sides. Low is consistent. A dash: not "
        "reached with any seed at these lengths.\n"
    )
    rows = []
    for name, seeds in results.items():
        columns = []
        for form in MRV:
            values = [at_recall(lines, recall, form) for lines in seeds.values()]
            columns.append(spread([value for value in values if value is not None], 3))
        rows.append((name, *columns))
    yield from table(("arm", *MRV), rows)
    one, other = (
        {seed: at_recall(lines, recall, "mrv_std_log") for seed, lines in results.get(name, {}).items()}
        for name in PRIMARY
    )
    both = [(one[seed], other[seed]) for seed in one if seed in other]
    gaps = [a - b for a, b in both if a is not None and b is not None]
    if len(gaps) > 1:
        low, high = t_interval(gaps)
        yield (
            f"\nPrimary: mrv_std_log of {PRIMARY[0]} less that of {PRIMARY[1]}, at that recall: "
            f"{statistics.mean(gaps):+.4f} ({low:+.4f} to {high:+.4f}, t interval over {len(gaps)} seeds).\n"
        )
    yield "\n## Consistency at the last length\n"
    yield "Each arm at its own recall: what it has, and no ranking of the arms.\n"
    rows = []
    for name, seeds in results.items():
        lines = [lines[str(LENGTHS[-1])] for lines in seeds.values() if str(LENGTHS[-1]) in lines]
        if lines:
            rows.append(
                (
                    name,
                    spread([line["aligned"] for line in lines]),
                    *(spread([line[form] for line in lines], 3) for form in MRV),
                )
            )
    yield from table(("arm", "mean SumR", *MRV), rows)


if __name__ == "__main__":
    main()
