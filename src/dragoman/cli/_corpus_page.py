"""The lines of `dragoman corpus show`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import bidirectional

if TYPE_CHECKING:
    from dragoman.corpus.summary import CorpusSummary


def page(found: CorpusSummary) -> str:
    """Tables of captions, items and features, and samples; aligned with spaces."""
    sections = [_captions(found), _items(found), _samples(found)]
    return "\n\n".join(section for section in sections if section)


def _captions(found: CorpusSummary) -> str:
    splits = list(found.items)
    rows = [["lang", "role", "engine", *splits, "total"]]
    for count in found.captions:
        numbers = [*count.splits.values(), sum(count.splits.values())]
        rows.append([count.lang, count.role, count.engine or "-", *(f"{n:,}" if n else "-" for n in numbers)])
    totals = [sum(count.splits[split] for count in found.captions) for split in splits]
    rows.append(["captions", "", "", *(f"{n:,}" for n in [*totals, sum(totals)])])
    items = list(found.items.values())
    rows.append(["items", "", "", *(f"{n:,}" for n in [*items, sum(items)])])
    return _table(rows, left=3)


def _items(found: CorpusSummary) -> str:
    words = {
        "present": "with a file",
        "missing": "whose file is missing",
        "remote": "with a URI",
        "none": "without path",
        "text": "that are texts",
    }
    files = ", ".join(f"{count:,} {words[key]}" for key, count in found.files.items() if count)
    columns = ["width", "items"]
    columns += ["frames"] if any("frames" in sizes for sizes in found.features.values()) else []
    features = [["features", *columns]]
    for name, sizes in found.features.items():
        features.append([name, *(f"{sizes[c]:,}" if c in sizes else "-" for c in columns)])
    lines = f"items: {files}" if files else "items: none"
    return f"{lines}\n\n{_table(features, left=1)}" if found.features else f"{lines}\nfeatures: none"


def _samples(found: CorpusSummary) -> str:
    rows = [[s.lang, s.role, s.caption_id, _isolated(s.text)] for s in found.samples]
    return _table(rows, left=4) if rows else ""


def _isolated(text: str) -> str:
    """Text between direction isolates (U+2068, U+2069) where it is written from right to left."""
    rightward = not any(bidirectional(character) in ("R", "AL") for character in text)
    return text if rightward else f"\u2068{text}\u2069"


def _table(rows: list[list[str]], left: int) -> str:
    """Rows as aligned columns; the first `left` columns are flush left, numbers flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
