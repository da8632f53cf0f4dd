"""Checksums of files and sealed JSON: what is damaged is told, whatever the damage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checksums import without_checksums
from dragoman.errors import DamagedError, UserError
from dragoman.folders import Format, damages, read_sealed, stage, write_sealed

BOOK = Format("dragoman-book", 2, "dragoman print --out {folder}", apart=("notes/*",))
FIX = "Use ink."


def book(folder: Path, text: str = "once") -> Path:
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "one.txt").write_text(text)
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("later")
    (folder / ".lock").touch()
    BOOK.write(folder, inputs={"paper": "abc"}, pages=7)
    return folder


def test_a_manifest_lists_what_was_written_with_its_size_and_digest(tmp_path: Path) -> None:
    listed = BOOK.read(book(tmp_path / "b"))["files"]
    assert listed == {"parts/one.txt": {"bytes": 4, "sha256": hashlib.sha256(b"once").hexdigest()}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Once", r"parts/one\.txt is damaged \(its checksum is that of other content\)"),
        (b"onc", r"parts/one\.txt has 3 bytes, but 4 were written"),
        (None, r"parts/one\.txt is missing"),
    ],
)
def test_a_damaged_file_is_named_with_what_mends_it(tmp_path: Path, content: bytes | None, said: str) -> None:
    folder = book(tmp_path / "b")
    (folder / "notes" / "mine.txt").write_text("changed")
    BOOK.read(folder)
    file = folder / "parts" / "one.txt"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(DamagedError, match=rf"{said}\. Restore it .*make it anew: dragoman print --out .*b"):
        BOOK.read(folder)
    assert BOOK.peek(folder)["pages"] == 7


def test_a_changed_value_of_a_manifest_is_told(tmp_path: Path) -> None:
    file = book(tmp_path / "b") / "manifest.json"
    file.write_text(file.read_text().replace('"pages": 7', '"pages": 8'))
    with pytest.raises(DamagedError, match=r"manifest\.json is damaged \(its checksum is that of other"):
        BOOK.read(file.parent)


def test_folders_of_before_are_read_as_they_are(tmp_path: Path) -> None:
    folder = book(tmp_path / "b")
    without_checksums(folder)
    (folder / "parts" / "one.txt").write_text("other")
    assert BOOK.read(folder)["pages"] == 7


def test_what_was_verified_is_verified_anew_when_it_changes(tmp_path: Path) -> None:
    folder = book(tmp_path / "b")
    BOOK.read(folder)
    (folder / "parts" / "one.txt").write_text("ence")
    assert damages(folder, BOOK.peek(folder)["files"]) == [
        "parts/one.txt is damaged (its checksum is that of other content)"
    ]


def test_large_files_are_compared_by_size_unless_all_is_asked(tmp_path: Path) -> None:
    folder = book(tmp_path / "b")
    listed = BOOK.peek(folder)["files"]
    (folder / "parts" / "one.txt").write_text("Once")
    assert damages(folder, listed, most_bytes=3) == []
    assert len(damages(folder, listed, most_bytes=4)) == 1
    assert len(damages(folder, listed, most_bytes=None)) == 1


@pytest.mark.parametrize("killed_at", ["before the file", "after the file"])
def test_a_file_that_is_replaced_is_sound_at_every_moment(tmp_path: Path, killed_at: str) -> None:
    folder = book(tmp_path / "b")

    def fill(temporary: Path) -> None:
        temporary.write_text("twice")
        if killed_at == "before the file":
            raise KeyboardInterrupt

    new = BOOK.replace

    if killed_at == "before the file":
        with pytest.raises(KeyboardInterrupt):
            new(folder, "parts/one.txt", fill, pages=9)
        assert BOOK.read(folder)["pages"] == 7
    else:
        assert new(folder, "parts/one.txt", fill, pages=9)["pages"] == 9
        files = BOOK.read(folder)["files"]["parts/one.txt"]
        assert files == {"bytes": 5, "sha256": hashlib.sha256(b"twice").hexdigest()}


def test_both_contents_are_sound_while_a_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = book(tmp_path / "b")
    seen: list[str] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        BOOK.read(folder)
        seen.append(target.name)
        done = replace(self, target)
        BOOK.read(folder)
        return done

    monkeypatch.setattr(Path, "replace", watched)
    BOOK.replace(folder, "parts/one.txt", lambda path: path.write_text("twice") and None, pages=9)
    assert seen == ["manifest.json", "one.txt", "manifest.json"]


@pytest.mark.parametrize("before", ["no checksums", "a kill after the file"])
def test_what_is_there_is_listed_while_a_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    folder = book(tmp_path / "b")
    if before == "no checksums":
        without_checksums(folder)
    else:
        write = Format._write
        calls: list[int] = []

        def killed(self: Format, *given: object) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            write(self, *given)  # type: ignore[arg-type]

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Format, "_write", killed)
            BOOK.replace(folder, "parts/one.txt", lambda path: path.write_text("second") and None)
        assert (folder / "parts" / "one.txt").read_text() == "second"
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        BOOK.read(folder)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    BOOK.replace(folder, "parts/one.txt", lambda path: path.write_text("third!") and None)
    listed = BOOK.read(folder)["files"]
    assert listed == {"parts/one.txt": {"bytes": 6, "sha256": hashlib.sha256(b"third!").hexdigest()}}


def test_the_same_work_is_done_again_where_its_result_is_damaged(tmp_path: Path) -> None:
    out = tmp_path / "b"
    for times in range(3):
        with stage(out, BOOK, {"pages": 7}, replace=False) as work:
            assert (work.done is None) == (times != 1)
            if work.done is None:
                (work.folder / "one.txt").write_text("once")
                BOOK.write(work.folder, inputs={}, pages=7)
        if times == 1:
            (out / "one.txt").write_text("0nce")
    assert (out / "one.txt").read_text() == "once"


def test_sealed_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    file, value = tmp_path / "a.json", {"b": [1, 2.5, None], "a": {"é": "x\udc80"}}
    write_sealed(file, value)
    assert read_sealed(file, FIX) == value
    assert set(json.loads(file.read_text())) == {"a", "b", "checksum"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"a"', b"\xff{}", b"[" * 100_000])
def test_what_is_no_json_object_is_damaged(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(DamagedError, match=r"a\.json is damaged .* Use ink\."):
        read_sealed(file, FIX)


def test_a_missing_sealed_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json is missing\. Use ink\."):
        read_sealed(tmp_path / "a.json", FIX)


@settings(max_examples=200, deadline=None)
@given(
    value=st.dictionaries(
        st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(), min_size=1
    ),
    at=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_no_flipped_bit_gives_other_values(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object], at: int, bit: int
) -> None:
    value.pop("checksum", None)
    file = tmp_path_factory.mktemp("f") / "a.json"
    try:
        write_sealed(file, value)
    except ValueError:  # infinity is no JSON
        return
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 1 << bit
    file.write_bytes(content)
    try:
        found = read_sealed(file, FIX)
    except DamagedError:
        return
    # The bit was one of blanks or of an escape; or it hit the name of the checksum, which then is a value.
    assert {name: found[name] for name in value} == value
