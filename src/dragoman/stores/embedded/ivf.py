"""The approximate index of one state of a store: lists of 8-bit vectors around centres (IVF-SQ8).

It is a cache in two files: `approximate.json` says what it covers and how well it finds, and names the file
of faiss. The rows that came later are not in it. Where it does not match the store it is as if it were not
there.

N rows, Q queries, D width, T training rows.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError
from dragoman.folders import atomic_path, damages, digest, read_sealed, write_sealed
from dragoman.stores import best as exactly
from dragoman.stores.embedded.rows import Rows, stored_row
from dragoman.stores.embedded.transactions import Snapshot

DESCRIPTION = "approximate.json"
ROWS_PER_LIST = 50
"""Vectors that the centres are found with, for each of them: more take longer and change little."""
ADDED_AT_ONCE = 16_384
MEASURED_QUERIES = 200
MEASURED_HITS = 10
NOISE = 1.0
"""Length of what is added to the sample of vectors that recall is measured with."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """The content of `approximate.json`."""

    file: str
    generation: int
    covered: int
    """Slots: those from here on came later."""
    last_crc: int
    """Checksum of the last covered vector, which tells a store that was put back from a backup."""
    trained_on: int
    """Living entries when the centres were found."""
    lists: int
    probes: int
    """Lists that are searched for a query."""
    candidates: int
    """Scored exactly for each hit."""
    recall: float
    """Share of the 10 best that is found, against exact search, on the vectors of this index."""
    measured_with: str
    content: dict[str, Any] | None = None
    """Size and SHA-256 of the file; None in those that were made before there were any."""

    def matches(self, state: Snapshot) -> bool:
        return (
            self.generation == state.generation
            and 0 < self.covered <= len(state.dead)
            and zlib.crc32(stored_row(state.matrix, self.covered - 1).data) == self.last_crc
        )


class Ivf:
    """An approximate index in memory or mapped."""

    def __init__(self, index: Any, description: Description) -> None:
        self.index = index
        self.description = description

    def search(
        self,
        query_QD: NDArray[np.float32],
        k: int,
        probes: int,
        allowed_N: NDArray[np.bool_] | None,
    ) -> exactly.Candidates:
        """Rows that are probably among the k best, several for each; their scores mean nothing."""
        faiss = import_faiss()
        given = {} if allowed_N is None else {"sel": _selector(faiss, allowed_N[: self.description.covered])}
        parameters = faiss.SearchParametersIVF(nprobe=min(probes, self.description.lists), **given)
        wanted = min(k * self.description.candidates, self.description.covered)
        _, slot_QC = self.index.search(query_QD, wanted, params=parameters)
        query_C, place_C = np.nonzero(slot_QC >= 0)
        slot_C = slot_QC[query_C, place_C]
        return exactly.Candidates(query_C, slot_C, np.zeros(len(slot_C), np.float32))


def import_faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("faiss-cpu", "faiss", "The store 'faiss'") from None
    return faiss


def load(folder: Path) -> Ivf | None:
    """The approximate index of a folder, mapped into memory; None where there is none that can be read."""
    description = described(folder)
    if description is None:
        return None
    faiss = import_faiss()
    try:
        if description.content and damages(folder, {description.file: description.content}):
            return None
        index = faiss.read_index(str(folder / description.file), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:
        return None  # removed meanwhile, or damaged: it is only a cache
    return Ivf(index, description)


def described(folder: Path) -> Description | None:
    """Read the description of the approximate index; None where there is none, or none that can be read."""
    try:
        return Description(**read_sealed(folder / DESCRIPTION, ""))
    except (UserError, TypeError):
        return None


def build(
    folder: Path,
    state: Snapshot,
    *,
    lists: int,
    candidates: int,
    recall: float,
    queries: NDArray[np.float32] | None,
) -> Description:
    """Make the approximate index of a state, or add the new rows to the one that is there.

    The centres are found anew when the entries have doubled since. `lists` 0 chooses their number; `queries`
    are what recall is measured with, a sample of the vectors with noise where there are none.
    """
    faiss = import_faiss()
    living_N = ~state.dead
    count = int(np.count_nonzero(living_N))
    old = load(folder)
    if old is not None and not old.description.matches(state):
        old = None
    # Twice the root: comparing with all centres then takes about as long as scanning a few lists.
    wanted = lists or max(1, round(2 * math.sqrt(count)))
    if old and (lists in (0, old.description.lists)) and count <= 2 * old.description.trained_on:
        # Read again: what is mapped cannot grow.
        index = faiss.read_index(str(folder / old.description.file))
        start, trained_on = old.description.covered, old.description.trained_on
    else:
        index, start, trained_on = _trained(faiss, state, wanted), 0, count
    _add_rows(index, state.matrix, start + np.flatnonzero(living_N[start:]))
    covered = len(living_N)
    description = Description(
        file=f"approximate-{state.generation}-{covered}.faiss",
        generation=state.generation,
        covered=covered,
        last_crc=zlib.crc32(stored_row(state.matrix, covered - 1).data),
        trained_on=trained_on,
        lists=index.nlist,
        probes=index.nlist,
        candidates=candidates,
        recall=1.0,
        measured_with="vectors of this index with noise" if queries is None else "given queries",
    )
    description = _measured(Ivf(index, description), state, recall, queries)
    # The file first, then the description that names it: a kill between leaves a file that no reader opens.
    with atomic_path(folder / description.file) as path:
        faiss.write_index(index, str(path))
        description = replace(description, content=digest(path))
    write_sealed(folder / DESCRIPTION, asdict(description))
    for path in folder.glob("approximate-*.faiss"):
        if path.name != description.file:
            path.unlink(missing_ok=True)
    return description


def _trained(faiss: Any, state: Snapshot, lists: int) -> Any:
    living = np.flatnonzero(~state.dead)
    size = min(len(living), ROWS_PER_LIST * lists)
    # In the order of rows: the mapped file is then read forwards.
    chosen_T = np.sort(np.random.default_rng(0).choice(living, size, replace=False))
    width = state.matrix.shape[1]
    centres = faiss.IndexFlatIP(width)
    kind, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    # Not by residual: numbers of unit vectors lie within [-1, 1], where 8 bits tell neighbours apart well
    # enough, since candidates are scored exactly.
    index = faiss.IndexIVFScalarQuantizer(centres, width, lists, kind, metric, False)
    # Spherical: by dot product, a longer centre would draw vectors for its length.
    index.cp.niter, index.cp.seed, index.cp.spherical = 10, 1, True
    index.cp.min_points_per_centroid = 1  # faiss warns below 39, which small indexes have
    index.train(state.matrix[chosen_T])
    return index


def _add_rows(index: Any, matrix_ND: Rows, slots: NDArray[np.int64]) -> None:
    for start in range(0, len(slots), ADDED_AT_ONCE):
        part = slots[start : start + ADDED_AT_ONCE]
        index.add_with_ids(matrix_ND[part], part)


def _measured(ivf: Ivf, state: Snapshot, wanted: float, queries: NDArray[np.float32] | None) -> Description:
    """The description with the fewest probes that reach the wanted recall, or with all lists."""
    living_N = ~state.dead
    own_Q, query_QD = _sample(state) if queries is None else (np.full(len(queries), -1), queries)
    # One more than is counted: a vector of the index does not find itself.
    hits = MEASURED_HITS + 1
    matrix_ND = state.matrix[: len(living_N)]
    right = _slots(exactly.best(matrix_ND, query_QD, hits, living_N), own_Q)
    probes, description = 1, ivf.description
    while True:
        rough = ivf.search(query_QD, hits, probes, living_N)
        found = _slots(exactly.best_of(matrix_ND, query_QD, hits, rough), own_Q)
        shares = [len(a & b) / len(a) for a, b in zip(right, found, strict=True) if a]
        recall = float(np.mean(shares)) if shares else 1.0
        probes = min(probes, description.lists)
        if recall >= wanted or probes == description.lists:
            return replace(description, probes=probes, recall=round(recall, 4))
        probes *= 2


def _sample(state: Snapshot) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Slots of some vectors, and the vectors with noise."""
    # A vector of the index lies in the very list that is searched for it, so recall would seem better than it
    # is for texts and new pictures; noise as long as the vector takes it some 45 degrees away.
    draw = np.random.default_rng(1)
    living = np.flatnonzero(~state.dead)
    own_Q = draw.choice(living, min(len(living), MEASURED_QUERIES), replace=False)
    query_QD = state.matrix[own_Q]
    noise_QD = draw.standard_normal(query_QD.shape, np.float32)
    query_QD = query_QD + NOISE * noise_QD / np.linalg.norm(noise_QD, axis=1, keepdims=True)
    return own_Q, query_QD / np.linalg.norm(query_QD, axis=1, keepdims=True)


def _slots(found: exactly.Candidates, own_Q: NDArray[np.int64]) -> list[set[int]]:
    """The best slots of each query, without its own."""
    answer: list[list[int]] = [[] for _ in own_Q]
    for query, slot in zip(found.queries.tolist(), found.slots.tolist(), strict=True):
        if slot != own_Q[query]:
            answer[query].append(slot)
    return [set(slots[:MEASURED_HITS]) for slots in answer]


def _selector(faiss: Any, allowed_N: NDArray[np.bool_]) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(allowed_N, bitorder="little"))
