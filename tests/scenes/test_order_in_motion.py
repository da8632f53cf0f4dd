"""What the frames of a clip tell in order, and what they tell in a bag."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dragoman.scenes.draws import Draws
from dragoman.scenes.grid import describe
from dragoman.scenes.render import clip_frames
from dragoman.scenes.scene import EVENTS, REVERSED, distinct_clips, reversed_clip

PAIRS, TRAIN = 75, 55


@pytest.fixture(scope="module")
def described() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The event of each clip, each followed by its reversal, and its first and last frame, [N, 2, D]."""
    events, frames = [], []
    for number, clip in enumerate(distinct_clips(PAIRS, seed=9)):
        shown = clip_frames(clip, Draws(number))
        ends = np.stack([describe(shown[0]), describe(shown[-1])])
        events += [EVENTS.index(clip.event), EVENTS.index(reversed_clip(clip).event)]
        frames += [ends, ends[::-1]]
    return np.array(events), np.stack(frames)


def leads(events: NDArray[np.intp], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much a ridge classifier prefers the event of each unseen clip to the reversal of that."""
    vectors = vectors - vectors[: 2 * TRAIN].mean(0)
    seen, unseen = vectors[: 2 * TRAIN], vectors[2 * TRAIN :]
    one_hot = np.eye(len(EVENTS))[events[: 2 * TRAIN]] - 1 / len(EVENTS)
    scores = unseen @ seen.T @ np.linalg.solve(seen @ seen.T + 0.3 * np.eye(2 * TRAIN), one_hot)
    own = events[2 * TRAIN :]
    other = np.array([EVENTS.index(REVERSED[EVENTS[event]]) for event in own])
    rows = np.arange(len(own))
    found: NDArray[np.float32] = scores[rows, own] - scores[rows, other]
    return found


def test_order_tells_a_clip_from_its_reversal(
    described: tuple[NDArray[np.intp], NDArray[np.float32]],
) -> None:
    events, frames = described
    turns = np.isin(events[2 * TRAIN :], [EVENTS.index("clockwise"), EVENTS.index("anticlockwise")])
    right = leads(events, frames.reshape(len(frames), -1)) > 0
    assert (~turns).sum() > 20
    assert right[~turns].mean() > 0.9


@pytest.mark.parametrize("bag", [np.mean, np.max, np.sort])
def test_no_bag_of_frames_tells_a_clip_from_its_reversal(
    described: tuple[NDArray[np.intp], NDArray[np.float32]], bag: object
) -> None:
    events, frames = described
    bagged = bag(frames, axis=1).reshape(len(frames), -1)  # type: ignore[operator]
    np.testing.assert_array_equal(bagged[::2], bagged[1::2])
    np.testing.assert_allclose(leads(events, bagged), 0, atol=1e-9)
