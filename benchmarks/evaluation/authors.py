"""Time of all metrics in both directions, beside the way the authors of NRCCR compute them.

    python benchmarks/evaluation/authors.py [--captions 5000] [--images 1000] [--width 512] [--out FILE]

Both in one process, in turn; processor time, and the ratio of each round, which load disturbs least. That
both tell the same figures is checked first. The last table has what equal scores do to R@1, which the authors
leave to the order of the input.

The authors' way (HuiGuanLab/nrccr at 5628a90: `cal_perf`, `get_gt` and the AP scorer), in words of this
project: every caption's id is held against every image's; each query's row is sorted whole, once for its rank
and once again for its average precision, which walks down the list of labels.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dragoman.evaluation import (
    MatrixScores,
    Positives,
    rank_queries,
    rank_scores,
    retrieval_metrics,
    summarise,
)
from dragoman.pipelines.computer import commit_and_computer
from dragoman.pipelines.experiment import table

SCRIPT = "benchmarks/evaluation/authors.py"
ROUNDS = 3
NOISE = 6.0
GRIDS = (0.02, 0.05, 0.1)
ORDERS = 20

Found = dict[str, float]
Both = tuple[Found, Found]
Relevant = Sequence[Sequence[int]]


def match_ids(image_ids: Sequence[str], caption_ids: Sequence[str]) -> tuple[Relevant, Relevant]:
    """Give the image of each caption, and the captions of each image: caption "7#2" is one of image "7"."""
    captions_of: list[list[int]] = []
    for image in image_ids:
        captions_of.append([])
        for place, caption in enumerate(caption_ids):
            if caption.split("#", 1)[0] == image:
                captions_of[-1].append(place)
    images_of: dict[int, list[int]] = {}
    for image_place, captions in enumerate(captions_of):
        for caption_place in captions:
            images_of.setdefault(caption_place, []).append(image_place)
    return [images_of[place] for place in range(len(caption_ids))], captions_of


def authors_direction(errors_QG: np.ndarray, relevant: Relevant) -> Found:
    """Measure one direction; low errors are good."""
    queries = len(errors_QG)
    best = np.zeros(queries, np.int32)
    for query in range(queries):
        order = np.argsort(errors_QG[query])
        rank = len(order) + 1
        for wanted in relevant[query]:
            place = np.where(order == wanted)[0][0] + 1
            rank = min(rank, place)
        best[query] = rank
    recalls = {f"recall@{k}": 100.0 * len(np.where(best <= k)[0]) / queries for k in (1, 5, 10)}
    precisions = []
    for query in range(queries):
        errors = errors_QG[query]
        labels = [0] * len(errors)
        for wanted in relevant[query]:
            labels[wanted] = 1
        precisions.append(average_precision([labels[place] for place in np.argsort(errors)]))
    return recalls | {
        "medr": float(np.median(best)),
        "meanr": float(best.mean()),
        "map": 100.0 * float(np.mean(precisions)),
    }


def average_precision(labels: Sequence[int]) -> float:
    relevant = len([label for label in labels if label > 0])
    found, total = 0, 0.0
    for place in range(len(labels)):
        if labels[place] >= 1:
            found += 1
            total += float(found) / (place + 1.0)
    return total / relevant


def authors(errors_TI: np.ndarray, image_ids: Sequence[str], caption_ids: Sequence[str]) -> Both:
    images_of, captions_of = match_ids(image_ids, caption_ids)
    return authors_matched(errors_TI, images_of, captions_of)


def authors_matched(errors_TI: np.ndarray, images_of: Relevant, captions_of: Relevant) -> Both:
    return authors_direction(errors_TI, images_of), authors_direction(errors_TI.T, captions_of)


def authors_from_embeddings(
    text_TD: np.ndarray, image_ID: np.ndarray, image_ids: Sequence[str], caption_ids: Sequence[str]
) -> Both:
    # Embeddings are kept as float64 there.
    texts, images = (unit(vectors.astype(np.float64)) for vectors in (text_TD, image_ID))
    return authors(-1 * np.dot(texts, images.T), image_ids, caption_ids)


def ours(scores_TI: np.ndarray, image_ids: Sequence[str], caption_ids: Sequence[str]) -> Both:
    owners = [caption.split("#", 1)[0] for caption in caption_ids]
    to_image, to_text = Positives.from_items(owners, image_ids), Positives.from_items(image_ids, owners)
    return ours_matched(scores_TI, to_image, to_text)


def ours_matched(scores_TI: np.ndarray, to_image: Positives, to_text: Positives) -> Both:
    there = rank_scores(MatrixScores(scores_TI), to_image)
    return summarise(there), summarise(rank_scores(MatrixScores(scores_TI.T), to_text))


def ours_by_matrices(scores_TI: np.ndarray, relevant_TI: np.ndarray) -> Both:
    return retrieval_metrics(scores_TI, relevant_TI), retrieval_metrics(scores_TI.T, relevant_TI.T)


def ours_from_embeddings(
    text_TD: np.ndarray, image_ID: np.ndarray, image_ids: Sequence[str], caption_ids: Sequence[str]
) -> Both:
    owners = [caption.split("#", 1)[0] for caption in caption_ids]
    to_image, to_text = Positives.from_items(owners, image_ids), Positives.from_items(image_ids, owners)
    there = rank_queries(text_TD, image_ID, to_image)
    return summarise(there), summarise(rank_queries(image_ID, text_TD, to_text))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class World:
    """Captions and images, and each way of measuring them as a function of nothing."""

    def __init__(self, captions: int, images: int, width: int) -> None:
        random = np.random.default_rng(0)
        self.image_ID = unit(random.standard_normal((images, width), np.float32))
        self.owner_T = np.arange(captions) % images
        noise_TD = unit(random.standard_normal((captions, width), np.float32))
        self.text_TD = unit(self.image_ID[self.owner_T] + np.float32(NOISE) * noise_TD)
        self.ids = [str(i) for i in range(images)], [f"{i}#{t}" for t, i in enumerate(self.owner_T)]
        self.scores_TI = self.text_TD @ self.image_ID.T
        self.relevant_TI = self.owner_T[:, None] == np.arange(images)

    def versions(self) -> dict[str, Callable[[], Both]]:
        errors_TI = -self.scores_TI.astype(np.float64)
        matched = match_ids(*self.ids)
        owners = [str(i) for i in self.owner_T]
        positives = Positives.from_items(owners, self.ids[0]), Positives.from_items(self.ids[0], owners)
        vectors = self.text_TD, self.image_ID
        return {
            "authors, scores and ids": lambda: authors(errors_TI, *self.ids),
            "ours, scores and ids": lambda: ours(self.scores_TI, *self.ids),
            "authors, ids matched before": lambda: authors_matched(errors_TI, *matched),
            "ours, ids matched before": lambda: ours_matched(self.scores_TI, *positives),
            "ours, `retrieval_metrics`": lambda: ours_by_matrices(self.scores_TI, self.relevant_TI),
            "authors, embeddings and ids": lambda: authors_from_embeddings(*vectors, *self.ids),
            "ours, embeddings and ids": lambda: ours_from_embeddings(*vectors, *self.ids),
        }


AGAINST = {
    "ours, scores and ids": "authors, scores and ids",
    "ours, ids matched before": "authors, ids matched before",
    "ours, `retrieval_metrics`": "authors, ids matched before",
    "ours, embeddings and ids": "authors, embeddings and ids",
}


def measure(versions: dict[str, Callable[[], Both]]) -> dict[str, list[float]]:
    """Processor seconds of each round; first, that all versions say the same."""
    found = {name: version() for name, version in versions.items()}
    expected = found["authors, scores and ids"]
    for name, ways in found.items():
        for theirs, here in zip(expected, ways, strict=True):
            worst = max(abs(theirs[key] - here[key]) for key in theirs)
            if worst > 1e-9:
                raise SystemExit(f"{name} differs from the authors' figures by {worst}")
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    for _ in range(ROUNDS):
        for name, version in versions.items():
            start = time.process_time()
            version()
            seconds[name].append(time.process_time() - start)
    return seconds


def ties(world: World) -> list[list[str]]:
    """R@1 of captions where scores are rounded: the authors' over orders of the images, and ours."""
    random, rows = np.random.default_rng(0), []
    images = len(world.image_ID)
    for grid in GRIDS:
        scores_TI = np.round(world.scores_TI / grid) * grid
        by_order = []
        for _ in range(ORDERS):
            order = random.permutation(images)
            # A stable sort of rows in random order breaks ties at random.
            first_T = np.argsort(-scores_TI[:, order], axis=1, kind="stable")[:, 0]
            by_order.append(100 * float((order[first_T] == world.owner_T).mean()))
        mine = retrieval_metrics(scores_TI, world.relevant_TI)["recall@1"]
        spread = f"{statistics.mean(by_order):.1f} ± {statistics.stdev(by_order):.1f}"
        rows.append([str(grid), spread, f"{mine:.1f}"])
    return rows


