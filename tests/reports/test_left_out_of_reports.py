"""Evaluation after some photos got no vectors: the report of the corpus without these photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reporting_world import FakeModel, edit_captions, vector, write_world

from checksums import without_checksums
from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.pipelines.evaluate import evaluate, evaluate_folds
from dragoman.reports.compare import compare
from dragoman.reports.settings import EvaluationSettings
from dragoman.reports.terminal import fold_lines, result_lines
from left_out import lacking_items, lacking_vectors

GONE = ("t03", "t20", "v05")
SETTINGS = EvaluationSettings(languages=["pt", "en", "ar"])


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus that lacks the vectors of some items, and one that lacks the items."""
    place = tmp_path_factory.mktemp("world")
    whole = write_world(place / "whole")
    items = pq.read_table(whole / "items.parquet")
    folds = [int(item[1:]) % 2 if item.startswith("t") else None for item in items["item_id"].to_pylist()]
    pq.write_table(items.append_column("fold", pa.array(folds, pa.int64())), whole / "items.parquet")
    without_checksums(whole)
    return lacking_vectors(whole, place / "lacking", *GONE), lacking_items(whole, place / "without", *GONE)


def measured(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in ("results", "intervals", "consistency", "common")}


def test_a_report_is_that_of_the_corpus_without_these_images(
    corpora: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found, expected = (
        evaluate(
            FakeModel(), corpus, SETTINGS, out=tmp_path / corpus.name, translate_test_run=FakeModel(2, 0.5)
        )
        for corpus in corpora
    )
    assert measured(found) == measured(expected)
    tables = [pq.read_table(tmp_path / corpus.name / "queries.parquet") for corpus in corpora]
    assert tables[0].equals(tables[1])
    portuguese = found["languages"]["pt"]
    assert portuguese["gallery"] == {"text_to_image": 22, "image_to_text": 42}
    fusion = expected["languages"]["pt"]["fusion"]
    assert fusion["chosen_on"] == "30 human pt captions of the validation split"
    fusion["chosen_on"] += " (images left out for want of vectors: 1)"
    assert found["languages"] == expected["languages"]
    assert found["without_vectors"] == {"test": ["t03", "t20"]} and "without_vectors" not in expected
    said = "Images left out of test for want of vectors, with their captions: 2 (t03, t20)"
    assert said in list(result_lines(found))
    assert f"<p>{said}</p>" in (tmp_path / "lacking" / "report.html").read_text()
    assert "for want of vectors" not in (tmp_path / "without" / "report.html").read_text()
    # Once of the split that is evaluated, and once of the one that chose the weights.
    told = [one.split("no vector for ")[1].split(":")[0] for one in caplog.messages if "no vector for" in one]
    assert told == ["2 of 24 items in test", "1 of 16 items in val"]


def test_the_second_model_takes_its_own_images_away(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    lacking = lacking_vectors(corpora[0], tmp_path / "lacking")
    ids = [f"t{number:02d}" for number in range(24) if number != 7]
    write_features(lacking / "features" / "other", ids, np.array([3 * vector(one) for one in ids]), inputs={})
    other = FakeModel(2, 0.5, features="other")
    found = evaluate(FakeModel(), lacking, SETTINGS, out=tmp_path / "a", translate_test_run=other)
    without = lacking_items(corpora[1], tmp_path / "without", "t07")
    same = FakeModel(2, 0.5)
    expected = evaluate(FakeModel(), without, SETTINGS, out=tmp_path / "b", translate_test_run=same)
    assert measured(found) == measured(expected)
    assert found["without_vectors"] == {"test": ["t03", "t20", "t07"]}


def test_folds_leave_out_what_has_no_vectors(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    settings = EvaluationSettings(languages=["pt"])
    found, expected = (
        evaluate_folds(FakeModel(), corpus, settings, out=tmp_path / corpus.name) for corpus in corpora
    )
    assert (found["results"], found["intervals"]) == (expected["results"], expected["intervals"])
    assert found["folds"] == {"0": 11, "1": 11}
    assert found["without_vectors"] == {"test": ["t20", "t03"]}
    assert list(fold_lines(found))[-1].endswith("with their captions: 2 (t20, t03)")


def test_a_split_without_most_vectors_is_refused_where_it_is_read(
    corpora: tuple[Path, Path], tmp_path: Path
) -> None:
    val = lacking_vectors(corpora[0], tmp_path / "val", *(f"v{number:02d}" for number in range(16)))
    with pytest.raises(UserError, match=r"no vector for 16 of 16 items in val: v00, v01, v02, …\. More than"):
        evaluate(FakeModel(), val, SETTINGS, out=tmp_path / "report")
    # English is not translated, so no weight is chosen there.
    only = EvaluationSettings(languages=["en"])
    assert evaluate(FakeModel(), val, only, out=tmp_path / "en")["without_vectors"] == {
        "test": ["t03", "t20"]
    }
    edit_captions(
        val, lambda rows: [one for one in rows if one["role"] == "human" or one["item_id"][0] == "t"]
    )
    untranslated = evaluate(FakeModel(), val, EvaluationSettings(languages=["pt"]), out=tmp_path / "pt")
    assert list(untranslated["languages"]["pt"]["missing_rows"]) == ["fused"]
    test = lacking_vectors(corpora[0], tmp_path / "test", *(f"t{number:02d}" for number in range(13)))
    with pytest.raises(UserError, match=r"no vector for 14 of 24 items in test"):
        evaluate(FakeModel(), test, only, out=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_reports_without_other_images_are_not_compared(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    def report(name: str, *gone: str) -> Path:
        corpus = lacking_vectors(corpora[0], tmp_path / f"corpus-{name}", *gone)
        # The last image has no Portuguese caption: it is in the gallery alone.
        evaluate(FakeModel(), corpus, EvaluationSettings(languages=["pt"]), out=tmp_path / name)
        return tmp_path / name

    a, b, c = report("a"), report("b"), report("c", "t23")
    (sum_r,) = (one for one in compare([a], [b]) if (one.metric, one.pair.row) == ("sum_r", "direct"))
    assert (sum_r.difference, sum_r.a) == (
        0,
        json.loads((a / "report.json").read_text())["results"]["pt"]["direct"]["sum_r"],
    )
    with pytest.raises(UserError) as caught:
        compare([a], [b], [c])
    assert str(caught.value) == (
        f"The reports left out different images for want of vectors: {a} 2 (t03, t20), {c} 3 (t03, t20, "
        "t23). Give all images vectors (dragoman features), and evaluate again."
    )
    # Seeds of one system are averaged query by query, which is no other case.
    with pytest.raises(UserError, match="left out different images"):
        compare([a, c], [b, b])
