"""The job killed just before any change of its folder: nothing is lost, nothing is torn, and it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from toy_model import RGB, save_model, save_picture

HERE = Path(__file__).parent
COLOURS = tuple(RGB)
KILLS = 4
"""Of each kind of job, spread evenly; all of its changes were tried once by hand (KILLS = 1000)."""


def test_an_index_that_is_killed_at_any_change_ends_as_one_that_was_not(tmp_path: Path) -> None:
    save_model(tmp_path / "run")
    save_model(tmp_path / "other", "3" * 64, "4" * 64)
    for number in range(6):
        save_picture(tmp_path / "photos" / f"{number}.png", COLOURS[number % 4], (8 + number, 6))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run(
        [sys.executable, HERE / "killed_index.py", tmp_path, str(KILLS)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # Of photos: the first build, an update, and a swap to another model; of videos, the first two.
    assert [int(count) >= KILLS for count in done.stdout.split()] == [True] * 5
