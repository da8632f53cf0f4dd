"""Answers as tables (CSV, RFC 4180), for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from dragoman.service.negotiation import accepts
from dragoman.sheets import guarded

MEDIA_TYPE = "text/csv"
FIRST = ("rank", "item_id", "kind", "relevance", "score")


def wants_table(request: Request) -> bool:
    """Tell if a request asks for a table instead of JSON."""
    return accepts(request.headers.get("accept", ""), MEDIA_TYPE)


def table(items: Sequence[Mapping[str, Any]]) -> Response:
    """Write items or hits, as answers have them, one a row: rank, texts by language, metadata by field."""
    rows = [_row(rank, item) for rank, item in enumerate(items, 1)]
    names = dict.fromkeys(name for row in rows for name in row)
    content = io.StringIO()
    # The mark by which spreadsheets know UTF-8.
    content.write("\ufeff")
    writer = csv.DictWriter(content, sorted(names, key=_place), restval="")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    headers = {"content-disposition": 'attachment; filename="results.csv"'}
    return Response(content.getvalue(), media_type=MEDIA_TYPE, headers=headers)


def _row(rank: int, item: Mapping[str, Any]) -> dict[str, Any]:
    found = {"rank": rank} | {name: item[name] for name in FIRST if item.get(name) is not None}
    for lang, text in item["captions"].items():
        role = item["caption_roles"][lang]
        name = f"caption {lang}" if role == "human" else f"caption {lang} (machine)"
        # Of a text that is the item itself, whatever else is said of it in its language.
        name = f"text {lang}" if lang == item["lang"] else name
        found[name] = "\n".join([text, *item["more_captions"].get(lang, ())])
    found |= {f"metadata {name}": value for name, value in item["metadata"].items()}
    return found if item["media"] is None else found | {"media": item["media"]}


def _place(name: str) -> tuple[int, str]:
    """Sort columns: rank and id, captions, metadata, the address of the original."""
    begins = [*FIRST, "text ", "caption ", "metadata ", "media"]
    return next(at for at, begin in enumerate(begins) if name.startswith(begin)), name


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return _cell("; ".join(map(str, value)))
    return guarded(value)
