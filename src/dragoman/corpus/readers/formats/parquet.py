"""Rows of Parquet and of Arrow files, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dragoman.errors import UserError, reason

BATCH = 1024


def parquet_schema(file: Path) -> pa.Schema:
    """Read the columns of a Parquet file."""
    with readable(file):
        return pq.read_schema(file)


def column_names(file: Path) -> list[str]:
    """Read the names of the columns of a Parquet file."""
    names: list[str] = parquet_schema(file).names
    return names


def parquet_rows(
    file: Path, columns: Sequence[str], batch_size: int = BATCH
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield number (from 1) and some columns of each row."""
    number = 0
    with readable(file), pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size, columns=list(columns)):
            for row in batch.to_pylist():
                number += 1
                yield number, row


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn what PyArrow raises for a damaged file into a UserError."""
    try:
        yield
    except UserError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(file, error) from None


def damaged(file: Path, error: Exception) -> UserError:
    """Make the error of a file that cannot be read."""
    return UserError(f"{file} cannot be read ({reason(error)}). Fetch it anew.")
