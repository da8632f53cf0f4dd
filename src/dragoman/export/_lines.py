"""An export as lines to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dragoman.export.onnx.parity import Agreement


def parity_lines(rows: Sequence[Agreement]) -> Iterator[str]:
    """A table: what was compared, how many, and how well it agrees."""
    width = max(len(row.what) for row in rows)
    yield f"{'compared':{width}}  weights  number  largest diff.  cosine min  cosine mean  same top 10"
    for row in rows:
        top = "-" if row.top10 is None else f"{row.top10:.1%}"
        yield (
            f"{row.what:{width}}  {row.precision:7}  {row.count:6}  {row.largest_difference:13.1e}  "
            f"{row.cosine_min:10.6f}  {row.cosine_mean:11.6f}  {top:>11}"
        )


def size_line(sizes: dict[str, int]) -> str:
    """The files and their sizes in MB."""
    large = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items() if size >= 50_000)
    return f"{sum(sizes.values()) / 1e6:.1f} MB" + (f" ({large})" if large else "")
