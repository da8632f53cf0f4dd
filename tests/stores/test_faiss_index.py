"""Approximate search: what it finds, what it says of itself, and when it is built."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_world import draw_vectors, unit

from dragoman.errors import UserError
from dragoman.folders import sole_writer
from dragoman.records import Entry
from dragoman.stores import parse

faiss = pytest.importorskip("faiss", reason="needs dragoman[faiss]")

from dragoman.stores import exact  # noqa: E402
from dragoman.stores import faiss as backend  # noqa: E402
from dragoman.stores.faiss import Approximate, Config  # noqa: E402

COUNT, WIDTH = 6000, 32


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around 60 centres, the same for every seed."""
    centres = draw_vectors(60, width=WIDTH)
    draw = np.random.default_rng(seed)
    noise = 0.12 * draw.standard_normal((count, WIDTH))
    return unit(centres[draw.integers(60, size=count)] + noise)


def entries(start: int, stop: int) -> list[Entry]:
    return [Entry(item_id=f"{i:06}", metadata={"part": i % 100}) for i in range(start, stop)]


def open_index(folder: Path, **settings: Any) -> Approximate:
    opened = backend.open_store(folder, Config(**{"least": 500, **settings}), WIDTH, "photos")
    assert isinstance(opened, Approximate)
    return opened


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return clustered(COUNT)


