"""From the lines of `consistency.parquet` to how far languages agree, with intervals.

N instances, K languages, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dragoman.evaluation.consistency import CUTOFFS, instance_values, spread
from dragoman.evaluation.instances import Joined, Ranked, join_ranks
from dragoman.evaluation.metrics import RECALLS, mean_recall, sum_r, summarise
from dragoman.evaluation.significance import bootstrap_means, bootstrap_medians
from dragoman.reports.common import Common
from dragoman.reports.measure import Measured
from dragoman.reports.rows import DIRECTIONS
from dragoman.reports.table import part, ranks_of

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
    """How far languages agree in each row; where that is undefined, `{"undefined": reason}`."""
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
    """The ranks of the same instances in several languages, joined by item, and slot where captions ask."""
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
    """The image of each instance, [N]."""
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
