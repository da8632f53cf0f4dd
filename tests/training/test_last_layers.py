"""Training of the last layers of a transformer: above kept states, and by low-rank differences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_encoders import save_encoder
from torch import Tensor, nn
from training_world import EN, PT, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.export import export
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.models.layers import LowRank, layers_of
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.recipes import load_recipe
from dragoman.retrievers.onnx import OnnxRetriever
from dragoman.retrievers.trained import Retriever
from dragoman.training import TrainConfig, train
from dragoman.training.extension import extended_config
from dragoman.training.step import TrainState, make_optimizer

PREFIX = "query: "
TEXTS = ["dog ball red runs", "gato árvore azul dorme", "bird"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "e5"
    return save_encoder(folder, "xlm-roberta", words=["query", ":", *EN, *PT])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world") / "corpus", ("pt",))
    options = TextOptions(prefix=PREFIX, below_last=2)
    extract_texts(folder, encoder=encoder, name="states", options=options)
    return folder


def config(encoder: Path, **settings: str) -> TrainConfig:
    """The recipe `linear` on the last layers of the encoder; dots are written `__`."""
    given = {
        "text": f"hf:{encoder}",
        "text.prefix": PREFIX,
        "text.layers": "last:2",
        "text.standardise": "true",
        "pretrained_learning_rate": "1e-3",
        "steps": "6",
        "batch_size": "10",
        "dual.joint": "8",
        "validate_every": "0.5",
    }
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return load_recipe("linear")("en", ("pt",), "toy").with_settings(given | named)


def trunk_of(run: Path) -> HuggingFaceText:
    trunk = Retriever.load(run).model.trunk
    assert isinstance(trunk, HuggingFaceText)
    return trunk


def losses(run: Path) -> list[Any]:
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return [line["validation"]["mean"] for line in map(json.loads, lines) if "validation" in line]


def test_training_above_kept_states_is_training_with_the_layers_below_in_eval_mode(
    world: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, train_mode = HuggingFaceText.forward, HuggingFaceText.train
    given: list[bool] = []

    def seen(self: HuggingFaceText, embedded: Tensor, mask: Tensor) -> Tensor:
        if self.training:
            given.append(embedded.is_floating_point())
        return forward(self, embedded, mask)

    def eval_below(self: HuggingFaceText, mode: bool = True) -> HuggingFaceText:
        nn.Module.train(self, mode)
        self.trunk.eval()
        for layer in self.trunk.encoder.layer[1:]:
            layer.train(mode)
        return self

    monkeypatch.setattr(HuggingFaceText, "forward", seen)
    train(world, config(encoder, text__states="states"), tmp_path / "kept")
    assert given and all(given)
    given.clear()
    monkeypatch.setattr(HuggingFaceText, "train", eval_below)
    train(world, config(encoder), tmp_path / "plain")
    assert given and not any(given)
    monkeypatch.setattr(HuggingFaceText, "train", train_mode)
    kept, plain = (Retriever.load(tmp_path / name) for name in ("kept", "plain"))
    np.testing.assert_allclose(kept.encode_text(TEXTS), plain.encode_text(TEXTS), atol=3e-3)
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "plain"), abs=10)
    first = HuggingFaceText.load(config(encoder).text)  # type: ignore[arg-type]
    begun, done = first.state_dict(), trunk_of(tmp_path / "kept").state_dict()
    moved = {name for name, value in begun.items() if "trunk" in name and not torch.equal(value, done[name])}
    assert moved and {name.split(".")[3] for name in moved} == {"1", "2"}
    # Dropout of the trained layers is drawn in both; without it these would differ by more.
    monkeypatch.setattr(HuggingFaceText, "train", lambda self, mode=True: nn.Module.train(self, False))
    train(world, config(encoder), tmp_path / "still")
    other = Retriever.load(tmp_path / "still").encode_text(TEXTS)
    assert np.abs(other - plain.encode_text(TEXTS)).max() > 1e-2


def test_the_folder_needs_neither_states_nor_the_encoder(world: Path, encoder: Path, tmp_path: Path) -> None:
    train(world, config(encoder, text__states="states", steps="2"), tmp_path / "run")
    assets = json.loads((tmp_path / "run/model/hf_text/dragoman.json").read_text("utf-8"))
    assert "states" not in assets and assets["prefix"] == PREFIX
    trunk = trunk_of(tmp_path / "run")
    ids = trunk.prepare(["dog"])["input_ids"][0].tolist()
    named = trunk.tokenizer.convert_ids_to_tokens(ids)
    assert named == ["[CLS]", "query", ":", "dog", "[SEP]"]
    assert trunk.reads(["dog", "xyzzy"]) == [True, False]
    assert json.loads((tmp_path / "run/model/config.json").read_text("utf-8"))["format_version"] == 6


def test_an_export_puts_the_prefix_before_texts_as_the_run_does(
    world: Path, encoder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    train(world, config(encoder, text__states="states", steps="2"), tmp_path / "run")
    export(tmp_path / "run", to="onnx", out=tmp_path / "export")
    found = OnnxRetriever.load(tmp_path / "export").encode_text(TEXTS)
    np.testing.assert_allclose(found, Retriever.load(tmp_path / "run").encode_text(TEXTS), atol=1e-4)


def test_a_text_without_states_is_named_with_the_command(world: Path, encoder: Path, tmp_path: Path) -> None:
    said = r"states has no states for \d+ of \d+ texts of a step, the first '.*--below-last N.*word_dropout=0"
    with pytest.raises(UserError, match=said):
        train(world, config(encoder, text__states="states", word_dropout="0.5"), tmp_path / "run")
    with pytest.raises(UserError, match=r"more than 5 tokens \(--set text.max_length=N"):
        train(world, config(encoder, text__states="states", text__max_length="5"), tmp_path / "short")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"text__prefix": ""}, r"those of text.prefix='query: ', not of"),
        ({"text__layers": "last:3"}, r"those of layers from 1 on, not of"),
        ({"text__lowercase": "true"}, r"texts with other letters"),
        ({"text__embeddings": "true"}, r"Kept states are those above the embeddings"),
        ({"text__states": "toy"}, r"holds vectors of items, not states of tokens"),
    ],
)
def test_states_of_something_else_are_refused(
    world: Path, encoder: Path, tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        train(world, config(encoder, **{"text__states": "states", **settings}), tmp_path / "run")
    assert not (tmp_path / "run/manifest.json").exists()


def test_states_of_another_encoder_are_refused(world: Path, tmp_path: Path) -> None:
    other = save_encoder(tmp_path / "other", "bert", words=["query", ":", *EN, *PT])
    with pytest.raises(UserError, match=r"those of another encoder, .*e5, not of text.path"):
        train(world, config(other, text__states="states"), tmp_path / "run")


def test_standardised_states_have_vectors_of_mean_0_and_deviation_1(
    world: Path, encoder: Path, tmp_path: Path
) -> None:
    train(world, config(encoder, text__layers="none", steps="1"), tmp_path / "run")
    trunk = trunk_of(tmp_path / "run")
    texts = Corpus.open(world).select(split="train", role=("human", "mt")).texts
    used = sorted({text for text in texts if text.split()[0] in EN} | set(mt_texts(world)))
    vectors = []
    with torch.no_grad():
        for text in used:
            inputs = trunk.prepare([text])
            vectors.append(trunk(trunk.embed(inputs), inputs["mask"])[0].mean(0).numpy())
    found = np.array(vectors)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-3)


def mt_texts(world: Path) -> list[str]:
    return Corpus.open(world).select(split="train", role="mt").texts


def test_low_rank_differences_alone_learn_and_are_merged(world: Path, encoder: Path, tmp_path: Path) -> None:
    chosen = config(encoder, text__lora="2", text__states="states")
    state: list[TrainState] = []
    made = TrainState.__init__

    def noted(self: TrainState, *given: Any, **named: Any) -> None:
        made(self, *given, **named)
        state.append(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrainState, "__init__", noted)
        # Its model is then that of the last step.
        train(world, chosen.with_settings({"select": "last"}), tmp_path / "run")
    trunk = state[0].model.trunk
    low = [part for part in trunk.modules() if isinstance(part, LowRank)]
    # Two layers, q and v, A and B of rank 2 and width 16.
    assert len(low) == 4
    learned = [value for value in trunk.parameters() if value.requires_grad]
    assert sum(value.numel() for value in learned) == 2 * 2 * (2 * 16 + 16 * 2)
    assert all(part.up.abs().max() > 0 for part in low)
    unmerged = Retriever(state[0].model.eval(), {}, None).encode_text(TEXTS)
    loaded = Retriever.load(tmp_path / "run")
    np.testing.assert_allclose(loaded.encode_text(TEXTS), unmerged, atol=1e-5)
    assert not any(isinstance(part, LowRank) for part in loaded.model.modules())
    assert not any(".base." in name or name.endswith((".up", ".down")) for name in loaded.model.state_dict())
    begun = HuggingFaceText.load(config(encoder).text).state_dict()  # type: ignore[arg-type]
    done = loaded.model.trunk.state_dict()
    moved = {name for name, value in begun.items() if "trunk" in name and not torch.equal(value, done[name])}
    places = {
        f"trunk.encoder.layer.{n}.attention.self.{part}.weight" for n in (1, 2) for part in ("query", "value")
    }
    assert moved == places


def test_a_further_language_is_learned_by_low_rank_differences_too(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = write_world(tmp_path / "corpus", ("pt", "de"))
    options = TextOptions(prefix=PREFIX, below_last=2)
    extract_texts(world, encoder=encoder, name="states", options=options)
    train(world, config(encoder, text__lora="2", text__states="states"), tmp_path / "run")
    before = trunk_of(tmp_path / "run").state_dict()
    # The set is not needed any more.
    shutil.rmtree(world / "features/states")
    further = extended_config(tmp_path / "run", ("de",)).with_settings({"steps": "2", "select": "last"})
    train(world, further, tmp_path / "more", init=tmp_path / "run")
    after = trunk_of(tmp_path / "more").state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    places = {"query.weight", "value.weight"}
    assert {name.split(".self.")[1] for name in moved} == places and len(moved) == 4


def test_low_rank_matrices_do_not_decay(encoder: Path) -> None:
    chosen = config(encoder, text__lora="2")
    trunk = HuggingFaceText.load(chosen.text)  # type: ignore[arg-type]
    low = [part for part in trunk.modules() if isinstance(part, LowRank)]
    lasting = [weight for part in low for weight in (part.down, part.up)]
    head = nn.Linear(4, 4)
    optimizer = make_optimizer([*lasting, *head.parameters()], trunk.parameters(), chosen, lasting)
    decay = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    rate = {id(one): group["full_rate"] for group in optimizer.param_groups for one in group["params"]}
    assert {decay[id(one)] for one in lasting} == {0.0} and decay[id(head.weight)] == 0.05
    assert {rate[id(one)] for one in lasting} == {1e-3} and rate[id(head.weight)] == 1e-3


def test_layers_of_a_model_are_named(encoder: Path) -> None:
    trunk = HuggingFaceText.load(config(encoder).text).trunk  # type: ignore[arg-type]
    name, layers = layers_of(trunk)
    assert (name, len(layers)) == ("encoder.layer", 3)