@pytest.fixture(scope="module")
def folder(rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built index that tests only read."""
    folder = tmp_path_factory.mktemp("built")
    with open_index(folder, recall=0.97) as index:
        index.add(entries(0, COUNT), rows)
    return folder


@pytest.fixture
def index(folder: Path) -> Iterator[Approximate]:
    with open_index(folder, recall=0.97) as opened:
        yield opened


def right_answers(
    rows: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> np.ndarray:
    """Positions of the k best rows."""
    scores = queries.astype(np.float64) @ rows.T.astype(np.float64)
    if allowed is not None:
        scores[:, ~allowed] = -9
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(index: Approximate, queries: np.ndarray, right: np.ndarray, filter: str | None = None) -> float:
    found = index.search(queries, right.shape[1], parse(filter) if filter else None)
    hits = [{int(match.item_id) for match in one} for one in found]
    return float(
        np.mean([len(one & set(best)) / len(best) for one, best in zip(hits, right.tolist(), strict=True)])
    )


def test_it_looks_at_a_part_of_the_lists_and_finds_nearly_everything(
    index: Approximate, rows: np.ndarray
) -> None:
    said = index.describe()
    assert said["search"] == "approximate"
    assert said["entries"] == COUNT and said["searched_exactly"] == 0
    assert isinstance(said["probes"], int) and isinstance(said["lists"], int)
    assert said["probes"] <= said["lists"] / 4
    queries = clustered(200, seed=5)
    assert recall(index, queries, right_answers(rows, queries, 10)) >= 0.95


def test_the_recall_it_states_is_the_recall_that_it_has(
    folder: Path, index: Approximate, rows: np.ndarray
) -> None:
    # Few probes and nothing hidden: the figure must not be better than the truth.
    with open_index(folder, recall=0.97) as again:
        again.build(queries=clustered(300, seed=6))
        stated = again.describe()
        assert stated["measured_with"] == "given queries"
        queries = clustered(300, seed=6)
        assert recall(again, queries, right_answers(rows, queries, 10)) == pytest.approx(
            stated["recall@10"], abs=0.01
        )


def test_scores_and_order_are_those_of_exact_search(index: Approximate, rows: np.ndarray) -> None:
    queries = clustered(20, seed=7)
    for query, found in zip(queries, index.search(queries, 10), strict=True):
        scores = [
            np.float32(rows[int(m.item_id)].astype(np.float64) @ query.astype(np.float64)) for m in found
        ]
        assert [m.score for m in found] == scores
        assert list(found) == sorted(found, key=lambda m: (-m.score, m.item_id))


@pytest.mark.parametrize("filter", ["part<50", "part>=20", "part<20", "part=3"])
def test_a_filter_costs_no_recall(index: Approximate, rows: np.ndarray, filter: str) -> None:
    field = np.arange(COUNT) % 100
    allowed = {"part<50": field < 50, "part>=20": field >= 20, "part<20": field < 20, "part=3": field == 3}[
        filter
    ]
    queries = clustered(100, seed=8)
    right = right_answers(rows, queries, 10, allowed)
    found = index.search(queries, 10, parse(filter))
    assert all(allowed[int(match.item_id)] for one in found for match in one)
    # 60 pass the last one, which is therefore searched exactly.
    assert recall(index, queries, right, filter) >= (1.0 if filter == "part=3" else 0.95)


def test_what_the_probed_lists_lack_is_found_exactly(tmp_path: Path) -> None:
    """One list is probed, and the filter lets nothing pass that is near the query."""
    rows = clustered(2000)
    query = draw_vectors(60, width=WIDTH)[:1]
    far = rows @ query[0] < -0.1
    marked = [Entry(item_id=f"{i:06}", metadata={"far": bool(one)}) for i, one in enumerate(far)]
    with open_index(tmp_path, recall=0.01, lists=60) as index:
        index.add(marked, rows)
        assert index.describe()["probes"] == 1
        (found,) = index.search(query, 10, parse("far=true"))
    assert [int(match.item_id) for match in found] == right_answers(rows, query, 10, far)[0].tolist()


def test_more_hits_than_were_measured_are_found_exactly(index: Approximate, rows: np.ndarray) -> None:
    query = clustered(1, seed=9)
    (found,) = index.search(query, 150)
    assert [int(match.item_id) for match in found] == right_answers(rows, query, 150)[0].tolist()


def test_a_small_index_is_searched_exactly(tmp_path: Path) -> None:
    with open_index(tmp_path) as index:
        index.add(entries(0, 499), clustered(499))
        index.build()
        assert index.describe() == {"search": "exact", "entries": 499}
        assert not (tmp_path / "approximate.json").exists()


def test_later_entries_are_found_at_once_and_taken_up_in_time(tmp_path: Path) -> None:
    rows = clustered(1800)
    with open_index(tmp_path, recall=1.0, candidates=20) as index:
        index.add(entries(0, 1000), rows[:1000])
        index.add(entries(1000, 1300), rows[1000:1300])
        assert index.describe()["searched_exactly"] == 300
        assert [one[0].item_id for one in index.search(rows[1000:1300], 1)] == [
            f"{i:06}" for i in range(1000, 1300)
        ]
        first = json.loads((tmp_path / "approximate.json").read_text())
        index.add(entries(1300, 1800), rows[1300:])
        second = json.loads((tmp_path / "approximate.json").read_text())
        assert (first["covered"], second["covered"]) == (1000, 1800)
        # Not yet twice as many: the same centres, with more behind them.
        assert second["trained_on"] == first["trained_on"] == 1000
        assert [one[0].item_id for one in index.search(rows, 1)] == [f"{i:06}" for i in range(1800)]
    assert [path.name for path in tmp_path.glob("*.faiss")] == [second["file"]]


def test_centres_are_found_anew_when_the_index_has_doubled(tmp_path: Path) -> None:
    rows = clustered(1700)
    with open_index(tmp_path) as index:
        index.add(entries(0, 600), rows[:600])
        index.add(entries(600, 1700), rows[600:])
        found = json.loads((tmp_path / "approximate.json").read_text())
        assert (found["trained_on"], found["lists"]) == (1700, round(2 * 1700**0.5))


def test_updated_and_deleted_entries_are_not_found_where_they_were(tmp_path: Path) -> None:
    rows = clustered(1000)
    with open_index(tmp_path, recall=1.0) as index:
        index.add(entries(0, 1000), rows)
        index.delete([f"{i:06}" for i in range(100)])
        index.update(entries(100, 101), -rows[100:101])
        found = index.search(rows[:101], 5)
        assert all(match.item_id > "000100" for one in found for match in one)
        assert index.search(-rows[100:101], 1)[0][0].item_id == "000100"
        assert index.describe()["entries"] == 900


@pytest.mark.parametrize("damage", ["file gone", "file torn", "description torn", "another store", "older"])
def test_a_cache_that_does_not_fit_is_passed_over_and_made_again(tmp_path: Path, damage: str) -> None:
    rows = clustered(800)
    with open_index(tmp_path) as index:
        index.add(entries(0, 800), rows)
    description = tmp_path / "approximate.json"
    said = json.loads(description.read_text())
    file = tmp_path / said["file"]
    match damage:
        case "file gone":
            file.unlink()
        case "file torn":
            file.write_bytes(file.read_bytes()[:1000])
        case "description torn":
            description.write_text(description.read_text()[:30])
        case "another store":
            description.write_text(json.dumps(said | {"last_crc": 1}))
        case "older":
            description.write_text(json.dumps(said | {"covered": 900}))
    with open_index(tmp_path) as index:
        assert index.describe() == {"search": "exact", "entries": 800}
        assert [one[0].item_id for one in index.search(rows, 1)] == [f"{i:06}" for i in range(800)]
        index.build()
        assert index.describe()["search"] == "approximate"


def test_the_store_is_the_one_of_the_exact_index(folder: Path, rows: np.ndarray) -> None:
    with exact.open_store(folder, exact.Config(), WIDTH, "photos") as plain:
        assert plain.count() == COUNT
        assert plain.search(rows[7:8], 1)[0][0].item_id == "000007"


def test_a_reader_sees_what_another_handle_built(tmp_path: Path) -> None:
    rows = clustered(700)
    with open_index(tmp_path) as writer, open_index(tmp_path) as reader:
        assert reader.describe()["search"] == "exact"
        writer.add(entries(0, 700), rows)
        assert reader.describe()["search"] == "approximate"
        assert reader.search(rows[3:4], 1)[0][0].item_id == "000003"


def test_a_reader_with_an_old_view_does_not_hide_the_new_index(tmp_path: Path) -> None:
    with open_index(tmp_path) as writer, open_index(tmp_path) as reader:
        with reader._store.reading() as view:
            old = view.state
        writer.add(entries(0, 600), clustered(600))
        assert reader._current(old) is None
        assert reader.describe()["search"] == "approximate"


def test_two_do_not_build_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_index(tmp_path) as index, sole_writer(tmp_path / "building"):
        with caplog.at_level(logging.WARNING):
            index.add(entries(0, 600), clustered(600))
        assert "not brought up to date" in caplog.text
        assert index.count() == 600
        with pytest.raises(UserError, match="being written by another"):
            index.build()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least": 0}, "least"),
        ({"recall": 1.2}, "recall"),
        ({"candidates": 0}, "candidates"),
        ({"wait": -1}, "wait"),
    ],
)
def test_settings_check_themselves(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config(**settings)
