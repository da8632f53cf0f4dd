"""Videos of a corpus in an index: cut into moments by their stored frames, decoded where there are none."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_model
from hypothesis import given
from hypothesis import strategies as st
from tiny_videos import save_video
from toy_model import save_model, unit

from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS
from dragoman.index import IndexReport, job
from dragoman.index.entries import middle_of, video_id, video_of, walk
from dragoman.index.folder import open_generation, read_info
from dragoman.index.moments import moments
from dragoman.media.frames import Frames, Sampling, frames, scene_edges, time_edges
from dragoman.media.images import Decoding
from dragoman.records import Entry
from dragoman.search.printing import lines
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.stores import Store

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
SEEN = {
    "film 1": [RED] * 4 + [BLUE] * 3,
    "film 2": [GREEN] * 5,
    "lost": [GREEN, GREEN],
    "still": [BLUE],
}
"""Of each item of the feature set, the vectors of its frames, one a second."""
PATHS = {"film 1": "media/film.mp4", "film 2": "media/film.mp4", "lost": None, "still": None}
STORED = {
    "film 1#t=0.00,4.00": RED,
    "film 1#t=4.00,7.00": BLUE,
    "film 2#t=0.00,5.00": GREEN,
    "lost#t=0.00,2.00": GREEN,
    "still": BLUE,
}
DECODED = {"new#t=0.00,3.00": RED, "new#t=3.00,5.00": GREEN}


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_model.stand_in(monkeypatch)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two items of one file, which is not there; one without a file; an image; and a file without frames."""
    folder = tmp_path / "corpus"
    (folder / "media").mkdir(parents=True)
    save_items(folder, PATHS)
    captions = [
        {"caption_id": "1", "item_id": "film 1", "lang": "en", "role": "human", "text": "first red"}
        | {"source_id": None, "engine": None, "trust": None}
    ]
    pq.write_table(pa.Table.from_pylist(captions, schema=CAPTIONS), folder / "captions.parquet")
    save_frames(folder, SEEN)
    CORPUS.write(folder, inputs={})
    return folder


def save_items(folder: Path, paths: Mapping[str, str | None], year: int = 1999, **more: object) -> None:
    items = [
        {"item_id": name, "kind": "image" if name == "still" else "video", "path": path, "split": "test"}
        | {"year": year, **more}
        for name, path in paths.items()
    ]
    fields = [pa.field("year", pa.int64()), *(pa.field(name, pa.float64()) for name in more)]
    schema = pa.schema([*ITEMS, *fields])
    pq.write_table(pa.Table.from_pylist(items, schema=schema), folder / "items.parquet")
    if (folder / "manifest.json").is_file():
        CORPUS.write(folder, inputs={})


def save_frames(folder: Path, seen: Mapping[str, Sequence[Sequence[float]]], **details: Any) -> None:
    """One a second, unless `times` are given."""
    shutil.rmtree(folder / "features", ignore_errors=True)
    times = np.concatenate([np.arange(len(one), dtype=np.float64) for one in seen.values()])
    videos = [np.array(one, np.float32) for one in seen.values()]
    write_features(
        folder / "features" / "toy",
        list(seen),
        videos,
        layout="frames",
        inputs={},
        **{"times": times} | details,
    )


def add_a_file(corpus: Path) -> None:
    save_video(corpus / "media" / "new.mp4", ["red"] * 30 + ["green"] * 20)
    save_items(corpus, {**PATHS, "new": "media/new.mp4"})


def index(corpus: Path, whole_videos: bool = False) -> IndexReport:
    toy_model.loaded.clear()
    run, out = save_model(corpus.parent / "run"), corpus.parent / "index"
    return job.index_media(
        run,
        corpus,
        out,
        job.IndexOptions(device="cpu", decoding=Decoding(workers=1), whole_videos=whole_videos),
    )


def opened(corpus: Path) -> Store:
    return open_generation(read_info(corpus.parent / "index"))


def held(corpus: Path) -> dict[str, tuple[float, ...]]:
    """Ids and vectors, rounded: encoders change colours a little."""
    with opened(corpus) as backend:
        ids = [entry.item_id for entry in walk(backend)]
        vectors = backend.vectors(ids).astype(float).round(1) + 0.0
        return {item_id: tuple(vector.tolist()) for item_id, vector in zip(ids, vectors, strict=True)}


