"""The unfinished part of a feature set of frames: shards of whole videos, and the feature set made of them.

F frames of a video, D width.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FeatureSet, write_features
from dragoman.features.feature_work import FeatureWork, Rejected
from dragoman.folders import write_json
from dragoman.media.video import Sampling


@dataclass(frozen=True, kw_only=True)
class FrameShard:
    """What some whole videos gave: frames and times of each id, and the items that gave none."""

    ids: list[str]
    videos: list[NDArray[np.float16]]
    """[F, D] each."""
    times: list[NDArray[np.float64]]
    """[F] each."""
    rejected: list[Rejected]


@dataclass(frozen=True, kw_only=True)
class StoredShard:
    """A shard on the disk; the frames lie in a feature set of their own."""

    frames: FeatureSet | None
    rejected: list[Rejected]

    @property
    def ids(self) -> list[str]:
        """Items that have frames here."""
        return [] if self.frames is None else self.frames.ids


class FrameWork(FeatureWork):
    """As `FeatureWork`, of any number of frames an item."""

    def __init__(self, final: Path, fingerprint: str, sampling: Sampling) -> None:
        super().__init__(final, fingerprint, sampling=asdict(sampling))

    @cached_property
    def stored(self) -> list[StoredShard]:
        """Finished shards."""
        return [_read(file) for file in sorted(self._shards.glob("shard-*.json"))]

    def keep(self, shard: FrameShard) -> None:
        """Keep a finished shard, whatever happens next."""
        self._note_identity()
        file = self._shards / f"shard-{len(self.stored):08d}.json"
        if shard.ids:
            times = np.concatenate(shard.times)
            write_features(
                file.with_suffix(""), shard.ids, shard.videos, layout="frames", times=times, inputs={}
            )
        # Written after its frames: where this file is, the shard is complete.
        write_json(file, {"ids": shard.ids, "rejected": [asdict(one) for one in shard.rejected]})
        self.stored.append(_read(file))

    @property
    def rejected_now(self) -> list[Rejected]:
        return [one for shard in self.stored for one in shard.rejected]

    @property
    def new(self) -> int:
        return sum(len(shard.ids) for shard in self.stored)

    def _listed(self) -> list[list[str]]:
        return [*([self.old.ids] if self.old else []), *(shard.ids for shard in self.stored)]

    def _write(
        self, new: Path, ids: Sequence[str], places: Sequence[tuple[int, int]], **manifest: Any
    ) -> None:
        old = [self.old] if self.old else []
        sources = [*old, *(shard.frames for shard in self.stored)]

        def found() -> Iterator[tuple[NDArray[np.floating], NDArray[np.float64]]]:
            for item_id, (source, _) in zip(ids, places, strict=True):
                frames = sources[source]
                assert frames is not None
                vectors, times = frames.frames(item_id)
                assert times is not None
                yield vectors, times

        times = np.concatenate([times for _, times in found()])
        write_features(
            new, ids, (vectors for vectors, _ in found()), layout="frames", times=times, **manifest
        )


def _read(file: Path) -> StoredShard:
    listed = json.loads(file.read_text("utf-8"))
    frames = FeatureSet.open(file.with_suffix("")) if listed["ids"] else None
    return StoredShard(frames=frames, rejected=[Rejected(**one) for one in listed["rejected"]])
