"""The released preset beside a step that is written anew from what the authors' code does."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from gradients import prepared
from training_world import tiny, write_world

from dragoman.corpus import Corpus
from dragoman.models.text.huggingface import HuggingFaceTextConfig
from dragoman.training import TrainConfig

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "noisy_translation" / "authors_step.py"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("authors_step", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["authors_step"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    # Few pieces, so that words are cut and captions differ in length.
    module.VOCABULARY = 60
    yield module
    del sys.modules["authors_step"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", train=400)


def released(bench: ModuleType, corpus: Path, folder: Path) -> TrainConfig:
    """The preset on a tiny BERT, of which the last layer learns."""
    found = Corpus.open(corpus).translations(source="en", target="pt", split="train")
    encoder = bench.save_bert(folder, [*found.source_text, *found.mt_text], 16, 2)
    text = HuggingFaceTextConfig(path=str(encoder), layers="1-1")
    return replace(tiny("nrccr_released", batch_size="12"), text=text)


def test_a_step_is_that_of_the_authors(bench: ModuleType, corpus: Path, tmp_path: Path) -> None:
    config = released(bench, corpus, tmp_path)
    state, step = prepared(corpus, bench.without_dropout(config))
    bench.still(state)
    authors = bench.Authors.of(state, dropout=0.0, head_dropout=0.0)
    images, sides = bench.batch_of(state, step)
    assert len(step.items) == 12, "an image that stands there twice is two rows of their BatchNorm"
    # What is at stake: sides of different lengths, with padding in them.
    assert len({mask.shape[1] for _, mask in sides}) > 1 and any(not mask.all() for _, mask in sides)
    theirs = authors.take_step(images, sides)
    terms = state.take_step(step, 1.0)
    assert terms["total"].item() == pytest.approx(theirs, rel=1e-5)
    for name, part in {**authors.counterparts(state), "bert": state.model.trunk.trunk}.items():
        mine = dict(part.named_parameters())
        for weight, value in getattr(authors, name).named_parameters():
            if not value.requires_grad:
                continue
            assert value.grad is not None, name
            if name != "judge":  # of the encoders' pass, which in ours leaves it alone
                # Adding -10000 leaves the logits of their padded rows three digits behind the point. What
                # BatchNorm takes out again, such as a bias before it, has the gradient 0 but for rounding.
                gap = (mine[weight].grad - value.grad).norm()
                assert gap <= 1e-3 * value.grad.norm() + 1e-5, (name, weight)
            if "norm" in name:
                continue
            # A first step of Adam moves by the sign of the gradient, which rounding decides near 0.
            moved = value.grad.abs() > 1e-5
            torch.testing.assert_close(mine[weight][moved], value[moved], rtol=0, atol=1e-6)
    for name in ("text_norm", "image_norm"):
        for kind in ("running_mean", "running_var"):
            mine = getattr(authors.counterparts(state)[name], kind)
            torch.testing.assert_close(mine, getattr(getattr(authors, name), kind))


def test_both_are_measured_by_one_command(
    bench: ModuleType,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = ["--batch", "8", "--width", "16", "--layers", "2", "--trained", "1-1", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["authors_step.py", "--data", "flickr8k_multilingual", *sizes])
    # States are added to it.
    own = shutil.copytree(corpus, tmp_path / "corpus")
    monkeypatch.setattr(bench, "small_corpus", lambda data, folder: own)
    monkeypatch.setattr(bench, "FEATURES", "toy")
    bench.main()
    said = capsys.readouterr().out.splitlines()
    losses = [
        [float(word) for word in line.replace(",", "").split() if word[0].isdigit()]
        for line in said
        if line.startswith(("Loss", "The same"))
    ]
    assert len(losses) == 2 and all(a == pytest.approx(b, rel=1e-3) for a, b in losses)
    rows = [line.split(" | ")[0] for line in said if line.startswith("| ")]
    assert rows == ["| step", "| authors", "| nrccr_released", "| nrccr", "| nrccr, states kept"]
