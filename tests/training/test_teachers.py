"""What the teacher of a target caption reads: its source caption, that of another pair, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gradients import STILL, prepared
from torch import Tensor
from training_world import tiny, write_world

from dragoman.errors import UserError
from dragoman.models.dual import DualEncoder, TextViews
from dragoman.training import TrainConfig
from dragoman.training.batches import Step

WAYS = ({}, {"dual.pool": "all"})
"""Each different text once, and a language after the other."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus")


def config_of(settings: dict[str, str]) -> TrainConfig:
    wanted = {"batch_size": "12", "word_dropout": "0", "text.layers": "1", **settings}
    return tiny("nrccr", **{name.replace(".", "__"): value for name, value in wanted.items()})


def alone(model: DualEncoder, step: Step, lang: int) -> list[TextViews]:
    """The captions of a language by ascending pair, each encoded by itself."""
    rows = step.row_of_text[step.batch.rows(lang)].tolist()
    return [model.encode_text(model.prepare([step.texts[row]]), tokens=True) for row in rows]


def taught(corpus: Path, settings: dict[str, str]) -> tuple[DualEncoder, Step, Tensor]:
    state, step = prepared(corpus, config_of(settings))
    views, _ = state.encoder.encode(step)
    assert views.teacher is not None
    return state.model, step, views.teacher


@torch.no_grad()
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("teacher", "shift"), [("source", 0), ("shuffled", 1)])
def test_a_shuffled_teacher_reads_the_source_of_the_pair_before(
    corpus: Path, way: dict[str, str], teacher: str, shift: int
) -> None:
    # Texts of this corpus are equally long, so padding to the longest of a language changes nothing.
    model, step, found = taught(corpus, STILL | way | {"loss.teacher": teacher})
    source, target = alone(model, step, 0), alone(model, step, 1)
    expected = [model.teach(source[at - shift], target[at]) for at in range(len(target))]
    torch.testing.assert_close(found, torch.cat(expected))
    other = [model.teach(source[at - 1 + shift], target[at]) for at in range(len(target))]
    assert (found - torch.cat(other)).abs().max() > 1e-4


@pytest.mark.parametrize("way", [*WAYS, {"chunk": "7"}])
def test_a_caption_that_teaches_itself_is_read_again_with_other_dropout(
    corpus: Path, way: dict[str, str]
) -> None:
    model, step, found = taught(corpus, STILL | way | {"loss.teacher": "itself"})
    text = torch.cat([one.vector for one in alone(model, step, 1)])
    torch.testing.assert_close(found, text)
    state, step = prepared(corpus, config_of(way | {"loss.teacher": "itself", "dual.dropout": "0.3"}))
    views, batch = state.encoder.encode(step)
    assert views.teacher is not None and views.teacher.requires_grad
    apart = (views.teacher - views.text[batch.rows(1)]).norm(dim=1)
    assert len(apart) == 12 and (apart > 0.01).all()


def test_what_teaches_itself_needs_no_tokens() -> None:
    with pytest.raises(UserError, match=r"no attention over tokens.*teacher"):
        config_of({"dual.text_head": "linear"})
    config = config_of({"dual.text_head": "linear", "loss.teacher": "itself"})
    assert "teacher" in config.loss.needs and config.loss.taught_by == "itself"
