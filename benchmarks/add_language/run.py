"""Adding a language to a finished model, against training all its languages together.

    python benchmarks/add_language/run.py --data DIR --out WORK [--seeds 1,2,3] [--arms "pt;pt+zh"]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). Every run has the same features,
text encoder, number of steps and captions per step. Runs that are finished are not repeated, so that arms and
seeds can be added later. Writes results.json and results.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.corpus import Corpus
from dragoman.evaluation import Positives, rank_queries, sum_r, summarise
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, spread, table
from dragoman.retrievers.trained import Retriever
from dragoman.training import extended_config, train

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
STEPS = 600
CAPTIONS = 384
ENGINES = {
    "pt": "apertium:eng-spa|es-pt",
    "gl": "apertium:en-gl",
    "zh": "google-2015",
    "ar": "nllb-200-3.3B",
}
QUERIES = {
    "en": ("en", "human", "test", ""),
    "pt written": ("pt", "human", "test", "#pt#"),
    "pt translated": ("pt", "human", "test", "#pt-trans#"),
    "zh": ("zh", "human", "test", ""),
    "ar": ("ar", "human", "test", ""),
    "gl machine, val": ("gl", "mt", "val", ""),
}
"""Column to language, role, split and part of the caption's id; Galician captions by people do not exist."""


BASE = "pt"
"""The arm that others extend: their names begin with its name and a plus."""


def arm(about: str, *targets: str, **settings: object) -> Arm:
    """A run on all of `targets`, or one that adds them to the base; in names, `__` stands for a dot."""
    changes = {
        "steps": STEPS,
        "captions_per_step": CAPTIONS,
        # Arabic captions exist for one English caption in five or six: its epochs are short.
        "incomplete": "keep",
        "patience": 99,
        "validation_captions": 1000,
        "checkpoint_every": 1000,
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    return Arm(
        recipe="translate_train",
        about=about,
        targets=targets,
        features=FEATURES,
        settings={name: str(value) for name, value in changes.items()},
    )


text = partial(
    arm,
    "the whole text side",
    extension__learn="text",
    extension__teach_weight=10,
    extension__keep_weight=10,
)
ARMS = {
    BASE: arm("the model that is extended: en and pt", "pt"),
    "joint pt,zh": arm("from scratch", "pt", "zh"),
    "joint pt,ar": arm("from scratch", "pt", "ar"),
    "joint pt,gl": arm("from scratch", "pt", "gl"),
    "pt+zh": arm("new word pieces", "zh"),
    "pt+ar": arm("new word pieces", "ar", validate_every=5),
    "pt+gl": arm("new word pieces", "gl"),
    "pt+zh text": text("zh"),
    "pt+gl text": text("gl"),
    "pt+zh contrast": arm("new pieces, no distillation", "zh", extension__teach_weight=0),
    "pt+zh taught": arm("new pieces, distillation ten times as strong", "zh", extension__teach_weight=10),
}


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=";".join(ARMS), help="by semicolons")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    corpus = experiment.captions_corpus(options.data, options.out / "corpus", wanted, features=FEATURES)
    arms, seeds = options.arms.split(";"), options.seeds.split(",")
    bases = [BASE] if any(extends(name) for name in arms) else []
    for names in (bases, arms):
        trials = [trial(corpus, options.out, name, seed) for seed in seeds for name in names]
        experiment.perform(trials, threads=options.threads)
    everything = measured(options.out, options.threads)
    experiment.write_results(HERE, everything, page(everything))


def wanted(caption: Mapping[str, str]) -> bool:
    """True for English, one engine's translations, and people's captions of target languages in tests."""
    if caption["role"] == "human":
        return caption["lang"] == "en" or (caption["lang"] in ENGINES and caption["split"] == "test")
    return caption["role"] == "mt" and ENGINES.get(caption["lang"]) == caption["engine"]


def extends(name: str) -> bool:
    """True for arms that add a language to the base."""
    return name.startswith(f"{BASE}+")


