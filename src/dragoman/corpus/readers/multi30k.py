"""Multi30K: captions in English, German, French and Czech; line i of a file belongs to image i."""

from __future__ import annotations

from itertools import chain

from dragoman.corpus.readers.contract import DataSet, Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats.listed import AlignedFiles, captions, items
from dragoman.records import SPLITS, Split

_WHERE = {"": "https://github.com/multi30k/dataset"}
_LANGUAGES = ("en", "de", "fr", "cs")
_WITHOUT = {("cs", "2017_flickr"), ("cs", "2017_mscoco")}
_PARTS: dict[Split, tuple[str, str, str]] = {
    "train": ("train_images", "train", "train"),
    "val": ("val_images", "val", "val"),
    "test": ("test_2016_images", "test_2016", "test_2016_flickr"),
}
"""Image list of task 2, captions of task 2, captions of task 1."""


def _needed_first(test: str) -> Needed:
    parts = ("train", "val", f"test_{test}")
    return {"": tuple(f"data/task1/image_splits/{part}.txt" for part in parts)} | {
        lang: tuple(f"data/task1/raw/{part}.{lang}" for part in parts)
        for lang in _LANGUAGES
        if (lang, test) not in _WITHOUT
    }


def _read_first(wanted: Wanted) -> Source:
    files, names = wanted.files, {"train": "train", "val": "val", "test": f"test_{wanted.test}"}
    return _of_parts(
        wanted,
        [
            AlignedFiles(
                split,
                files[f"data/task1/image_splits/{names[split]}.txt"],
                {lang: [files[f"data/task1/raw/{names[split]}.{lang}"]] for lang in wanted.languages},
            )
            for split in SPLITS
        ],
    )


def _needed_second(test: str) -> Needed:
    return {"": tuple(f"data/task2/image_splits/{images}.txt" for images, _, _ in _PARTS.values())} | {
        lang: tuple(path for split in _PARTS for path in _paths(lang, split)) for lang in _LANGUAGES
    }


def _paths(lang: str, split: Split) -> list[str]:
    _, own, first_task = _PARTS[split]
    if lang in ("en", "de"):
        return [f"data/task2/raw/{own}.{slot}.{lang}" for slot in range(1, 6)]
    # French and Czech have no captions of their own in task 2, and none for training.
    return [] if split == "train" else [f"data/task1/raw/{first_task}.{lang}"]


def _read_second(wanted: Wanted) -> Source:
    files = wanted.files
    return _of_parts(
        wanted,
        [
            AlignedFiles(
                split,
                files[f"data/task2/image_splits/{images}.txt"],
                {lang: [files[path] for path in _paths(lang, split)] for lang in wanted.languages},
            )
            for split, (images, _, _) in _PARTS.items()
        ],
    )


def _of_parts(wanted: Wanted, parts: list[AlignedFiles]) -> Source:
    return Source(
        items=chain.from_iterable(items(part) for part in parts),
        captions=chain.from_iterable(captions(wanted, part) for part in parts),
    )


FAMILY = {
    "task1": DataSet(
        help="Multi30K, task 1: one English caption an image, translated by people; line i belongs to "
        "line i.",
        about=Published(
            title="Multi30K, task 1",
            where=_WHERE,
            languages=_LANGUAGES,
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
        ),
        needed=_needed_first,
        read=_read_first,
    ),
    "task2": DataSet(
        help="Multi30K, task 2: five English and five German captions an image, written independently.\n\n"
        "French and Czech have no captions of their own in task 2; their val and test captions are those of "
        "task 1.",
        about=Published(
            title="Multi30K, task 2",
            where=_WHERE,
            languages=_LANGUAGES,
            items={"train": 29_000, "val": 1_014, "test": 1_000},
            defects=(
                "French and Czech exist in val and test only, as one caption an image, from the files of "
                "task 1",
                "a tab inside a German training caption is read as a blank",
                "`test_2017_images` has no captions and is not read",
            ),
        ),
        needed=_needed_second,
        read=_read_second,
    ),
}
