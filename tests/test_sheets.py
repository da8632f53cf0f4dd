"""Spreadsheets as tables: cells, columns of languages, and files that would take all memory."""

from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman import sheets
from dragoman.corpus import BuildOptions, build_folder, build_table
from dragoman.errors import UserError
from dragoman.media.folder import MediaFolder
from dragoman.media.metadata_tables import language_of
from dragoman.sheets import records

SPACES = " ".join(
    f"xmlns:{name}='urn:oasis:names:tc:opendocument:xmlns:{name}:1.0'" for name in ("office", "table", "text")
)


def xlsx(*rows: list[Any]) -> bytes:
    file, book = io.BytesIO(), openpyxl.Workbook()
    hidden = book.create_sheet("hidden", 0)
    hidden.sheet_state = "hidden"
    for row in rows:
        book["Sheet"].append(row)
    book.save(file)
    return file.getvalue()


def ods(rows: str, before: str = "") -> bytes:
    """A file of OpenDocument with these rows in XML."""
    sheets = f"<table:table table:name='x'>{rows}</table:table><table:table/>"
    body = f"<office:body><office:spreadsheet>{sheets}</office:spreadsheet></office:body>"
    content = f"{before}<office:document-content {SPACES}>{body}</office:document-content>"
    return packed({"content.xml": content.encode()})


def packed(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def ods_row(*texts: str) -> str:
    cells = (
        f"<table:table-cell office:value-type='string'><text:p>{one}</text:p></table:table-cell>"
        for one in texts
    )
    return f"<table:table-row>{''.join(cells)}</table:table-row>"


def read(place: Path, content: bytes, name: str) -> list[tuple[int, list[str]]]:
    (place / name).write_bytes(content)
    header, rows = records(place / name)
    return [(1, header), *((row.number, row.cells) for row in rows)]


def test_cells_of_excel_are_texts(tmp_path: Path) -> None:
    day, moment = datetime.datetime(2012, 5, 3), datetime.datetime(2012, 5, 3, 14, 30)
    content = xlsx(
        ["file ", "pt", "n", None],
        ["a.jpg", "um cão\nque corre", 1999, 0.5],
        [],
        ["b.jpg", None, day, moment],
        ["c.jpg", "#N/A", True, "007"],
    )
    (tmp_path / "a.xlsx").write_bytes(content)
    header, rows = records(tmp_path / "a.xlsx")
    found = list(rows)
    assert header == ["file", "pt", "n"]
    assert [(row.number, row.cells) for row in found] == [
        (2, ["a.jpg", "um cão\nque corre", "1999", "0.5"]),
        (4, ["b.jpg", "", "2012-05-03", "2012-05-03T14:30:00"]),
        (5, ["c.jpg", "", "true", "007"]),
    ]
    # A fourth column has no name.
    assert [row.fault for row in found] == [
        "4 cells, but the header has 3. Name all columns in the header."
    ] * 3


def test_cells_of_opendocument_are_texts(tmp_path: Path) -> None:
    comment = "<office:annotation><text:p>a note</text:p></office:annotation>"
    shown = "<text:p>shown</text:p></table:table-cell>"
    number = f"<table:table-cell office:value-type='float' office:value='{{}}'>{shown}"
    date = "<table:table-cell office:value-type='date' office:date-value='2012-05-03T00:00:00'/>"
    rows = (
        "<table:table-row table:number-rows-repeated='3'><table:table-cell/></table:table-row>"
        + ods_row("file", "pt", "n", "m")
        + f"<table:table-row><table:table-cell office:value-type='string'>{comment}"
        f"<text:p>a<text:s text:c='2'/>b</text:p><text:p>c</text:p></table:table-cell>"
        f"<table:covered-table-cell/>{number.format('1999')}{date}"
        "<table:table-cell table:number-columns-repeated='16380'/></table:table-row>"
        + "<table:table-row table:number-rows-repeated='2'>"
        + f"<table:table-cell table:number-columns-repeated='2' office:value-type='string'><text:p>x</text:p>"
        f"</table:table-cell>{number.format('0.50')}</table:table-row>"
        "<table:table-row table:number-rows-repeated='1048570'><table:table-cell/></table:table-row>"
        + ods_row("late", "", "", "")
    )
    assert read(tmp_path, ods(rows), "a.ods") == [
        (1, ["file", "pt", "n", "m"]),
        (5, ["a  b\nc", "", "1999", "2012-05-03"]),
        (6, ["x", "x", "0.5", ""]),
        (7, ["x", "x", "0.5", ""]),
        (1048578, ["late", "", "", ""]),
    ]


@pytest.mark.parametrize(
    ("header", "lang"),
    [("pt", "pt"), ("PT-br", "pt-BR"), ("text_pt", "pt"), ("Caption (sw)", "sw"), ("Beschreibung [de]", "de")]
    + [("alt text: zh-Hant", "zh-Hant"), ("标题_zh", "zh"), ("title pt_BR", "pt-BR"), ("text_id", "id")]
    + [
        (name, None)
        for name in ("id", "no", "lat", "gps", "in", "text", "lang", "Weight (kg)", "place_pt", "note (en)")
    ]
    + [("title_old", None), ("text_", None), ("", None), ("qq", None)],
)
def test_headers_that_name_a_language(header: str, lang: str | None) -> None:
    assert language_of(header) == lang


@pytest.mark.parametrize("kind", ["csv", "xlsx", "ods", "jsonl"])
def test_a_table_among_pictures_has_a_column_a_language(kind: str, tmp_path: Path) -> None:
    header = ["file", "en", "caption (pt)", "year", "it"]
    rows = [["a.jpg", "a dog", "um cão", 1999, 7], ["b.jpg", None, "um gato", 2004, 8]]
    texts = [["" if cell is None else str(cell) for cell in row] for row in [header, *rows]]
    dicts = (dict(zip(header, row, strict=True)) for row in rows)
    content = {
        "csv": "\n".join(map(",".join, texts)).encode(),
        "xlsx": xlsx(header, *rows),
        "ods": ods("".join(ods_row(*row) for row in texts)),
        "jsonl": "\n".join(str(one).replace("'", '"').replace("None", "null") for one in dicts).encode(),
    }[kind]
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / f"metadata.{kind}").write_bytes(content)
    media = MediaFolder(tmp_path)
    assert [(t.lang, line.text) for one in media.ids for t in media.texts(one) for line in t.lines()] == [
        ("en", "a dog"),
        ("pt", "um cão"),
        ("pt", "um gato"),
    ]
    assert [media.metadata(one) for one in media.ids] == [{"year": 1999, "it": 7}, {"year": 2004, "it": 8}]