def entry_of(corpus: Path, item_id: str) -> Entry:
    with opened(corpus) as backend:
        (entry,) = backend.get([item_id])
    assert entry is not None
    return entry


def embedded() -> int:
    return sum(sum(model.seen) for model in toy_model.loaded)


def test_stored_frames_are_cut_into_moments_and_files_without_them_are_decoded(corpus: Path) -> None:
    assert index(corpus).rejected == ()
    assert held(corpus) == STORED
    add_a_file(corpus)
    report = index(corpus)
    assert held(corpus) == STORED | DECODED
    assert (report.done.added, report.done.changed, report.done.removed) == (2, 0, 0)


def test_a_moment_says_what_its_item_says_and_its_own_times(corpus: Path) -> None:
    save_items(corpus, PATHS, start=77.0)
    index(corpus)
    moment = entry_of(corpus, "film 1#t=4.00,7.00")
    assert (moment.kind, moment.path) == ("video", "media/film.mp4")
    assert moment.metadata == {
        **{"folder": "media", "file": "film.mp4", "split": "test", "year": 1999},
        **{"start": 4.0, "end": 7.0},
    }
    assert moment.captions == {"en": "first red"}
    assert (video_of(moment), middle_of(moment)) == ("film 1", 5.5)
    assert entry_of(corpus, "still").metadata["start"] == 77.0


def test_a_second_run_encodes_what_changed_alone(corpus: Path) -> None:
    index(corpus)
    report = index(corpus)
    assert (vars(report.done), toy_model.loaded) == (vars(type(report.done)()), [])
    save_frames(corpus, SEEN | {"film 2": [GREEN] * 3 + [RED]})
    report = index(corpus)
    assert embedded() == 4
    assert (report.done.added, report.done.changed, report.done.removed) == (2, 0, 1)
    now = {item_id: vector for item_id, vector in STORED.items() if "film 2" not in item_id}
    now |= {"film 2#t=0.00,3.00": GREEN, "film 2#t=3.00,4.00": RED}
    assert held(corpus) == now
    save_items(corpus, PATHS, year=2001)
    report = index(corpus)
    assert (embedded(), report.done.changed, report.done.reworded) == (0, 0, 6)
    assert entry_of(corpus, "film 2#t=3.00,4.00").metadata["year"] == 2001
    assert held(corpus) == now


def test_an_item_that_is_gone_or_renamed_takes_its_moments_along(corpus: Path) -> None:
    index(corpus)
    renamed = {name.replace("film 1", "a"): seen for name, seen in SEEN.items() if name != "film 2"}
    save_items(corpus, dict.fromkeys(renamed))
    save_frames(corpus, renamed)
    report = index(corpus)
    assert (embedded(), report.done.moved, report.done.removed) == (0, 2, 3)
    kept = {item_id.replace("film 1", "a"): vector for item_id, vector in STORED.items()}
    assert held(corpus) == {item_id: vector for item_id, vector in kept.items() if "film 2" not in item_id}


def test_frames_without_times_are_one_entry(corpus: Path) -> None:
    """Of a model of images, the mean of its frames, however many the longest has."""
    save_frames(corpus, SEEN | {"film 1": [RED, RED, RED, BLUE]}, times=None)
    index(corpus)
    with opened(corpus) as backend:
        vectors = backend.vectors(["film 1", "film 2", "lost", "still"])
    np.testing.assert_allclose(vectors, [unit(np.array([[3.0, 0, 1]]))[0], GREEN, GREEN, BLUE], atol=1e-6)
    entry = entry_of(corpus, "film 1")
    assert (video_of(entry), middle_of(entry)) == (None, 0.0)
    save_items(corpus, PATHS, start=3.0, end=9.0)
    index(corpus)
    # Times of its own do not make a whole video a moment, which the next run would take for a stale one.
    report = index(corpus)
    assert (vars(report.done), sorted(held(corpus))) == (vars(type(report.done)()), sorted(SEEN))
    assert video_of(entry_of(corpus, "film 1")) is None


