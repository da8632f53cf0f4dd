"""Languages that join a finished run: what must not move does not, and the new ones are learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tiny_encoders import save_encoder
from torch import Tensor
from training_world import TINY, edit_captions, tiny, write_world

import dragoman
from checksums import without_checksums
from dragoman.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.models.dual import unique_texts
from dragoman.objectives.contract import Batch, Objective, Views
from dragoman.recipes import load_recipe
from dragoman.records import ROLES
from dragoman.training import TrainConfig, extended_config, train
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import Step, StepPlan
from dragoman.training.config import ExtensionConfig
from dragoman.training.extension import Anchored, Extension
from dragoman.training.samples import load_samples

SHORT = {"steps": "60", "validate_every": "3", "learning_rate": "0.01", "patience": "99"}
PT = ["cão vermelho", "gato corre", "pássaro azul, monte verde!", "xyz"]
EN = ["dog red", "cat that runs", "bird blue", "horse old waits"]
DE = ["Hund rot", "Katze blau rennt"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"), train=60, val=30)


@pytest.fixture(scope="module")
def run(corpus: Path) -> Path:
    """A finished run of English and Portuguese; nobody may change it."""
    return train(corpus, tiny("translate_train", **SHORT), corpus.parent / "run", device="cpu").folder


@pytest.fixture(scope="module")
def longer(corpus: Path, run: Path) -> Path:
    """That run with German by new pieces alone."""
    return extend(corpus, run, corpus.parent / "longer")


def extend(corpus: Path, run: Path, out: Path, add: tuple[str, ...] = ("de",), **settings: str) -> Path:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    config = extended_config(run, add).with_settings(SHORT | named)
    return train(corpus, config, out, init=run, device="cpu").folder


def images(run: Path, corpus: Path) -> NDArray[np.float32]:
    return dragoman.Retriever.load(run).encode_features(Corpus.open(corpus).features("toy").vectors)


def texts(run: Path, asked: list[str]) -> NDArray[np.float32]:
    return dragoman.Retriever.load(run).encode_text(asked)


def last_validation(run: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found: dict[str, float] = [line["validation"] for line in lines if "validation" in line][-1]
    return found


@pytest.mark.parametrize("learn", ["vocabulary", "text"])
@pytest.mark.parametrize("shape", [{}, {"dual__image_head": "mlp", "dual__head_batch_norm": "true"}])
def test_image_vectors_stay_bit_for_bit(
    corpus: Path, tmp_path: Path, learn: str, shape: dict[str, str]
) -> None:
    before = train(corpus, tiny("translate_train", steps="6", **shape), tmp_path / "a", device="cpu").folder
    after = extend(corpus, before, tmp_path / "b", steps="6", extension__learn=learn)
    assert np.array_equal(images(before, corpus), images(after, corpus))
    assert not np.array_equal(texts(before, DE), texts(after, DE))


def test_known_languages_stay_bit_for_bit_where_only_pieces_are_learned(run: Path, longer: Path) -> None:
    assert np.array_equal(texts(run, PT + EN), texts(longer, PT + EN))
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (run, longer))
    rows = len(before["trunk.pieces.weight"])
    assert torch.equal(after["trunk.pieces.weight"][:rows], before["trunk.pieces.weight"])
    assert len(after["trunk.pieces.weight"]) > rows
    assert [name for name in before if not torch.equal(before[name], after[name][: len(before[name])])] == []
    vocabularies = [json.loads((folder / "model" / "ngrams.json").read_text()) for folder in (run, longer)]
    known, grown = (vocabulary["pieces"] for vocabulary in vocabularies)
    assert grown[: len(known)] == known
    assert [vocabulary["added"] for vocabulary in vocabularies] == [[], [len(grown) - len(known)]]


def test_the_new_language_is_learned(run: Path, longer: Path) -> None:
    found = last_validation(longer)
    assert found["pt"] == pytest.approx(last_validation(run)["pt"], abs=1e-9)
    # Chance is about 80 of 600; the shared encoder reads German by the letters it shares with Portuguese.
    assert found["de"] > found["pt"] - 60 > 150


def test_learning_the_whole_text_side_keeps_known_languages_near(
    corpus: Path, run: Path, tmp_path: Path
) -> None:
    def drift(weight: str) -> float:
        out = extend(
            *(corpus, run, tmp_path / weight),
            extension__learn="text",
            extension__keep_weight=weight,
        )
        assert last_validation(out)["de"] > 150
        moved = texts(out, PT + EN) - texts(run, PT + EN)
        return float(np.square(moved).sum(1).mean())

    # Unit vectors at right angles are 2 apart.
    kept = drift("100")
    assert kept < 0.05
    assert kept < drift("0") / 2


def test_the_new_run_is_a_complete_run_of_all_its_languages(run: Path, longer: Path, tmp_path: Path) -> None:
    known, details = (dragoman.Retriever.load(folder).config for folder in (run, longer))
    assert (details["source"], details["targets"], details["features"]) == ("en", ["pt", "de"], "toy")
    assert details["engines"] == ["toy"]
    assert "extends" not in known
    assert "- en\n- pt\n- de\n" in (longer / "model" / "README.md").read_text()
    identity = json.loads((longer / "config.json").read_text())
    assert identity["config"]["targets"] == ["pt", "de"]
    assert identity["config"]["extension"]["added"] == ["de"]
    assert identity["config"]["text"]["width"] == int(TINY["text.width"])
    assert details["extends"] == identity["init"]
    assert list(identity["init"]) == ["model"]
    assert len(identity["init"]["model"]) == 64


def test_the_run_that_was_extended_may_move_but_not_change(corpus: Path, run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    out = extend(corpus, run, tmp_path / "out", steps="2")
    assert extend(corpus, moved, out, steps="2") == out
    weights = moved / "model" / "README.md"
    weights.write_text(weights.read_text() + "\n")
    without_checksums(moved)
    with pytest.raises(UserError, match="holds another run; it differs in init"):
        extend(corpus, moved, out, steps="2")


def test_languages_join_one_after_the_other(corpus: Path, tmp_path: Path) -> None:
    english = train(corpus, tiny("translate_train", (), **SHORT), tmp_path / "en", device="cpu").folder
    with_pt = extend(corpus, english, tmp_path / "pt", ("pt",))
    with_de = extend(corpus, with_pt, tmp_path / "de", ("de",))
    assert np.array_equal(texts(english, EN), texts(with_de, EN))
    assert np.array_equal(texts(with_pt, PT + EN), texts(with_de, PT + EN))
    assert np.array_equal(images(english, corpus), images(with_de, corpus))
    assert len(json.loads((with_de / "model" / "ngrams.json").read_text())["added"]) == 2
    assert dragoman.Retriever.load(with_de).config["targets"] == ["pt", "de"]


def test_an_objective_for_one_language_takes_one_at_a_time(corpus: Path, tmp_path: Path) -> None:
    before = train(corpus, tiny("nrccr", steps="4"), tmp_path / "pt", device="cpu").folder
    out = extend(corpus, before, tmp_path / "de", steps="4", extension__learn="text")
    assert dragoman.Retriever.load(out).config["targets"] == ["pt", "de"]
    terms = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert np.array_equal(images(before, corpus), images(out, corpus)), terms


@pytest.mark.parametrize(
    ("recipe", "learn", "part"),
    [
        ("translate_train", "vocabulary", "never"),
        ("one_to_k", "vocabulary", "never"),
        ("pivot", "vocabulary", "always"),
        ("nrccr", "vocabulary", "always"),
        ("translate_train", "text", "always"),
        ("random_language", "text", "drawn"),
    ],
)
def test_captions_that_cannot_move_take_no_room_in_a_step(
    corpus: Path, run: Path, recipe: str, learn: str, part: str
) -> None:
    config = extended_config(run, ("de",), tiny(recipe, ("de",))).with_settings({"extension.learn": learn})
    assert config.source_part == part
    if part == "drawn":
        return
    plan = StepPlan(
        samples=load_samples(Corpus.open(corpus), config, back=False),
        config=config,
        back=False,
        augmentation=load_augmentation(Corpus.open(corpus), config),
    )
    batch = plan.step(0).batch
    read = {batch.languages[lang] for lang in batch.lang.tolist()}
    assert read == {"never": {"de"}, "always": {"en", "de"} | ({"pt"} if learn == "text" else set())}[part]


def test_a_recipe_may_replace_all_but_the_model(run: Path) -> None:
    other = tiny("nrccr", ("de",), text__width="32", batch_size="4")
    config = extended_config(run, ("de",), other)
    assert (config.recipe, config.objective, config.batch_size) == ("nrccr", "nrccr", 4)
    assert (config.text.width, config.targets) == (16, ("pt", "de"))  # type: ignore[union-attr]


def test_a_configuration_is_read_back_as_it_was(run: Path) -> None:
    config = tiny("translate_train", **SHORT)
    again = extended_config(run, ("DEU",))
    known = {name: value for name, value in vars(again).items() if name not in ("targets", "extension")}
    assert known == {name: vars(config)[name] for name in known}
    assert again.targets == ("pt", "de")
    assert again.extension == ExtensionConfig(added=("de",), learn="vocabulary")


def test_a_pretrained_text_encoder_learns_as_a_whole(corpus: Path, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "bert", "bert")
    shape = {name: value for name, value in TINY.items() if not name.startswith("text.")}
    settings = shape | {"text": f"hf:{encoder}", "text.max_length": "16", "steps": "3"}
    config = load_recipe("translate_train")("en", ("pt",), "toy").with_settings(settings)
    before = train(corpus, config, tmp_path / "pt", device="cpu").folder
    shutil.rmtree(encoder)  # what the run needs, it holds
    after = extend(corpus, before, tmp_path / "de", steps="3")
    assert json.loads((after / "config.json").read_text())["config"]["extension"]["learn"] == "text"
    assert np.array_equal(images(before, corpus), images(after, corpus))
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (before, after)]
    changed = {
        name.split(".")[0] for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])
    }
    assert changed >= {"trunk", "text_head", "project"}
    assert not changed & {"image_head", "image_trunk", "feature_mean", "feature_scale"}
    frozen = "trunk.trunk.embeddings.word_embeddings.weight"
    assert torch.equal(weights[0][frozen], weights[1][frozen])
    with pytest.raises(UserError, match=r"a vocabulary of its own.*--set extension\.learn=text"):
        extend(corpus, before, tmp_path / "no", extension__learn="vocabulary")


class Fixed(Objective):
    def __init__(self) -> None:
        super().__init__()
        self.weights = {"source": 2.0}

    def forward(self, views: Views, batch: Batch) -> dict[str, Tensor]:
        return {"source": torch.tensor(0.5)}


def toy_batch() -> Batch:
    """A source caption, its translation into a new language and into a known one, and a way back."""
    return Batch(
        item=torch.tensor([0, 0, 0, 0]),
        pair=torch.tensor([0, 0, 0, 0]),
        lang=torch.tensor([0, 1, 2, 0]),
        role=torch.tensor([ROLES.index(role) for role in ("human", "mt", "mt", "back")]),
        languages=("en", "de", "pt"),
    )


@pytest.mark.parametrize(
    ("learn", "expected"),
    [("vocabulary", {"source": 0.5, "taught": 2.0}), ("text", {"source": 0.5, "taught": 2.0, "kept": 0.2})],
)
def test_the_distances_to_the_anchors(learn: Any, expected: dict[str, float]) -> None:
    config = ExtensionConfig(added=("de",), learn=learn, teach_weight=3.0, keep_weight=5.0)
    objective = Anchored(Fixed(), config)
    anchor = torch.tensor([[1.0, 0.0]] * 4)
    # Squared distances 0, 2, (1 - 0.8)² + 0.6² = 0.4, and (1 - 0.9)² + 0.19 = 0.2.
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.9, 0.19**0.5]])
    terms = objective(Views(image=torch.eye(1, 2), text=text, anchor=anchor), toy_batch())
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, abs=1e-6)
    total = 2 * 0.5 + 3 * 2.0 + (5 * 0.2 if learn == "text" else 0)
    assert objective.total(terms).item() == pytest.approx(total, abs=1e-6)


def test_anchors_are_old_vectors_of_the_source_caption_or_of_the_text_itself(run: Path) -> None:
    extension = Extension(run, extended_config(run, ("de",)))
    asked = ["dog", "Hund rot", "cão", "dog", "dog"]
    batch = toy_batch()
    different, row_of_text = unique_texts(asked[:4])
    step = Step(
        row_of_text=row_of_text,
        batch=batch,
        items=["a"],
        texts=different,
        source_of_pair=["dog red"],
        number=torch.full((5,), -1),
    )
    expected = texts(run, ["dog", "dog red", "cão", "dog"])
    np.testing.assert_allclose(extension.anchors(step, batch).numpy(), expected, atol=1e-6)


def test_a_run_is_extended_only_by_languages_it_does_not_know(run: Path, longer: Path) -> None:
    expected = r"run was trained on en, pt\. Name languages that join these, not pt: --add gl"
    with pytest.raises(UserError, match=expected):
        extended_config(run, ("pt", "de"))
    with pytest.raises(UserError, match=r"longer was trained on en, pt, de\. .* not de: --add gl"):
        extended_config(longer, ("de",))
    with pytest.raises(UserError, match=r"was trained on en, pt\. Name languages that join these: --add gl"):
        extended_config(run, ())


def test_only_a_finished_run_is_extended(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist, so it is no complete run folder\. Make one: dragoman train"):  # fmt: skip  # noqa: E501
        extended_config(tmp_path / "none", ("de",))
    with pytest.raises(UserError, match="holds a dragoman-corpus, but a dragoman-run was expected"):
        extended_config(corpus, ("de",))


def test_other_features_are_refused(corpus: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    features = Corpus.open(other).features("toy")
    shutil.rmtree(other / "features" / "toy")
    vectors = np.asarray(features.vectors)
    write_features(other / "features" / "toy", features.ids, vectors, inputs={"elsewhere/toy": "1"})
    assert extend(other, run, tmp_path / "moved", steps="1").is_dir()
    write_features(other / "features" / "toy", features.ids, vectors, inputs={"toy": "2"})
    with pytest.raises(UserError, match=r"toy holds other vectors \(width 24\) than those that .*run learned from \(width 24\)"):  # fmt: skip  # noqa: E501
        extend(other, run, tmp_path / "out", steps="1")


def test_missing_translations_are_named(corpus: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    edit_captions(other, lambda rows: [row for row in rows if row["lang"] != "de"])
    with pytest.raises(UserError, match=r"no de translation .* Translate them: dragoman translate"):
        extend(other, run, tmp_path / "out")


def test_the_shape_of_the_model_cannot_be_set(corpus: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="as it is: --add languages; set nothing of text, dual, fusion"):
        extend(corpus, run, tmp_path, text__width="32")
    with pytest.raises(UserError, match="adds languages to a finished run: name it, --init RUN"):
        train(corpus, extended_config(run, ("de",)), tmp_path, device="cpu")
    with pytest.raises(UserError, match="as it is: --add languages"):
        train(corpus, tiny("translate_train", **SHORT), tmp_path, init=run, device="cpu")


def test_weights_of_the_distances_are_checked() -> None:
    with pytest.raises(UserError, match=r"extension\.keep_weight must be 0 or more, got -1"):
        ExtensionConfig(added=("de",), keep_weight=-1)


def test_extension_settings_are_settings_of_the_run(run: Path) -> None:
    config: TrainConfig = extended_config(run, ("de",)).with_settings({"extension.learn": "text"})
    assert config.extension == ExtensionConfig(added=("de",), learn="text")
    assert config.step_targets == ("de", "pt")
