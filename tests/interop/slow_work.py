"""Work of the workers of a cluster that takes its time, and notes which node began what.

What it makes of an input depends on those that share its batch, as it does of real models, and far more. Run
as a script, it is `dragoman` in a process of its own, with this work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mean_colour import MeanColour
from numpy.typing import NDArray
from toy_model import ToyModel, unit

from dragoman.blocks import Compute
from dragoman.features import extract, texts
from dragoman.features.encoding import ItemFile
from dragoman.features.work import Shard
from dragoman.index import job, update
from dragoman.translation import texts as translation

NOTES = "DRAGOMAN_TEST_NOTES"
"""Names the folder of the notes: a file for each block that was begun, by time and node."""
SECONDS = 0.5


def begin() -> None:
    """Note that this node begins a block, and take a while; nothing outside of a cluster."""
    import ray

    if ray.is_initialized():
        node = ray.get_runtime_context().get_node_id()
        Path(os.environ[NOTES], f"{time.time_ns()}-{node}").touch()
        time.sleep(SECONDS)


def nodes(notes: Path) -> list[str]:
    """List the nodes that began blocks, in order."""
    return [file.name.partition("-")[2] for file in sorted(notes.iterdir())]


class Crowd(MeanColour):
    """A tower that adds to each vector the mean of its batch."""

    def embed(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        own = super().embed(prepared)
        return own + own.mean(axis=0)


class Extraction(extract._Extraction):
    def __call__(self) -> Compute[ItemFile, Shard]:
        return partial(self._made, Crowd())

    def _made(self, tower: Any, items: Iterable[ItemFile]) -> Iterator[Shard]:
        begin()
        return super()._made(tower, items)


class CrowdModel(ToyModel):
    """A model that adds to the vector of each picture the mean of its batch."""

    def encode_prepared(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        begin()
        own = super().encode_prepared(prepared)
        return unit(own + own.mean(axis=0))


def load_model(folder: Path, device: str = "cpu", vision: Path | None = None) -> CrowdModel:
    return CrowdModel(Path(folder))


def slow_down() -> None:
    """Let stages of this process do such work, in small blocks, and keep each as it comes."""
    # Batches of 2 fill 4.
    extract.BLOCK_FRAMES = 3
    extract.SHARD_SECONDS = 0
    texts.BLOCK_TEXTS = 4
    translation.BLOCK_BATCHES = 2
    job.load_encoder = load_model  # type: ignore[assignment]
    update.BLOCK_PICTURES = 2
    # Several times in a run.
    update.SENT_AT_ONCE = 30
    extract._Extraction = Extraction  # type: ignore[misc]


if __name__ == "__main__":
    import slow_work

    from dragoman.cli import main

    slow_work.slow_down()
    main()
