"""STAIR: five Japanese captions for each image of COCO, in the split of Karpathy, beside the English ones."""

from __future__ import annotations

from itertools import chain

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats import coco

_FILES = ("stair_captions_v1.2_train.json", "stair_captions_v1.2_val.json")

ABOUT = Published(
    title="STAIR captions",
    where={"": "https://github.com/STAIR-Lab-CIT/STAIR-captions", coco.FILE: coco.WHERE},
    languages=("ja", "en"),
    tests=coco.TESTS,
    items=coco.ITEMS,
    defects=(
        *coco.DEFECTS,
        "the parts train and val of the captions are those of COCO 2014; the split is that of Karpathy",
        "not the test set of `coco-ja-yj`: never one column",
    ),
)


def needed(test: str) -> Needed:
    return {"": (coco.FILE,), "ja": _FILES, "en": (coco.FILE,)}


def read(wanted: Wanted) -> Source:
    split = wanted.files[coco.FILE]
    texts = []
    if "ja" in wanted.languages:
        item_of = {i.number: i.item_id for i in coco.images(split, wanted.test) if not i.line.fault}
        texts += [coco.annotated(wanted, wanted.files[name], "ja", item_of) for name in _FILES]
    if "en" in wanted.languages:
        texts.append(coco.english(wanted, coco.images(split, wanted.test)))
    return Source(items=coco.items(coco.images(split, wanted.test)), captions=chain.from_iterable(texts))
