"""A human caption, its machine translation, and the way back: the unit of noise-robust training.

N triples, M rows of a table that a join looks things up in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dragoman.corpus.store import Corpus
from dragoman.errors import UserError
from dragoman.records import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Triples:
    """N triples as columns of equal length, in the order of the source captions in the corpus."""

    item_id: list[str]
    slot: NDArray[np.int64]
    """Position of the source caption among the human captions of its item in that language, from 0."""
    source_id: list[str]
    source_text: list[str]
    mt_id: list[str]
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


def triples(
    corpus: Corpus,
    *,
    source: str,
    target: str,
    split: Split,
    engine: str | None = None,
    back: bool = True,
    back_engine: str | None = None,
    incomplete: Literal["error", "drop"] = "error",
) -> Triples:
    """Join human `source` captions of a split with their translation into `target` and its back-translation.

    `engine` and `back_engine` may stay None where one engine did the work. A source caption without exactly
    one translation by the engine is an error, or with `incomplete="drop"` left out and counted; so is a
    translation with several back-translations. One without any has back text None.

    Raises UserError for an unknown engine, several engines where none was chosen, and no translation at all.
    """
    if incomplete not in ("error", "drop"):
        raise UserError(f"incomplete must be 'error' or 'drop', got {incomplete!r}.")
    humans = _human_captions(corpus, source, split)
    if not len(humans):
        raise UserError(
            f"{corpus.folder} has no human {source} captions in split {split!r}. "
            f"See what it holds: dragoman corpus show {corpus.folder}"
        )
    mt = _written_from(corpus.captions, humans["caption_id"], "mt", target)
    if not len(mt):
        raise UserError(
            f"{corpus.folder} has no {target} translation of its human {source} captions in split {split!r}. "
            f"Translate them: dragoman translate {corpus.folder} --to {target} --engine ENGINE"
        )
    mt, engine = _by_one_engine(mt, engine, f"translations from {source} into {target}", "engine")
    mt_row_N, several_N = _unique_row(humans["caption_id"], mt["source_id"])
    faulty_N = several_N | (mt_row_N < 0)
    backs = _written_from(corpus.captions, mt["caption_id"], "back", source) if back else None
    if backs is not None and len(backs):
        backs, _ = _by_one_engine(backs, back_engine, f"back-translations from {target}", "back_engine")
        back_row_M, several_M = _unique_row(mt["caption_id"], backs["source_id"])
        faulty_N = faulty_N | (several_M[mt_row_N] & (mt_row_N >= 0))
    if faulty_N.any() and incomplete == "error":
        raise UserError(_describe(corpus, humans["caption_id"], faulty_N, target, engine))
    slots_N = _slots(humans["item_id"])
    humans, mt = humans.filter(pa.array(~faulty_N)), mt.take(pa.array(mt_row_N[~faulty_N]))
    back_text: list[str | None] = [None] * len(humans)
    if backs is not None and len(backs):
        row_N = back_row_M[mt_row_N[~faulty_N]]
        back_text = backs["text"].take(pa.array(row_N, mask=row_N < 0)).to_pylist()
    return Triples(
        item_id=humans["item_id"].to_pylist(),
        slot=slots_N[~faulty_N],
        source_id=humans["caption_id"].to_pylist(),
        source_text=humans["text"].to_pylist(),
        mt_id=mt["caption_id"].to_pylist(),
        mt_text=mt["text"].to_pylist(),
        mt_trust=pc.fill_null(mt["trust"], float("nan")).to_numpy().astype(np.float32),
        back_text=back_text,
        engine=engine,
        dropped=int(faulty_N.sum()),
    )


def engines_between(corpus: Corpus, *, source: str, target: str, split: Split) -> list[str]:
    """Engines that translated human `source` captions of a split into `target`, sorted."""
    humans = _human_captions(corpus, source, split)
    mt = _written_from(corpus.captions, humans["caption_id"], "mt", target)
    return sorted(name for name in mt["engine"].unique().to_pylist() if name is not None)


def _human_captions(corpus: Corpus, lang: str, split: str) -> pa.Table:
    items, captions = corpus.items, corpus.captions
    chosen = items.filter(pc.equal(items["split"], split))["item_id"]
    human = captions.filter(pc.and_(pc.equal(captions["role"], "human"), pc.equal(captions["lang"], lang)))
    return human.filter(pc.is_in(human["item_id"], value_set=chosen.combine_chunks()))


def _written_from(captions: pa.Table, source_ids: pa.ChunkedArray, role: str, lang: str) -> pa.Table:
    chosen = captions.filter(pc.and_(pc.equal(captions["role"], role), pc.equal(captions["lang"], lang)))
    return chosen.filter(pc.is_in(chosen["source_id"], value_set=source_ids.combine_chunks()))


def _by_one_engine(
    captions: pa.Table, engine: str | None, what: str, parameter: str
) -> tuple[pa.Table, str | None]:
    known = captions["engine"].unique().to_pylist()
    listed = ", ".join(sorted(repr(name) for name in known))
    if engine is None:
        if len(known) > 1:
            raise UserError(f"Several engines wrote the {what}: {listed}. Choose one with {parameter}=.")
        return captions, known[0]
    if engine not in known:
        raise UserError(f"No {what} by engine {engine!r}. Known: {listed}. Choose one with {parameter}=.")
    return captions.filter(pc.equal(captions["engine"], engine)), engine


def _unique_row(
    wanted: pa.ChunkedArray, keys: pa.ChunkedArray
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each wanted value its first row in `keys` (-1 where absent), and whether `keys` holds it again."""
    row_N = pc.fill_null(pc.index_in(wanted, value_set=keys.combine_chunks()), -1).to_numpy().astype(np.int64)
    counted = pc.value_counts(keys)
    repeated = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    return row_N, pc.is_in(wanted, value_set=repeated).to_numpy()


def _slots(item_ids: pa.ChunkedArray) -> NDArray[np.int64]:
    item_N = pc.index_in(item_ids, value_set=item_ids.unique()).to_numpy()
    order_N = np.argsort(item_N, kind="stable")
    sorted_N = item_N[order_N]
    slot_N = np.empty(len(item_N), np.int64)
    slot_N[order_N] = np.arange(len(item_N)) - np.searchsorted(sorted_N, sorted_N)
    return slot_N


def _describe(
    corpus: Corpus, ids: pa.ChunkedArray, faulty_N: NDArray[np.bool_], target: str, engine: str | None
) -> str:
    faulty = ids.filter(pa.array(faulty_N)).to_pylist()
    shown = ", ".join(faulty[:3]) + (", …" if len(faulty) > 3 else "")
    return (
        f"{len(faulty)} of {len(faulty_N)} source captions have no translation into {target} by {engine!r}, "
        f"or several, or several ways back: {shown}. Finish the translation (dragoman translate "
        f"{corpus.folder} --to {target}), or leave these captions out with incomplete='drop'."
    )
