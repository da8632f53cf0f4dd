"""The format of a corpus folder, for whoever meets one and does not read its tables."""

from __future__ import annotations

from dragoman.folders import Format

CORPUS = Format(
    "dragoman-corpus",
    1,
    "dragoman corpus jsonl captions.jsonl --out {folder}",
    # Feature sets, trust and dictionaries come later, into folders of their own.
    files=("*.parquet",),
    apart=("*/*",),
)
