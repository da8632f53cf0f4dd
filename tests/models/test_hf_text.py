from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from tiny_encoders import save_encoder

from dragoman.errors import UserError
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig

KINDS = ["bert", "xlm-roberta", "clip", "t5", "distilbert"]
TEXTS = ["Um cão", "a dog runs over the green grass", "", "cão cão cão"]


def load(folder: Path, **options: object) -> HuggingFaceText:
    return HuggingFaceText.load(HuggingFaceTextConfig(path=str(folder), **options)).eval()


@torch.no_grad()
def states(encoder: HuggingFaceText, texts: list[str]) -> list[torch.Tensor]:
    """The states of the real tokens of each text, all texts in one batch."""
    inputs = encoder.prepare(texts)
    return [
        row[mask]
        for row, mask in zip(encoder(encoder.embed(inputs), inputs["mask"]), inputs["mask"], strict=True)
    ]


def plain_model(kind: str, folder: Path) -> torch.nn.Module:
    classes = {
        "bert": transformers.BertModel,
        "xlm-roberta": transformers.XLMRobertaModel,
        "clip": transformers.CLIPModel,
        "t5": transformers.T5EncoderModel,
        "distilbert": transformers.DistilBertModel,
    }
    model = classes[kind].from_pretrained(folder).eval()
    return model.text_model if kind == "clip" else model


@pytest.mark.parametrize("kind", KINDS)
def test_states_equal_those_of_plain_transformers(tmp_path: Path, kind: str) -> None:
    folder = save_encoder(tmp_path, kind)
    encoder = load(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = plain_model(kind, folder)
    for text, found in zip(TEXTS, states(encoder, TEXTS), strict=True):
        with torch.no_grad():
            expected = model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert encoder.width == 16


@pytest.mark.parametrize("kind", KINDS)
def test_states_do_not_depend_on_batch_mates(tmp_path: Path, kind: str) -> None:
    encoder = load(save_encoder(tmp_path, kind))
    together = states(encoder, TEXTS)
    for text, beside_others in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(beside_others, states(encoder, [text])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_is_rebuilt_without_the_original_folder(tmp_path: Path, kind: str) -> None:
    folder = save_encoder(tmp_path / "original", kind)
    encoder = load(folder, layers="0-0", max_length=5)
    expected, weights = states(encoder, TEXTS), encoder.state_dict()
    encoder.save_assets(tmp_path / "run")
    shutil.rmtree(folder)
    rebuilt = HuggingFaceText.from_assets(tmp_path / "run").eval()
    assert rebuilt.config == encoder.config
    rebuilt.load_state_dict(weights)
    for found, wanted in zip(states(rebuilt, TEXTS), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert trained(rebuilt) == trained(encoder)
    assert rebuilt.lengths(TEXTS) == encoder.lengths(TEXTS)


def test_no_two_weights_share_memory(tmp_path: Path) -> None:
    # safetensors refuse them; T5 keeps its word embeddings under two names.
    weights = load(save_encoder(tmp_path, "t5")).state_dict()
    assert len({tensor.data_ptr() for tensor in weights.values()}) == len(weights)


def trained(encoder: HuggingFaceText) -> set[str]:
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def layer(number: int, root: str = "trunk.encoder.layer") -> set[str]:
    parts = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    parts += ["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
    return {f"{root}.{number}.{part}.{what}" for part in parts for what in ("weight", "bias")}


EMBEDDINGS = {
    f"trunk.embeddings.{name}"
    for name in (
        "word_embeddings.weight",
        "position_embeddings.weight",
        "token_type_embeddings.weight",
        "LayerNorm.weight",
        "LayerNorm.bias",
    )
}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"layers": "none"}, set()),
        ({"layers": "last:1"}, layer(2)),
        ({"layers": "last:2"}, layer(1) | layer(2)),
        ({"layers": "0-1"}, layer(0) | layer(1)),
        ({"layers": "1-1"}, layer(1)),
        ({"layers": "all"}, layer(0) | layer(1) | layer(2)),
        ({"layers": "last:4"}, layer(0) | layer(1) | layer(2)),
        ({"layers": "none", "embeddings": True}, EMBEDDINGS),
        ({"layers": "all", "embeddings": True}, EMBEDDINGS | layer(0) | layer(1) | layer(2)),
    ],
)
def test_exactly_the_chosen_parameters_learn(
    tmp_path: Path, options: dict[str, object], expected: set[str]
) -> None:
    for kind in ("bert", "xlm-roberta"):
        assert trained(load(save_encoder(tmp_path / kind, kind), **options)) == expected


@pytest.mark.parametrize(("layers", "norm_learns"), [("0-1", False), ("1-2", True)])
def test_the_final_norm_learns_with_the_last_layer(tmp_path: Path, layers: str, norm_learns: bool) -> None:
    clip = trained(load(save_encoder(tmp_path / "clip", "clip"), layers=layers))
    assert {f"trunk.final_layer_norm.{what}" for what in ("weight", "bias")}.issubset(clip) == norm_learns
    assert all(name.startswith(("trunk.encoder.layers.", "trunk.final_layer_norm")) for name in clip)
    t5 = trained(load(save_encoder(tmp_path / "t5", "t5"), layers=layers))
    assert ("trunk.final_layer_norm.weight" in t5) == norm_learns
    assert "trunk.embed_tokens.weight" not in t5