def test_an_index_goes_from_whole_videos_to_moments_and_back(corpus: Path) -> None:
    add_a_file(corpus)
    index(corpus, whole_videos=True)
    whole = {"film 1": (0.8, 0.0, 0.6), "film 2": GREEN, "lost": GREEN, "still": BLUE}
    # Three red frames and two green ones, of which the length is the root of 13.
    new = {"new": (0.8, 0.6, 0.0)}
    assert held(corpus) == whole | new
    assert entry_of(corpus, "new").metadata.keys() == {"folder", "file", "split", "year"}
    report = index(corpus, whole_videos=True)
    assert (vars(report.done), toy_model.loaded) == (vars(type(report.done)()), [])
    report = index(corpus)
    assert held(corpus) == STORED | DECODED
    assert (report.done.added, report.done.removed) == (6, 4)
    index(corpus, whole_videos=True)
    assert held(corpus) == whole | new


def test_a_mix_of_a_whole_video_and_moments_is_looked_at_again(corpus: Path) -> None:
    """Both have the same source where a file was decoded."""
    add_a_file(corpus)
    index(corpus)
    entry = entry_of(corpus, "new#t=0.00,3.00")
    with opened(corpus) as backend:
        left = Entry(item_id="new", kind="video", path=entry.path, source=entry.source)
        backend.add([left], np.array([RED], np.float32))
    index(corpus)
    assert held(corpus) == STORED | DECODED


def test_a_video_without_frames_and_without_a_file_here_is_rejected(corpus: Path) -> None:
    save_items(corpus, {**PATHS, "far": "https://example.org/film.mp4", "none": None})
    assert [(one.item_id, one.reason) for one in index(corpus).rejected] == [
        ("far", "a URI, not a file: download it and give its path"),
        ("none", "neither a file nor a vector in the feature set of the model"),
    ]


def test_an_id_that_leaves_no_room_for_times_is_rejected(corpus: Path) -> None:
    name = "é" * 252
    save_items(corpus, {name: None, "still": None})
    save_frames(corpus, {name: [RED], "still": [BLUE]})
    (rejected,) = index(corpus).rejected
    assert rejected.item_id == name
    assert rejected.reason == "ids of its moments have 516 bytes, and ids have at most 512: shorten it"
    assert list(held(corpus)) == ["still"]


def test_items_that_share_a_file_are_two_videos_and_one_without_a_file_is_found(corpus: Path) -> None:
    index(corpus)
    with Searcher.open(corpus.parent / "index") as searcher:
        answer = searcher.search(Query(text="azul", k=4))
        assert [video_id(hit.entry.item_id) for hit in answer.hits] == ["film 1", "still", "film 2", "lost"]
        assert answer.hits[0].entry.item_id == "film 1#t=4.00,7.00"
        first, *_ = lines(searcher, answer)
        assert first.endswith("media/film.mp4  0:04-0:07")
        every = searcher.search(Query(text="azul", k=9, moments=True))
        assert sorted(hit.entry.item_id for hit in every.hits) == sorted(STORED)
        alike = searcher.search(Query(item_id="film 1#t=4.00,7.00", k=9))
        assert {video_id(hit.entry.item_id) for hit in alike.hits} == {"film 2", "lost", "still"}
        late = searcher.search(Query(text="azul", k=9, filter="start>=4"))
        assert [hit.entry.item_id for hit in late.hits] == ["film 1#t=4.00,7.00"]


def test_scenes_of_a_feature_set_are_moments_from_end_to_end(corpus: Path) -> None:
    """Scenes of 2, 30 and 1 seconds; the last two look alike."""
    save_items(corpus, {"film 1": None})
    sampling = {"every": 1.0, "scenes": 0.2, "most": 1024}
    times = np.array([1.0, 17.0, 32.5])
    save_frames(corpus, {"film 1": [RED, GREEN, GREEN]}, times=times, encoder={"sampling": sampling})
    index(corpus)
    assert held(corpus) == {
        "film 1#t=0.00,2.00": RED,
        "film 1#t=2.00,32.00": GREEN,
        "film 1#t=32.00,33.00": GREEN,
    }


