"""Paired differences between systems over the same queries.

Q queries, N images, S seeds, M metrics, R resamples. Values of several seeds are averaged query by query.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.evaluation.significance import bootstrap_means, holm, image_sums, interval, mcnemar, sign_flip
from dragoman.reports.rows import DIRECTIONS, ROWS
from dragoman.reports.systems import AMONG, BOTH, COMPARED, Answers, System, require_same_queries

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A comparison: row `row` of system b with row `baseline_row` of system a."""

    a: str
    b: str
    language: str
    """Several are joined, "en+pt", where it is their consistency that is compared."""
    row: str
    baseline_row: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The gain of system b over system a in one metric."""

    pair: Pair
    direction: str
    """One of `DIRECTIONS`, or "both": the sum for `sum_r`, the mean for `mrv_std` and `mrv_var`."""
    metric: str
    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    """95 %, of the difference, by bootstrap over images."""
    p: float
    """Two-sided sign-flip permutation test over images."""
    p_holm: float
    """Adjusted over the languages."""
    mcnemar: float | None
    """Exact McNemar test over queries; for recall@1 of single runs only. It takes queries as independent."""
    mcnemar_holm: float | None
    seeds_a: list[float]
    """The metric in each report of the system."""
    seeds_b: list[float]
    spread_a: float | None
    """Sample standard deviation over seeds; null for a single run."""
    spread_b: float | None


def compare(
    baseline: Sequence[str | Path],
    *others: Sequence[str | Path],
    baseline_row: str | None = None,
    seed: int = 0,
) -> list[Difference]:
    """Measure the differences of each other system to `baseline`; a system is the list of its report folders.

    baseline_row: compare every row with this row of the baseline instead of with the same row.

    Raises UserError where reports were made over different queries, and says which.
    """
    if not others:
        raise UserError(
            "One system has nothing to be compared with. Write: dragoman compare report_a report_b"
        )
    if baseline_row not in (None, *ROWS):
        raise UserError(f"No row {baseline_row!r}. Known: {', '.join(ROWS)}")
    a = System.open(baseline)
    compared = [list(_differences(a, System.open(other), baseline_row, seed)) for other in others]
    return [one for lines in compared for one in _with_holm(lines)]


def _differences(a: System, b: System, baseline_row: str | None, seed: int) -> Iterator[Difference]:
    for pair in _pairs(a, b, baseline_row):
        try:
            both = {way: _answers(a, b, pair, way) for way in DIRECTIONS}
        except UserError as error:
            if AMONG not in pair.language:
                raise
            log.warning("No comparison of the consistency of %s, row %s: %s", pair.language, pair.row, error)
            continue
        yield from _of_pair(pair, both, seed)


def _answers(a: System, b: System, pair: Pair, way: str) -> tuple[Answers, Answers]:
    both = a.answers(pair.language, pair.baseline_row, way), b.answers(pair.language, pair.row, way)
    require_same_queries(*both, f"{pair.language} {way}")
    return both


def _pairs(a: System, b: System, baseline_row: str | None) -> list[Pair]:
    known = a.cells()
    pairs = [
        Pair(a=a.name, b=b.name, language=language, row=row, baseline_row=baseline_row or row)
        for language, row in sorted(b.cells(), key=_in_order)
        if (language, baseline_row or row) in known
    ]
    if not pairs:
        raise UserError(
            f"No language and row in common: {a.name} has {_listed(known)}; "
            f"{b.name} has {_listed(b.cells())}."
        )
    return pairs


def _in_order(cell: tuple[str, str]) -> tuple[int, bool, str]:
    language, row = cell
    return ROWS.index(row), AMONG in language, language


def _of_pair(pair: Pair, both: dict[str, tuple[Answers, Answers]], seed: int) -> Iterator[Difference]:
    found = []
    for way, (a, b) in both.items():
        images, image_Q = np.unique(a.items, return_inverse=True)
        gain_QM = b.mean - a.mean
        sample_RM = bootstrap_means(gain_QM, image_Q, len(images), seed=seed)
        # Captions of an image are answered or missed together, so an image is the unit that may flip.
        gain_NM = image_sums(gain_QM, image_Q, len(images)) / len(a.qids)
        p_M = sign_flip(gain_NM, seed=seed)
        for m, metric in enumerate(a.metrics):
            test = _mcnemar(a, b) if metric == "recall@1" else None
            seeds = a.by_seed[:, m], b.by_seed[:, m]
            yield _difference((pair, way, metric), seeds, sample_RM[:, m], float(p_M[m]), test)
        found.append([a.by_seed, b.by_seed, sample_RM, gain_NM])
    for metric, weight_M in BOTH[a.metrics].items():
        # Both directions have the same images and resamples, so they may be added one by one.
        seeds_a, seeds_b, sample_R, gain_N = (
            (there + back) @ np.array(weight_M) for there, back in zip(*found, strict=True)
        )
        p = float(sign_flip(gain_N[:, None], seed=seed)[0])
        yield _difference((pair, "both", metric), (seeds_a, seeds_b), sample_R, p)


def _difference(
    asked: tuple[Pair, str, str],
    seeds: tuple[NDArray[np.float64], NDArray[np.float64]],
    sample_R: NDArray[np.float64],
    p: float,
    test: float | None = None,
) -> Difference:
    pair, direction, metric = asked
    seeds_a_S, seeds_b_S = seeds
    a, b = float(seeds_a_S.mean()), float(seeds_b_S.mean())
    return Difference(
        pair=pair,
        direction=direction,
        metric=metric,
        a=a,
        b=b,
        difference=b - a,
        interval=interval(sample_R),
        p=p,
        p_holm=p,
        mcnemar=test,
        mcnemar_holm=test,
        seeds_a=seeds_a_S.tolist(),
        seeds_b=seeds_b_S.tolist(),
        spread_a=_spread(seeds_a_S),
        spread_b=_spread(seeds_b_S),
    )


def _spread(seeds_S: NDArray[np.float64]) -> float | None:
    return float(seeds_S.std(ddof=1)) if len(seeds_S) > 1 else None


def _mcnemar(a: Answers, b: Answers) -> float | None:
    # Averaged over seeds, a query is neither answered nor missed.
    if len(a.values) > 1 or len(b.values) > 1:
        return None
    first = COMPARED.index("recall@1")
    return mcnemar(a.mean[:, first] > 0, b.mean[:, first] > 0)


def _with_holm(lines: list[Difference]) -> list[Difference]:
    """Adjust p values over the languages of each row, direction and metric."""
    # Languages are asked the same question; rows, directions and metrics are questions of their own.
    families: dict[tuple[str, str, str], list[int]] = {}
    for place, one in enumerate(lines):
        families.setdefault((one.pair.row, one.direction, one.metric), []).append(place)
    for places in families.values():
        for place, p in zip(places, holm([lines[place].p for place in places]), strict=True):
            lines[place] = replace(lines[place], p_holm=p)
        tested = [(place, test) for place in places if (test := lines[place].mcnemar) is not None]
        for (place, _), p in zip(tested, holm([test for _, test in tested]), strict=True):
            lines[place] = replace(lines[place], mcnemar_holm=p)
    return lines


def _listed(cells: set[tuple[str, str]]) -> str:
    return (
        ", ".join(f"{language} {row}" for language, row in sorted(cells) if AMONG not in language) or "none"
    )
