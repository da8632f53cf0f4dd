"""The descriptor sees what a picture shows: a linear probe, trained on 300 pictures, reads unseen ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dragoman.scenes.draws import Draws
from dragoman.scenes.grid import COLOUR_GRID, EDGE_GRID, FILTERS, GREYS, HUES, ORIENTATIONS, describe
from dragoman.scenes.render import render
from dragoman.scenes.scene import COLOURS, GROUNDS, KINDS, PLACES, Scene, distinct_scenes

TRAIN = 300


@pytest.fixture(scope="module")
def described() -> tuple[list[Scene], NDArray[np.float32]]:
    scenes = [scene for scene in distinct_scenes(1000, seed=4) if scene.place][: TRAIN + 100]
    vectors = [describe(render(scene, Draws(number))) for number, scene in enumerate(scenes)]
    return scenes, np.stack(vectors)


def read_by_ridge(
    scenes: Sequence[Scene],
    vectors: NDArray[np.float32],
    values: Sequence[str],
    fact: Callable[[Scene], object],
) -> float:
    """Share of unseen pictures whose fact a ridge classifier names."""
    target = np.array([values.index(str(fact(scene))) for scene in scenes])
    one_hot = np.eye(len(values))[target[:TRAIN]] - 1 / len(values)
    centred = vectors - vectors[:TRAIN].mean(0)
    gram = centred[:TRAIN] @ centred[:TRAIN].T
    scores = centred[TRAIN:] @ centred[:TRAIN].T @ np.linalg.solve(gram + 0.3 * np.eye(TRAIN), one_hot)
    return float((scores.argmax(1) == target[TRAIN:]).mean())


@pytest.mark.parametrize(
    ("values", "fact", "at_least"),
    [
        (KINDS, lambda scene: scene.first.kind, 0.6),
        (COLOURS, lambda scene: scene.first.colour, 0.65),
        (PLACES, lambda scene: scene.place, 0.95),
        (GROUNDS, lambda scene: scene.ground, 0.99),
        (("1", "2", "3"), lambda scene: scene.first.count, 0.85),
        (("small", "big"), lambda scene: scene.first.size, 0.8),
    ],
    ids=["kind", "colour", "place", "ground", "count", "size"],
)
def test_a_linear_probe_reads_the_facts_of_unseen_pictures(
    described: tuple[list[Scene], NDArray[np.float32]],
    values: Sequence[str],
    fact: Callable[[Scene], object],
    at_least: float,
) -> None:
    assert read_by_ridge(*described, values, fact) >= at_least


def test_the_four_parts_have_unit_length() -> None:
    described = describe(render(distinct_scenes(1, seed=1)[0], Draws(1)))
    colours, edges = COLOUR_GRID**2 * (2 * HUES + GREYS), EDGE_GRID**2 * ORIENTATIONS
    parts = np.split(described, np.cumsum([colours, edges, FILTERS]))
    np.testing.assert_allclose([np.linalg.norm(part) for part in parts], 1, atol=1e-3)


def test_flat_grey_has_one_colour_and_no_edges() -> None:
    described = describe(Image.new("L", (50, 40), 255))
    colours = described[: COLOUR_GRID**2 * (2 * HUES + GREYS)].reshape(COLOUR_GRID**2, -1)
    np.testing.assert_allclose(colours[:, -1], 1 / COLOUR_GRID, atol=1e-3)  # white, in all 36 cells
    np.testing.assert_allclose(colours[:, :-1], 0, atol=2e-3)
    np.testing.assert_allclose(described[colours.size :], 0, atol=1e-6)
