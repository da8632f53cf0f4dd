"""A folder of media: its items, their captions and their metadata, which corpora and indexes share."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import toy_model
from toy_model import save_model, save_picture

from dragoman.corpus import BuildOptions, build_folder
from dragoman.errors import UserError
from dragoman.index import job
from dragoman.index.folder import open_generation
from dragoman.media.folder import MediaFolder, NoteError
from dragoman.media.images import Decoding
from dragoman.records import Entry
from operations import opcodes


def folder(place: Path, files: dict[str, str | bytes]) -> MediaFolder:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return MediaFolder(place)


def captions(media: MediaFolder, item_id: str) -> list[tuple[str | None, str]]:
    return [(texts.lang, line.text) for texts in media.texts(item_id) for line in texts.lines()]


def test_an_item_is_called_by_its_path_so_that_two_pictures_of_one_stem_are_two(tmp_path: Path) -> None:
    media = folder(tmp_path, {"b/dog.png": "", "b/dog.jpg": "", "a.mp4": "", "b-1.gif": "", ".x.jpg": ""})
    assert media.ids == ["a.mp4", "b-1.gif", "b/dog.jpg", "b/dog.png"]
    assert [media.kind(one) for one in media.ids] == ["video", "image", "image", "image"]


def test_text_files_belong_to_the_media_of_their_stem_or_to_the_one_that_they_name(tmp_path: Path) -> None:
    texts = {
        "dog.txt": "\ufeffa dog\r\n\n  it runs ",
        "dog.pt-br.txt": "um cão",
        "dog.png.txt": "drawn",
        "dog.png.de.txt": "gezeichnet",
        "dog.old.txt": "an old dog",
        "dog.english.txt": "no language",
        "notes.txt": "of nothing",
        "sub/dog.txt": "elsewhere",
    }
    media = folder(tmp_path, {"dog.jpg": "", "dog.png": "", "dog.old.jpg": ""} | texts)
    both = [("pt-BR", "um cão"), (None, "a dog"), (None, "it runs")]
    assert captions(media, "dog.jpg") == both
    assert captions(media, "dog.png") == [
        ("de", "gezeichnet"),
        (None, "drawn"),
        *both,
    ]
    assert captions(media, "dog.old.jpg") == [(None, "an old dog")]
    assert media.strays == ["dog.english.txt", "notes.txt", "sub/dog.txt"]


def test_metadata_come_from_tables_and_from_json_which_counts_more(tmp_path: Path) -> None:
    media = folder(
        tmp_path,
        {
            "a.jpg": "",
            "b/c.jpg": "",
            "d.png": "",
            "metadata.csv": "file_name,year,code,note\na.jpg,1999,01,x\nb\\c.jpg,2004,2\n",
            "metadata.jsonl": '{"path": "./d.png", "year": 2010, "tags": ["x", "y"], "mix": [1, "a", true]}',
            "a.json": '{"year": 2000, "geo": {"lat": 41.5}, "none": null, "path": "elsewhere", "n": [1, 2]}',
            "b/c.jpg.json": '{"ok": true}',
        },
    )
    assert media.metadata("a.jpg") == {"year": 2000, "code": "01", "note": "x", "geo.lat": 41.5, "n": (1, 2)}
    assert media.metadata("b/c.jpg") == {"year": 2004, "code": "2", "ok": True}
    assert media.metadata("d.png") == {"year": 2010, "tags": ("x", "y"), "mix": ("1", "a", "true")}


def test_tables_hold_captions_in_the_column_text(tmp_path: Path) -> None:
    table = 'path,text,lang,year\na.jpg,"a dog\nruns",,1999\na.jpg,um cão,pt-br,\nb.jpg, ,,2001\nb.jpg,a '
    lines = [
        '{"file_name": "c.jpg", "text": ["a cat", "a grey cat"], "lang": "en", "n": 1}',
        '{"path": "a.jpg"}',
    ]
    media = folder(
        tmp_path,
        {
            "a.jpg": "",
            "a.txt": "beside",
            "b.jpg": "",
            "c.jpg": "",
            "metadata.csv": table.encode() + b"\xff,,\n",
            "metadata.jsonl": "\n".join(lines),
        },
    )
    assert captions(media, "a.jpg") == [(None, "beside"), (None, "a dog runs"), ("pt-BR", "um cão")]
    assert captions(media, "c.jpg") == [("en", "a cat"), ("en", "a grey cat")]
    assert [media.metadata(one) for one in media.ids] == [{"year": 1999}, {"year": 2001}, {"n": 1}]
    faults = [(line.number, line.fault) for texts in media.texts("b.jpg") for line in texts.lines()]
    (fault,) = faults
    assert fault[0] == 6
    assert fault[1] is not None
    assert "U+DCFF. Remove it, or save the file as UTF-8" in fault[1]


def test_a_corpus_takes_captions_from_an_image_folder_of_hugging_face(tmp_path: Path) -> None:
    rows = '{"file_name": "1.jpg", "text": "a dog"}\n{"file_name": "2.jpg", "text": "a cat"}\n'
    folder(tmp_path / "in", {"1.jpg": "", "2.jpg": "", "metadata.jsonl": rows})
    report = build_folder(tmp_path / "in", tmp_path / "out", BuildOptions(lang="en", split="train"))
    found = report.corpus.captions.select(["item_id", "lang", "text"]).to_pylist()
    assert found == [
        {"item_id": "1.jpg", "lang": "en", "text": "a dog"},
        {"item_id": "2.jpg", "lang": "en", "text": "a cat"},
    ]
    assert report.corpus.items.column_names == ["item_id", "kind", "path", "split"]


def test_rows_that_belong_to_nothing_and_rows_that_disagree_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = "path,year\na.jpg,1999\ne.jpg,1970\ngone.jpg,1980\na.jpg,2000\n,5\n"
    lines = '{"path": "F\u00e9.jpg"}\n{"path": "a.jpg", "year": 2000}\n'
    files = {"metadata.csv": table, "metadata.jsonl": lines}
    media = folder(tmp_path, {"a.jpg": "", "E.JPG": "", "Fe\u0301.jpg": ""} | files)
    csv, jsonl = (tmp_path / name for name in files)
    rest = "rows belong to no image or video and are left out; first line"
    assert caplog.messages == [
        f"{csv}: 1 values were said otherwise before; line 5: year of 'a.jpg' is 2000, before it was 1999.",
        f"{csv}: 3 of 5 {rest} 3: 'e.jpg' is not there, though 'E.JPG' is.",
        f"{jsonl}: 1 of 2 {rest} 1: 'F\u00e9.jpg' is not there, though 'Fe\u0301.jpg' is.",
    ]
    assert media.metadata("a.jpg") == {"year": 2000}


def test_a_column_of_numbers_that_one_row_makes_text_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ["a.jpg,1950,007,x", "b.jpg,1960,12,1", "c.jpg,c. 1955,0150,2", "d.jpg,,3,y"]
    pictures = {f"{name}.jpg": "" for name in "abcd"}
    media = folder(tmp_path, pictures | {"metadata.csv": "\n".join(["path,year,inv,mixed", *rows])})
    assert caplog.messages == [
        f"{tmp_path / 'metadata.csv'}, line 4: year is 'c. 1955', which is no number, so that all of year is "
        "text and filters such as year>=1 find nothing."
    ]
    assert media.metadata("a.jpg") == {"year": "1950", "inv": "007", "mixed": "x"}


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("metadata.csv", "path,text,lang\na.jpg,x,notatag!\na.jpg,y,\n", "2: .*'notatag!'"),
        ("metadata.csv", "path,text,n\na.jpg,x\na.jpg,y,\na.jpg,y,z,\n", "4: 4 cells, but the header has 3"),
        ("metadata.csv", b"path,text,n\na.jpg,y,\na.jpg,x,\xff\n", "3: a cell is not UTF-8"),
        ("metadata.csv", "name,text\na.jpg,y\n", "0: no column is named path"),
        ("metadata.jsonl", '{"path": "a.jpg", "text": "y"}\n\n{"n": 1}\n', "3: no column is named path"),
        ("metadata.jsonl", '[]\n{"path": "a.jpg", "text": "y"}\n', "1: a JSON list, but an object"),
        (
            "metadata.jsonl",
            '{"path": "a.jpg", "text": [5]}\n{"path": "a.jpg", "text": "y"}\n',
            r"1: text is \[5\], but a text or a list",
        ),
    ],
)
def test_a_row_that_cannot_be_read_is_named_with_its_line_and_the_others_are_taken(
    name: str, text: str | bytes, fault: str, tmp_path: Path
) -> None:
    media = folder(tmp_path, {"a.jpg": "", name: text})
    (found,) = media.faults
    assert found.file == tmp_path / name
    assert re.match(fault, f"{found.line}: {found.reason}")
    assert (None, "y") in captions(media, "a.jpg") or found.line == 0


def test_a_picture_stays_where_what_lies_beside_it_cannot_be_read(tmp_path: Path) -> None:
    folder(tmp_path / "in", {"a.jpg": "", "a.txt": b"um c\xe3o\na dog", "b.jpg": "", "b.json": "[1]"})
    options = BuildOptions(lang="en", split="train", reject_file=tmp_path / "bad.jsonl")
    report = build_folder(tmp_path / "in", tmp_path / "out", options)
    assert report.corpus.items["item_id"].to_pylist() == ["a.jpg", "b.jpg"]
    assert report.corpus.captions["text"].to_pylist() == ["a dog"]
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert reasons[0] == "b.json holds a list, not an object. Correct it, or move it elsewhere."
    assert reasons[1].startswith("byte 5 (0xe3) is not UTF-8")


def test_one_bad_file_of_each_kind_ends_no_build(tmp_path: Path) -> None:
    """Without a reject file the list is in the corpus; sound pictures and their other notes stay."""
    files: dict[str, str | bytes] = {f"{name}.jpg": "" for name in "abcd"}
    files |= {"a.json": "{", "b.txt": b"\xff\nsound", "README.txt": "about these photos", "c\td.jpg": ""}
    files |= {"b.json": '{"n": 1}', "c.json": '{"n": "one"}', "metadata.csv": "path,year\nd.jpg,1,2\n"}
    for name, text in files.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "in" / "gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    report = build_folder(tmp_path / "in", tmp_path / "out", BuildOptions(lang="en", split="train"))
    assert report.corpus.items["item_id"].to_pylist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert report.corpus.items["n"].to_pylist() == [None, 1, None, None]
    assert report.corpus.captions["text"].to_pylist() == ["sound"]
    lines = (report.corpus.folder / "rejected.jsonl").read_text().splitlines()
    told = [(Path(one["file"]).name, one["reason"].partition(":")[0]) for one in map(json.loads, lines)]
    assert report.rejected == len(told)
    assert told == [
        ("c\td.jpg", "its name holds a control character"),
        ("gone.png", "a link to nothing"),
        ("pipe.jpg", "no file that can be read"),
        ("metadata.csv", "3 cells, but the header has 2. Quote cells that hold ','."),
        ("a.jpg", told[4][1]),
        ("c.jpg", "n is 'one', text, but elsewhere a number. Write one sort throughout."),
        ("b.txt", "byte 1 (0xff) is not UTF-8. Save the file as UTF-8."),
        ("README.txt", told[7][1]),
    ]
    assert told[4][1].startswith("a.json is no JSON")
    assert told[7][1].startswith("there is no image or video README")


def test_a_table_of_a_subfolder_names_the_pictures_beside_it(tmp_path: Path) -> None:
    rows = '{"file_name": "1.jpg", "text": "a dog"}\n'
    media = folder(tmp_path, {"train/1.jpg": "", "test/1.jpg": "", "train/metadata.jsonl": rows})
    assert [captions(media, one) for one in media.ids] == [[], [(None, "a dog")]]
    assert media.left_out() == []


def test_tables_as_spreadsheets_write_them_are_read(tmp_path: Path) -> None:
    """UTF-16, blank columns with blank headers, blank rows, numbers too large for a float."""
    text = "path,text,,year,\r\na.jpg,um c\u00e3o,,1950,\r\n,,,,\r\nb.jpg,,,12e400,x\r\n"
    media = folder(tmp_path, {"a.jpg": "", "b.jpg": "", "metadata.csv": text.encode("utf-16")})
    assert media.faults == []
    assert captions(media, "a.jpg") == [(None, "um c\u00e3o")]
    assert [media.metadata(one) for one in media.ids] == [{"year": "1950"}, {"year": "12e400"}]


@pytest.mark.parametrize(
    "content",
    [
        "path;text;year\na.jpg;a dog, wet;1950\n",
        '"path";"text";"year"\r\n"a.jpg";"a dog, wet";"1950"\r\n',
        "sep=;\r\npath;text;year\r\na.jpg;a dog, wet;1950\r\n",
        "path\ttext\tyear\na.jpg\ta dog, wet\t1950\n",
        'path,text,year\ra.jpg,"a dog, wet",1950\r',
        ' path , text,year \na.jpg,"a dog, wet",1950\n  ,  \n',
        'path,text,year\na.jpg,"a dog, wet",1950\nb.jpg,N/A,nan\nb.jpg,None,NULL\n',
        'path,text,year\na.jpg,"a dog, wet",1950\n'.encode("utf-16-le"),
        'path,text,year\na.jpg,"a dog, wet",1950\n'.encode("utf-16-be"),
    ],
)
def test_a_table_is_read_however_a_spreadsheet_was_told_to_write_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes
) -> None:
    media = folder(tmp_path, {"a.jpg": "", "b.jpg": "", "metadata.csv": content})
    assert (media.faults, caplog.messages) == ([], [])
    assert captions(media, "a.jpg") == [(None, "a dog, wet")]
    assert captions(media, "b.jpg") == []
    assert [media.metadata(one) for one in media.ids] == [{"year": 1950}, {}]


def test_what_a_table_may_have_lost_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = ['a.jpg,"Stop', "b.jpg,a cat", 'c.jpg,the end"', 'd.jpg,"two', 'lines"']
    pictures = {f"{name}.jpg": "" for name in "abcd"}
    media = folder(tmp_path, pictures | {"metadata.csv": "\n".join(["path,text", *rows]) + "\n"})
    (fault,) = media.faults
    assert (fault.line, fault.reason[:64]) == (
        2,
        "a quote opens a cell that goes on to line 4, with rows in it. Cl",
    )
    assert captions(media, "d.jpg") == [(None, "two lines")]
    (told,) = caplog.messages
    assert "1 records of several lines (a quote left open makes one, too), the first in line 5." in told
    caplog.clear()
    (tmp_path / "metadata.csv").write_text(",path,,n\n0,a.jpg,,99999999999999999999\n1,b.jpg,,12\n")
    media = MediaFolder(tmp_path)
    assert (
        "a column without a name holds values in 2 rows, which are left out, the first in line 2"
        in (caplog.messages[0])
    )
    # Of 64 bits and more it is a name, of which a float would keep a part.
    assert media.metadata("a.jpg") == {"n": "99999999999999999999"}


def test_captions_beside_pictures_are_those_that_a_corpus_takes(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{name}.jpg": "" for name in "abcdef"}
    files |= {"a.txt": "one\rtwo\r", "b.txt": "a\tdog\n", "c.txt": "a d\0og\nsound\n", "d.txt": "\u200b\n"}
    files |= {"e.txt": "um c\u00e3o\n".encode("utf-16-le"), "f.txt": "caf\u00e9\n".encode("utf-16")}
    media = folder(tmp_path / "in", files)
    said = {
        one: [line.text for t in media.texts(one) for line in t.lines() if not line.fault]
        for one in media.ids
    }
    assert list(said.values()) == [["one", "two"], ["a dog"], ["sound"], [], ["um c\u00e3o"], ["caf\u00e9"]]
    report = build_folder(tmp_path / "in", tmp_path / "out", BuildOptions(lang="en", split="train"))
    assert report.corpus.captions["text"].to_pylist() == [text for texts in said.values() for text in texts]
    assert report.rejected == 2


def test_a_key_that_stands_twice_is_no_metadata(tmp_path: Path) -> None:
    twice = '{"year": 1950, "year": 1960}'
    table = f'{{"path": "a.jpg", {twice[1:]}'
    media = folder(tmp_path, {"a.jpg": "", "a.json": twice, "metadata.jsonl": table})
    with pytest.raises(NoteError, match="the key 'year' stands twice"):
        media.metadata("a.jpg")
    assert "the key 'year' stands twice" in media.faults[0].reason
    (tmp_path / "a.json").write_bytes('{"place": "S\u00e3o"}'.encode("utf-16"))
    assert MediaFolder(tmp_path).metadata("a.jpg") == {"place": "S\u00e3o"}


def test_what_google_takeout_writes_is_metadata(tmp_path: Path) -> None:
    of = {
        "a.jpg": "a.jpg.supplemental-metadata.json",
        "b.jpg": "b.jpg.suppl.json",
        "b(1).jpg": "b.jpg.supplemental-metadata(1).json",
        "c.HEIC": "c.HEIC.json",
        "c(2).HEIC": "c.HEIC(2).json",
    }
    notes = {note: json.dumps({"title": name}) for name, note in of.items()}
    strays = {"d.jpg.other.json": "{}", "metadata.json": "{}", "a.jpg(7).json": "{}"}
    media = folder(tmp_path, dict.fromkeys([*of, "d.jpg"], "") | notes | strays)
    assert {name: media.metadata(name) for name in of} == {name: {"title": name} for name in of}
    assert media.metadata("d.jpg") == {}
    assert media.left_out() == [
        "left out: 3 neither images, videos nor what belongs to one (a.jpg(7).json, d.jpg.other.json, "
        "metadata.json)"
    ]


def test_values_that_are_left_out_of_metadata_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = '"people": [{"name": "Ana"}], "tags": ["x", null, 1], "id": 123456789012345678901, "none": null}'
    rows = f'{{"path": "b.jpg", {said}\n{{"path": "c.jpg", "far": 1e999}}\n'
    files = {"a.json": f"{{{said}", "metadata.jsonl": rows}
    media = folder(tmp_path, {"a.jpg": "", "b.jpg": "", "c.jpg": ""} | files)
    kept = {"tags": ("x", "1"), "id": "123456789012345678901"}
    for _ in range(2):
        assert [media.metadata(one) for one in media.ids] == [kept, kept, {}]
    assert media.left_out() == [
        "left out: 1 values of metadata that no filter can compare, such as lists of objects (a.jpg: people)"
    ]
    assert "values of 2 rows that no filter can compare" in caplog.messages[0]
    assert "the first is people in line 1" in caplog.messages[0]


def test_names_of_files_that_may_be_no_language_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["a.pt.txt", "a.PT-br.TXT", "a.ocr.txt", "b.ocr.txt"]
    folder(tmp_path, {"a.jpg": "", "b.jpg": ""} | dict.fromkeys(names, "x"))
    assert caplog.messages == [
        f"{tmp_path}: the language 'ocr' of 2 files of captions is not known here; the first is a.ocr.txt. "
        "Rename them if it is none."
    ]


def test_what_rules_leave_out_is_counted_and_named(tmp_path: Path) -> None:
    names = ["a.jfif", "b.JPE", "c.apng", "d.tga", "e.ppm", "f.ico", "g.heif", "h.heic", "trip/i.jpg"]
    out = ["1.cr2", "2.NEF", "3.dng", "4.arw", "@eaDir/a.jfif/SYNOPHOTO_THUMB_XL.jpg", "#recycle/old.jpg"]
    out += ["trip/lost+found/x.jpg", ".hidden/x.jpg", "notes.pdf", "stray.json", "raw/x.jpg", "trip/y.gif"]
    folder(tmp_path, dict.fromkeys(names + out, ""))
    (tmp_path / "linked").symlink_to("trip")
    media = MediaFolder(tmp_path, ["raw/", "*.gif"])
    assert media.ids == names
    assert media.left_out() == [
        "left out: 4 RAW photos, which are not read: export them as JPEG or TIFF (1.cr2, 2.NEF, 3.dng, …)",
        "left out: 2 by --exclude (raw, trip/y.gif)",
        "left out: 3 folders that a disk or network storage keeps for itself (#recycle, @eaDir, "
        "trip/lost+found)",
        "left out: 1 hidden (.hidden)",
        "left out: 1 links to folders, which are not followed (linked)",
        "left out: 2 neither images, videos nor what belongs to one (notes.pdf, stray.json)",
    ]


def test_a_folder_of_nothing_but_links_is_taken_or_told(tmp_path: Path) -> None:
    folder(tmp_path / "photos", {"a.jpg": ""})
    (tmp_path / "of files").mkdir()
    (tmp_path / "of files" / "b.jpg").symlink_to(tmp_path / "photos" / "a.jpg")
    assert MediaFolder(tmp_path / "of files").ids == ["b.jpg"]
    (tmp_path / "of folders").mkdir()
    (tmp_path / "of folders" / "all").symlink_to(tmp_path / "photos")
    with pytest.raises(UserError, match=r"holds no images.* left out: 1 links to folders.*\(all\)"):
        MediaFolder(tmp_path / "of folders")


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, {"a.jpg": "", "closed/b.jpg": "", "open/c.jpg": ""})
    scandir = os.scandir

    # Root may read what others may not, so that the mode of a folder would say nothing here.
    def closed(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    media = MediaFolder(tmp_path)
    assert media.ids == ["a.jpg", "open/c.jpg"]
    assert [str(one) for one in media.unusable] == [
        "closed: a folder that cannot be read (Permission denied): allow it, or leave it out: --exclude"
    ]


def test_the_steps_of_listing_grow_as_the_pictures_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times as many pictures, with as many texts and notes, parted by as many folders."""
    listed = 0
    scandir = os.scandir

    def counted(path: Path) -> object:
        nonlocal listed
        listed += 1
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)

    def steps(count: int) -> tuple[int, int]:
        nonlocal listed
        place, listed = tmp_path / str(count), 0
        files = {f"{number:04}.jpg": "" for number in range(count)}
        files |= {f"{number:04}.txt": "a dog" for number in range(count)}
        files |= {f"{number:04}.json": "{}" for number in range(count)}
        files |= {f"{number:04}/in.jpg": "" for number in range(count)}
        folder(place, files)
        listed = 0

        def whole() -> None:
            media = MediaFolder(place)
            for one in media.ids:
                assert [line.text for texts in media.texts(one) for line in texts.lines()] in (["a dog"], [])
                media.metadata(one)
            media.fingerprint()

        return opcodes(whole), listed

    few, folders = steps(25)
    many, more = steps(100)
    assert (folders, more) == (26, 101)
    assert many < 4.4 * few


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    media = folder(tmp_path, {"a.jpg": "", "a.json": "{no json", "a.txt": b"x" * 1_000_001, "b\tc.jpg": ""})
    with pytest.raises(NoteError, match=r"^a\.json is no JSON"):
        media.metadata("a.jpg")
    with pytest.raises(NoteError, match=r"^a\.txt is larger than 1,000,000 bytes"):
        captions(media, "a.jpg")
    assert [(one.path, one.reason) for one in media.unusable] == [
        ("b\tc.jpg", "its name holds a control character: rename it")
    ]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"holds nothing that can be taken.*control character: rename it"):
        MediaFolder(tmp_path)


