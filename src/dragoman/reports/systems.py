"""Query files of several reports, joined by query id, never by line.

Q queries, S seeds, M metrics.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.arrow import pa, pq
from dragoman.corpus.features import shown
from dragoman.errors import UserError
from dragoman.evaluation.consistency import MRV, rank_values
from dragoman.evaluation.metrics import RECALLS, Metric
from dragoman.reports.consistency import items_of, joined_part
from dragoman.reports.format import COMMON_QUERIES, QUERIES, REPORT
from dragoman.reports.measure import part, ranks_of

COMPARED = (*RECALLS, Metric("map"))
CONSISTENCY = (*MRV, "mrv_var")
BOTH: dict[tuple[str, ...], dict[str, list[float]]] = {
    COMPARED: {"sum_r": [1, 1, 1, 0]},
    CONSISTENCY: {metric: [0.5 * (metric == other) for other in CONSISTENCY] for metric in CONSISTENCY},
}
"""Metrics over both directions: the weight of each metric of one, the same in either direction."""
AMONG = "+"
"""Joins the languages of a consistency: "en+pt"; no language tag holds it."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of one system to the queries of one language, row and direction, in the order of their ids.

    For several languages together: how far their ranks of each instance are apart.
    """

    folder: str
    qids: list[str]
    items: list[str]
    galleries: set[int]
    metrics: tuple[str, ...]
    """`COMPARED`, or `CONSISTENCY` of several languages."""
    values: NDArray[np.float64]
    """[S, Q, M]: the metrics of every query under every seed."""

    @property
    def mean(self) -> NDArray[np.float64]:
        """[Q, M], over seeds."""
        mean_QM: NDArray[np.float64] = self.values.mean(axis=0)
        return mean_QM

    @property
    def by_seed(self) -> NDArray[np.float64]:
        """[S, M], over queries."""
        mean_SM: NDArray[np.float64] = self.values.mean(axis=1)
        return mean_SM


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """The ranks of one report."""

    folder: str
    queries: pa.Table
    common: pa.Table | None
    """Lines of `consistency.parquet`; null where the languages have nothing in common."""
    left_out: list[str]
    """Images of the split that take no part, as they have no vectors."""
    seed: int | None
    """Seed of the training; null for a model that was not trained here."""
    primary: str | None
    """The primary figure that was named when the report was made."""

    def cells(self) -> set[tuple[str, str]]:
        """List languages and rows, and languages together that a row compares."""
        cells = _pairs_in(self.queries)
        for row in {row for _, row in cells} if self.common is not None else ():
            languages = sorted(language for language, other in _pairs_in(self.common) if other == row)
            if len(languages) > 1:
                cells.add((AMONG.join(languages), row))
        return cells

    def answers(self, language: str, row: str, direction: str) -> Answers:
        """Give the answers in one language, or in several joined by `AMONG`."""
        if AMONG in language:
            return _consistency(self.folder, self.common, language.split(AMONG), row, direction)
        return _answers(self.folder, part(self.queries, language, row, direction))


@dataclass(frozen=True)
class System:
    """A report, or several of one recipe that differ in their seed."""

    name: str
    reports: list[Report]

    @classmethod
    def open(cls, folders: Sequence[str | Path]) -> System:
        """Read report folders. Raises UserError where one is missing, torn or something else."""
        if not folders:
            raise UserError("A system without reports given. Write: dragoman compare a1,a2 b1,b2")
        reports = []
        for folder in folders:
            REPORT.read(Path(folder))
            queries, common = Path(folder) / QUERIES, Path(folder) / COMMON_QUERIES
            common_table = pq.read_table(common) if common.is_file() else None
            report = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
            left_out = report.get("without_vectors", {}).get(report["settings"]["split"], [])
            reports.append(
                Report(
                    folder=str(folder),
                    queries=pq.read_table(queries),
                    common=common_table,
                    left_out=sorted(left_out),
                    seed=report["system"]["seed"],
                    primary=report["settings"].get("primary"),
                )
            )
        return cls(",".join(map(str, folders)), reports)

    def cells(self) -> set[tuple[str, str]]:
        """List languages and rows that all of its reports have."""
        return set.intersection(*(report.cells() for report in self.reports))

    def answers(self, language: str, row: str, direction: str) -> Answers:
        """Join the answers of all seeds. Raises UserError where the reports hold different queries."""
        seeds = [report.answers(language, row, direction) for report in self.reports]
        # Values are averaged query by query, which is sound only over equal queries.
        for other in seeds[1:]:
            require_same_queries(seeds[0], other, f"{language} {direction}")
        return replace(seeds[0], values=np.concatenate([one.values for one in seeds]))


def require_same_images(reports: Sequence[Report]) -> None:
    """Raise UserError where reports left out different images for want of vectors."""
    # Images without captions are in the gallery alone: that they are others, no query tells.
    first = reports[0]
    for other in reports[1:]:
        if other.left_out != first.left_out:
            said = (
                f"{one.folder} {len(one.left_out)} ({shown(one.left_out) or 'none'})"
                for one in (first, other)
            )
            raise UserError(
                f"The reports left out different images for want of vectors: {', '.join(said)}. Give all "
                "images vectors (dragoman features), and evaluate again."
            )


def require_same_queries(a: Answers, b: Answers, where: str) -> None:
    """Raise UserError that names the queries, images or galleries in which two systems differ."""
    for one, other in ((a, b), (b, a)):
        if only := sorted(set(one.qids) - set(other.qids)):
            raise UserError(
                f"The reports hold different queries ({where}): {len(only)} of {len(one.qids)} in "
                f"{one.folder} are not in {other.folder}, first {', '.join(only[:3])}. Evaluate both on the "
                "same corpus, split and --match."
            )
    if a.items != b.items:
        raise UserError(f"{a.folder} and {b.folder} name different images for the same queries ({where}).")
    if a.galleries != b.galleries:
        raise UserError(
            f"The reports rank against different galleries ({where}): {_sizes(a)} entries in {a.folder}, "
            f"{_sizes(b)} in {b.folder}. Evaluate both on the same corpus and split."
        )


def _answers(folder: str, lines: pa.Table) -> Answers:
    ranks = ranks_of(lines)
    return Answers(
        folder=folder,
        qids=lines["qid"].to_pylist(),
        items=lines["item_id"].to_pylist(),
        galleries=set(lines["gallery"].to_pylist()),
        metrics=COMPARED,
        values=np.stack([metric.values(ranks) for metric in COMPARED], axis=1)[None],
    )


def _consistency(folder: str, table: pa.Table, languages: Sequence[str], row: str, direction: str) -> Answers:
    joined = joined_part(table, languages, row, direction)
    by_metric = rank_values(joined.ranks)
    return Answers(
        folder=folder,
        qids=[one if isinstance(one, str) else f"{one[0]} caption {one[1]}" for one in joined.ids],
        items=items_of(joined),
        galleries={joined.gallery},
        metrics=CONSISTENCY,
        values=np.stack([by_metric[name] for name in CONSISTENCY], axis=1)[None],
    )


def _pairs_in(table: pa.Table) -> set[tuple[str, str]]:
    return set(zip(table["language"].to_pylist(), table["row"].to_pylist(), strict=True))


def _sizes(answers: Answers) -> str:
    return ", ".join(map(str, sorted(answers.galleries)))
