"""Adapters on a frozen text encoder: toys by hand, and encoders against their layers, called one by one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from tiny_encoders import save_encoder
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.models.text import TextConfig
from dragoman.models.text.adapters import (
    AdaptedText,
    Adapter,
    AdaptersTextConfig,
    Conditioning,
    Language,
    quick_gelu,
)
from dragoman.models.text.contract import Material
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig

ENGLISH = ["a dog runs over the green grass", "the dog", ""]
OTHERS = ["Um cão runs", "cao", "Um Cão over the grass"]
KINDS = ["clip", "xlm-roberta", "bert", "t5", "distilbert"]


def material(**languages: list[str]) -> Material:
    return Material(
        texts=lambda: ENGLISH, known={}, links=lambda settings: {}, by_language=lambda: languages, joint=8
    )


def stirred(encoder: AdaptedText) -> AdaptedText:
    """With adapters that do something."""
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in [*encoder.languages.parameters(), *encoder.conditioning.parameters()]:
            parameter += 0.3 * torch.randn(parameter.shape, generator=draws)
    return encoder.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("encoders")
    own = save_encoder(place / "own", "clip", joint=6)
    return {"own": own} | {kind: save_encoder(place / kind, kind) for kind in KINDS}


def adapted(folders: dict[str, Path], kind: str = "bert", **settings: Any) -> AdaptedText:
    """Portuguese and Chinese, whose captions hold two of the pieces each."""
    usual = {"path": str(folders[kind]), "max_length": 12, "rank": 4, "conditioning": "dynamic"}
    config = AdaptersTextConfig(**usual | settings)
    torch.manual_seed(0)
    return stirred(AdaptedText.fresh(config, material(pt=["Um cão"], zh=["grass green"])))


def states(encoder: AdaptedText, texts: list[str], *languages: str) -> list[Tensor]:
    """[L, H] of each text, without padding."""
    inputs = encoder.prepare_in(texts, languages) if languages else encoder.prepare(texts)
    with torch.no_grad():
        found_TLH = encoder(encoder.embed(inputs), inputs["mask"])
    return [found_TLH[row][mask] for row, mask in enumerate(inputs["mask"])]


def test_an_adapter_by_hand() -> None:
    adapter = Adapter(2, 2)
    with torch.no_grad():
        adapter.down.weight.copy_(torch.eye(2))
        adapter.down.bias.zero_()
        # The specification multiplies rows from the left.
        adapter.up.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 1.0]]).T)
    middle = torch.tensor([[0.5, -1.0], [1.0, 0.5]])
    torch.testing.assert_close(adapter(torch.tensor([[[1.0, 2.0]]]), middle), torch.tensor([[[3.5, 2.0]]]))
    own = torch.stack([middle, torch.eye(2)])
    found = adapter(torch.tensor([[[1.0, 2.0]], [[1.0, 2.0]]]), own)
    torch.testing.assert_close(found, torch.tensor([[[3.5, 2.0]], [[1 + 1 + 0.5 * 2, 2.0 + 2]]]))


def test_quick_gelu_by_hand() -> None:
    found = quick_gelu(torch.tensor([0.5, -1.0]))
    assert found.tolist() == pytest.approx([0.350388, -0.154204], abs=1e-6)


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_parameters_are_those_that_the_page_counts() -> None:
    language, shared = Language(512, 32, 12, 0, static=False), Conditioning(512, 512, 32, 12, static=False)
    assert count(language.adapters[0]) == 33_312
    assert count(language) == 399_744
    assert shared.mix is not None and count(shared.mix) == 524_800
    assert count(shared.middles) == 6_303_744
    # And what makes sr and sa: a square matrix and two norms.
    assert count(shared) - count(shared.mix, shared.middles) == 512 * 512 + 4 * 512
    assert count(Language(512, 32, 12, 7, static=True)) == 399_744 + 12 * 32 * 32 + 7 * 512


def by_hand(encoder: AdaptedText, text: str, language: Language) -> tuple[Tensor, Tensor, Tensor]:
    """States, sr and sa of one text: layer after layer, in a BERT."""
    bert, conditioning, norm = encoder.trunk, encoder.conditioning, F.layer_norm
    (ids,) = encoder.prepare([text])["input_ids"]
    words = bert.embeddings.word_embeddings.weight[ids].clone()
    for place, piece in enumerate(ids.tolist()):
        if piece in language.pieces.tolist():
            words[place] = language.table[language.pieces.tolist().index(piece)]
    begun = bert.embeddings(inputs_embeds=words[None])
    first = begun
    for layer in bert.encoder.layer[:2]:
        first = layer(first)
    weights = dict(conditioning.named_parameters())

    def normed(name: str) -> Tensor:
        return norm(first[0], (16,), weights[f"{name}_norm.weight"], weights[f"{name}_norm.bias"])

    semantic = normed("semantic")[-1] @ weights["semantic.weight"].T
    agnostic = normed("agnostic").mean(0)
    assert conditioning.mix is not None
    mixed = conditioning.mix(torch.cat([semantic, agnostic]))
    mixed = mixed / (1 + torch.exp(-1.702 * mixed))
    found = begun[0]
    for number, layer in enumerate(bert.encoder.layer):
        middle = conditioning.middles[number](mixed).reshape(4, 4)
        found, adapter = layer(found[None])[0], language.adapters[number]
        low = F.relu((found @ adapter.down.weight.T + adapter.down.bias) @ middle)  # type: ignore[union-attr]
        found = found + low @ adapter.up.weight.T + adapter.up.bias  # type: ignore[union-attr]
    return found, semantic, agnostic


def test_a_text_is_read_in_two_passes(folders: dict[str, Path]) -> None:
    encoder = adapted(folders)
    inputs = encoder.prepare_in(OTHERS, ["pt", "zh", "pt-BR"])
    with torch.no_grad():
        states_TLH, more = encoder.read(inputs["input_ids"], inputs["mask"])
        for row, number in enumerate([0, 1, 0]):
            language = encoder.languages[number]
            assert isinstance(language, Language)
            # Not through the hooks.
            expected = by_hand(encoder, OTHERS[row], language)
            found = states_TLH[row][inputs["mask"][row]], more["semantic"][row], more["agnostic"][row]
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_other_languages_pass_untouched_bit_for_bit(folders: dict[str, Path], kind: str) -> None:
    config = HuggingFaceTextConfig(path=str(folders[kind]), max_length=12, layers="none")
    plain, encoder = HuggingFaceText.load(config).eval(), adapted(folders, kind)
    inputs = plain.prepare(ENGLISH)
    with torch.no_grad():
        expected = plain(plain.embed(inputs), inputs["mask"])
        other = encoder.prepare_in(["Um"], ["pt"])
        encoder(other["input_ids"], other["mask"])
        for given in (encoder.prepare(ENGLISH), encoder.prepare_in(ENGLISH, ["en", "de", "und"])):
            assert torch.equal(encoder(encoder.embed(given), given["mask"]), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_languages_side_by_side_are_read_as_alone(folders: dict[str, Path], kind: str) -> None:
    encoder, languages = adapted(folders, kind), ["zh", "en", "pt"]
    together = states(encoder, OTHERS, *languages)
    for text, lang, found in zip(OTHERS, languages, together, strict=True):
        torch.testing.assert_close(found, states(encoder, [text], lang)[0], atol=1e-5, rtol=0)
    one, other = (states(encoder, OTHERS[:1], lang)[0] for lang in ("pt", "zh"))
    assert (one - other).abs().max() > 1e-2
    assert (one - states(encoder, OTHERS[:1])[0]).abs().max() > 1e-2


@pytest.mark.parametrize("conditioning", ["dynamic", "static"])
def test_adapters_begin_as_nothing(folders: dict[str, Path], conditioning: str) -> None:
    config = AdaptersTextConfig(path=str(folders["clip"]), max_length=12, conditioning=conditioning)
    encoder = AdaptedText.fresh(config, material(pt=["Um cão"])).eval()
    for found, expected in zip(states(encoder, OTHERS, *["pt"] * 3), states(encoder, OTHERS), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    learned = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert learned and not any(name.startswith("trunk") for name in learned)


def test_pieces_that_no_caption_holds_are_those_of_the_encoder(folders: dict[str, Path]) -> None:
    encoder = adapted(folders, layers="none")
    known = encoder.tokenizer.convert_ids_to_tokens(encoder.languages[0].pieces.tolist())
    assert sorted(known) == sorted(["[CLS]", "[SEP]", "Um", "cão"])
    bare = adapted(folders, layers="none", embeddings=False)
    assert not len(bare.languages[0].pieces)
    assert torch.equal(states(bare, OTHERS[:1], "pt")[0], states(bare, OTHERS[:1])[0])
    language, words = encoder.languages[0], encoder.trunk.get_input_embeddings().weight
    ends = torch.isin(language.pieces, torch.tensor(encoder.tokenizer.all_special_ids))
    with torch.no_grad():
        language.table[ends] = words[language.pieces[ends]]
    # Now no piece of the first text differs.
    torch.testing.assert_close(
        states(encoder, ["dog runs"], "pt")[0], states(encoder, ["dog runs"])[0], atol=1e-6, rtol=0
    )
    assert (states(encoder, ["dog cão"], "pt")[0] - states(encoder, ["dog cão"])[0]).abs().max() > 1e-2


def test_a_constant_middle_knows_no_caption(folders: dict[str, Path]) -> None:
    encoder = adapted(folders, conditioning="static")
    (ids,) = encoder.prepare(["Um cão"])["input_ids"]
    language = encoder.languages[0]
    assert isinstance(language, Language) and language.middle is not None
    assert encoder.conditioning.mix is None and not len(encoder.conditioning.middles)
    with torch.no_grad():
        words = language.table[[language.pieces.tolist().index(piece) for piece in ids.tolist()]]
        found = encoder.trunk.embeddings(inputs_embeds=words[None])
        for number, layer in enumerate(encoder.trunk.encoder.layer):
            found = language.adapters[number](layer(found), language.middle[number])
    torch.testing.assert_close(states(encoder, ["Um cão"], "pt")[0], found[0], atol=1e-5, rtol=0)


def test_the_control_takes_the_middles_of_another_caption_in_training_alone(folders: dict[str, Path]) -> None:
    shuffled, dynamic = adapted(folders, conditioning="shuffled"), adapted(folders)
    shuffled.load_state_dict(dynamic.state_dict())
    asked = OTHERS[:2], "pt", "pt"
    own = states(dynamic, *asked)
    for found, expected in zip(states(shuffled, *asked), own, strict=True):
        assert torch.equal(found, expected)
    inputs = shuffled.prepare_in(asked[0], asked[1:])
    with torch.no_grad():
        shuffled.train()
        mixed = shuffled(inputs["input_ids"], inputs["mask"])
        # Two texts change places: each of them is read with what the other is conditioned on.
        dynamic.conditioning.forward = lambda sr, sa, make=dynamic.conditioning.forward: make(  # type: ignore[method-assign]
            sr.flip(0), sa.flip(0)
        )
        expected_TLH = dynamic(inputs["input_ids"], inputs["mask"])
    for row, mask in enumerate(inputs["mask"]):
        torch.testing.assert_close(mixed[row][mask], expected_TLH[row][mask], atol=1e-6, rtol=0)
        assert (mixed[row][mask] - own[row]).abs().max() > 1e-3


def test_a_further_language_moves_no_bit_of_another(folders: dict[str, Path]) -> None:
    encoder = adapted(folders)
    before = states(encoder, OTHERS, *["pt"] * 3)
    encoder.add("de", ["runs over"]).eval()
    assert encoder.adapted == ("pt", "zh", "de")
    stirred(AdaptedText.fresh(encoder.config, material()))  # another one, at the same time
    after = states(encoder, OTHERS, *["pt"] * 3)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_threads_read_different_languages_at_a_time(folders: dict[str, Path]) -> None:
    encoder = adapted(folders)
    expected = {lang: states(encoder, OTHERS, *[lang] * 3) for lang in ("pt", "zh", "en")}
    wrong: list[str] = []
    begin = threading.Barrier(3)

    def ask(lang: str) -> None:
        begin.wait()
        for _ in range(30):
            found = states(encoder, OTHERS, *[lang] * 3)
            if not all(map(torch.equal, found, expected[lang])):
                wrong.append(lang)

    threads = [threading.Thread(target=ask, args=(lang,)) for lang in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def own_dual(folders: dict[str, Path]) -> DualEncoder:
    encoder = adapted(folders, "own", own=True)
    return DualEncoder(DualConfig(text_head="none", image_head="none"), encoder, 6).eval()


def test_the_own_vectors_are_those_of_clip(folders: dict[str, Path]) -> None:
    clip = transformers.CLIPModel.from_pretrained(folders["own"]).eval()
    model = own_dual(folders)
    with torch.no_grad():
        views = model.encode_text(model.prepare(ENGLISH))
        for row, text in enumerate(ENGLISH):
            ids = torch.tensor([model.trunk.tokenizer(text)["input_ids"]])
            output = clip.get_text_features(input_ids=ids)
            expected = output if isinstance(output, Tensor) else output.pooler_output
            assert views.raw is not None
            torch.testing.assert_close(views.raw[row], expected[0], atol=1e-6, rtol=0)
            torch.testing.assert_close(views.vector[row], F.normalize(expected[0], dim=0), atol=1e-6, rtol=0)


def test_a_folder_holds_all_languages(folders: dict[str, Path], tmp_path: Path) -> None:
    model = own_dual(folders)
    details = {"recipe": "dasd", "source": "en", "targets": ["pt", "zh"], "target_captions": "mt"}
    save_model(tmp_path, model, details | {"features": "clip", "seed": 1})
    loaded, _ = load_model(tmp_path)
    assert loaded.adapted == ("pt", "zh")
    with torch.no_grad():
        for lang in ("pt", "zh", "en"):
            one, other = (
                some.encode_text(some.prepare(OTHERS, languages=[lang] * 3)).vector
                for some in (model, loaded)
            )
            assert torch.equal(one, other)
    # Golden vectors tell of adapters, too.
    torch.nn.init.ones_(model.trunk.languages[0].adapters[0].up.weight)  # type: ignore[union-attr, index]
    changed = model.encode_text(model.prepare(OTHERS, languages=["pt"] * 3)).vector
    assert not torch.allclose(
        changed, loaded.encode_text(loaded.prepare(OTHERS, languages=["pt"] * 3)).vector
    )


def test_a_word_names_the_settings() -> None:
    found = TextConfig.from_text("adapters:models/clip")
    assert found == AdaptersTextConfig(path="models/clip") and type(found) is AdaptersTextConfig


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, "rank must be at least 1"),
        ({"lora": 8}, "--set text.lora=0"),
        ({"states": "kept"}, "--set text.states=none"),
        ({"own": True, "standardise": True}, "The own vector of a text stays as it is"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        AdaptersTextConfig(path="clip", **settings)


def test_own_vectors_are_those_of_a_clip_alone(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"holds a bert model, but text.own reads the own vectors of CLIP"):
        AdaptedText.load(AdaptersTextConfig(path=str(folders["bert"]), own=True))
    with pytest.raises(UserError, match=r"of width 6, and images are put into a space of width 512"):
        DualEncoder(DualConfig(text_head="none"), adapted(folders, "own", own=True), 6)
