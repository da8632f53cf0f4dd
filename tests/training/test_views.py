"""A step that is encoded in chunks has the gradient of one that is not, and needs less memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gradients import CASES, STILL, config_of, distance, gradients, prepared
from tiny_encoders import save_encoder
from torch.profiler import ProfilerActivity, profile
from training_world import write_world

from dragoman.models.text.huggingface import HuggingFaceTextConfig
from dragoman.training import views as encoding


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"))


@pytest.mark.parametrize(("recipe", "targets", "settings"), CASES)
def test_chunks_change_no_gradient(
    corpus: Path, recipe: str, targets: tuple[str, ...], settings: dict[str, str]
) -> None:
    whole = gradients(corpus, config_of(recipe, targets, STILL | settings))
    assert len(whole) > 30 and all(value.isfinite().all() for value in whole.values())
    for chunk in ("1", "7", "16"):
        found = gradients(corpus, config_of(recipe, targets, STILL | settings | {"chunk": chunk}))
        assert distance(found, whole) < 1e-5


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_second_encoding_draws_what_the_first_drew(
    corpus: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("nrccr", ("pt",), {"chunk": "9", "precision": precision})
    cached = gradients(corpus, config)
    monkeypatch.setattr(encoding, "checkpoint", lambda encode, *given, **how: encode(*given))
    kept = gradients(corpus, config)
    assert all(torch.equal(cached[name], kept[name]) for name in kept)
    # Dropout did draw: another seed gives another gradient.
    torch.manual_seed(5)
    state, step = prepared(corpus, config)
    torch.manual_seed(5)
    state.take_step(step, 1.0)
    other = dict(state.model.named_parameters())["attention.key.weight"].grad
    assert other is not None and not torch.equal(other, kept["DualEncoder attention.key.weight"])


def test_a_pretrained_encoder_draws_the_same_a_second_time(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = HuggingFaceTextConfig(path=str(save_encoder(tmp_path, "bert")), layers="all", max_length=18)
    config = replace(config_of("nrccr", ("pt",), {"chunk": "9"}), text=encoder)
    cached = gradients(corpus, config)
    monkeypatch.setattr(encoding, "checkpoint", lambda encode, *given, **how: encode(*given))
    kept = gradients(corpus, config)
    trained = [name for name in kept if name.startswith("DualEncoder trunk.")]
    assert len(trained) == 48 and all(torch.equal(cached[name], kept[name]) for name in kept)


def test_what_comes_after_a_step_draws_the_same_with_and_without_a_second_encoding(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("nrccr", ("pt",), {"chunk": "9"})
    gradients(corpus, config)
    cached = torch.get_rng_state()
    monkeypatch.setattr(encoding, "checkpoint", lambda encode, *given, **how: encode(*given))
    gradients(corpus, config)
    assert torch.equal(cached, torch.get_rng_state())


def peak(work: Callable[[], object]) -> int:
    """Most bytes of tensors that `work` holds at once, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]
    held, most = 0, 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def test_memory_holds_the_graph_of_one_chunk(corpus: Path) -> None:
    def bytes_of(chunk: str) -> int:
        shape = {"text.width": "64", "dual.hidden": "64", "text.layers": "2", "batch_size": "80"}
        state, step = prepared(corpus, config_of("nrccr", ("pt",), shape | {"chunk": chunk}))
        state.take_step(step, 1.0)  # the optimizer's own memory comes with the first step
        return peak(lambda: state.take_step(step, 1.0))

    # 160 texts, eight at a time; what remains are the gradient and the loss's own matrices.
    assert bytes_of("8") < bytes_of("none") / 5
