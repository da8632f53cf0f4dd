"""Flickr8k-CN: five English captions an image, five Chinese ones by people, and two machine translations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, faulty, stem
from dragoman.corpus.readers.formats.listed import listed_captions, listed_items, tagged_lines
from dragoman.records import SPLITS
from dragoman.textfiles import text_lines

ABOUT = Published(
    title="Flickr8k-CN",
    where={"": "https://github.com/li-xirong/flickr8kcn"},
    languages=("en", "zh"),
    items={"train": 6_000, "val": 1_000, "test": 1_000},
    defects=(
        "captions of the 92 images that are in no split are left out and counted",
        "`zhb` and `zhg` (Baidu and Google, 2015) become `mt` captions of the English ones, and are "
        "read only where both languages are",
    ),
)
_HUMAN = {"en": "flickr8kenc.caption.txt", "zh": "flickr8kzhc.caption.txt"}
_MACHINE = {"flickr8kzhb.caption.txt": "baidu-2015", "flickr8kzhg.caption.txt": "google-2015"}


def needed(test: str) -> Needed:
    lists = tuple(f"flickr8k{split}.txt" for split in SPLITS)
    return {"": lists} | {lang: (file,) for lang, file in _HUMAN.items()}


def read(wanted: Wanted) -> Source:
    lists = {split: wanted.files[f"flickr8k{split}.txt"] for split in SPLITS}
    known = {line.text for file in lists.values() for line in text_lines(file)}
    human = [listed_captions(wanted, wanted.files[_HUMAN[lang]], lang, known) for lang in wanted.languages]
    machine = []
    # A translation needs its source in the corpus.
    if set(wanted.languages) == set(_HUMAN):
        found = {engine: wanted.files.find(name) for name, engine in _MACHINE.items()}
        machine = [_machine(file, engine, known) for engine, file in found.items() if file is not None]
    return Source(
        items=listed_items(lists),
        captions=chain(*human, *machine),
    )


def _machine(file: Path, engine: str, known: set[str]) -> Iterator[Row]:
    for found in tagged_lines(file):
        if found.line.fault:
            yield faulty(file, found.line, found.line.fault)
        elif (item_id := stem(found.visual)) in known:
            fields = {
                "caption_id": f"{item_id}#zh-{engine}#{found.slot}",
                "item_id": item_id,
                "lang": "zh",
                "role": "mt",
                "text": found.text,
                "source_id": f"{item_id}#en#{found.slot}",
                "engine": engine,
            }
            yield Row(str(file), found.line.number, found.line.raw, fields)
