"""A tower that costs nothing: the mean colour of an image. Run as a script, it is killed again and again."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from dragoman.features import extract
from dragoman.media.images import Decoding
from dragoman.models import vision

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}


class MeanColour:
    shape = (3,)

    def prepare(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image, np.float32).mean((0, 1))

    def embed(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(prepared)


def extract_mean_colours(corpus: Path, tower: Path) -> extract.ExtractionReport:
    vision.VisionTower.load = lambda *_: MeanColour()  # in a process of its own
    extract.SHARD_SECONDS = 0
    options = extract.ExtractOptions(batch_size=2, decoding=Decoding(workers=1))
    return extract.extract_features(corpus, encoder=tower, name="eyes", options=options)


def run(corpus: Path, tower: Path, kill_at: int | None) -> int:
    """Extract in a process that is killed just before its n-th change of the features folder."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    changes = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes
        if event in CHANGES and str(corpus / "features") in str(arguments):
            changes += 1
            if changes == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    extract_mean_colours(corpus, tower)
    os._exit(0)


if __name__ == "__main__":
    Image.init()  # or every process would import what opens pictures
    start, trial, tower = map(Path, sys.argv[1:4])
    for kill_at in count(1):
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(start, trial)
        status = run(trial, tower, kill_at)
        assert run(trial, tower, None) == 0, kill_at
        left = sorted(file.name for file in (trial / "features" / ".eyes").iterdir())
        assert left == [".lock"], (kill_at, left)
        print(*((trial / "features" / "eyes" / name).read_bytes().hex() for name in sys.argv[4:]))
        if status == 0:
            break
        assert status == -signal.SIGKILL, (kill_at, status)
