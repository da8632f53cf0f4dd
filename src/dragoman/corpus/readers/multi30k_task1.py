"""Multi30K, task 1: one English caption an image, translated by people; line i belongs to line i."""

from __future__ import annotations

from itertools import chain

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats.lines import Part, captions, items
from dragoman.records import Split

ABOUT = Published(
    title="Multi30K, task 1",
    where={"": "https://github.com/multi30k/dataset"},
    languages=("en", "de", "fr", "cs"),
    tests=("2016_flickr", "2017_flickr", "2017_mscoco", "2018_flickr"),
    items={
        "train": 29_000,
        "val": 1_014,
        "test 2016_flickr": 1_000,
        "test 2017_flickr": 1_000,
        "test 2017_mscoco": 461,
        "test 2018_flickr": 1_071,
    },
    defects=(
        "Czech has no 2017 test sets",
        "the test set of COCO names image and caption (`….jpg#657409`); the item is the image",
    ),
)
_WITHOUT = {("cs", "2017_flickr"), ("cs", "2017_mscoco")}


def needed(test: str) -> Needed:
    parts = ("train", "val", f"test_{test}")
    return {"": tuple(f"data/task1/image_splits/{part}.txt" for part in parts)} | {
        lang: tuple(f"data/task1/raw/{part}.{lang}" for part in parts)
        for lang in ABOUT.languages
        if (lang, test) not in _WITHOUT
    }


def read(wanted: Wanted) -> Source:
    parts = [_part(wanted, "train", "train"), _part(wanted, "val", "val")]
    parts.append(_part(wanted, "test", f"test_{wanted.test}"))
    return Source(
        items=chain.from_iterable(items(part) for part in parts),
        captions=chain.from_iterable(captions(wanted, part) for part in parts),
    )


def _part(wanted: Wanted, split: Split, name: str) -> Part:
    files = wanted.files
    texts = {lang: [files[f"data/task1/raw/{name}.{lang}"]] for lang in wanted.languages}
    return Part(split, files[f"data/task1/image_splits/{name}.txt"], texts)
