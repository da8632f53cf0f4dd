"""The job over a corpus: vectors of its feature set, metadata of its items, its captions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_model
from toy_model import load_toy, save_model, save_picture, unit

from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.index import IndexReport, job
from dragoman.index.entries import walk
from dragoman.index.folder import open_generation
from dragoman.media.file_state import UNKNOWN, FileState
from dragoman.media.images import Decoding
from dragoman.records import Entry

VECTORS = {"b": (3.0, 0, 0), "a": (0, 2.0, 0), "c": (0, 0, 1.0)}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "load_encoder", load_toy)
    toy_model.loaded.clear()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three items with vectors and without files, one with a file and without a vector, one with neither."""
    folder = tmp_path / "corpus"
    save_picture(folder / "media" / "d.png", "red")
    paths = {"b": None, "a": None, "c": None, "d": "media/d.png", "e": None}
    items = [
        {"item_id": name, "kind": "image", "path": path, "split": "test", "year": year, "shelf": shelf}
        for (name, path), year, shelf in zip(
            paths.items(), ("1999", "2004", None, "2010", ""), ("01", "2", "3", "4", "5"), strict=True
        )
    ]
    schema = ITEMS.append(pa.field("year", pa.string())).append(pa.field("shelf", pa.string()))
    pq.write_table(pa.Table.from_pylist(items, schema=schema), folder / "items.parquet")
    write_captions(folder, "um cão")
    vectors = np.array(list(VECTORS.values()), np.float32)
    write_features(folder / "features" / "toy", list(VECTORS), vectors, inputs={})
    CORPUS.write(folder, inputs={})
    return folder


def write_captions(folder: Path, best: str) -> None:
    rows = [
        ("1", "a dog", "en", "human", None, None),
        ("2", "a second caption", "en", "human", None, None),
        ("3", "umo cã", "pt", "mt", "1", 0.2),
        ("4", best, "pt", "mt", "2", 0.9),
        ("5", "one dog", "en", "back", "4", None),
        ("6", "un can", "gl", "mt", "1", None),
    ]
    captions = [
        {"caption_id": number, "item_id": "b", "lang": lang, "role": role, "text": text, "source_id": source}
        | {"engine": source and "toy", "trust": trust}
        for number, text, lang, role, source, trust in rows
    ]
    pq.write_table(pa.Table.from_pylist(captions, schema=CAPTIONS), folder / "captions.parquet")
    if (folder / "manifest.json").is_file():
        CORPUS.write(folder, inputs={})


def index(corpus: Path, **trained: object) -> tuple[IndexReport, dict[str, Entry], np.ndarray]:
    """The report, the entries, and the vectors of a, b and c."""
    run = save_model(corpus.parent / "run", **trained)
    report = job.index_media(
        run, corpus, corpus.parent / "index", job.IndexOptions(device="cpu", decoding=Decoding(workers=1))
    )
    with open_generation(report.info) as backend:
        entries = {entry.item_id: entry for entry in walk(backend)}
        there = [name for name in "abc" if name in entries]
        return report, entries, backend.vectors(there) if there else np.empty((0, 3))


def test_vectors_come_from_the_feature_set_and_from_files_where_it_has_none(corpus: Path) -> None:
    report, entries, vectors = index(corpus)
    assert report.done.added == 4
    np.testing.assert_allclose(vectors, unit(np.array([VECTORS[name] for name in "abc"])), atol=1e-6)
    assert entries["d"].path == "media/d.png"
    assert report.info.media == str(corpus)
    assert [(one.item_id, one.reason) for one in report.rejected] == [
        ("e", "neither a file nor a vector in the feature set of the model")
    ]


