"""Recorded translations."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import UserError
from dragoman.translation.engine import Rejected, open_engine

ROWS = [
    {"source_lang": "en", "target_lang": "pt", "text": "a dog", "translation": "um cão"},
    {"source_lang": "en", "target_lang": "es", "text": "a dog", "translation": "un perro"},
    {"text": "two\nlines", "translation": "duas\u2028linhas"},
    {"source_lang": "eng", "target_lang": "pt-BR", "text": "a bus", "translation": "um ônibus"},
]


def record(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_lines_are_looked_up_for_their_pair(tmp_path: Path, name: str) -> None:
    engine = open_engine(f"recorded:{record(tmp_path / name, ROWS)}", "en", "pt")
    assert engine.translate(["a bus", "a dog", "two lines"], 1) == ["um ônibus", "um cão", "duas linhas"]
    assert engine.name == f"recorded:{name}"


def test_a_line_that_was_not_recorded_is_rejected(tmp_path: Path) -> None:
    engine = open_engine(f"recorded:{record(tmp_path / 't.jsonl', ROWS)}", "en", "pt")
    reason = Rejected("t.jsonl has no translation of it into pt")
    assert engine.translate(["a dog", "a cat"], 1) == ["um cão", reason]


def test_the_version_is_the_content(tmp_path: Path) -> None:
    first = open_engine(f"recorded:{record(tmp_path / 't.jsonl', ROWS)}", "en", "pt").version
    second = open_engine(f"recorded:{record(tmp_path / 't.jsonl', ROWS[:3])}", "en", "pt").version
    assert first != second


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no translation from en to pt: it is empty"),
        ('{"text": "a", "translation": "b", "source_lang": "de", "target_lang": "fr"}', "it has de-fr"),
        (
            '{"text": "a"}',
            r"line 1: no recorded translation \(KeyError\('translation'\)\). Expected one JSON",
        ),
        ("[1, 2]", "line 1: no recorded translation"),
        ("\n{", "line 2: no recorded translation"),
    ],
)
def test_a_file_that_does_not_serve_names_the_line_and_the_fix(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        open_engine(f"recorded:{path}", "en", "pt")


def test_a_missing_file_is_told() -> None:
    with pytest.raises(UserError, match=r"nowhere\.jsonl does not exist"):
        open_engine("recorded:nowhere.jsonl", "en", "pt")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("recorded", r"needs an argument, for example 'recorded:translations\.jsonl'"),
        ("record:t.jsonl", "No translation engine 'record'. Known: apertium, ctranslate2, openai, recorded"),
        ("recorded:t.jsonl?beams=3", "The engine 'recorded' has no setting 'beams'. Known here: none"),
        ("transformers:x?beams=many", "The engine 'transformers': beams must be a whole number, got 'many'"),
        ("transformers:x?beams=0", "beams must be at least 1, got 0"),
    ],
)
def test_a_spec_that_cannot_be_read_is_told(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_engine(spec, "en", "pt")
