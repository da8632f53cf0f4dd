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


def test_the_script_and_the_region_that_were_asked_for_count(tmp_path: Path) -> None:
    tags = {"pt": "cão", "pt_BR": "cachorro", "zh-Hans": "狗（简）", "zh-Hant": "狗（繁）", "tlh": "targh"}
    rows = [{"target_lang": tag, "text": "a dog", "translation": text} for tag, text in tags.items()]
    for order in (rows, rows[::-1]):
        file = record(tmp_path / "t.jsonl", order)
        for tag, text in [("pt", "cão"), ("pt-BR", "cachorro"), ("zh-TW", "狗（繁）"), ("zh-CN", "狗（简）")]:
            assert open_engine(f"recorded:{file}", "en", tag).translate(["a dog"], 1) == [text]
        with pytest.raises(UserError, match="no translation from en to sr-Latn"):
            open_engine(f"recorded:{file}", "en", "sr-Latn")


def test_other_translations_of_a_text_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"text": "a dog", "translation": text} for text in ("cão", "cão", "cachorro")]
    assert open_engine(f"recorded:{record(tmp_path / 't.jsonl', rows)}", "en", "pt").translate(
        ["a dog"], 1
    ) == ["cachorro"]
    assert [record.getMessage().partition(" has ")[2] for record in caplog.records] == [
        "other translations of 1 texts further down; the last of each counts"
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_of_windows_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a dog", "translation": "um cão"}\r\n', encoding=encoding)
    assert open_engine(f"recorded:{path}", "en", "pt").translate(["a dog"], 1) == ["um cão"]


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
        (
            "record:t.jsonl",
            "No translation engine 'record'. Known: apertium, ctranslate2, dictionary, openai, recorded",
        ),
        ("recorded:t.jsonl?beams=3", "The engine 'recorded' has no setting 'beams'. Known here: none"),
        ("transformers:x?beams=many", "The engine 'transformers': beams must be a whole number, got 'many'"),
        ("transformers:x?beams=0", "beams must be at least 1, got 0"),
    ],
)
def test_a_spec_that_cannot_be_read_is_told(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_engine(spec, "en", "pt")
