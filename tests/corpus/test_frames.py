"""Feature sets of frames: how they are stored and read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checksums import without_checksums
from dragoman.corpus import FeatureSet
from dragoman.corpus.features import write_features
from dragoman.errors import DamagedError, UserError
from dragoman.media.frames import MOST_FRAMES, padded, spread

A = np.array([[1.0, 2], [3, 4], [5, 6]])
B = np.array([[7.0, 8]])


def stored(folder: Path, *videos: np.ndarray, times: np.ndarray | None = None) -> FeatureSet:
    ids = [f"v{number}" for number in range(len(videos))]
    write_features(folder, ids, videos, layout="frames", times=times, inputs={})
    found = FeatureSet.open(folder)
    assert found.layout == "frames"
    return found


def test_videos_lie_below_one_another_as_float16(tmp_path: Path) -> None:
    found = stored(tmp_path, A, B)
    assert (found.ids, found.width, found.per_item, found.most_parts) == (["v0", "v1"], 2, 3, MOST_FRAMES)
    np.testing.assert_array_equal(found.vectors, np.concatenate([A, B]).astype(np.float16), strict=True)
    assert found.offsets.tolist() == [0, 3, 4]
    assert (found.manifest["frames"], found.manifest["format_version"]) == (4, 2)


def test_short_videos_end_in_nan_and_rows_may_repeat(tmp_path: Path) -> None:
    found = stored(tmp_path, A, B)
    whole = found.whole(np.array([1, 0, 1]))
    assert whole.shape == (3, 3, 2)
    np.testing.assert_array_equal(whole[1], A)
    for row in (0, 2):
        np.testing.assert_array_equal(whole[row], [[7, 8], [np.nan] * 2, [np.nan] * 2])


def test_long_videos_enter_by_the_middles_of_64_equal_parts(tmp_path: Path) -> None:
    long = np.arange(150.0)[:, None]
    found = stored(tmp_path, B[:, :1], long)
    assert found.per_item == MOST_FRAMES
    middles = [int((part + 0.5) * 150 / 64) for part in range(64)]
    np.testing.assert_array_equal(found.whole(np.array([1]))[0, :, 0], middles)


def test_frames_and_times_of_one_video_are_all_there(tmp_path: Path) -> None:
    found = stored(tmp_path, A, B, times=np.array([0.0, 0.5, 1.25, 9.0]))
    vectors, times = found.frames("v0")
    np.testing.assert_array_equal(vectors, A)
    assert times is not None and times.tolist() == [0, 0.5, 1.25]
    assert stored(tmp_path / "without", A).frames("v0")[1] is None


@given(st.integers(1, 400), st.integers(1, 80))
def test_spread_positions_are_ascending_and_as_even_as_can_be(count: int, most: int) -> None:
    chosen = spread(count, most).tolist()
    assert len(chosen) == min(count, most)
    assert chosen == sorted(set(chosen)) and chosen[0] >= 0 and chosen[-1] < count
    steps = np.diff(chosen)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_videos_in_memory_are_padded_as_stored_ones_are(tmp_path: Path) -> None:
    long = np.linspace(0, 1, 200).reshape(100, 2)
    found = stored(tmp_path, A, B, long)
    np.testing.assert_array_equal(padded([A, B, long]), found.whole(np.arange(3)))


def test_a_set_of_images_is_none_of_frames(tmp_path: Path) -> None:
    write_features(tmp_path, ["a"], np.ones((1, 2)), inputs={})
    found = FeatureSet.open(tmp_path)
    assert (found.layout, found.per_item, found.manifest["format_version"]) == ("whole", 1, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offsets", [0, 3]),
        ("offsets", [0, 0, 4]),
        ("offsets", [1, 3, 4]),
        ("offsets", [0, 3, 5]),
        ("offsets", [0, 5, 4]),
        ("times", [1.0, 2.0]),
        ("vectors", [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path, name: str, value: list[float]) -> None:
    stored(tmp_path, A, B)
    np.save(tmp_path / f"{name}.npy", value)
    without_checksums(tmp_path)
    with pytest.raises(UserError, match=r"do not fit together\. Make the feature set anew"):
        FeatureSet.open(tmp_path)


@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 4)])
def test_sets_of_before_have_no_layout_and_open_as_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    vectors = np.arange(np.prod(shape)).reshape(shape)
    write_features(tmp_path / "whole", ["a", "b", "c"], vectors, inputs={})
    stored(tmp_path / "frames", A, B)
    for name in ("whole", "frames"):
        without_checksums(tmp_path / name, layout=None)
    found, frames = (FeatureSet.open(tmp_path / name) for name in ("whole", "frames"))
    assert (found.layout, frames.layout) == ("regions" if len(shape) == 3 else "whole", "frames")
    assert found.vectors.shape == (3 * (shape[1] if len(shape) == 3 else 1), 4)
    np.testing.assert_array_equal(found.parts(np.array([2, 0])), vectors[[2, 0]].reshape(2, -1, 4))
    np.testing.assert_array_equal(frames.whole(np.array([0]))[0], A)


def test_a_layout_of_later_versions_is_refused(tmp_path: Path) -> None:
    write_features(tmp_path, ["a"], np.ones((1, 2)), inputs={})
    without_checksums(tmp_path, layout="tree")
    with pytest.raises(UserError, match="has the layout 'tree', but one of whole, regions, frames"):
        FeatureSet.open(tmp_path)


def test_a_set_of_texts_is_one_of_single_vectors(tmp_path: Path) -> None:
    # Nothing asks what an id stands for: here digests of texts.
    ids = [hashlib.sha256(text.encode()).hexdigest() for text in ("a dog", "um cão")]
    write_features(tmp_path, ids, iter(np.eye(2)), layout="whole", inputs={}, encoder={"pool": "mean"})
    found = FeatureSet.open(tmp_path)
    np.testing.assert_array_equal(found.whole(found.rows(ids[1:])), [[0, 1]])
    with pytest.raises(UserError, match="has no vector for 1 of 1 items: cat"):
        found.rows(["cat"])


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    stored(tmp_path, A, B)
    (tmp_path / "offsets.npy").unlink()
    with pytest.raises(UserError, match=r"offsets\.npy is missing"):
        FeatureSet.open(tmp_path)


def test_a_writer_that_fails_leaves_no_feature_set(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        write_features(tmp_path, ["v0", "v1"], [A, A[:, :1]], layout="frames", inputs={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"v0\n\xff\n"])
def test_unreadable_ids_are_told_without_checksums_too(tmp_path: Path, content: bytes | None) -> None:
    stored(tmp_path, A, B)
    without_checksums(tmp_path)
    (tmp_path / "ids.txt").unlink() if content is None else (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(DamagedError, match=r"ids\.txt is missing or damaged .* Make the feature set anew"):
        FeatureSet.open(tmp_path)
