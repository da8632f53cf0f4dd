"""Captions in the format of COCO: JSON with `images` and `annotations`, one file a split or a file alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from dragoman.corpus.readers.coco import numbered_images
from dragoman.corpus.readers.contract import Published, Source, Wanted, stem
from dragoman.corpus.readers.formats.captioned import Captioned, captions, items, split_of
from dragoman.corpus.readers.formats.documents import entries
from dragoman.errors import UserError
from dragoman.records import Split

ABOUT = Published(
    title="COCO JSON, `captions_<split>….json` or one file",
    where={"": "https://cocodataset.org/#format-data"},
    free=True,
    defects=(
        "the split is that in the file name (`captions_val2017.json`), else `--split` or "
        "`--split-fractions`; the language is `--lang`",
        "files without `annotations` that hold a `caption`, such as `instances_….json`, are not read",
    ),
)


def read(wanted: Wanted) -> Source:
    root = wanted.files.root
    files = [root] if root.is_file() else _captioned(root)
    if not files:
        raise UserError(
            f"{root} holds no captions_….json, neither itself nor in annotations. The format is told at "
            f"{ABOUT.where['']}. Give a file, or the folder that holds such files."
        )
    wanted.files.use(*files)
    return Source(
        items=items(chain.from_iterable(_images(file) for file in files)),
        captions=captions(wanted, chain.from_iterable(_captions(file) for file in files)),
    )


def _captioned(root: Path) -> list[Path]:
    folders = (root, root / "annotations")
    return sorted(
        path
        for folder in folders
        for path in folder.glob("captions_*.json*")
        if path.is_file() and path.name.removesuffix(".gz").endswith(".json")
    )


def _split(file: Path) -> Split | None:
    words = stem(file.name.removesuffix(".gz")).replace("-", "_").split("_")
    return next((split for word in words if (split := split_of(word.rstrip("0123456789")))), None)


def _images(file: Path) -> Iterator[Captioned]:
    split = _split(file)
    for place, line, fields in entries(file, "images"):
        number, name = fields.get("id"), fields.get("file_name")
        if line.fault is None and isinstance(name, str) and type(number) is int:
            yield Captioned(place, line, stem(name), split, name, [], {"coco_id": number})


def _captions(file: Path) -> Iterator[Captioned]:
    # Once more over the file: its annotations may stand before its images, and both are long.
    item_of = {number: stem(name) for number, name, _ in numbered_images(file)}
    for place, line, fields in entries(file, "annotations"):
        number = fields.get("image_id")
        item_id = item_of.get(number) if type(number) is int else None
        if line.fault is None and item_id is None:
            line = line._replace(fault=f"image_id is {number!r}, which is none of the images. Add the image.")
        texts: list[tuple[str | None, object]] = [] if line.fault else [(None, fields.get("caption"))]
        yield Captioned(place, line, item_id or "", None, None, texts, {})
