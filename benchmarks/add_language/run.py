"""Adding a language to a finished model, against training all its languages together.

    python benchmarks/add_language/run.py --data DIR --out WORK [--seeds 1,2,3] [--arms "pt;pt+zh"]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). Every run has the same features,
text encoder, number of steps and captions per step. Runs that are finished are not repeated, so that arms and
seeds can be added later. Writes results.json and results.md beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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
"""Column to language, role, split and part of the caption's id; nobody wrote Galician captions."""


@dataclass(frozen=True)
class Arm:
    """A run: trained from scratch on `targets`, or `init` with `add`."""

    what: str
    targets: str = ""
    init: str = ""
    add: str = ""
    settings: tuple[str, ...] = ()


TEXT = ("extension.learn=text", "extension.teach_weight=10", "extension.keep_weight=10")
ARMS = {
    "pt": Arm("the model that is extended: en and pt", targets="pt"),
    "joint pt,zh": Arm("from scratch", targets="pt,zh"),
    "joint pt,ar": Arm("from scratch", targets="pt,ar"),
    "joint pt,gl": Arm("from scratch", targets="pt,gl"),
    "pt+zh": Arm("new word pieces", init="pt", add="zh"),
    "pt+ar": Arm("new word pieces", init="pt", add="ar", settings=("validate_every=5",)),
    "pt+gl": Arm("new word pieces", init="pt", add="gl"),
    "pt+zh text": Arm("the whole text side", init="pt", add="zh", settings=TEXT),
    "pt+gl text": Arm("the whole text side", init="pt", add="gl", settings=TEXT),
    "pt+zh contrast": Arm(
        "new pieces, no distillation", init="pt", add="zh", settings=("extension.teach_weight=0",)
    ),
    "pt+zh taught": Arm(
        "new pieces, distillation ten times as strong",
        init="pt",
        add="zh",
        settings=("extension.teach_weight=10",),
    ),
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
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    corpus = prepare(options.data, options.out)
    arms = options.arms.split(";")
    for seed in options.seeds.split(","):
        for arm in arms:
            run(corpus, options.out, arm, seed)
            write_results(options.out, options.threads)


def prepare(data: Path, out: Path) -> Path:
    """English, and machine translations into each language by one engine."""
    corpus = out / "corpus"
    if (corpus / "manifest.json").is_file():
        return corpus
    out.mkdir(parents=True, exist_ok=True)
    chosen = out / "captions.jsonl"
    with gzip.open(data / "captions.jsonl.gz", "rb") as lines, chosen.open("wb") as file:
        file.writelines(line for line in lines if wanted(json.loads(line)))
    features = ["--features", data / "features" / f"{FEATURES}.npy", "--feature-ids"]
    call("corpus", "jsonl", chosen, *features, data / "features" / "ids.txt", "--out", corpus)
    return corpus


def wanted(caption: dict[str, str]) -> bool:
    """Whether a caption takes part: no human caption of a target language in training."""
    if caption["role"] == "human":
        return caption["lang"] == "en" or (caption["lang"] in ENGINES and caption["split"] == "test")
    return caption["role"] == "mt" and ENGINES.get(caption["lang"]) == caption["engine"]


def run(corpus: Path, out: Path, arm: str, seed: str) -> None:
    """Train and evaluate one arm with one seed, unless that is done."""
    folder, chosen = place(out, arm, seed), ARMS[arm]
    if not (folder / "manifest.json").is_file():
        started = time.perf_counter()
        if chosen.init:
            run(corpus, out, chosen.init, seed)
            given = ["--init", place(out, chosen.init, seed), "--add", chosen.add]
        else:
            given = ["--recipe", "translate_train", "--targets", chosen.targets, "--features", FEATURES]
        # Arabic captions exist for one English caption in five or six: its epochs are short.
        settings = [f"steps={STEPS}", f"captions_per_step={CAPTIONS}", "incomplete=keep", "patience=99"]
        settings += ["validation_captions=1000", "checkpoint_every=1000", *chosen.settings]
        changes = [part for setting in settings for part in ("--set", setting)]
        call("train", corpus, *given, "--seed", seed, "--device", "cpu", "--out", folder, *changes)
        (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - started))
    if not (folder / "sum_r.json").is_file():
        (folder / "sum_r.json").write_text(json.dumps(evaluate(folder, corpus)))


def place(out: Path, arm: str, seed: str) -> Path:
    """The folder of a run."""
    return out / "runs" / f"{arm.replace(' ', '-').replace(',', '-')}-{seed}"


def evaluate(folder: Path, corpus_folder: Path) -> dict[str, float]:
    """SumR of each kind of queries, against all images of their split."""
    import numpy as np

    import dragoman
    from dragoman.corpus import Corpus
    from dragoman.evaluation import Positives, rank_queries, sum_r, summarise

    corpus, retriever = Corpus.open(corpus_folder), dragoman.Retriever.load(folder)
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


def call(*arguments: object) -> None:
    """Run the dragoman command line; its complaints go to our stderr."""
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", *map(str, arguments)]
    print(" ".join(map(str, arguments)), file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def write_results(out: Path, threads: int) -> None:
    """Gather what is finished into results.json and results.md."""
    results: dict[str, dict[str, list[float]]] = {}
    seeds = sorted({folder.name.rsplit("-", 1)[1] for folder in (out / "runs").iterdir()})
    for arm in ARMS:
        for seed in seeds:
            folder = place(out, arm, seed)
            if (folder / "sum_r.json").is_file():
                values = json.loads((folder / "sum_r.json").read_text())
                values["seconds"] = json.loads((folder / "seconds.json").read_text())
                for name, value in values.items():
                    results.setdefault(arm, {}).setdefault(name, []).append(value)
    circumstances = {
        "command": "python benchmarks/add_language/run.py",
        "steps": STEPS,
        "captions_per_step": CAPTIONS,
        "computer": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": threads,
    }
    everything = {"circumstances": circumstances, "results": results}
    (HERE / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text("\n".join(page(everything)) + "\n", encoding="utf-8")


def page(everything: dict[str, dict]) -> Iterable[str]:
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
    yield f"| arm | | seeds | {' | '.join(QUERIES)} | minutes |"
    yield "|" + "---|" * (len(QUERIES) + 4)
    for arm, values in results.items():
        cells = [show(values[name]) for name in QUERIES]
        minutes = statistics.median(values["seconds"]) / 60
        count = len(values["seconds"])
        yield f"| {arm} | {ARMS[arm].what} | {count} | {' | '.join(cells)} | {minutes:.1f} |"


def show(values: list[float]) -> str:
    """Mean and spread."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
