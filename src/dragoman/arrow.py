"""PyArrow, in whose tables corpora and reports are kept: an extra, told of by name where it is missing.

What serves and searches has no such tables: PyArrow would be a third of its installation.
"""

from __future__ import annotations

from dragoman.errors import MissingExtraError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise MissingExtraError("pyarrow", "corpus", "Work with a corpus or a report") from None

__all__ = ["pa", "pc", "pq"]
