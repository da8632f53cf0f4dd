"""The page about corpora is true: its commands and its Python are run."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "corpus.md"
SHOWN = ("captions.csv", "languages.csv", "captions.jsonl", "records.csv", "both.jsonl", "mixed.jsonl")


def transcript() -> list[tuple[str, str]]:
    """Commands of the page, each with what it prints."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, output = re.match(r"(.*?(?:\\\n> .*?)*)\n(.*)", entry, re.DOTALL).groups()  # type: ignore[union-attr]
            found.append((command.replace("\n> ", "\n"), output))
    return found


def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("boat.jpg", "dog.jpg"):
        Path("photos", name).touch()
    Path("photos/dog.txt").write_text("a dog runs\na brown dog on grass\n")
    Path("photos/dog.pt.txt").write_text("um cachorro corre\n")
    np.save("vectors.npy", np.ones((1, 2)))
    Path("ids.txt").write_text("dog\n")
    commands = transcript()
    for name in SHOWN:
        Path(name).write_text(dict(commands)[f"cat {name}"], encoding="utf-8")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert len(commands) == 19
    for command, output in commands:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, encoding="utf-8")
        assert (command, done.stdout) == (command, output)
    assert doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8").failed == 0
