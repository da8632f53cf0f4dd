"""Captions chosen from a corpus, and their join with the translations of each.

N source captions, M rows of a table that a join looks things up in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.arrow import pa, pc
from dragoman.errors import UserError
from dragoman.languages import comparable

Choice = str | Sequence[str] | None
"""One value, any of several, or (None) whatever there is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Captions:
    """Captions of a corpus that fit a choice, in the order of the corpus."""

    folder: Path
    """The corpus, for messages."""
    table: pa.Table
    """The columns of `captions.parquet`; one row a caption."""
    split: Choice = None
    """The split that was chosen, for messages."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> list[str]:
        """The `caption_id` of each."""
        return self._column("caption_id")

    @property
    def item_ids(self) -> list[str]:
        """The item that each is about."""
        return self._column("item_id")

    @property
    def texts(self) -> list[str]:
        """The text of each."""
        return self._column("text")

    @property
    def languages(self) -> list[str]:
        """The different languages, sorted."""
        return sorted(self.table["lang"].unique().to_pylist())

    @property
    def engines(self) -> list[str]:
        """The different engines that have a name, sorted."""
        return sorted(name for name in self.table["engine"].unique().to_pylist() if name is not None)

    def require(self, what: str) -> Captions:
        """Return these captions. Raises UserError, that the corpus has no `what`, if there are none."""
        if not len(self):
            within = "" if self.split is None else f" in split {self.split!r}"
            raise UserError(
                f"{self.folder} has no {what}{within}. See what it holds: dragoman corpus show {self.folder}"
            )
        return self

    def keep(self, mask: pa.Array | pa.ChunkedArray) -> Captions:
        """Return those for which `mask`, one boolean a caption, is true."""
        return replace(self, table=self.table.filter(mask))

    def by_id(self) -> Captions:
        """Return them in the order of their ids."""
        return replace(self, table=self.table.sort_by("caption_id"))

    def written_from(self, sources: Captions) -> Captions:
        """Return those whose source is one of `sources`."""
        ids = sources.table["caption_id"].combine_chunks()
        return self.keep(pc.is_in(self.table["source_id"], value_set=ids))

    def by_engine(self, engine: str | None, what: str, parameter: str) -> Captions:
        """Return those by `engine`, or all where it is None and there is only one.

        Raises UserError that lists the engines and names the `parameter` that chooses among them.
        """
        known = self.table["engine"].unique().to_pylist()
        listed = ", ".join(sorted(repr(name) for name in known))
        if engine is None:
            if len(known) > 1:
                raise UserError(f"Several engines wrote the {what}: {listed}. Choose one with {parameter}=.")
            return self
        if engine not in known:
            raise UserError(f"No {what} by engine {engine!r}. Known: {listed}. Choose one with {parameter}=.")
        return self.keep(fits(self.table["engine"], engine))

    def _column(self, name: str) -> list[str]:
        found: list[str] = self.table[name].to_pylist()
        return found


def select(
    captions: pa.Table,
    items: pa.Table,
    *,
    role: Choice = None,
    lang: Choice = None,
    split: Choice = None,
    engine: Choice = None,
) -> pa.Table:
    """Return the rows of `captions` that fit every choice, in their order; `items` tell the split."""
    found = captions
    if lang is not None:
        # Captions bear canonical tags; whoever asks may spell them as he likes.
        lang = comparable(lang) if isinstance(lang, str) else [comparable(tag) for tag in lang]
    for name, choice in (("role", role), ("lang", lang), ("engine", engine)):
        if choice is not None:
            found = found.filter(fits(found[name], choice))
    if split is not None:
        chosen = items.filter(fits(items["split"], split))["item_id"]
        found = found.filter(pc.is_in(found["item_id"], value_set=chosen.combine_chunks()))
    return found


def fits(column: pa.ChunkedArray, choice: str | Sequence[str]) -> pa.ChunkedArray:
    """Mark the values of a column that a choice, but None, allows."""
    # What has no engine fits no engine: the comparison gives null, which a filter drops.
    if isinstance(choice, str):
        return pc.equal(column, choice)
    return pc.is_in(column, pa.array(list(choice), column.type))


@dataclass(frozen=True, slots=True, kw_only=True)
class Translations:
    """N source captions with their translations, as columns of equal length, in the order of the corpus."""

    item_id: list[str]
    slot: NDArray[np.int64]
    """Position of the source caption among the human captions of its item in that language, from 0."""
    source_id: list[str]
    source_text: list[str]
    mt_text: list[str]
    mt_trust: NDArray[np.float32]
    """In 0..1; NaN until scored."""
    back_text: list[str | None]
    """None where there is no back-translation, or none was asked for."""
    engine: str | None
    """The engine that wrote the translations."""
    dropped: int
    """Source captions that were left out: their translation, or the way back, was missing or not unique."""

    def __len__(self) -> int:
        return len(self.item_id)


def join(sources: Captions, mt: Captions, backs: Captions | None) -> tuple[Translations, list[str]]:
    """Join captions with their translations by one engine, and these with the ways back, if any are given.

    Also returns the ids of the source captions that are left out: those without exactly one translation, and
    those whose translation has several ways back.
    """
    humans = sources.table
    # By row numbers and not by a join of tables: PyArrow joins give no order, and the corpus has one.
    mt_row_N, several_N = _unique_row(humans["caption_id"], mt.table["source_id"])
    faulty_N = several_N | (mt_row_N < 0)
    if backs is not None:
        back_row_M, several_M = _unique_row(mt.table["caption_id"], backs.table["source_id"])
        faulty_N = faulty_N | (several_M[mt_row_N] & (mt_row_N >= 0))
    # Slots count all captions of an item, so that they do not depend on what is left out.
    slots_N = _slots(humans["item_id"])
    kept, left_out = humans.filter(pa.array(~faulty_N)), humans.filter(pa.array(faulty_N))
    translated = mt.table.take(pa.array(mt_row_N[~faulty_N]))
    back_text: list[str | None] = [None] * len(kept)
    if backs is not None:
        row_N = back_row_M[mt_row_N[~faulty_N]]
        back_text = backs.table["text"].take(pa.array(row_N, mask=row_N < 0)).to_pylist()
    engines = mt.table["engine"].unique().to_pylist()
    found = Translations(
        item_id=kept["item_id"].to_pylist(),
        slot=slots_N[~faulty_N],
        source_id=kept["caption_id"].to_pylist(),
        source_text=kept["text"].to_pylist(),
        mt_text=translated["text"].to_pylist(),
        mt_trust=pc.fill_null(translated["trust"], float("nan")).to_numpy().astype(np.float32),
        back_text=back_text,
        engine=engines[0],
        dropped=len(left_out),
    )
    return found, left_out["caption_id"].to_pylist()


def _unique_row(
    wanted: pa.ChunkedArray, keys: pa.ChunkedArray
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the first row of each wanted value in `keys` (-1 if absent), and whether `keys` repeats it."""
    # index_in finds the first of several; whether there are more is told by the counts.
    row_N = pc.fill_null(pc.index_in(wanted, value_set=keys.combine_chunks()), -1).to_numpy().astype(np.int64)
    counted = pc.value_counts(keys)
    repeated = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    return row_N, pc.is_in(wanted, value_set=repeated).to_numpy()


def _slots(item_ids: pa.ChunkedArray) -> NDArray[np.int64]:
    item_N = pc.index_in(item_ids, value_set=item_ids.unique()).to_numpy()
    # Stable, so that captions of an item keep their order; their slots are then distances from its first.
    order_N = np.argsort(item_N, kind="stable")
    sorted_N = item_N[order_N]
    slot_N = np.empty(len(item_N), np.int64)
    slot_N[order_N] = np.arange(len(item_N)) - np.searchsorted(sorted_N, sorted_N)
    return slot_N
