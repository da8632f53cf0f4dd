"""Multi30K, task 2: five English and five German captions an image, written independently.

French and Czech have no captions of their own in task 2; their val and test captions are those of task 1.
"""

from __future__ import annotations

from itertools import chain

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats.lines import Part, captions, items
from dragoman.records import Split

ABOUT = Published(
    title="Multi30K, task 2",
    where={"": "https://github.com/multi30k/dataset"},
    languages=("en", "de", "fr", "cs"),
    items={"train": 29_000, "val": 1_014, "test": 1_000},
    defects=(
        "French and Czech exist in val and test only, as one caption an image, from the files of task 1",
        "a tab inside a German training caption is read as a blank",
        "`test_2017_images` has no captions and is not read",
    ),
)
_PARTS: dict[Split, tuple[str, str, str]] = {
    "train": ("train_images", "train", "train"),
    "val": ("val_images", "val", "val"),
    "test": ("test_2016_images", "test_2016", "test_2016_flickr"),
}
"""Image list, captions of task 2, captions of task 1."""


def needed(test: str) -> Needed:
    return {"": tuple(f"data/task2/image_splits/{images}.txt" for images, _, _ in _PARTS.values())} | {
        lang: tuple(path for split in _PARTS for path in _paths(lang, split)) for lang in ABOUT.languages
    }


def _paths(lang: str, split: Split) -> list[str]:
    _, own, first_task = _PARTS[split]
    if lang in ("en", "de"):
        return [f"data/task2/raw/{own}.{slot}.{lang}" for slot in range(1, 6)]
    return [] if split == "train" else [f"data/task1/raw/{first_task}.{lang}"]


def read(wanted: Wanted) -> Source:
    files = wanted.files
    parts = [
        Part(
            split,
            files[f"data/task2/image_splits/{images}.txt"],
            {lang: [files[path] for path in _paths(lang, split)] for lang in wanted.languages},
        )
        for split, (images, _, _) in _PARTS.items()
    ]
    return Source(
        items=chain.from_iterable(items(part) for part in parts),
        captions=chain.from_iterable(captions(wanted, part) for part in parts),
    )
