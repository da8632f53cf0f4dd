"""Units of sound: speech as a text in an alphabet of its own, in which no word was recognised.

A sound is frames; the frame nearest to centre u of a codebook is unit u, a unit that is repeated counts once,
and every unit is one letter (arXiv 2404.01616; there of a speech encoder's middle layer). Whatever reads
spelling then reads speech. A codebook is fitted once, on sounds of its training.

F frames, D numbers of each, K units.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError
from dragoman.folders import Format, stage
from dragoman.media.sound import Samples
from dragoman.speech.frames import Frames, open_frames

FIRST = 0x13000
"""Letter of unit 0, the first Egyptian hieroglyph: letters to every reader of spelling, without case or
accents, and of no language that anybody asks in."""
MOST_UNITS = 1024
"""Letters in that row, and units of the paper."""
WORD, STEP = 6, 3
"""Letters of a word, and from the beginning of one to that of the next. Speech has no spaces, and readers of
spelling know pieces of words: in words that overlap, every few units stand together in one of them."""
MOST_WORDS = 64
"""Words of a text: some eight seconds of speech. More would be cut by readers, at places of their own."""
ROUNDS = 20
"""Rounds of k-means."""
MOST_FRAMES = 20_000
"""Frames that a codebook is fitted on: 13 minutes of speech."""
CODEBOOK, SCALE = "codebook.npy", "scale.npy"
UNITS = Format(
    "dragoman-units",
    1,
    "dragoman speak CORPUS --units {folder} --out SPOKEN",
)


@dataclass(frozen=True, kw_only=True)
class UnitSettings:
    """Settings of a codebook."""

    count: int = 200
    """Units, 2 to 1,024."""
    encoder: str | None = None
    """Folder or hub id of a Whisper of transformers, whose middle layer gives the frames; without one they
    are log-mel."""
    layer: int | None = None
    """Layer of it, from 1; by default the middle one."""
    unit_seed: int = 0
    """Seed of the first centres."""

    def __post_init__(self) -> None:
        if not 2 <= self.count <= MOST_UNITS:
            raise UserError(f"count must lie in 2..{MOST_UNITS}, got {self.count}")
        if self.layer is not None and self.encoder is None:
            raise UserError("layer is that of an encoder: name one with --encoder")


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """A codebook, and the frames that it is of. May be asked by several threads."""

    codebook: NDArray[np.float32]
    """[K, D], of frames that were divided by `scale`."""
    scale: NDArray[np.float32]
    """[D]."""
    frames: Frames

    def text(self, samples: Samples) -> str:
        """Write [T] samples, 16,000 a second, as letters in words; "" of silence."""
        return worded_units(self.units(samples))

    def units(self, samples: Samples) -> list[int]:
        """Numbers 0 to K - 1 of the units of [T] samples, none the same as the one before."""
        frames_FD = self.frames.of(samples) / self.scale
        return collapsed(nearest(frames_FD, self.codebook)) if len(frames_FD) else []


def nearest(frames_FD: NDArray[np.float32], codebook_KD: NDArray[np.float32]) -> NDArray[np.int64]:
    """[F] the centre at the least Euclidean distance from each frame; the first of several."""
    # |x - c|² without |x|², which is the same for all c; in 64 bits, so that ties are none of rounding.
    codebook = codebook_KD.astype(np.float64)
    near_FK = 2 * frames_FD.astype(np.float64) @ codebook.T - (codebook**2).sum(1)
    return np.asarray(near_FK.argmax(axis=1), np.int64)


def collapsed(units: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """Count a unit that is repeated once: `7 7 3 3 3 7` gives `7 3 7`."""
    found = np.asarray(units, np.int64)
    return [int(one) for one in found[np.diff(found, prepend=-1) != 0]]


def worded_units(units: Sequence[int]) -> str:
    """Write units as letters, in at most `MOST_WORDS` words of at most `WORD`, each `STEP` after the one
    before."""
    letters = "".join(chr(FIRST + unit) for unit in units)
    starts = range(0, max(1, len(letters) - (WORD - STEP)), STEP)
    return " ".join(letters[start : start + WORD] for start in starts[:MOST_WORDS])


def fit_codebook(frames_ND: NDArray[np.float32], count: int, seed: int = 0) -> NDArray[np.float32]:
    """[K, D] centres of [N, D] frames by k-means (Lloyd's rounds, from frames drawn at random); the same
    frames and seed give the same.

    Raises UserError for fewer different frames than units.
    """
    try:
        from scipy.cluster.vq import kmeans2
    except ImportError as error:
        raise MissingExtraError(error.name or "scipy", "train", "Finding units of sound") from None
    known_ND = np.unique(frames_ND, axis=0).astype(np.float64)
    if len(known_ND) < count:
        raise UserError(
            f"{len(known_ND)} different frames of sound are too few for {count} units. Speak more captions, "
            "or take fewer units: --count"
        )
    begun_KD = np.random.default_rng(seed).choice(known_ND, count, replace=False)
    with warnings.catch_warnings():
        # A centre that no frame is nearest to stays where it is.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres_KD, _ = kmeans2(frames_ND.astype(np.float64), begun_KD, iter=ROUNDS, minit="matrix")
    return np.asarray(centres_KD, np.float32)


def fit_units(
    sounds: Iterable[Samples], out: str | Path, settings: UnitSettings, inputs: Mapping[str, str]
) -> Units:
    """Fit a codebook on sounds, and write it into the folder `out`; one that is there of the same `inputs`
    (content hashes) and settings is opened as it is.

    At most `MOST_FRAMES` frames are read, of the first sounds. Raises UserError where `out` holds anything
    else.
    """
    frames = open_frames(settings.encoder, settings.layer)
    said = {"count": settings.count, "seed": settings.unit_seed, **frames.identity}
    identity = {"inputs": dict(inputs), "units": said}
    with stage(Path(out), UNITS, identity, replace=False, fix="Give another folder with --units.") as work:
        if work.done is None:
            frames_ND = _first(map(frames.of, sounds))
            scale_D = frames_ND.std(0) + 1e-6 if frames.uneven else np.ones(frames_ND.shape[1], np.float32)
            np.save(work.folder / SCALE, scale_D)
            codebook_KD = fit_codebook(frames_ND / scale_D, settings.count, settings.unit_seed)
            np.save(work.folder / CODEBOOK, codebook_KD)
            UNITS.write(work.folder, inputs=inputs, units=said)
    return open_units(out)


def open_units(folder: str | Path, device: str = "cpu") -> Units:
    """Open a folder of units. Raises UserError where it is none, or its encoder is not the one of its
    codebook; DamagedError where it is not as it was written."""
    said = UNITS.read(Path(folder))["units"]
    frames = open_frames(said.get("encoder"), said.get("layer"), device)
    if frames.identity.get("weights") != said.get("weights"):
        raise UserError(f"The encoder {said['encoder']} is another than the one whose frames {folder} is of.")
    codebook_KD, scale_D = (np.load(Path(folder) / name) for name in (CODEBOOK, SCALE))
    return Units(codebook=codebook_KD, scale=scale_D, frames=frames)


def _first(pieces: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """[N, D] the first pieces up to `MOST_FRAMES` frames."""
    found: list[NDArray[np.float32]] = []
    for piece in pieces:
        found.append(piece)
        if sum(map(len, found)) >= MOST_FRAMES:
            break
    return np.concatenate(found)[:MOST_FRAMES]
