"""MSR-VTT: videos with twenty English captions each, in its own split or in that of JSFusion (1k-A)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, faulty, item
from dragoman.corpus.readers.formats.documents import entries
from dragoman.records import Split
from dragoman.textfiles import TextLine, table

_FULL = ("train_val_videodatainfo.json", "test_videodatainfo.json")
_DATA, _NINE, _TEST = "MSRVTT_data.json", "MSRVTT_train.9k.csv", "MSRVTT_JSFUSION_test.csv"
_PAPER = (
    "https://www.microsoft.com/en-us/research/publication/"
    "msr-vtt-a-large-video-description-dataset-for-bridging-video-and-language/"
)
_CLIP4CLIP = "https://github.com/ArrowLuo/CLIP4Clip (msrvtt_data.zip)"

ABOUT = Published(
    title="MSR-VTT",
    where={"": _PAPER, "MSRVTT_": _CLIP4CLIP},
    languages=("en",),
    tests=("full", "1k-A"),
    items={
        "train": 6_513,
        "val": 497,
        "test full": 2_990,
        "train 1k-A": 9_000,
        "val 1k-A": 0,
        "test 1k-A": 1_000,
    },
    defects=(
        "`1k-A` has no val split, and one caption a test video: that of its list, not all twenty",
        "items are videos, with their category",
    ),
)
_SPLITS: dict[object, Split] = {"train": "train", "validate": "val", "test": "test"}


def needed(test: str) -> Needed:
    return {"": _FULL if test == "full" else (_DATA, _NINE, _TEST)}


def read(wanted: Wanted) -> Source:
    names = _FULL if wanted.test == "full" else (_DATA,)
    documents = [wanted.files[name] for name in names]
    chosen: dict[str, Split] | None = None
    tests: Iterator[Row] = iter(())
    if wanted.test != "full":
        chosen = {name: split for _, _, name, split, _ in _lists(wanted) if name}
        tests = _of_lists(wanted)
    return Source(
        items=chain.from_iterable(_items(wanted, file, chosen) for file in documents),
        captions=chain(*(_captions(wanted, file, chosen) for file in documents), tests),
    )


def _items(wanted: Wanted, file: Path, chosen: dict[str, Split] | None) -> Iterator[Row]:
    for place, line, fields in entries(file, "videos"):
        name, split, category = fields.get("video_id"), fields.get("split"), fields.get("category")
        known = _SPLITS.get(split) if isinstance(split, str) else None
        if line.fault or not isinstance(name, str) or known is None:
            yield faulty(place, line, line.fault or "video_id or split are not as published.")
            continue
        found = known if chosen is None else chosen.get(name)
        if found is None:
            wanted.defects.note("video in no list left out", name)
        else:
            more = {"category": category} if type(category) is int else {}
            yield item(place, 0, name, found, f"{name}.mp4", kind="video", **more)


def _captions(wanted: Wanted, file: Path, chosen: dict[str, Split] | None) -> Iterator[Row]:
    slots: Counter[str] = Counter()
    for place, line, fields in entries(file, "sentences"):
        name = fields.get("video_id")
        if line.fault or not isinstance(name, str):
            yield faulty(place, line, line.fault or "video_id is missing or no string.")
        # In 1k-A a test video is asked for by one caption, that of the list; here are all twenty.
        elif chosen is None or chosen.get(name) == "train":
            yield from wanted.caption(place, line, name, "en", slots[name], fields.get("caption"))
            slots[name] += 1


def _of_lists(wanted: Wanted) -> Iterator[Row]:
    for file, line, name, split, text in _lists(wanted):
        if line.fault:
            yield faulty(file, line, line.fault)
        elif split == "test":
            yield from wanted.caption(file, line, name, "en", 0, text)


def _lists(wanted: Wanted) -> Iterator[tuple[Path, TextLine, str, Split, str | None]]:
    """Yield the videos of the two lists, with the caption that the list of the test set names."""
    lists: list[tuple[str, Split]] = [(_NINE, "train"), (_TEST, "test")]
    for listed, split in lists:
        file = wanted.files[listed]
        header, records = table(file)
        if "video_id" not in header or (split == "test" and "sentence" not in header):
            fault = "no header with video_id, and sentence in the test list."
            yield file, TextLine(1, ",".join(header), "", fault), "", split, None
            continue
        for record in records:
            row = {} if record.fault else dict(zip(header, record.cells, strict=True))
            line = TextLine(record.number, record.raw, "", record.fault)
            yield file, line, row.get("video_id", ""), split, row.get("sentence")
