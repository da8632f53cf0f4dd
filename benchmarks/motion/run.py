"""Who sees the order of frames: the mean, NRCCR's frame encoder, a temporal transformer; on scenes in motion.

    python benchmarks/motion/run.py --out WORK [--tower models/mobilenet_v2_imagenet] [--seeds 1,2,3]

4,800 clips, each with its reversal among them, English captions and Apertium's Portuguese (apt-get install
apertium apertium-eng-spa apertium-es-pt; of 1,200 clips it is recorded); frames twice a second through the
vision tower `--tower`, or without one the world's own features `grid`, once a second. Besides recall, every
test caption chooses between its clip and the reversal of that, and every test clip between its caption and
the same of its reversal: 50 % is what no order gives. Runs that are finished are not repeated. Writes
results.json and results.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
TARGET = "pt"
LANGUAGES = (TARGET, "en")
POOLINGS = {"mean": "0.005", "nrccr": "0.005", "temporal": "0.001"}
"""With the learning rate of each."""
ARMS = {
    "mean": ("mean", "true"),
    "nrccr": ("nrccr", "true"),
    "temporal": ("temporal", "true"),
    "temporal, easy": ("temporal", "false"),
}
"""`video.pooling` and `hard_negatives`."""
RECORDED = 1200
"""Clips whose captions Apertium's recording holds."""
ENGINE, BACK = "apertium:eng-spa|es-pt", "apertium:pt-es|spa-eng"
SETTINGS = {
    "batch_size": "128",
    "text.width": "128",
    "text.dropout": "0",
    "text.piece_dropout": "0",
    "text.whole_dropout": "0.2",
    "word_dropout": "0",
    "dual.hidden": "128",
    "dual.joint": "256",
    "dual.dropout": "0",
    "dual.image_dropout": "0",
    "video.hidden": "256",
    "video.key_width": "128",
    "video.layers": "2",
    "video.dropout": "0",
    "validation_captions": "500",
    "validate_every": "1000",
    "checkpoint_every": "10000",
}
"""A small model, a high rate and little dropout, which learn most in a short run: with the defaults, order is
not seen yet after 100 steps. One validation, at the end: the last model is the one that is tested."""
UNTOLD = ("validation_captions", "validate_every", "checkpoint_every")
KINDS = {
    "appear": ("appear", "disappear"),
    "go": ("left", "right", "up", "down"),
    "turn": ("clockwise", "anticlockwise"),
    "meet": ("meet", "part"),
}
TIE = 1e-5
"""Cosines closer than this are equal: the order of a sum shows in its last digits."""


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    out: Path
    tower: Path | None
    items: int
    steps: int
    recipes: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: tuple[str, ...]

    @property
    def corpus(self) -> Path:
        return self.out / f"clips-{self.items}"

    @property
    def features(self) -> str:
        return "frames" if self.tower else "grid"

    def folder(self, recipe: str, arm: str, seed: str) -> Path:
        """Of one run and its report."""
        name = (recipe, self.features, arm.replace(", ", "-"), str(self.items), str(self.steps), seed)
        return self.out / "runs" / "-".join(name)


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tower", type=Path)
    parser.add_argument("--items", type=int, default=4800)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--recipes", type=parts, default=("translate_train",))
    parser.add_argument(
        "--arms", type=lambda text: tuple(text.split(";")), default=tuple(ARMS), help="with ;"
    )
    parser.add_argument("--seeds", type=parts, default=("1", "2", "3"))
    options = Options(**vars(parser.parse_args()))
    prepare(options)
    for seed in options.seeds:
        for recipe in options.recipes:
            for arm in options.arms:
                run(options, recipe, arm, seed)
                write(options)


