"""xFlickr&CO of IGLUE: 2,000 test images with a caption in each of eight languages, 100 to train few-shot."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, faulty, item, stem
from dragoman.records import Split
from dragoman.textfiles import TextLine, json_lines

ABOUT = Published(
    title="xFlickr&CO",
    where={"": "https://github.com/e-bug/iglue (datasets/xFlickrCO)"},
    languages=("en", "de", "es", "id", "ja", "ru", "tr", "zh"),
    items={"test": 2_000},
    defects=(
        "an empty German and an empty Indonesian caption are found by their content, left out and listed; "
        "the images stay, so that 1,998 have captions in all eight languages",
        "captions that repeat another are counted (German 6, Russian 3, Turkish 3, Chinese 1)",
        "`train_100.jsonl`, which English lacks, becomes the split train where it is there",
    ),
)


class _Sentences(NamedTuple):
    line: TextLine
    image: str
    sentences: list[object]


def needed(test: str) -> Needed:
    return {lang: (_path(lang, "test"),) for lang in ABOUT.languages}


def _path(lang: str, part: str) -> str:
    return f"annotations/{lang}/{part}.jsonl"


def read(wanted: Wanted) -> Source:
    files: list[tuple[Path, str, Split]] = []
    for lang in wanted.languages:
        files.append((wanted.files[_path(lang, "test")], lang, "test"))
        if few := wanted.files.find(_path(lang, "train_100")):
            files.append((few, lang, "train"))
    return Source(
        items=_items(files),
        captions=chain.from_iterable(_captions(wanted, file, lang) for file, lang, _ in files),
    )


def _items(files: list[tuple[Path, str, Split]]) -> Iterator[Row]:
    seen: dict[str, Split] = {}
    for file, _, split in files:
        for record in _records(file):
            # An image in both splits is a fault of the second, which the join of items names.
            if not record.line.fault and seen.get(record.image) != split:
                yield item(file, record.line.number, stem(record.image), split, record.image)
                seen[record.image] = split


def _captions(wanted: Wanted, file: Path, lang: str) -> Iterator[Row]:
    for line, image, sentences in _records(file):
        if line.fault:
            yield faulty(file, line, line.fault)
        for slot, text in enumerate(sentences):
            yield from wanted.caption(file, line, stem(image), lang, slot, text)


def _records(file: Path) -> Iterator[_Sentences]:
    for line, fields in json_lines(file):
        image, sentences = fields.get("img_path"), fields.get("sentences")
        if isinstance(image, str) and isinstance(sentences, list):
            yield _Sentences(line, image, sentences)
        else:
            fault = "img_path and sentences are missing or of another sort. Fetch the file anew."
            yield _Sentences(line._replace(fault=line.fault or fault), "", [])
