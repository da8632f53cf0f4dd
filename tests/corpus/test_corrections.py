"""Corrections of translations: read from sheets and JSON Lines, kept durably, first among the captions."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dragoman.cli import dragoman
from dragoman.corpus import BuildOptions, Corpus, build_folder
from dragoman.corpus.corrections import (
    COLUMNS,
    Correction,
    Corrections,
    Fault,
    forget_corrections,
    keep_corrections,
    read_corrections,
    replaced,
)
from dragoman.errors import UserError
from dragoman.sheets import write_records


def of(item_id: str, text: str, translation: str | None = None, lang: str = "pt") -> Correction:
    return Correction(item_id=item_id, lang=lang, text=text, translation=translation)


def read(file: Path, media: Path | None = None) -> tuple[list[Correction], list[str]]:
    """What a file corrects, and the lines of it that do not, each with its reason."""
    faults: list[Fault] = []
    found = read_corrections([file], faults, media=media).each()
    return found, [f"{fault.line} {fault.reason}" for fault in faults]


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.xlsx"])
def test_a_sheet_that_was_filled_in_is_read_back(tmp_path: Path, name: str) -> None:
    if name.endswith(".xlsx"):
        pytest.importorskip("openpyxl")
    rows = [
        ["a.jpg", "/p/a.jpg", "pt", "a dog", "=um cão", 0.01, "copied", "um cachorro"],
        ["b.jpg", "/p/b.jpg", "pt", "a cat", "um cato", 0.2, "", ""],
        ["-c.jpg", "/p/-c.jpg", "PT_br", "a bird", "um pássaro", 0.3, None, "  um passarinho\n"],
        ["", "/p/d.jpg", "pt", "a fish", "", 0.3, None, "um peixe"],
    ]
    write_records(tmp_path / name, COLUMNS, rows)
    found, faults = read(tmp_path / name, Path("/p"))
    assert found == [
        of("a.jpg", "um cachorro", "=um cão"),
        of("-c.jpg", "um passarinho", "um pássaro", "pt-BR"),
        of("d.jpg", "um peixe"),
    ]
    assert faults == []


def test_a_sheet_opens_in_spreadsheets_as_text(tmp_path: Path) -> None:
    write_records(tmp_path / "sheet.csv", ["text"], [["=1+1"], ["cão, gato"]])
    assert (tmp_path / "sheet.csv").read_bytes() == (
        b"\xef\xbb\xbftext\r\n'=1+1\r\n" + '"cão, gato"\r\n'.encode()
    )
    openpyxl = pytest.importorskip("openpyxl")
    write_records(tmp_path / "sheet.xlsx", ["text"], [["=1+1"], ["a\x00b"]])
    cells = [row[0] for row in openpyxl.load_workbook(tmp_path / "sheet.xlsx").active.iter_rows()]
    assert [(cell.value, cell.data_type) for cell in cells] == [("text", "s"), ("=1+1", "s"), ("ab", "s")]
    with pytest.raises(UserError, match=r"sheet\.ods: a sheet is written as \.xlsx or \.csv"):
        write_records(tmp_path / "sheet.ods", ["text"], [])


def test_records_that_are_none_are_told_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_bytes(
        b'{"item_id": "a", "lang": "pt", "text": "um"}\n'
        b"{broken\n"
        b'{"item_id": "a", "lang": "nonsense tag", "text": "um"}\n'
        b'{"lang": "pt", "text": "um"}\n'
        b'{"item_id": "a", "lang": "pt", "text": 3}\n'
        b'{"item_id": "a", "lang": "pt", "text": "\\u0000"}\n'
        b'{"item_id": "a", "lang": "pt", "text": " "}\n'
        b'{"path": "./x\\\\b", "lang": "pt", "correction": "dois"}'
    )
    found, faults = read(tmp_path / "c.jsonl")
    assert found == [of("a", "um"), of("x/b", "dois")]
    assert [one.split(" ", 2)[:2] for one in faults] == [
        ["2", "no"],
        ["3", "lang"],
        ["4", "item_id"],
        ["5", "text"],
        ["6", "text"],
    ]
    with pytest.raises(UserError, match=r"c\.jsonl, line 2: no valid JSON .* Correct the line, or remove it"):
        read_corrections([tmp_path / "c.jsonl"])


@pytest.mark.parametrize("header", ["lang,correction", "item_id,correction", "path,lang"])
def test_a_sheet_without_its_columns_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "sheet.csv").write_text(f"{header}\na,b\n")
    with pytest.raises(UserError, match=r"no column .* among .*Make a sheet to fill in: dragoman trust"):
        read(tmp_path / "sheet.csv")


@settings(max_examples=40, deadline=None)
@given(
    content=st.binary(max_size=300), name=st.sampled_from(["s.csv", "s.jsonl", "s.xlsx", "s.ods", "s.tsv"])
)
def test_whatever_is_read_ends_in_corrections_faults_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    file = tmp_path_factory.getbasetemp() / f"fuzzed-{name}"
    for begin in (b"", b"item_id,lang,correction\n", b'{"item_id": "a", "lang": "pt", "text": "'):
        file.write_bytes(begin + content)
        try:
            found, _ = read(file)
        except UserError:
            continue
        assert all(one.item_id and one.lang and one.text.strip() for one in found)


def test_of_two_corrections_of_one_translation_the_last_counts() -> None:
    some = [
        of("a", "1", "x"),
        of("b", "2", "x"),
        of("a", "3", "y"),
        of("a", "4", "x"),
        of("a", "5", "x", "es"),
    ]
    found = Corrections(some)
    assert found["a"] == {"pt": (some[3], some[2]), "es": (some[4],)}
    assert found["b"] == {"pt": (some[1],)}
    assert "c" not in found and len(found) == 2


def test_a_later_correction_takes_the_place_of_those_of_the_same_translation() -> None:
    before = [of("a", "1", "x"), of("a", "2", "y"), of("a", "3"), of("a", "4", "z"), of("a", "1", "w")]
    assert replaced(before, [of("a", "5", "y"), of("a", "6")]) == {"2", "3"}
    # A text that still stands in another place stays.
    assert replaced(before, [of("a", "7", "x")]) == set()
    assert replaced(before, [of("a", "7", "x"), of("a", "8", "w")]) == {"1"}
    assert replaced([], before) == replaced(before, []) == set()


def test_what_is_kept_stays_in_its_place_and_other_lines_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "index" / "corrections.jsonl"
    keep_corrections(file, [of("a", "um", "x"), of("b", "dois")])
    with file.open("ab") as lines:
        lines.write(b"# \xff by hand")
    keep_corrections(file, [of("c", "três"), of("a", "UM", "x")])
    assert file.read_bytes().splitlines() == [
        b'{"item_id": "a", "lang": "pt", "text": "UM", "translation": "x"}',
        b'{"item_id": "b", "lang": "pt", "text": "dois"}',
        b"# \xff by hand",
        '{"item_id": "c", "lang": "pt", "text": "três"}'.encode(),
    ]
    assert forget_corrections(file, "a", "es") == []
    assert forget_corrections(file, "a", "pt") == [of("a", "UM", "x")]
    assert len(file.read_bytes().splitlines()) == 3
    assert read_corrections([file, tmp_path / "nowhere"], []).each() == [of("b", "dois"), of("c", "três")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("at", ["sync_file", "replace"])
def test_a_kill_leaves_what_was_there(tmp_path: Path, at: str) -> None:
    """Killed before the new file is on the disk, and before it takes the name."""
    file = tmp_path / "corrections.jsonl"
    keep_corrections(file, [of("a", "um")])
    before = file.read_bytes()
    if (child := os.fork()) == 0:
        from dragoman.folders import files

        def die(*given: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(files if at == "sync_file" else Path, at, die)
        keep_corrections(file, [of("b", "dois")])
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert file.read_bytes() == before
    keep_corrections(file, [of("b", "dois")])
    assert read(file) == ([of("a", "um"), of("b", "dois")], [])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("a", "b"):
        (folder / "x").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / "x" / f"{name}.png")
        (folder / "x" / f"{name}.txt").write_text(f"a thing, {name}\n")
    (folder / "x" / "a.pt.txt").write_text("uma coisa\n")
    return folder


def captions(corpus: Path, lang: str) -> list[tuple[str, str, str, str | None]]:
    table = Corpus.open(corpus).captions
    columns = [table[name].to_pylist() for name in ("item_id", "lang", "text", "role", "corrects")]
    return [(one[0], one[2], one[3], one[4]) for one in zip(*columns, strict=True) if one[1] == lang]


def test_corrections_come_first_in_a_corpus_and_renew_it(photos: Path, tmp_path: Path) -> None:
    sheet, corpus = tmp_path / "sheet.csv", tmp_path / "corpus"
    options = BuildOptions(lang="en")
    build_folder(photos, corpus, options)
    ids = Corpus.open(corpus).captions["caption_id"].to_pylist()
    assert "corrects" not in Corpus.open(corpus).captions.column_names

    sheet.write_text(
        "path,lang,translation,correction\nx/a.png,pt,um cousa,uma coisa boa\ngone.png,pt,,nada\n"
    )
    report = build_folder(photos, corpus, options, corrections=[sheet])
    assert report.update is not None and not report.unchanged and report.rejected == 0
    assert captions(corpus, "pt") == [
        ("x/a.png", "uma coisa boa", "human", "um cousa"),
        ("x/a.png", "uma coisa", "human", None),
    ]
    assert ids == [one for one in Corpus.open(corpus).captions["caption_id"].to_pylist() if one in ids]
    assert report.notes == (
        "captions from: correction 1, text file 3",
        "corrections of items that are not here, kept for when they are: 1 (gone.png)",
    )
    assert build_folder(photos, corpus, options, corrections=[sheet]).unchanged

    sheet.write_text("path,lang,correction\nx/b.png,pt,outra\nx/b.png,xyzzy-,que\n")
    report = build_folder(photos, corpus, options, corrections=[sheet])
    assert [one[:2] for one in captions(corpus, "pt")] == [("x/b.png", "outra"), ("x/a.png", "uma coisa")]
    (line,) = (corpus / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["line"] == 3 and "BCP 47" in json.loads(line)["reason"]


def test_the_command_reads_files_that_are_there(photos: Path, tmp_path: Path) -> None:
    command = ["corpus", "folder", str(photos), "--lang", "en", "--out", str(tmp_path / "corpus")]
    missing = CliRunner().invoke(dragoman, [*command, "--corrections", str(tmp_path / "no.csv")])
    assert "no.csv: there is no such file" in str(missing.exception)
    assert not (tmp_path / "corpus").exists()
    (tmp_path / "c.jsonl").write_text('{"item_id": "x/b.png", "lang": "pt", "text": "outra"}\n')
    done = CliRunner().invoke(dragoman, [*command, "--corrections", str(tmp_path / "c.jsonl")])
    assert done.exit_code == 0, done.output
    assert Corpus.open(tmp_path / "corpus").select(lang="pt").texts == ["outra", "uma coisa"]
