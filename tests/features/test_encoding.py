"""Batches of frames: what stands in them, and what becomes of items that break."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from dragoman.features.encoding import Encoded, Frame, ItemFile, encoded
from dragoman.media.images import ImageError


class Counting:
    """A tower whose vector of a frame is the number that stands in for the frame."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def prepare(self, image: int) -> int:
        time.sleep(0.01)
        if image == 13:
            raise ValueError("an unlucky number")
        return image

    def embed(self, prepared: Sequence[int]) -> np.ndarray:
        self.batches.append(list(prepared))
        return np.array(prepared, np.float32)[:, None]


def item(name: str) -> ItemFile:
    """An image, unless the name begins as that of a video."""
    return ItemFile(name, "video" if name.startswith("video") else "image", name, name)


def run(
    frames: dict[str, Sequence[int]], *, across: bool, broken: str = ""
) -> tuple[Counting, list[list[Encoded]]]:
    """Encode items of these frames in batches of 2; `broken` breaks off after its frames."""

    def frames_of(item: ItemFile) -> Iterator[Frame]:
        for number, frame in enumerate(frames[item.item_id]):
            yield number / 2, lambda frame=frame: frame
        if item.item_id == broken:
            raise ImageError(item.item_id, "it breaks off")

    tower = Counting()
    items = [item(name) for name in frames]
    done = encoded(tower, items, frames_of, batch_size=2, workers=1, batch_across_items=across)  # type: ignore[arg-type]
    return tower, list(done)


def test_frames_of_a_video_are_in_batches_of_their_own_among_images() -> None:
    tower, done = run(
        {"a": [1], "video": [2, 3, 4], "b": [5], "c": [6], "d": [7], "video 2": [8]}, across=True
    )
    assert tower.batches == [[1], [2, 3], [4], [5, 6], [7], [8]]
    ends = [["a"], [], ["video"], ["b", "c"], ["d"], ["video 2"]]
    assert [[one.item.item_id for one in batch] for batch in done] == ends


@pytest.mark.parametrize(
    ("across", "batches", "ends"),
    [
        (False, [[1, 2], [3], [4], [5, 6]], [[], ["a"], ["b"], ["c"]]),
        (True, [[1, 2], [3, 4], [5, 6]], [[], ["a", "b"], ["c"]]),
    ],
)
def test_batches_hold_one_item_or_any(across: bool, batches: list[list[int]], ends: list[list[str]]) -> None:
    tower, done = run({"a": [1, 2, 3], "b": [4], "c": [5, 6]}, across=across)
    assert tower.batches == batches
    assert [[one.item.item_id for one in batch] for batch in done] == ends
    vectors, times = done[-1][-1].joined(most=2)
    assert (vectors.tolist(), times.tolist()) == ([[5], [6]], [0, 0.5])


def test_a_last_batch_that_is_not_full_is_waited_for() -> None:
    tower, _ = run({"a": [1], "b": [2], "c": [3]}, across=True)
    assert tower.batches == [[1, 2], [3]]


def test_at_most_so_many_frames_are_kept_spread_evenly() -> None:
    _, done = run({"a": range(1, 9)}, across=False)
    assert done[-1][0].joined(most=2)[0].tolist() == [[3], [7]]


def test_what_is_broken_keeps_its_place_in_a_batch() -> None:
    tower, done = run({"a": [1], "b": [13], "c": [3], "d": [4]}, across=True)
    # Had the broken one given up its place, "c" would stand beside "a".
    assert tower.batches == [[1], [3, 4]]
    refusal = done[0][1].refusal
    assert refusal is not None and refusal.reason == "the tower's preprocessing failed (an unlucky number)"


def test_an_item_that_breaks_off_is_refused_and_the_next_is_whole() -> None:
    tower, done = run({"a": [1, 2, 3], "b": [4]}, across=False, broken="a")
    found = {one.item.item_id: one.refusal for batch in done for one in batch}
    assert found["b"] is None and tower.batches[-1] == [4]
    assert found["a"] is not None and found["a"].reason == "it breaks off"


def test_an_item_without_a_frame_is_refused_with_its_reason() -> None:
    tower, done = run({"a": [], "b": [4]}, across=False, broken="a")
    assert tower.batches == [[4]]
    assert [str(one.refusal) for one in done[0]] == ["a: it breaks off"]


@pytest.mark.parametrize("across", [False, True])
def test_a_long_video_waits_in_no_more_than_three_batches(across: bool) -> None:
    made = 0
    ahead: list[int] = []
    tower = Counting()

    def frames_of(item: ItemFile) -> Iterator[Frame]:
        nonlocal made
        for number in range(20, 60):
            made += 1
            ahead.append(made - sum(map(len, tower.batches)))
            yield float(number), lambda number=number: number

    how = {"batch_size": 2, "workers": 1, "batch_across_items": across}
    (one,) = (one for done in encoded(tower, [item("a")], frames_of, **how) for one in done)  # type: ignore[arg-type]
    assert [vector[0] for vector in one.vectors] == list(range(20, 60))
    # Two batches on their way, and the one that is filled.
    assert max(ahead) == 3 * 2