def page(sizes: tuple[int, int, int], seconds: dict[str, list[float]], tied: list[list[str]]) -> list[str]:
    captions, images, width = sizes
    rows = []
    for name, rounds in seconds.items():
        ratio = ""
        if name in AGAINST:
            ratios = [a / b for a, b in zip(seconds[AGAINST[name]], rounds, strict=True)]
            ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        rows.append([name, f"{statistics.median(rounds):.4f}", f"{min(rounds):.4f}", ratio])
    return [
        "# All metrics, beside the authors' way",
        "",
        f"{captions:,} captions against {images:,} images, both directions: R@1, R@5, R@10, MedR, MeanR "
        f"and mAP (and nDCG@10, ours alone). Embeddings are {width} wide. Made by",
        "",
        f"    OMP_NUM_THREADS=1 python {SCRIPT} --out {SCRIPT.replace('.py', '.md')}",
        "",
        f"{commit_and_computer()}, NumPy {np.__version__}; {ROUNDS} rounds of all in turn in one process. "
        "Both say the same figures to 1e-9.",
        "",
        *table(("version", "processor seconds, median", "least", "authors / ours, median of rounds"), rows),
        "",
        "From embeddings, most of what is left is the product itself, in float64 and once for each "
        "direction; the whole matrix is never held.",
        "",
        "## Equal scores",
        "",
        f"R@1 of the captions, scores rounded to a grid; the authors' rule over {ORDERS} random orders of "
        "the images (mean ± standard deviation), which is what breaking ties at random gives.",
        "",
        *table(("grid", "ties broken at random", "middle rank (ours)"), tied),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--captions", type=int, default=5_000)
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--out", type=Path, help="Write the results there instead of to the terminal.")
    options = parser.parse_args()
    sizes = (options.captions, options.images, options.width)
    world = World(*sizes)
    text = "\n".join(page(sizes, measure(world.versions()), ties(world))) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
