"""The run folder: what it holds, who may write it, and what survives trouble."""

from __future__ import annotations

import errno
import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_world import tiny, write_world

import dragoman
from dragoman.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.evaluation import retrieval_metrics
from dragoman.folders import sole_writer
from dragoman.training import TrainReport, train
from dragoman.training.loop import _Run
from dragoman.training.model import new_model
from dragoman.training.processes import Alone
from dragoman.training.run_folder import Progress
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState, rate_factor


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"))


@pytest.fixture(scope="module")
def run(corpus: Path) -> TrainReport:
    """A finished run of NRCCR; nobody may change it."""
    return train(corpus, tiny("nrccr", steps="24", validate_every="0.8"), corpus.parent / "run", device="cpu")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def short(**settings: str) -> Any:
    return tiny("translate_train", **{"steps": "4", "validate_every": "0.2"} | settings)


def stopping(number: int, what: int = signal.SIGINT) -> Any:
    def on_step(step: int) -> None:
        if step == number:
            signal.raise_signal(what)

    return on_step


def test_a_run_folder_describes_itself(run: TrainReport, corpus: Path) -> None:
    # The file of the lock stays on Unix alone.
    assert sorted(file.name for file in run.folder.iterdir() if file.name != ".lock") == (
        ["checkpoints", "config.json", "manifest.json", "metrics.jsonl", "model"]
    )
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert (manifest["format"], manifest["format_version"], manifest["seed"]) == ("dragoman-run", 1, 1)
    assert (manifest["steps"], manifest["best"], manifest["best_step"]) == (24, run.best, run.best_step)
    assert manifest["inputs"] == Corpus.open(corpus).fingerprint()
    assert (manifest["captions"], manifest["dropped"]) == (80, 0)
    config = json.loads((run.folder / "config.json").read_text())["config"]
    assert (config["recipe"], config["text"]["width"], config["loss"]["cycle"]) == ("nrccr", 16, True)
    details = dragoman.Retriever.load(run.folder).config
    assert (details["source"], details["targets"], details["features"]) == ("en", ["pt"], "toy")
    assert details["criterion"] == run.criterion


def test_a_run_knows_the_widths_that_its_vectors_were_trained_to(corpus: Path, tmp_path: Path) -> None:
    settings = {"loss.widths": "8,4,9000", "steps": "1", "trust.weight": "false", "extra_images": "0"}
    train(corpus, tiny("dragoman", **settings), tmp_path, device="cpu")
    retriever = dragoman.Retriever.load(tmp_path)
    assert retriever.widths == (4, 8, retriever.width)


def test_the_history_holds_terms_rates_and_validations(run: TrainReport) -> None:
    found = lines(run.folder)
    assert [(line["step"], sorted(set(line) - {"step"})) for line in found] == [
        (8, ["validation"]),
        (16, ["validation"]),
        (20, ["captions_per_second", "rate", "terms"]),
        (24, ["validation"]),
    ]
    terms = found[2]["terms"]
    loss = json.loads((run.folder / "config.json").read_text())["config"]["loss"]
    weights = {name: loss[f"{name}_weight"] for name in terms if name != "total"}
    assert terms["total"] == pytest.approx(sum(w * terms[name] for name, w in weights.items()), rel=1e-5)
    assert run.best == max(line["validation"]["mean"] for line in found if "validation" in line)


def test_the_criterion_is_the_sum_of_recalls_on_machine_translated_captions(
    run: TrainReport, corpus: Path
) -> None:
    assert run.criterion == (
        "mean SumR of machine-translated captions of the val split in pt; no human target caption is used"
    )
    assert run.best == pytest.approx(oracle(run.folder, corpus, "mt", ["pt"]), abs=1e-9)


def oracle(folder: Path, corpus: Path, role: str, langs: list[str]) -> float:
    """SumR from the finished model and the public metrics, both directions, mean over languages."""
    opened, retriever = Corpus.open(corpus), dragoman.Retriever.load(folder)
    items = [row["item_id"] for row in opened.items.to_pylist() if row["split"] == "val"]
    features = opened.features("toy")
    images = retriever.encode_features(features.vectors[features.rows(items)])
    found = []
    for lang in langs:
        rows = [row for row in opened.captions.to_pylist() if (row["role"], row["lang"]) == (role, lang)]
        rows = [row for row in rows if row["item_id"] in items]
        scores = retriever.encode_text([row["text"] for row in rows]) @ images.T
        relevant = np.array([[row["item_id"] == item for item in items] for row in rows])
        ways = retrieval_metrics(scores, relevant), retrieval_metrics(scores.T, relevant.T)
        found.append(sum(way[f"recall@{k}"] for way in ways for k in (1, 5, 10)))
    return sum(found) / len(found)


