"""The row `reranked`: the best hits of `direct` in the order of a fusion encoder, and nothing mixed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from reporting_world import WIDTH, FakeModel, vector, write_world

from dragoman.cli.evaluate import command
from dragoman.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.errors import UserError
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports import rows
from dragoman.reports.rows import Matcher
from dragoman.reports.settings import EvaluationSettings

DEPTH = 3


class Knowing(FakeModel):
    """Its fusion encoder knows every answer, and counts how often it was asked."""

    regions = 1

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.asked: Counter[tuple[str, bytes]] = Counter()

    def rerank(self, texts: list[str], regions: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        assert regions.shape[1:] == (1, WIDTH)
        self.asked.update((texts[text], regions[image].tobytes()) for text, image in pairs)
        named = np.array([3 * vector(text.split()[1]) for text in texts])
        gap = named[pairs[:, 0]] - regions[pairs[:, 1], 0]
        return -np.abs(gap).sum(1).round(1).astype(np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus")


@pytest.fixture(scope="module")
def report(corpus: Path) -> tuple[dict[str, Any], Path, Knowing]:
    model, out = Knowing(noise=2.0), corpus.parent / "report"
    return (
        evaluate(model, corpus, EvaluationSettings(languages=["pt", "en"], rerank=DEPTH), out=out),
        out,
        model,
    )


def rows_of(folder: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    lines = pq.read_table(folder / "queries.parquet").to_pylist()
    return {(line["language"], line["direction"], line["row"], line["qid"]): line for line in lines}


def test_what_knows_the_answer_ranks_it_first_within_the_block_and_leaves_the_rest(
    report: tuple[dict[str, Any], Path, Knowing],
) -> None:
    lines = rows_of(report[1])
    moved = Counter()
    for (language, direction, row, qid), line in lines.items():
        if row != "reranked":
            continue
        direct = lines[language, direction, "direct", qid]
        # Captions of one item tie, so that several positives share the places at the top.
        inside = [rank for rank in direct["positive_ranks"] if rank <= DEPTH]
        expected = [float(i) for i in range(1, len(inside) + 1)]
        expected += [rank for rank in direct["positive_ranks"] if rank > DEPTH]
        assert line["positive_ranks"] == expected
        assert line["gallery"] == direct["gallery"]
        assert line["top_ids"][DEPTH:] == direct["top_ids"][DEPTH:]
        assert sorted(line["top_ids"][:DEPTH]) == sorted(direct["top_ids"][:DEPTH])
        moved[direct["rank"] != line["rank"]] += 1
    # The model is neither right nor wrong everywhere, or this test would show nothing.
    assert moved[True] > 10 and moved[False] > 10


def test_other_rows_are_as_without_re_ranking(
    report: tuple[dict[str, Any], Path, Knowing], corpus: Path, tmp_path: Path
) -> None:
    plain = evaluate(
        FakeModel(noise=2.0), corpus, EvaluationSettings(languages=["pt", "en"]), out=tmp_path / "plain"
    )
    results = report[0]["results"]
    for language, found in plain["results"].items():
        assert list(results[language]) == [*found, "reranked"]
        for row, figures in found.items():
            assert results[language][row] == figures
    assert report[0]["settings"]["rerank"] == DEPTH
    # Consistency is measured on complete ranks, of this row as of the others.
    assert '"reranked"' in json.dumps(report[0]["consistency"])
    assert "re-ranked" in (report[1] / "report.html").read_text(encoding="utf-8")


def test_every_pair_is_scored_once(report: tuple[dict[str, Any], Path, Knowing]) -> None:
    asked = report[2].asked
    assert len(asked) > 250
    assert set(asked.values()) == {1}


def test_scores_do_not_depend_on_how_many_pairs_are_held(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = Corpus.open(corpus).features("toy")
    texts = ["1 t03 x", "1 t05 y", "1 t03 x", "1 t07 z"] * 4
    items = [f"t{number:02d}" for number in range(16)]
    whole = Matcher(Knowing(), features).scores(texts, items)
    expected = [
        -np.abs(3 * vector(text.split()[1]) - features.whole(features.rows([item]))[0]).sum().round(1)
        for text, item in zip(texts, items, strict=True)
    ]
    np.testing.assert_allclose(whole, expected, atol=0.1001)
    monkeypatch.setattr(rows, "VALUES", 3 * WIDTH)
    matcher = Matcher(Knowing(), features)
    np.testing.assert_array_equal(matcher.scores(texts[:5], items[:5]), whole[:5])
    np.testing.assert_array_equal(matcher.scores(texts, items), whole)


def test_a_model_or_features_that_do_not_fit_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no fusion encoder, so it cannot re-rank"):
        evaluate(FakeModel(), corpus, EvaluationSettings(languages=["en"], rerank=5), out=tmp_path / "report")
    ids = Corpus.open(corpus).features("toy").ids
    write_features(corpus / "features" / "cells", ids, np.zeros((len(ids), 4, WIDTH)), inputs={})
    with pytest.raises(UserError, match="holds 4 vectors an image, but the fusion encoder reads 1"):
        evaluate(
            Knowing(features="cells"),
            corpus,
            EvaluationSettings(languages=["en"], rerank=5),
            out=tmp_path / "report",
        )
    assert not (tmp_path / "report").exists()
    with pytest.raises(UserError, match="rerank must be 0 or more, got -1"):
        evaluate(Knowing(), corpus, EvaluationSettings(languages=["en"], rerank=-1), out=tmp_path / "report")


def test_the_command_says_how_deep(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["run", "corpus", "--out", str(tmp_path / "x"), "--rerank", "-1"])
    assert done.exit_code == 2
    assert "-1 is not in the range x>=0" in done.output
