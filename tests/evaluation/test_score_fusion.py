"""Score fusion: NRCCR's toy, its limits, and streaming against the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.errors import UserError
from dragoman.evaluation import MatrixScores, Positives, rank_scores
from dragoman.evaluation.score_fusion import NORMALISATIONS, Channels, Normalisation, sweep

SOURCE, TARGET = [[0.2, 0.6], [0.5, 0.3]], [[0.1, 0.3], [0.5, 0.2]]


def fused(normalisation: Normalisation, weight: float, source=SOURCE, target=TARGET) -> list:
    channels = Channels(MatrixScores(source), MatrixScores(target), normalisation)
    return channels.at(weight).rows(0, 2)


def test_the_toy_of_the_paper() -> None:
    np.testing.assert_allclose(fused("matrix", 0.2), [[0, 0.6], [0.95, 0.25]], atol=1e-6)


def test_each_query_by_itself() -> None:
    source = [[0.0, 1.0, 4.0], [2.0, 2.0, 6.0]]
    target = [[3.0, 1.0, 2.0], [5.0, 5.0, 5.0]]
    found = fused("query", 0.5, source, target)
    np.testing.assert_allclose(found, [[0.5, 0.125, 0.75], [0, 0, 0.5]], atol=1e-6)


def test_none_takes_the_scores_as_they_are() -> None:
    np.testing.assert_allclose(fused("none", 0.25), [[0.125, 0.375], [0.5, 0.225]], atol=1e-6)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_weights_zero_and_one_keep_the_order_of_one_channel(normalisation: Normalisation) -> None:
    random = np.random.default_rng(0)
    source, target = random.random((2, 6, 9))
    for weight, alone in [(0.0, target), (1.0, source)]:
        both = Channels(MatrixScores(source), MatrixScores(target), normalisation).at(weight).rows(0, 6)
        np.testing.assert_array_equal(np.argsort(both, axis=1), np.argsort(alone, axis=1))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_constant_channel_leaves_the_order_to_the_other(normalisation: Normalisation) -> None:
    found = fused(normalisation, 0.5, source=np.full((2, 2), 0.7))
    np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(TARGET, axis=1))


def test_a_sweep_in_blocks_equals_each_weight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.evaluation.ranks.BLOCK_ENTRIES", 30)
    random = np.random.default_rng(1)
    source, target = random.random((2, 17, 9)).astype(np.float32)
    positives = Positives.from_items([str(i % 9) for i in range(17)], [str(i) for i in range(9)])
    weights = [0.0, 0.3, 1.0]
    swept = sweep(Channels(MatrixScores(source), MatrixScores(target), "matrix"), positives, weights)
    low, high = (np.array([c.min() for c in (source, target)]), np.array([c.max() for c in (source, target)]))
    scaled = [(c - a) / (b - a) for c, a, b in zip((source, target), low, high, strict=True)]
    for weight, ranks in zip(weights, swept, strict=True):
        whole = MatrixScores(weight * scaled[0] + (1 - weight) * scaled[1])
        np.testing.assert_array_equal(ranks.rho, rank_scores(whole, positives).rho)


def test_channels_of_other_shapes_are_refused() -> None:
    with pytest.raises(UserError, match=r"shapes \(2, 2\) and \(1, 2\)"):
        Channels(MatrixScores(SOURCE), MatrixScores([[1, 2]]), "none")


def test_a_weight_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"must lie in 0\.\.1, got 1\.5"):
        fused("none", 1.5)


def test_an_unknown_normalisation_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"No normalisation 'softmax'\. Known: matrix, query, none"):
        fused("softmax", 0.5)  # type: ignore[arg-type]
