"""Trials are performed once, and what they gave is told as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import DamagedError
from dragoman.folders import MANIFEST
from dragoman.pipelines import computer, experiment
from dragoman.pipelines.experiment import SECONDS, Arm, Trial, perform, read_report, spread, table
from dragoman.reports.format import REPORT
from dragoman.reports.settings import EvaluationSettings

ASKED = EvaluationSettings(languages=("pt",))


class Stages:
    """Training and evaluation that only note that they were called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        monkeypatch.setattr(experiment, "train", self.train)
        monkeypatch.setattr(experiment, "evaluate", self.evaluate)
        monkeypatch.setattr(experiment, "fingerprint", lambda run: {"model": (run / "model").read_text()})
        monkeypatch.setattr(experiment.Corpus, "open", lambda folder: self)

    def fingerprint(self) -> dict[str, str]:
        return {"corpus": "c"}

    def train(self, corpus: Path, config: Any, run: Path, *, device: str) -> None:
        self.calls.append(f"train {config.seed}")
        run.mkdir(parents=True, exist_ok=True)
        (run / MANIFEST).write_text("{}")
        (run / "model").write_text(f"seed {config.seed}")

    def evaluate(self, run: Path, corpus: Path, settings: EvaluationSettings, *, out: Path) -> None:
        self.calls.append(f"evaluate {out.name}")
        out.mkdir(parents=True, exist_ok=True)
        inputs = {"model": (run / "model").read_text(), "corpus": "c"}
        (out / "report.json").write_text('{"results": {}}')
        REPORT.write(out, inputs=inputs)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return Stages(monkeypatch)


def trial(folder: Path, **more: Any) -> Trial:
    return Trial(
        corpus=folder / "corpus",
        arm=Arm(recipe="translate_train", targets=("pt",), features="grid"),
        seed=3,
        run=folder / "run",
        reports={folder / "one": ASKED, folder / "two": ASKED},
        **more,
    )


def test_a_trial_is_performed_once_and_goes_on_where_it_was(tmp_path: Path, stages: Stages) -> None:
    trial(tmp_path).perform()
    assert stages.calls == ["train 3", "evaluate one", "evaluate two"]
    assert float(json.loads((tmp_path / "one" / SECONDS).read_text())) >= 0
    trial(tmp_path).perform()
    assert len(stages.calls) == 3
    (tmp_path / "two" / MANIFEST).unlink()
    # `train` itself knows that its run is finished, and refuses one of another configuration.
    trial(tmp_path).perform()
    assert stages.calls[3:] == ["train 3", "evaluate two"]


def test_a_report_of_another_model_is_made_anew_and_one_without_a_run_stands(
    tmp_path: Path, stages: Stages
) -> None:
    trial(tmp_path).perform()
    (tmp_path / "run" / "model").write_text("trained again")
    assert trial(tmp_path).missing == [tmp_path / "one", tmp_path / "two"]
    (tmp_path / "run" / MANIFEST).unlink()
    assert trial(tmp_path).missing == []


def test_a_damaged_report_is_made_anew_and_never_read(tmp_path: Path, stages: Stages) -> None:
    trial(tmp_path).perform()
    assert read_report(tmp_path / "one") == {"results": {}}
    for damaged in (b"", b'{"results": 1}', b'{"results": []}'):
        (tmp_path / "one" / "report.json").write_bytes(damaged)
        with pytest.raises(DamagedError, match=r"report\.json .* run the same command again"):
            read_report(tmp_path / "one")
        assert trial(tmp_path).missing == [tmp_path / "one"]
    manifest = tmp_path / "two" / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:40])
    trial(tmp_path).perform()
    assert trial(tmp_path).missing == []
    assert read_report(tmp_path / "one") == {"results": {}}


def test_what_else_is_measured_is_kept_and_not_measured_again(tmp_path: Path, stages: Stages) -> None:
    asked = []

    def count(given: Trial) -> dict[str, int]:
        asked.append((given.run / "model").read_text())
        return {"right": 4}

    one = trial(tmp_path, measures={tmp_path / "count.json": count})
    one.perform()
    one.perform()
    assert asked == ["seed 3"]
    assert json.loads((tmp_path / "count.json").read_text()) == {"right": 4}
    (tmp_path / "count.json").unlink()
    assert one.missing == [tmp_path / "count.json"]


def test_a_run_that_is_not_kept_goes_once_its_reports_stand(tmp_path: Path, stages: Stages) -> None:
    one = trial(tmp_path, keep_run=False)
    one.perform()
    assert not one.run.exists()
    assert one.missing == []


def test_another_way_to_train_is_taken_and_not_repeated(tmp_path: Path, stages: Stages) -> None:
    trained = []

    def extend(given: Trial) -> None:
        trained.append(given.seed)
        stages.train(given.corpus, given.arm.config(given.seed), given.run, device="cpu")

    one = trial(tmp_path, train=extend)
    one.fit()
    one.fit()
    assert trained == [3]


def test_a_finished_list_of_trials_starts_no_process(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(tmp_path).perform()
    monkeypatch.setattr(experiment, "ProcessPoolExecutor", None)
    perform([trial(tmp_path)], workers=2)


def test_an_arm_is_its_recipe_with_its_settings() -> None:
    arm = Arm(recipe="nrccr", targets=("pt",), features="grid", settings={"steps": "7"})
    config = arm.config(5)
    assert (config.recipe, config.targets, config.steps, config.seed) == ("nrccr", ("pt",), 7, 5)


def test_spread_and_table() -> None:
    assert spread([1.0, 2.0, 3.0]) == "2.0 ± 1.0"
    assert spread([1.25], digits=2) == "1.25"
    assert spread([]) == spread(None) == "–"
    assert list(table(("arm", "", "n"), [("a", "", 1)])) == ["| arm | | n |", "|---|---|---|", "| a | | 1 |"]


def test_circumstances_name_the_commit_and_the_computer() -> None:
    told = experiment.circumstances("python run.py", steps=3)
    assert told["command"] == "python run.py"
    assert told["steps"] == 3
    assert "cores" in str(told["computer"])


def test_the_line_of_a_page_tells_commit_computer_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(computer, "commit", lambda: "0a1b2c3")
    monkeypatch.setattr(computer, "processor", lambda: "Abacus 7")
    line = computer.commit_and_computer()
    assert line.startswith("at commit 0a1b2c3, ")
    assert "cores (Abacus 7, threads: 3)" in line
