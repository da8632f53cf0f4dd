"""Building a corpus from tables."""

from __future__ import annotations

import gzip
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.corpus import BuildOptions, BuildReport, build_csv
from dragoman.errors import UserError


def built(
    folder: Path,
    text: str | bytes,
    name: str = "t.csv",
    columns: dict[str, str] | None = None,
    delimiter: str | None = None,
    **options: Any,
) -> BuildReport:
    data = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    given = BuildOptions(**{"lang": "en", "split": "train"} | options)
    return build_csv(folder / name, folder / "out", given, columns=columns, delimiter=delimiter)


def test_columns_are_mapped_and_ids_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    table = 'image,caption,mood,\na.jpg,"a dog, wet",good,\nb.jpg,a boat,,\na.jpg,"a ""big"" dog",bad,\n'
    report = built(tmp_path, table, columns={"item_id": "image", "text": "caption"})
    assert report.corpus.captions.select(["caption_id", "item_id", "lang", "role", "text"]).to_pylist() == [
        {"caption_id": f"{item}#en#{k}", "item_id": item, "lang": "en", "role": "human", "text": text}
        for item, k, text in [("a.jpg", 0, "a dog, wet"), ("b.jpg", 0, "a boat"), ("a.jpg", 1, 'a "big" dog')]
    ]
    assert report.corpus.items["item_id"].to_pylist() == ["a.jpg", "b.jpg"]
    assert "columns left out: mood, one without a name" in caplog.text


def test_a_quote_that_begins_a_cell_between_tabs_swallows_no_rows(tmp_path: Path) -> None:
    rows = ["1.jpg\ta dog", '2.jpg\t"Stop sign', "3.jpg\ta cat", '4.jpg\tthe end"', "5.jpg\ta bird"]
    table = "".join(f"{row}\n" for row in ["item_id\ttext", *rows])
    with pytest.raises(
        UserError, match=r"t\.tsv, line 3: a quote opens a cell that goes on to line 5, with tabs"
    ):
        built(tmp_path, table, "t.tsv")
    report = built(tmp_path, table, "t.tsv", reject_file=tmp_path / "bad.jsonl")
    assert report.corpus.captions["text"].to_pylist() == ["a dog", "a bird"]
    assert json.loads((tmp_path / "bad.jsonl").read_text())["raw"] == "\n".join(rows[1:4])
    # As the message says to write it.
    mended = table.replace('"Stop sign', '"""Stop sign"').replace('end"', 'end""')
    report = built(tmp_path, mended, "t.tsv", overwrite=True)
    assert report.corpus.captions["text"].to_pylist()[1] == '"Stop sign'
    assert report.captions == 5