def trial(corpus: Path, out: Path, name: str, seed: str) -> Trial:
    """One arm with one seed."""
    run = place(out, name, seed)
    return Trial(
        corpus=corpus,
        arm=ARMS[name],
        seed=int(seed),
        run=run,
        reports={},
        measures={run / "sum_r.json": evaluate},
        train=partial(extend, base=place(out, BASE, seed)) if extends(name) else None,
    )


def extend(trial: Trial, base: Path) -> None:
    """Add the arm's languages to the base."""
    settings = {**trial.arm.settings, "seed": str(trial.seed)}
    config = extended_config(base, trial.arm.targets).with_settings(settings)
    train(trial.corpus, config, trial.run, init=base, device=trial.device)


def place(out: Path, name: str, seed: str) -> Path:
    """The folder of a run."""
    return out / "runs" / f"{name.replace(' ', '-').replace(',', '-')}-{seed}"


def evaluate(trial: Trial) -> dict[str, float]:
    """SumR of each kind of queries, against all images of their split."""
    corpus, retriever = Corpus.open(trial.corpus), Retriever.load(trial.run)
    features = corpus.features(FEATURES)
    rows = corpus.captions.to_pylist()
    split_of = {item["item_id"]: item["split"] for item in corpus.items.to_pylist()}
    found = {}
    for name, (lang, role, split, part) in QUERIES.items():
        items = [item_id for item_id, where in split_of.items() if where == split]
        asked = [
            row
            for row in rows
            if (row["lang"], row["role"], split_of[row["item_id"]]) == (lang, role, split)
            and part in row["caption_id"]
        ]
        texts = retriever.encode_text([row["text"] for row in asked])
        images = retriever.encode_features(features.vectors[features.rows(items)])
        of_item = [row["item_id"] for row in asked]
        captioned = [item_id for item_id in items if item_id in set(of_item)]
        own = images[np.isin(items, captioned)]
        found[name] = sum_r(
            summarise(rank_queries(texts, images, Positives.from_items(of_item, items))),
            summarise(rank_queries(own, texts, Positives.from_items(captioned, of_item))),
        )
    return found


def measured(out: Path, threads: int) -> dict[str, Any]:
    """Gather what is finished."""
    results: dict[str, dict[str, list[float]]] = {}
    seeds = sorted({folder.name.rsplit("-", 1)[1] for folder in (out / "runs").iterdir()})
    for name in ARMS:
        for run in (place(out, name, seed) for seed in seeds):
            if (run / "sum_r.json").is_file():
                values = json.loads((run / "sum_r.json").read_text(encoding="utf-8"))
                values["seconds"] = 60 * experiment.minutes(run)
                for column, value in values.items():
                    results.setdefault(name, {}).setdefault(column, []).append(value)
    told = experiment.circumstances(
        "python benchmarks/add_language/run.py --data DIR --out WORK",
        steps=STEPS,
        captions_per_step=CAPTIONS,
        threads=threads,
    )
    return {"circumstances": told, "results": results}


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    circumstances, results = everything["circumstances"], everything["results"]
    yield "# Adding a language to a finished model\n"
    yield (
        "Flickr8k, English captions, machine translations by one engine a language (Portuguese Apertium in "
        "two hops, Galician Apertium, Chinese Google 2015, Arabic NLLB for one English caption in five or "
        "six), MobileNetV2 features, recipe `translate_train`, the small text encoder, "
        f"{circumstances['steps']} steps of {circumstances['captions_per_step']} captions each. SumR = R@1 + "
        "R@5 + R@10 in both directions, at most 600, of human captions against all 1,000 test photos; "
        "Galician, which nobody wrote, of machine-translated validation captions. Mean ± sample standard "
        "deviation over the seeds. Minutes: median of the runs, on a computer that did other work as well.\n"
    )
    yield f"Command: `{circumstances['command']}`. Computer: {circumstances['computer']}, "
    yield f"{circumstances['threads']} thread(s).\n"
    yield from table(
        ("arm", "", "seeds", *QUERIES, "minutes"),
        [
            (
                name,
                ARMS[name].about,
                len(values["seconds"]),
                *(spread(values[column]) for column in QUERIES),
                f"{statistics.median(values['seconds']) / 60:.1f}",
            )
            for name, values in results.items()
        ],
    )


if __name__ == "__main__":
    main()
