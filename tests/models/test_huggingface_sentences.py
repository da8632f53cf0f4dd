"""Plain encoders of transformers as sentence encoders: poolings by hand, and what a folder says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from test_text_towers import WORDS, save_tokenizer, trunk
from tiny_towers import save_tower

from dragoman.errors import UserError
from dragoman.models.sentences import kind_of, load_text_side
from dragoman.models.sentences.towers import POOLINGS
from dragoman.retrievers.loading import load_encoder

SMALL = {"vocab_size": len(WORDS), "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def test_poolings_are_those_of_hand_wherever_the_padding_is() -> None:
    states = torch.tensor([[[1.0, -5.0], [2.0, -4.0], [6.0, -9.0]], [[7.0, 7.0], [1.0, -3.0], [3.0, -1.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    by_hand = {
        "mean": [[1.5, -4.5], [2.0, -2.0]],
        "first": [[1.0, -5.0], [1.0, -3.0]],
        "last": [[2.0, -4.0], [3.0, -1.0]],
        "max": [[2.0, -4.0], [3.0, -1.0]],
    }
    assert {name: pool(states, mask).tolist() for name, pool in POOLINGS.items()} == by_hand


def test_an_encoder_gives_the_masked_mean_of_its_states(tmp_path: Path) -> None:
    body = trunk()
    body.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    side = load_text_side(tmp_path)
    ids = torch.tensor([[0, 4, 5, 2]])  # <s> a dog </s>
    with torch.inference_mode():
        expected = body(input_ids=ids).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(side.encode(["a dog", "um cão na praia"])[0], expected, atol=1e-5)
    assert side.reading.pool == "mean"


@pytest.mark.parametrize("left", [False, True])
def test_a_decoder_gives_the_state_of_the_last_token(tmp_path: Path, left: bool) -> None:
    torch.manual_seed(3)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(**size, **SMALL, num_key_value_heads=2, max_position_embeddings=16)
    body = transformers.LlamaModel(config).eval()
    body.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    said = tmp_path / "tokenizer_config.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"padding_side": "left" if left else "right"}))
    side = load_text_side(tmp_path)
    with torch.inference_mode():
        expected = body(input_ids=torch.tensor([[0, 4, 5, 2]])).last_hidden_state[0, -1].numpy()
    together = side.encode(["a dog", "um cão na praia casa"])
    np.testing.assert_allclose(together[0], expected, atol=1e-5)
    assert (side.reading.pool, side.width) == ("last", 16)


def test_of_an_encoder_decoder_the_encoder_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(4)
    config = transformers.T5Config(
        d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2, **SMALL, decoder_start_token_id=1
    )
    body = transformers.T5EncoderModel(config).eval()
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    body = transformers.T5EncoderModel.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        expected = body(input_ids=torch.tensor([[0, 5, 2]])).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(load_text_side(tmp_path).encode(["dog"])[0], expected, atol=1e-5)


def test_what_is_no_text_encoder_or_no_model_of_both_is_refused(tmp_path: Path) -> None:
    assert kind_of(save_tower(tmp_path / "vit", "vit")) is None
    trunk().save_pretrained(tmp_path / "plain")
    assert kind_of(tmp_path / "plain") is None  # no tokenizer
    save_tokenizer(tmp_path / "plain")
    with pytest.raises(UserError, match="has no text and image side in one space"):
        load_encoder(tmp_path / "plain")
    (tmp_path / "plain" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no weights"):
        load_text_side(tmp_path / "plain")
