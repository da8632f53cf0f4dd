"""What is particular to Qdrant: requests and keys, adds of several requests, walks, no server at all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from index_world import draw_vectors, make_entries
from qdrant_setup import KEY, KEY_NAME, Stand, stand

from dragoman.errors import MissingExtraError, UserError
from dragoman.records import Entry
from dragoman.stores import Store, parse
from dragoman.stores.qdrant import Config, drop_store, open_store

pytest.importorskip("qdrant_client")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv(KEY_NAME, KEY)
    with stand() as server:
        yield server


def connected(server: Stand, **settings: object) -> Store:
    config = Config(url=server.url, api_key_env=KEY_NAME, **settings)  # type: ignore[arg-type]
    return open_store(Path(), config, 16, "photos")


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> int:
    """Entries of a request, so that few are several requests."""
    monkeypatch.setattr("dragoman.stores.qdrant.requests.PAGE", 10)
    return 10


def test_requests_carry_the_key_and_go_to_the_path_of_the_address(server: Stand) -> None:
    config = Config(url=f"{server.url}/behind/proxy", api_key_env=KEY_NAME)
    with pytest.raises(UserError, match="answered with status 404"):
        open_store(Path(), config, 16, "photos")
    assert server.seen[-1].path == "/behind/proxy/collections/dragoman_photos/exists"
    assert server.seen[-1].headers["api-key"] == KEY


def test_a_wrong_key_is_named_but_not_shown(server: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, "h1dden")
    with pytest.raises(UserError, match=f"refuses the key. Set one that may: export {KEY_NAME}=") as caught:
        connected(server)
    assert "h1dden" not in str(caught.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with stand() as gone:
        url = gone.url
    with pytest.raises(UserError, match=re.escape(f"Qdrant at {url} failed (")):
        open_store(Path(), Config(url=url), 16, "photos")


def test_an_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGOMAN_QDRANT_URL", raising=False)
    for url in ("", "localhost:6333", "/some/folder"):
        with pytest.raises(UserError, match="export DRAGOMAN_QDRANT_URL=https://host:6333"):
            open_store(Path(), Config(url=url), 16, "photos")


def test_the_address_may_come_from_the_environment(server: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_QDRANT_URL", server.url)
    with open_store(Path(), Config(api_key_env=KEY_NAME), 16, "photos") as index:
        assert index.count() == 0
        assert index.describe()["place"] == server.url
        assert KEY not in repr(index.describe())


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("dragoman.stores.qdrant.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'dragoman[qdrant]'")):
        open_store(Path(), Config(url=":memory:"), 16, "photos")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shards": 0}, "shards must be at least 1, got 0"),
        ({"quantize": True}, "Set both: --set approximate=true"),
        ({"url": "https://me:secret@host:6333"}, "export QDRANT_API_KEY=…"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**settings)  # type: ignore[arg-type]


def test_a_collection_is_made_as_asked_and_only_once(server: Stand) -> None:
    connected(server, shards=6, replicas=3, approximate=True, m=8, ef_construction=50, quantize=True).close()
    (made,) = [asked.body for asked in server.seen if asked.action == "PUT"]
    assert made == {
        "vectors": {"size": 16, "distance": "Dot", "on_disk": True},
        "shard_number": 6,
        "replication_factor": 3,
        "write_consistency_factor": 2,
        "hnsw_config": {"m": 8, "ef_construct": 50},
        "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
    }
    indexed = [asked.body["field_name"] for asked in server.seen if asked.action == "PUT/index"]
    assert indexed == ["state", "tokens", "numbers[].field", "numbers[].value"]
    connected(server).close()
    assert sum(asked.action == "PUT" for asked in server.seen) == 1


@pytest.mark.parametrize("replicas", [1, 3])
def test_writes_are_waited_for_and_replicas_agree(server: Stand, replicas: int) -> None:
    with connected(server, replicas=replicas) as index:
        server.seen.clear()
        index.add([Entry(item_id="a")], draw_vectors(1))
        index.update([Entry(item_id="a", source="new")])
        index.search(draw_vectors(1), 1)
        index.delete(["a"])
    paths = {asked.action: asked.path for asked in server.seen}
    for action in ("PUT/points", "POST/points/delete"):
        assert "wait=true" in paths[action]
        assert ("ordering=strong" in paths[action]) == (replicas > 1)
    for action in ("POST/points", "POST/points/query"):
        assert ("consistency=majority" in paths[action]) == (replicas > 1)


@pytest.mark.parametrize(
    ("approximate", "expected"),
    [
        (False, {"exact": True, "hnsw_ef": 128, "quantization": {"ignore": True, "rescore": True}}),
        (True, {"exact": False, "hnsw_ef": 128, "quantization": {"ignore": False, "rescore": True}}),
    ],
)
def test_a_search_is_exact_unless_asked_otherwise(
    server: Stand, approximate: bool, expected: dict[str, object]
) -> None:
    with connected(server, approximate=approximate) as index:
        index.search(draw_vectors(1), 1)
    (query,) = [asked.body for asked in server.seen if asked.action == "POST/points/query"]
    assert query["params"] == expected


@pytest.mark.parametrize("fails", ["PUT/points", "POST/points/payload"])
def test_an_add_that_fails_half_way_shows_nothing_and_may_be_repeated(
    server: Stand, small_requests: int, fails: str
) -> None:
    index, reader = connected(server), connected(server)
    index.add([Entry(item_id="a")], draw_vectors(1))
    entries, vectors = make_entries(3 * small_requests), draw_vectors(3 * small_requests)
    put, genuine = 0, Stand.refusal

    def refusal(self: Stand, action: str) -> int | None:
        nonlocal put
        put += action == "PUT/points"
        return 500 if action == fails and put in (2, 3) else genuine(self, action)

    server.refusal = refusal.__get__(server)  # type: ignore[method-assign]
    with pytest.raises(UserError, match=f"answered with status 500.*broken {fails}"):
        index.add(entries, vectors)
    stored = server.store.count("dragoman_photos").count
    assert stored > 1
    assert (reader.count(), reader.scan()) == (1, [Entry(item_id="a")])
    assert reader.get([entries[0].item_id]) == [None]
    assert len(reader.search(vectors[:1], 5)[0]) == 1
    put = 10
    index.add(entries, vectors)
    assert reader.count() == 1 + len(entries)
    assert server.store.count("dragoman_photos").count == 1 + len(entries)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from index_world import draw_vectors, make_entries
from dragoman.stores.qdrant import requests
from dragoman.stores.qdrant import Config, open_store

requests.PAGE = 10
index = open_store(Path(), Config(url={url!r}, api_key_env={key!r}), 16, "photos")
index.add(make_entries(25, "first"), draw_vectors(25))
print("acknowledged", flush=True)
genuine, entries = requests.payload_of, 0
def deadly(*arguments):
    global entries
    entries += 1
    if entries > 25:
        os.kill(os.getpid(), signal.SIGKILL)
    return genuine(*arguments)
requests.payload_of = deadly
index.add(make_entries(30, "second"), draw_vectors(30))
"""


