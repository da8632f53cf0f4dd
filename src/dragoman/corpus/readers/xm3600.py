"""Crossmodal-3600: 3,600 images to test, with about two captions in each of 36 languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, faulty, item
from dragoman.textfiles import TextLine, json_lines

ABOUT = Published(
    title="Crossmodal-3600",
    where={"": "https://google.github.io/crossmodal-3600/ (web-data/captions.zip)"},
    languages=(
        "ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fil", "fr", "he", "hi", "hr", "hu", "id",
        "it", "ja", "ko", "mi", "nl", "no", "pl", "pt", "quz", "ro", "ru", "sv", "sw", "te", "th", "tr", "uk",
        "vi", "zh",
    ),
    tests=("one", "all", "any"),
    items={"test": 3_600},
    defects=(
        "three protocols: `one` keeps the first caption of an image and language, for both directions; `all` "
        "(every caption asks, text to image) and `any` (any own caption counts, image to text) keep all",
    ),
)  # fmt: skip
_FILE = "captions.jsonl"


def needed(test: str) -> Needed:
    return {"": (_FILE,)}


def read(wanted: Wanted) -> Source:
    file = wanted.files[_FILE]
    return Source(items=_items(file), captions=_captions(wanted, file))


def _records(file: Path) -> Iterator[tuple[TextLine, str, dict[str, object]]]:
    for line, fields in json_lines(file):
        key = fields.get("image/key")
        if line.fault is None and not isinstance(key, str):
            line = line._replace(fault="image/key is missing or no string. Fetch the file anew.")
        yield line, str(key), fields


def _items(file: Path) -> Iterator[Row]:
    for line, key, _ in _records(file):
        if not line.fault:
            yield item(file, line.number, key, "test", f"{key}.jpg")


def _captions(wanted: Wanted, file: Path) -> Iterator[Row]:
    for line, key, fields in _records(file):
        if line.fault:
            yield faulty(file, line, line.fault)
            continue
        for lang in wanted.languages:
            record = fields.get(lang)
            texts = record.get("caption") if isinstance(record, dict) else None
            if not isinstance(texts, list):
                yield faulty(file, line, f"{lang} holds no list of captions. Fetch the file anew.")
                continue
            # Protocol `one`: as many captions as images, so that both directions rank 3,600.
            for slot, text in enumerate(texts[:1] if wanted.test == "one" else texts):
                yield from wanted.caption(file, line, key, lang, slot, text)
