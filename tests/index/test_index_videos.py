"""Videos in an index: cut into moments, kept up to date, found by their best moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_model
from tiny_videos import save_sound, save_video
from toy_model import save_model, save_picture

from dragoman.index import job
from dragoman.index.entries import State, moment_id, video_id
from dragoman.index.folder import open_generation, read_info
from dragoman.index.job import IndexReport
from dragoman.index.moments import parts
from dragoman.media.frames import Frames
from dragoman.records import Entry
from dragoman.search.printing import lines
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.stores import Store


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_model.stand_in(monkeypatch)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A film of three seconds each of red, green and blue, one of blue, and a red picture."""
    folder = tmp_path / "media"
    (folder / "films").mkdir(parents=True)
    save_video(folder / "films" / "three.mp4", ["red"] * 30 + ["green"] * 30 + ["blue"] * 30)
    save_video(folder / "blue.mp4", ["blue"] * 20)
    save_picture(folder / "red.png", "red")
    save_model(tmp_path / "run")
    return folder


def index(media: Path) -> IndexReport:
    toy_model.loaded.clear()
    return job.index_media(
        media.parent / "run", media, media.parent / "index", job.IndexOptions(device="cpu")
    )


def opened(media: Path) -> Store:
    return open_generation(read_info(media.parent / "index"))


def held(media: Path) -> dict[str, list[float]]:
    """Ids and vectors, rounded: encoders change colours a little."""
    with opened(media) as backend:
        ids = [entry.item_id for entry in backend.scan(limit=100)]
        vectors = backend.vectors(ids).round(1) + 0.0
        return {item_id: vector.tolist() for item_id, vector in zip(ids, vectors, strict=True)}


def embedded() -> int:
    return sum(sum(model.seen) for model in toy_model.loaded)


RED, GREEN, BLUE = np.eye(3).tolist()
THREE = {
    "films/three.mp4#t=0.00,3.00": RED,
    "films/three.mp4#t=3.00,6.00": GREEN,
    "films/three.mp4#t=6.00,9.00": BLUE,
}
ALL = THREE | {"blue.mp4#t=0.00,2.00": BLUE, "red.png": RED}


def test_a_video_becomes_its_moments(media: Path) -> None:
    (media / "films" / "three.txt").write_text("colours, one after the other", encoding="utf-8")
    (media / "films" / "three.json").write_text('{"year": 1999}', encoding="utf-8")
    report = index(media)
    assert held(media) == ALL
    assert (report.done.added, report.info.count, report.rejected) == (5, 5, ())
    with opened(media) as backend:
        (entry,) = backend.get(["films/three.mp4#t=3.00,6.00"])
    assert entry is not None
    assert (entry.kind, entry.path) == ("video", "films/three.mp4")
    times = {"start": 3.0, "end": 6.0}
    assert entry.metadata == {"folder": "films", "file": "three.mp4", "year": 1999} | times
    assert entry.captions == {"en": "colours, one after the other"}


def test_what_has_not_changed_is_not_looked_at_again(media: Path) -> None:
    index(media)
    report = index(media)
    assert embedded() == 0
    assert (report.done.added, report.done.changed, report.done.reworded, report.done.removed) == (0, 0, 0, 0)
    (media / "films" / "three.txt").write_text("new words", encoding="utf-8")
    report = index(media)
    assert (embedded(), report.done.changed, report.done.reworded) == (0, 0, 3)
    assert held(media) == ALL


def test_a_video_that_moved_keeps_its_vectors(media: Path) -> None:
    index(media)
    (media / "films" / "three.mp4").rename(media / "three.mp4")
    report = index(media)
    assert (embedded(), report.done.moved, report.done.removed) == (0, 3, 3)
    moved = {item_id.removeprefix("films/"): vector for item_id, vector in ALL.items()}
    assert held(media) == moved


def test_copies_of_a_video_are_looked_at_once(media: Path) -> None:
    three = (media / "films" / "three.mp4").read_bytes()
    (media / "copy.mp4").write_bytes(three)
    report = index(media)
    # Nine frames of one of the two, two of blue, and a picture.
    assert (embedded(), report.done.added, report.done.copies) == (12, 8, 3)
    copies = {item_id.replace("films/three", "copy"): vector for item_id, vector in THREE.items()}
    assert held(media) == ALL | copies
    (media / "later.mp4").write_bytes(three)
    (media / "latest.mp4").write_bytes(three)
    report = index(media)
    assert (embedded(), report.done.added, report.done.copies) == (9, 6, 3)


