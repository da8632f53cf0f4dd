"""COCO: its English captions in the split of Karpathy, and Japanese and Chinese ones for its images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import (
    DataSet,
    Needed,
    Published,
    Row,
    Source,
    Wanted,
    faulty,
    item,
    stem,
)
from dragoman.corpus.readers.formats.documents import entries
from dragoman.corpus.readers.formats.listed import listed_captions, listed_items
from dragoman.records import SPLITS, Split
from dragoman.textfiles import TextLine, text_lines

_KARPATHY = "dataset_coco.json"
_WHERE = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
_TESTS = ("5k", "1k")
_ITEMS = {"train": 113_287, "val": 5_000, "test 5k": 5_000, "test 1k": 1_000}
_DEFECTS = (
    "`restval` joins train, as is usual",
    "the metadata column `fold` of a test image is 0 to 4, for the mean over five folds of 1,000; "
    "`--test 1k` keeps fold 0 alone",
)
FOLD = 1_000
_SPLITS: dict[object, Split] = {"train": "train", "restval": "train", "val": "val", "test": "test"}
_STAIR = ("stair_captions_v1.2_train.json", "stair_captions_v1.2_val.json")
_YJ = "yjcaptions26k_clean.json"
_WRITTEN = "imageid.human-written-caption.txt"
_TRANSLATED = "imageid.manually-translated-caption.txt"


def _read_en(wanted: Wanted) -> Source:
    file = wanted.files[_KARPATHY]
    return Source(
        items=_items(_images(file, wanted.test)),
        captions=_english(wanted, _images(file, wanted.test)),
    )


def _read_stair(wanted: Wanted) -> Source:
    split = wanted.files[_KARPATHY]
    texts = []
    if "ja" in wanted.languages:
        item_of = {i.number: i.item_id for i in _images(split, wanted.test) if not i.line.fault}
        texts += [_annotated(wanted, wanted.files[name], "ja", item_of) for name in _STAIR]
    if "en" in wanted.languages:
        texts.append(_english(wanted, _images(split, wanted.test)))
    return Source(items=_items(_images(split, wanted.test)), captions=chain.from_iterable(texts))


def _read_yj(wanted: Wanted) -> Source:
    file = wanted.files[_YJ]
    wanted.defects.note("split drawn by hash of the image, none is published", _YJ)
    item_of = {number: stem(name) for number, name, _ in numbered_images(file)}
    texts = []
    if "ja" in wanted.languages:
        texts.append(_annotated(wanted, file, "ja", item_of))
    if "en" in wanted.languages:
        texts.append(_english(wanted, _known(wanted, set(item_of.values()))))
    items = (
        Row(place, 0, "", {"item_id": stem(name), "path": name, "coco_id": number})
        for number, name, place in numbered_images(file)
    )
    return Source(items=items, captions=chain.from_iterable(texts))


def _needed_zh(test: str) -> Needed:
    lists = tuple(f"coco-cn_{split}.txt" for split in SPLITS)
    chinese = (_WRITTEN,) if test == "written" else (_WRITTEN, _TRANSLATED)
    return {"": lists, "zh": chinese, "en": (_KARPATHY,)}


def _read_zh(wanted: Wanted) -> Source:
    lists = {split: wanted.files[f"coco-cn_{split}.txt"] for split in SPLITS}
    images = {split: [line.text for line in text_lines(file)] for split, file in lists.items()}
    every, tests = set(chain.from_iterable(images.values())), set(images["test"])
    captions = []
    if "zh" in wanted.languages:
        translated = tests if wanted.test == "translated" else ()
        captions.append(listed_captions(wanted, wanted.files[_WRITTEN], "zh", every, translated))
        if translated:
            captions.append(listed_captions(wanted, wanted.files[_TRANSLATED], "zh", tests))
    if "en" in wanted.languages:
        captions.append(_english(wanted, _known(wanted, every)))
    return Source(items=listed_items(lists), captions=chain.from_iterable(captions))


FAMILY = {
    "en": DataSet(
        help="COCO in the split of Karpathy: five English captions an image, 5,000 images to test.",
        about=Published(
            title="COCO (Karpathy)",
            where={"": _WHERE},
            languages=("en",),
            tests=_TESTS,
            items=_ITEMS,
            defects=(*_DEFECTS, "images with more than five captions keep them all and are counted"),
        ),
        needed=lambda test: {"": (_KARPATHY,)},
        read=_read_en,
    ),
    "ja-stair": DataSet(
        help="STAIR: five Japanese captions for each image of COCO, in the split of Karpathy, beside the "
        "English ones.",
        about=Published(
            title="STAIR captions",
            where={"": "https://github.com/STAIR-Lab-CIT/STAIR-captions", _KARPATHY: _WHERE},
            languages=("ja", "en"),
            tests=_TESTS,
            items=_ITEMS,
            defects=(
                *_DEFECTS,
                "the parts train and val of the captions are those of COCO 2014; the split is that of "
                "Karpathy",
                "not the test set of `coco-ja-yj`: never one column",
            ),
        ),
        needed=lambda test: {"": (_KARPATHY,), "ja": _STAIR, "en": (_KARPATHY,)},
        read=_read_stair,
    ),
    "ja-yj": DataSet(
        help="YJ Captions: five Japanese captions for each of 26,500 images of COCO's training part.",
        about=Published(
            title="YJ Captions 26k",
            where={"": "https://github.com/yahoojapan/YJCaptions", _KARPATHY: _WHERE},
            languages=("ja", "en"),
            free=True,
            shares=(24_500 / 26_500, 1_000 / 26_500, 1_000 / 26_500),
            defects=(
                "no split is published with the captions: without `--split-fractions` about 1,000 images "
                "each are drawn for val and test by hash of the image; the split of CCR^k is in its own "
                "files, read as `ccrk`",
                "English captions are read from `dataset_coco.json` where that is beside the Japanese file",
                "not the test set of `coco-ja-stair`: never one column",
            ),
        ),
        needed=lambda test: {"": (_YJ,), "ja": (_YJ,), "en": (_KARPATHY,)},
        read=_read_yj,
    ),
    "zh": DataSet(
        help="COCO-CN: Chinese captions that people wrote for images of COCO, and the English ones if they "
        "are there.",
        about=Published(
            title="COCO-CN",
            where={
                "": "https://github.com/li-xirong/coco-cn (data/coco-cn-version1805.tar.gz)",
                _KARPATHY: _WHERE,
            },
            languages=("zh", "en"),
            tests=("written", "translated"),
            items={"train": 18_341, "val": 1_000, "test": 1_000},
            defects=(
                "the split is its own, not that of Karpathy: do not mix it with `coco-en`",
                "the test captions are the 1,053 that people wrote, or with `--test translated` the 5,000 "
                "that they translated from English",
                "files of segmented words and of tags are not read",
                "English captions are read from `dataset_coco.json` where that is beside the Chinese files",
            ),
        ),
        needed=_needed_zh,
        read=_read_zh,
    ),
}
"""COCO is the family; what each of it is called begins with `coco-`."""


class _Image(NamedTuple):
    """One image of the split file; where `line.fault` is set, the rest means nothing."""

    place: str
    line: TextLine
    item_id: str
    path: str
    number: int
    split: Split
    fold: int | None
    sentences: list[object]


def _images(file: Path, test: str) -> Iterator[_Image]:
    """Yield the images of the split file, in its order; of the test set those of `test`."""
    tests = 0
    for place, line, fields in entries(file, "images"):
        name, split, number = fields.get("filename"), fields.get("split"), fields.get("cocoid")
        sentences, folder = fields.get("sentences"), fields.get("filepath")
        sound = isinstance(name, str) and isinstance(sentences, list) and type(number) is int
        if line.fault is None and not (sound and isinstance(split, str) and split in _SPLITS):
            line = line._replace(fault="filename, split, cocoid or sentences are not as published.")
        if line.fault is not None or not isinstance(name, str) or not isinstance(sentences, list):
            yield _Image(place, line, "", "", 0, "train", None, [])
            continue
        fold = None
        if _SPLITS[split] == "test":
            # Folds are counted by the order in the file, as the published means over five folds do.
            fold, tests = tests // FOLD, tests + 1
            if test == "1k" and fold:
                continue
        path = f"{folder}/{name}" if isinstance(folder, str) else name
        yield _Image(place, line, stem(name), path, int(str(number)), _SPLITS[split], fold, sentences)


def _items(found: Iterator[_Image]) -> Iterator[Row]:
    """Yield images as items, with `coco_id` and, in the test set, `fold`."""
    for image in found:
        if image.line.fault is None:
            more: dict[str, object] = {"coco_id": image.number}
            if image.fold is not None:
                more["fold"] = image.fold
            yield item(image.place, 0, image.item_id, image.split, image.path, **more)


def _english(wanted: Wanted, found: Iterator[_Image]) -> Iterator[Row]:
    """Yield the English captions of images."""
    for image in found:
        if image.line.fault:
            yield faulty(image.place, image.line, image.line.fault)
        # Some images of COCO have six or seven captions. Much code drops what is beyond five; a corpus
        # keeps what is there.
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


def _annotated(wanted: Wanted, file: Path, lang: str, item_of: Mapping[int, str]) -> Iterator[Row]:
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


def _known(wanted: Wanted, item_ids: set[str]) -> Iterator[_Image]:
    """Yield the images of these ids, and faults, from the split file of Karpathy, whatever their split."""
    found = _images(wanted.files[_KARPATHY], "5k")
    return (image for image in found if image.line.fault or image.item_id in item_ids)