def test_a_step_moves_the_chosen_layer_and_nothing_else(tmp_path: Path) -> None:
    encoder = load(save_encoder(tmp_path, "bert"), layers="1-1").train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    inputs = encoder.prepare(TEXTS)
    encoder(encoder.embed(inputs), inputs["mask"]).square().sum().backward()
    torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.1).step()
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[3] for name in moved} == {"1"}


def test_dropout_is_off_in_eval_mode_only(tmp_path: Path) -> None:
    encoder = load(save_encoder(tmp_path, "bert"))
    assert all(torch.equal(a, b) for a, b in zip(states(encoder, TEXTS), states(encoder, TEXTS), strict=True))
    encoder.train()
    assert not torch.equal(states(encoder, TEXTS)[1], states(encoder, TEXTS)[1])


def test_long_texts_are_cut_to_a_number_of_tokens(tmp_path: Path) -> None:
    encoder = load(save_encoder(tmp_path, "bert"), max_length=4)
    inputs = encoder.prepare(["a dog runs", "cão"])
    tokens = [encoder.tokenizer.convert_ids_to_tokens(row) for row in inputs["input_ids"].tolist()]
    assert tokens == [["[CLS]", "a", "dog", "[SEP]"], ["[CLS]", "cão", "[SEP]", "[PAD]"]]
    assert inputs["mask"].tolist() == [[True] * 4, [True, True, True, False]]
    assert encoder.lengths(["a dog runs", "cão", ""]) == [4, 3, 2]


@pytest.mark.parametrize(("kind", "limit"), [("bert", 20), ("xlm-roberta", 18), ("clip", 20)])
def test_the_limit_of_the_model_holds(tmp_path: Path, kind: str, limit: int) -> None:
    # RoBERTa's first position is its pad id + 1, here 2 of 20.
    encoder = load(save_encoder(tmp_path, kind), max_length=64)
    assert encoder.lengths(["dog " * 100]) == [limit]
    assert len(states(encoder, ["dog " * 100])[0]) == limit


def test_case_and_accents_reach_the_model(tmp_path: Path) -> None:
    encoder = load(save_encoder(tmp_path, "bert"))
    rows = encoder.prepare(["cão", "Cão", "cao"])["input_ids"]
    assert len({tuple(row) for row in rows.tolist()}) == 3


def test_a_tokenizer_that_folds_spelling_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dragoman"):
        load(save_encoder(tmp_path / "cased", "bert"))
        assert caplog.messages == []
        load(save_encoder(tmp_path / "uncased", "bert", lower_case=True))
    assert [message.split("uncased ")[1].split(";")[0] for message in caplog.messages] == [
        "lower-cases",
        "strips accents",
    ]


FOLDS = {"lowercase": True, "strip_accents": True, "strip_punctuation": True}


def test_what_the_authors_throw_away_never_reaches_the_model(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "original", "bert")
    plain, encoder = load(folder), load(folder, **FOLDS)
    encoder.save_assets(tmp_path / "run")
    rebuilt = HuggingFaceText.from_assets(tmp_path / "run")
    # An export reads with a copy of the tokenizer.
    copy = encoder.tokenizer.backend_tokenizer.to_str()
    assert rebuilt.tokenizer.backend_tokenizer.to_str() == copy
    for found in (encoder, rebuilt):
        assert found.prepare(["DOG, cão; runs!"])["input_ids"].tolist() == (
            plain.prepare(["dog cao runs"])["input_ids"].tolist()
        )
    assert rebuilt.config == encoder.config
    plain.save_assets(tmp_path / "plain")
    stored = json.loads((tmp_path / "plain" / "hf_text" / "dragoman.json").read_text("utf-8"))
    assert not FOLDS.keys() & stored.keys()


def test_one_thing_alone_can_be_thrown_away(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path, "bert")
    plain = load(folder)
    for name, text in (("lowercase", "cão"), ("strip_accents", "Cao"), ("strip_punctuation", "Cão")):
        # "Cao" alone is in no vocabulary.
        found = load(folder, **{name: True}).prepare(["Cão,"])["input_ids"].tolist()
        wanted = text if name == "strip_punctuation" else f"{text} ,"
        assert found == plain.prepare([wanted])["input_ids"].tolist()


@pytest.mark.parametrize("layers", ["", "last", "last:0", "3-1", "1", "-1", "first:2"])
def test_a_wrong_choice_of_layers_is_explained(layers: str) -> None:
    with pytest.raises(UserError, match="layers must be all, none, last:N or A-B"):
        HuggingFaceTextConfig(path="x", layers=layers)


@pytest.mark.parametrize("layers", ["3-4", "2-3"])
def test_layers_that_are_not_there_are_counted(tmp_path: Path, layers: str) -> None:
    with pytest.raises(UserError, match="but the encoder has 3: 0-2"):
        load(save_encoder(tmp_path, "bert"), layers=layers)


def test_a_vision_tower_is_no_text_encoder(tmp_path: Path) -> None:
    from tiny_towers import save_tower

    with pytest.raises(UserError, match="holds a vit model, which is no text encoder"):
        load(save_tower(tmp_path, "vit"))


def test_an_encoder_whose_layers_are_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keeps no list of 3 layers"):
        load(save_encoder(tmp_path, "albert"))


def test_missing_assets_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"hf_text has no dragoman\.json: the model folder is incomplete"):
        HuggingFaceText.from_assets(tmp_path)