def test_videos_that_trade_names_trade_moments(media: Path) -> None:
    index(media)
    a, b = media / "films" / "three.mp4", media / "blue.mp4"
    a.rename(media / "x.mp4")
    b.rename(a)
    (media / "x.mp4").rename(b)
    index(media)
    expected = {item_id.replace("films/three", "blue"): vector for item_id, vector in THREE.items()}
    assert held(media) == expected | {"films/three.mp4#t=0.00,2.00": BLUE, "red.png": RED}


def test_a_changed_video_has_its_new_moments_alone(media: Path) -> None:
    index(media)
    save_video(media / "films" / "three.mp4", ["green"] * 30 + ["red"] * 20)
    report = index(media)
    film = "films/three.mp4"
    changed = {moment_id(film, 0, 3): GREEN, moment_id(film, 3, 5): RED}
    assert held(media) == changed | {"blue.mp4#t=0.00,2.00": BLUE, "red.png": RED}
    assert (report.done.added, report.done.changed, report.done.removed) == (1, 1, 2)


def test_a_video_that_is_gone_or_broke_is_removed(media: Path) -> None:
    index(media)
    (media / "blue.mp4").unlink()
    save_sound(media / "films" / "three.mp4")
    report = index(media)
    assert held(media) == {"red.png": RED}
    (rejected,) = report.rejected
    assert (rejected.item_id, rejected.reason) == ("films/three.mp4", "it has no video stream, only sound")
    assert report.done.removed == 4


def test_a_mix_that_a_kill_left_is_looked_at_again(media: Path) -> None:
    index(media)
    with opened(media) as backend:
        (entry,) = backend.get(["blue.mp4#t=0.00,2.00"])
        assert entry is not None
        state = State.parse(entry.source)
        assert state is not None
        stale = Entry(
            item_id=moment_id("blue.mp4", 5, 9),
            kind="video",
            path="blue.mp4",
            metadata={"start": 5.0, "end": 9.0},
            source=str(state._replace(digest="0" * 64)),
        )
        backend.add([stale], np.eye(3, dtype=np.float32)[:1])
    index(media)
    assert held(media) == ALL


def test_a_folder_may_hold_videos_alone(media: Path) -> None:
    (media / "red.png").unlink()
    assert index(media).info.count == 4


def test_a_video_is_found_by_its_best_moment(media: Path) -> None:
    index(media)
    with Searcher.open(media.parent / "index") as searcher:
        answer = searcher.search(Query(text="verde", k=3))
        films = [video_id(hit.entry.item_id) for hit in answer.hits]
        assert films[0] == "films/three.mp4"
        assert sorted(films) == ["blue.mp4", "films/three.mp4", "red.png"]
        assert answer.hits[0].entry.item_id == "films/three.mp4#t=3.00,6.00"
        first, *_ = lines(searcher, answer)
        assert first.endswith("three.mp4  0:03-0:06")
        every = searcher.search(Query(text="verde", k=5, moments=True))
        assert {hit.entry.item_id for hit in every.hits} == set(ALL)
        # Of one hit a video, two must be found beside each other although one has three moments.
        blue = searcher.search(Query(text="azul", k=2))
        assert {video_id(hit.entry.item_id) for hit in blue.hits} == {"films/three.mp4", "blue.mp4"}
        alike = searcher.search(Query(item_id="films/three.mp4#t=6.00,9.00", k=3))
        assert [video_id(hit.entry.item_id) for hit in alike.hits] == ["blue.mp4", "red.png"]
        picture = searcher.search(Query(image=media / "red.png", k=1, filter="kind=video"))
        assert picture.hits[0].entry.item_id == "films/three.mp4#t=0.00,3.00"