def test_a_kill_during_add_leaves_all_that_was_acknowledged_and_shows_nothing_else(server: Stand) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), url=server.url, key=KEY_NAME)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "acknowledged\n"), done.stderr
    assert server.store.count("dragoman_photos").count == 25 + 20
    with connected(server) as index:
        assert index.scan() == sorted(make_entries(25, "first"), key=lambda entry: entry.item_id)
        assert index.delete(["first-000000"]) == 1
        assert server.store.count("dragoman_photos").count == index.count() == 24


def test_a_change_of_many_entries_goes_in_several_requests(server: Stand, small_requests: int) -> None:
    entries, vectors = make_entries(35), draw_vectors(35)
    with connected(server) as index:
        index.add(entries, vectors)
        index.update([Entry(item_id=entry.item_id, source="new") for entry in entries])
        assert [len(asked.body["points"]) for asked in server.seen if asked.action == "PUT/points"] == [
            *(10, 10, 10, 5),
            *(10, 10, 10, 5),
        ]
        assert {entry.source for entry in index.scan()} == {"new"}
        ids = [entry.item_id for entry in entries]
        np.testing.assert_array_equal(index.vectors(ids), vectors)


def test_a_walk_collects_the_ids_once_and_sees_what_happens_to_them(server: Stand) -> None:
    writer, reader = connected(server), connected(server)
    writer.add([Entry(item_id=item_id, metadata={"year": 1}) for item_id in "abcdefg"], draw_vectors(7))
    some = parse("year=1")
    server.seen.clear()
    assert [entry.item_id for entry in reader.scan(limit=2, filter=some)] == ["a", "b"]
    writer.delete(["c"])
    writer.update([Entry(item_id="d", metadata={"year": 2}), Entry(item_id="e", metadata={"year": True})])
    assert [entry.item_id for entry in reader.scan(after="b", limit=1, filter=some)] == ["f"]
    assert sum(asked.action == "POST/points/scroll" for asked in server.seen) == 1
    # Another page, another filter, or a change of its own: begun anew.
    assert [entry.item_id for entry in reader.scan(after="a", limit=1, filter=some)] == ["b"]
    assert [entry.item_id for entry in reader.scan(after="f")] == ["g"]
    reader.add([Entry(item_id="bb", metadata={"year": 1})], draw_vectors(1))
    assert [entry.item_id for entry in reader.scan(after="b", limit=9, filter=some)] == ["bb", "f", "g"]
    assert sum(asked.action == "POST/points/scroll" for asked in server.seen) == 4


