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
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ITEMS = 2000
ENGINE = "apertium:eng-spa|es-pt"
MATCH = "pt=*#pt#*"
"""Portuguese written from the photo."""
COMMON = {"validation_captions": 500, "validate_every": 1000, "checkpoint_every": 10_000}
FUSIONS = {
    "dual encoder alone": (),
    "with matching": ("loss.mitm_weight=1",),
    "with matching and hidden words": ("loss.mitm_weight=1", "loss.cmlm_weight=1"),
}


@dataclass(frozen=True)
class World:
    """A corpus, one of its feature sets, and how long to train on it."""

    corpus: str
    features: str
    what: str
    targets: str
    languages: str
    settings: tuple[str, ...]
    depth: int
    evaluation: tuple[str, ...] = ()


SCENES = ("target_captions=human", "steps=300", "batch_size=48")
PHOTOS = ("steps=400", "batch_size=128")
WORLDS = {
    "scenes": World("scenes", "whole", "generated, one vector", "pt,es,zh,ar", "en,pt,es,zh,ar", SCENES, 32),
    "scenes, regions": World(
        "scenes", "cells", "generated, 3 x 3 regions", "pt,es,zh,ar", "en,pt,es,zh,ar", SCENES, 32
    ),
    "photos": World(
        "photos", "mobilenet_v2", "photos, one vector", "pt", "en,pt", PHOTOS, 128, ("--match", MATCH)
    ),
}


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tower", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    options = parser.parse_args()
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
    prepare_scenes(options.out / "scenes", options.tower)
    prepare_photos(options.out / "photos", options.data)
    seeds = options.seeds.split(",")
    for seed in seeds:
        for name in WORLDS:
            for fusion in FUSIONS:
                run(options.out, name, fusion, seed)
                write(options.out, seeds)


def prepare_scenes(corpus: Path, tower: Path) -> None:
    """The generated world, through the tower as one vector and as regions."""
    if not (corpus / "manifest.json").is_file():
        languages = ("--languages", "pt,es,zh,ar", "--target-captions")
        call("scenes", "--out", corpus, "--items", ITEMS, *languages)
    for name, grid in (("whole", ()), ("cells", ("--grid", 3))):
        call("features", corpus, "--encoder", tower, "--name", name, *grid)


def prepare_photos(corpus: Path, data: Path) -> None:
    """English captions and their translations by one engine, and the Portuguese of people."""
    if (corpus / "manifest.json").is_file():
        return
    corpus.parent.mkdir(parents=True, exist_ok=True)
    chosen = corpus.parent / "captions.jsonl"
    with gzip.open(data / "captions.jsonl.gz", "rb") as lines, chosen.open("wb") as file:
        file.writelines(line for line in lines if wanted(json.loads(line)))
    features = ("--features", data / "features" / "mobilenet_v2.npy", "--feature-ids")
    call("corpus", "jsonl", chosen, *features, data / "features" / "ids.txt", "--out", corpus)


def wanted(caption: dict[str, str]) -> bool:
    if caption["role"] == "human":
        return caption["lang"] == "en" or (caption["lang"] == "pt" and caption["split"] != "train")
    return caption["lang"] == "pt" and caption["engine"] == ENGINE


def run(out: Path, name: str, fusion: str, seed: str) -> None:
    """Train and evaluate one arm with one seed, unless that is done."""
    world, folder = WORLDS[name], place(out, name, fusion, seed)
    settings = [*(f"{key}={value}" for key, value in COMMON.items()), *world.settings, *FUSIONS[fusion]]
    started = time.perf_counter()
    if not (folder / "run" / "manifest.json").is_file():
        call(
            *("train", out / world.corpus, "--recipe", "one_to_k", "--targets", world.targets),
            *("--features", world.features, "--out", folder / "run", "--seed", seed),
            *(part for setting in settings for part in ("--set", setting)),
        )
        (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - started))
    if not (folder / "report" / "manifest.json").is_file():
        rerank = ("--rerank", world.depth) if FUSIONS[fusion] else ()
        call(
            *("evaluate", folder / "run", out / world.corpus, "--languages", world.languages),
            *(*world.evaluation, *rerank, "--out", folder / "report"),
        )


def place(out: Path, name: str, fusion: str, seed: str) -> Path:
    """The folder of one run and its report."""
    return out / "runs" / "-".join([*f"{name} {fusion}".replace(",", "").split(), seed])


def call(*arguments: object) -> None:
    """Run the dragoman command line; its complaints go to our stderr."""
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", *map(str, arguments)]
    print(" ".join(map(str, arguments)), file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def write(out: Path, seeds: list[str]) -> None:
    """results.json and results.md, of what is finished."""
    found = [
        {"world": name, "fusion": fusion} | gathered
        for name in WORLDS
        for fusion in FUSIONS
        if (gathered := gather(out, name, fusion, seeds))
    ]
    computer = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, shared"
    everything = {"computer": computer, "results": found}
    (HERE / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text("\n".join(page(computer, found)) + "\n", encoding="utf-8")


def gather(out: Path, name: str, fusion: str, seeds: list[str]) -> dict[str, dict[str, list[float]]]:
    """`{row: {language: SumR of each seed}}` and the minutes of training; empty where nothing is finished."""
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        folder = place(out, name, fusion, seed)
        if not (folder / "report" / "report.json").is_file():
            continue
        report = json.loads((folder / "report" / "report.json").read_text())
        for lang, rows in report["results"].items():
            for row in ("direct", "reranked"):
                if row in rows:
                    found.setdefault(row, {}).setdefault(lang, []).append(rows[row]["sum_r"])
        minutes = json.loads((folder / "seconds.json").read_text()) / 60
        found.setdefault("minutes", {}).setdefault("all", []).append(minutes)
    return found


def page(computer: str, found: list[dict]) -> Iterator[str]:
    yield "# A fusion encoder beside the dual encoder\n"
    yield (
        "Recipe `one_to_k`; SumR = R@1 + R@5 + R@10 in both directions, at most 600, mean ± sample standard "
        "deviation over the seeds. `direct` ranks by the dual encoder, `reranked` puts its best 32 (scenes) "
        "or 128 (photos) into the order of the fusion encoder. Scenes: 200 test pictures, captions by "
        f"grammars in all languages, {', '.join(SCENES)}. Photos: Flickr8k, 1,000 test photos, Portuguese by "
        f"Apertium for training and by people for the test, {', '.join(PHOTOS)}. An arm with fusion reads "
        "each text of its terms once more, so it sees as many images in more time.\n"
    )
    yield "Command: `python benchmarks/fusion/run.py --data DIR --tower TOWER --out WORK`. "
    yield f"Computer: {computer}, one thread a run.\n"
    for name, world in WORLDS.items():
        arms = [one for one in found if one["world"] == name]
        if not arms:
            continue
        languages = world.languages.split(",")
        yield f"## {world.what}\n"
        yield f"| trained | row | seeds | {' | '.join(languages)} | mean | minutes |"
        yield "|---|---|---|" + "---|" * (len(languages) + 2)
        for one in arms:
            for row in ("direct", "reranked"):
                if row not in one:
                    continue
                values = [one[row][lang] for lang in languages]
                cells = [
                    *map(show, values),
                    show([statistics.mean(seed) for seed in zip(*values, strict=True)]),
                ]
                minutes = statistics.median(one["minutes"]["all"])
                yield f"| {one['fusion']} | {row} | {len(values[0])} | {' | '.join(cells)} | {minutes:.1f} |"
        yield ""


def show(values: list[float]) -> str:
    """Mean and spread."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
