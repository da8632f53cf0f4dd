"""The items of a world, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from dragoman.corpus.corpus import ITEMS
from dragoman.records import Split
from dragoman.scenes.clip import Clip, distinct_clips, reversed_clip
from dragoman.scenes.scene import Group, Scene, distinct_scenes

SPLIT_CYCLE: tuple[Split, ...] = (
    *("train", "test", "train", "train", "val", "train", "train", "test", "train", "train", "test", "train"),
)
"""Two thirds for training, a quarter for the test. Scene or clip i takes entry i modulo 12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of a world. A clip and its reversal are two, with one number."""

    item_id: str
    number: int
    shows: Scene | Clip

    @property
    def path(self) -> str:
        """Path of the media file, in the corpus folder."""
        return f"media/{self.item_id}.{'png' if isinstance(self.shows, Scene) else 'mp4'}"


def picture_entries(items: int, seed: int) -> list[Entry]:
    """`items` pictures, all of different scenes."""
    return [
        Entry(item_id=f"s{number:05d}", number=number, shows=scene)
        for number, scene in enumerate(distinct_scenes(items, seed))
    ]


def clip_entries(items: int, seed: int) -> list[Entry]:
    """`items` clips: each is followed by its reversal."""
    return [
        Entry(item_id=f"m{number:05d}{suffix}", number=number, shows=shown)
        for number, clip in enumerate(distinct_clips(items // 2, seed))
        for suffix, shown in (("", clip), ("r", reversed_clip(clip)))
    ]


def split_of(number: int) -> Split:
    """The split of scene or clip `number`."""
    return SPLIT_CYCLE[number % len(SPLIT_CYCLE)]


def items_table(entries: Sequence[Entry]) -> pa.Table:
    """`items.parquet` of a world: the facts of what is shown are metadata."""
    rows = [
        {"item_id": entry.item_id, "kind": _kind(entry), "path": entry.path, "split": split_of(entry.number)}
        | _facts(entry)
        for entry in entries
    ]
    facts = [pa.field(name, pa.int8() if "count" in name else pa.string()) for name in _facts(entries[0])]
    return pa.Table.from_pylist(rows, schema=pa.schema([*ITEMS, *facts]))


def _kind(entry: Entry) -> str:
    return "image" if isinstance(entry.shows, Scene) else "video"


def _facts(entry: Entry) -> dict[str, object]:
    shown = entry.shows
    facts: dict[str, object] = {"ground": shown.ground, "place": shown.place}
    facts |= _group_facts(shown.first, "")
    facts["relation"] = shown.relation
    facts |= _group_facts(shown.second, "_2")
    if isinstance(shown, Clip):
        facts |= {"event": shown.event, "reversal": _reversal(entry.item_id)}
    return facts


def _reversal(item_id: str) -> str:
    return item_id.removesuffix("r") if item_id.endswith("r") else f"{item_id}r"


def _group_facts(group: Group | None, suffix: str) -> dict[str, object]:
    return {
        f"object{suffix}": group and group.kind,
        f"colour{suffix}": group and group.colour,
        f"size{suffix}": group and group.size,
        f"count{suffix}": group and group.count,
    }
