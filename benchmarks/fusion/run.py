"""Does a fusion encoder help: the dual encoder alone, trained beside a fusion encoder, and re-ranked by it.

    python benchmarks/fusion/run.py --data DIR --tower models/mobilenet_v2_imagenet --out WORK [--seeds 1,2,3]

Two worlds. `scenes`: 2,000 generated pictures captioned in en, pt, es, zh and ar by grammars, seen through
the vision tower `--tower` as one vector or as nine regions beside it; what is where matters there. `photos`:
the folder `flickr8k_multilingual` (captions.jsonl.gz, features/) with English captions and Apertium's
Portuguese, one vector a photo. Runs that are finished are not repeated. Writes results.json and results.md
beside this file.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, spread, table
from dragoman.reports.settings import EvaluationSettings
from dragoman.scenes.world import WorldSettings, write_world

HERE = Path(__file__).parent
COMMAND = "python benchmarks/fusion/run.py --data DIR --tower TOWER --out WORK"
ITEMS = 2000
ENGINE = "apertium:eng-spa|es-pt"
COMMON = {"validation_captions": "500", "validate_every": "1000", "checkpoint_every": "10000"}
FUSIONS = {
    "dual encoder alone": {},
    "with matching": {"loss.mitm_weight": "1"},
    "with matching and hidden words": {"loss.mitm_weight": "1", "loss.cmlm_weight": "1"},
}


@dataclass(frozen=True)
class World:
    """A corpus, one of its feature sets, and how long to train on it."""

    corpus: str
    features: str
    about: str
    targets: tuple[str, ...]
    settings: Mapping[str, str]
    depth: int
    """Hits that the fusion encoder puts into order."""
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the queries."""
        return ("en", *self.targets)


OTHERS = ("pt", "es", "zh", "ar")
SCENES = {"target_captions": "human", "steps": "300", "batch_size": "48"}
PHOTOS = {"steps": "400", "batch_size": "128"}
WRITTEN = {"pt": ("*#pt#*",)}
"""Portuguese written from the photo."""
WORLDS = {
    "scenes": World("scenes", "whole", "generated, one vector", OTHERS, SCENES, 32),
    "scenes, regions": World("scenes", "cells", "generated, 3 x 3 regions", OTHERS, SCENES, 32),
    "photos": World("photos", "mobilenet_v2", "photos, one vector", ("pt",), PHOTOS, 128, WRITTEN),
}


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tower", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    options = parser.parse_args()
    prepare_scenes(options.out / "scenes", options.tower)
    experiment.captions_corpus(options.data, options.out / "photos", wanted, features="mobilenet_v2")
    seeds = options.seeds.split(",")
    arms = [(name, fusion) for name in WORLDS for fusion in FUSIONS]
    experiment.perform([trial(options.out, *one, seed) for seed in seeds for one in arms])
    everything = measured(options.out, seeds)
    experiment.write_results(HERE, everything, page(everything))


def prepare_scenes(corpus: Path, tower: Path) -> None:
    """The generated world, through the tower as one vector and as regions."""
    if not (corpus / "manifest.json").is_file():
        write_world(corpus, WorldSettings(items=ITEMS, languages=OTHERS, target_captions=True))
    for name, grid in (("whole", {}), ("cells", {"grid": 3})):
        extract_features(corpus, encoder=tower, name=name, options=ExtractOptions(**grid))


def wanted(caption: Mapping[str, str]) -> bool:
    """True for English captions, their translations by one engine, and people's Portuguese of the tests."""
    if caption["role"] == "human":
        return caption["lang"] == "en" or (caption["lang"] == "pt" and caption["split"] != "train")
    return caption["lang"] == "pt" and caption["engine"] == ENGINE


def trial(out: Path, name: str, fusion: str, seed: str) -> Trial:
    """One arm with one seed."""
    world = WORLDS[name]
    folder = out / "runs" / "-".join([*f"{name} {fusion}".replace(",", "").split(), seed])
    asked = EvaluationSettings(
        languages=world.languages, match=world.match, rerank=world.depth if FUSIONS[fusion] else 0
    )
    return Trial(
        corpus=out / world.corpus,
        arm=Arm(
            recipe="one_to_k",
            targets=world.targets,
            features=world.features,
            settings=COMMON | world.settings | FUSIONS[fusion],
        ),
        seed=int(seed),
        run=folder / "run",
        reports={folder / "report": asked},
    )


def measured(out: Path, seeds: Sequence[str]) -> dict[str, Any]:
    """Gather what is finished."""
    told = experiment.circumstances(COMMAND)
    found = [
        {"world": name, "fusion": fusion} | gathered
        for name in WORLDS
        for fusion in FUSIONS
        if (gathered := gather([trial(out, name, fusion, seed) for seed in seeds]))
    ]
    return told | {"computer": f"{told['computer']}, shared", "results": found}


def gather(trials: Sequence[Trial]) -> dict[str, dict[str, list[float]]]:
    """`{row: {language: SumR of each seed}}` and the minutes of training; empty where nothing is finished."""
    found: dict[str, dict[str, list[float]]] = {}
    for folder in experiment.finished([report for one in trials for report in one.reports]):
        for lang, rows in experiment.read_report(folder)["results"].items():
            for row in ("direct", "reranked"):
                if row in rows:
                    found.setdefault(row, {}).setdefault(lang, []).append(rows[row]["sum_r"])
        found.setdefault("minutes", {}).setdefault("all", []).append(experiment.minutes(folder))
    return found


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    yield "# A fusion encoder beside the dual encoder\n"
    yield (
        "Recipe `one_to_k`; SumR = R@1 + R@5 + R@10 in both directions, at most 600, mean ± sample standard "
        "deviation over the seeds. `direct` ranks by the dual encoder, `reranked` puts its best 32 (scenes) "
        "or 128 (photos) into the order of the fusion encoder. Scenes: 200 test pictures, captions by "
        f"grammars in all languages, {listed(SCENES)}. Photos: Flickr8k, 1,000 test photos, Portuguese by "
        f"Apertium for training and by people for the test, {listed(PHOTOS)}. An arm with fusion reads "
        "each text of its terms once more, so it sees as many images in more time.\n"
    )
    yield f"Command: `{COMMAND}`. "
    yield f"Computer: {everything['computer']}, one thread a run.\n"
    for name, world in WORLDS.items():
        arms = [one for one in everything["results"] if one["world"] == name]
        if not arms:
            continue
        yield f"## {world.about}\n"
        yield from table(
            ("trained", "row", "seeds", *world.languages, "mean", "minutes"),
            [
                cells(one, row, world.languages)
                for one in arms
                for row in ("direct", "reranked")
                if row in one
            ],
        )
        yield ""


def listed(settings: Mapping[str, str]) -> str:
    """Settings as `--set` takes them."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def cells(one: Mapping[str, Any], row: str, languages: Sequence[str]) -> list[object]:
    """A line of the table: SumR of each language, their mean, and the minutes of training."""
    values = [one[row][lang] for lang in languages]
    means = [statistics.mean(seed) for seed in zip(*values, strict=True)]
    minutes = statistics.median(one["minutes"]["all"])
    return [one["fusion"], row, len(means), *map(spread, (*values, means)), f"{minutes:.1f}"]


if __name__ == "__main__":
    main()
