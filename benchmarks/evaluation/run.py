"""Time and memory of ranking 25,000 captions against 5,000 images in both directions.

    python benchmarks/evaluation/run.py [--captions 25000] [--images 5000] [--width 512] [--out FILE]

Three versions, each in its own process, three times in turn; the fastest time and the largest peak count.

streaming  dragoman.evaluation.rank_queries: exact products, blocks of rows, middle ranks
counting   the whole float32 matrix at once, then the same counting of better and equal scores
argsort    the whole float32 matrix at once, then a full argsort of every row, as research code does it;
           ties go to whoever comes first
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dragoman.evaluation import MatrixScores, Positives, rank_queries, rank_scores
from dragoman.pipelines.computer import commit_and_computer

REPEATS = 3
NOISE = 6.0

Sizes = tuple[int, int, int]


def world(captions: int, images: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit captions [T, D], unit images [I, D], and the image of each caption [T]."""
    random = np.random.default_rng(0)
    image_ID = unit(random.standard_normal((images, width), np.float32))
    owner_T = np.arange(captions) % images
    noise_TD = unit(random.standard_normal((captions, width), np.float32))
    return unit(image_ID[owner_T] + NOISE * noise_TD), image_ID, owner_T


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def positives(owner_T: np.ndarray, images: int) -> tuple[Positives, Positives]:
    names, owners = [str(i) for i in range(images)], [str(i) for i in owner_T]
    return Positives.from_items(owners, names), Positives.from_items(names, owners)


def streaming(text_TD: np.ndarray, image_ID: np.ndarray, owner_T: np.ndarray) -> list[float]:
    to_image, to_text = positives(owner_T, len(image_ID))
    found = rank_queries(text_TD, image_ID, to_image), rank_queries(image_ID, text_TD, to_text)
    return [float(one.best.mean()) for one in found]


def counting(text_TD: np.ndarray, image_ID: np.ndarray, owner_T: np.ndarray) -> list[float]:
    to_image, to_text = positives(owner_T, len(image_ID))
    scores_TI = text_TD @ image_ID.T
    there = rank_scores(MatrixScores(scores_TI), to_image, block=len(text_TD))
    back = rank_scores(MatrixScores(np.ascontiguousarray(scores_TI.T)), to_text, block=len(image_ID))
    return [float(one.best.mean()) for one in (there, back)]


def argsort(text_TD: np.ndarray, image_ID: np.ndarray, owner_T: np.ndarray) -> list[float]:
    scores_TI = text_TD @ image_ID.T
    order_TI = np.argsort(-scores_TI, axis=1)
    there_T = (order_TI == owner_T[:, None]).argmax(axis=1) + 1
    del order_TI
    order_IT = np.argsort(-scores_TI.T, axis=1)
    back_I = (owner_T[order_IT] == np.arange(len(image_ID))[:, None]).argmax(axis=1) + 1
    return [float(there_T.mean()), float(back_I.mean())]


VERSIONS = {"streaming": streaming, "counting": counting, "argsort": argsort}


def measure(version: str, sizes: Sizes) -> None:
    """One version, in this process: seconds, processor seconds, peak memory, and mean ranks."""
    given = world(*sizes)
    start, used = time.perf_counter(), time.process_time()
    ranks = VERSIONS[version](*given)
    seconds, processor_seconds = time.perf_counter() - start, time.process_time() - used
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": seconds, "processor": processor_seconds, "peak": peak_mb, "ranks": ranks}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--captions", type=int, default=25_000)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--out", type=Path, help="Write the results there instead of to the terminal.")
    parser.add_argument("--version", choices=VERSIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = (options.captions, options.images, options.width)
    if options.version:
        measure(options.version, sizes)
        return
    runs: dict[str, list[dict]] = {version: [] for version in VERSIONS}
    for _ in range(REPEATS):
        for version in VERSIONS:
            runs[version].append(one_run(version, sizes))
    text = "\n".join([*head(sizes), *rows(runs)]) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


def head(sizes: Sizes) -> list[str]:
    captions, images, width = sizes
    return [
        "# Ranking without the whole matrix",
        "",
        f"{captions:,} captions against {images:,} images of width {width}, both directions, complete ranks.",
        "The bound is 20 s and 1 GB on 2 cores. Made by",
        "",
        "    python benchmarks/evaluation/run.py --out benchmarks/evaluation/results.md",
        "",
        f"{commit_and_computer()}, NumPy {np.__version__}. {REPEATS} runs of each in turn, each in its own "
        "process; processor time is the steadier number.",
        "",
        "Seconds and processor seconds: the least of the runs. Peak memory: the most, with Python, NumPy and",
        "the vectors themselves. The mean ranks show that all versions did the same work.",
        "",
    ]


def rows(runs: dict[str, list[dict]]) -> list[str]:
    lines = [
        "| version | seconds | ratio | processor seconds | ratio | peak MB | ratio | mean ranks |",
        "|---|---|---|---|---|---|---|---|",
    ]
    best = {version: figures(found) for version, found in runs.items()}
    for version, found in runs.items():
        pairs = zip(best[version], best["streaming"], strict=True)
        cells = " | ".join(f"{value:.1f} | {value / base:.2f}" for value, base in pairs)
        ranks = " / ".join(f"{rank:.4f}" for rank in found[0]["ranks"])
        lines.append(f"| {version} | {cells} | {ranks} |")
    return lines


def figures(found: list[dict]) -> tuple[float, float, float]:
    least = [min(one[name] for one in found) for name in ("wall", "processor")]
    return least[0], least[1], max(one["peak"] for one in found)


def one_run(version: str, sizes: Sizes) -> dict:
    names = ("--captions", "--images", "--width")
    given = [text for name, size in zip(names, sizes, strict=True) for text in (name, str(size))]
    command = [sys.executable, __file__, "--version", version, *given]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
