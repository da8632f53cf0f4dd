"""COCO: its annotations, and its split by Karpathy, which `dataset_coco.json` holds with English captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import Row, Wanted, faulty, item, stem
from dragoman.corpus.readers.formats.documents import entries
from dragoman.records import Split
from dragoman.textfiles import TextLine

FILE = "dataset_coco.json"
WHERE = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
TESTS = ("5k", "1k")
ITEMS = {"train": 113_287, "val": 5_000, "test 5k": 5_000, "test 1k": 1_000}
DEFECTS = (
    "`restval` joins train, as is usual",
    "the metadata column `fold` of a test image is 0 to 4, for the mean over five folds of 1,000; "
    "`--test 1k` keeps fold 0 alone",
)
FOLD = 1_000
_SPLITS: dict[object, Split] = {"train": "train", "restval": "train", "val": "val", "test": "test"}


class Image(NamedTuple):
    """One image of the split file; where `line.fault` is set, the rest means nothing."""

    place: str
    line: TextLine
    item_id: str
    path: str
    number: int
    split: Split
    fold: int | None
    sentences: list[object]


def images(file: Path, test: str) -> Iterator[Image]:
    """Yield the images of the split file, in its order; of the test set those of `test`."""
    tests = 0
    for place, line, fields in entries(file, "images"):
        name, split, number = fields.get("filename"), fields.get("split"), fields.get("cocoid")
        sentences, folder = fields.get("sentences"), fields.get("filepath")
        sound = isinstance(name, str) and isinstance(sentences, list) and type(number) is int
        if line.fault is None and not (sound and isinstance(split, str) and split in _SPLITS):
            line = line._replace(fault="filename, split, cocoid or sentences are not as published.")
        if line.fault is not None or not isinstance(name, str) or not isinstance(sentences, list):
            yield Image(place, line, "", "", 0, "train", None, [])
            continue
        fold = None
        if _SPLITS[split] == "test":
            fold, tests = tests // FOLD, tests + 1
            if test == "1k" and fold:
                continue
        path = f"{folder}/{name}" if isinstance(folder, str) else name
        yield Image(place, line, stem(name), path, int(str(number)), _SPLITS[split], fold, sentences)


def items(found: Iterator[Image]) -> Iterator[Row]:
    """Yield images as items, with `coco_id` and, in the test set, `fold`."""
    for image in found:
        if image.line.fault is None:
            more: dict[str, object] = {"coco_id": image.number}
            if image.fold is not None:
                more["fold"] = image.fold
            yield item(image.place, 0, image.item_id, image.split, image.path, **more)


def english(wanted: Wanted, found: Iterator[Image]) -> Iterator[Row]:
    """Yield the English captions of images."""
    for image in found:
        if image.line.fault:
            yield faulty(image.place, image.line, image.line.fault)
        if len(image.sentences) > 5:
            wanted.defects.note(f"image with more than five English captions, {image.split}", image.item_id)
        for slot, sentence in enumerate(image.sentences):
            text = sentence.get("raw") if isinstance(sentence, dict) else None
            yield from wanted.caption(image.place, image.line, image.item_id, "en", slot, text)


def numbered_images(file: Path) -> Iterator[tuple[int, str, str]]:
    """Yield number, file name and place of each image of the document."""
    for place, _, fields in entries(file, "images"):
        number, name = fields.get("id"), fields.get("file_name")
        if type(number) is int and isinstance(name, str):
            yield number, name, place


def annotated(wanted: Wanted, file: Path, lang: str, item_of: Mapping[int, str]) -> Iterator[Row]:
    """Yield one caption an annotation; those of images that are no items are left out and counted."""
    slots: Counter[str] = Counter()
    for place, line, fields in entries(file, "annotations"):
        number = fields.get("image_id")
        if line.fault or type(number) is not int:
            yield faulty(place, line, line.fault or f"image_id is {number!r}, but a number was expected.")
        elif number not in item_of:
            wanted.defects.note(f"caption of an image in no split left out, {lang}", str(number))
        else:
            item_id = item_of[number]
            yield from wanted.caption(place, line, item_id, lang, slots[item_id], fields.get("caption"))
            slots[item_id] += 1
