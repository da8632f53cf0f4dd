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
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus import Corpus
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.media.frames import Sampling
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, spread, table
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.trained import Retriever
from dragoman.scenes.world import WorldSettings, write_world
from dragoman.translation import translate

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
    """The size of the world and of the trainings, and which of these."""

    out: Path
    tower: Path | None
    items: int
    steps: int
    recipes: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: tuple[str, ...]

    @property
    def corpus(self) -> Path:
        """The folder of the clips."""
        return self.out / f"clips-{self.items}"

    @property
    def features(self) -> str:
        """The feature set that is trained on."""
        return "frames" if self.tower else "grid"

    def arm(self, recipe: str, pooling: str, **more: str) -> Arm:
        """A way of training; in the names of further settings, `__` stands for a dot."""
        settings = SETTINGS | {"steps": str(self.steps), "learning_rate": POOLINGS[pooling]}
        settings |= {"video.pooling": pooling} | {key.replace("__", "."): more[key] for key in more}
        return Arm(recipe=recipe, targets=(TARGET,), features=self.features, settings=settings)

    def trial(self, recipe: str, name: str, seed: str) -> Trial:
        """One arm with one seed."""
        parts = (recipe, self.features, name.replace(", ", "-"), str(self.items), str(self.steps), seed)
        folder = self.out / "runs" / "-".join(parts)
        pooling, hard = ARMS[name]
        return Trial(
            corpus=self.corpus,
            arm=self.arm(recipe, pooling, hard_negatives=hard),
            seed=int(seed),
            run=folder / "run",
            reports={folder / "report": EvaluationSettings(languages=LANGUAGES)},
            measures={folder / "choices.json": choices},
        )


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
    arms = [(recipe, name) for recipe in options.recipes for name in options.arms]
    experiment.perform([options.trial(*one, seed) for seed in options.seeds for one in arms])
    everything = measured(options)
    experiment.write_results(HERE, everything, page(everything))


def parts(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(text.split(","))


def prepare(options: Options) -> None:
    """The clips with translations of their captions, and their frames through the tower."""
    if not (options.corpus / "manifest.json").is_file():
        write_world(options.corpus, WorldSettings(motion=True, items=options.items))
    recorded = f"recorded:{options.corpus / 'apertium.jsonl.gz'}"
    engine, back = (recorded, recorded) if options.items <= RECORDED else (ENGINE, BACK)
    translate(options.corpus, to=TARGET, engine=engine, back=back)
    if options.tower and not (options.corpus / "features" / "frames" / "manifest.json").is_file():
        extracted = ExtractOptions(sampling=Sampling(every=0.5))
        extract_features(options.corpus, encoder=options.tower, name="frames", options=extracted)


def choices(trial: Trial) -> dict[str, dict[str, float]]:
    """Percent of right choices between a clip and its reversal: per language by the caption and by the clip,
    and per kind of event by the caption; a tie counts half."""
    opened, retriever = Corpus.open(trial.corpus), Retriever.load(trial.run)
    items = {row["item_id"]: row for row in opened.items.to_pylist() if row["split"] == "test"}
    rows = [row for row in opened.captions.to_pylist() if row["item_id"] in items]
    frames = opened.features(trial.arm.features)
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


def conditions(options: Options, command: str, **more: str) -> dict[str, object]:
    """Tell how the figures came about; `more` are settings."""
    told = experiment.circumstances(command)
    return told | {
        "computer": f"{told['computer']}, shared",
        "clips": options.items,
        "features": options.tower.name if options.tower else "grid",
        "settings": SETTINGS | {"steps": str(options.steps)} | more,
    }


def measured(options: Options) -> dict[str, Any]:
    """Gather what is finished."""
    tower = " --tower TOWER" if options.tower else ""
    chosen = f"--items {options.items} --steps {options.steps} --recipes {','.join(options.recipes)}"
    command = f"python benchmarks/motion/run.py --out WORK{tower} {chosen} --seeds {','.join(options.seeds)}"
    rates = " or ".join(f"{rate} ({pooling})" for pooling, rate in POOLINGS.items())
    found = {
        f"{recipe}, {name}": [
            gather(trial)
            for seed in options.seeds
            if not (trial := options.trial(recipe, name, seed)).missing
        ]
        for recipe in options.recipes
        for name in ARMS
    }
    return conditions(options, command, learning_rate=rates) | {
        "results": {name: runs for name, runs in found.items() if runs}
    }


def gather(trial: Trial) -> dict[str, Any]:
    """Tell what a finished trial gave."""
    (folder,), (choice,) = trial.reports, trial.measures
    results = experiment.read_report(folder)["results"]
    return {
        "seed": str(trial.seed),
        "sum_r": {lang: results[lang]["direct"]["sum_r"] for lang in LANGUAGES},
        "choices": json.loads(choice.read_text(encoding="utf-8")),
        "minutes": experiment.minutes(folder),
    }


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
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
    results = everything["results"]
    yield "## Choices by captions, per kind of event\n"
    yield from rows(results, list(KINDS), lambda one, key: one["choices"]["by event"].get(key, math.nan))
    yield "\n## Choices by captions, per language\n"
    yield from rows(results, LANGUAGES, lambda one, key: one["choices"]["by caption"][key])
    yield "\n## Choices by clips, per language\n"
    yield from rows(results, LANGUAGES, lambda one, key: one["choices"]["by clip"][key])
    yield "\n## SumR, per language\n"
    yield from rows(results, LANGUAGES, lambda one, key: one["sum_r"][key])


def rows(
    results: Mapping[str, Sequence[Any]], keys: Sequence[str], value: Callable[[Any, str], float]
) -> Iterator[str]:
    """A table with a row for each arm, a column for each key, their mean, and the minutes."""
    lines = []
    for name, runs in results.items():
        columns = [[value(one, key) for one in runs] for key in keys]
        columns.append([statistics.mean(row) for row in zip(*columns, strict=True)])
        minutes = statistics.median(one["minutes"] for one in runs)
        lines.append((name, len(runs), *map(spread, columns), f"{minutes:.1f}"))
    return table(("trained", "seeds", *keys, "mean", "minutes"), lines)


if __name__ == "__main__":
    main()
