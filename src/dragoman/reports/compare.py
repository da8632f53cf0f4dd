"""Paired differences between systems over the same queries, and how far other images and seeds move them.

Q queries, N images, S seeds, M metrics, R resamples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.evaluation.consistency import MRV
from dragoman.evaluation.significance import (
    OVER_IMAGES,
    OVER_SEEDS,
    bootstrap_seeds,
    holm,
    image_sums,
    interval,
    mcnemar,
    over_seeds,
    p_of_samples,
    sign_flip,
)
from dragoman.reports.rows import DIRECTIONS, ROWS
from dragoman.reports.settings import Primary
from dragoman.reports.systems import (
    AMONG,
    BOTH,
    COMPARED,
    Answers,
    System,
    require_same_images,
    require_same_queries,
)

log = logging.getLogger(__name__)

Named = Literal["recorded", "here"]
"""Place where the primary figure was named: in the reports before, or with the comparison."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A comparison: row `row` of system b with row `baseline_row` of system a."""

    a: str
    b: str
    language: str
    """Several are joined: "en+pt" where it is their consistency that is compared, "pt,zh" for their mean."""
    row: str
    baseline_row: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The gain of system b over system a in one metric."""

    pair: Pair
    direction: str
    """One of `DIRECTIONS`, or "both": the sum for `sum_r`, the mean for the forms of MRV."""
    metric: str
    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    """95 %, of the difference, by hierarchical bootstrap."""
    over: str
    """Things that interval and p let vary: "images and seeds", or "images" where a system has one seed."""
    paired: bool
    """Both systems have the same seeds, which are paired."""
    p: float
    """Two-sided: from the same resamples, or over images alone by sign flips."""
    p_holm: float
    """Adjusted over the languages; that of the primary figure over the systems that are compared by it."""
    primary: Named | None
    """Place where this was named as the primary figure; null for any other."""
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
    primary: str | None = None,
    seed: int = 0,
) -> list[Difference]:
    """Measure the differences of each other system to `baseline`; a system is the list of its report folders.

    baseline_row: compare every row with this row of the baseline instead of with the same row.
    primary: the figure that decides, such as "pt,zh:sum_r"; what the reports recorded where not given. It
    comes first, once for each other system, and is not among the figures that are adjusted over languages.

    Raises UserError where reports were made over different images or queries, and says which, and where
    another primary figure was recorded.
    """
    if not others:
        raise UserError(
            "One system has nothing to be compared with. Write: dragoman compare report_a report_b"
        )
    if baseline_row not in (None, *ROWS):
        raise UserError(f"No row {baseline_row!r}. Known: {', '.join(ROWS)}")
    a, *systems = (System.open(one) for one in (baseline, *others))
    reports = [report for system in (a, *systems) for report in system.reports]
    require_same_images(reports)
    chosen, named = _primary({report.primary for report in reports} - {None}, primary)
    first = [] if chosen is None else [_of_primary(a, b, chosen, named, baseline_row, seed) for b in systems]
    adjusted = holm([one.p for one in first])
    firsts = [replace(one, p_holm=p) for one, p in zip(first, adjusted, strict=True)]
    told = {_asked(one) for one in firsts}
    compared = [list(_differences(a, b, baseline_row, seed)) for b in systems]
    others_ = [_with_holm([one for one in lines if _asked(one) not in told]) for lines in compared]
    return [*firsts, *(one for lines in others_ for one in lines)]


def compare_mean(
    kinds: Sequence[tuple[Sequence[str | Path], Sequence[str | Path]]],
    language: str,
    *,
    baseline_row: str | None = None,
    seed: int = 0,
) -> Difference:
    """Measure the difference in SumR of two systems in the mean of several kinds of captions of a language.

    Each kind is the report folders of the baseline and of the other system, whose models are the same in all
    kinds. Images move together, as do seeds. Raises UserError as `compare` does, and where a kind has other
    seeds.
    """
    systems = [(System.open(a), System.open(b)) for a, b in kinds]
    for both in zip(*systems, strict=True):
        require_same_images([report for system in both for report in system.reports])
        if len({tuple(report.seed for report in system.reports) for system in both}) > 1:
            raise UserError(
                f"{' and '.join(system.name for system in both)} are of different seeds. Give for each kind "
                "of captions the reports of the same models, in one order."
            )
    row = ROWS[0]
    (a, b), metric = systems[0], "sum_r"
    pair = Pair(a=a.name, b=b.name, language=language, row=row, baseline_row=baseline_row or row)
    answers = [_answers(*both, pair, way) for both in systems for way in DIRECTIONS]
    return _of_mean((pair, "both", metric), answers, len(systems), Seeds.of(a, b), seed)


def _asked(one: Difference) -> tuple[Pair, str, str]:
    return one.pair, one.direction, one.metric


def _primary(recorded: set[str | None], given: str | None) -> tuple[Primary | None, Named]:
    wanted = None if given is None else Primary.parse(given)
    if len(recorded) > 1:
        raise UserError(
            f"The reports recorded different primary figures: {', '.join(sorted(map(str, recorded)))}. "
            "Evaluate all of them with one --primary."
        )
    for one in recorded:
        before = Primary.parse(str(one))
        if wanted not in (None, before):
            raise UserError(
                f"The reports recorded {before} as the primary figure before they were compared; {wanted} "
                "cannot take its place now. Leave --primary out: the other figure stands among the rest."
            )
        return before, "recorded"
    return wanted, "here"


@dataclass(frozen=True)
class Seeds:
    """Knowledge of other seeds of two systems."""

    over: str
    order_b: list[int] | None
    """Reports of b in the order of those of a with the same seed; null where seeds are not paired."""

    @classmethod
    def of(cls, a: System, b: System) -> Seeds:
        """Pair equal seeds. A single report tells of no other seed; a model without a seed has no other."""
        of_a, of_b = ([report.seed for report in system.reports] for system in (a, b))
        if of_a == of_b == [None] or any(len(seeds) == 1 and seeds != [None] for seeds in (of_a, of_b)):
            return cls(OVER_IMAGES, None)
        known = None not in (*of_a, *of_b) and len(set(of_a)) == len(of_a)
        if known and len(of_a) == len(of_b) and set(of_a) == set(of_b):
            return cls(OVER_SEEDS, [of_b.index(seed) for seed in of_a])
        return cls(OVER_SEEDS, None)

    def samples(self, a_SR: NDArray[np.float64], b_SR: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
        """Draw differences of b to a, from their figures by seed and resample of images."""
        if self.over == OVER_IMAGES:
            gain_R: NDArray[np.float64] = b_SR.mean(axis=0) - a_SR.mean(axis=0)
            return gain_R
        parts = [b_SR, -a_SR] if self.order_b is None else [b_SR[self.order_b] - a_SR]
        return over_seeds(parts, seed=seed)


@dataclass(frozen=True, eq=False)
class Sampled:
    """Figures of two systems, of M metrics: by seed, by seed and resample of images, and by image."""

    a: NDArray[np.float64]
    """[S, M]"""
    b: NDArray[np.float64]
    drawn_a: NDArray[np.float64]
    """[S, R, M]"""
    drawn_b: NDArray[np.float64]
    gain: NDArray[np.float64]
    """[N, M], what each image adds to the difference of b to a."""

    @classmethod
    def of(cls, a: Answers, b: Answers, images: Sequence[str], seed: int) -> Sampled:
        """Resample `images`, among which are those of the answers; equal ones give equal resamples."""
        image_Q = np.searchsorted(np.array(images, dtype=object), np.array(a.items, dtype=object))
        both_SQM = np.concatenate([a.values, b.values])
        both_SRM = bootstrap_seeds(both_SQM, image_Q, len(images), seed=seed)
        # Captions of an image are answered or missed together, so an image is the unit that may flip.
        gain_NM = image_sums(b.mean - a.mean, image_Q, len(images)) / len(a.qids)
        seeds = len(a.values)
        return cls(a.by_seed, b.by_seed, both_SRM[:seeds], both_SRM[seeds:], gain_NM)

    @staticmethod
    def sum(parts: Sequence[Sampled], weight_M: Sequence[float]) -> Sampled:
        """Add weighted metrics up, of parts over the same images; M is 1 in what comes out."""
        weight_M1 = np.array(weight_M)[:, None]
        names = ("a", "b", "drawn_a", "drawn_b", "gain")
        return Sampled(*(sum(getattr(part, name) @ weight_M1 for part in parts) for name in names))

    def difference(
        self, asked: tuple[Pair, str, str], m: int, seeds: Seeds, seed: int, test: float | None = None
    ) -> Difference:
        """Tell the difference in metric `m`."""
        pair, direction, metric = asked
        sample = seeds.samples(self.drawn_a[:, :, m], self.drawn_b[:, :, m], seed)
        alone = seeds.over == OVER_IMAGES
        p = float(sign_flip(self.gain[:, [m]], seed=seed)[0]) if alone else p_of_samples(sample)
        a, b = float(self.a[:, m].mean()), float(self.b[:, m].mean())
        return Difference(
            pair=pair,
            direction=direction,
            metric=metric,
            a=a,
            b=b,
            difference=b - a,
            interval=interval(sample),
            over=seeds.over,
            paired=seeds.order_b is not None,
            p=p,
            p_holm=p,
            primary=None,
            mcnemar=test,
            mcnemar_holm=test,
            seeds_a=self.a[:, m].tolist(),
            seeds_b=self.b[:, m].tolist(),
            spread_a=_spread(self.a[:, m]),
            spread_b=_spread(self.b[:, m]),
        )


def _of_primary(
    a: System, b: System, primary: Primary, named: Named, baseline_row: str | None, seed: int
) -> Difference:
    row = ROWS[0]
    joined = primary.metric in MRV
    asked = [AMONG.join(sorted(primary.languages))] if joined else list(primary.languages)
    language = asked[0] if joined else ",".join(primary.languages)
    pairs = [
        Pair(a=a.name, b=b.name, language=one, row=row, baseline_row=baseline_row or row) for one in asked
    ]
    for system, of_row in ((a, baseline_row or row), (b, row)):
        there = {known for known, other in system.cells() if other == of_row}
        if missing := [one for one in primary.languages if one not in there]:
            raise UserError(
                f"The primary figure is {primary}, but {system.name} has no row {of_row} of "
                f"{', '.join(missing)}; it has {_listed(system.cells())}. Evaluate these languages as well."
            )
    answers = [_answers(a, b, pair, way) for pair in pairs for way in DIRECTIONS]
    of_all = (replace(pairs[0], language=language), "both", primary.metric)
    return replace(_of_mean(of_all, answers, len(pairs), Seeds.of(a, b), seed), primary=named)


def _of_mean(
    asked: tuple[Pair, str, str],
    answers: Sequence[tuple[Answers, Answers]],
    parts: int,
    seeds: Seeds,
    seed: int,
) -> Difference:
    """Tell the difference in the mean of several parts, each of which has answers in both directions."""
    # Parts may have different images, and all of them move together.
    images = sorted({item for one, _ in answers for item in one.items})
    weights = [weight / parts for weight in BOTH[answers[0][0].metrics][asked[2]]]
    found = Sampled.sum([Sampled.of(*both, images, seed) for both in answers], weights)
    return found.difference(asked, 0, seeds, seed)


def _differences(a: System, b: System, baseline_row: str | None, seed: int) -> Iterator[Difference]:
    seeds = Seeds.of(a, b)
    for pair in _pairs(a, b, baseline_row):
        try:
            both = {way: _answers(a, b, pair, way) for way in DIRECTIONS}
        except UserError as error:
            if AMONG not in pair.language:
                raise
            log.warning("No comparison of the consistency of %s, row %s: %s", pair.language, pair.row, error)
            continue
        yield from _of_pair(pair, both, seeds, seed)


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


def _of_pair(
    pair: Pair, both: dict[str, tuple[Answers, Answers]], seeds: Seeds, seed: int
) -> Iterator[Difference]:
    found = []
    for way, (a, b) in both.items():
        sampled = Sampled.of(a, b, sorted(set(a.items)), seed)
        for m, metric in enumerate(a.metrics):
            test = _mcnemar(a, b) if metric == "recall@1" else None
            yield sampled.difference((pair, way, metric), m, seeds, seed, test)
        found.append(sampled)
    for metric, weight_M in BOTH[a.metrics].items():
        # Both directions have the same images and resamples, so they may be added one by one.
        yield Sampled.sum(found, weight_M).difference((pair, "both", metric), 0, seeds, seed)


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
