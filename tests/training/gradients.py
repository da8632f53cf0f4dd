"""One step of a recipe on the made-up corpus, and the gradients that it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from training_world import tiny

from dragoman.corpus import Corpus
from dragoman.training import TrainConfig, fused
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import Step, StepPlan
from dragoman.training.fused import FusedDraws, Masks
from dragoman.training.processes import Processes
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState

STILL = {"text.dropout": "0", "text.piece_dropout": "0", "text.whole_dropout": "0"}
STILL |= {"dual.dropout": "0", "dual.head_dropout": "0", "dual.image_dropout": "0"}
"""Settings without which two ways of encoding would draw differently."""
UNSCORED = {"trust.weight": "false", "extra_images": "9"}
CASES: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
    ("translate_train", ("pt", "de"), {}),
    ("translate_train", ("pt", "de"), {"trust.weight": "true", "trust.learn": "gsc"}),
    ("triplet", ("pt",), {"loss.soft": "true"}),
    ("one_to_k", ("pt", "de"), {}),
    ("one_to_k_released", ("pt", "de"), {"loss.mitm_weight": "0", "loss.cmlm_weight": "0"}),
    ("pivot", ("pt", "de"), {}),
    ("dragoman", ("pt", "de"), UNSCORED),
    (
        "dragoman",
        ("pt", "de"),
        UNSCORED | {"always_source": "true", "loss.pull_weight": "0.1", "loss.widths": "4,8"},
    ),
    ("dragoman", ("pt", "de"), UNSCORED | {"loss.contrast": "sigmoid"}),
    ("cl2cm", ("pt", "de"), {}),
    ("nrccr", ("pt",), {}),
    ("nrccr", ("pt",), {"loss.discriminator": "strong", "loss.feat_detach_teacher": "false"}),
    ("nrccr", ("pt",), {"loss.teacher": "shuffled"}),
    ("nrccr", ("pt",), {"loss.teacher": "itself", "loss.feat_detach_teacher": "false"}),
    ("nrccr", ("pt",), {"loss.sim_loss": "off", "loss.feat_loss": "off", "loss.adversary": "off"}),
]


FUSED = (
    "one_to_k",
    ("pt", "de"),
    {"loss.mitm_weight": "1", "loss.cmlm_weight": "0.5", "fusion.dropout": "0"},
)
"""A case for `fixed_draws`, as it draws pairs and words, and the random state depends on the chunks."""


@contextmanager
def fixed_draws() -> Iterator[None]:
    """Pairs are drawn with one seed, and the first known word of a text is hidden."""
    draw, draw_masks = fused.draw, fused.draw_masks

    def seeded(*arguments: Any) -> FusedDraws:
        with torch.random.fork_rng():
            torch.manual_seed(5)
            return draw(*arguments)

    def first(label_NL: Tensor, length_N: Tensor) -> Masks:
        known = label_NL >= 0
        chosen = known & (known.cumsum(1) == 1)
        return Masks(chosen=chosen, hidden=chosen, swapped=torch.zeros_like(chosen))

    fused.draw, fused.draw_masks = seeded, first
    try:
        yield
    finally:
        fused.draw, fused.draw_masks = draw, draw_masks


def config_of(recipe: str, targets: tuple[str, ...], settings: dict[str, str]) -> TrainConfig:
    """Not clipped, as a clipped gradient hides its length."""
    shape = {"batch_size": "32", "steps": "2", "clip": "0", "word_dropout": "0.2", "text.layers": "1"}
    return tiny(recipe, targets, **{name.replace(".", "__"): v for name, v in (shape | settings).items()})


def prepared(
    corpus: Path, config: TrainConfig, processes: Processes | None = None
) -> tuple[TrainState, Step]:
    """A fresh state and its first step."""
    opened, back = Corpus.open(corpus), "back" in config.loss.needs
    samples = load_samples(opened, config, back=back)
    plan = StepPlan(samples=samples, config=config, back=back, augmentation=load_augmentation(opened, config))
    state = TrainState(config, opened, samples, processes=processes)
    return state, plan.step(0)


def gradients(corpus: Path, config: TrainConfig, processes: Processes | None = None) -> dict[str, Tensor]:
    """Terms, and the gradients of encoders, objective and opponent by the names of their parameters."""
    state, step = prepared(corpus, config, processes)
    terms = state.take_step(step, 1.0)
    found = {f"term {name}": value for name, value in terms.items()}
    for part in (state.model, state.objective):
        for name, parameter in part.named_parameters():
            if parameter.grad is not None:
                found[f"{type(part).__name__} {name}"] = parameter.grad
    return found


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Largest difference between two sets of gradients."""
    assert found.keys() == wanted.keys()
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted)


def saved(path: Path) -> dict[str, Tensor]:
    """Gradients that another process stored."""
    stored: dict[str, Tensor] = torch.load(path, weights_only=True)
    return stored
