"""Set-up of `units` for the contract of recognisers: a codebook of noises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dragoman.media.sound import RATE
from dragoman.speech.units import UnitSettings, fit_units


def ready(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    draws = np.random.default_rng(0)
    noises = [np.asarray(draws.standard_normal(RATE) * 0.1, np.float32) for _ in range(3)]
    fit_units(noises, folder / "units", UnitSettings(count=8), {})
    yield str(folder / "units")
