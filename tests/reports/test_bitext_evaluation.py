"""Evaluation of a corpus whose items are texts: captions in one language ask for texts in another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reporting_world import FakeModel, write_world

from dragoman.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.evaluator import Evaluator, TextItems
from dragoman.reports.settings import EvaluationSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The items are records, every third one in Portuguese, and nothing has a vector."""
    folder = write_world(tmp_path / "corpus")
    change_items(folder, lambda number, row: row | record(number, row["item_id"]))
    shutil.rmtree(folder / "features")
    return folder


def record(number: int, item_id: str) -> dict[str, object]:
    lang = "en" if number % 3 else "pt"
    return {"kind": "text", "path": None, "text": f"0.8 {item_id}\nthe  record", "lang": lang}


def change_items(folder: Path, change) -> None:
    rows = pq.read_table(folder / "items.parquet").to_pylist()
    changed = [{"text": None, "lang": None} | change(number, row) for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(changed), folder / "items.parquet")
    CORPUS.write(folder, inputs={})


def test_captions_ask_for_texts_in_both_directions(folder: Path, tmp_path: Path) -> None:
    model = FakeModel(noise=1.0)
    report = evaluate(
        model, folder, EvaluationSettings(languages=("pt", "en", "ar")), out=tmp_path / "report"
    )
    items = sorted(Corpus.open(folder).split("test")["item_id"].to_pylist())
    item_IJ = model.encode_text([f"0.8 {item} the record" for item in items])
    for lang in ("pt", "en", "ar"):
        captions = Corpus.open(folder).select(role="human", lang=lang, split="test")
        score_QI = model.encode_text(captions.texts) @ item_IJ.T
        own = [items.index(item) for item in captions.item_ids]
        # Places of the right answers, counted one by one.
        places = [1 + int((row > row[at]).sum()) for row, at in zip(score_QI, own, strict=True)]
        found = report["results"][lang]["direct"]["text_to_image"]
        for k in (1, 5, 10):
            assert found[f"recall@{k}"] == pytest.approx(100 * np.mean([place <= k for place in places]))
        # Of one right answer, mAP is the mean reciprocal rank.
        assert found["map"] == pytest.approx(100 * np.mean([1 / place for place in places]))
        back = []
        for item in sorted(set(own)):
            mine = [row for row, at in enumerate(own) if at == item]
            best = score_QI[mine, item].max()
            back.append(1 + int((score_QI[:, item] > best).sum()))
        there = report["results"][lang]["direct"]["image_to_text"]
        assert there["recall@1"] == pytest.approx(100 * np.mean([place <= 1 for place in back]))
        low, high = report["intervals"][lang]["direct"]["text_to_image"]["recall@1"]
        assert low <= found["recall@1"] <= high
    assert 10 < report["results"]["pt"]["direct"]["text_to_image"]["recall@1"] < 95
    assert (tmp_path / "report" / "report.html").is_file()


def test_all_languages_of_captions_are_asked_where_none_is_named(folder: Path, tmp_path: Path) -> None:
    report = evaluate(FakeModel(), folder, out=tmp_path / "report")
    assert sorted(report["results"]) == ["ar", "en", "pt"]


def test_each_text_is_read_in_its_language(folder: Path) -> None:
    told: list[tuple[str, str]] = []

    class Adapted(FakeModel):
        adapted = ("en", "pt")

        def encode_text(self, texts: Sequence[str], *, languages: Sequence[str] | None = None) -> np.ndarray:
            assert languages is not None
            told.extend(zip(languages, texts, strict=True))
            return super().encode_text(texts)

    evaluator = Evaluator.open(Adapted(), folder, EvaluationSettings(), None)
    images = evaluator.encode_images("test")
    expected = {row["item_id"]: row for row in Corpus.open(folder).split("test").to_pylist()}
    assert sorted(told) == sorted((row["lang"], f"0.8 {name} the record") for name, row in expected.items())
    # The vectors of languages that were read apart stand in the order of the ids.
    alone = FakeModel().encode_text([f"0.8 {name} the record" for name in images.ids])
    np.testing.assert_array_equal(images.vectors, alone)


def test_vectors_that_the_model_was_trained_on_come_first(folder: Path) -> None:
    ids = Corpus.open(folder).items["item_id"].to_pylist()
    write_features(folder / "features" / "toy", ids, np.eye(len(ids), 12) + 0.1, inputs={})
    opened = Evaluator.open(FakeModel(), folder, EvaluationSettings(), None)
    assert not isinstance(opened.features, TextItems)
    # Vectors of other items, or of captions, are none of theirs.
    shutil.rmtree(folder / "features")
    write_features(folder / "features" / "toy", ["other"], np.ones((1, 12)), inputs={})
    assert isinstance(Evaluator.open(FakeModel(), folder, EvaluationSettings(), None).features, TextItems)
    with pytest.raises(UserError, match="has no vector for 24 of 24 items in test"):
        Evaluator.open(FakeModel(), folder, EvaluationSettings(features="toy"), None)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"csls": 0.5}, "--csls"), ({"centre": True}, "--centre"), ({"rerank": 3}, "--rerank")],
)
def test_what_needs_images_is_refused(folder: Path, tmp_path: Path, settings: dict, named: str) -> None:
    with pytest.raises(UserError, match=rf"{named}.*the items are texts without vectors"):
        evaluate(FakeModel(), folder, EvaluationSettings(languages=("pt",), **settings), out=tmp_path / "r")


def test_texts_among_pictures_are_left_out_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_world(tmp_path / "whole")
    mixed = shutil.copytree(whole, tmp_path / "mixed")
    rows = pq.read_table(mixed / "items.parquet").to_pylist()
    more = [{"item_id": f"r{number}", "split": "test"} | record(number, f"r{number}") for number in range(99)]
    pq.write_table(
        pa.Table.from_pylist([{"text": None, "lang": None} | row for row in rows] + more),
        mixed / "items.parquet",
    )
    CORPUS.write(mixed, inputs={})
    reports = [evaluate(FakeModel(), one, out=tmp_path / f"report-{one.name}") for one in (whole, mixed)]
    assert json.dumps(reports[0]["results"]) == json.dumps(reports[1]["results"])
    assert "have no vector" not in caplog.text and "has no vector" not in caplog.text
    corpus = Corpus.open(mixed)
    seen = corpus.with_vectors(corpus.features("toy"), "test", "val")
    assert (len(seen.items), seen.without_vectors) == (len(rows), {})
