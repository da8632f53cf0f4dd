"""The mean over folds, against each fold's own full matrix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reporting_world import FakeModel, vector, write_world

from checksums import without_checksums
from dragoman.errors import UserError
from dragoman.evaluation import retrieval_metrics
from dragoman.pipelines.evaluate import evaluate_folds
from dragoman.reports.settings import EvaluationSettings
from dragoman.reports.terminal import fold_lines

FOLDS = 3


def fold_of(item: str) -> int | None:
    """Of sizes 9, 8 and 7: a mean over queries would not be the mean over folds."""
    number = int(item[1:])
    return (0 if number < 9 else 1 if number < 17 else 2) if item.startswith("t") else None


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world") / "corpus")
    items = pq.read_table(folder / "items.parquet")
    folds = pa.array([fold_of(item) for item in items["item_id"].to_pylist()], pa.int64())
    pq.write_table(items.append_column("fold", folds), folder / "items.parquet")
    without_checksums(folder)
    return folder


@pytest.fixture(scope="module")
def out(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "report"
    evaluate_folds(FakeModel(noise=3), corpus, EvaluationSettings(languages=["pt", "en"]), out=out)
    return out


def by_hand(corpus: Path, lang: str, fold: int) -> tuple[dict[str, float], dict[str, float]]:
    """The captions of a fold against the images of the fold, and no others."""
    rows = pq.read_table(corpus / "captions.parquet").to_pylist()
    rows = [row for row in rows if fold_of(row["item_id"]) == fold]
    chosen = [row for row in rows if row["lang"] == lang and row["role"] == "human"]
    images = sorted({row["item_id"] for row in rows})
    scores = (
        FakeModel(noise=3).encode_text([row["text"] for row in chosen])
        @ np.array([vector(image) for image in images], np.float32).T
    )
    relevant = np.array([[row["item_id"] == image for image in images] for row in chosen])
    captioned = relevant.any(axis=0)
    return retrieval_metrics(scores, relevant), retrieval_metrics(scores.T[captioned], relevant.T[captioned])


@pytest.mark.parametrize("lang", ["pt", "en"])
def test_every_metric_is_the_mean_of_its_values_on_the_folds(corpus: Path, out: Path, lang: str) -> None:
    report = json.loads((out / "report.json").read_text())
    found = report["results"][lang]["direct"]
    folds = [by_hand(corpus, lang, fold) for fold in range(FOLDS)]
    for way, direction in enumerate(("text_to_image", "image_to_text")):
        for metric, value in found[direction].items():
            assert value == pytest.approx(sum(fold[way][metric] for fold in folds) / FOLDS), metric
    sums = [sum(way[f"recall@{k}"] for way in fold for k in (1, 5, 10)) for fold in folds]
    assert found["sum_r"] == pytest.approx(sum(sums) / FOLDS)
    assert found["mean_recall"] == pytest.approx(sum(sums) / FOLDS / 6)
    low, high = report["intervals"][lang]["direct"]["sum_r"]
    assert low < found["sum_r"] < high
    assert report["folds"] == {"0": 9, "1": 8, "2": 7}


def test_each_fold_has_a_report_of_its_own(corpus: Path, out: Path) -> None:
    for fold in range(FOLDS):
        report = json.loads((out / f"fold-{fold}" / "report.json").read_text())
        there, back = by_hand(corpus, "pt", fold)
        assert report["results"]["pt"]["direct"]["text_to_image"] == pytest.approx(there)
        assert report["results"]["pt"]["direct"]["image_to_text"] == pytest.approx(back)
        assert (out / f"fold-{fold}" / "report.html").is_file()


def test_the_fusion_weight_is_still_chosen_on_the_whole_validation_split(out: Path) -> None:
    for fold in range(FOLDS):
        report = json.loads((out / f"fold-{fold}" / "report.json").read_text())
        assert report["languages"]["pt"]["fusion"]["chosen_on"].startswith("32 human pt captions")


def test_it_says_over_what_the_mean_is(out: Path) -> None:
    report = json.loads((out / "report.json").read_text())
    lines = list(fold_lines(report))
    assert lines[-1] == "mean over 3 folds of 7 to 9 images, each a gallery of its own"
    (english,) = [line for line in lines if line.startswith("en ")]
    assert f"{report['results']['en']['direct']['sum_r']:.1f}" in english


def test_items_without_folds_are_refused(corpus: Path, tmp_path: Path) -> None:
    plain = write_world(tmp_path / "plain")
    with pytest.raises(UserError, match=r"24 of 24 items of split 'test' .* are in no fold: .*--test 5k"):
        evaluate_folds(
            FakeModel(noise=3), plain, EvaluationSettings(languages=["en"]), out=tmp_path / "report"
        )
    with pytest.raises(UserError, match=r"16 of 16 items of split 'val'"):
        evaluate_folds(
            FakeModel(noise=3),
            corpus,
            EvaluationSettings(languages=["en"], split="val"),
            out=tmp_path / "report",
        )
    assert not (tmp_path / "report").exists()
