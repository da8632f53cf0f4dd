"""Stages on a Ray cluster of several nodes on this computer: the bytes of one process, whatever is lost."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import slow_work
import use_sentences_setup
from tiny_towers import save_photo_corpus, save_tower
from toy_model import save_model, save_picture
from translation_world import UpperEngine, make_corpus

from dragoman.blocks import Cluster, gathered
from dragoman.errors import DamagedError, Exit, UserError
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.features.work import FeatureWork, Shard
from dragoman.index import IndexOptions, index_media
from dragoman.index.entries import walk
from dragoman.index.folder import open_generation, read_info
from dragoman.index.update import Update
from dragoman.records import Entry
from dragoman.translation import TranslateSettings, translate

ray = pytest.importorskip("ray", reason="Ray is not installed: make interop")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of Ray, of itself
    pytest.mark.skipif("DRAGOMAN_INTEROP" not in os.environ, reason="takes minutes: make interop"),
]

STORE = 80_000_000
"""Bytes of the object store of a node."""
BATCH = 2
SLOW = [sys.executable, str(Path(slow_work.__file__))]
STAGES = (
    "features.extract.BLOCK_FRAMES",
    "features.extract.SHARD_SECONDS",
    "features.extract._Extraction",
    "features.texts.BLOCK_TEXTS",
    "translation.texts.BLOCK_BATCHES",
    "index.job.load_encoder",
    "index.update.BLOCK_PICTURES",
    "index.update.SENT_AT_ONCE",
)
"""What `slow_work` changes."""


class Nodes:
    """A cluster of a head, which computes nothing, and two nodes with one core each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
        self._cluster = RayCluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        self._nodes: list[Any] = []
        self.complete()
        ray.init(address=self.address, include_dashboard=False, log_to_driver=False)

    def complete(self) -> None:
        """Add a node for each that was lost."""
        while len(self._nodes) < 2:
            self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=STORE))
        self._cluster.wait_for_nodes()

    def lose(self, node_id: str) -> None:
        """Kill a node with all that runs on it."""
        (lost,) = [node for node in self._nodes if node.node_id == node_id]
        self._nodes.remove(lost)
        self._cluster.remove_node(lost, allow_graceful=False)

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("notes")
    # Nodes inherit it when they start.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(slow_work.NOTES, str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        # Else workers wait for whatever else this computer does.
        patch.setenv("RAY_worker_niceness", "0")
        yield folder


@pytest.fixture(scope="module")
def cluster(notes: Path) -> Iterator[Nodes]:
    found = Nodes()
    yield found
    found.close()


@pytest.fixture
def nodes(cluster: Nodes, notes: Path) -> Nodes:
    cluster.complete()
    for file in notes.iterdir():
        file.unlink()
    return cluster


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tower(tmp_path_factory.mktemp("towers") / "eyes", "clip")


def photos(folder: Path, count: int) -> Path:
    corpus = save_photo_corpus(folder, count)
    (corpus / "3.png").write_bytes(b"broken")
    return corpus


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def options(nodes: Nodes | None = None) -> ExtractOptions:
    chosen = Cluster() if nodes is None else Cluster(ray=nodes.address)
    return ExtractOptions(batch_size=BATCH, device="cpu", cluster=chosen)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STAGES:
        place, _, member = f"dragoman.{name}".rpartition(".")
        monkeypatch.setattr(f"dragoman.{name}", getattr(sys.modules[place], member))
    slow_work.slow_down()