def test_a_model_of_videos_takes_a_clip_as_it_is_and_cuts_what_is_longer(
    monkeypatch: pytest.MonkeyPatch, corpus: Path
) -> None:
    shapes = toy_model.read_frames(monkeypatch)
    save_items(corpus, {"clip": None, "film": None})
    save_frames(corpus, {"clip": [RED] * 6 + [BLUE] * 5, "film": [RED] * 6 + [BLUE] * 6})
    index(corpus)
    # One call for each, the clip as one video of 11 frames, the last of which is shown at 10 s.
    assert shapes == [(1, 11, 3), (2, 6, 3)]
    assert held(corpus) == {
        "clip#t=0.00,11.00": (0.8, 0.0, 0.6),
        "film#t=0.00,6.00": RED,
        "film#t=6.00,12.00": BLUE,
    }


def test_frames_by_time_stand_for_the_seconds_until_the_next_one() -> None:
    assert time_edges(np.array([0.0, 0.5, 1.0]), 0.5).tolist() == [0, 0.5, 1, 1.5]
    assert time_edges(np.array([0.0]), 2.0).tolist() == [0, 2]
    # Some are missing, and the first: what is before it belongs to it.
    assert time_edges(np.array([1.0, 3, 4, 5]), 1.0).tolist() == [0, 3, 4, 5, 6]


@given(st.lists(st.floats(0.04, 4000), min_size=1, max_size=300))
def test_ends_of_scenes_are_told_by_their_middles(lengths: list[float]) -> None:
    ends = np.cumsum([0.0, *lengths])
    middles = (ends[1:] + ends[:-1]) / 2
    np.testing.assert_allclose(scene_edges(middles, most=len(lengths) + 1), ends, atol=1e-6)


def test_of_scenes_of_which_some_were_left_out_neighbours_meet_half_way() -> None:
    assert scene_edges(np.array([1.0, 4, 8]), most=3).tolist() == [0, 2.5, 6, 10]
    assert scene_edges(np.array([3.0]), most=1).tolist() == [0, 6]


@given(st.lists(st.floats(0.001, 500), min_size=1, max_size=60), st.integers(0, 3), st.booleans())
def test_moments_cover_a_video_and_none_of_several_frames_is_too_long(
    gaps: list[float], seed: int, scenes: bool
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(gaps), 2))
    edges = np.cumsum([0.0, *gaps])
    found = moments(load_images(), Frames(vectors, edges, scenes), whole=False)
    assert (found[0].start, found[-1].end) == (0, edges[-1])
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]
    np.testing.assert_array_equal(np.concatenate([one.seen for one in found]), vectors)
    assert all(len(one.seen) == 1 or one.end - one.start <= 10.02 for one in found)


def load_images() -> Any:
    """A model of images; it is asked for nothing else."""
    return SimpleNamespace(reads_frames=False)


def test_what_is_sampled_decides_what_a_frame_stands_for() -> None:
    vectors, times = np.ones((2, 3)), np.array([0.0, 2.0])
    assert frames(vectors, times, Sampling(every=2)).edges.tolist() == [0, 2, 4]
    assert frames(vectors, times + 1, Sampling(scenes=0.2)).edges.tolist() == [0, 2, 4]
    assert [frames(vectors, times, Sampling(scenes=one)).scenes for one in (None, 0.2)] == [False, True]


def test_a_video_kept_as_a_mean_is_decoded_to_be_cut(corpus: Path) -> None:
    save_video(corpus / "media" / "new.mp4", ["red"] * 30 + ["green"] * 20)
    save_items(corpus, {"new": "media/new.mp4", "still": None})
    shutil.rmtree(corpus / "features")
    mean = np.array([[0.6, 0.4, 0], BLUE], np.float32)
    made_by = {"path": "eye", "fingerprint": "e", "sampling": {"every": 1.0}, "videos": "mean"}
    write_features(corpus / "features" / "toy", ["new", "still"], mean, inputs={}, encoder=made_by)
    assert index(corpus).rejected == ()
    assert held(corpus) == DECODED | {"still": BLUE}
    # Whole, it is the vector that a model was trained on.
    index(corpus, whole_videos=True)
    with opened(corpus) as backend:
        np.testing.assert_allclose(backend.vectors(["new"])[0], unit(mean[:1])[0], atol=1e-3)
    index(corpus)
    assert held(corpus) == DECODED | {"still": BLUE}
