"""The corpus folder: `items.parquet`, `captions.parquet`, `features/<name>/`, `manifest.json`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.folders import Format, atomic_path, details_of, sha256

CORPUS = Format("dragoman-corpus", 1, "dragoman corpus jsonl captions.jsonl --out {folder}")

ITEMS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("path", pa.string()),
        pa.field("split", pa.string(), nullable=False),
    ]
)
"""Further columns of items are metadata, kept for filters."""

CAPTIONS = pa.schema(
    [
        pa.field("caption_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("engine", pa.string()),
        pa.field("trust", pa.float32()),
    ]
)


class Corpus:
    """A corpus on disk, read lazily. Tables are PyArrow; writers replace whole files atomically."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Open a corpus folder. Raises UserError if it is missing, damaged or of a newer format."""
        path = Path(folder)
        return cls(path, CORPUS.read(path))

    @cached_property
    def items(self) -> pa.Table:
        """`item_id, kind, path, split`, then metadata columns; one row an item, in corpus order."""
        return pq.read_table(self.folder / "items.parquet")

    @cached_property
    def captions(self) -> pa.Table:
        """The columns of `CAPTIONS`; one row a caption."""
        return pq.read_table(self.folder / "captions.parquet")

    def replace_captions(self, captions: pa.Table, **details: Any) -> None:
        """Replace the captions atomically and note `details` in the manifest. Hold `sole_writer` for it."""
        with atomic_path(self.folder / "captions.parquet") as temporary:
            pq.write_table(captions, temporary, compression="zstd")
        self.__dict__.pop("captions", None)
        kept = details_of(self.manifest) | details
        CORPUS.write(self.folder, inputs=self.manifest["inputs"], **kept)

    def media_path(self, path: str) -> str:
        """Where an item's file is: relative paths are relative to the corpus folder; URIs pass through."""
        if "://" in path:
            return path
        return str(self.folder / path)

    @property
    def feature_names(self) -> list[str]:
        """Names of the complete feature sets."""
        return sorted(manifest.parent.name for manifest in self.folder.glob("features/*/manifest.json"))

    def features(self, name: str) -> FeatureSet:
        """The feature set `name`. Raises UserError that lists the known ones."""
        if name not in self.feature_names:
            known = ", ".join(self.feature_names) or "none"
            raise UserError(
                f"{self.folder} has no feature set {name!r} (known: {known}). "
                f"Make one: dragoman features {self.folder} --encoder FOLDER --name {name}"
            )
        return FeatureSet.open(self.folder / "features" / name)

    def features_of(self, tower: Mapping[str, Any] | None) -> str | None:
        """The name of a feature set that a vision tower made, by the `fingerprint` it has; None for none."""
        for name in self.feature_names:
            made_by = FeatureSet.open(self.folder / "features" / name).manifest.get("encoder")
            if tower and isinstance(made_by, dict) and made_by.get("fingerprint") == tower["fingerprint"]:
                return name
        return None

    def fingerprint(self) -> dict[str, str]:
        """Content hashes of both tables, for the manifests of what is made from them."""
        return {name: sha256(self.folder / name) for name in ("items.parquet", "captions.parquet")}


def write_corpus_manifest(folder: Path, *, inputs: Mapping[str, str], **details: Any) -> None:
    """Mark a corpus folder as complete."""
    CORPUS.write(folder, inputs=inputs, **details)
