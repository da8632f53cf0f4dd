"""Training of adapters on a frozen CLIP: what must not move does not, and which optimizer trains whom."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from adapted_runs import ENGLISH, GERMAN, PORTUGUESE, config, save_clip
from numpy.typing import NDArray
from tiny_encoders import save_encoder
from training_world import DE, EN, PT, WIDTH, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.export import export, targets
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.identity import own_image_fingerprint
from dragoman.models.text.adapters import AdaptedText, AdaptersTextConfig
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig
from dragoman.pipelines.evaluate import evaluate
from dragoman.recipes import load_recipe
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.light import LightRetriever
from dragoman.retrievers.trained import Retriever
from dragoman.training import TrainConfig, extended_config, train
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import StepPlan
from dragoman.training.extension import Extension
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", ("pt", "de"))


@pytest.fixture(scope="module")
def run(world: Path, clip: Path) -> Path:
    """A finished run of English and Portuguese; nobody may change it."""
    return train(world, config(clip, steps="40"), world.parent / "run", device="cpu").folder


@pytest.fixture(scope="module")
def longer(world: Path, run: Path) -> Path:
    """That run with German."""
    more = extended_config(run, ("de",)).with_settings({"steps": "12", "select": "last"})
    return train(world, more, world.parent / "longer", init=run, device="cpu").folder


def planned(world: Path, config: TrainConfig) -> tuple[StepPlan, TrainState]:
    corpus = Corpus.open(world)
    samples = load_samples(corpus, config, back=False)
    plan = StepPlan(
        samples=samples, config=config, back=False, augmentation=load_augmentation(corpus, config)
    )
    return plan, TrainState(config, corpus, samples)


def texts(run: Path, asked: list[str], lang: str) -> NDArray[np.float32]:
    return Retriever.load(run).encode_text(asked, languages=[lang] * len(asked))


def images(world: Path) -> NDArray[np.floating]:
    return np.asarray(Corpus.open(world).features("toy").vectors)


def test_english_and_images_stay_where_clip_puts_them_bit_for_bit(
    world: Path, clip: Path, run: Path, longer: Path
) -> None:
    trunk = HuggingFaceText.load(
        HuggingFaceTextConfig(path=str(clip), layers="none", max_length=16, own=True)
    )
    before = Retriever(
        DualEncoder(DualConfig(text_head="none", image_head="none"), trunk, WIDTH).eval(), {}, None
    )
    seen = F.normalize(torch.from_numpy(images(world).astype(np.float32)), dim=1).numpy()
    for after in map(Retriever.load, (run, longer)):
        assert np.array_equal(after.encode_text(ENGLISH), before.encode_text(ENGLISH))
        told = after.encode_text([*ENGLISH, *PORTUGUESE], languages=["en"] * 3 + ["pt"] * 3)
        assert np.array_equal(told[:3], before.encode_text(ENGLISH))
        assert not np.allclose(told[3:], before.encode_text(PORTUGUESE), atol=1e-2)
        assert np.array_equal(after.encode_features(images(world)), seen)
    # An index of one is an index of the other.
    assert own_image_fingerprint(run) == own_image_fingerprint(longer)


def test_a_further_language_changes_no_bit_of_another(run: Path, longer: Path) -> None:
    assert Retriever.load(longer).adapted == ("pt", "de")
    assert np.array_equal(texts(run, PORTUGUESE, "pt"), texts(longer, PORTUGUESE, "pt"))
    assert not np.allclose(texts(run, GERMAN, "de"), texts(longer, GERMAN, "de"), atol=1e-3)
    before, after = (Retriever.load(folder).model.state_dict() for folder in (run, longer))
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(name.startswith("trunk.languages.1.") for name in set(after) - set(before))


def test_portuguese_is_learned(world: Path, clip: Path, run: Path) -> None:
    _, state = planned(world, config(clip))
    english, portuguese = ([" ".join(words[n : n + 3]) for n in range(12)] for words in (EN, PT))
    belongs = Retriever.load(run).encode_text(english)

    def nearness(retriever: Retriever) -> float:
        found = retriever.encode_text(portuguese, languages=["pt"] * 12)
        return float((found * belongs).sum(1).mean())

    # Begun as nothing, the adapters leave Portuguese where this CLIP puts words that mean nothing to it.
    assert nearness(Retriever.load(run)) > nearness(Retriever(state.model.eval(), {}, None)) + 0.1
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    terms = {line["step"]: line["terms"] for line in lines if "terms" in line}
    assert set(terms[20]) == {"source", "semantic", "adversary", "total"}
    assert set(terms[40]) == {"source", "semantic", "adversary", "contrast", "total"}
    assert terms[40]["source"] < terms[20]["source"]


def moved(state: TrainState, act: Any) -> set[str]:
    """Names of the weights that `act` changes."""
    parts = {"model": state.model, "discriminator": state.objective.opponent}
    weights = {
        f"{part} {name}": value
        for part, module in parts.items()
        if module is not None
        for name, value in module.named_parameters()
    }
    before = {name: value.detach().clone() for name, value in weights.items()}
    act()
    return {name for name, value in before.items() if not torch.equal(value, weights[name])}


def test_two_optimizers_share_no_weight(world: Path, clip: Path) -> None:
    plan, state = planned(world, config(clip))
    assert state.opponent_optimizer is not None and state.objective.opponent is not None
    trained, opposing = (
        {id(one) for group in optimizer.param_groups for one in group["params"]}
        for optimizer in (state.optimizer, state.opponent_optimizer)
    )
    assert not trained & opposing
    assert opposing == set(map(id, state.objective.opponent.parameters()))
    assert state.opponent_optimizer.param_groups[0]["lr"] == 1e-4
    assert isinstance(state.model.trunk, AdaptedText)
    learned = [*state.model.trunk.languages.parameters(), *state.model.trunk.conditioning.parameters()]
    assert trained == set(map(id, learned))
    step = plan.step(0)
    views, batch = state.encoder.encode(step)
    with_opponent = moved(
        state,
        lambda: state._train_opponent(state.opponent_optimizer, views, batch),  # type: ignore[arg-type]
    )
    assert with_opponent and all(name.startswith("discriminator") for name in with_opponent)
    # Adapters begin as 0, so what lies before them learns from the second step on.
    state.opponent_optimizer = None
    steps = moved(state, lambda: [state.take_step(plan.step(number), 1.0) for number in range(2)])
    assert {name.split(".")[1] for name in steps} == {"languages", "conditioning"}
    assert all(name.startswith("model") for name in steps)


def test_equal_texts_of_two_languages_are_two(world: Path, clip: Path) -> None:
    plan, _ = planned(world, config(clip, ("pt", "de")))
    step = plan.step(0)
    assert step.languages is not None and len(step.languages) == len(step.texts)
    for row, lang in zip(step.row_of_text.tolist(), step.batch.lang.tolist(), strict=True):
        assert step.languages[row] == ("en", "pt", "de")[lang]
        assert set(step.texts[row].split()) <= set((EN, PT, DE)[lang])
    other = config(clip, ("pt", "de"))
    samples = load_samples(Corpus.open(world), other, back=False)
    same = [
        target.__class__(lang=target.lang, engines=target.engines, choices=samples.targets[0].choices)
        for target in samples.targets
    ]
    twins = StepPlan(
        samples=samples.__class__(
            item_id=samples.item_id, source_text=samples.source_text, targets=tuple(same), dropped=0
        ),
        config=other,
        back=False,
        augmentation=load_augmentation(Corpus.open(world), other),
    ).step(0)
    assert twins.languages is not None
    pairs = set(zip(twins.texts, twins.languages, strict=True))
    assert len(pairs) == len(twins.texts) > len(set(twins.texts))


def test_a_stopped_run_goes_on_to_the_same_model(world: Path, clip: Path, tmp_path: Path) -> None:
    short = config(clip, steps="8", validate_every="1", checkpoint_every="3", loss__contrast_from="0.5")
    train(world, short, tmp_path / "whole")

    def stop(step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(world, short, tmp_path / "run", on_step=stop)
    train(world, short, tmp_path / "run")
    one, other = ((tmp_path / name / "model/model.safetensors").read_bytes() for name in ("whole", "run"))
    assert one == other


def test_chunks_have_the_gradient_of_the_whole_step(world: Path, clip: Path) -> None:
    found = []
    for chunk in ("none", "7"):
        plan, state = planned(world, config(clip, chunk=chunk, loss__contrast_from="0"))
        state.take_step(plan.step(0), 1.0)
        found.append([None if w.grad is None else w.grad.clone() for w in state.trained])
    for whole, cut in zip(*found, strict=True):
        assert (whole is None) == (cut is None)
        if whole is not None:
            torch.testing.assert_close(cut, whole, atol=1e-5, rtol=1e-3)


def test_a_report_tells_what_the_tag_is_worth(world: Path, longer: Path, tmp_path: Path) -> None:
    found = evaluate(longer, world, EvaluationSettings(languages=("en", "pt", "de")), out=tmp_path)["results"]
    rows = {lang: set(found[lang]) - {"translate_test", "fused"} for lang in found}
    assert rows["pt"] == rows["de"] == {"direct", "untagged", "wrong_tag"}
    assert rows["en"] == {"direct", "wrong_tag"}
    retriever, corpus = Retriever.load(longer), Corpus.open(world)
    captions = corpus.select(role="human", lang="pt", split="test")
    features = corpus.features("toy")
    items = sorted(set(captions.item_ids))
    seen = retriever.encode_features(np.asarray(features.whole(features.rows(items))))
    for row, lang in (("direct", "pt"), ("untagged", "en"), ("wrong_tag", "de")):
        scores = retriever.encode_text(captions.texts, languages=[lang] * len(captions.texts)) @ seen.T
        own = np.array([items.index(item) for item in captions.item_ids])
        # As `rank_scores`, ties count half; there are none here.
        rank = 1 + (scores > scores[np.arange(len(own)), own][:, None]).sum(1)
        assert found["pt"][row]["text_to_image"]["recall@5"] == pytest.approx(100 * (rank <= 5).mean())


@pytest.mark.parametrize("target", targets())
def test_an_export_says_that_it_cannot(run: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(UserError, match="nothing that is exported is told the language of a text"):
        export(run, to=target, out=tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_a_run_is_not_read_without_pytorch(run: Path) -> None:
    with pytest.raises(UserError, match="PyTorch"):
        LightRetriever.load(run)


def test_as_many_languages_as_texts_are_told(run: Path) -> None:
    with pytest.raises(UserError, match="3 texts need as many languages, got 1"):
        Retriever.load(run).encode_text(PORTUGUESE, languages=["pt"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"unit": "image"}, "so both must be in a step: --set unit=caption"),
        ({"sentence": "frozen:use"}, "a sentence side puts another beside it: --set sentence=none"),
        ({"text__own": "false"}, "text.own=true and dual.text_head=none go together"),
        ({"dual__text_head": "linear"}, "moves translations to where a finished model puts their source"),
    ],
)
def test_settings_that_do_not_go_together(clip: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        config(clip, **settings)


def test_the_objective_trains_adapters_alone(clip: Path) -> None:
    plain = HuggingFaceTextConfig(path=str(clip), own=True)
    with pytest.raises(UserError, match="adapters on a frozen text encoder: --set text=adapters:FOLDER"):
        dataclasses.replace(config(clip), text=plain)


def test_languages_join_by_adapters_alone(run: Path) -> None:
    more = extended_config(run, ("de",))
    with pytest.raises(UserError, match=r"--set extension.learn=adapters"):
        more.with_settings({"extension.learn": "text"})


def test_adapters_are_put_on_the_encoder_of_any_run(world: Path, tmp_path: Path) -> None:
    e5 = save_encoder(tmp_path / "e5", "xlm-roberta", words=["query", ":", *EN, *PT, *DE])
    given = {"text": f"hf:{e5}", "text.layers": "none", "text.prefix": "query: ", "text.standardise": "true"}
    given |= {"dual.joint": "8", "steps": "10", "batch_size": "10", "select": "last"}
    plain = load_recipe("linear")("en", (), "toy").with_settings(given)
    begun = train(world, plain, tmp_path / "begun", device="cpu").folder
    recipe = load_recipe("dasd")("", ("pt",), "").with_settings({"text.rank": "4"})
    more = {"steps": "30", "batch_size": "10", "select": "last", "pretrained_learning_rate": "1e-2"}
    first = extended_config(begun, ("pt",), recipe).with_settings(more)
    assert isinstance(first.text, AdaptersTextConfig)
    assert (first.text.path, first.text.prefix, first.text.layers, first.text.rank) == (
        str(e5),
        "query: ",
        "all",
        4,
    )
    run = train(world, first, tmp_path / "run", init=begun, device="cpu").folder
    then = extended_config(run, ("de",)).with_settings({"steps": "5"})
    longer = train(world, then, tmp_path / "longer", init=run, device="cpu").folder
    before, after, last = (Retriever.load(folder) for folder in (begun, run, longer))
    assert (before.adapted, after.adapted, last.adapted) == ((), ("pt",), ("pt", "de"))
    for one in (after, last):
        assert np.array_equal(one.encode_text(ENGLISH), before.encode_text(ENGLISH))
        assert np.array_equal(one.encode_features(images(world)), before.encode_features(images(world)))
    assert np.array_equal(texts(run, PORTUGUESE, "pt"), texts(longer, PORTUGUESE, "pt"))
    belongs = before.encode_text([" ".join(EN[n : n + 3]) for n in range(12)])
    words = [" ".join(PT[n : n + 3]) for n in range(12)]
    gain = (texts(run, words, "pt") * belongs).sum(1) - (before.encode_text(words) * belongs).sum(1)
    assert gain.mean() > 0.2
    # What makes W learns with the first language, and stays with the second.
    for source, config_of, learns in ((begun, first, True), (run, then, False)):
        samples = load_samples(Corpus.open(world), config_of, back=False)
        trunk = Extension(source, config_of).student(samples, ()).trunk
        assert isinstance(trunk, AdaptedText)
        assert {one.requires_grad for one in trunk.conditioning.parameters()} == {learns}
        assert {one.requires_grad for one in trunk.languages[-1].parameters()} == {True}
