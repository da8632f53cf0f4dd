"""VATEX: videos with ten English and ten Chinese captions each, the last five of which are translations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, faulty, item
from dragoman.corpus.readers.formats.documents import Element, entries
from dragoman.corpus.readers.formats.listed import tagged_lines
from dragoman.errors import UserError
from dragoman.records import Split

_TRAIN, _VALIDATION = "vatex_training_v1.0.json", "vatex_validation_v1.0.json"
_PUBLIC = "vatex_public_test_english_v1.1.json"
_HALVES: dict[str, Split] = {
    "TextData/vatexval_zh.caption.txt": "val",
    "TextData/vatextest_zh.caption.txt": "test",
}
_NRCCR = "https://github.com/LiJiaBei-7/nrccr (vatex_caption)"

ABOUT = Published(
    title="VATEX",
    where={"": "https://eric-xw.github.io/vatex-website/download.html", "TextData/": _NRCCR},
    languages=("en", "zh"),
    tests=("validation", "nrccr", "public"),
    items={"train": 25_991, "test validation": 3_000, "val public": 3_000, "test public": 6_000},
    defects=(
        "the public test set is English only, so that Chinese is tested on validation videos: all of them, "
        "without a val split (`validation`), or halved by the lists in NRCCR's caption files (`nrccr`)",
        "captions 5 to 9 of a video are pairs of translations, slot by slot; 0 to 4 are not",
        "items are videos; ids end with the start and the end in seconds",
    ),
)
_KEYS = {"en": "enCap", "zh": "chCap"}


def needed(test: str) -> Needed:
    more = {"public": (_PUBLIC,), "nrccr": tuple(_HALVES), "validation": ()}[test]
    return {"": (_TRAIN, _VALIDATION, *more)}


def read(wanted: Wanted) -> Source:
    files = wanted.files
    split_of: dict[str, Split] = {}
    if wanted.test == "nrccr":
        split_of = _halves(wanted)
    parts: list[tuple[Path, Split | None]] = [(files[_TRAIN], "train")]
    if wanted.test == "public":
        parts += [(files[_VALIDATION], "val"), (files[_PUBLIC], "test")]
    else:
        parts.append((files[_VALIDATION], "test" if wanted.test == "validation" else None))
    return Source(
        items=chain.from_iterable(_items(wanted, file, split, split_of) for file, split in parts),
        captions=chain.from_iterable(_captions(wanted, file, split, split_of) for file, split in parts),
    )


def _halves(wanted: Wanted) -> dict[str, Split]:
    split_of: dict[str, Split] = {}
    for name, split in _HALVES.items():
        file = wanted.files[name]
        for found in tagged_lines(file):
            if found.line.fault:
                raise UserError(f"{file}, line {found.line.number}: {found.line.fault}")
            split_of[found.visual] = split
    return split_of


def _items(wanted: Wanted, file: Path, split: Split | None, split_of: dict[str, Split]) -> Iterator[Row]:
    for place, _, fields in entries(file, None):
        name = fields.get("videoID")
        if isinstance(name, str):
            found = split or split_of.get(name)
            if found is None:
                wanted.defects.note("validation video in neither half left out", name)
            else:
                yield item(place, 0, name, found, f"{name}.mp4", kind="video")


def _captions(wanted: Wanted, file: Path, split: Split | None, split_of: dict[str, Split]) -> Iterator[Row]:
    for entry in entries(file, None):
        name = entry.fields.get("videoID")
        if entry.line.fault or not isinstance(name, str):
            yield faulty(entry.place, entry.line, entry.line.fault or "videoID is missing or no string.")
        elif split or name in split_of:
            yield from _of_video(wanted, entry, name)


def _of_video(wanted: Wanted, entry: Element, name: str) -> Iterator[Row]:
    for lang in wanted.languages:
        texts = entry.fields.get(_KEYS[lang])
        if texts is None:
            continue
        if not isinstance(texts, list):
            yield faulty(entry.place, entry.line, f"{_KEYS[lang]} is no list. Fetch the file anew.")
            continue
        for slot, text in enumerate(texts):
            yield from wanted.caption(entry.place, entry.line, name, lang, slot, text)
