"""Make an index agree with a collection: embed what is new, copy what is known, remove what is gone.

J joint width.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dragoman.index.collection import Collection, Rejected
from dragoman.index.look import Eye, Looked, ahead, look_at, reworded
from dragoman.index.plan import Plan
from dragoman.index.writer import Writer
from dragoman.stores import Store

FEATURES_AT_ONCE = 1024
DELETED_AT_ONCE = 10_000


@dataclass(kw_only=True)
class Done:
    """What was done, in entries."""

    added: int = 0
    changed: int = 0
    """Embedded anew."""
    reworded: int = 0
    """Of which only metadata, captions or the time of the file changed."""
    moved: int = 0
    """Of the added, those that an entry of another path had before; their vectors were copied."""
    copies: int = 0
    """Of the added, further files of the same content; embedded once."""
    removed: int = 0


class Update:
    """One run over a plan."""

    def __init__(self, collection: Collection, backend: Store, plan: Plan, eye: Eye) -> None:
        self.done = Done()
        self.rejected = list(plan.rejected)
        self._collection = collection
        self._backend = backend
        self._plan = plan
        self._eye = eye
        self._writer = Writer(backend)
        # Of what is gone and, later, of what this run embeds. An entry whose content changed is no origin:
        # its vector may have been replaced when another item turns out to have its former content.
        self._known = {digest: item_id for item_id, digest in plan.gone.items()}
        self._gone = list(plan.gone)

    def run(
        self, *, batch_size: int, workers: int, max_megapixels: float, progress: Callable[[int], object]
    ) -> None:
        """Do what the plan says; `progress` is told of finished items."""
        twice = self._sizes_of_several()
        look = partial(
            look_at, self._collection, knows=self._knows, eye=self._eye, max_megapixels=max_megapixels
        )
        waiting: dict[bool, list[Looked]] = {True: [], False: []}
        most = {True: FEATURES_AT_ONCE, False: batch_size}
        for looked in ahead(look, self._plan.look, workers, 2 * batch_size):
            if isinstance(looked, Rejected):
                self._reject(looked)
            elif self._is_unchanged(looked.entry.item_id, looked.state.digest):
                self._writer.reword(looked.entry)
                self.done.reworded += 1
            elif looked.inputs is None or looked.state.digest in self._known:
                self._copy(looked)
            else:
                is_vector = looked.state.kind == "vector"
                waiting[is_vector].append(looked)
                if len(waiting[is_vector]) == most[is_vector]:
                    self._embed(waiting[is_vector], twice)
                    waiting[is_vector].clear()
            progress(1)
        for batch in waiting.values():
            self._embed(batch, twice)
        for item_id in self._plan.reword:
            self._reword(item_id)
        self._writer.flush()
        for start in range(0, len(self._gone), DELETED_AT_ONCE):
            self.done.removed += self._backend.delete(self._gone[start : start + DELETED_AT_ONCE])

    def _sizes_of_several(self) -> set[int]:
        """Sizes that more than one file has: only among those can there be copies to remember."""
        sizes: Counter[int] = Counter()
        for item_id in self._plan.look:
            file = self._collection.file(item_id)
            if file is not None and self._collection.feature(item_id) is None:
                try:
                    sizes[file.stat().st_size] += 1
                except OSError:
                    continue
        return {size for size, count in sizes.items() if count > 1}

    def _embed(self, batch: Sequence[Looked], twice: set[int]) -> None:
        """Embed each content once, and store all entries that have it."""
        of_digest: dict[str, list[Looked]] = defaultdict(list)
        for looked in batch:
            of_digest[looked.state.digest].append(looked)
        if not batch:
            return
        vectors_NJ = self._eye.encode([same[0].inputs for same in of_digest.values()])
        for (digest, same), vector_J in zip(of_digest.items(), vectors_NJ, strict=True):
            if not np.isfinite(vector_J).all():
                reason = "its vision vector does not fit into float16, or is not finite"
                for looked in same:
                    self._reject(Rejected(looked.entry.item_id, looked.entry.path, reason))
                continue
            for looked in same:
                self._put(looked, vector_J)
            self.done.copies += len(same) - 1
            if same[0].state.size in twice:
                self._known[digest] = same[0].entry.item_id

    def _put(self, looked: Looked, vector_J: np.ndarray) -> None:
        new = looked.entry.item_id not in self._plan.there
        self._writer.put(looked.entry, vector_J, new=new)
        if new:
            self.done.added += 1
        else:
            self.done.changed += 1

    def _knows(self, item_id: str, digest: str) -> bool:
        """Whether the index has the vector of a content that an item has."""
        return digest in self._known or self._is_unchanged(item_id, digest)

    def _is_unchanged(self, item_id: str, digest: str) -> bool:
        before = self._plan.before.get(item_id)
        return before is not None and before.digest == digest

    def _copy(self, looked: Looked) -> None:
        """An entry whose content the index knows: that of a file that moved, or of another copy."""
        origin = self._known[looked.state.digest]
        self._put(looked, self._writer.vector(origin))
        if origin in self._plan.gone:
            self.done.moved += 1
        else:
            self.done.copies += 1

    def _reword(self, item_id: str) -> None:
        entry = reworded(self._collection, item_id, self._plan.reword[item_id])
        if isinstance(entry, Rejected):
            self._reject(entry)
        else:
            self._writer.reword(entry)
            self.done.reworded += 1

    def _reject(self, rejected: Rejected) -> None:
        self.rejected.append(rejected)
        # What the index holds of a file that can no longer be read is out of date.
        if rejected.item_id in self._plan.there:
            self._gone.append(rejected.item_id)
