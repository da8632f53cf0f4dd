"""The job with a backend that is a server: what the manifest says, and that old generations go."""

from __future__ import annotations

from pathlib import Path

import postgres_setup
import pytest
from qdrant_setup import KEY, KEY_NAME, stand
from toy_model import load_toy, save_model, save_picture

from dragoman.index import job
from dragoman.index.folder import open_generation, read_info
from dragoman.media.images import Decoding
from dragoman.stores import Store

COLOURS = ("red", "green", "blue")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(job, "load_encoder", load_toy)
    for colour in COLOURS:
        save_picture(tmp_path / "photos" / f"{colour}.png", colour)
    return save_model(tmp_path / "run")


def index(run: Path, **options: object) -> job.IndexReport:
    return job.index_media(
        run,
        run.parent / "photos",
        run.parent / "index",
        job.IndexOptions(device="cpu", decoding=Decoding(workers=1), **options),  # type: ignore[arg-type]
    )


def manifest(run: Path) -> str:
    return (run.parent / "index" / "manifest.json").read_text()


def opened(run: Path) -> Store:
    return open_generation(read_info(run.parent / "index"))


def ids(run: Path) -> list[str]:
    with opened(run) as backend:
        return [entry.item_id for entry in backend.scan()]


def test_an_index_in_postgres_is_built_described_and_replaced(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    psycopg = pytest.importorskip("psycopg")
    monkeypatch.setenv("DRAGOMAN_POSTGRES_URL", f"{postgres_setup.url()}&password=h1dden")
    index(run, store="postgres")
    first = read_info(run.parent / "index")
    assert first.described["search"] == "exact"
    report = index(run, settings={"approximate": "true", "least": "3"})
    assert report.swapped
    described = read_info(run.parent / "index").described
    assert (described["search"], described["recall@10"]) == ("approximate", 1.0)
    assert "h1dden" not in manifest(run)
    assert ids(run) == ["blue.png", "green.png", "red.png"]
    with psycopg.connect(postgres_setup.url()) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE tablename = %s"
        left = [
            connection.execute(tables, [str(one["table"]).partition(".")[2]]).fetchone()
            for one in (first.described, described)
        ]
    assert left == [(0,), (1,)]


def test_an_index_in_qdrant_is_described_and_replaced(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)
    with stand() as server:
        index(run, store="qdrant", settings={"url": server.url, "api_key_env": KEY_NAME})
        index(run, settings={"approximate": "true"})
        described = read_info(run.parent / "index").described
        assert (described["search"], described["recall@10"]) == ("approximate", 1.0)
        assert KEY not in manifest(run)
        assert ids(run) == ["blue.png", "green.png", "red.png"]
        left = [one.name for one in server.store.get_collections().collections]
        assert left == [described["collection"]]
