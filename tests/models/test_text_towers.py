"""Pairs of a text tower and a vision tower, against the arithmetic of their papers done by hand."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_towers import BODY, picture, save_photo_corpus, save_tower

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.models.sentences import load_text_side, mclip, sentence_transformers
from dragoman.retrievers.loading import image_fingerprint, load_encoder, model_config, model_fingerprint

WORDS = ["<s>", "<pad>", "</s>", "?", "a", "dog", "um", "cão", "na", "praia", "casa"]
TEXTS = ["a dog", "um cão na praia", "casa", "a dog", "um cão na praia casa a dog na casa"]
JOINT, STATES = 8, BODY["hidden_size"]
"""The tiny CLIP projects to 8."""


def save_tokenizer(folder: Path) -> None:
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="?")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="?", model_max_length=512
    ).save_pretrained(folder)


def trunk(seed: int = 0) -> transformers.XLMRobertaModel:
    torch.manual_seed(seed)
    config = transformers.XLMRobertaConfig(
        **BODY, vocab_size=len(WORDS), max_position_embeddings=12, pad_token_id=1, type_vocab_size=1
    )
    return transformers.XLMRobertaModel(config).eval()


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def save_mclip(folder: Path) -> Path:
    """As M-CLIP publishes: one file of weights, and the base model by its name."""
    body = trunk()
    folder.mkdir(parents=True)
    save_tokenizer(folder)
    torch.manual_seed(1)
    linear = torch.nn.Linear(STATES, JOINT)
    weights = {f"transformer.{name}": value for name, value in body.state_dict().items()}
    weights |= {f"LinearTransformation.{name}": value for name, value in linear.state_dict().items()}
    weights["transformer.embeddings.position_ids"] = torch.arange(12).unsqueeze(0)
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    said = {"modelBase": "tiny-xlm-r", "transformerDimensions": STATES, "numDims": JOINT}
    write(folder / "config.json", {"model_type": "M-CLIP", "transformers_version": "4.8.1", **said})
    body.config.save_pretrained(folder.parent / "tiny-xlm-r")
    return folder


def save_sentence_transformers(
    folder: Path,
    *,
    activation: str = "torch.nn.modules.linear.Identity",
    bias: bool = False,
    pooling: str = "pooling_mode_mean_tokens",
    normalize: bool = False,
    **settings: Any,
) -> Path:
    """As clip-ViT-B-32-multilingual-v1: Transformer, 1_Pooling, 2_Dense."""
    trunk().save_pretrained(folder)
    save_tokenizer(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    kinds += [("3_Normalize", "Normalize")] * normalize
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(kinds)
    ]
    write(folder / "modules.json", modules)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False, **settings})
    modes = ("pooling_mode_cls_token", "pooling_mode_mean_tokens", "pooling_mode_max_tokens")
    write(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": STATES, **{mode: mode == pooling for mode in modes}},
    )
    said = {"in_features": STATES, "out_features": JOINT, "bias": bias, "activation_function": activation}
    write(folder / "2_Dense" / "config.json", said)
    torch.manual_seed(2)
    linear = torch.nn.Linear(STATES, JOINT, bias=bias)
    weights = {f"linear.{name}": value for name, value in linear.state_dict().items()}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    return folder


def save_pair(folder: Path, text: Path, vision: Path) -> Path:
    named = {"text": os.path.relpath(text, folder), "vision": str(vision)}
    write(folder / "config.json", {"model_type": "dragoman-pair", **named})
    return folder


def states_of(text: str, longest: int = 10) -> torch.Tensor:
    """[L, H] of one text, unpadded."""
    ids = [0, *(WORDS.index(word) if word in WORDS else 3 for word in text.split()), 2]
    ids = ids if len(ids) <= longest else [*ids[: longest - 1], 2]
    with torch.inference_mode():
        return trunk()(torch.tensor([ids])).last_hidden_state[0]


def unit(rows: list[torch.Tensor]) -> np.ndarray:
    vectors = torch.stack(rows).numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_tower(tmp_path / "clip", "clip")


def test_mclip_is_a_mean_over_the_text_and_a_linear_layer(tmp_path: Path, clip: Path) -> None:
    text = save_mclip(tmp_path / "XLM-R-tiny")
    weights = load_file(text / "model.safetensors")
    weight, bias = weights["LinearTransformation.weight"], weights["LinearTransformation.bias"]
    expected = unit([weight @ states_of(one).mean(0) + bias for one in TEXTS])
    model = load_encoder(save_pair(tmp_path / "pair", text, clip))
    found = model.encode_text(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[3])
    assert model.width == JOINT and mclip.width(text) == JOINT


@pytest.mark.parametrize("activation", ["linear.Identity", "activation.Tanh"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_sentence_transformers_pools_then_goes_through_its_dense_layer(
    tmp_path: Path, clip: Path, activation: str, pooling: str
) -> None:
    text = save_sentence_transformers(
        tmp_path / "text",
        activation=f"torch.nn.modules.{activation}",
        bias=activation.endswith("Tanh"),
        pooling=f"pooling_mode_{pooling}_token" + ("" if pooling == "cls" else "s"),
    )
    weights = load_file(text / "2_Dense" / "model.safetensors")
    rows = []
    for one in TEXTS:
        states = states_of(one)
        pooled = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[pooling]
        row = weights["linear.weight"] @ pooled
        rows.append(torch.tanh(row + weights["linear.bias"]) if activation.endswith("Tanh") else row)
    found = load_encoder(save_pair(tmp_path / "pair", text, clip)).encode_text(TEXTS)
    np.testing.assert_allclose(found, unit(rows), atol=1e-5)


def test_texts_are_cut_and_put_into_lower_case_as_the_folder_says(tmp_path: Path) -> None:
    text = save_sentence_transformers(tmp_path / "text", max_seq_length=4, do_lower_case=True, normalize=True)
    weight = load_file(text / "2_Dense" / "model.safetensors")["linear.weight"]
    tower = load_text_side(text, "cpu")
    found = tower.encode(["UM CÃO na praia casa"])
    np.testing.assert_allclose(found, unit([weight @ states_of("um cão na", 4).mean(0)]), atol=1e-5)
    write(text / "sentence_bert_config.json", {"max_seq_length": 500, "do_lower_case": False})
    long = load_text_side(text, "cpu").encode(["a dog " * 30])
    np.testing.assert_allclose(long, unit([weight @ states_of("a dog " * 30).mean(0)]), atol=1e-5)


def test_sentence_transformers_itself_gives_the_same(tmp_path: Path) -> None:
    package = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    tanh = "torch.nn.modules.activation.Tanh"
    text = save_sentence_transformers(tmp_path / "text", activation=tanh, max_seq_length=10)
    other = package.SentenceTransformer(str(text), device="cpu")
    found = load_text_side(text, "cpu").encode(TEXTS)
    np.testing.assert_allclose(found, other.encode(TEXTS), atol=1e-5)


def test_images_go_through_the_other_folder(tmp_path: Path, clip: Path) -> None:
    pair = save_pair(tmp_path / "pair", save_mclip(tmp_path / "text"), clip)
    processor = transformers.AutoImageProcessor.from_pretrained(clip, backend="pil")
    model = transformers.CLIPModel.from_pretrained(clip).eval()
    with torch.inference_mode():
        seen = model.get_image_features(**processor([picture(1)], return_tensors="pt")).pooler_output
    encoder = load_encoder(pair)
    np.testing.assert_allclose(encoder.encode_image([picture(1)]), unit([seen[0]]), atol=1e-3)
    corpus = save_photo_corpus(tmp_path / "corpus", 3)
    extract_features(corpus, encoder=clip, name="clip", options=ExtractOptions(device="cpu"))
    assert Corpus.open(corpus).features_of(encoder.config["vision"]) == "clip"
    extract_features(corpus, encoder=pair, name="pair", options=ExtractOptions(device="cpu"))
    both = [Corpus.open(corpus).features(name) for name in ("clip", "pair")]
    np.testing.assert_array_equal(*(np.asarray(one.whole(one.rows(["item0", "item2"]))) for one in both))
    assert encoder.config["recipe"] == "zero-shot text with clip"


def test_the_fingerprint_follows_both_folders(tmp_path: Path, clip: Path) -> None:
    text = save_sentence_transformers(tmp_path / "text")
    pair = save_pair(tmp_path / "pair", text, clip)
    again = save_pair(tmp_path / "again", text, clip)
    before = model_fingerprint(pair)
    assert before == model_fingerprint(again) == load_encoder(pair).fingerprint
    (text / "README.md").write_text("A card decides nothing.")
    assert model_fingerprint(pair) == before
    weights = load_file(text / "2_Dense" / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, text / "2_Dense" / "model.safetensors")
    after = model_fingerprint(pair)
    assert after != before and image_fingerprint(pair) == image_fingerprint(again)
    other = save_pair(tmp_path / "other", text, save_tower(tmp_path / "clip2", "clip", seed=5))
    assert model_fingerprint(other) != after and image_fingerprint(other) != image_fingerprint(pair)


def test_the_fingerprint_of_mclip_follows_its_base(tmp_path: Path, clip: Path) -> None:
    pair = save_pair(tmp_path / "pair", save_mclip(tmp_path / "text"), clip)
    before = model_fingerprint(pair)
    base = tmp_path / "tiny-xlm-r" / "config.json"
    write(base, json.loads(base.read_text()) | {"hidden_act": "relu"})
    # The description is kept while the files of the two folders stay as they are.
    os.utime(tmp_path / "text" / "config.json", (1, 1))
    assert model_fingerprint(pair) != before


@pytest.mark.parametrize("kind", ["mclip", "sentence-transformers"])
def test_a_text_tower_alone_says_how_to_name_both(tmp_path: Path, kind: str) -> None:
    save = save_mclip if kind == "mclip" else save_sentence_transformers
    with pytest.raises(UserError, match=r'reads texts alone; .*"model_type": "dragoman-pair", "text": …'):
        load_encoder(save(tmp_path / "text"))


def test_towers_of_different_spaces_are_refused(tmp_path: Path) -> None:
    text = save_mclip(tmp_path / "text")
    pair = save_pair(tmp_path / "pair", text, save_tower(tmp_path / "siglip", "siglip"))
    with pytest.raises(
        UserError, match=r"text gives vectors of width 8, but .*siglip of width 16: .*one space"
    ):
        model_config(pair)


@pytest.mark.parametrize("change", [{"text": "nowhere"}, {"text": None}, {"vision": 3}, {"vision": "."}])
def test_a_pair_without_its_folders_is_refused(tmp_path: Path, clip: Path, change: dict[str, Any]) -> None:
    pair = save_pair(tmp_path / "pair", save_mclip(tmp_path / "text"), clip)
    write(pair / "config.json", json.loads((pair / "config.json").read_text()) | change)
    (name,) = change
    with pytest.raises(UserError, match=rf"says '{name}': .*, but the folder of a model was expected"):
        model_config(pair)


def test_another_folder_is_no_text_tower(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(UserError, match=r"clip is no text tower that is known: M-CLIP's folders"):
        model_config(save_pair(tmp_path / "pair", clip, clip))


def test_the_base_of_mclip_is_asked_for(tmp_path: Path) -> None:
    text = save_mclip(tmp_path / "text")
    (tmp_path / "tiny-xlm-r" / "config.json").unlink()
    with pytest.raises(
        UserError, match=r"made of tiny-xlm-r, whose config\.json .* hf download tiny-xlm-r config"
    ):
        load_text_side(text, "cpu")


@pytest.mark.parametrize(
    ("dropped", "says"),
    [
        ("transformer.encoder.layer.1.", "lack .* of its parameters"),
        ("LinearTransformation.bias", "lack 1 of"),
    ],
)
def test_mclip_without_all_of_its_weights_is_refused(tmp_path: Path, dropped: str, says: str) -> None:
    text = save_mclip(tmp_path / "text")
    weights = load_file(text / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(dropped)}
    save_file(kept, text / "model.safetensors")
    with pytest.raises(UserError, match=says):
        load_text_side(text, "cpu")


def test_mclip_with_more_layers_than_its_base_is_refused(tmp_path: Path) -> None:
    text = save_mclip(tmp_path / "text")
    base = tmp_path / "tiny-xlm-r" / "config.json"
    write(base, json.loads(base.read_text()) | {"num_hidden_layers": 1})
    with pytest.raises(UserError, match=r"no place for, such as transformer\.encoder\.layer\.1"):
        load_text_side(text, "cpu")


@pytest.mark.parametrize("place", ["", "2_Dense"])
def test_pickles_are_never_opened(tmp_path: Path, place: str) -> None:
    text = save_sentence_transformers(tmp_path / "text")
    (text / place / "model.safetensors").rename(text / place / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"holds only pickled weights \(pytorch_model\.bin\)"):
        load_text_side(text, "cpu")


@pytest.mark.parametrize(
    ("file", "value", "says"),
    [
        (
            "2_Dense/config.json",
            {"activation_function": "torch.nn.ReLU"},
            "activation ReLU; known: Identity, Tanh",
        ),
        (
            "1_Pooling/config.json",
            {"pooling_mode_max_tokens": True},
            "pools by mean_tokens and max_tokens; known",
        ),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False}, "pools by nothing; known"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "pools by lasttoken; known"),
        ("modules.json", [{"type": "a.b.LSTM", "path": ""}], "has a LSTM module where only Transformer"),
        ("modules.json", [{"type": "a.Pooling", "path": "1_Pooling"}], "has a Pooling module where only"),
        ("modules.json", [], "names no Transformer with a Pooling"),
        (
            "modules.json",
            [{"type": "a.Transformer", "path": "../.."}],
            r"names '\.\./\.\.', which lies outside",
        ),
        ("modules.json", [1], "is damaged"),
        ("modules.json", {"a": 1}, "is damaged"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, file: str, value: Any, says: str) -> None:
    text = save_sentence_transformers(tmp_path / "text")
    if file != "modules.json":
        value = json.loads((text / file).read_text()) | value
    write(text / file, value)
    with pytest.raises(UserError, match=says):
        load_text_side(text, "cpu")


def test_newer_names_of_the_same_are_read(tmp_path: Path) -> None:
    text = save_sentence_transformers(tmp_path / "text")
    expected = load_text_side(text, "cpu").encode(TEXTS)
    write(text / "1_Pooling" / "config.json", {"embedding_dimension": STATES, "pooling_mode": "mean"})
    modules = (text / "modules.json").read_text()
    (text / "modules.json").write_text(
        re.sub(r"transformers\.models", "transformers.base.modules.x", modules)
    )
    np.testing.assert_array_equal(load_text_side(text, "cpu").encode(TEXTS), expected)
    assert sentence_transformers.width(text) == JOINT
