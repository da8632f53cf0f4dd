"""STAIR: five Japanese captions for each image of COCO, in the split of Karpathy, beside the English ones."""

from __future__ import annotations

from itertools import chain

from dragoman.corpus.published import Needed, Published, Wanted
from dragoman.corpus.readers import _karpathy
from dragoman.corpus.readers._coco_captions import captions
from dragoman.corpus.rows import Source

_FILES = ("stair_captions_v1.2_train.json", "stair_captions_v1.2_val.json")

ABOUT = Published(
    title="STAIR captions",
    where={"": "https://github.com/STAIR-Lab-CIT/STAIR-captions", _karpathy.FILE: _karpathy.WHERE},
    languages=("ja", "en"),
    tests=_karpathy.TESTS,
    items=_karpathy.ITEMS,
    defects=(
        *_karpathy.DEFECTS,
        "the parts train and val of the captions are those of COCO 2014; the split is that of Karpathy",
        "not the test set of `coco-ja-yj`: never one column",
    ),
)


def needed(test: str) -> Needed:
    return {"": (_karpathy.FILE,), "ja": _FILES, "en": (_karpathy.FILE,)}


def read(wanted: Wanted) -> Source:
    split = wanted.files[_karpathy.FILE]
    texts = []
    if "ja" in wanted.languages:
        item_of = {i.number: i.item_id for i in _karpathy.images(split, wanted.test) if not i.line.fault}
        texts += [captions(wanted, wanted.files[name], "ja", item_of) for name in _FILES]
    if "en" in wanted.languages:
        texts.append(_karpathy.english(wanted, _karpathy.images(split, wanted.test)))
    return Source(
        items=_karpathy.items(_karpathy.images(split, wanted.test)), captions=chain.from_iterable(texts)
    )
