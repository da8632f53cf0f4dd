"""The unfinished part of a feature set: shards on the disk, and the feature set made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FeatureSet, Layout, write_features
from dragoman.errors import DamagedError
from dragoman.folders import (
    MANIFEST,
    atomic_path,
    damages,
    digest,
    mend,
    read_sealed,
    remove,
    remove_torn,
    require_same,
    swap,
    write_sealed,
    write_text,
)

REJECTED = "rejected.jsonl"


@dataclass(frozen=True, kw_only=True)
class NoVector:
    """An item without a vector, and why."""

    item_id: str
    path: str | None
    reason: str


@dataclass(kw_only=True)
class Shard:
    """Items of some whole batches: the vectors of each id, and the items that gave none."""

    ids: list[str] = field(default_factory=list)
    vectors: list[NDArray[np.float16]] = field(default_factory=list)
    """[D] each, with regions [R, D], of a video [F, D]."""
    times: list[NDArray[np.float64]] = field(default_factory=list)
    """[F] each, in seconds."""
    rejected: list[NoVector] = field(default_factory=list)


class _Stored(NamedTuple):
    """Vectors on the disk; those of `ids[i]` are `vectors[offsets[i]:offsets[i + 1]]`."""

    ids: list[str]
    vectors: NDArray[np.floating]
    offsets: NDArray[np.int64]
    times: NDArray[np.float64] | None
    rejected: list[NoVector]


class FeatureWork:
    """Shards in `features/.<name>/`, until `assemble` turns them into `features/<name>/`.

    Hold `sole_writer` on the working folder. Opening it finishes a swap that a kill interrupted.
    """

    def __init__(self, final: Path, layout: Layout, identity: Mapping[str, Any]) -> None:
        """`identity` is what must be the same for vectors to be mixed: fingerprint, grid, sampling, and of
        texts how they are read."""
        self.final, self.layout, self.identity = final, layout, {"grid": 0, **identity}
        self.folder = working_folder(final)
        self._shards = self.folder / "shards"
        self._recover()
        self.old = FeatureSet.open(final) if (final / MANIFEST).is_file() else None
        self._require_same_encoder()

    @cached_property
    def shards(self) -> list[_Stored]:
        """Finished shards; their vectors stay on the disk."""
        return [_read_shard(file) for file in sorted(self._shards.glob("shard-*.json"))]

    def add(self, shard: Shard) -> None:
        """Keep a finished shard, whatever happens next."""
        if not self.shards:
            write_sealed(self._shards / "encoder.json", self.identity)
        file = self._shards / f"shard-{len(self.shards):08d}.json"
        listed: dict[str, Any] = {"ids": shard.ids, "rejected": [asdict(one) for one in shard.rejected]}
        if shard.ids:
            ragged = self.layout == "frames"
            with atomic_path(file.with_suffix(".npy")) as temporary, temporary.open("wb") as handle:
                joined = np.concatenate(shard.vectors) if ragged else np.stack(shard.vectors)
                np.save(handle, joined, allow_pickle=False)
            if ragged:
                listed["counts"] = [len(one) for one in shard.vectors]
                listed["times"] = np.concatenate(shard.times).tolist()
            listed["files"] = {file.with_suffix(".npy").name: digest(file.with_suffix(".npy"))}
        # Written after its vectors: where this file is, the shard is complete.
        write_sealed(file, listed)
        self.shards.append(_read_shard(file))

    @property
    def done(self) -> set[str]:
        """Items that need no more work: they have a vector, or were rejected by an unfinished run."""
        found = {item_id for source in self._sources() for item_id in source.ids}
        found.update(one.item_id for one in self.rejected_now)
        return found

    @property
    def rejected_now(self) -> list[NoVector]:
        """Items that the shards list as rejected."""
        return [one for shard in self.shards for one in shard.rejected]

    @property
    def new(self) -> int:
        """Items of the shards that have a vector."""
        return sum(len(shard.ids) for shard in self.shards)

    @cached_property
    def rejected_before(self) -> list[NoVector]:
        """Items that the finished feature set lists as rejected."""
        file = self.final / REJECTED
        if not file.is_file():
            return []
        return [NoVector(**json.loads(line)) for line in file.read_text("utf-8").split("\n")[:-1]]

    def assemble(self, order: Sequence[str], rejected: Sequence[NoVector], **manifest: Any) -> int:
        """Make the feature set of old and new vectors in the given order of item ids; return its size.

        Ids without a vector are passed over. The earlier set stays whole until the new one takes its name.
        """
        place = {
            item_id: (source, row) for source in self._sources() for row, item_id in enumerate(source.ids)
        }
        ids = [item_id for item_id in order if item_id in place]
        places = [place[item_id] for item_id in ids]
        new = self.folder / "new"
        write_rejected(new, rejected)
        if ids:
            times = None
            if self.layout == "frames":
                times = np.concatenate([_of(source.times, source, row) for source, row in places])
            vectors = self._vectors(places)
            write_features(new, ids, vectors, layout=self.layout, times=times, **manifest)
        self._swap()
        return len(ids)

    def _sources(self) -> list[_Stored]:
        old = [] if self.old is None else [_stored(self.old, [])]
        return [*old, *self.shards]

    def _vectors(self, places: Iterable[tuple[_Stored, int]]) -> Iterator[NDArray[np.floating]]:
        for source, row in places:
            found = _of(source.vectors, source, row)
            yield found[0] if self.layout == "whole" else found

    def _swap(self) -> None:
        swap(self.folder / "new", self.final, self.folder / "old")
        # A kill before this line is harmless: the shards give the vectors that the set already holds.
        remove(self._shards)
        self.__dict__.pop("shards", None)

    def _recover(self) -> None:
        mend(self.final, self.folder / "old")
        remove(self.folder / "new")
        # Shards whose vectors are in the set; jobs of before called them so.
        for name in ("shards.gone", "used"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for folder in (self._shards, self.final):
            remove_torn(folder)

    def _require_same_encoder(self) -> None:
        noted = self._shards / "encoder.json"
        encoders: dict[Path, object] = {}
        if self.old is not None:
            encoders[self.final] = self.old.manifest.get("encoder")
        if any(self._shards.glob("shard-*.json")):
            encoders[self.folder] = read_sealed(
                noted, f"Remove {self.folder}, and run the same command again."
            )
        for place, encoder in encoders.items():
            require_same(
                place,
                "feature set",
                _told(encoder, self.identity),
                _told(self.identity, self.identity),
                f"They cannot be mixed. Give this one its own name (--name {self.final.name}_2), or remove "
                f"the other: rm -r {place}",
            )


def working_folder(final: Path) -> Path:
    """Name the folder of the unfinished part of the feature set `final`."""
    return final.parent / f".{final.name}"


def write_rejected(folder: Path, rejected: Iterable[NoVector]) -> None:
    """Replace `rejected.jsonl` of a feature set; an empty one says that every item has its vector."""
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rejected)
    write_text(folder / REJECTED, "".join(lines))


def _read_shard(file: Path) -> _Stored:
    fix = _mend(file.parent.parent)
    listed = read_sealed(file, fix)
    if wrong := damages(file.parent, listed.get("files", {})):
        raise DamagedError(f"{file.parent} is damaged: {wrong[0]}. {fix}")
    ids, rejected = listed["ids"], [NoVector(**one) for one in listed["rejected"]]
    if not ids:
        return _Stored([], np.empty((0, 0), np.float16), np.zeros(1, np.int64), None, rejected)
    if file.with_suffix("").is_dir():
        # Jobs before this format kept frames of videos as a feature set.
        return _stored(FeatureSet.open(file.with_suffix("")), rejected)
    vectors = np.load(file.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
    if "counts" in listed:
        offsets = np.cumsum([0, *listed["counts"]])
        return _Stored(ids, vectors, offsets, np.array(listed["times"]), rejected)
    # With regions [N, R, D]: as many rows an item.
    each = vectors.shape[1] if vectors.ndim == 3 else 1
    return _Stored(
        ids, vectors.reshape(-1, vectors.shape[-1]), np.arange(len(ids) + 1) * each, None, rejected
    )


def _mend(working: Path) -> str:
    return f"Remove {working}, and run the same command again."


def _stored(found: FeatureSet, rejected: list[NoVector]) -> _Stored:
    return _Stored(found.ids, found.vectors, found.offsets, found.times, rejected)


def _of(values: NDArray[Any] | None, source: _Stored, row: int) -> NDArray[Any]:
    assert values is not None
    return values[source.offsets[row] : source.offsets[row + 1]]


def _told(encoder: object, names: Iterable[str]) -> dict[str, object]:
    """Return what must be the same; sets of before say nothing of a grid, given ones nothing at all."""
    found = encoder if isinstance(encoder, dict) else {}
    known = {"fingerprint": None, "grid": 0, "sampling": None}
    same = {name: found.get(name, known.get(name)) for name in (*known, *names)}
    return {"encoder": same.pop("fingerprint"), **same}
