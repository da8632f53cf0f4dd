"""Translations and failures remembered by content, shared by all projects of a user."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from dragoman.databases import explained
from dragoman.errors import REFUSED, UserError
from dragoman.translation.engine import Engine, Outcome, Rejected

log = logging.getLogger(__name__)

FORMAT_VERSION = 2
"""1 has no checksums."""
_TABLES = """
CREATE TABLE IF NOT EXISTS engines (
  id INTEGER PRIMARY KEY, name TEXT, version TEXT, source TEXT, target TEXT,
  UNIQUE (name, version, source, target)
);
CREATE TABLE IF NOT EXISTS lines (
  engine INTEGER, sha256 BLOB, text TEXT NOT NULL, translation TEXT, reason TEXT, crc INTEGER,
  PRIMARY KEY (engine, sha256)
) WITHOUT ROWID;
"""
# Without row ids a table is its key's index, and a line is found by one descent instead of two.


def default_cache_folder() -> Path:
    """`$DRAGOMAN_HOME/translations`, or `dragoman/translations` in the XDG cache folder."""
    home = os.environ.get("DRAGOMAN_HOME")
    if home:
        return Path(home) / "translations"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "dragoman" / "translations"


class Cache:
    """Outcomes of one engine for one language pair; key: text, pair, engine and engine version.

    One SQLite file serves all projects and several processes at once. `store` is one transaction: a kill
    loses at most what it was about to write.
    """

    def __init__(self, folder: Path, engine: Engine, source: str, target: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            said = f"The translation cache {folder} cannot be made ({error.strerror})."
            raise UserError(f"{said} Give another folder: --cache DIR") from None
        self.path = folder / "translations.sqlite"
        with _explained(self.path):
            # No isolation level: transactions begin and end where this file says so, not where Python does.
            self._database = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            _prepare(self._database, self.path)
            key = (engine.name, engine.version, source, target)
            self._database.execute(
                "INSERT OR IGNORE INTO engines (name, version, source, target) VALUES (?, ?, ?, ?)", key
            )
            found = self._database.execute(
                "SELECT id FROM engines WHERE (name, version, source, target) = (?, ?, ?, ?)", key
            ).fetchone()
        self._engine: int = found[0]

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def find(self, texts: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
        """The texts that are known, each with its translation or the reason of its failure.

        What is not as it was stored is passed over with a warning, as if it were not known.
        """
        query = "SELECT text, translation, reason, crc FROM lines WHERE engine = ? AND sha256 = ?"
        damaged = 0
        with _explained(self.path):
            for text in texts:
                row = self._database.execute(query, (self._engine, _key(text))).fetchone()
                if row is None:
                    continue
                known, translation, reason, crc = row
                if crc not in (None, _crc_of(self._engine, known, translation, reason)) or known != text:
                    damaged += 1
                    continue
                yield text, Rejected(reason) if translation is None else translation
        if damaged:
            log.warning("%s: %d damaged translations are made anew", self.path, damaged)

    def store(self, outcomes: Mapping[str, Outcome]) -> None:
        """Remember outcomes, all or none."""
        rows = [
            (self._engine, _key(text), text, *told, _crc_of(self._engine, text, *told))
            for text, outcome in outcomes.items()
            for told in [(None, outcome.reason) if isinstance(outcome, Rejected) else (outcome, None)]
        ]
        with _explained(self.path):
            # The lock for writing at once: two that begin as readers cannot both go on to write, and one of
            # them would fail without waiting.
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?, ?)", rows)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def any_translated(self) -> str | None:
        """Some text that this engine has translated, or None."""
        query = "SELECT text FROM lines WHERE engine = ? AND translation IS NOT NULL LIMIT 1"
        row = self._database.execute(query, (self._engine,)).fetchone()
        return row[0] if row else None


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _crc_of(*columns: object) -> int:
    return zlib.crc32(repr(columns).encode("utf-8", "surrogatepass"))


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}, but this dragoman reads up to {FORMAT_VERSION}. "
            "Upgrade it (pip install --upgrade dragoman) or give another folder: --cache DIR"
        )
    # With a write-ahead log, readers do not wait for a writer. Asked first, for setting it takes a lock.
    if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        database.execute("PRAGMA journal_mode = WAL")
    # A loss of power may cost the last batches, but damages nothing.
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(_TABLES)
    if version == 1:
        _add_checksums(database)
    database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _add_checksums(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    # Another process may have done it meanwhile.
    if database.execute("PRAGMA user_version").fetchone()[0] == 1:
        database.execute("ALTER TABLE lines ADD COLUMN crc INTEGER")
        database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    database.execute("COMMIT")


def _explained(path: Path) -> AbstractContextManager[None]:
    return explained(
        path,
        "The translation cache",
        unusable="Give another folder: --cache DIR",
        damaged="Delete the file, or give another folder: --cache DIR",
    )
