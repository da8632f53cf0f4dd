"""What several languages have in common: the same images, and equally many captions of each.

Ranks of two languages may be compared only where both looked for the same images among the same. So images
that one language lacks leave all of them, and of each image as many captions stay as the language with the
fewest has. The k-th caption of an image in one language stands beside its k-th in the others; k counts in the
order of caption ids, or in an order drawn for each language where that of the ids has a meaning of its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dragoman.evaluation.instances import common_ids
from dragoman.evaluation.ranks import Ranks
from dragoman.reports.queries import Texts
from dragoman.reports.rows import DIRECTIONS, Vectors
from dragoman.reports.settings import Slots
from dragoman.reports.table import LISTED, query_table

Rank = Callable[[Vectors, str, int], Iterator[tuple[str, Ranks]]]
"""Vectors, a direction and a depth to rows and their ranks."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """Images and captions that all of `languages` have."""

    languages: list[str]
    slots: list[tuple[str, int]]
    """Item and place among its captions, ascending; each language has exactly one caption of each."""
    places: dict[str, dict[tuple[str, int], int]]
    """Where in its texts each language has the caption of a slot."""
    order: Slots
    undefined: str | None
    """Why there is nothing to compare; null where there is."""
    left_out: dict[str, dict[str, int]]
    """Images and captions of each language that are not common."""

    @property
    def items(self) -> list[str]:
        """Ascending."""
        return list(dict.fromkeys(item for item, _ in self.slots))

    def describe(self) -> dict[str, Any]:
        """What stands in the report."""
        return {
            "languages": self.languages,
            "undefined": self.undefined,
            "items": len(self.items),
            "captions": len(self.slots),
            "left_out": self.left_out,
            "captions_aligned_by": self.order,
            "captions_translate_each_other": "unknown",
        }


def find_common(texts: Sequence[Texts], order: Slots, seed: int) -> Common:
    """What the captions of these languages have in common; `seed` is that of the order `drawn`."""
    places = {one.language: _places(one, order, seed) for one in texts}
    slots = common_ids(places)
    items = {item for item, _ in slots}
    return Common(
        languages=list(places),
        slots=slots,
        places=places,
        order=order,
        undefined=_undefined(texts, slots),
        left_out={
            one.language: {"items": len(set(one.items) - items), "captions": len(one) - len(slots)}
            for one in texts
        },
    )


def _places(texts: Texts, order: Slots, seed: int) -> dict[tuple[str, int], int]:
    if order == "position":
        return {key: place for place, key in enumerate(zip(texts.items, texts.slots, strict=True))}
    # A hash of the id: the same draw wherever the caption stands, and whatever else is evaluated.
    drawn = [hashlib.sha256(f"{seed} {one}".encode()).digest() for one in texts.ids]
    seen: Counter[str] = Counter()
    places = {}
    for place in sorted(range(len(texts)), key=drawn.__getitem__):
        item = texts.items[place]
        places[item, seen[item]] = place
        seen[item] += 1
    return places


def _undefined(texts: Sequence[Texts], slots: Sequence[object]) -> str | None:
    names = ", ".join(one.language for one in texts)
    if len(texts) < 2:
        return f"{names} is the only language; ranks of two or more can be compared"
    if not slots:
        counts = ", ".join(f"{one.language} {len(set(one.items))}" for one in texts)
        return f"{names} have no image in common (captioned images: {counts}); choose with --consistency"
    return None


def common_tables(
    common: Common, texts: Texts, vectors: Vectors, rank: Rank, **same: Any
) -> Iterator[pa.Table]:
    """The common captions and images of one language, ranked against one another only.

    As `query_table` gives them, but that images list images: those of the best captions, each once. `same`
    are the columns that are equal in all lines.
    """
    items, at = common.items, [common.places[texts.language][key] for key in common.slots]
    image_place = {item: at for at, item in enumerate(vectors.image_ids)}
    chosen = vectors.only([image_place[item] for item in items], at)
    # Both galleries stand in the order of the images' ids, so equal scores do too, in every language.
    depth = {"text_to_image": LISTED, "image_to_text": LISTED * (1 + max(slot for _, slot in common.slots))}
    for direction in DIRECTIONS:
        by_text = direction == "text_to_image"
        for row, ranks in rank(chosen, direction, depth[direction]):
            yield query_table(
                ranks if by_text else _first_of_each_item(ranks, chosen.text_items, len(items)),
                qids=[texts.ids[one] for one in at] if by_text else items,
                items=chosen.text_items if by_text else items,
                slots=[slot for _, slot in common.slots] if by_text else None,
                gallery_ids=items if by_text else chosen.text_items,
                language=texts.language,
                row=row,
                direction=direction,
                **same,
            )


def _first_of_each_item(ranks: Ranks, gallery_items: Sequence[str], items: int) -> Ranks:
    """The listed captions without those whose image is listed already."""
    number_G = np.unique(np.array(gallery_items, dtype=object), return_inverse=True)[1]
    listed = min(LISTED, items)
    kept_QL = np.stack([_first_places(number_G[top_K])[:listed] for top_K in ranks.top_index])
    return replace(
        ranks,
        top_index=np.take_along_axis(ranks.top_index, kept_QL, axis=1),
        top_score=np.take_along_axis(ranks.top_score, kept_QL, axis=1),
    )


def _first_places(numbers_K: NDArray[np.int64]) -> NDArray[np.int64]:
    first: NDArray[np.int64] = np.sort(np.unique(numbers_K, return_index=True)[1])
    return first
