"""What every reader of a published data set keeps, on a miniature in its format."""

from __future__ import annotations

import gzip
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from miniatures import miniature

from dragoman.corpus import BuildOptions, BuildReport, ReadOptions, build_dataset, datasets
from dragoman.errors import UserError

NAMES = datasets.names()


def built(name: str, root: Path, out: Path, **options: Any) -> BuildReport:
    about = datasets.load(name).about
    # What formats leave to the user.
    said = {"lang": "en", "split": "train"} if about.free and about.shares is None else {}
    return build_dataset(name, root, out, BuildOptions(**said | options))


def told(report: BuildReport) -> list[tuple[str, str, str, str, str]]:
    """Captions as (item, split, lang, role, text), sorted."""
    splits = {row["item_id"]: row["split"] for row in report.corpus.items.to_pylist()}
    rows = report.corpus.captions.to_pylist()
    return sorted((r["item_id"], splits[r["item_id"]], r["lang"], r["role"], r["text"]) for r in rows)


def texts_in(root: Path) -> list[Path]:
    suffixes = (".txt", ".json", ".jsonl", ".csv")
    return sorted(
        p for p in root.rglob("*") if p.is_file() and (p.suffix in suffixes or p.parent.name == "raw")
    )


def test_a_miniature_that_is_missing_is_told_by_the_name_of_its_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"odd has no miniature\. Write tests/corpus/miniatures/odd\.py"):
        miniature("odd", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_miniature_becomes_the_captions_it_holds(name: str, tmp_path: Path) -> None:
    expected = miniature(name, tmp_path / "in")
    report = built(name, tmp_path / "in", tmp_path / "out")
    assert told(report) == sorted(expected.captions)
    items = report.corpus.items.to_pylist()
    ids = [row["item_id"] for row in items]
    assert len(ids) == len(set(ids))
    assert set(ids) == {caption[0] for caption in expected.captions} | set(expected.silent)
    assert all("://" in (row["path"] or "://") for row in items)
    captions = report.corpus.captions.to_pylist()
    assert len({row["caption_id"] for row in captions}) == len(captions)
    assert built(name, tmp_path / "in", tmp_path / "out").unchanged


@pytest.mark.parametrize("name", NAMES)
def test_every_missing_file_is_named_with_where_it_is_published(name: str, tmp_path: Path) -> None:
    reader, said = datasets.load(name), ""
    (tmp_path / "in").mkdir()
    for test in reader.about.tests or (None,):
        gone = {path for paths in reader.needed(test or "").values() for path in paths}
        # Readers of whatever files there are tell how those are named.
        lacks = f"lacks {len(gone)} files of {name}: " if gone else "holds (no|neither) "
        with pytest.raises(UserError, match=lacks) as caught:
            build_dataset(name, tmp_path / "in", tmp_path / "out", reading=ReadOptions(test=test))
        assert [path for path in gone if path not in str(caught.value)] == []
        said += str(caught.value)
    assert [place for place in reader.about.where.values() if place not in said] == []
    with pytest.raises(UserError, match="Give the folder that holds the files"):
        built(name, tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize("name", NAMES)
def test_byte_order_marks_and_line_ends_of_windows_change_nothing(name: str, tmp_path: Path) -> None:
    expected = miniature(name, tmp_path / "in")
    for path in texts_in(tmp_path / "in"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert told(built(name, tmp_path / "in", tmp_path / "out")) == sorted(expected.captions)


@pytest.mark.parametrize("name", NAMES)
def test_gzipped_files_are_the_same(name: str, tmp_path: Path) -> None:
    expected = miniature(name, tmp_path / "in")
    for path in texts_in(tmp_path / "in"):
        if path.name == "state.json":
            continue
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert told(built(name, tmp_path / "in", tmp_path / "out")) == sorted(expected.captions)


@pytest.mark.parametrize("name", NAMES)
def test_media_are_found_by_name_wherever_they_lie(name: str, tmp_path: Path) -> None:
    miniature(name, tmp_path / "in")
    items = built(name, tmp_path / "in", tmp_path / "out").corpus.items.to_pylist()
    chosen = [row for row in items if row.get("file")][-1:]
    for row in chosen:
        place = tmp_path / "media" / "deep" / Path(row["file"]).name
        place.parent.mkdir(parents=True)
        place.touch()
    if not chosen:
        assert all("://" in row["path"] for row in items)
        return
    again = built(name, tmp_path / "in", tmp_path / "out2", media_root=tmp_path / "media")
    found = {row["item_id"]: row["path"] for row in again.corpus.items.to_pylist()}
    assert found.pop(chosen[0]["item_id"]) == str(place)
    assert [path for path in found.values() if path and "://" not in path] == []


HARM = st.sampled_from(
    ["cut", "drop line", "repeat line", "garble", "bad byte", "empty", "extra column", "null", "swap"]
)


def harmed(data: bytes, harm: str, place: float) -> bytes:
    at = int(place * len(data))
    lines = data.splitlines(keepends=True) or [b""]
    line = min(int(place * len(lines)), len(lines) - 1)
    return {
        "cut": data[:at],
        "drop line": b"".join(lines[:line] + lines[line + 1 :]),
        "repeat line": b"".join(lines[: line + 1] + lines[line:]),
        "garble": data[:at] + b'{"]:,' + data[at:],
        "bad byte": data[:at] + b"\xff" + data[at:],
        "empty": b"",
        "extra column": data[:at] + b"\t, #3#" + data[at:],
        "null": re.sub(rb'"[^"]{1,40}"(?=[,}\]])', b"null", data, count=1 + at % 3),
        "swap": re.sub(rb"[0-9]+", b"[1.5]", data, count=1 + at % 3),
    }[harm]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(which=st.floats(0, 1, exclude_max=True), harm=HARM, place=st.floats(0, 1), collect=st.booleans())
def test_harmed_files_give_a_corpus_or_a_user_error(
    name: str, which: float, harm: str, place: float, collect: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        miniature(name, root / "in")
        files = [path for path in sorted((root / "in").rglob("*")) if path.is_file()]
        file = files[int(which * len(files))]
        file.write_bytes(harmed(file.read_bytes(), harm, place))
        try:
            report = built(name, root / "in", root / "out", reject_file=root / "r" if collect else None)
        except UserError as error:
            assert not (root / "out").exists()
            assert "\n" not in str(error)
        else:
            assert report.captions == len(report.corpus.captions) > 0
            assert collect or not report.rejected
