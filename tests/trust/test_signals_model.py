"""What a model sees in captions, with a model of hand-made vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_trust import machine, write_corpus

from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.trust.score import score_trust

VECTORS = {"A dog runs fast .": (1.0, 0.0), "Um cão corre depressa .": (0.6, 0.8)}


class HandMade:
    """Texts by a table, pictures as they are stored."""

    def __init__(self, **config: Any) -> None:
        self.config = {"source": "en", "targets": ["pt"], "features": "eyes"} | config
        self.turned = 1.0

    def encode_text(self, texts: list[str]) -> NDArray[np.float32]:
        return np.array([VECTORS.get(text, (0.0, 1.0)) for text in texts], np.float32) * [1, self.turned]

    def encode_features(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.asarray(vectors, np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spanish = machine("es0", "Un perro", lang="es")
    folder = write_corpus(tmp_path / "c", [spanish])
    pictures = np.array([[0.8, 0.6]] + [[1.0, 0.0]] * 5)
    write_features(folder / "features" / "eyes", [f"i{n}" for n in range(6)], pictures, inputs={})
    return folder


def test_image_and_meaning_are_cosines_by_hand(folder: Path) -> None:
    rows = {row["caption_id"]: row for row in score_trust(folder, model=HandMade()).to_pylist()}
    # Source (1, 0), translation (0.6, 0.8), picture (0.8, 0.6): 0.48 + 0.48 against 0.8.
    assert rows["pt0"]["image"] == pytest.approx(0.96 - 0.8, abs=1e-3)
    assert rows["pt0"]["meaning"] == pytest.approx(0.6)
    assert rows["pt1"]["meaning"] == 1  # both texts are unknown to the table, and so alike
    assert rows["es0"]["image"] is None and rows["es0"]["meaning"] is None


def test_another_model_is_asked_anew_and_the_same_is_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score_trust(folder, model=HandMade())
    turned = HandMade()
    turned.turned = -1.0
    assert not score_trust(folder, model=turned)["image"].equals(first["image"])
    again = score_trust(folder, model=HandMade())
    monkeypatch.setattr("dragoman.trust.score._score", lambda *_: pytest.fail("scored again"))
    assert score_trust(folder, model=HandMade()).equals(again)


def test_a_model_of_other_features_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="no feature set 'ears'"):
        score_trust(folder, model=HandMade(features="ears"))
    with pytest.raises(UserError, match="names no feature set"):
        score_trust(folder, model=HandMade(features=None))