@pytest.mark.parametrize(
    "rows",
    [
        ["item_id,text", 'a.jpg,"Stop sign', "b.jpg,a cat", 'c.jpg,the end"', "d.jpg,last"],
        ["text,item_id", '"Stop sign,a.jpg', "a cat,b.jpg", 'the end",c.jpg', "last,d.jpg"],
        ["item_id;text;n", '11;"Stop sign;1', '12;the end";1', "13;last;1"],
    ],
)
def test_a_quote_that_swallows_rows_is_a_fault(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(
        UserError, match=rf"t\.csv, line 2: a quote opens a cell .*{len(rows) - 1}, with rows"
    ):
        built(tmp_path, "\n".join(rows))
    report = built(tmp_path, "\n".join(rows), reject_file=tmp_path / "bad.jsonl")
    assert report.corpus.captions["text"].to_pylist() == ["last"]
    assert report.rejected == 1


def test_what_stands_for_no_value_is_none(tmp_path: Path) -> None:
    table = "item_id,text,trust,lang,place\na,nan,,en,x\nb,N/A,,en,x\nc,a dog,NaN,nan,NA\nd,None here,,en,x\n"
    report = built(tmp_path, table, metadata=["place"], reject_file=tmp_path / "bad.jsonl")
    found = report.corpus.captions.select(["item_id", "text", "trust", "lang"]).to_pylist()
    # "nan" is Southern Min, and what metadata say stays as it is.
    assert found == [
        {"item_id": "c", "text": "a dog", "trust": None, "lang": "nan"},
        {"item_id": "d", "text": "None here", "trust": None, "lang": "en"},
    ]
    assert report.corpus.items["place"].to_pylist() == ["NA", "x"]
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [reason.partition(".")[0] for reason in reasons] == ["text is missing", "text is missing"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_table_as_spreadsheets_write_it_is_read(encoding: str, name: str, tmp_path: Path) -> None:
    """Blank columns, two of them with blank headers, blank rows, and the encodings of "Unicode text"."""
    table = "item_id,,text,\r\na.jpg,,um c\u00e3o,\r\n,,,\r\nb.jpg,x,\u72d7,\r\n,,,\r\n"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    report = built(tmp_path, (mark + table).encode(encoding), name)
    assert report.corpus.captions["text"].to_pylist() == ["um c\u00e3o", "\u72d7"]


def test_a_table_of_utf_16_that_breaks_off_is_named(tmp_path: Path) -> None:
    content = "item_id,text\na.jpg,a dog\nb.jpg,a cat\n".encode("utf-16")[:-1]
    with pytest.raises(UserError, match=r"t\.csv begins as UTF-16, but is damaged after line \d.*as UTF-8"):
        built(tmp_path, content)


def test_records_of_several_lines_are_counted(tmp_path: Path) -> None:
    table = 'item_id,text\na,"one\ntwo"\nb,three\nc,"Stop\nd,four\ne,end"\n'
    report = built(tmp_path, table)
    assert report.corpus.captions["text"].to_pylist() == ["one two", "three", "Stop d,four e,end"]
    assert report.notes == ("record of several lines (a quote left open makes one, too): 2 (line 2, line 5)",)
    assert built(tmp_path, table).notes == report.notes


def test_all_columns_of_a_caption_can_be_given(tmp_path: Path) -> None:
    table = (
        "caption_id,item_id,split,lang,role,text,source_id,engine,trust,path,year\n"
        "h,i,val,en,human,a dog,,,,x/i.jpg,1990\n"
        "m,i,val,pt,mt,um cão,h,e,0.25,,1990\n"
    )
    report = built(tmp_path, table, metadata=("year",))
    assert report.corpus.captions.to_pylist()[1] == {
        "caption_id": "m", "item_id": "i", "lang": "pt", "role": "mt", "text": "um cão", "source_id": "h",
        "engine": "e", "trust": 0.25,
    }  # fmt: skip
    assert report.corpus.items.to_pylist() == [
        {"item_id": "i", "kind": "image", "path": str(tmp_path / "x/i.jpg"), "split": "val", "year": "1990"}
    ]


def test_a_mapped_header_wins_over_one_of_the_same_name(tmp_path: Path) -> None:
    report = built(tmp_path, "item_id,text,caption\ni,draft,final\n", columns={"text": "caption"})
    assert report.corpus.captions["text"].to_pylist() == ["final"]


@pytest.mark.parametrize(
    ("name", "table", "delimiter"),
    [
        ("t.tsv", "item_id\ttext\ni\ta, b\n", None),
        ("t.tsv.gz", "item_id\ttext\ni\ta, b\n", None),
        ("t.csv.gz", 'item_id,text\r\ni,"a, b"\r\n\r\n', None),
        ("t.csv", "\ufeffitem_id;text\ni;a, b", ";"),
        ("t.csv", "item_id;text\ni;a, b", None),
        ("t.csv", '"item_id"\t"text"\ni\ta, b', None),
        ("t.TSV", "item_id\ttext\ni\ta, b\n", None),
        ("t.csv", "\ufeffsep=;\r\nitem_id;text\r\ni;a, b\r\n", None),
        ("t.csv", "sep=|\nitem_id|text\ni|a, b", None),
        ("t.csv", 'item_id,text\ri,"a, b"\r', None),
        ("t.csv", ' item_id , text\ni,"a, b"\n  ,\n \n', None),
    ],
)
def test_delimiters_line_ends_and_gzip(tmp_path: Path, name: str, table: str, delimiter: str | None) -> None:
    report = built(tmp_path, table, name=name, delimiter=delimiter)
    assert report.corpus.captions["text"].to_pylist() == ["a, b"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("item_id,text\ni,a\ni\n", "line 3: 1 cells, but the header has 2"),
        ("item_id,text\ni,a\ni,b,c\n", "line 3: 3 cells, but the header has 2"),
        ('item_id,text\ni,"a\nb"\ni,\n', "line 4: text is missing"),
        ('item_id,text\ni,"a"b\n', "line 2: not a record .*Check the quotes"),
        ('item_id,text\ni,a\ni,"b\n\n', "line 3: not a record .*unexpected end of data"),
        ("item_id,text,trust\ni,a,high\n", "line 2: trust is 'high', but a number"),
        (b"item_id,text\ni,caf\xe9\n", r"line 2: .*U\+DCE9.*save the file as UTF-8"),
        ("item_id,item_id\ni,a\n", "line 1: two columns are called 'item_id'"),
        ('"item_id\n', "line 1: no header line"),
        ("item_id,text\n", "nothing to build from"),
        ("", "nothing to build from"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, table: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        built(tmp_path, table)
    assert not (tmp_path / "out").exists()


def test_a_column_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 1: no column 'caption'. The columns are: item_id, text"):
        built(tmp_path, "item_id,text\n", columns={"text": "caption"})
    with pytest.raises(UserError, match="no column 'year'"):
        built(tmp_path, "item_id,text\n", metadata=("year",))
    with pytest.raises(UserError, match="--column txt=…: no such key"):
        built(tmp_path, "item_id,text\n", columns={"txt": "text"})
    with pytest.raises(UserError, match="--delimiter is ';;', but one character"):
        built(tmp_path, "item_id,text\n", delimiter=";;")


def test_bad_records_are_collected_as_they_stand(tmp_path: Path) -> None:
    table = 'item_id,text\ni,"a\nb"\ni,"c"d\ni,e\nj\n'
    report = built(tmp_path, table, reject_file=tmp_path / "r.jsonl")
    assert report.corpus.captions["text"].to_pylist() == ["a b", "e"]
    found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(reject["line"], reject["raw"]) for reject in found] == [(4, 'i,"c"d'), (6, "j")]


@example(rest=b'"\n\r\x00",', collect=False)
@settings(max_examples=100, deadline=None)
@given(
    rest=st.binary(max_size=30) | st.text('ia,"\n\r\x00\x85', max_size=30).map(str.encode),
    collect=st.booleans(),
)
def test_no_table_gives_anything_but_a_corpus_or_a_user_error(rest: bytes, collect: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            report = built(folder, b"item_id,text\n" + rest, reject_file=folder / "r" if collect else None)
        except UserError:
            assert not (folder / "out").exists()
        else:
            assert len(report.corpus.captions) == report.captions > 0