@pytest.mark.parametrize(
    ("targets", "setting", "role", "said"),
    [
        (("pt", "de"), {}, "mt", "machine-translated captions of the val split in pt, de"),
        (("pt",), {"validation": "human"}, "human", "human captions of the val split in pt"),
        ((), {}, "human", "SumR of human en captions of the val split"),
    ],
)
def test_other_criteria_are_stated_and_kept(
    corpus: Path, tmp_path: Path, targets: tuple[str, ...], setting: dict[str, str], role: str, said: str
) -> None:
    config = tiny("translate_train", targets, steps="4", **setting)
    report = train(corpus, config, tmp_path, device="cpu")
    assert said in report.criterion
    assert report.best == pytest.approx(oracle(tmp_path, corpus, role, list(targets) or ["en"]), abs=1e-9)


def test_a_finished_run_returns_at_once(
    run: TrainReport, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file: file.stat().st_mtime_ns for file in run.folder.rglob("*") if file.is_file()}
    monkeypatch.setattr("dragoman.training.loop._Run", None)
    again = train(corpus, tiny("nrccr", steps="24", validate_every="0.8"), run.folder, device="cpu")
    assert again == run
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_another_configuration_is_refused_with_what_differs(run: TrainReport, corpus: Path) -> None:
    other = tiny("nrccr", steps="24", validate_every="0.8", loss__sim_weight="0.125", seed="2")
    with pytest.raises(UserError, match=r"holds another run; it differs in loss.sim_weight=[\d.]+ there, 0.125 now; seed=1 there, 2 now. Give another folder"):  # fmt: skip  # noqa: E501
        train(corpus, other, run.folder, device="cpu")


def test_another_corpus_is_refused(run: TrainReport, tmp_path: Path) -> None:
    other = write_world(tmp_path / "corpus", train=39)
    with pytest.raises(UserError, match="it differs in corpus"):
        train(other, tiny("nrccr", steps="24", validate_every="0.8"), run.folder, device="cpu")


