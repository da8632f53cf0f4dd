"""The text side of a step, and evaluation, beside straightforward versions of both.

    python benchmarks/noisy_translation/throughput.py --corpus WORK/corpus

WORK is the folder of run.py. The straightforward text side encodes source, translation and back-translation
in three passes, each padded to its longest text, equal texts again and again. The straightforward evaluation
sorts the full score matrix. Prints a table; every figure is the best of several rounds, taken in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dragoman.corpus import Corpus
from dragoman.evaluation import Positives, rank_queries, summarise
from dragoman.models.attention import TOKENS_PER_BATCH, run_by_length
from dragoman.models.dual import DualConfig, DualEncoder, unique_texts
from dragoman.models.text.small import SmallText
from dragoman.models.text.spelling import SmallTextConfig

ROUNDS = 5
BATCH = 128


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = Corpus.open(options.corpus).translations(source="en", target="pt", split="train")
    views = [found.source_text, found.mt_text, [text or "" for text in found.back_text]]
    print("| what | straightforward | dragoman | ratio |\n|---|---|---|---|")
    for layers in (0, 2):
        model = encoder([text for view in views for text in view], layers)
        slow, fast = best(
            lambda model=model: [text_step(model, view[:BATCH], padded=True) for view in views],
            lambda model=model: text_step(model, [text for view in views for text in view[:BATCH]]),
        )
        count = 3 * BATCH
        print(
            f"| text side, {layers} Transformer layers, forward and backward, captions/s | "
            f"{count / slow:.0f} | {count / fast:.0f} | {slow / fast:.2f} |"
        )
    draws = np.random.default_rng(0)
    texts, images = (unit(draws, count) for count in (25_000, 5_000))
    own = np.arange(25_000) // 5
    positives = Positives.from_items([str(item) for item in own], [str(item) for item in range(5_000)])
    slow, fast = best(
        lambda: by_sorting(texts, images, own),
        lambda: summarise(rank_queries(texts, images, positives)),
    )
    print(f"| ranks, 25,000 captions, 5,000 images, seconds | {slow:.2f} | {fast:.2f} | {slow / fast:.2f} |")


def encoder(texts: list[str], layers: int) -> DualEncoder:
    """The benchmark's text side, untrained."""
    torch.manual_seed(0)
    trunk = SmallText.fit(texts, SmallTextConfig(layers=layers))
    return DualEncoder(DualConfig(), trunk, feature_width=16).train()


def text_step(model: DualEncoder, texts: list[str], *, padded: bool = False) -> None:
    """Encode and go backward."""
    model.zero_grad()
    if padded:
        vectors = in_one_pass(model, texts)
    else:
        different, row_of_text = unique_texts(texts)
        vectors = model.encode_text(model.trunk.prepare(different)).vector[row_of_text]
    vectors.sum().backward()


def in_one_pass(model: DualEncoder, texts: list[str]) -> Tensor:
    """All texts padded to the longest."""
    inputs = model.trunk.prepare(texts)
    found = run_by_length(
        model._run_texts(tokens=False),
        model.trunk.embed(inputs),
        inputs["mask"],
        inputs["mask"].sum(1),
        budget=TOKENS_PER_BATCH * len(texts),
    )
    return found["vector"]


def by_sorting(texts: NDArray[np.float32], images: NDArray[np.float32], own: NDArray[np.int64]) -> float:
    """Mean rank by the full matrix and a full sort."""
    order = np.argsort(-(texts @ images.T), axis=1)
    return float((np.argmax(order == own[:, None], axis=1) + 1).mean())


def best(*versions: Callable[[], object]) -> list[float]:
    """Least seconds of each version, in turns, so that a busy moment hits all."""
    seconds = [float("inf")] * len(versions)
    for _ in range(ROUNDS):
        for number, version in enumerate(versions):
            started = time.perf_counter()
            version()
            seconds[number] = min(seconds[number], time.perf_counter() - started)
    return seconds


def unit(draws: np.random.Generator, count: int) -> NDArray[np.float32]:
    """[count, 512] unit vectors."""
    vectors = draws.standard_normal((count, 512)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
