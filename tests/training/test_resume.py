"""A run that was killed with SIGKILL and resumed equals the run that was not, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from training_world import write_world

HERE = Path(__file__).parent


RECIPES = ("translate_train", "nrccr", "extension")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The kills of every recipe, by processes forked from one that has imported PyTorch."""
    folder = tmp_path_factory.mktemp("killed")
    corpus = write_world(folder / "corpus", targets=("pt", "de"))
    done = subprocess.run(
        [sys.executable, HERE / "killed_runs.py", corpus, folder, *RECIPES],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_and_resumed_run_equals_one_that_was_not(killed: list[dict[str, Any]], recipe: str) -> None:
    found = [one for one in killed if one["recipe"] == recipe]
    assert len(found) == 5
    assert [one for one in found if one["status"] != -signal.SIGKILL] == []
    assert [one["kill"] for one in found if not one["same"]] == []
