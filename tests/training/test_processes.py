"""Two real processes, over gloo on this computer, train as one does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from gradients import (
    CASES,
    FUSED,
    STILL,
    config_of,
    distance,
    fixed_draws,
    gradients,
    prepared,
    saved,
)
from killed_runs import outcome
from training_world import TINY, tiny, write_world
from two_processes import CHUNKS, SETTINGS

from dragoman.errors import UserError
from dragoman.folders import sole_writer
from dragoman.training import train
from dragoman.training.processes import Alone

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "OMP_NUM_THREADS": "1"}


def start(*works: tuple[object, ...]) -> list[list[tuple[int, str]]]:
    """Status and stderr of the two processes of each of these works of `two_processes.py`."""
    told = json.dumps(works, default=str)
    command = [sys.executable, HERE / "two_processes.py", told]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [[(status, said) for status, said in pair] for pair in json.loads(done.stdout)]


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "dragoman", "train", *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"))


@pytest.fixture(scope="module")
def stored(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes found; in `whole` a run, and in `stopped` and `still` one that got a signal."""
    out = tmp_path_factory.mktemp("two")
    works = [
        ("gradients", corpus, out),
        ("run", corpus, out / "whole"),
        ("run", corpus, out / "stopped", "5"),
        ("still", corpus, out / "still", "5"),
    ]
    gradients, whole, stopped, still = start(*works)
    assert gradients == [(0, ""), (0, "")]
    assert [status for status, _ in whole] == [0, 0]
    # Noticed at the end of the next step.
    assert [status for status, _ in stopped] == [143, 143]
    assert [status for status, _ in still] == [143, 143]
    return out


@pytest.mark.parametrize("number", range(len(CASES)))
def test_two_processes_have_the_gradient_of_one(corpus: Path, stored: Path, number: int) -> None:
    recipe, targets, settings = CASES[number]
    alone = gradients(corpus, config_of(recipe, targets, STILL | settings))
    assert recipe != "translate_train" or "TranslateTrain temperature.log" in alone
    for chunk in CHUNKS:
        for rank in (0, 1):
            found = saved(stored / f"{number}-{chunk}-{rank}.pt")
            assert distance(found, alone) < 1e-5


def test_processes_share_what_is_fused(corpus: Path, stored: Path) -> None:
    with fixed_draws():
        alone = gradients(corpus, config_of(*FUSED[:2], STILL | FUSED[2]))
    assert {"term mitm", "term cmlm", "DualEncoder fusion.match_head.0.weight"} < alone.keys()
    for chunk in CHUNKS:
        for rank in (0, 1):
            assert distance(saved(stored / f"fused-{chunk}-{rank}.pt"), alone) < 1e-5


def test_rows_are_gathered_by_rank_and_their_gradient_comes_back(stored: Path) -> None:
    first, second = (saved(stored / f"exchanged-{rank}.pt") for rank in (0, 1))
    one, two, none = [1.0, 1.0], [2.0, 2.0], [0.0, 0.0]
    for found in (first, second):
        assert found["tokens"].tolist() == [[one, one, one], [one, one, one], [two, two, none]]
        assert found["nothing"].shape == (0, 2) and found["from one"].tolist() == [[1.0, 1.0]]
        assert found["bytes"].tolist() == [[True], [False], [False]]
        assert found["half"].dtype == torch.bfloat16 and found["half"].tolist() == [[0.5, 0.5], [1.5, 1.5]]
        assert (found["largest"], found["first"], found["of first"].item()) == (7, "from 0", 5)
    assert first["gradient"].tolist() == torch.arange(12.0).view(2, 3, 2).tolist()
    assert second["gradient"].tolist() == [[[12.0, 13.0], [14.0, 15.0]]]
    assert first["share"] == [[], [], [0, 1]] and second["share"] == [[], [0], [2, 3, 4]]


