from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_world import TINY, write_world

from command_line import dragoman

SETTINGS = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus")


def command(corpus: Path, out: Path, *more: str, recipe: str = "translate_train") -> list[str]:
    given = ["--recipe", recipe, "--targets", "pt", "--features", "toy", "--out", str(out), "--device", "cpu"]
    return ["train", str(corpus), *given, *SETTINGS, *more]


def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(corpus: Path, tmp_path: Path) -> None:
    arguments = command(corpus, tmp_path, "--set", "steps=200", "--set", "validate_every=10")
    # A shell that starts jobs in the background lets them ignore SIGINT.
    started = subprocess.Popen(
        [sys.executable, "-c", "from dragoman.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    history = tmp_path / "metrics.jsonl"
    while not (history.exists() and history.stat().st_size) and started.poll() is None:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    stdout, stderr = started.communicate()
    assert started.returncode == 130, stderr
    assert stdout == ""
    assert stderr.endswith("Interrupted. What was finished is kept; run the same command again to go on.\n")
    assert (tmp_path / "checkpoints" / "last.pt").is_file()
    assert not (tmp_path / "manifest.json").exists()

    done = dragoman(*arguments)
    assert done.returncode == 0, done.stderr
    assert "going on after step" in done.stderr
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert done.stdout == (
        f"{tmp_path}: {manifest['steps']} steps; best at step {manifest['best_step']} with "
        f"{manifest['best']:.1f}\nCriterion: {manifest['criterion']}\n"
        f"Next: dragoman evaluate {tmp_path} {corpus} --split test --out {tmp_path}-report\n"
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "epochs"], "--set takes NAME=VALUE, got 'epochs'. Example: --set epochs=5"),
        (["--set", "epochs=x"], "epochs must be a whole number, got 'x'"),
        (["--recipe", "magic"], "No recipe 'magic'. Known: "),
        (["--features", "clip"], "has no feature set 'clip' (known: toy). Make one: dragoman features"),
        (["--targets", "gl"], "has no gl translation of its human en captions in split 'train'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    corpus: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    done = dragoman(*command(corpus, tmp_path / "run", *more))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_language_joins_a_finished_run(corpus: Path, tmp_path: Path) -> None:
    english = ["train", str(corpus), "--features", "toy", *SETTINGS, "--device", "cpu"]
    short = ["--set", "steps=2", "--out"]
    first = dragoman(*english, "--recipe", "translate_train", *short, tmp_path / "en")
    assert first.returncode == 0, first.stderr
    extended = ["train", str(corpus), "--init", str(tmp_path / "en"), "--device", "cpu"]
    second = dragoman(*extended, "--add", "pt", "--set", "extension.learn=text", *short, tmp_path / "pt")
    assert second.returncode == 0, second.stderr
    stored = json.loads((tmp_path / "pt" / "config.json").read_text())["config"]
    assert (stored["recipe"], stored["source"], stored["targets"]) == ("translate_train", "en", ["pt"])
    assert (stored["steps"], stored["extension"]["learn"]) == (2, "text")

    knows = f"Error: {tmp_path / 'en'} was trained on en. Name languages that join these"
    mistakes = {
        "--add=pt --features=toy": "Error: --init takes source, targets and features from that run",
        "--add=en": f"{knows}, not en: --add gl\n",
        "": f"{knows}: --add gl\n",
        "--add=gl": f"Error: {corpus} has no gl translation of its human en captions",
    }
    for more, message in mistakes.items():
        done = dragoman(*extended, *more.split(), "--out", tmp_path / "no")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(message)
    alone = dragoman(*english, "--add", "pt", "--out", tmp_path / "no")
    assert alone.stderr == "Error: --add needs the run that it extends: --init RUN\n"


def test_the_complete_configuration_can_be_seen(corpus: Path, tmp_path: Path) -> None:
    done = dragoman(
        *command(corpus, tmp_path, "--show-config", "--seed", "7", "--engine", "toy", recipe="nrccr")
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["recipe"], shown["seed"], shown["engines"], shown["text"]["width"]) == (
        "nrccr",
        7,
        ["toy"],
        16,
    )
    assert list(tmp_path.iterdir()) == []


def test_help_shows_an_example() -> None:
    done = dragoman("train", "--help")
    assert "dragoman train corpus/ --recipe nrccr --source en --targets pt" in done.stdout
