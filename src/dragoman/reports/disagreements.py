"""The pictures on which languages disagree most: found at once from one language, far down from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dragoman.reports.consistency import joined_part
from dragoman.reports.table import part

SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One caption of the picture, and what came of it."""

    language: str
    text: str
    rank: float
    """Of the picture, asked by the caption."""
    rank_back: float
    """Of the best caption in this language, asked by the picture."""
    first_id: str
    """The picture that ranks first instead, or this one."""


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Captions of one picture that stand beside each other, the best rank first."""

    item_id: str
    std: float
    """Population standard deviation of `rank` over languages."""
    gallery: int
    asked: list[Asked]


def find_disagreements(
    table: pa.Table, languages: list[str], row: str, texts: Mapping[str, Mapping[str, str]]
) -> list[Disagreement]:
    """The pictures of largest `std`, text to image, each with the captions that differ most; none agrees.

    texts: language to caption id to caption.
    """
    joined = joined_part(table, languages, row, "text_to_image")
    std_N = joined.ranks.std(axis=1)
    chosen: dict[str, int] = {}
    for place in np.argsort(-std_N, kind="stable").tolist():
        if len(chosen) < SHOWN and std_N[place] > 0:
            chosen.setdefault(joined.ids[place][0], place)
    wanted = {joined.ids[place] for place in chosen.values()}
    asked: dict[tuple[str, int], list[Asked]] = {}
    for language in languages:
        back = part(table, language, row, "image_to_text").select(["item_id", "rank"]).to_pydict()
        rank_back = dict(zip(back["item_id"], back["rank"], strict=True))
        columns = ["qid", "item_id", "slot", "rank", "top_ids"]
        for line in part(table, language, row, "text_to_image").select(columns).to_pylist():
            if (key := (line["item_id"], line["slot"])) in wanted:
                asked.setdefault(key, []).append(
                    Asked(
                        language=language,
                        text=texts[language][line["qid"]],
                        rank=line["rank"],
                        rank_back=rank_back[line["item_id"]],
                        first_id=line["top_ids"][0],
                    )
                )
    return [
        Disagreement(
            item_id=item_id,
            std=float(std_N[place]),
            gallery=joined.gallery,
            asked=sorted(asked[joined.ids[place]], key=lambda one: one.rank),
        )
        for item_id, place in chosen.items()
    ]
