"""The caption files of CCR^k and CCLM: JSON lists to fine-tune on, or lines of all languages to pre-train."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from dragoman.corpus.readers.contract import Published, Row, Source, Wanted, faulty, item, stem
from dragoman.corpus.readers.formats.documents import entries
from dragoman.errors import UserError
from dragoman.records import Split
from dragoman.textfiles import json_lines

ABOUT = Published(
    title="caption files of CCR^k, `<lang>.<part>.json`, `<part>.<lang>.json` or `part_*.data`",
    where={"": "https://github.com/BUAADreamer/CCRK"},
    names_tests=True,
    defects=(
        "a train file repeats the image for each caption; these become slots of one item",
        "of several test parts of a language (`1k_test`, `test_2016_flickr`) `--test` names one",
        "in files for pre-training all languages but English are machine translations of it",
    ),
)
_PARTS: list[tuple[re.Pattern[str], Split]] = [
    (re.compile(r"train.*"), "train"),
    (re.compile(r"val.*|dev.*"), "val"),
    (re.compile(r".*test.*"), "test"),
]
# What the authors say of their pre-training texts; all others were translated by UC2 and CCLM.
_M2M = {"id", "es", "ru", "tr"}


class _List(NamedTuple):
    path: Path
    lang: str
    part: str
    split: Split


def read(wanted: Wanted) -> Source:
    root = wanted.files.root
    lists = [found for path in _files(root, "*.json*") if (found := _parsed(path))]
    lines = [path for path in _files(root, "*.data*") if path.name.removesuffix(".gz").endswith(".data")]
    if not lists and not lines:
        raise UserError(
            f"{root} holds neither lists such as en.train.json or test_2016_flickr.de.json nor part_*.data. "
            f"How they are made is told at {ABOUT.where['']}."
        )
    lists = _of_languages(wanted, lists, known_lines=bool(lines))
    wanted.files.use(*(found.path for found in lists), *lines)
    return Source(
        items=_once(chain(*map(_listed_items, lists), *map(_line_items, lines))),
        captions=chain(_listed_captions(wanted, lists), *(_line_captions(wanted, path) for path in lines)),
    )


def _files(root: Path, pattern: str) -> list[Path]:
    return sorted(p for p in (*root.glob(pattern), *root.glob(f"*/{pattern}")) if p.is_file())


def _parsed(path: Path) -> _List | None:
    parts = path.name.removesuffix(".gz").removesuffix(".json").split(".")
    if len(parts) != 2:
        return None
    # Both orders are published: en.train.json for some of the sets, test_2016_flickr.de.json for Multi30K.
    for lang, part in (parts, parts[::-1]):
        split = next((split for pattern, split in _PARTS if pattern.fullmatch(part)), None)
        if re.fullmatch(r"[a-z]{2,3}", lang) and split:
            return _List(path, lang, part, split)
    return None


def _of_languages(wanted: Wanted, lists: list[_List], *, known_lines: bool) -> list[_List]:
    there = sorted({found.lang for found in lists})
    absent = [lang for lang in wanted.languages if lang not in there]
    # Which languages the lines hold is told by each line alone.
    if absent and not known_lines:
        raise UserError(
            f"--languages {','.join(wanted.languages)}: {wanted.files.root} has no list in "
            f"{', '.join(absent)}. It has: {', '.join(there)}."
        )
    lists = [found for found in lists if not wanted.languages or found.lang in wanted.languages]
    parts = {
        lang: [f.part for f in lists if (f.lang, f.split) == (lang, "test")]
        for lang in {f.lang for f in lists}
    }
    if wanted.test:
        tests = sorted({name for names in parts.values() for name in names})
        if wanted.test not in tests:
            raise UserError(
                f"--test is {wanted.test!r}, but the lists in {wanted.files.root} have: "
                f"{', '.join(tests) or 'no test set'}. Give one of these, or leave it out."
            )
        return [found for found in lists if found.split != "test" or found.part == wanted.test]
    several = sorted(lang for lang, names in parts.items() if len(names) > 1)
    if several:
        raise UserError(
            f"{wanted.files.root} holds several test sets in {several[0]}: {', '.join(parts[several[0]])}. "
            "Name one with --test."
        )
    return lists


def _once(rows: Iterator[Row]) -> Iterator[Row]:
    """Pass each item once in a split: it is named by each of its captions and languages."""
    seen: set[tuple[object, object]] = set()
    for row in rows:
        key = (row.fields["item_id"], row.fields["split"])
        if key not in seen:
            seen.add(key)
            yield row


def _listed_items(found: _List) -> Iterator[Row]:
    for place, _, fields in entries(found.path, None):
        image = fields.get("image")
        if isinstance(image, str):
            yield item(place, 0, stem(image), found.split, image)


def _listed_captions(wanted: Wanted, lists: list[_List]) -> Iterator[Row]:
    slots: Counter[tuple[str, str]] = Counter()
    for found in lists:
        for place, line, fields in entries(found.path, None):
            image, texts = fields.get("image"), fields.get("caption")
            if line.fault or not isinstance(image, str) or not isinstance(texts, str | list):
                yield faulty(place, line, line.fault or "image or caption are not as published.")
                continue
            for text in [texts] if isinstance(texts, str) else texts:
                # A train file repeats the image for each caption, so that slots are counted and not read.
                key = (stem(image), found.lang)
                yield from wanted.caption(place, line, key[0], found.lang, slots[key], text)
                slots[key] += 1


class _MixedLine(NamedTuple):
    row: Row
    item_id: str
    image: str | None
    captions: list[dict[str, object]]


def _lines(path: Path) -> Iterator[_MixedLine]:
    for line, fields in json_lines(path):
        fault = line.fault
        texts = fields.get("caption")
        captions = [c for c in (texts if isinstance(texts, list) else [texts]) if isinstance(c, dict)]
        if fault is None and not captions:
            fault = "caption is no object of languages and texts. Fetch the file anew."
        image = fields.get("image_path")
        name = image if isinstance(image, str) else None
        # Others hold the picture itself, which has no name.
        item_id = stem(name) if name else f"{path.name.split('.')[0]}-{line.number}"
        yield _MixedLine(faulty(path, line, fault or ""), item_id, name, captions)


def _line_items(path: Path) -> Iterator[Row]:
    for row, item_id, image, _ in _lines(path):
        if not row.fault:
            yield item(path, row.line, item_id, "train", image)


def _line_captions(wanted: Wanted, path: Path) -> Iterator[Row]:
    slots: Counter[str] = Counter()
    for row, item_id, _, captions in _lines(path):
        if row.fault:
            yield row
            continue
        for caption in captions:
            slot, source = slots[item_id], f"{item_id}#en#{slots[item_id]}"
            slots[item_id] += 1
            for lang in ("en", *(lang for lang in caption if lang != "en")):
                fields = {"caption_id": f"{item_id}#{lang}#{slot}", "item_id": item_id, "lang": lang}
                if wanted.languages and lang not in wanted.languages:
                    continue
                machine = {"role": "mt", "source_id": source, "engine": _engine(path, lang)}
                more = {} if lang == "en" else machine
                yield row._replace(fields=fields | {"text": caption.get(lang)} | more, fault=None)


def _engine(path: Path, lang: str) -> str:
    if lang in _M2M:
        return "m2m_100_1.2B"
    return "uc2" if path.parent.name.startswith("cc3m") else "cclm"