def test_media_that_lie_elsewhere_have_their_paths_from_the_root_that_is_named(
    corpus: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    items = pq.read_table(corpus / "items.parquet").to_pylist()
    for item in items:
        item["path"] = {
            "d": str(corpus / "media" / "d.png"),
            "b": str(photos / "trip" / "b.png"),
            "a": "https://example.org/a.png",
        }.get(item["item_id"])
    save_picture(photos / "trip" / "b.png", "blue")
    schema = pq.read_schema(corpus / "items.parquet")
    pq.write_table(pa.Table.from_pylist(items, schema=schema), corpus / "items.parquet")
    CORPUS.write(corpus, inputs={})
    run = save_model(tmp_path / "run")
    options = job.IndexOptions(device="cpu", media_root=photos)
    report = job.index_media(run, corpus, tmp_path / "index", options)
    with open_generation(report.info) as backend:
        paths = {entry.item_id: entry.path for entry in walk(backend)}
    assert report.info.media == str(photos)
    assert paths["b"] == "trip/b.png"
    assert paths["d"] == str(corpus / "media" / "d.png")
    assert paths["a"] == "https://example.org/a.png"
    for wrong, why in ((tmp_path / "gone", "is no folder"), (photos / "trip" / "b.png", "is no folder")):
        with pytest.raises(UserError, match=why):
            job.index_media(run, corpus, tmp_path / "x", job.IndexOptions(device="cpu", media_root=wrong))
    with pytest.raises(UserError, match="is no corpus"):
        job.index_media(run, photos, tmp_path / "x", options)


def test_metadata_and_the_best_caption_of_each_language_are_kept(corpus: Path) -> None:
    _, entries, _ = index(corpus)
    assert entries["b"].metadata == {"split": "test", "year": 1999, "shelf": "01"}
    assert entries["c"].metadata == {"split": "test", "shelf": "3"}
    assert entries["d"].metadata["year"] == 2010
    assert entries["d"].metadata["file"] == "d.png"
    assert entries["b"].captions == {"en": "a dog", "pt": "um cão", "gl": "un can"}
    assert entries["b"].more_captions == {"en": ("a second caption",)}
    assert entries["b"].caption_roles == {"en": "human", "pt": "mt", "gl": "mt"}


def test_the_folder_of_a_photo_is_told_without_the_way_there(corpus: Path) -> None:
    rows = pq.read_table(corpus / "items.parquet").to_pylist()
    for row in rows:
        if row["item_id"] == "d":
            row["path"] = str(corpus / "media" / "d.png")
    schema = pq.read_schema(corpus / "items.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), corpus / "items.parquet")
    CORPUS.write(corpus, inputs={})
    _, entries, _ = index(corpus)
    assert (entries["d"].metadata["folder"], entries["d"].metadata["file"]) == ("media", "d.png")


def test_a_second_run_embeds_what_changed_alone(corpus: Path) -> None:
    index(corpus)
    toy_model.loaded.clear()
    report, _, _ = index(corpus)
    assert (vars(report.done), toy_model.loaded) == (vars(type(report.done)()), [])
    write_captions(corpus, "o cão")
    changed = dict(VECTORS) | {"c": (0.0, 1, 1)}
    write_features(corpus / "features" / "toy", list(changed), np.array(list(changed.values())), inputs={})
    report, entries, vectors = index(corpus)
    assert (report.done.changed, report.done.reworded) == (1, 1)
    assert sum(sum(model.seen) for model in toy_model.loaded) == 1
    assert entries["b"].captions["pt"] == "o cão"
    np.testing.assert_allclose(vectors[2], unit(np.array([[0.0, 1, 1]]))[0], atol=1e-6)


def test_a_picture_that_was_replaced_since_its_vector_was_made_is_told(corpus: Path) -> None:
    media = corpus / "media" / "d.png"
    vectors = np.array([*VECTORS.values(), (1, 1, 0)], np.float32)
    states = [UNKNOWN] * 3 + [FileState.of("image", media)]
    write_features(corpus / "features" / "toy", [*VECTORS, "d"], vectors, files=states, inputs={})
    media.touch()
    report, _, _ = index(corpus)
    assert (report.done.added, [one.item_id for one in report.rejected]) == (4, ["e"])
    save_picture(media, "blue")
    for _ in range(2):
        report, entries, _ = index(corpus)
        assert [(one.item_id, one.path) for one in report.rejected] == [("d", "media/d.png"), ("e", None)]
        assert "by the vector of a file that was replaced since" in report.rejected[0].reason
        assert report.rejected[0].reason.endswith(f"dragoman features {corpus}")
        assert set(entries) == set("abcd")
    media.unlink()
    assert [one.item_id for one in index(corpus)[0].rejected] == ["e"]


def test_a_feature_set_of_another_tower_is_not_used(corpus: Path) -> None:
    encoder = {"path": "/tower", "fingerprint": "abc"}
    rows = np.array(list(VECTORS.values()))
    write_features(corpus / "features" / "toy", list(VECTORS), rows, inputs={}, encoder=encoder)
    report, entries, _ = index(corpus, vision={"path": "/tower", "fingerprint": "other"})
    assert set(entries) == {"d"}
    assert len(report.rejected) == 4


def test_videos_of_a_corpus_are_encoded_by_their_frames(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each by itself, so that no other moves its last bits; the toy takes their mean."""
    frames = {"b": [(3.0, 0, 0)], "a": [(0, 2.0, 0), (0, 0, 2.0), (0, 0, 2.0)], "c": [(0, 0, 1.0)] * 2}
    shutil.rmtree(corpus / "features" / "toy")
    videos = [np.array(some, np.float32) for some in frames.values()]
    write_features(corpus / "features" / "toy", list(frames), videos, layout="frames", inputs={})
    shapes = toy_model.read_frames(monkeypatch)
    _, _, vectors = index(corpus)
    assert shapes == [(1, 3, 3), (1, 1, 3), (1, 2, 3)]
    expected = {"b": (1, 0, 0), "a": unit(np.array([[0, 1, 2]]))[0], "c": (0, 0, 1)}
    np.testing.assert_allclose(vectors, [expected[name] for name in "abc"], atol=1e-3)
