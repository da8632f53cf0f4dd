"""`report.html`: the report as a person reads it, in one file without any request to elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dragoman.corpus.store import Corpus
from dragoman.folders import write_text
from dragoman.reporting.queries import Texts


def write_page(
    path: Path, report: dict[str, Any], table: pa.Table, corpus: Corpus, texts: Sequence[Texts]
) -> None:
    """Write the page."""
    write_text(path, "")