def test_times_beyond_an_hour_are_shown_with_hours(media: Path) -> None:
    index(media)
    with opened(media) as backend:
        for start, end in ((3723.0, 3730.5), (5999.99, 6000.2), (7200.0, 36061.0)):
            late = Entry(
                item_id=moment_id("blue.mp4", start, end),
                kind="video",
                path="blue.mp4",
                metadata={"start": start, "end": end},
            )
            backend.add([late], np.array([GREEN], np.float32))
    with Searcher.open(media.parent / "index") as searcher:
        answer = searcher.search(Query(text="verde", k=9, moments=True, filter="start>10"))
        shown = {line.rsplit("  ", 1)[1] for line in lines(searcher, answer)}
    assert shown == {"1:02:03-1:02:10", "1:39:59-1:40:00", "2:00:00-10:01:01"}


def test_many_moments_of_one_video_do_not_hide_the_others(media: Path) -> None:
    save_video(media / "long.mp4", (["green"] * 10 + ["red"] * 10) * 30)
    index(media)
    with Searcher.open(media.parent / "index") as searcher:
        found = searcher.search(Query(text="verde", k=4)).hits
    assert sorted({video_id(hit.entry.item_id) for hit in found}) == [
        "blue.mp4",
        "films/three.mp4",
        "long.mp4",
        "red.png",
    ]


def seen(angles: list[float], edges: list[float] | None = None, scenes: bool = False) -> Frames:
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Frames(vectors, np.array(edges or np.arange(len(angles) + 1.0)), scenes)


def test_parts_begin_where_a_change_stands_out_and_are_cut_evenly() -> None:
    assert parts(seen([0.0] * 25), 10.0) == [(0, 8), (8, 17), (17, 25)]
    assert parts(seen([0.0] * 10), 10.0) == [(0, 10)]
    assert parts(seen([0.0] * 11), 10.0) == [(0, 5), (5, 11)]
    assert parts(seen([0.0] * 4 + [1.5] * 6), 10.0) == [(0, 4), (4, 10)]
    assert parts(seen([0.0]), 10.0) == [(0, 1)]
    # Two frames, far apart in time: a moment has a frame at least.
    assert parts(seen([0.0, 0.0], [0, 60, 120]), 10.0) == [(0, 1), (1, 2)]
    assert parts(seen([0.3 * number for number in range(8)]), 10.0) == [(0, 8)]
    # A cosine distance of 0.04 is little, though all others are 0.
    assert parts(seen([0.0] * 4 + [0.3] * 6), 10.0) == [(0, 10)]
    # Ten seconds, but for the rounding of a sum.
    assert parts(seen([0.0] * 3, [0, 3.3, 6.7, 10 + 1e-9]), 10.0) == [(0, 3)]
    # Half a right angle each time: far, but as usual.
    assert parts(seen([0.8 * number for number in range(8)]), 10.0) == [(0, 8)]


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 1024, 1099])
def test_a_change_is_seen_wherever_it_lies_in_a_long_video(cut: int) -> None:
    assert parts(seen([0.0] * cut + [1.5] * (1100 - cut)), 2000.0) == [(0, cut), (cut, 1100)]


def test_parts_of_sparse_or_irregular_frames_are_no_longer_than_allowed() -> None:
    # Even fifths of 44 seconds would be 2, 2, 3, 2 and 2 frames of four seconds.
    sparse = [4.0 * number for number in range(12)]
    assert parts(seen([0.0] * 11, sparse), 10.0) == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 11)]
    assert parts(seen([0.0] * 5, [0, 1, 2, 30, 31, 32]), 10.0) == [(0, 2), (2, 3), (3, 5)]


def test_every_scene_that_a_frame_was_chosen_for_is_a_part() -> None:
    assert parts(seen([0.0] * 3, [0, 2, 30, 31], scenes=True), 10.0) == [(0, 1), (1, 2), (2, 3)]
    # Ids hold hundredths of a second.
    assert parts(seen([0.0] * 3, [0, 2, 2.004, 3], scenes=True), 10.0) == [(0, 1), (1, 3)]


@pytest.mark.parametrize(
    ("item_id", "video"),
    [
        ("a/b.mp4#t=1.00,2.50", "a/b.mp4"),
        ("a#t=1.00,2.00.mp4", "a#t=1.00,2.00.mp4"),
        ("photo.jpg", "photo.jpg"),
        ("a#t=1.00,2.00.mp4#t=0.00,1.00", "a#t=1.00,2.00.mp4"),
    ],
)
def test_ids_say_which_video_they_are_of(item_id: str, video: str) -> None:
    assert video_id(item_id) == video
