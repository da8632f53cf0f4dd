"""The unfinished part of a feature set: shards on the disk, and the feature set made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FEATURES, RAGGED, FeatureSet, Layout, write_features
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
from dragoman.media.file_state import UNKNOWN, FileState

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
    """[D] each, with regions [R, D], of a video [F, D], of the tokens of a text [L, D]."""
    times: list[NDArray[np.float64]] = field(default_factory=list)
    """[F] each, in seconds."""
    rejected: list[NoVector] = field(default_factory=list)
    files: dict[str, FileState] = field(default_factory=dict)
    """States of the files of all of these items, where they have some."""

    def add(self, other: Shard) -> None:
        """Take over the items of another."""
        self.ids += other.ids
        self.vectors += other.vectors
        self.times += other.times
        self.rejected += other.rejected
        self.files |= other.files


class _Stored(NamedTuple):
    """Vectors on the disk; those of `ids[i]` are `vectors[offsets[i]:offsets[i + 1]]`."""

    ids: list[str]
    vectors: NDArray[np.floating]
    offsets: NDArray[np.int64]
    times: NDArray[np.float64] | None
    rejected: list[NoVector]
    files: Mapping[str, FileState]
    since: int
    """Time in nanoseconds when it was stored."""


class Known(NamedTuple):
    """Outcome of the last work on an item: vectors, or a refusal."""

    state: FileState
    """Its file then."""
    since: int
    """No file that changed later is the one that its vectors were made of; 0 where it has none."""
    place: tuple[_Stored, int] | None
    rejected: NoVector | None

    def is_of(self, now: FileState) -> bool:
        """Tell if it still holds, where the file is as it is `now`."""
        if self.state == UNKNOWN:
            # Sets of before say nothing of files: all but newer ones are taken for theirs.
            return now.changed <= self.since
        return self.state.is_content(now)


class FeatureWork:
    """Shards in `features/.<name>/`, until `assemble` turns them into `features/<name>/`.

    Hold `sole_writer` on the working folder. Opening it finishes a swap that a kill interrupted.
    """

    def __init__(self, final: Path, layout: Layout, identity: Mapping[str, Any]) -> None:
        """`identity` is what must be the same for vectors to be mixed: fingerprint, grid, sampling, whether
        videos are means of their frames; of texts whether they are captions or items, how they are read, and
        the layer of the states."""
        self.final, self.layout, self.identity = final, layout, {"grid": 0, **identity}
        self.folder = working_folder(final)
        self._shards = self.folder / "shards"
        _recover(final)
        self.old = FeatureSet.open(final) if (final / MANIFEST).is_file() else None
        self._require_same_encoder()
        self._is_noted = False

    @cached_property
    def shards(self) -> list[_Stored]:
        """Finished shards; their vectors stay on the disk."""
        return [_read_shard(file) for file in sorted(self._shards.glob("shard-*.json"))]

    def add(self, shard: Shard) -> None:
        """Keep a finished shard, whatever happens next."""
        if not self._is_noted:
            # Also where there are shards: those of images alone may be followed by means of videos.
            write_sealed(self._shards / "encoder.json", self.identity)
            self._is_noted = True
        file = self._shards / f"shard-{len(self.shards):08d}.json"
        listed: dict[str, Any] = {"ids": shard.ids, "rejected": [asdict(one) for one in shard.rejected]}
        listed["states"] = {item_id: str(state) for item_id, state in shard.files.items()}
        if shard.ids:
            ragged = self.layout in RAGGED
            with atomic_path(file.with_suffix(".npy")) as temporary, temporary.open("wb") as handle:
                joined = np.concatenate(shard.vectors) if ragged else np.stack(shard.vectors)
                np.save(handle, joined, allow_pickle=False)
            if ragged:
                listed["counts"] = [len(one) for one in shard.vectors]
            if shard.times:
                listed["times"] = np.concatenate(shard.times).tolist()
            listed["files"] = {file.with_suffix(".npy").name: digest(file.with_suffix(".npy"))}
        # Written after its vectors: where this file is, the shard is complete.
        write_sealed(file, listed)
        self.shards.append(_read_shard(file))
        self.__dict__.pop("known", None)

    @cached_property
    def known(self) -> dict[str, Known]:
        """Items that the set or a shard has something of, by id; the last shard counts."""
        found: dict[str, Known] = {}
        for source in self._sources():
            for row, item_id in enumerate(source.ids):
                state = source.files.get(item_id, UNKNOWN)
                found[item_id] = Known(state, source.since, (source, row), None)
            for one in source.rejected:
                found[one.item_id] = Known(source.files.get(one.item_id, UNKNOWN), 0, None, one)
        return found

    @property
    def new(self) -> int:
        """Items whose vectors are in the shards."""
        new = {id(shard) for shard in self.shards}
        return sum(one.place is not None and id(one.place[0]) in new for one in self.known.values())

    def ids(self, order: Sequence[str], rejected: Iterable[NoVector]) -> list[str]:
        """Choose the ids of `order` that have vectors, and are not rejected now."""
        refused = {one.item_id for one in rejected}
        known = self.known
        return [one for one in order if one in known and known[one].place and one not in refused]

    @cached_property
    def rejected_before(self) -> list[NoVector]:
        """Items that the finished feature set lists as rejected."""
        file = self.final / REJECTED
        if not file.is_file():
            return []
        return [NoVector(**json.loads(line)) for line in file.read_text("utf-8").split("\n")[:-1]]

    def assemble(
        self,
        order: Sequence[str],
        rejected: Sequence[NoVector],
        files: Mapping[str, FileState] | None = None,
        **manifest: Any,
    ) -> int:
        """Make the feature set of old and new vectors in the given order of item ids; return its size.

        Ids without a vector, and those that are rejected, are passed over; `files` are the states that are
        noted. The earlier set stays whole until the new one takes its name.
        """
        ids, known = self.ids(order, rejected), self.known
        places = [place for item_id in ids if (place := known[item_id].place)]
        new = self.folder / "new"
        write_rejected(new, rejected)
        if ids:
            times = None
            if self.layout == "frames":
                times = np.concatenate([_of(source.times, source, row) for source, row in places])
            states = None if files is None else [files.get(item_id, UNKNOWN) for item_id in ids]
            vectors = self._vectors(places)
            write_features(new, ids, vectors, layout=self.layout, times=times, files=states, **manifest)
        self._swap()
        return len(ids)

    def _sources(self) -> list[_Stored]:
        old = [] if self.old is None else [_stored(self.old)]
        return [*old, *self.shards]

    def _vectors(self, places: Iterable[tuple[_Stored, int]]) -> Iterator[NDArray[np.floating]]:
        for source, row in places:
            found = _of(source.vectors, source, row)
            yield found[0] if self.layout == "whole" else found

    def _swap(self) -> None:
        swap(self.folder / "new", self.final, self.folder / "old")
        # A kill before this line is harmless: the shards give the vectors that the set already holds.
        remove(self._shards)
        for name in ("shards", "known"):
            self.__dict__.pop(name, None)

    def _require_same_encoder(self) -> None:
        encoders: dict[Path, object] = {}
        if self.old is not None:
            encoders[self.final] = self.old.manifest.get("encoder")
        if (noted := _noted(self.final)) is not None:
            encoders[self.folder] = noted
        for place, encoder in encoders.items():
            if "videos" in self.identity and isinstance(encoder, dict) and not encoder.get("sampling"):
                # Vectors of images alone are what they would be beside means of videos.
                encoder = encoder | {name: self.identity[name] for name in ("sampling", "videos")}
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


def videos_before(final: Path) -> Literal["frames", "mean"] | None:
    """Tell what earlier runs keep of a video: its frames, their mean, or None where they met no video.

    Hold `sole_writer` on the working folder. Finishes a swap that a kill interrupted.
    """
    _recover(final)
    encoders: list[object] = [_noted(final)]
    if (final / MANIFEST).is_file():
        manifest = FEATURES.peek(final)
        if "frames" in manifest:
            return "frames"
        encoders.append(manifest.get("encoder"))
    for encoder in encoders:
        if isinstance(encoder, dict) and encoder.get("sampling"):
            return "mean" if encoder.get("videos") == "mean" else "frames"
    return None


def write_rejected(folder: Path, rejected: Iterable[NoVector]) -> None:
    """Replace `rejected.jsonl` of a feature set; an empty one says that every item has its vector."""
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rejected)
    write_text(folder / REJECTED, "".join(lines))


def _recover(final: Path) -> None:
    folder = working_folder(final)
    mend(final, folder / "old")
    remove(folder / "new")
    # Shards whose vectors are in the set; jobs of before called them so.
    for name in ("shards.gone", "used"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for each in (folder / "shards", final):
        remove_torn(each)


def _noted(final: Path) -> dict[str, Any] | None:
    """Read what made the shards; None where there are none."""
    folder = working_folder(final)
    if not any((folder / "shards").glob("shard-*.json")):
        return None
    return read_sealed(folder / "shards" / "encoder.json", _mend(folder))


def _read_shard(file: Path) -> _Stored:
    fix = _mend(file.parent.parent)
    listed = read_sealed(file, fix)
    if wrong := damages(file.parent, listed.get("files", {})):
        raise DamagedError(f"{file.parent} is damaged: {wrong[0]}. {fix}")
    ids, rejected = listed["ids"], [NoVector(**one) for one in listed["rejected"]]
    files = {item_id: FileState.parse(line) for item_id, line in listed.get("states", {}).items()}
    found = _Stored(ids, np.empty((0, 0)), np.zeros(1, np.int64), None, rejected, files, _time_of(file))
    if not ids:
        return found
    if file.with_suffix("").is_dir():
        # Jobs before this format kept frames of videos as a feature set.
        return _stored(FeatureSet.open(file.with_suffix("")))._replace(rejected=rejected)
    vectors = np.load(file.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
    if "counts" in listed:
        offsets = np.cumsum([0, *listed["counts"]])
        times = np.array(listed["times"]) if "times" in listed else None
        return found._replace(vectors=vectors, offsets=offsets, times=times)
    # With regions [N, R, D]: as many rows an item.
    each = vectors.shape[1] if vectors.ndim == 3 else 1
    return found._replace(
        vectors=vectors.reshape(-1, vectors.shape[-1]), offsets=np.arange(len(ids) + 1) * each
    )


def _mend(working: Path) -> str:
    return f"Remove {working}, and run the same command again."


def _stored(found: FeatureSet) -> _Stored:
    files = dict(zip(found.ids, found.files, strict=True))
    since = _time_of(found.folder / "vectors.npy")
    return _Stored(found.ids, found.vectors, found.offsets, found.times, [], files, since)


def _time_of(file: Path) -> int:
    return file.stat().st_mtime_ns


def _of(values: NDArray[Any] | None, source: _Stored, row: int) -> NDArray[Any]:
    assert values is not None
    return values[source.offsets[row] : source.offsets[row + 1]]


def _told(encoder: object, names: Iterable[str]) -> dict[str, object]:
    """Return what must be the same; sets of before say nothing of a grid, given ones nothing at all."""
    found = encoder if isinstance(encoder, dict) else {}
    known: dict[str, object] = {"fingerprint": None, "grid": 0, "sampling": None, "videos": None}
    # Texts were captions before there were items among them.
    known |= {"layer": None, "of": "texts" if "reading" in found else None}
    same = {name: found.get(name, known.get(name)) for name in (*known, *names)}
    return {"encoder": same.pop("fingerprint"), **same}
