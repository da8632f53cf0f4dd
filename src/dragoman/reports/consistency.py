"""Consistency across languages: what they have in common, and how far they agree on it.

Ranks of two languages may be compared only where both looked for the same images among the same. So images
that one language lacks leave all of them, and of each image as many captions stay as the language with the
fewest has. The k-th caption of an image in one language stands beside its k-th in the others; k counts in the
order of caption ids, or in an order drawn for each language where that of the ids has a meaning of its own.

N instances, K languages, R resamples, Q queries, G gallery entries, L listed hits.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.arrow import pa
from dragoman.evaluation.consistency import (
    CUTOFFS,
    Joined,
    Ranked,
    common_ids,
    instance_values,
    join_ranks,
    spread,
)
from dragoman.evaluation.metrics import RECALLS, mean_recall, sum_r, summarise
from dragoman.evaluation.ranks import Ranks
from dragoman.evaluation.significance import bootstrap_means, bootstrap_medians
from dragoman.reports.measure import LISTED, Measured, part, query_table, ranks_of
from dragoman.reports.queries import QueryTexts
from dragoman.reports.rows import DIRECTIONS, Vectors
from dragoman.reports.settings import Slots

CONSISTENCY_DEFINITIONS = {
    "mrv_var": "mean over instances of the variance of their ranks over languages, population form",
    "mrv_std": "mean over instances of the standard deviation of their ranks over languages",
    "mrv_*_clipped, mrv_*_log": "the same of min(rank, 11), and of the natural logarithm of the rank",
    "median_std": "median over instances of the standard deviation of their ranks",
    "overlap@K, jaccard@K": "images that two languages both list among their first K, over K, and over those "
    "that either lists; mean over instances and pairs of languages",
    "consistency": "over the images and captions that all compared languages have, ranked among these alone; "
    "an instance is a caption's place (text_to_image) or an image (image_to_text)",
}


def measure_consistency(
    table: pa.Table | None, common: Common, rows: Iterable[str], *, source: str, seed: int
) -> dict[str, Any]:
    """Measure how far languages agree in each row; where that is undefined, give `{"undefined": reason}`."""
    found: dict[str, Any] = {}
    for row in rows:
        if table is None or common.undefined is not None:
            found[row] = {"undefined": common.undefined}
            continue
        languages = [one for one in common.languages if len(part(table, one, row, DIRECTIONS[0]))]
        if len(languages) < 2:
            which = f"only {languages[0]} has" if languages else "none of the compared languages has"
            found[row] = {"undefined": f"{which} the row {row}"}
        else:
            found[row] = _measure_row(table, languages, row, source=source, seed=seed)
    return found


def joined_part(table: pa.Table, languages: Sequence[str], row: str, direction: str) -> Joined:
    """Join the ranks of the same instances in several languages by item, and by slot where captions ask."""
    by_language = {}
    for language in languages:
        lines = part(table, language, row, direction)
        items, slots = lines["item_id"].to_pylist(), lines["slot"].to_pylist()
        by_language[language] = Ranked(
            ids=list(zip(items, slots, strict=True)) if direction == "text_to_image" else items,
            ranks=lines["rank"].to_numpy(),
            gallery=lines["gallery"][0].as_py(),
            top_ids=lines["top_ids"].to_pylist(),
        )
    return join_ranks(by_language)


def items_of(joined: Joined) -> list[str]:
    """Name the image of each instance, [N]."""
    return [one if isinstance(one, str) else one[0] for one in joined.ids]


def _measure_row(
    table: pa.Table, languages: list[str], row: str, *, source: str, seed: int
) -> dict[str, Any]:
    block = _measure_languages(table, languages, row, seed)
    others = [one for one in languages if one != source]
    # Rows that translate into the source language lack it, and can be compared only with its absence here.
    apart = len(others) < len(languages) and len(others) > 1
    recalls = {language: _recalls(table, language, row) for language in languages}
    return block | {
        "without_source": _measure_languages(table, others, row, seed) if apart else None,
        "recalls": recalls,
        "spread": _spreads(recalls, source),
    }


def _measure_languages(table: pa.Table, languages: list[str], row: str, seed: int) -> dict[str, Any]:
    block: dict[str, Any] = {"languages": languages}
    measured = []
    for way in DIRECTIONS:
        joined = joined_part(table, languages, row, way)
        measured.append(_measure(joined, seed))
        listable = len(set(items_of(joined)))
        block[way] = _block(measured[-1]) | {
            "instances": len(joined.ids),
            "gallery": joined.gallery,
            "chance": {f"overlap@{k}": min(1.0, k / listable) for k in CUTOFFS},
        }
    block["mean"] = _block(_mean(*measured))
    return block


def _measure(joined: Joined, seed: int) -> Measured:
    values = instance_values(joined)
    images, image_N = np.unique(np.array(items_of(joined), dtype=object), return_inverse=True)
    means_RM = bootstrap_means(np.column_stack(list(values.values())), image_N, len(images), seed=seed)
    std_N = values["mrv_std"]
    return Measured(
        {name: float(one_N.mean()) for name, one_N in values.items()}
        | {"median_std": float(np.median(std_N))},
        dict(zip(values, means_RM.T, strict=True))
        | {"median_std": bootstrap_medians(std_N, image_N, len(images), seed=seed)},
    )


def _mean(there: Measured, back: Measured) -> Measured:
    # Both directions have the same images, hence the same resamples.
    samples: dict[str, NDArray[np.float64]] = {
        name: (there.samples[name] + back.samples[name]) / 2 for name in there.samples
    }
    return Measured({name: (there.metrics[name] + back.metrics[name]) / 2 for name in there.metrics}, samples)


def _block(measured: Measured) -> dict[str, Any]:
    return measured.metrics | {"intervals": measured.intervals}


def _recalls(table: pa.Table, language: str, row: str) -> dict[str, Any]:
    there, back = (summarise(ranks_of(part(table, language, row, way))) for way in DIRECTIONS)
    return {
        "text_to_image": there,
        "image_to_text": back,
        "sum_r": sum_r(there, back),
        "mean_recall": mean_recall(there, back),
    }


def _spreads(recalls: Mapping[str, Any], source: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        way: {
            "recall@1": spread({one: got[way]["recall@1"] for one, got in recalls.items()}, source),
            "mean_recall": spread(
                {one: sum(got[way][name] for name in RECALLS) / len(RECALLS) for one, got in recalls.items()},
                source,
            ),
        }
        for way in DIRECTIONS
    }
    both = {
        name: spread({one: got[name] for one, got in recalls.items()}, source)
        for name in ("mean_recall", "sum_r")
    }
    return found | both


Rank = Callable[[Vectors, str, int], Iterator[tuple[str, Ranks]]]
"""Vectors, a direction and a depth to rows and their ranks."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """Images and captions that all of `languages` have."""

    languages: list[str]
    slots: list[tuple[str, int]]
    """Item and place among its captions, ascending; each language has exactly one caption of each."""
    places: dict[str, dict[tuple[str, int], int]]
    """Language to slot to the place of its caption among the texts of the language."""
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
        """Describe the same for the report."""
        return {
            "languages": self.languages,
            "undefined": self.undefined,
            "items": len(self.items),
            "captions": len(self.slots),
            "left_out": self.left_out,
            "captions_aligned_by": self.order,
            "captions_translate_each_other": "unknown",
        }


def find_common(texts: Sequence[QueryTexts], order: Slots, seed: int) -> Common:
    """Find what the captions of these languages have in common; `seed` is that of the order `drawn`."""
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


def _places(texts: QueryTexts, order: Slots, seed: int) -> dict[tuple[str, int], int]:
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


def _undefined(texts: Sequence[QueryTexts], slots: Sequence[object]) -> str | None:
    names = ", ".join(one.language for one in texts)
    if len(texts) < 2:
        return f"{names} is the only language; ranks of two or more can be compared"
    if not slots:
        counts = ", ".join(f"{one.language} {len(set(one.items))}" for one in texts)
        return f"{names} have no image in common (captioned images: {counts}); choose with --consistency"
    return None


def common_tables(
    common: Common, texts: QueryTexts, vectors: Vectors, rank: Rank, **same: Any
) -> Iterator[pa.Table]:
    """Rank the common captions and images of one language against one another only.

    Gives tables of `query_table`, but that images list images: those of the best captions, each once. `same`
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
    """Leave out the listed captions whose image is listed already."""
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
