"""COCO-CN: Chinese captions that people wrote for images of COCO, and the English ones if they are there."""

from __future__ import annotations

from itertools import chain

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats import coco
from dragoman.corpus.readers.formats.lines import listed_captions, listed_items
from dragoman.records import SPLITS
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
    images = {split: [line.text for line in text_lines(file)] for split, file in lists.items()}
    every, tests = set(chain.from_iterable(images.values())), set(images["test"])
    captions = []
    if "zh" in wanted.languages:
        translated = tests if wanted.test == "translated" else ()
        captions.append(listed_captions(wanted, wanted.files[_WRITTEN], "zh", every, translated))
        if translated:
            captions.append(listed_captions(wanted, wanted.files[_TRANSLATED], "zh", tests))
    if "en" in wanted.languages:
        found = coco.images(wanted.files[coco.FILE], "5k")
        known = (image for image in found if image.line.fault or image.item_id in every)
        captions.append(coco.english(wanted, known))
    return Source(items=listed_items(lists), captions=chain.from_iterable(captions))
