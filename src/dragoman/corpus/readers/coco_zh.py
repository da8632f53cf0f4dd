"""COCO-CN: Chinese captions that people wrote for images of COCO, and the English ones if they are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, faulty, item, stem
from dragoman.corpus.readers.formats import coco
from dragoman.corpus.readers.formats.tagged import tagged_lines
from dragoman.records import SPLITS, Split
from dragoman.textfiles import text_lines

ABOUT = Published(
    title="COCO-CN",
    where={
        "": "https://github.com/li-xirong/coco-cn (data/coco-cn-version1805.tar.gz)",
        coco.FILE: coco.WHERE,
    },
    languages=("zh", "en"),
    tests=("written", "translated"),
    items={"train": 18_341, "val": 1_000, "test": 1_000},
    defects=(
        "the split is its own, not that of Karpathy: do not mix it with `coco-en`",
        "the test captions are the 1,053 that people wrote, or with `--test translated` the 5,000 that they "
        "translated from English",
        "files of segmented words and of tags are not read",
        "English captions are read from `dataset_coco.json` where that is beside the Chinese files",
    ),
)
_WRITTEN = "imageid.human-written-caption.txt"
_TRANSLATED = "imageid.manually-translated-caption.txt"


def needed(test: str) -> Needed:
    lists = tuple(f"coco-cn_{split}.txt" for split in SPLITS)
    chinese = (_WRITTEN,) if test == "written" else (_WRITTEN, _TRANSLATED)
    return {"": lists, "zh": chinese, "en": (coco.FILE,)}


def read(wanted: Wanted) -> Source:
    lists = {split: wanted.files[f"coco-cn_{split}.txt"] for split in SPLITS}
    split_of = {line.text: split for split, file in lists.items() for line in text_lines(file)}
    captions = []
    if "zh" in wanted.languages:
        captions.append(_chinese(wanted, wanted.files[_WRITTEN], split_of, wanted.test == "written"))
        if wanted.test == "translated":
            tests = {name: split for name, split in split_of.items() if split == "test"}
            captions.append(_chinese(wanted, wanted.files[_TRANSLATED], tests, True))
    if "en" in wanted.languages:
        found = coco.images(wanted.files[coco.FILE], "5k")
        known = (image for image in found if image.line.fault or image.item_id in split_of)
        captions.append(coco.english(wanted, known))
    return Source(
        items=chain.from_iterable(_items(file, split) for split, file in lists.items()),
        captions=chain.from_iterable(captions),
    )


def _items(file: Path, split: Split) -> Iterator[Row]:
    for line in text_lines(file):
        if line.fault:
            yield faulty(file, line, line.fault)
        elif line.text:
            yield item(file, line.number, line.text, split, f"{line.text}.jpg")


def _chinese(wanted: Wanted, file: Path, split_of: Mapping[str, Split], tests: bool) -> Iterator[Row]:
    for found in tagged_lines(file):
        item_id = stem(found.visual)
        if found.line.fault:
            yield faulty(file, found.line, found.line.fault)
        elif item_id not in split_of:
            wanted.defects.note("caption of an image in no split left out, zh", item_id)
        elif tests or split_of[item_id] != "test":
            yield from wanted.caption(file, found.line, item_id, "zh", found.slot, found.text)
