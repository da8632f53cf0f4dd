"""Manifests, what differs between two pieces of work, and work that goes on in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import UserError
from dragoman.folders import (
    Format,
    details_of,
    differences,
    files_of,
    remove_torn,
    resume,
    sole_writer,
    write_json,
)

BOOK = Format("dragoman-book", 2, "dragoman print --out {folder}")
FIX = "Use ink."


def test_a_manifest_says_what_was_written(tmp_path: Path) -> None:
    BOOK.write(tmp_path, inputs={"paper": "abc"}, seed=3, pages=7)
    manifest = BOOK.read(tmp_path)
    assert [manifest[name] for name in ("format", "format_version", "inputs", "seed")] == [
        "dragoman-book",
        2,
        {"paper": "abc"},
        3,
    ]
    assert list(manifest)[-1] == "pages"
    assert details_of(manifest) == {"pages": 7}


def test_a_manifest_answers_for_all_but_unfinished_work_and_folders_with_one_of_their_own(
    tmp_path: Path,
) -> None:
    files = ["b.txt", "a/c.txt", "a/d.txt", "a.txt", ".lock", ".e.txt.1a2b.tmp", ".f/g.txt", "own/h.txt"]
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for folder in (tmp_path, tmp_path / "own"):
        BOOK.write(folder, inputs={})
    found = [path.relative_to(tmp_path).as_posix() for path in files_of(tmp_path)]
    assert found == ["a/c.txt", "a/d.txt", "a.txt", "b.txt", "manifest.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"has no manifest\.json, so it is no complete book folder\. Make one: dragoman print --out "),
        ("{", r"manifest\.json is damaged .* make it anew: dragoman print --out "),
        ('{"format": "dragoman-book"}', r"manifest\.json is damaged \(KeyError\('format_version'\)\)"),
        ('{"format": "dragoman-film", "format_version": 1}', "holds a dragoman-film, but a dragoman-book"),
        ('{"format": "dragoman-book", "format_version": 3}', "has format version 3, .* reads up to 2"),
    ],
)
def test_a_folder_of_another_kind_is_not_read(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=message):
        BOOK.read(tmp_path)


def test_an_older_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "dragoman-book", "format_version": 1}')
    assert BOOK.read(tmp_path)["format_version"] == 1


@pytest.mark.parametrize(
    ("stored", "now", "found"),
    [
        ({}, {}, []),
        ({"config": {"a": 1, "b": [1, 2]}}, {"config": {"a": 1, "b": (1, 2)}}, []),
        ({"config": {"path": "/x"}}, {"config": {"path": Path("/x")}}, []),
        (
            {"config": {"loss": {"margin": 0.2}, "seed": 1}},
            {"config": {"loss": {"margin": 0.1}, "seed": 2}},
            ["loss.margin=0.2 there, 0.1 now", "seed=1 there, 2 now"],
        ),
        (
            {"config": {"a": 1}},
            {"config": {"b": None, "c": 3}},
            ["a=1 there, None now", "c=None there, 3 now"],
        ),
        ({"corpus": {"items": "a" * 64}}, {"corpus": {"items": "b" * 64}}, ["corpus"]),
        ({"config": {"a": 1}}, {"config": {"a": 1}, "init": {"model": "x"}}, ["init"]),
        ({"config": {"a": 1}, "init": {"model": "x"}}, {"config": {"a": 1}}, ["init"]),
        ({"seed": 1}, {"seed": 2}, ["seed=1 there, 2 now"]),
        ({"corpus": "a" * 64, "seed": 1}, {"corpus": "b" * 64, "seed": 2}, ["corpus", "seed=1 there, 2 now"]),
    ],
)
def test_what_differs_is_said(stored: dict[str, Any], now: dict[str, Any], found: list[str]) -> None:
    assert differences(stored, now) == found


def test_work_in_its_place_goes_on(tmp_path: Path) -> None:
    same, other = {"config": {"seed": 1}}, {"config": {"seed": 2}}
    with resume(tmp_path, BOOK, same, note="config.json", fix=FIX) as work:
        assert work.done is None
        with pytest.raises(UserError, match="is being written by another"), sole_writer(tmp_path):
            pass
        write_json(work.folder / "config.json", same)
    with (
        pytest.raises(UserError, match=r"holds another book; it differs in seed=1 there, 2 now\. Use ink\."),
        resume(tmp_path, BOOK, other, note="config.json", fix=FIX),
    ):
        pass
    with resume(tmp_path, BOOK, same, note="config.json", fix=FIX) as work:
        assert work.done is None
        BOOK.write(tmp_path, inputs={}, pages=7)
    with resume(tmp_path, BOOK, same, note="config.json", fix=FIX) as work, sole_writer(tmp_path):
        assert work.done is not None
        assert work.done["pages"] == 7


def test_without_a_note_the_manifest_tells(tmp_path: Path) -> None:
    with resume(tmp_path, BOOK, {"world": {"seed": 1}}, fix=FIX) as work:
        BOOK.write(work.folder, inputs={}, world={"seed": 1})
    with resume(tmp_path, BOOK, {"world": {"seed": 1}}, fix=FIX) as work:
        assert work.done is not None
    with (
        pytest.raises(UserError, match="differs in seed=1 there, 3 now"),
        resume(tmp_path, BOOK, {"world": {"seed": 3}}, fix=FIX),
    ):
        pass


def test_torn_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / ".vectors.npy.0a1b2c3d.tmp").touch()
    (tmp_path / "kept.tmp").touch()
    remove_torn(tmp_path)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["kept.tmp", "part"]


def test_names_that_are_no_unicode_can_be_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "caf\udce9"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"name": "caf\udce9"}
