"""`dragoman translate`: exit statuses, output and what is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import Done, dragoman
from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.format import CORPUS

TEXTS = ["a dog", "a cat", "a dog", "a fish"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    items = [{"item_id": f"i{n}", "kind": "image", "split": "train"} for n in range(4)]
    rows = [
        {"caption_id": f"c{n}", "item_id": f"i{n}", "lang": "en", "role": "human", "text": text}
        for n, text in enumerate(TEXTS)
    ]
    pq.write_table(pa.Table.from_pylist(items, ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(rows, CAPTIONS), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    for name, pairs in {
        "there.jsonl": {"a dog": "um cão", "a cat": "um gato"},
        "more.jsonl": {"a dog": "um cão", "a cat": "um gato", "a fish": "um peixe"},
        "back.jsonl": {"um cão": "a hound", "um gato": "a cat", "um peixe": "a fish"},
    }.items():
        lines = (json.dumps({"text": text, "translation": other}) for text, other in pairs.items())
        (tmp_path / name).write_text("\n".join(lines))
    return folder


def translate(corpus: Path, *arguments: str) -> Done:
    return dragoman("translate", corpus, *arguments, at=corpus.parent)


def texts(corpus: Path, role: str) -> list[str]:
    rows = pq.read_table(corpus / "captions.parquet").to_pylist()
    return [row["text"] for row in rows if row["role"] == role]


def test_a_job_prints_its_counts_and_a_second_one_translates_nothing(corpus: Path) -> None:
    command = ("--to", "pt", "--engine", "recorded:more.jsonl", "--back", "recorded:back.jsonl")
    done = translate(corpus, *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "en to pt: 3 distinct lines, 3 translated, 0 from the cache, 0 rejected",
        "pt to en: 3 distinct lines, 3 translated, 0 from the cache, 0 rejected",
    ]
    assert texts(corpus, "mt") == ["um cão", "um gato", "um cão", "um peixe"]
    assert texts(corpus, "back") == ["a hound", "a cat", "a hound", "a fish"]

    again = translate(corpus, *command)
    assert again.stdout.splitlines()[0] == (
        "en to pt: 3 distinct lines, 0 translated, 3 from the cache, 0 rejected"
    )
    assert len(texts(corpus, "mt")) == 4


def test_rejected_captions_give_exit_status_3_and_a_list(corpus: Path) -> None:
    done = translate(corpus, "--to", "pt", "--engine", "recorded:there.jsonl")
    assert done.returncode == 3
    assert done.stdout == "en to pt: 3 distinct lines, 2 translated, 0 from the cache, 1 rejected\n"
    assert f"1 captions were rejected; see {corpus}/rejected/translate-en-pt.jsonl" in done.stderr
    (row,) = map(json.loads, (corpus / "rejected" / "translate-en-pt.jsonl").read_text().splitlines())
    assert (row["caption_id"], row["text"]) == ("c3", "a fish")
    assert row["reason"] == "there.jsonl has no translation of it into pt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--to", "ptx", "--engine", "recorded:more.jsonl"),
            "Error: Unknown language 'ptx'. Did you mean pt",
        ),
        (
            ("--to", "pt", "--engine", "apertim:eng-spa"),
            "Error: No translation engine 'apertim'. Known: apertium",
        ),
        (
            ("--to", "pt", "--engine", "recorded:no.jsonl"),
            "Error: The file of recorded translations no.jsonl",
        ),
        (
            ("--to", "pt", "--from", "de", "--engine", "recorded:more.jsonl"),
            "no human caption in 'de'. It has 4 en",
        ),
        (
            ("--to", "pt", "--engine", "recorded:more.jsonl", "--split", "dev"),
            "'dev' is none of train, val, test",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    corpus: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = (corpus / "captions.parquet").read_bytes()
    done = translate(corpus, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (corpus / "captions.parquet").read_bytes() == before


def test_help_shows_an_example() -> None:
    done = dragoman("translate", "--help")
    assert 'dragoman translate corpus/ --to pt --engine "apertium:eng-spa|es-pt"' in done.stdout
