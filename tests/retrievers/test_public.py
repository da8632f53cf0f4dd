"""Public dual encoders against the models of transformers themselves, called by hand, a text at a time."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from tiny_towers import picture, save_photo_corpus, save_tower

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.models.identity import languages_of
from dragoman.retrievers.loading import image_fingerprint, load_encoder, model_config, model_fingerprint
from dragoman.retrievers.public import PublicDual

WORDS = ["<pad>", "<start>", "?", "a", "dog", "um", "cão", "na", "praia", "casa", "</s>"]
"""CLIP takes the position of the largest id for the end of a text, where its end has the number 2."""
END = len(WORDS) - 1
TEXTS = ["a dog", "um cão na praia", "casa", "a", "a dog", "um cão na praia casa a dog na casa"]
LONGEST = {"clip": 12, "siglip": 64}


def save_dual(folder: Path, kind: str, seed: int = 0) -> Path:
    """A tiny dual encoder with a tokenizer of whole words."""
    save_tower(folder, kind, seed)
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="?")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="<start> $A </s>", special_tokens=[("<start>", 1), ("</s>", END)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        unk_token="?",
        eos_token="</s>",
        model_max_length=LONGEST[kind],
    ).save_pretrained(folder)
    return folder


def ids_of(text: str) -> list[int]:
    return [1, *(WORDS.index(word) if word in WORDS else WORDS.index("?") for word in text.split()), END]


def by_hand(folder: Path, kind: str, texts: list[str]) -> np.ndarray:
    """CLIP's vector at the end of the text, unpadded; SigLIP's at the last of 64 positions, unmasked."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    found = []
    for text in texts:
        ids = ids_of(text)
        with torch.inference_mode():
            if kind == "clip":
                ids = ids[: LONGEST[kind] - 1] + ids[-1:] if len(ids) > LONGEST[kind] else ids
                state = model.text_model(torch.tensor([ids])).last_hidden_state[0, -1]
                found.append(model.text_projection(state))
            else:
                padded = torch.tensor([ids + [0] * (64 - len(ids))])
                state = model.text_model(padded).last_hidden_state[0, -1]
                found.append(model.text_model.head(state))
    vectors = torch.stack(found).numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dual(tmp_path_factory.mktemp(kind) / "public", kind)


def test_texts_get_the_vectors_of_the_model_itself(folder: Path, kind: str) -> None:
    model = load_encoder(folder)
    assert isinstance(model, PublicDual)
    found = model.encode_text(TEXTS)
    assert found.shape == (len(TEXTS), model.width) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(folder, kind, TEXTS), atol=1e-5)
    np.testing.assert_array_equal(found[0], found[4])
    assert model.encode_text([]).shape == (0, model.width)


def test_long_texts_are_cut(folder: Path, kind: str) -> None:
    long = "a dog na casa " * 30
    (found,) = load_encoder(folder).encode_text([long])
    length = LONGEST[kind]
    np.testing.assert_allclose(
        found, by_hand(folder, kind, [" ".join(long.split()[: length - 2])])[0], atol=1e-5
    )


def test_images_get_the_vectors_of_the_model_itself(folder: Path, tmp_path: Path) -> None:
    images = [picture(1), picture(2, (50, 20))]
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        output = model.get_image_features(**processor(images, return_tensors="pt"))
    expected = output.pooler_output.numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    public = load_encoder(folder)
    np.testing.assert_allclose(public.encode_image(images), expected, atol=1e-3)
    corpus = save_photo_corpus(tmp_path / "corpus", 3)
    extract_features(corpus, encoder=folder, name="public", options=ExtractOptions(device="cpu"))
    stored = Corpus.open(corpus).features("public")
    vectors = np.asarray(stored.whole(stored.rows(["item0", "item2"])))
    np.testing.assert_allclose(
        public.encode_features(vectors), public.encode_image([picture(0), picture(2)]), atol=1e-3
    )
    assert Corpus.open(corpus).features_of(public.config["vision"]) == "public"
    with pytest.raises(UserError, match=r"the model reads \[N, "):
        public.encode_features(vectors[:, 1:])


def test_both_sides_share_one_space(folder: Path) -> None:
    public = load_encoder(folder)
    assert public.encode_image([picture(3)]).shape[1] == public.encode_text(["a"]).shape[1] == public.width


def test_the_fingerprint_follows_what_decides_vectors(kind: str, tmp_path: Path) -> None:
    one = save_dual(tmp_path / "one", kind)
    again = save_dual(tmp_path / "again", kind)
    other = save_dual(tmp_path / "other", kind, seed=1)
    assert model_fingerprint(one) == model_fingerprint(again) == load_encoder(one).fingerprint
    assert model_fingerprint(one) != model_fingerprint(other)
    words = one / "tokenizer.json"
    words.write_text(words.read_text().replace('"casa"', '"haus"'))
    assert model_fingerprint(one) != model_fingerprint(again)
    assert image_fingerprint(one) == image_fingerprint(again)


def test_no_language_is_claimed(folder: Path) -> None:
    trained = model_config(folder)["trained"]
    assert languages_of(trained) == ()
    assert languages_of({"source": "en", "targets": ["pt", "en"]}) == ("en", "pt")


def test_a_folder_with_one_side_is_refused(tmp_path: Path) -> None:
    save_tower(tmp_path / "vit", "vit")
    with pytest.raises(UserError, match="holds a vit model, which has no text and image side in one space"):
        load_encoder(tmp_path / "vit")


def test_a_folder_without_its_text_weights_is_refused(kind: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_dual(tmp_path / "torn", kind)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "text_model.encoder.layers.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack .* of its parameters"):
        load_encoder(folder).encode_text(["a dog"])


def test_the_example_of_the_page_is_true(folder: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "public_models.md"
    found = doctest.testfile(str(page), module_relative=False, globs={"public": folder})
    assert (found.failed, found.attempted) == (0, 3)


def test_siglip_reads_small_letters_as_it_was_trained(tmp_path: Path) -> None:
    text = next(text for text in TEXTS if text.islower())
    for kind, same in (("siglip", True), ("clip", False)):
        model = PublicDual.load(save_dual(tmp_path / kind, kind))
        small, title = model.encode_text([text, text.title()])
        assert np.array_equal(small, title) is same


def test_texts_in_capitals_and_of_full_width_are_read_and_what_is_unknown_is_told(tmp_path: Path) -> None:
    model = PublicDual.load(save_dual(tmp_path / "clip", "clip"))
    text = next(text for text in TEXTS if text.islower() and " " in text)
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    vectors = model.encode_text([text, text.upper(), wide, f"\u200f{text}\u200b"])
    assert (vectors == vectors[0]).all()
    assert model.reads([text, text.upper(), "🐶", "", f"{text} 🐶"]) == [True, True, False, False, True]
