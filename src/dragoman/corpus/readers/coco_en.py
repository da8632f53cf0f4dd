"""COCO in the split of Karpathy: five English captions an image, 5,000 images to test."""

from __future__ import annotations

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats import coco

ABOUT = Published(
    title="COCO (Karpathy)",
    where={"": coco.WHERE},
    languages=("en",),
    tests=coco.TESTS,
    items=coco.ITEMS,
    defects=(*coco.DEFECTS, "images with more than five captions keep them all and are counted"),
)


def needed(test: str) -> Needed:
    return {"": (coco.FILE,)}


def read(wanted: Wanted) -> Source:
    file = wanted.files[coco.FILE]
    return Source(
        items=coco.items(coco.images(file, wanted.test)),
        captions=coco.english(wanted, coco.images(file, wanted.test)),
    )
