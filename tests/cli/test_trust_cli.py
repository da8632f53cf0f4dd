"""`dragoman trust` from the outside: exit status, output, files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dragoman.cli import dragoman
from dragoman.corpus.corpus import CAPTIONS, ITEMS, Corpus
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.pipelines.check import check

PAIRS = [
    ("A dog runs .", "Um cão corre ."),
    ("A cat runs .", "Um gato corre ."),
    ("A boy runs .", "A boy runs ."),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    captions: list[dict[str, object]] = []
    for n, (source, text) in enumerate(PAIRS):
        item = {"item_id": f"i{n}"}
        captions.append(item | {"caption_id": f"en{n}", "lang": "en", "role": "human", "text": source})
        machine = {
            "caption_id": f"pt{n}",
            "lang": "pt",
            "role": "mt",
            "source_id": f"en{n}",
            "engine": "<one>",
        }
        captions.append(item | machine | {"text": text, "engine": "<one>"})
    folder = tmp_path / "corpus"
    folder.mkdir()
    items = [{"item_id": f"i{n}", "kind": "image", "split": "train"} for n in range(len(PAIRS))]
    pq.write_table(pa.Table.from_pylist(items, ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(captions, CAPTIONS), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    return folder


def test_trust_prints_a_summary_and_the_place_of_the_report(corpus: Path) -> None:
    done = CliRunner().invoke(dragoman, ["trust", str(corpus)])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"lang +engine +captions +failed +median trust +below 0\.1", lines[0])
    # Seven signals without a shortfall, none of quality: the odds are exp((18 + 7 / 2) / 10).
    assert re.match(r"pt +<one> +3 +1 +0\.896 +33\.3%", lines[1])
    assert lines[2:] == [f"{corpus}/trust/report.html"]
    assert Corpus.open(corpus).captions["trust"].null_count == 3


def test_worst_prints_source_translation_and_signals(corpus: Path) -> None:
    done = CliRunner().invoke(dragoman, ["trust", str(corpus), "--worst", "1"])
    shown = done.stdout.split("worst in pt\n")[1].splitlines()
    assert re.fullmatch(r"0\.0\d\d  pt2  <one>  failed: copied", shown[0])
    assert shown[1:3] == ["       source  A boy runs .", "       text    A boy runs ."]
    assert "copied 1.00" in shown[3]


def test_the_report_is_one_escaped_page_that_is_the_same_again(corpus: Path) -> None:
    assert CliRunner().invoke(dragoman, ["trust", str(corpus)]).exit_code == 0
    page = (corpus / "trust/report.html").read_bytes()
    text = page.decode()
    assert "&lt;one&gt;" in text and "<one>" not in text
    assert "failed: copied" in text and "<svg" in text
    assert not re.findall(r'(?:src|href)="(?!#)', text.replace("xlink:href", "")), "it loads nothing"
    assert CliRunner().invoke(dragoman, ["trust", str(corpus)]).exit_code == 0
    assert (corpus / "trust/report.html").read_bytes() == page


def test_the_folder_is_sound_after_captions_changed(corpus: Path) -> None:
    pages = []
    for text in ("Um cão corre .", "Um cão corre muito depressa ."):
        opened = Corpus.open(corpus)
        rows = opened.captions.to_pylist()
        rows[1]["text"] = text
        opened.replace_captions(pa.Table.from_pylist(rows, CAPTIONS))
        assert CliRunner().invoke(dragoman, ["trust", str(corpus)]).exit_code == 0
        pages.append((corpus / "trust/report.html").read_bytes())
        assert [one.damages for one in check(corpus)] == [(), ()]
    assert pages[0] != pages[1]


def test_the_report_needs_no_matplotlib_for_its_histograms(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert CliRunner().invoke(dragoman, ["trust", str(corpus)]).exit_code == 0
    text = (corpus / "trust/report.html").read_text(encoding="utf-8")
    assert '<svg class="histogram"' in text and "failed: copied" in text


def test_a_folder_that_is_no_corpus_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(dragoman, ["trust", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, UserError)
    assert "nowhere does not exist, so it is no complete corpus folder" in str(done.exception)
