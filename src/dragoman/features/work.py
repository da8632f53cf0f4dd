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
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, atomic_path, write_json, write_text

REJECTED = "rejected.jsonl"


@dataclass(frozen=True, kw_only=True)
class Rejected:
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
    rejected: list[Rejected] = field(default_factory=list)


class _Stored(NamedTuple):
    """Vectors on the disk; those of `ids[i]` are `vectors[offsets[i]:offsets[i + 1]]`."""

    ids: list[str]
    vectors: NDArray[np.floating]
    offsets: NDArray[np.int64]
    times: NDArray[np.float64] | None
    rejected: list[Rejected]


class FeatureWork:
    """Shards in `features/.<name>/`, until `assemble` turns them into `features/<name>/`.

    Hold `sole_writer` on the working folder. Opening it finishes a swap that a kill interrupted.
    """

    def __init__(self, final: Path, layout: Layout, identity: Mapping[str, Any]) -> None:
        """`identity` is what must be the same for vectors to be mixed: fingerprint, grid, sampling."""
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
            write_json(self._shards / "encoder.json", self.identity)
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
        # Written after its vectors: where this file is, the shard is complete.
        write_json(file, listed)
        self.shards.append(_read_shard(file))

    @property
    def done(self) -> set[str]:
        """Items that need no more work: they have a vector, or were rejected by an unfinished run."""
        found = {item_id for source in self._sources() for item_id in source.ids}
        found.update(one.item_id for one in self.rejected_now)
        return found

    @property
    def rejected_now(self) -> list[Rejected]:
        """Items that the shards list as rejected."""
        return [one for shard in self.shards for one in shard.rejected]

    @property
    def new(self) -> int:
        """Items of the shards that have a vector."""
        return sum(len(shard.ids) for shard in self.shards)

    @cached_property
    def rejected_before(self) -> list[Rejected]:
        """Items that the finished feature set lists as rejected."""
        file = self.final / REJECTED
        if not file.is_file():
            return []
        return [Rejected(**json.loads(line)) for line in file.read_text("utf-8").split("\n")[:-1]]

    def assemble(self, order: Sequence[str], rejected: Sequence[Rejected], **manifest: Any) -> int:
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
        if self.final.exists():
            self.final.rename(self.folder / "old")
        (self.folder / "new").rename(self.final)
        # A kill before this line is harmless: the shards give the vectors that the set already holds.
        if self._shards.exists():
            self._shards.rename(self.folder / "used")
        self._remove_leftovers()
        self.__dict__.pop("shards", None)

    def _recover(self) -> None:
        if (self.folder / "old").exists() and not self.final.exists():
            (self.folder / "old").rename(self.final)
        self._remove_leftovers()
        # What a killed writer left of a file that had no name yet.
        for torn in (*self._shards.rglob(".*.tmp"), *self.final.glob(".*.tmp")):
            torn.unlink()

    def _remove_leftovers(self) -> None:
        for name in ("old", "new", "used"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _require_same_encoder(self) -> None:
        if self.old is not None:
            _require_same(self.identity, self.old.manifest.get("encoder"), self.final, self.final)
        if any(self._shards.glob("shard-*.json")):
            note = json.loads((self._shards / "encoder.json").read_text("utf-8"))
            _require_same(self.identity, note, self.final, self.folder)


def working_folder(final: Path) -> Path:
    """Name the folder of the unfinished part of the feature set `final`."""
    return final.parent / f".{final.name}"


def write_rejected(folder: Path, rejected: Iterable[Rejected]) -> None:
    """Replace `rejected.jsonl` of a feature set; an empty one says that every item has its vector."""
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rejected)
    write_text(folder / REJECTED, "".join(lines))


def _read_shard(file: Path) -> _Stored:
    listed = json.loads(file.read_text("utf-8"))
    ids, rejected = listed["ids"], [Rejected(**one) for one in listed["rejected"]]
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


def _stored(found: FeatureSet, rejected: list[Rejected]) -> _Stored:
    return _Stored(found.ids, found.vectors, found.offsets, found.times, rejected)


def _of(values: NDArray[Any] | None, source: _Stored, row: int) -> NDArray[Any]:
    assert values is not None
    return values[source.offsets[row] : source.offsets[row + 1]]


def _require_same(identity: Mapping[str, Any], encoder: object, final: Path, place: Path) -> None:
    found = encoder if isinstance(encoder, dict) else {}
    fingerprint, expected = found.get("fingerprint"), str(identity["fingerprint"])
    remedy = f"Give this one its own name (--name {final.name}_2), or remove the other: rm -r {place}"
    if fingerprint != expected:
        whose = (
            f"another encoder (fingerprint {fingerprint[:12]})"
            if fingerprint
            else "no encoder that is known here"
        )
        raise UserError(
            f"{place} holds vectors of {whose}, not of this one ({expected[:12]}); they cannot be mixed. "
            f"{remedy}"
        )
    if found.get("grid", 0) != identity["grid"]:
        raise UserError(
            f"{place} was made with --grid {found.get('grid', 0)}, not {identity['grid']} (0 keeps no "
            f"regions); they cannot be mixed. {remedy}"
        )
    if found.get("sampling") != identity.get("sampling"):
        there, here = (_frames(one.get("sampling")) for one in (found, identity))
        raise UserError(f"{place} was made with {there}, not {here}; they cannot be mixed. {remedy}")


def _frames(sampling: object) -> str:
    if not isinstance(sampling, dict):
        return "one vector an item"
    listed = (f"{name} {value}" for name, value in sampling.items() if value is not None)
    return f"frames of videos ({', '.join(listed)})"
