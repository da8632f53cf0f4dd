"""A run that was killed with SIGKILL and resumed equals the run that was not, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from training_world import write_world

HERE = Path(__file__).parent


@pytest.mark.parametrize("recipe", ["translate_train", "nrccr", "extension"])
def test_a_killed_and_resumed_run_equals_one_that_was_not(tmp_path: Path, recipe: str) -> None:
    corpus = write_world(tmp_path / "corpus", targets=("pt", "de"))
    done = subprocess.run(
        [sys.executable, HERE / "killed_runs.py", corpus, tmp_path, recipe],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 5
    assert [one for one in found if one["status"] != -signal.SIGKILL] == []
    assert [one["kill"] for one in found if not one["same"]] == []
