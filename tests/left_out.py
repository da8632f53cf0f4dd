"""Corpora that lack vectors of some items, and the same corpora built without these items."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from checksums import without_checksums
from dragoman.corpus.features import FeatureSet, write_features


def lacking_vectors(corpus: Path, out: Path, *items: str, features: str = "toy") -> Path:
    """Copy a corpus, but for the vectors of these items."""
    shutil.copytree(corpus, out)
    found = FeatureSet.open(out / "features" / features)
    kept = [row for row, item_id in enumerate(found.ids) if item_id not in items]
    vectors, ids = np.array(found.whole(np.array(kept))), [found.ids[row] for row in kept]
    write_features(found.folder, ids, vectors, inputs=found.manifest["inputs"])
    return out


def lacking_items(corpus: Path, out: Path, *items: str, features: str = "toy") -> Path:
    """Copy a corpus, but for these items, their captions and their vectors."""
    lacking_vectors(corpus, out, *items, features=features)
    for name in ("items", "captions"):
        table = pq.read_table(out / f"{name}.parquet")
        kept = [item_id not in items for item_id in table["item_id"].to_pylist()]
        pq.write_table(table.filter(kept), out / f"{name}.parquet")
    without_checksums(out)
    return out
