"""The test sets of WIT in IGLUE: images of Wikipedia with the captions of one language each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import Needed, Published, Row, Source, Wanted, faulty, item
from dragoman.textfiles import TextLine, json_lines

ABOUT = Published(
    title="WIT (IGLUE)",
    where={"": "https://github.com/e-bug/iglue (datasets/wit)"},
    languages=("en", "ar", "bg", "da", "el", "et", "id", "ja", "ko", "tr", "vi"),
    defects=(
        "images are joined by their address, whatever its scheme; several captions of an image are slots",
        "an empty Greek and an empty Indonesian caption are left out and listed",
        "languages cover different images, so that consistency is undefined; how many have all languages is "
        "told",
    ),
)


class _Reference(NamedTuple):
    line: TextLine
    address: str
    name: str
    text: object


def needed(test: str) -> Needed:
    return {lang: (f"annotations/test_{lang}.jsonl",) for lang in ABOUT.languages}


def read(wanted: Wanted) -> Source:
    files = {lang: wanted.files[f"annotations/test_{lang}.jsonl"] for lang in wanted.languages}
    names: dict[str, str] = {}
    for file in files.values():
        for record in _records(file):
            if not record.line.fault:
                # The same picture stands under http and https; the first id is that of all.
                names.setdefault(_without_scheme(record.address), record.name)
    return Source(
        items=_items(files.values(), names),
        captions=chain.from_iterable(_captions(wanted, file, lang, names) for lang, file in files.items()),
    )


def _items(files: Iterable[Path], names: dict[str, str]) -> Iterator[Row]:
    seen: set[str] = set()
    for file in files:
        for line, address, _, _ in _records(file):
            name = names.get(_without_scheme(address))
            if not line.fault and name is not None and name not in seen:
                seen.add(name)
                yield item(file, line.number, name, "test", address)


def _captions(wanted: Wanted, file: Path, lang: str, names: dict[str, str]) -> Iterator[Row]:
    slots: Counter[str] = Counter()
    for line, address, _, text in _records(file):
        if line.fault:
            yield faulty(file, line, line.fault)
            continue
        name = names[_without_scheme(address)]
        yield from wanted.caption(file, line, name, lang, slots[name], text)
        slots[name] += 1


def _without_scheme(address: str) -> str:
    return address.partition("://")[2] or address


def _records(file: Path) -> Iterator[_Reference]:
    for line, fields in json_lines(file):
        address, name = fields.get("image_url"), fields.get("wit_ix")
        if line.fault is None and not (isinstance(address, str) and isinstance(name, str)):
            line = line._replace(
                fault="image_url and wit_ix are missing or of another sort. Fetch the file anew."
            )
        yield _Reference(line, str(address), str(name), fields.get("caption_reference_description"))
