"""A copy of a corpus with other captions: its items and its feature sets stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.arrow import pa, pq
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.format import CORPUS
from dragoman.folders import MANIFEST, atomic_path, details_of


def write_copy(corpus: Corpus, folder: Path, tables: Mapping[str, pa.Table], **details: Any) -> None:
    """Write a corpus with its items and feature sets, and other `tables` by name, `captions` among them;
    `details` stand in the manifest beside those of the corpus."""
    _copy_features(corpus.folder, folder)
    for name, table in ({"items": _items_elsewhere(corpus)} | dict(tables)).items():
        with atomic_path(folder / f"{name}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
    CORPUS.write(folder, inputs=corpus.fingerprint(), **details_of(corpus.manifest) | details)


def _items_elsewhere(corpus: Corpus) -> pa.Table:
    """The items, with paths that no longer depend on where the corpus lies."""
    items = corpus.items
    paths = [
        path if path is None or "://" in path else str((corpus.folder / path).resolve())
        for path in items["path"].to_pylist()
    ]
    place = items.schema.get_field_index("path")
    return items.set_column(place, items.schema.field("path"), pa.array(paths, pa.string()))


def _copy_features(source: Path, target: Path) -> None:
    """Copy complete feature sets, as hard links where the file system can: writers replace files, never
    edit."""
    for manifest in sorted(source.glob(f"features/*/{MANIFEST}")):
        for file in sorted(path for path in manifest.parent.iterdir() if path.is_file()):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, copy)
            except OSError:
                shutil.copy2(file, copy)