def test_many_entries_with_one_vector_come_in_the_order_of_their_ids(server: Stand) -> None:
    entries = make_entries(150)
    with connected(server) as index:
        index.add(entries, np.repeat(draw_vectors(1), 150, axis=0))
        (found,) = index.search(draw_vectors(1), 3)
        assert [match.item_id for match in found] == sorted(entry.item_id for entry in entries)[:3]
        # Texts in order are compared here, not by the server.
        (found,) = index.search(draw_vectors(1), 3, parse("item_id>=photo-09"))
        ids = sorted(entry.item_id for entry in entries if entry.item_id >= "photo-09")
        assert [match.item_id for match in found] == ids[:3]


def test_recall_is_measured_and_described(server: Stand) -> None:
    with connected(server, approximate=True) as index:
        index.add(make_entries(60), draw_vectors(60))
        server.seen.clear()
        index.build(draw_vectors(30, seed=1))
        exact = [
            asked.body["params"]["exact"] for asked in server.seen if asked.action == "POST/points/query"
        ]
        assert exact == [False] * 20 + [True] * 20
        # The stand-in is always exact.
        assert (index.describe()["recall@10"], index.describe()["measured_with"]) == (1.0, "20 queries")
        index.build()
        assert index.describe()["measured_with"] == "20 stored vectors"
    with connected(server) as index:
        index.build()
        assert "recall@10" not in index.describe()


def test_a_collection_can_be_dropped(server: Stand) -> None:
    config = Config(url=server.url, api_key_env=KEY_NAME)
    connected(server).close()
    for _ in range(2):
        drop_store(Path(), config, "photos")
        assert not server.store.collection_exists("dragoman_photos")


# The library leaves its lock file open where it is taken.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_store_in_a_folder_is_kept_and_belongs_to_one_process(tmp_path: Path) -> None:
    config = Config(url=":folder:")
    with open_store(tmp_path, config, 16, "photos") as index:
        index.add(make_entries(5), draw_vectors(5))
        with pytest.raises(UserError, match="is in use by another process"):
            open_store(tmp_path, config, 16, "photos")
    with open_store(tmp_path, config, 16, "photos") as index:
        assert index.count() == 5
        np.testing.assert_array_equal(index.vectors([make_entries(5)[3].item_id])[0], draw_vectors(5)[3])
