"""COCO in the split of Karpathy: five English captions an image, 5,000 images to test."""

from __future__ import annotations

from dragoman.corpus.published import Needed, Published, Wanted
from dragoman.corpus.readers import _karpathy
from dragoman.corpus.rows import Source

ABOUT = Published(
    title="COCO (Karpathy)",
    where={"": _karpathy.WHERE},
    languages=("en",),
    tests=_karpathy.TESTS,
    items=_karpathy.ITEMS,
    defects=(*_karpathy.DEFECTS, "images with more than five captions keep them all and are counted"),
)


def needed(test: str) -> Needed:
    return {"": (_karpathy.FILE,)}


def read(wanted: Wanted) -> Source:
    file = wanted.files[_karpathy.FILE]
    return Source(
        items=_karpathy.items(_karpathy.images(file, wanted.test)),
        captions=_karpathy.english(wanted, _karpathy.images(file, wanted.test)),
    )
