"""Sentence vectors that are moved before the head: the toy of the specification, and heads by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_duals import DETAILS, FEATURES, small_text
from tiny_encoders import save_encoder

from dragoman.errors import UserError
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.text.frozen import FrozenText, FrozenTextConfig
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig
from dragoman.retrievers.base import SentenceReader, unit
from dragoman.retrievers.postprocessing import HELD, AtSearch, Corrections, map_of
from dragoman.retrievers.trained import Retriever

Floats = NDArray[np.float32]
E = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]], np.float32)
VECTORS = {f"e{row}": one for row, one in enumerate(E)}
VECTORS |= {f"z{row}": one for row, one in enumerate(unit(E + 0.5))}


class Known:
    """A frozen encoder of six texts."""

    width = own_width = 3
    made_by: ClassVar[dict[str, Any]] = {}

    def vectors(self, texts: Sequence[str]) -> Floats:
        return np.stack([VECTORS[text] for text in texts])


def on_vectors(**shape: Any) -> Retriever:
    torch.manual_seed(0)
    trunk = FrozenText(FrozenTextConfig(features="known"), Known())  # type: ignore[arg-type]
    model = DualEncoder(DualConfig(**{"joint": 3, "text_head": "linear"} | shape), trunk, FEATURES)
    return Retriever(model.eval(), DETAILS, None)


def test_the_toy_of_the_specification() -> None:
    # The shared specification, section 3.7: E and Z are captions of two languages, the map changes nothing.
    model = on_vectors()
    head: Any = model.model.text_head
    with torch.no_grad():
        head.head.linear.weight.copy_(torch.eye(3))
    e, z = (model.encode_text([f"{name}{row}" for row in range(3)]) for name in "ez")
    np.testing.assert_allclose(np.diag(e @ z.T), [0.904534, 0.904534, 0.957841], atol=1e-6)
    assert (e @ z.T)[2, 1] == pytest.approx(0.904534, abs=1e-6)
    means = {name: model.sentence_vectors([f"{name}{row}" for row in range(3)]).mean(0) for name in "ez"}
    by = AtSearch(
        steps={name: np.zeros(3, np.float32) for name in ("e", "z", "und")},
        sentence_steps={name: -mean for name, mean in means.items()} | {"und": np.zeros(3, np.float32)},
    )
    moved = by.encoded(model, ["z1", "e0", "z0", "e2", "e1", "z2"], ["z", "e", "z-CZ", "e", "e", "z"])
    parted = moved[[1, 4, 3]] @ moved[[2, 0, 5]].T
    np.testing.assert_allclose(np.diag(parted), [0.998722, 0.998302, 0.970337], atol=1e-6)
    assert (parted - np.eye(3)).max() < 0.487
    # Of a language that is not known.
    np.testing.assert_array_equal(by.encoded(model, ["z1"], ["sw"]), z[1:2])


@pytest.mark.parametrize("kind", ["linear", "mlp", "residual"])
def test_a_step_is_taken_before_the_head(kind: str) -> None:
    model, step = on_vectors(text_head=kind), np.array([0.3, -0.2, 0.9], np.float32)
    trunk: Any = model.model.trunk
    trunk.vector_mean.copy_(torch.tensor([0.1, 0.2, 0.3]))
    trunk.vector_scale.copy_(torch.tensor([2.0, 1.0, 0.5]))
    read = (np.stack([VECTORS["e0"], VECTORS["z2"]]) - [0.1, 0.2, 0.3]) * [2, 1, 0.5]
    np.testing.assert_allclose(model.sentence_vectors(["e0", "z2"]), read, atol=1e-6)
    head: Any = model.model.text_head
    with torch.no_grad():
        expected = head(torch.from_numpy((read + step).astype(np.float32))).numpy()
    np.testing.assert_allclose(model.encode_text(["e0", "z2"], step=step), expected, atol=1e-6)
    assert isinstance(model, SentenceReader) and model.sentence_width == 3
    turn = np.random.default_rng(0).normal(size=(3, 3))
    with torch.no_grad():
        mapped = head(torch.from_numpy((read @ turn + step).astype(np.float32))).numpy()
    whole = np.vstack([turn, step]).astype(np.float32)
    np.testing.assert_allclose(model.encode_text(["e0", "z2"], step=whole), mapped, atol=1e-5)


def test_a_map_is_the_least_squares_that_are_drawn_to_the_identity() -> None:
    draws = np.random.default_rng(3)
    texts = draws.normal([2, -1, 0, 0], [3, 1, 1, 0.1], (50, 4)).astype(np.float32)
    sources = (texts @ draws.normal(size=(4, 4)) + draws.normal(size=(50, 4)) + 5).astype(np.float32)
    a, e = (part - part.mean(0, dtype=np.float64) for part in (texts, sources))
    held = np.sqrt(HELD * (a**2).sum() / 4) * np.eye(4)
    turn = np.linalg.lstsq(np.vstack([a, held]), np.vstack([e, held]), rcond=None)[0]
    found = map_of(texts, sources)
    np.testing.assert_allclose(found[:4], turn, atol=1e-4)
    # The mean comes to lie on the mean.
    np.testing.assert_allclose(texts.mean(0) @ found[:4] + found[4], sources.mean(0), atol=1e-4)
    # Captions that only lie elsewhere are centred, and the fewest do not break it.
    for some in (texts, texts[:1]):
        moved = some @ map_of(some, some + 7)[:4] + map_of(some, some + 7)[4]
        np.testing.assert_allclose(moved, some + 7, atol=1e-4)


def test_beside_words_the_sentence_side_alone_is_moved() -> None:
    torch.manual_seed(0)
    sentence = FrozenText(FrozenTextConfig(features="known"), Known())  # type: ignore[arg-type]
    shape = DualConfig(joint=8, text_head="linear", hidden=16, heads=2, key_width=8)
    model = DualEncoder(shape, small_text(), FEATURES, sentence=sentence).eval()
    step = torch.tensor([0.3, -0.2, 0.9])
    inputs = model.prepare(["e0", "z2"])
    with torch.no_grad():
        before, after = model.encode_text(inputs), model.encode_text(inputs, step_H=step)
        assert model.sentence is not None
        side = model.sentence.head(torch.from_numpy(np.stack([VECTORS["e0"], VECTORS["z2"]])) + step)
    assert before.words is not None and after.words is not None and after.sentence is not None
    np.testing.assert_array_equal(after.words.numpy(), before.words.numpy())
    np.testing.assert_allclose(after.sentence.numpy(), side.numpy(), atol=1e-6)
    assert not np.allclose(before.vector.numpy(), after.vector.numpy(), atol=1e-2)


def transformer(folder: Path, head: str, standardise: bool = False) -> Retriever:
    path = str(save_encoder(folder, "xlm-roberta"))
    trunk = HuggingFaceText.load(HuggingFaceTextConfig(path=path, max_length=12, standardise=standardise))
    config = DualConfig(joint=8, hidden=16, heads=2, key_width=8, text_head=head)  # type: ignore[arg-type]
    return Retriever(DualEncoder(config, trunk, FEATURES).eval(), DETAILS, None)


def test_a_transformer_with_a_direct_head_has_sentence_vectors(tmp_path: Path) -> None:
    model = transformer(tmp_path, "mlp", standardise=True)
    texts = ["a dog runs over the green grass", "dog", "Um cão", "dog", "the the the"]
    step = np.linspace(-1, 1, 16).astype(np.float32)
    moved = model.encode_text(texts, step=step)
    head: Any = model.model.text_head
    read = model.sentence_vectors(texts)
    with torch.no_grad():
        expected = head(torch.from_numpy(read + step)).numpy()
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    # No batch-mate takes part.
    for row, text in enumerate(texts):
        np.testing.assert_allclose(model.encode_text([text], step=step)[0], moved[row], atol=1e-5)
    np.testing.assert_array_equal(moved[1], moved[3])


def small() -> Retriever:
    config = DualConfig(joint=8, text_head="mlp")
    return Retriever(DualEncoder(config, small_text(), FEATURES).eval(), DETAILS, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: transformer(folder, "attention"),
        lambda folder: on_vectors(text_head="attention", hidden=16, heads=2, key_width=8),
        lambda folder: small(),
    ],
)
def test_other_models_have_none(tmp_path: Path, make: Callable[[Path], Retriever]) -> None:
    model = make(tmp_path)
    assert model.sentence_width == 0
    for ask in (
        lambda: model.sentence_vectors(["e0"]),
        lambda: model.encode_text(["e0"], step=np.zeros(3, np.float32)),
    ):
        with pytest.raises(UserError, match="no head that reads the vector of a whole text"):
            ask()


def test_a_step_of_another_width_is_told() -> None:
    with pytest.raises(UserError, match=r"shape \(4,\), but the sentence vectors of .* the width 3"):
        on_vectors().encode_text(["e0"], step=np.zeros(4, np.float32))


class Joint:
    """A model without such a head."""

    config: ClassVar[dict[str, Any]] = {}

    def encode_text(self, texts: Sequence[str]) -> Floats:
        return np.stack([VECTORS[text] for text in texts])

    def encode_features(self, vectors: NDArray[np.floating]) -> Floats:
        return unit(np.asarray(vectors, np.float32))


def test_without_such_a_head_the_joint_space_is_moved() -> None:
    steps = {"z": np.array([0, 0, 1], np.float32), "und": np.array([1, 0, 0], np.float32)}
    before = {lang: np.full(5, 9, np.float32) for lang in steps}
    by = AtSearch(steps=steps, sentence_steps=before)
    found = by.encoded(Joint(), ["e0", "e1"], ["z-CZ", "sw"])
    np.testing.assert_allclose(found, unit(np.array([[1, 0, 1], [1, 1, 0]], np.float32)), atol=1e-6)
    # A calibration of before knows the joint space alone, whatever the model has.
    model = on_vectors()
    expected = unit(model.encode_text(["e0"]) + steps["z"])
    np.testing.assert_allclose(AtSearch(steps=steps).encoded(model, ["e0"], ["z"]), expected, atol=1e-6)


def test_means_that_are_moved_are_those_of_both_spaces() -> None:
    made = Corrections(
        source="en",
        means={"en": np.array([1, 0], np.float32), "cs": np.array([0, 1], np.float32)},
        captions=np.zeros((0, 2), np.float32),
        images=np.zeros((0, 2), np.float32),
        sentences={"en": np.array([4, 0, 0], np.float32), "cs": np.array([0, 2, 0], np.float32)},
    )
    found = made.at_search(True, 0.0)
    assert {lang: step.tolist() for lang, step in found.steps.items()} == {
        "en": [0, 0],
        "cs": [1, -1],
        "und": [0.5, -0.5],
    }
    assert {lang: step.tolist() for lang, step in found.sentence_steps.items()} == {
        "en": [0, 0, 0],
        "cs": [4, -2, 0],
        "und": [2, -1, 0],
    }
    assert not made.at_search(False, 0.5).sentence_steps
    mapped = replace(made, maps={"cs": np.ones((4, 3), np.float32)}).at_search(True, 0.0)
    assert {lang: step.shape for lang, step in mapped.sentence_steps.items()} == {
        "en": (3,),
        "cs": (4, 3),
        "und": (3,),
    }
