"""Queries to look at: answered ones, missed ones, and those on which languages disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dragoman.arrow import pa
from dragoman.reports.consistency import joined_part
from dragoman.reports.measure import part
from dragoman.reports.queries import QueryTexts

PER_KIND = 3
HITS = 5
DISAGREEMENTS = 6
FAR = 10
"""A miss is a query whose image is not among the first so many."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A caption and the images it brought up, best first."""

    text: str
    translation: str | None
    item_id: str
    ranks: dict[str, float]
    """Rank of the caption's image by row."""
    gallery: int
    top_ids: list[str]


def draw_examples(table: pa.Table, texts: QueryTexts, seed: int) -> tuple[list[Example], list[Example]]:
    """Draw hits and misses of the row `direct`, text to image, without a look at the scores otherwise."""
    direct = part(table, texts.language, "direct", "text_to_image")
    rank_Q = direct["rank"].to_numpy()
    random = np.random.default_rng(seed)
    kinds = np.flatnonzero(rank_Q == 1), np.flatnonzero(rank_Q > FAR)
    # Drawn, as the best and the worst would be no picture of the rest.
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


def _example(line: pa.Table, texts: QueryTexts, ranks: dict[str, dict[str, float]]) -> Example:
    (query,) = line.to_pylist()
    place = texts.ids.index(query["qid"])
    return Example(
        text=texts.texts[place],
        translation=None if texts.translations is None else texts.translations[place],
        item_id=query["item_id"],
        ranks={row: by_qid[query["qid"]] for row, by_qid in ranks.items()},
        gallery=query["gallery"],
        top_ids=query["top_ids"][:HITS],
    )


@dataclass(frozen=True, kw_only=True)
class AskedCaption:
    """A caption of the picture, and what it brought up."""

    language: str
    text: str
    rank: float
    """Rank of the picture, asked by the caption."""
    rank_back: float
    """Rank of the best caption in this language, asked by the picture."""
    first_id: str
    """The picture that ranks first instead, or this one."""


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Captions of one picture that stand beside each other, the best rank first."""

    item_id: str
    std: float
    """Population standard deviation of `rank` over languages."""
    gallery: int
    asked: list[AskedCaption]


def find_disagreements(
    table: pa.Table, languages: list[str], row: str, texts: Mapping[str, Mapping[str, str]]
) -> list[Disagreement]:
    """Find the pictures of largest `std`, text to image, each with its captions that differ most.

    texts: language to caption id to caption.
    """
    joined = joined_part(table, languages, row, "text_to_image")
    std_N = joined.ranks.std(axis=1)
    chosen: dict[str, int] = {}
    for place in np.argsort(-std_N, kind="stable").tolist():
        if len(chosen) < DISAGREEMENTS and std_N[place] > 0:
            chosen.setdefault(joined.ids[place][0], place)
    wanted = {joined.ids[place] for place in chosen.values()}
    asked: dict[tuple[str, int], list[AskedCaption]] = {}
    for language in languages:
        back = part(table, language, row, "image_to_text").select(["item_id", "rank"]).to_pydict()
        rank_back = dict(zip(back["item_id"], back["rank"], strict=True))
        columns = ["qid", "item_id", "slot", "rank", "top_ids"]
        for line in part(table, language, row, "text_to_image").select(columns).to_pylist():
            if (key := (line["item_id"], line["slot"])) in wanted:
                asked.setdefault(key, []).append(
                    AskedCaption(
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