def test_the_fingerprint_changes_with_names_and_notes_alone(tmp_path: Path) -> None:
    media = folder(tmp_path, {"a.jpg": "", "a.json": "{}", "other.pdf": ""})
    before = media.fingerprint()
    assert folder(tmp_path, {"a.jpg": "new pixels", "other.pdf": "new"}).fingerprint() == before
    assert folder(tmp_path, {"a.json": '{"n": 1}'}).fingerprint() != before
    assert folder(tmp_path, {"a.json": "{}", "b.jpg": ""}).fingerprint() != before


def test_a_corpus_and_an_index_agree_on_id_captions_and_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_model.stand_in(monkeypatch)
    photos = tmp_path / "photos"
    save_picture(photos / "trip" / "dog.jpg", "red")
    (photos / "trip" / "dog.txt").write_text("a dog runs\na brown dog on grass\n")
    (photos / "trip" / "dog.json").write_text('{"year": 2012}')
    corpus = build_folder(photos, tmp_path / "corpus", BuildOptions(lang="en", split="train")).corpus
    (item,) = corpus.items.to_pylist()
    assert (item["item_id"], item["year"]) == ("trip/dog.jpg", 2012)
    assert corpus.captions["text"].to_pylist() == ["a dog runs", "a brown dog on grass"]
    found = MediaFolder(photos)
    assert captions(found, "trip/dog.jpg") == [(None, "a dog runs"), (None, "a brown dog on grass")]
    assert found.metadata("trip/dog.jpg") == {"year": 2012}
    of_folder, of_corpus = (entry_of(tmp_path, media) for media in (photos, corpus.folder))
    assert of_folder.item_id == of_corpus.item_id == "trip/dog.jpg"
    assert of_folder.captions == of_corpus.captions == {"en": "a dog runs"}
    assert of_folder.more_captions == of_corpus.more_captions == {"en": ("a brown dog on grass",)}
    assert of_folder.metadata["year"] == of_corpus.metadata["year"] == 2012


def entry_of(place: Path, media: Path) -> Entry:
    """The only entry of an index of a folder or a corpus."""
    run = save_model(place / "run")
    report = job.index_media(
        run,
        media,
        place / f"index of {media.name}",
        job.IndexOptions(device="cpu", decoding=Decoding(workers=1)),
    )
    with open_generation(report.info) as store:
        (entry,) = store.scan(limit=10)
    return entry
