"""The cache of translations."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from translation_world import UpperEngine

from dragoman.errors import UserError
from dragoman.translation.cache import Cache, default_cache_folder
from dragoman.translation.engine import Engine, Rejected


def cache(folder: Path, engine: Engine | None = None, source: str = "en", target: str = "pt") -> Cache:
    return Cache(folder, engine or UpperEngine(), source, target)


def test_what_was_stored_is_found_again_with_failures_and_their_reasons(tmp_path: Path) -> None:
    with cache(tmp_path) as first:
        first.store({"a dog": "um cão", "a cat": Rejected("it crashed")})
    with cache(tmp_path) as second:
        assert dict(second.find(["a dog", "a bird", "a cat"])) == {
            "a dog": "um cão",
            "a cat": Rejected("it crashed"),
        }
        assert second.any_translated() == "a dog"


@pytest.mark.parametrize(
    "other",
    [
        {"engine": UpperEngine(version="2")},
        {"engine": UpperEngine(name="fake:other")},
        {"target": "gl"},
        {"source": "fr"},
    ],
    ids=["version", "engine", "target", "source"],
)
def test_another_engine_version_or_pair_shares_nothing(tmp_path: Path, other: dict[str, object]) -> None:
    with cache(tmp_path) as first:
        first.store({"a dog": "um cão"})
    with cache(tmp_path, **other) as second:  # type: ignore[arg-type]
        assert dict(second.find(["a dog"])) == {}
        assert second.any_translated() is None
        second.store({"a dog": "other"})
    with cache(tmp_path) as first:
        assert dict(first.find(["a dog"])) == {"a dog": "um cão"}


def test_a_later_outcome_replaces_an_earlier_one(tmp_path: Path) -> None:
    with cache(tmp_path) as opened:
        opened.store({"a": Rejected("late")})
        opened.store({"a": "A"})
        assert dict(opened.find(["a"])) == {"a": "A"}


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    with cache(tmp_path) as opened:
        with pytest.raises(UnicodeEncodeError, match="surrogates"):
            opened.store({"a": "A", "b": "\ud800"})
        assert dict(opened.find(["a", "b"])) == {}
        opened.store({"c": "C"})
        assert dict(opened.find(["c"])) == {"c": "C"}


def test_a_full_disk_is_reported_as_one_and_keeps_what_was_stored(tmp_path: Path) -> None:
    with cache(tmp_path) as opened:
        opened.store({"a": "A"})
        pages = opened._database.execute("PRAGMA page_count").fetchone()[0]
        opened._database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match="no space left"):
            opened.store({f"line {i}": "x" * 1000 for i in range(100)})
        assert dict(opened.find(["a", "line 0"])) == {"a": "A"}


@pytest.mark.skipif(os.name == "nt", reason="limits of files are of Unix")
def test_a_disk_on_which_not_even_the_cache_can_be_made_is_full(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        # SQLite says of it that there was an error of the disk.
        with pytest.raises(OSError, match="no space left"):
            cache(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with cache(tmp_path) as opened:
        opened.store({"a": "A"})


@pytest.mark.parametrize(
    "change", ["translation = 'um gato'", "reason = 'late', translation = NULL", "text = 'a dig'", "crc = 1"]
)
def test_a_line_that_is_not_as_it_was_stored_is_not_known(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    with cache(tmp_path) as opened:
        opened.store({"a dog": "um cão", "a cat": "um gato"})
        opened._database.execute(f"UPDATE lines SET {change} WHERE text = 'a dog'")
        assert dict(opened.find(["a dog", "a cat"])) == {"a cat": "um gato"}
        assert "1 damaged translations are made anew" in caplog.text
        opened.store({"a dog": "um cão"})
        assert dict(opened.find(["a dog"])) == {"a dog": "um cão"}


def test_a_cache_of_before_there_were_checksums_is_read_and_gets_them(tmp_path: Path) -> None:
    with cache(tmp_path) as opened:
        opened.store({"a dog": "um cão"})
        opened._database.execute("ALTER TABLE lines DROP COLUMN crc")
        opened._database.execute("PRAGMA user_version = 1")
    with cache(tmp_path) as opened, cache(tmp_path) as other:
        assert dict(other.find(["a dog"])) == {"a dog": "um cão"}
        opened.store({"a cat": "um gato"})
        crcs = dict(other._database.execute("SELECT text, crc IS NULL FROM lines").fetchall())
        assert crcs == {"a dog": 1, "a cat": 0}


def test_a_file_that_is_no_cache_names_the_fix(tmp_path: Path) -> None:
    (tmp_path / "translations.sqlite").write_bytes(b"no database at all " * 100)
    with pytest.raises(UserError, match=r"translations\.sqlite is damaged .* --cache DIR"):
        cache(tmp_path)


def test_a_cache_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "translations.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="format version 99, but this dragoman reads up to 2"):
        cache(tmp_path)
    assert path.read_bytes() == before


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGOMAN_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_cache_folder() == Path("/home/ada/.cache/dragoman/translations")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert default_cache_folder() == Path("/fast/dragoman/translations")
    monkeypatch.setenv("DRAGOMAN_HOME", "/dragoman")
    assert default_cache_folder() == Path("/dragoman/translations")
