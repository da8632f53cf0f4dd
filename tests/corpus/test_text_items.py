"""Items that are texts: records, paragraphs, titles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli._corpus_page import page
from dragoman.corpus import BuildOptions, build_jsonl, build_records, build_table
from dragoman.corpus.summary import summarize
from dragoman.errors import UserError
from dragoman.records import Caption, Item

RECORD = {"item_id": "r", "kind": "text", "split": "test", "lang": "EN", "text": " A boat \r\n\tin  Porto\n"}
STORED = {
    "item_id": "r",
    "kind": "text",
    "path": None,
    "split": "test",
    "text": "A boat\nin Porto",
    "lang": "en",
}
CAPTION = {"item_id": "r", "lang": "pt", "text": "um barco"}


def lines(file: Path, *records: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return file


@pytest.mark.parametrize("records", [(RECORD, CAPTION), (CAPTION | {"split": "test"}, RECORD)])
def test_a_line_of_the_kind_text_is_an_item(tmp_path: Path, records: tuple[dict[str, Any], ...]) -> None:
    corpus = build_jsonl(lines(tmp_path / "c.jsonl", *records), tmp_path / "out").corpus
    assert corpus.items.to_pylist() == [STORED]
    assert corpus.captions.select(["item_id", "lang", "text"]).to_pylist() == [CAPTION]


def test_records_need_no_captions(tmp_path: Path) -> None:
    report = build_jsonl(lines(tmp_path / "c.jsonl", RECORD), tmp_path / "out")
    assert (report.items, report.captions) == (1, 0)


def test_texts_in_a_file_of_items_stand_beside_pictures_with_fields_of_these_names(tmp_path: Path) -> None:
    picture = {"item_id": "p", "split": "test", "text": "sign on the door", "year": 1990}
    items = lines(tmp_path / "i.jsonl", picture, RECORD | {"year": 1891})
    # Keys of an item that stand on its captions agree with it, and make no item of a caption.
    captions = lines(tmp_path / "c.jsonl", CAPTION | {"kind": "text"})
    corpus = build_jsonl(captions, tmp_path / "out", items=items).corpus
    assert corpus.items.to_pylist() == [
        picture | {"kind": "image", "path": None, "lang": None},
        STORED | {"year": 1891},
    ]
    assert corpus.captions["text"].to_pylist() == ["um barco"]


def test_a_table_has_the_captions_of_texts_in_columns_of_languages(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,en,text_pt,year\nr,A boat,um barco,1891\ns,A dog,,\n", "utf-8")
    options = BuildOptions(kind="text", lang="en", split="test", metadata=("year",))
    corpus = build_table(table, tmp_path / "out", options, columns={"item_id": "id", "text": "en"}).corpus
    plain = {"kind": "text", "path": None, "split": "test", "lang": "en"}
    assert corpus.items.to_pylist() == [
        plain | {"item_id": "r", "text": "A boat", "year": "1891"},
        plain | {"item_id": "s", "text": "A dog", "year": None},
    ]
    assert corpus.captions.select(["item_id", "lang", "text"]).to_pylist() == [CAPTION]


def test_kinds_of_a_table_are_mixed_by_its_column(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("item_id,kind,text\np,,a dog\nr,text,A boat\nv,video,a goal\n", "utf-8")
    corpus = build_table(table, tmp_path / "out", BuildOptions(lang="en", split="test")).corpus
    assert corpus.items.select(["item_id", "kind", "text"]).to_pylist() == [
        {"item_id": "p", "kind": "image", "text": None},
        {"item_id": "r", "kind": "text", "text": "A boat"},
        {"item_id": "v", "kind": "video", "text": None},
    ]
    assert corpus.captions["text"].to_pylist() == ["a dog", "a goal"]


def test_a_kind_for_items_that_name_none(tmp_path: Path) -> None:
    said = {"lang": "en", "split": "test", "text": "a dog"}
    file = lines(tmp_path / "c.jsonl", said | {"item_id": "p"}, said | {"item_id": "q", "kind": "image"})
    corpus = build_jsonl(file, tmp_path / "out", BuildOptions(kind="video")).corpus
    assert corpus.items["kind"].to_pylist() == ["video", "image"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"text": None}, "line 1: text is missing"),
        ({"text": " \u200b\n"}, "line 1: text is .* which is empty. Write a text"),
        ({"text": "a\x00b"}, r"line 1: text is .*U\+0000"),
        ({"lang": None}, "line 1: lang is missing"),
        ({"lang": "english"}, "line 1: lang is 'english', but a BCP 47 tag"),
        ({"path": "a.jpg"}, "line 1: the item is a text and has path 'a.jpg'"),
        ({"item_id": None}, "line 1: item_id is missing"),
        ({"split": None}, "line 1: split is missing"),
    ],
)
def test_a_faulty_text_is_told_and_its_captions_go_with_it(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    file = lines(tmp_path / "c.jsonl", RECORD | changed, CAPTION, RECORD | {"item_id": "s"})
    with pytest.raises(UserError, match=message):
        build_jsonl(file, tmp_path / "out")
    report = build_jsonl(file, tmp_path / "out", BuildOptions(reject_file=tmp_path / "bad.jsonl"))
    assert report.corpus.items["item_id"].to_pylist() == ["s"]
    assert (report.captions, report.rejected) == (0, 2)


def test_two_texts_of_one_item_are_a_fault(tmp_path: Path) -> None:
    file = lines(tmp_path / "c.jsonl", RECORD, RECORD | {"text": "A ship"})
    with pytest.raises(
        UserError, match=r"line 2: item 'r' has text 'A ship' here but 'A boat.*An item has one text"
    ):
        build_jsonl(file, tmp_path / "out")


def test_no_file_is_looked_for_that_a_text_might_be(tmp_path: Path) -> None:
    (tmp_path / "r.jpg").touch()
    (tmp_path / "p.jpg").touch()
    file = lines(tmp_path / "c.jsonl", RECORD, CAPTION | {"item_id": "p", "split": "test"})
    corpus = build_jsonl(file, tmp_path / "out", BuildOptions(media_root=tmp_path)).corpus
    assert corpus.items["path"].to_pylist() == [None, str(tmp_path / "p.jpg")]


def test_texts_of_records_in_memory_are_counted(tmp_path: Path) -> None:
    items = [
        Item(item_id="r", split="test", kind="text", text="A boat\nin Porto", lang="en"),
        Item(item_id="p", split="test", metadata={"lang": "none of a text"}),
    ]
    captions = [Caption(caption_id="c", item_id="r", lang="pt", role="human", text="um barco")]
    corpus = build_records(items, captions, tmp_path / "out").corpus
    assert corpus.items.to_pylist() == [
        STORED,
        {
            "item_id": "p",
            "kind": "image",
            "path": None,
            "split": "test",
            "text": None,
            "lang": "none of a text",
        },
    ]
    found = summarize(corpus, samples=0, seed=0)
    assert found.files == {"present": 0, "missing": 0, "remote": 0, "none": 1, "text": 1}
    assert "items: 1 without path, 1 that are texts\n" in page(found)