def test_a_second_writer_is_told_at_once(corpus: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def on_step(step: int) -> None:
        with pytest.raises(UserError, match="is being written by another dragoman process") as caught:
            train(corpus, short(), tmp_path, device="cpu")
        seen.append(str(caught.value))
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(corpus, short(), tmp_path, device="cpu", on_step=on_step)
    assert len(seen) == 2  # the signal came after the first step was kept; the second was finished
    with sole_writer(tmp_path):  # the lock is free again
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_of_the_last_step(
    corpus: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(signum: int, frame: object) -> None:
        raise SystemExit(143)

    usual = signal.signal(signal.SIGTERM, terminated)
    try:
        expected = KeyboardInterrupt if number == signal.SIGINT else SystemExit
        with pytest.raises(expected):
            train(corpus, short(checkpoint_every="99"), tmp_path, device="cpu", on_step=stopping(1, number))
        assert signal.getsignal(signal.SIGTERM) is terminated
    finally:
        signal.signal(signal.SIGTERM, usual)
    assert not (tmp_path / "manifest.json").exists()
    steps: list[int] = []
    train(corpus, short(checkpoint_every="99"), tmp_path, device="cpu", on_step=steps.append)
    assert steps == [3, 4]


def test_training_stops_when_validation_stalls(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([10.0, 30.0, 20.0, 30.0, 99.0])
    monkeypatch.setattr("dragoman.training.validation.Validation.score", lambda *_: {"mean": next(values)})
    config = short(steps="10", validate_every="0.1", patience="2")
    report = train(corpus, config, tmp_path, device="cpu")
    assert (report.steps, report.best, report.best_step) == (4, 30.0, 2)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_model(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainState.take_step

    def broken(self: TrainState, step: Any, *given: float) -> Any:
        if self.progress.step == 2:
            with torch.no_grad():
                self.model.text_head.linear.weight.fill_(math.nan)
        return whole(self, step, *given)

    monkeypatch.setattr(TrainState, "take_step", broken)
    with pytest.raises(UserError, match=r"broke down at step 3: source nan, .*--set learning_rate=0.0003"):
        train(corpus, short(steps="8"), tmp_path, device="cpu")
    assert dragoman.Retriever.load(tmp_path).encode_text(["um cão"]).shape == (1, 16)
    assert max(line["step"] for line in lines(tmp_path)) == 2
    monkeypatch.undo()
    # The checkpoint is sound as well: the run can go on from it.
    assert train(corpus, short(steps="8"), tmp_path, device="cpu").steps == 8


def test_a_full_disk_leaves_a_model_and_a_run_that_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, saves = Path.write_bytes, 0

    def full(self: Path, content: Any) -> int:
        nonlocal saves
        saves += "last.pt" in self.name or "model.safetensors" in self.name
        if saves > 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return whole(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device"):
        train(corpus, short(), tmp_path, device="cpu")
    monkeypatch.undo()
    assert list(tmp_path.rglob(".*.tmp")) == []
    assert dragoman.Retriever.load(tmp_path).encode_text(["um cão"]).shape == (1, 16)
    assert train(corpus, short(), tmp_path, device="cpu").steps == 4


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_torn_checkpoint_is_one_clear_error(corpus: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(corpus, short(), tmp_path, device="cpu", on_step=stopping(1))
    path = tmp_path / "checkpoints" / "last.pt"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"last\.pt is damaged .* Remove the run's folder and train again"):
        train(corpus, short(), tmp_path, device="cpu")


def test_a_checkpoint_of_another_run_is_told_though_it_fits(corpus: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        with pytest.raises(KeyboardInterrupt):
            config = short().with_settings({"seed": seed})
            train(corpus, config, tmp_path / seed, device="cpu", on_step=stopping(1))
    one, other = (tmp_path / seed / "checkpoints" / "last.pt" for seed in ("1", "2"))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match=r"last\.pt is damaged \(it is of another run\)"):
        train(corpus, short().with_settings({"seed": "1"}), tmp_path / "1", device="cpu")
    one.write_bytes(kept)
    assert train(corpus, short().with_settings({"seed": "1"}), tmp_path / "1", device="cpu").steps == 4


def test_features_of_another_width_train_a_model_of_that_width(tmp_path: Path) -> None:
    corpus = write_world(tmp_path / "corpus", train=8, val=4)
    features = Corpus.open(corpus).features("toy")
    write_features(
        corpus / "features" / "wide", features.ids, np.tile(features.vectors, 2), inputs={"a": "b"}
    )
    config = short().with_settings({"features": "wide", "steps": "1"})
    train(corpus, config, tmp_path / "run", device="cpu")
    retriever = dragoman.Retriever.load(tmp_path / "run")
    assert retriever.encode_features(Corpus.open(corpus).features("wide").vectors).shape[1] == 16
    with pytest.raises(UserError, match=r"the model reads \[N, 48\] of the feature set 'wide'"):
        retriever.encode_features(features.vectors)


def test_a_folder_of_another_kind_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    other = write_world(tmp_path / "other", train=4, val=2)
    with pytest.raises(UserError, match="holds a dragoman-corpus, but a dragoman-run was expected"):
        train(corpus, short(), other, device="cpu")


def test_a_gpu_that_is_not_there_is_named(corpus: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=r"Device 'cuda' was asked for, but torch finds no GPU"):
        train(corpus, short(), tmp_path, device="cuda")


def test_the_cosine_rises_over_the_warm_up_and_falls_to_zero() -> None:
    config = short(warmup="0.1")
    rates = [rate_factor(config, Progress(step=step), 100, 10) for step in (0, 4, 9, 50, 100)]
    warm = [0.1, 0.5 * 0.5 * (1 + math.cos(0.04 * math.pi)), 0.5 * (1 + math.cos(0.09 * math.pi)), 0.5, 0]
    assert rates == pytest.approx(warm, abs=1e-12)


def test_the_released_schedule_decays_by_epoch_and_halves_on_stalls(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = short(schedule="nrccr")
    assert rate_factor(config, Progress(step=25, rate=0.5), 100, 10) == pytest.approx(0.5 * 0.99**2)
    values = iter([5.0, 9.0, 1, 1, 1, 1, 10, 1])
    built = _Run(Corpus.open(corpus), config, tmp_path, {}, Alone())
    monkeypatch.setattr("dragoman.training.validation.Validation.score", lambda *_: {"mean": next(values)})
    rates = []
    with (tmp_path / "history").open("w") as history:
        for _ in range(8):
            built._validate(history)
            rates.append(built.state.progress.rate)
    # No new best, and three validations since the last halving.
    assert rates == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_the_released_run_stops_at_the_eleventh_validation_without_a_new_best(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = _Run(Corpus.open(corpus), tiny("nrccr_released"), tmp_path, {}, Alone())
    values = iter([5.0, *[1.0] * 11])
    monkeypatch.setattr("dragoman.training.validation.Validation.score", lambda *_: {"mean": next(values)})
    stopped = []
    with (tmp_path / "history").open("w") as history:
        for _ in range(12):
            built._validate(history)
            stopped.append(built.state.progress.stopped)
    assert stopped == [False] * 11 + [True]


@pytest.mark.parametrize("standardise", ["true", "false"])
def test_vision_vectors_are_standardised_unless_they_shall_not(corpus: Path, standardise: str) -> None:
    config = short(standardise=standardise)
    opened = Corpus.open(corpus)
    samples = load_samples(opened, config, back="back" in config.loss.needs)
    model = new_model(config, opened, samples, {})
    vectors = opened.features("toy").whole(opened.features("toy").rows(samples.items)).astype(np.float64)
    wanted = vectors.mean(0) if standardise == "true" else np.zeros(vectors.shape[1])
    scale = 1 / vectors.std(0) if standardise == "true" else np.ones(vectors.shape[1])
    np.testing.assert_allclose(model.feature_mean.numpy(), wanted, atol=1e-6)
    np.testing.assert_allclose(model.feature_scale.numpy(), scale, rtol=1e-5)
