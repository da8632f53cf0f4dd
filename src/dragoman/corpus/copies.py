"""Parts of a corpus that a changed copy of it shares: its items and its feature sets."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dragoman.arrow import pa
from dragoman.corpus.corpus import Corpus
from dragoman.folders import MANIFEST


def items_elsewhere(corpus: Corpus) -> pa.Table:
    """The items, with paths that no longer depend on where the corpus lies."""
    items = corpus.items
    paths = [
        path if path is None or "://" in path else str((corpus.folder / path).resolve())
        for path in items["path"].to_pylist()
    ]
    place = items.schema.get_field_index("path")
    return items.set_column(place, items.schema.field("path"), pa.array(paths, pa.string()))


def copy_features(source: Path, target: Path) -> None:
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
