"""Any order of writes, searches and openings, against a dictionary."""

from __future__ import annotations

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from index_world import WIDTH, Oracle, draw_vectors, make_entry

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.stores import STORES, parse
from dragoman.stores.embedded import store as embedded
from dragoman.stores.embedded.store import EmbeddedStore

IDS = [f"{letter}{number}" for letter in "aBé" for number in range(8)]
FILTERS = ["year>=2010", "place=Porto or tag=night", "not flag=true", "mixed=1 or mixed=true", "kind=video"]
# Few vectors, so that scores are often equal.
POOL = draw_vectors(12)
NUMBERS = st.integers(0, 40)
SOME_IDS = st.lists(st.sampled_from(IDS), min_size=1, max_size=7, unique=True)


class Model(RuleBasedStateMachine):
    store = "exact"
    config: ClassVar[dict[str, Any]] = {}

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(embedded, "COMPACT_AFTER", 6)
        self.folder = Path(tempfile.mkdtemp())
        self.oracle = Oracle()
        self.index, self.other = self.opened(), self.opened()

    def opened(self) -> EmbeddedStore:
        module = plugins.load(STORES, self.store, "store")
        opened: EmbeddedStore = module.open_store(self.folder, module.Config(**self.config), WIDTH, "model")
        return opened

    def teardown(self) -> None:
        self.index.close()
        self.other.close()
        self.patch.undo()
        shutil.rmtree(self.folder)

    @rule(ids=SOME_IDS, number=NUMBERS)
    def add(self, ids: list[str], number: int) -> None:
        entries = [make_entry(item_id, number + i) for i, item_id in enumerate(ids)]
        vectors = POOL[[(number + i) % len(POOL) for i in range(len(ids))]]
        if self.oracle.entries.keys() & set(ids):
            with pytest.raises(UserError, match="already"):
                self.index.add(entries, vectors)
        else:
            self.index.add(entries, vectors)
            self.oracle.put(entries, vectors)

    @rule(ids=SOME_IDS, number=NUMBERS, moved=st.booleans())
    def update(self, ids: list[str], number: int, moved: bool) -> None:
        entries = [make_entry(item_id, number + i) for i, item_id in enumerate(ids)]
        vectors = POOL[[(number + i) % len(POOL) for i in range(len(ids))]] if moved else None
        if set(ids) <= self.oracle.entries.keys():
            self.index.update(entries, vectors)
            self.oracle.put(entries, vectors)
        else:
            with pytest.raises(UserError, match="does not hold"):
                self.index.update(entries, vectors)

    @precondition(lambda self: self.oracle.entries)
    @rule(data=st.data(), number=NUMBERS, moved=st.booleans())
    def update_some(self, data: st.DataObject, number: int, moved: bool) -> None:
        known = sorted(self.oracle.entries)
        self.update(data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True)), number, moved)

    @rule(ids=SOME_IDS)
    def delete(self, ids: list[str]) -> None:
        assert self.index.delete(ids) == self.oracle.delete(ids)

    @rule(k=st.integers(1, 9), filter=st.sampled_from([None, *FILTERS]), seed=st.integers(0, 5))
    def search(self, k: int, filter: str | None, seed: int) -> None:
        parsed = parse(filter) if filter else None
        queries = draw_vectors(2, seed=seed)
        found = [list(map(tuple, one)) for one in self.other.search(queries, k, parsed)]
        assert found == self.oracle.search(queries, k, parsed)

    @rule(
        filter=st.sampled_from([None, *FILTERS]), after=st.sampled_from(["", *IDS]), limit=st.integers(0, 30)
    )
    def scan(self, filter: str | None, after: str, limit: int) -> None:
        parsed = parse(filter) if filter else None
        passing = self.oracle.passing(parsed)
        assert self.other.count(parsed) == len(passing)
        assert self.other.scan(after, limit, parsed) == [e for e in passing if e.item_id > after][:limit]

    @rule()
    def exchange(self) -> None:
        self.index, self.other = self.other, self.index

    @rule()
    def open_again(self) -> None:
        self.index.close()
        self.index = self.opened()

    @invariant()
    def is_sound(self) -> None:
        assert self.index.check() == []


class FaissModel(Model):
    store = "faiss"
    config: ClassVar[dict[str, Any]] = {"least": 8, "recall": 1.0, "candidates": 24}


FEW = settings(max_examples=12, stateful_step_count=25, deadline=None)


class TestExact(Model.TestCase):
    settings = FEW


@pytest.mark.skipif(not find_spec("faiss"), reason="needs dragoman[faiss]")
class TestFaiss(FaissModel.TestCase):
    settings = FEW