@pytest.mark.usefixtures("slow")
def test_features_are_the_same_bytes_though_a_node_is_lost(
    tmp_path: Path, tower: Path, nodes: Nodes, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = photos(tmp_path, 80)
    with monkeypatch.context() as patch:
        patch.setattr(slow_work, "begin", lambda: None)
        one = extract_features(corpus, encoder=tower, name="one", options=options())
    lost: list[str] = []
    add = FeatureWork.add

    def lose(work: FeatureWork, shard: Shard) -> None:
        add(work, shard)
        begun = slow_work.nodes(notes)
        if not lost and len(set(begun)) == 2:
            lost.append(begun[-1])
            nodes.lose(begun[-1])

    monkeypatch.setattr(FeatureWork, "add", lose)
    other = extract_features(corpus, encoder=tower, name="other", options=options(nodes))
    assert (one.total, other.total, len(lost)) == (79, 79, 1)
    assert [(r.item_id, r.reason) for r in other.rejected] == [(r.item_id, r.reason) for r in one.rejected]
    assert files(other.folder) == files(one.folder)
    # What the lost node had begun was begun again.
    assert len(slow_work.nodes(notes)) > 20


@pytest.mark.usefixtures("slow")
def test_a_killed_driver_goes_on_from_finished_blocks_to_the_same_bytes(
    tmp_path: Path, tower: Path, nodes: Nodes, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = photos(tmp_path, 60)
    with monkeypatch.context() as patch:
        patch.setattr(slow_work, "begin", lambda: None)
        one = extract_features(corpus, encoder=tower, name="one", options=options())
    given = ["features", str(corpus), "--encoder", str(tower), "--name", "other", "--batch-size", str(BATCH)]
    shards = corpus / "features" / ".other" / "shards"
    with subprocess.Popen([*SLOW, *given, "--device", "cpu", "--ray", nodes.address]) as driver:
        while len(list(shards.glob("shard-*.json"))) < 5:
            assert driver.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        driver.kill()
    assert driver.returncode == -signal.SIGKILL
    kept = len(list(shards.glob("shard-*.json")))
    for file in notes.iterdir():
        file.unlink()
    other = extract_features(corpus, encoder=tower, name="other", options=options(nodes))
    assert files(other.folder) == files(one.folder)
    # Two batches a block.
    assert len(slow_work.nodes(notes)) == math.ceil((30 - kept) / 2)


@pytest.mark.usefixtures("slow")
def test_vectors_of_texts_are_the_same_bytes(tmp_path: Path, nodes: Nodes) -> None:
    encoder = use_sentences_setup.save(tmp_path / "use")
    corpus = make_corpus(tmp_path / "corpus", [{"text": "a dog " * number} for number in range(1, 20)])
    chosen = TextOptions(batch_size=BATCH, device="cpu")
    one = extract_texts(corpus, encoder=encoder, name="one", options=chosen)
    other = extract_texts(
        corpus, encoder=encoder, name="other", options=replace(chosen, cluster=Cluster(ray=nodes.address))
    )
    assert (one.total, other.total) == (19, 19)
    assert files(other.folder) == files(one.folder)


@pytest.mark.usefixtures("slow")
def test_translations_are_the_same_bytes_and_those_of_the_cache(
    tmp_path: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"line {number}" for number in range(19)]
    made = [{"text": line, "translation": line.upper()} for line in lines if line != "line 7"]
    (tmp_path / "there.jsonl").write_text("".join(json.dumps(one) + "\n" for one in made), "utf-8")
    # Workers find it as this process does.
    monkeypatch.chdir(tmp_path)
    corpora = {}
    for name, cluster in (("one", Cluster()), ("other", Cluster(ray=nodes.address))):
        corpora[name] = make_corpus(tmp_path / name, [{"text": line} for line in lines])
        settings = TranslateSettings(batch_size=BATCH, cache=tmp_path / f"cache_{name}", cluster=cluster)
        report = translate(corpora[name], to="pt", engine="recorded:there.jsonl", settings=settings)
        assert (report.translated, report.rejected) == (18, 1)
    assert files(corpora["other"]) == files(corpora["one"])
    again = translate(
        corpora["one"],
        to="pt",
        engine="recorded:there.jsonl",
        settings=TranslateSettings(cache=tmp_path / "cache_other"),
    )
    assert (again.translated, again.cached, again.rejected) == (0, 18, 1)


def held(index: Path) -> dict[str, tuple[Entry, bytes]]:
    with open_generation(read_info(index)) as store:
        entries = list(walk(store))
        vectors = store.vectors([entry.item_id for entry in entries])
    return {entry.item_id: (entry, vector.tobytes()) for entry, vector in zip(entries, vectors, strict=True)}


@pytest.mark.usefixtures("slow")
def test_an_index_is_the_same_vectors_though_a_node_is_lost(
    tmp_path: Path, nodes: Nodes, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, media = save_model(tmp_path / "run"), tmp_path / "photos"
    for number in range(70):
        # Some are copies of others, of the same batch and of earlier ones, sent together and before.
        seed = {11: 10, 17: 12, 31: 4, 32: 4, 40: 36, 66: 2, 69: 68}.get(number, number)
        save_picture(media / f"{number:02}.png", (3 * seed, 255 - seed, seed))
    (media / "20.png").write_bytes(b"broken")
    found = {}
    lost: list[str] = []
    keep = Update._keep

    def lose(update: Update, *given: Any) -> None:
        keep(update, *given)
        begun = slow_work.nodes(notes)
        if not lost and len(set(begun)) == 2:
            lost.append(begun[-1])
            nodes.lose(begun[-1])

    for name, cluster in (("one", Cluster()), ("other", Cluster(ray=nodes.address))):
        with monkeypatch.context() as patch:
            if cluster.ray is None:
                patch.setattr(slow_work, "begin", lambda: None)
            else:
                patch.setattr(Update, "_keep", lose)
            chosen = IndexOptions(device="cpu", batch_size=BATCH, cluster=cluster)
            report = index_media(run, media, tmp_path / name, chosen)
        found[name] = held(tmp_path / name), vars(report.done), report.rejected
    assert found["other"] == found["one"]
    assert (len(found["one"][0]), found["one"][1]["copies"], len(lost)) == (69, 7, 1)


def test_an_engine_without_a_spec_and_one_of_another_version_are_refused(
    tmp_path: Path, nodes: Nodes
) -> None:
    corpus = make_corpus(tmp_path / "corpus", [{"text": "a dog"}])
    settings = TranslateSettings(cache=tmp_path / "cache", cluster=Cluster(ray=nodes.address))
    engine = UpperEngine()
    with pytest.raises(UserError, match=r"Give the engine fake:upper by its spec"):
        translate(corpus, to="pt", engine=engine, settings=settings)
    engine.again = partial(UpperEngine, version="2")
    with pytest.raises(UserError, match=r"another version \(2\) than fake:upper here \(1\)"):
        translate(corpus, to="pt", engine=engine, settings=settings)


def test_a_cluster_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"No Ray cluster answers at '{address}' .*ray start --head"):
            gathered(Cluster(ray=address)).__enter__()


def test_what_a_worker_refuses_is_told_here(nodes: Nodes) -> None:
    def load() -> Any:
        raise DamagedError("The tower is damaged. Fetch it again.")

    with gathered(Cluster(ray=nodes.address)) as workers, pytest.raises(UserError) as told:
        list(workers.computed(load, [[1], [2]]))
    assert (str(told.value), told.value.exit_code) == ("The tower is damaged. Fetch it again.", Exit.FAILURE)


def test_more_cores_than_there_are_and_devices_that_no_node_has_are_refused(nodes: Nodes) -> None:
    with gathered(Cluster(ray=nodes.address, ray_cpus=3)) as workers:
        assert workers.device("auto", str) == "cpu"
        with pytest.raises(UserError, match="No node of the Ray cluster has a GPU"):
            workers.device("cuda", str)
        with pytest.raises(UserError, match=r"has 3 cores for a worker"):
            list(workers.computed(lambda: iter, [[1]]))