def parts(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def prepare(options: Options) -> None:
    """The clips with translations of their captions, and their frames through the tower."""
    if not (options.corpus / "manifest.json").is_file():
        call("scenes", "--out", options.corpus, "--motion", "--items", options.items)
    recorded = f"recorded:{options.corpus / 'apertium.jsonl.gz'}"
    engine, back = (recorded, recorded) if options.items <= RECORDED else (ENGINE, BACK)
    call("translate", options.corpus, "--to", TARGET, "--engine", engine, "--back", back)
    if options.tower and not (options.corpus / "features" / "frames" / "manifest.json").is_file():
        call("features", options.corpus, "--encoder", options.tower, "--name", "frames", "--every", 0.5)


def run(options: Options, recipe: str, arm: str, seed: str) -> None:
    """Train and evaluate one arm with one seed, unless that is done."""
    folder, (pooling, hard) = options.folder(recipe, arm, seed), ARMS[arm]
    settings = SETTINGS | {"steps": str(options.steps), "learning_rate": POOLINGS[pooling]}
    settings |= {"video.pooling": pooling, "hard_negatives": hard}
    if not (folder / "run" / "manifest.json").is_file():
        started = time.perf_counter()
        call(
            *("train", options.corpus, "--recipe", recipe, "--targets", TARGET),
            *("--features", options.features, "--out", folder / "run", "--seed", seed),
            *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
        )
        (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - started))
    if not (folder / "report" / "manifest.json").is_file():
        given = ("--languages", ",".join(LANGUAGES), "--out", folder / "report")
        call("evaluate", folder / "run", options.corpus, *given)
    if not (folder / "choices.json").is_file():
        found = choices(folder / "run", options.corpus, options.features)
        (folder / "choices.json").write_text(json.dumps(found, indent=1) + "\n")


def choices(run: Path, corpus: Path, features: str) -> dict[str, dict[str, float]]:
    """Percent of right choices between a clip and its reversal: per language by the caption and by the clip,
    and per kind of event by the caption; a tie counts half."""
    from dragoman.corpus import Corpus
    from dragoman.retrievers.trained import Retriever

    opened, retriever = Corpus.open(corpus), Retriever.load(run)
    items = {row["item_id"]: row for row in opened.items.to_pylist() if row["split"] == "test"}
    rows = [row for row in opened.captions.to_pylist() if row["item_id"] in items]
    frames = opened.features(features)
    clips = retriever.encode_features(frames.whole(frames.rows(list(items))))
    clip_of = dict(zip(items, clips, strict=True))
    texts = retriever.encode_text([row["text"] for row in rows])
    text_of = dict(zip((row["caption_id"] for row in rows), texts, strict=True))
    right: dict[str, dict[str, list[float]]] = {"by caption": {}, "by clip": {}, "by event": {}}
    for row in rows:
        item = items[row["item_id"]]
        clip, text = clip_of[row["item_id"]], text_of[row["caption_id"]]
        reversed_caption = row["caption_id"].replace(row["item_id"], item["reversal"], 1)
        by_caption = preferred(text, clip, clip_of[item["reversal"]])
        by_clip = preferred(clip, text, text_of[reversed_caption])
        kind = next(kind for kind, events in KINDS.items() if item["event"] in events)
        for what, key, value in (
            ("by caption", row["lang"], by_caption),
            ("by clip", row["lang"], by_clip),
            ("by event", kind, by_caption),
        ):
            right[what].setdefault(key, []).append(value)
    return {
        what: {key: 100 * statistics.mean(values) for key, values in found.items()}
        for what, found in right.items()
    }