def test_shares_of_a_gradient_add_up_and_whole_ones_are_averaged(stored: Path) -> None:
    for rank in (0, 1):
        reached, shared, unreached, whole = saved(stored / f"exchanged-{rank}.pt")["grads"]
        assert reached.tolist() == [3.0, 6.0]
        assert shared.tolist() == [1.0, 1.0]
        assert unreached is None
        assert whole.tolist() == [3.0]


def test_processes_draw_apart(stored: Path) -> None:
    first, second = (saved(stored / f"exchanged-{rank}.pt")["draw"] for rank in (0, 1))
    assert first != second


def test_a_signal_to_one_process_stops_both_and_both_go_on_as_if_it_had_not(
    corpus: Path, stored: Path
) -> None:
    stopped = stored / "stopped"
    assert not (stopped / "manifest.json").exists()
    checkpoint = torch.load(stopped / "checkpoints" / "last.pt", weights_only=True)
    assert checkpoint["progress"]["step"] == 6
    draws = [state["cpu"] for state in checkpoint["random"]]
    assert len(draws) == 2 and not torch.equal(*draws)
    assert [status for status, _ in start(("run", corpus, stopped))[0]] == [0, 0]
    assert outcome(stopped) == outcome(stored / "whole")
    assert json.loads((stopped / "manifest.json").read_text())["processes"] == 2


def test_another_number_of_processes_goes_on_with_the_same_steps(
    corpus: Path, stored: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny("nrccr", **SETTINGS).with_settings(STILL)
    two = shutil.copytree(stored / "still", tmp_path / "two")
    assert torch.load(two / "checkpoints" / "last.pt", weights_only=True)["progress"]["step"] == 6
    train(corpus, config, two, device="cpu")
    assert "last.pt was written by 2 processes, and 1 go on" in caplog.text
    assert json.loads((two / "manifest.json").read_text())["processes"] == 1
    train(corpus, config, tmp_path / "one", device="cpu")
    require_same(two, tmp_path / "one")


def settings(**more: str) -> list[str]:
    named = {name.replace("__", "."): value for name, value in more.items()}
    plain = TINY | {"steps": "5", "batch_size": "16"} | named
    return [word for name, value in plain.items() for word in ("--set", f"{name}={value}")]


def test_torchrun_trains_what_one_process_trains(corpus: Path, tmp_path: Path) -> None:
    options = ["--recipe", "translate_train", "--targets", "pt", "--features", "toy", "--device", "cpu"]
    quiet = {name.replace(".", "__"): value for name, value in STILL.items()}
    done = torchrun(corpus, *options, "--out", tmp_path / "two", *settings(**quiet))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best at step") == 1
    assert done.stderr.count("validation SumR") == 1
    config = tiny("translate_train", steps="5", batch_size="16", **quiet)
    train(corpus, config, tmp_path / "one", device="cpu")
    require_same(tmp_path / "two", tmp_path / "one")
    assert len(validated(tmp_path / "one")) == 1


def require_same(two: Path, one: Path) -> None:
    assert validated(two) == validated(one)
    # Ranks hide small differences of the weights. The gradient of a key's bias is nothing but rounding, of
    # which Adam makes steps.
    weights = [torch.load(folder / "checkpoints" / "last.pt") for folder in (two, one)]
    for name, value in weights[0]["states"]["model"].items():
        if name != "attention.key.bias":
            torch.testing.assert_close(value, weights[1]["states"]["model"][name], atol=1e-4, rtol=1e-4)


def validated(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "validation" in line]


def test_a_folder_that_another_run_writes_is_refused_once(corpus: Path, tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        (((first, said), (second, silence)),) = start(("run", corpus, tmp_path))
    assert "another dragoman process. Wait for it to finish" in said and first == 1
    assert (second, silence) == (2, "")


def test_texts_that_depend_on_one_another_are_not_shared(corpus: Path) -> None:
    two = Alone()
    two.count = 2
    with pytest.raises(UserError, match=r"so 2 processes cannot share a step\. Start one: dragoman train"):
        prepared(corpus, config_of("nrccr_released", ("pt",), {}), two)
