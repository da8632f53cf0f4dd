"""Query files of several reports, joined by query id, never by line.

Q queries, S seeds, M metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.evaluation.metrics import RECALLS, query_values
from dragoman.folders import read_manifest
from dragoman.reporting.evaluation import FORMAT, FORMAT_VERSION, MAKE
from dragoman.reporting.table import part, ranks_of

COMPARED = (*RECALLS, "map")


@dataclass(frozen=True, eq=False)
class Answers:
    """What one system made of the queries of one language, row and direction, in the order of their ids."""

    folder: str
    qids: list[str]
    items: list[str]
    galleries: set[int]
    values: NDArray[np.float64]
    """[S, Q, M]: the metrics `COMPARED` of every query under every seed."""

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


@dataclass(frozen=True)
class System:
    """One report, or several of one recipe that differ in their seed."""

    name: str
    reports: list[tuple[str, pa.Table]]

    @classmethod
    def open(cls, folders: Sequence[str | Path]) -> System:
        """Read report folders. Raises UserError where one is missing, torn or something else."""
        if not folders:
            raise UserError("A system without reports given. Write: dragoman compare a1,a2 b1,b2")
        reports = []
        for folder in folders:
            read_manifest(Path(folder), format=FORMAT, format_version=FORMAT_VERSION, make=MAKE)
            reports.append((str(folder), pq.read_table(Path(folder) / "queries.parquet")))
        return cls(",".join(map(str, folders)), reports)

    def cells(self) -> set[tuple[str, str]]:
        """Languages and rows that all of its reports have."""
        pairs = [zip(t["language"].to_pylist(), t["row"].to_pylist(), strict=True) for _, t in self.reports]
        return set.intersection(*map(set, pairs))

    def answers(self, language: str, row: str, direction: str) -> Answers:
        """Raises UserError where the reports of the system hold different queries."""
        seeds = [_answers(folder, part(table, language, row, direction)) for folder, table in self.reports]
        for other in seeds[1:]:
            require_same_queries(seeds[0], other, f"{language} {direction}")
        return replace(seeds[0], values=np.concatenate([one.values for one in seeds]))


def require_same_queries(a: Answers, b: Answers, where: str) -> None:
    """Raises UserError that names the queries, images or galleries in which two systems differ."""
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
    by_metric = query_values(ranks_of(lines))
    return Answers(
        folder=folder,
        qids=lines["qid"].to_pylist(),
        items=lines["item_id"].to_pylist(),
        galleries=set(lines["gallery"].to_pylist()),
        values=np.stack([by_metric[name] for name in COMPARED], axis=1)[None],
    )


def _sizes(answers: Answers) -> str:
    return ", ".join(map(str, sorted(answers.galleries)))
