"""The unfinished part of a feature set: shards on the disk, and the feature set made of them.

N rows; a row is one vector, or the vectors of the whole image and of its regions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FORMAT, FORMAT_VERSION, FeatureSet
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, atomic_path, write_json, write_manifest, write_text

REJECTED = "rejected.jsonl"
_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """An item without a vector, and why."""

    item_id: str
    path: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What some whole batches gave: one row of `vectors` an id, and the items that gave none."""

    ids: list[str]
    vectors: NDArray[np.float16]
    rejected: list[Rejected]


class FeatureWork:
    """Shards in `features/.<name>/`, until `assemble` turns them into `features/<name>/`.

    Hold `sole_writer` on the working folder. Opening it finishes a swap that a kill interrupted.
    """

    def __init__(self, final: Path, fingerprint: str, grid: int = 0, **how: Any) -> None:
        """`how` is what else must be the same for vectors to be mixed, as the manifest says it."""
        self.final = final
        self.folder = working_folder(final)
        self._shards = self.folder / "shards"
        self._recover()
        self.old = FeatureSet.open(final) if (final / MANIFEST).is_file() else None
        self.identity = {"fingerprint": fingerprint, "grid": grid, **how}
        self._require_same_encoder()

    @cached_property
    def shards(self) -> list[Shard]:
        """Finished shards; their vectors stay on the disk."""
        return [_read_shard(file) for file in sorted(self._shards.glob("shard-*.json"))]

    def add(self, shard: Shard) -> None:
        """Keep a finished shard, whatever happens next."""
        self._note_identity()
        file = self._shards / f"shard-{len(self.shards):08d}.json"
        with atomic_path(file.with_suffix(".npy")) as temporary, temporary.open("wb") as handle:
            np.save(handle, shard.vectors, allow_pickle=False)
        # Written after its vectors: where this file is, the shard is complete.
        write_json(file, {"ids": shard.ids, "rejected": [asdict(one) for one in shard.rejected]})
        self.shards.append(_read_shard(file))

    @property
    def done(self) -> set[str]:
        """Items that need no more work: they have a vector, or were rejected by an unfinished run."""
        found = {item_id for ids in self._listed() for item_id in ids}
        found.update(one.item_id for one in self.rejected_now)
        return found

    @property
    def rejected_now(self) -> list[Rejected]:
        """What the shards list as rejected."""
        return [one for shard in self.shards for one in shard.rejected]

    @property
    def new(self) -> int:
        """Items of the shards that have a vector."""
        return sum(len(shard.ids) for shard in self.shards)

    @cached_property
    def rejected_before(self) -> list[Rejected]:
        """What the finished feature set lists as rejected."""
        file = self.final / REJECTED
        if not file.is_file():
            return []
        return [Rejected(**json.loads(line)) for line in file.read_text("utf-8").split("\n")[:-1]]

    def assemble(self, order: Sequence[str], rejected: Sequence[Rejected], **manifest: Any) -> int:
        """Make the feature set of old and new vectors in the given order of item ids; return its size.

        Ids without a vector are passed over. The earlier set stays whole until the new one takes its name.
        """
        place = self._places()
        ids = [item_id for item_id in order if item_id in place]
        new = self.folder / "new"
        write_rejected(new, rejected)
        if ids:
            self._write(new, ids, [place[item_id] for item_id in ids], **manifest)
        self._swap()
        return len(ids)

    def _begun(self) -> bool:
        return any(self._shards.glob("shard-*.json"))

    def _note_identity(self) -> None:
        """Before the first shard: what its vectors are made with."""
        if not self._begun():
            write_json(self._shards / "encoder.json", self.identity)

    def _sources(self) -> list[NDArray[np.floating]]:
        return [*([self.old.vectors] if self.old else []), *(shard.vectors for shard in self.shards)]

    def _listed(self) -> list[list[str]]:
        """Ids of each source."""
        return [*([self.old.ids] if self.old else []), *(shard.ids for shard in self.shards)]

    def _places(self) -> dict[str, tuple[int, int]]:
        return {
            item_id: (source, row)
            for source, ids in enumerate(self._listed())
            for row, item_id in enumerate(ids)
        }

    def _write(
        self, new: Path, ids: Sequence[str], places: Sequence[tuple[int, int]], **manifest: Any
    ) -> None:
        with atomic_path(new / "vectors.npy") as temporary:
            self._write_vectors(temporary, places)
        write_text(new / "ids.txt", "".join(f"{item_id}\n" for item_id in ids))
        write_manifest(new, format=FORMAT, format_version=FORMAT_VERSION, **manifest)

    def _write_vectors(self, file: Path, places: Sequence[tuple[int, int]]) -> None:
        # Plain writes and no memory map: on a full disk a map kills the process by a signal.
        sources = self._sources()
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(places), *sources[-1].shape[1:])}
        with file.open("wb") as handle:
            np.lib.format.write_array_header_1_0(handle, header)
            for start in range(0, len(places), _ROWS):
                rows = [sources[source][row] for source, row in places[start : start + _ROWS]]
                handle.write(np.asarray(rows, "<f2").tobytes())

    def _swap(self) -> None:
        if self.final.exists():
            self.final.rename(self.folder / "old")
        (self.folder / "new").rename(self.final)
        # A kill before this line is harmless: the shards give the vectors that the set already holds.
        if self._shards.exists():
            self._shards.rename(self.folder / "used")
        self._remove_leftovers()
        self.__dict__.pop("shards", None)
        self.__dict__.pop("stored", None)

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
            _same(self.identity, self.old.manifest.get("encoder"), self.final, self.final)
        if self._begun():
            note = json.loads((self._shards / "encoder.json").read_text("utf-8"))
            _same(self.identity, note, self.final, self.folder)


def working_folder(final: Path) -> Path:
    """Where the unfinished part of the feature set `final` lies."""
    return final.parent / f".{final.name}"


def write_rejected(folder: Path, rejected: Iterable[Rejected]) -> None:
    """Replace `rejected.jsonl` of a feature set; an empty one says that every item has its vector."""
    lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in rejected)
    write_text(folder / REJECTED, "".join(lines))


def _read_shard(file: Path) -> Shard:
    listed = json.loads(file.read_text("utf-8"))
    vectors = np.load(file.with_suffix(".npy"), mmap_mode="r" if listed["ids"] else None, allow_pickle=False)
    return Shard(ids=listed["ids"], vectors=vectors, rejected=[Rejected(**one) for one in listed["rejected"]])


def _same(identity: dict[str, object], encoder: object, final: Path, place: Path) -> None:
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
