"""YJ Captions: five Japanese captions for each of 26,500 images of COCO's training part."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, stem
from dragoman.corpus.readers.formats import coco

_FILE = "yjcaptions26k_clean.json"

ABOUT = Published(
    title="YJ Captions 26k",
    where={"": "https://github.com/yahoojapan/YJCaptions", coco.FILE: coco.WHERE},
    languages=("ja", "en"),
    free=True,
    shares=(24_500 / 26_500, 1_000 / 26_500, 1_000 / 26_500),
    defects=(
        "no split is published with the captions: without `--split-fractions` about 1,000 images each are "
        "drawn for val and test by hash of the image; the split of CCR^k is in its own files, read as `ccrk`",
        "English captions are read from `dataset_coco.json` where that is beside the Japanese file",
        "not the test set of `coco-ja-stair`: never one column",
    ),
)


def needed(test: str) -> Needed:
    return {"": (_FILE,), "ja": (_FILE,), "en": (coco.FILE,)}


def read(wanted: Wanted) -> Source:
    file = wanted.files[_FILE]
    wanted.defects.note("split drawn by hash of the image, none is published", _FILE)
    item_of = {number: stem(name) for number, name, _ in coco.numbered_images(file)}
    texts = []
    if "ja" in wanted.languages:
        texts.append(coco.annotated(wanted, file, "ja", item_of))
    if "en" in wanted.languages:
        known = set(item_of.values())
        found = coco.images(wanted.files[coco.FILE], "5k")
        texts.append(coco.english(wanted, (i for i in found if i.line.fault or i.item_id in known)))

    def items() -> Iterator[Row]:
        for number, name, place in coco.numbered_images(file):
            yield Row(place, 0, "", {"item_id": stem(name), "path": name, "coco_id": number})

    return Source(items=items(), captions=chain.from_iterable(texts))
