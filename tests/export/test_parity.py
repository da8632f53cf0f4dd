from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dragoman.cli.export import parity_lines, size_line
from dragoman.errors import CheckFailedError
from dragoman.export.parity import Agreement, SampleVectors, agreements, require

NONE = np.empty((0, 2), np.float32)
EAST, NORTH = [1, 0], [0, 1]
TILTED = [0.8, 0.6]


def encoded(
    texts: list[list[float]], features: list[list[float]], images: np.ndarray = NONE
) -> SampleVectors:
    return SampleVectors(
        texts={"pt": np.array(texts, np.float32)}, features=np.array(features, np.float32), images=images
    )


def test_agreement_by_hand() -> None:
    expected = encoded([EAST, NORTH], [EAST, NORTH], np.array([EAST], np.float32))
    found = encoded([EAST, TILTED], [EAST, NORTH], np.array([NORTH], np.float32))
    texts, features, images = agreements(expected, found, "fp32")
    assert (texts.what, texts.precision, texts.count) == ("texts, pt", "fp32", 2)
    # (0, 1) against (0.8, 0.6): cosine 0.6, differences 0.8 and 0.4.
    assert texts.largest_difference == pytest.approx(0.8)
    assert (texts.cosine_min, texts.cosine_mean) == (pytest.approx(0.6), pytest.approx(0.8))
    assert (features.what, features.largest_difference, features.top10) == ("vision vectors", 0, None)
    assert (images.what, images.count, images.cosine_mean) == ("images", 1, 0)


def test_the_same_top_is_the_share_of_common_hits() -> None:
    # 20 features along a quarter circle: a text at its start finds the first ten, one moved by five
    # finds the same half of them and five others.
    angles = np.linspace(0, np.pi / 2, 20)
    features = np.stack([np.cos(angles), np.sin(angles)], 1)
    moved = 9.5 * np.pi / 2 / 19
    found = encoded([[np.cos(moved), np.sin(moved)]], features.tolist())
    row, _ = agreements(encoded([EAST], features.tolist()), found, "int8")
    # Nearest to 9.5 are 5 to 14; 0 to 9 share 5 to 9 with them.
    assert row.top10 == 0.5


GOOD = Agreement(
    what="texts, pt",
    precision="fp32",
    count=3,
    largest_difference=9e-5,
    cosine_min=0.9,
    cosine_mean=0.98,
    top10=0.99,
)


def test_what_is_within_tolerance_passes() -> None:
    require(
        [
            GOOD,
            replace(GOOD, what="images", largest_difference=9e-4),
            replace(GOOD, precision="int8", largest_difference=0.3),
        ]
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"largest_difference": 1.1e-4}, r"up to 0\.00011 \(texts, pt\), allowed 0\.0001; nothing was"),
        ({"largest_difference": float("nan")}, r"up to nan \(texts, pt\)"),
        ({"what": "images", "largest_difference": 2e-3}, r"up to 0\.002 \(images\), allowed 0\.001"),
        ({"precision": "int8", "cosine_mean": 0.97}, r"cosine of 0\.9700 .* Export without --int8"),
        ({"precision": "int8", "cosine_mean": float("nan")}, r"cosine of nan"),
    ],
)
def test_what_is_beyond_tolerance_is_said_with_its_row(bad: dict, message: str) -> None:
    with pytest.raises(CheckFailedError, match=message):
        require([GOOD, replace(GOOD, **bad)])


def test_the_table() -> None:
    lines = list(parity_lines([GOOD, replace(GOOD, what="vision vectors", top10=None)]))
    assert [line.split() for line in lines[1:]] == [
        ["texts,", "pt", "fp32", "3", "9.0e-05", "0.900000", "0.980000", "99.0%"],
        ["vision", "vectors", "fp32", "3", "9.0e-05", "0.900000", "0.980000", "-"],
    ]
    assert len({len(line) for line in lines}) == 1
    sizes = {"text.onnx": 1_250_000, "config.json": 900}
    assert size_line(sizes) == "1.3 MB (text.onnx 1.2)"
