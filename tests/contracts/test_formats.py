"""What every reader with options of its own keeps: sound rows, ids that join, splits that are disjoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.corpus import BuildOptions
from dragoman.corpus.build import build
from dragoman.corpus.readers.contract import Source
from dragoman.corpus.readers.formats.plain import read_folder, read_jsonl, read_table


def jsonl_example(place: Path) -> Source:
    lines = '{"item_id": "a.jpg", "text": "a dog"}\n{"item_id": "b.png", "text": "a boat"}\n'
    (place / "c.jsonl").write_text(lines)
    return read_jsonl(place / "c.jsonl")


def table_example(place: Path) -> Source:
    (place / "c.csv").write_text("item_id,text\na.jpg,a dog\nb.png,a boat\n")
    return read_table(place / "c.csv", columns={})


def folder_example(place: Path) -> Source:
    for name, text in {"a.jpg": "", "a.txt": "a dog", "b.png": "", "b.txt": "a boat"}.items():
        (place / name).write_text(text)
    return read_folder(place, lang="en")


EXAMPLES: dict[str, Callable[[Path], Source]] = {
    "folder": folder_example,
    "jsonl": jsonl_example,
    "table": table_example,
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_reader_gives_sound_rows_and_a_sound_corpus(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = list(EXAMPLES[name](tmp_path / "in").captions)
    assert [row.fields["text"] for row in rows] == ["a dog", "a boat"]
    assert all(Path(row.file).is_file() and row.line > 0 and row.fault is None for row in rows)
    source = EXAMPLES[name](tmp_path / "in")
    corpus = build(source, tmp_path / "out", BuildOptions(lang="en", split="val")).corpus
    captions, items = corpus.captions.to_pylist(), corpus.items.to_pylist()
    assert [(c["item_id"], c["text"]) for c in captions] == [("a.jpg", "a dog"), ("b.png", "a boat")]
    assert [(i["item_id"], i["split"]) for i in items] == [("a.jpg", "val"), ("b.png", "val")]
    assert len({c["caption_id"] for c in captions}) == 2
    assert set(corpus.manifest["inputs"]) == set(source.inputs) != set()
