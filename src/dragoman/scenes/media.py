"""The files of a world, and the feature set `grid`, which is computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragoman.corpus.features import write_features
from dragoman.folders import atomic_path, sha256
from dragoman.progress import bar
from dragoman.scenes.clip import Clip
from dragoman.scenes.draws import Draws
from dragoman.scenes.entries import Entry
from dragoman.scenes.film import FRAMES, RATE, film
from dragoman.scenes.mp4 import read_mp4, write_mp4
from dragoman.scenes.render import render
from dragoman.scenes.scene import Scene
from dragoman.scenes.vision import NAME, describe

STEP = RATE
"""`grid` describes one frame a second of a clip, the first and the last among them."""


def write_pictures(folder: Path, entries: Sequence[Entry], seed: int) -> None:
    """Write the pictures that are not there yet."""
    with bar(len(entries), "pictures", "pictures") as progress:
        for entry in entries:
            path = folder / entry.path
            if isinstance(entry.shows, Scene) and not path.exists():
                with atomic_path(path) as temporary:
                    picture = render(entry.shows, Draws(seed, "picture", entry.number))
                    picture.save(temporary, "PNG", compress_level=3)
            progress.update(1)


def write_clips(folder: Path, entries: Sequence[Entry], seed: int) -> None:
    """Write the clips that are not there yet. A clip and its reversal are made of the same frames."""
    with bar(len(entries), "clips", "clips") as progress:
        for pair in _pairs(entries):
            missing = [entry for entry in pair if not (folder / entry.path).exists()]
            if missing and isinstance(pair[0].shows, Clip):
                frames = film(pair[0].shows, Draws(seed, "clip", pair[0].number))
                for entry in missing:
                    with atomic_path(folder / entry.path) as temporary:
                        write_mp4(temporary, frames if entry is pair[0] else frames[::-1], RATE)
            progress.update(2)


def describe_pictures(folder: Path, entries: Sequence[Entry]) -> None:
    """Write `grid`: one vector a picture."""
    vectors = []
    with bar(len(entries), "features", "pictures") as progress:
        for entry in entries:
            with Image.open(folder / entry.path) as picture:
                vectors.append(describe(picture).astype(np.float16))
            progress.update(1)
    ids = [entry.item_id for entry in entries]
    write_features(folder / "features" / NAME, ids, np.stack(vectors), inputs=_inputs(folder), encoder=NAME)


def describe_clips(folder: Path, entries: Sequence[Entry]) -> None:
    """Write `grid`: the vectors of a few frames of each clip."""
    ids = [entry.item_id for entry in entries]
    times = np.tile(np.arange(0, FRAMES, STEP) / RATE, len(entries))
    write_features(
        folder / "features" / NAME,
        ids,
        _described(folder, entries),
        layout="frames",
        times=times,
        inputs=_inputs(folder),
        encoder=NAME,
    )


def _described(folder: Path, entries: Sequence[Entry]) -> Iterator[NDArray[np.float32]]:
    with bar(len(entries), "features", "clips") as progress:
        for clip, _ in _pairs(entries):
            vectors = np.stack([describe(frame) for frame in read_mp4(folder / clip.path, STEP)])
            # The file of the reversal holds the same frames, so there is nothing else to be seen in it.
            yield vectors
            yield vectors[::-1]
            progress.update(2)


def _pairs(entries: Sequence[Entry]) -> Iterable[tuple[Entry, Entry]]:
    return zip(entries[::2], entries[1::2], strict=True)


def _inputs(folder: Path) -> dict[str, str]:
    return {"items.parquet": sha256(folder / "items.parquet")}
