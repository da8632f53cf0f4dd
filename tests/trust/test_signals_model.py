"""What a model sees in captions, with a model of hand-made vectors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_trust import machine, write_corpus

from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.trust.score import _score as score
from dragoman.trust.score import score_trust
from left_out import lacking_vectors

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


def test_captions_are_scored_again_where_any_picture_was_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not that of the captions by which a model is known again.
    monkeypatch.setattr("dragoman.trust.aids.PROBES", 1)
    score_trust(folder, model=HandMade())
    ids, pictures = [f"i{n}" for n in range(6)], np.array([[0.8, 0.6]] + [[1.0, 0.0]] * 5)
    scored: list[int] = []
    monkeypatch.setattr(
        "dragoman.trust.score._score", lambda found, *_: scored.append(len(found)) or score(found, *_)
    )
    for last, times in ((1.0, 0), (0.0, 1), (0.0, 1)):
        pictures[5] = (last, 0.0)
        write_features(folder / "features" / "eyes", ids, pictures, inputs={})
        score_trust(folder, model=HandMade())
        assert len(scored) == times


def test_a_model_of_other_features_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="no feature set 'ears'"):
        score_trust(folder, model=HandMade(features="ears"))
    with pytest.raises(UserError, match="names no feature set"):
        score_trust(folder, model=HandMade(features=None))


def test_captions_of_a_picture_without_vector_are_judged_by_the_other_signals(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dragoman.trust.aids.PROBES", 2)  # the model is known again by other captions
    lacking = lacking_vectors(folder, tmp_path / "lacking", "i3", features="eyes")
    names = ("caption_id", "image", "meaning", "trust")
    whole, found = (score_trust(one, model=HandMade()).select(names).to_pylist() for one in (folder, lacking))
    assert [row["meaning"] for row in found] == [row["meaning"] for row in whole]
    of_i3 = [row["caption_id"] == "pt3" for row in found]
    assert sum(of_i3) == 1
    assert [row["image"] for row in found] == [
        None if gone else row["image"] for gone, row in zip(of_i3, whole, strict=True)
    ]
    assert [row["trust"] is None for row in found] == [row["trust"] is None for row in whole]
    (said,) = caplog.messages
    assert (
        "no vector for 1 of 6 items with machine captions: i3. Their captions are judged without the" in said
    )
    # A vector that came since is looked at.
    shutil.copytree(folder / "features", lacking / "features", dirs_exist_ok=True)
    assert score_trust(lacking, model=HandMade()).select(names).to_pylist() == whole
    most = lacking_vectors(folder, tmp_path / "most", "i0", "i1", "i2", "i3", features="eyes")
    with pytest.raises(
        UserError, match=r"no vector for 4 of 6 items .* needs most of them\. Give them vectors"
    ):
        score_trust(most, model=HandMade())