def preferred(query: NDArray[np.float32], own: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """1 where the query is closer to its own, 0.5 where to both alike, else 0."""
    gap = float(query @ own - query @ other)
    return 0.5 if abs(gap) < TIE else float(gap > 0)


def call(*arguments: object) -> None:
    """Run the dragoman command line; its complaints go to our stderr."""
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", *map(str, arguments)]
    print(" ".join(map(str, arguments)), file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def write(options: Options) -> None:
    """results.json and results.md, of what is finished."""
    rates = (f"{rate} ({pooling})" for pooling, rate in POOLINGS.items())
    arms = {f"{recipe}, {arm}": (recipe, arm) for recipe in options.recipes for arm in ARMS}
    found = {name: gather(options, *arm) for name, arm in arms.items()}
    everything = {
        "command": command_line(options),
        "computer": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, shared",
        "clips": options.items,
        "features": options.tower.name if options.tower else "grid",
        "settings": SETTINGS | {"steps": str(options.steps), "learning_rate": " or ".join(rates)},
        "results": {name: runs for name, runs in found.items() if runs},
    }
    (HERE / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text("\n".join(page(everything)) + "\n", encoding="utf-8")


def command_line(options: Options) -> str:
    """What repeats this, wherever its folders are."""
    tower = " --tower TOWER" if options.tower else ""
    chosen = f"--items {options.items} --steps {options.steps} --recipes {','.join(options.recipes)}"
    return f"python benchmarks/motion/run.py --out WORK{tower} {chosen} --seeds {','.join(options.seeds)}"


def gather(options: Options, recipe: str, arm: str) -> list[dict]:
    """What each finished seed gave."""
    found = []
    for seed in options.seeds:
        folder = options.folder(recipe, arm, seed)
        if not (folder / "choices.json").is_file():
            continue
        report = json.loads((folder / "report" / "report.json").read_text())
        found.append(
            {
                "seed": seed,
                "sum_r": {lang: report["results"][lang]["direct"]["sum_r"] for lang in LANGUAGES},
                "choices": json.loads((folder / "choices.json").read_text()),
                "minutes": json.loads((folder / "seconds.json").read_text()) / 60,
            }
        )
    return found


def page(everything: dict) -> Iterator[str]:
    yield "# Scenes in motion: who sees the order of frames\n"
    settings = ", ".join(
        f"{key}={value}" for key, value in everything["settings"].items() if key not in UNTOLD
    )
    yield (
        f"{everything['clips']} clips of the generated world (a quarter the test, half of them reversals), "
        f"features `{everything['features']}`, English captions and Apertium's {TARGET} of them for "
        f"training, captions by grammars for the test; {settings}. Rows are recipe and `video.pooling`; "
        "steps hold hard negatives (`hard_negatives=true`) but for `easy`. Mean ± sample standard deviation "
        "over the seeds. Choices are percent right between a clip and its reversal, 50 by chance: every test "
        "caption chooses a clip, every test clip a caption. SumR = R@1 + R@5 + R@10 in both directions, at "
        "most 600.\n"
    )
    yield f"Command: `{everything['command']}`. Computer: {everything['computer']}, one thread a run.\n"
    results = everything["results"]
    yield "## Choices by captions, per kind of event\n"
    yield from table(results, list(KINDS), lambda one, key: one["choices"]["by event"].get(key, math.nan))
    yield "\n## Choices by captions, per language\n"
    yield from table(results, LANGUAGES, lambda one, key: one["choices"]["by caption"][key])
    yield "\n## Choices by clips, per language\n"
    yield from table(results, LANGUAGES, lambda one, key: one["choices"]["by clip"][key])
    yield "\n## SumR, per language\n"
    yield from table(results, LANGUAGES, lambda one, key: one["sum_r"][key])


def table(results: dict, keys: Sequence[str], value) -> Iterator[str]:
    yield f"| trained | seeds | {' | '.join(keys)} | mean | minutes |"
    yield "|---|---|" + "---|" * (len(keys) + 2)
    for name, runs in results.items():
        columns = [[value(one, key) for one in runs] for key in keys]
        columns.append([statistics.mean(row) for row in zip(*columns, strict=True)])
        minutes = statistics.median(one["minutes"] for one in runs)
        yield f"| {name} | {len(runs)} | {' | '.join(map(show, columns))} | {minutes:.1f} |"


def show(values: Sequence[float]) -> str:
    """Mean and spread."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
