"""Vectors that are stored as halves or bytes: what is read of them, and that nothing else differs."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_world import WIDTH, Oracle, draw_vectors, make_entries, make_entry
from test_best_rows import SIZES, quick, slow

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.stores import STORES, Store, best
from dragoman.stores.embedded import store as embedded
from dragoman.stores.embedded.rows import PRECISIONS, NarrowRows, Precision, bytes_of, stored
from dragoman.stores.exact import Config, open_store

NARROW: tuple[Precision, ...] = ("float16", "int8")


def slowly_read(vectors: np.ndarray, precision: str) -> np.ndarray:
    """Vectors as an index gives them back, one number at a time."""
    if precision == "float16":
        return np.array([[float(np.float16(one)) for one in row] for row in vectors], np.float32)
    found = []
    for row in vectors.tolist():
        largest = max(map(abs, row))
        codes = [round(one * 127 / largest) for one in row]
        scale = np.float32(1 / math.sqrt(sum(code**2 for code in codes)))
        found.append([np.float32(code) * scale for code in codes])
    return np.array(found, np.float32)


def narrow(vectors: np.ndarray, precision: Precision) -> NarrowRows:
    return NarrowRows(stored(vectors, precision), vectors.shape[1], precision)


def opened(folder: Path, name: str = "exact", **settings: Any) -> Store:
    module = plugins.load(STORES, name, "store")
    store: Store = module.open_store(folder, module.Config(**settings), WIDTH, "photos")
    return store


def test_every_half_up_to_1_is_read_as_it_is() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves) & (np.abs(halves) <= 1)]
    rows = NarrowRows(halves.view(np.uint8).reshape(1, -1), len(halves), "float16")
    assert len(halves) == 2 * (15 * 1024 + 1)
    assert rows.read()[0].tolist() == [float(half) for half in halves]


def test_a_row_of_bytes_by_hand() -> None:
    (row,) = stored(np.array([[0.6, -0.8, 0, 0]], np.float32), "int8")
    # 0.6 / 0.8 × 127 = 95.25
    assert row[:4].view(np.int8).tolist() == [95, -127, 0, 0]
    assert row[4:].view("<f4")[0] == np.float32(1 / math.sqrt(95**2 + 127**2))
    (read,) = NarrowRows(row[None], 4, "int8").read()
    assert read == pytest.approx([0.598991, -0.800756, 0, 0], abs=1e-6)


@pytest.mark.parametrize("precision", NARROW)
def test_vectors_are_those_of_a_slow_reading_and_stay_near_what_was_given(precision: Precision) -> None:
    given_ = draw_vectors(300, width=64)
    read = narrow(given_, precision).read()
    np.testing.assert_array_equal(read, slowly_read(given_, precision))
    step = 2.0**-11 if precision == "float16" else np.abs(given_).max(1, keepdims=True) / 127
    assert (np.abs(read - given_) <= step).all()
    assert np.linalg.norm(read, axis=1) == pytest.approx(1, abs=5e-4)


@given(
    **SIZES,
    part=st.sampled_from([None, 0.0, 0.03, 0.5, 1.0]),
    decoded=st.sampled_from([1, 7, 1024]),
    precision=st.sampled_from(NARROW),
)
@settings(deadline=None, max_examples=60)
def test_the_best_are_those_of_looking_at_every_row_as_it_is_read(
    seed: int, rows: int, queries: int, k: int, kinds: int, part: Any, decoded: int, precision: Precision
) -> None:
    draw = np.random.default_rng(seed)
    matrix = narrow(draw_vectors(kinds, seed, width=5)[draw.integers(kinds, size=rows)], precision)
    asked = draw_vectors(queries, seed + 1, width=5)
    allowed = None if part is None else draw.random(rows) < part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(best, "DECODED", decoded)
        assert quick(matrix, asked, k, allowed) == slow(matrix.read(), asked, k, allowed)


@pytest.mark.parametrize("precision", NARROW)
def test_an_index_holds_what_is_read_through_updates_compaction_and_reopening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    monkeypatch.setattr(embedded, "COMPACT_AFTER", 20)
    oracle, entries, vectors = Oracle(), make_entries(60), draw_vectors(60)
    with opened(tmp_path, precision=precision) as index:
        index.add(entries[:50], vectors[:50])
        index.add(entries[50:], vectors[50:])
        oracle.put(entries, slowly_read(vectors, precision))
        index.delete([entry.item_id for entry in entries[:35]])
        oracle.delete([entry.item_id for entry in entries[:35]])
        changed = [make_entry(entries[40].item_id, 3)]
        index.update(changed, draw_vectors(1, seed=5))
        oracle.put(changed, slowly_read(draw_vectors(1, seed=5), precision))
    (file,) = tmp_path.glob("vectors-*")
    assert file.name == f"vectors-1.{'f16' if precision == 'float16' else 'i8'}"
    with opened(tmp_path, precision=precision) as index:
        assert index.check() == []
        assert index.scan() == oracle.passing()
        queries = draw_vectors(3, seed=77)
        assert [list(map(tuple, one)) for one in index.search(queries, 7)] == oracle.search(queries, 7)
        ids = list(oracle.entries)
        np.testing.assert_array_equal(index.vectors(ids), [oracle.vectors[one] for one in ids])
        assert len(index.sample(10)) == 9


@pytest.mark.parametrize("precision", NARROW)
def test_a_torn_row_is_found(tmp_path: Path, precision: Precision) -> None:
    entries = make_entries(10)
    with opened(tmp_path, precision=precision) as index:
        index.add(entries, draw_vectors(10))
        (file,) = tmp_path.glob("vectors-*")
        with file.open("r+b") as stream:
            stream.seek(4 * bytes_of(WIDTH, precision) - 1)  # the last byte of the fourth
            stream.write(b"\xff")
        assert index.check() == [f"{entries[3].item_id}: the vector is torn"]


def test_bytes_of_a_row() -> None:
    assert [bytes_of(512, one) for one in PRECISIONS] == [2048, 1024, 516]


def test_another_precision_than_that_of_the_index_is_told(tmp_path: Path) -> None:
    opened(tmp_path, precision="int8").close()
    with pytest.raises(UserError, match="holds vectors as int8, but float32 was asked for"):
        opened(tmp_path)
    with pytest.raises(UserError, match="precision must be one of float32, float16, int8, got 'int4'"):
        opened(tmp_path, precision="int4")


def test_only_narrow_vectors_are_of_a_newer_format_and_those_of_before_are_read(tmp_path: Path) -> None:
    for precision, version in (("float32", 1), ("float16", 2)):
        with opened(tmp_path / precision, precision=precision) as index:
            index.add(make_entries(5), draw_vectors(5))
        with sqlite3.connect(tmp_path / precision / "entries.sqlite") as database:
            assert database.execute("PRAGMA user_version").fetchone() == (version,)
            if version == 1:
                database.execute("ALTER TABLE state DROP COLUMN precision")
        database.close()
    with open_store(tmp_path / "float32", Config(), WIDTH, "photos") as index:
        assert index.check() == [] and index.count() == 5


def test_approximate_search_of_bytes_finds_and_scores_what_exact_search_does(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="needs dragoman[faiss]")
    entries, vectors = make_entries(400), draw_vectors(400)
    oracle = Oracle()
    oracle.put(entries, slowly_read(vectors, "int8"))
    with opened(tmp_path, "faiss", least=30, recall=1.0, precision="int8") as index:
        index.add(entries, vectors)
        assert index.describe()["search"] == "approximate"
        queries = draw_vectors(3, seed=7)
        assert [list(map(tuple, one)) for one in index.search(queries, 5)] == oracle.search(queries, 5)