def test_a_corpus_is_built_from_a_spreadsheet(tmp_path: Path) -> None:
    content = xlsx(
        ["Datei", "Legenda", "de", "year", "lang"],
        ["a.jpg", "um cão", "ein Hund", 1962, None],
        ["b.jpg", None, "nan", 1963, None],
        ["c.jpg", "um gato", None, None, None],
    )
    (tmp_path / "t.xlsx").write_bytes(content)
    options = BuildOptions(split="train", metadata=("year",))
    columns = {"item_id": "Datei", "text_pt-BR": "Legenda"}
    report = build_table(tmp_path / "t.xlsx", tmp_path / "out", options, columns=columns)
    assert report.corpus.captions.select(["caption_id", "lang", "text"]).to_pylist() == [
        {"caption_id": "a.jpg#de#0", "lang": "de", "text": "ein Hund"},
        {"caption_id": "a.jpg#pt-BR#0", "lang": "pt-BR", "text": "um cão"},
        {"caption_id": "c.jpg#pt-BR#0", "lang": "pt-BR", "text": "um gato"},
    ]
    assert report.corpus.items.select(["item_id", "year"]).to_pylist() == [
        {"item_id": "a.jpg", "year": "1962"},
        {"item_id": "c.jpg", "year": None},
    ]
    assert report.notes == ("record without a caption: 1 (line 3)",)


def test_files_that_unpack_to_more_than_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "LARGEST", 1_000_000)
    bomb = packed({"content.xml": b" " * 600_000, "other.xml": b" " * 400_001})
    assert len(bomb) < 2000
    for name in ("bomb.ods", "bomb.xlsx"):
        with pytest.raises(UserError, match=r"unpacks to 1,000,001 bytes, more than 1,000,000"):
            read(tmp_path, bomb, name)


def test_sheets_that_say_to_be_endless_are_refused_or_cut(tmp_path: Path) -> None:
    # A cell in the last corner: a rectangle of 17 billion cells.
    corner, file = openpyxl.Workbook(), io.BytesIO()
    corner.active["A1"] = "file"
    corner.active["XFD1048576"] = "x"
    corner.save(file)
    assert read(tmp_path, file.getvalue(), "corner.xlsx") == [(1, ["file"])]
    many = ods_row("file") + ods_row("x").replace(
        "<table:table-row", "<table:table-row table:number-rows-repeated='99999999'"
    )
    with pytest.raises(UserError, match=r"row 2: it stands there 99,999,999 times"):
        read(tmp_path, ods(many), "many.ods")
    wide = ods_row("x").replace(
        "<table:table-cell", "<table:table-cell table:number-columns-repeated='16384'"
    )
    with pytest.raises(UserError, match=r"has 1,001 columns, more than 1,000"):
        read(tmp_path, ods(wide), "wide.ods")
    entities = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]>"
    with pytest.raises(UserError, match="declares a document type"):
        read(tmp_path, ods(ods_row("file"), entities), "entities.ods")


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods"])
def test_what_is_no_spreadsheet_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        records(tmp_path / name)
    with pytest.raises(UserError, match="is no spreadsheet that can be read"):
        read(tmp_path, b"no archive", name)
    with pytest.raises(UserError, match="is no spreadsheet that can be read"):
        read(tmp_path, packed({"other": b""}), name)
    with pytest.raises(UserError, match="old format of Excel"):
        read(tmp_path, b"", "a.xls")
    empty = xlsx() if name == "a.xlsx" else ods("")
    with pytest.raises(UserError, match="the first sheet is empty"):
        read(tmp_path, empty, name)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    (tmp_path / "photos" / f"metadata{name[1:]}").write_bytes(b"no archive")
    report = build_folder(tmp_path / "photos", tmp_path / "out", BuildOptions(split="train"))
    assert (report.items, report.rejected) == (1, 1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["xlsx", "ods"]), st.data())
def test_damaged_spreadsheets_raise_nothing_else(kind: str, drawn: st.DataObject) -> None:
    import tempfile

    whole = {"xlsx": WHOLE, "ods": ods(ods_row("file", "en") + ods_row("a.jpg", "a dog"))}[kind]
    changed = bytearray(whole)
    for place in drawn.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=8)):
        changed[place] = drawn.draw(st.integers(0, 255))
    cut = drawn.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = read(Path(folder), bytes(changed[:cut]), f"a.{kind}")
        except UserError:
            return
    assert all(isinstance(cell, str) for _, cells in rows for cell in cells)


WHOLE = xlsx(["file", "en"], ["a.jpg", "a dog"])
