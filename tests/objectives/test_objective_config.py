"""Rules that every objective's settings keep."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from dragoman.errors import UserError
from dragoman.objectives.contract import ObjectiveConfig


@dataclass(frozen=True, kw_only=True)
class Config(ObjectiveConfig):
    distil_temperature: float = 0.07
    learn_temperature: bool = True
    pull_weight: float = 0.0
    text_weight: float | str = "inverse_k"


def test_an_objective_declares_no_more_than_it_must() -> None:
    config = Config()
    assert config.needs == ("image", "text")
    assert (config.reads_source, config.target_languages) == (False, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distil_temperature": 0.0009}, r"distil_temperature must lie in \[0.001, 0.5\], got 0.0009"),
        ({"distil_temperature": math.nan}, r"distil_temperature must lie in \[0.001, 0.5\], got nan"),
        ({"pull_weight": -0.5}, "pull_weight must be 0 or more, got -0.5"),
        ({"text_weight": math.nan}, "text_weight must be 0 or more, got nan"),
    ],
)
def test_temperatures_and_weights_are_checked_by_their_names(
    settings: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Config(**settings)  # type: ignore[arg-type]
