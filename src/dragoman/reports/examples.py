"""Queries to look at: some that the model answered and some that it missed, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dragoman.reports.queries import Texts
from dragoman.reports.table import part

PER_KIND = 3
SHOWN = 5
FAR = 10
"""A miss is a query whose image is not among the first so many."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One caption and the images it brought up, best first."""

    text: str
    translation: str | None
    item_id: str
    ranks: dict[str, float]
    """Rank of the caption's image by row."""
    gallery: int
    top_ids: list[str]


def draw_examples(table: pa.Table, texts: Texts, seed: int) -> tuple[list[Example], list[Example]]:
    """Hits and misses of the row `direct`, text to image; the draw does not look at the scores otherwise."""
    direct = part(table, texts.language, "direct", "text_to_image")
    rank_Q = direct["rank"].to_numpy()
    random = np.random.default_rng(seed)
    kinds = np.flatnonzero(rank_Q == 1), np.flatnonzero(rank_Q > FAR)
    drawn = [random.permutation(places)[:PER_KIND] for places in kinds]
    ranks = _ranks_by_row(table, texts.language)
    hits, misses = ([_example(direct.slice(int(place), 1), texts, ranks) for place in one] for one in drawn)
    return hits, misses


def _ranks_by_row(table: pa.Table, language: str) -> dict[str, dict[str, float]]:
    found = {}
    for row in dict.fromkeys(table["row"].to_pylist()):
        lines = part(table, language, row, "text_to_image")
        if len(lines):
            found[row] = dict(zip(lines["qid"].to_pylist(), lines["rank"].to_pylist(), strict=True))
    return found


def _example(line: pa.Table, texts: Texts, ranks: dict[str, dict[str, float]]) -> Example:
    (query,) = line.to_pylist()
    place = texts.ids.index(query["qid"])
    return Example(
        text=texts.texts[place],
        translation=None if texts.translations is None else texts.translations[place],
        item_id=query["item_id"],
        ranks={row: by_qid[query["qid"]] for row, by_qid in ranks.items()},
        gallery=query["gallery"],
        top_ids=query["top_ids"][:SHOWN],
    )
