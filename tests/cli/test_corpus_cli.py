"""`dragoman corpus`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from command_line import dragoman

CAPTIONS = [
    {"caption_id": "i#en", "item_id": "i", "split": "train", "lang": "en", "role": "human", "text": "a dog"},
    {"caption_id": "i#ar", "item_id": "i", "split": "train", "lang": "ar", "role": "mt", "text": "كلب",
     "source_id": "i#en", "engine": "e1"},
    {"caption_id": "j#en", "item_id": "j", "split": "test", "lang": "en", "role": "human", "text": "a boat"},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(caption) + "\n" for caption in CAPTIONS))
    np.save(tmp_path / "v.npy", np.ones((2, 3)))
    (tmp_path / "ids.txt").write_text("i\nj\n")
    return tmp_path


def test_a_corpus_is_built_and_shown(folder: Path) -> None:
    given = ["--features", "v.npy", "--features", "v.npy", "--feature-ids", "ids.txt"]
    names = ["--feature-name", "first", "--feature-name", "second"]
    done = dragoman("-q", "corpus", "jsonl", "c.jsonl", *given, *names, "--out", "out", at=folder)
    assert done == (0, "out: 2 items, 3 captions\n", "")
    assert dragoman("-q", "corpus", "show", "out", at=folder) == (
        0,
        """\
lang      role   engine  train  val  test  total
ar        mt     e1          1    -     -      1
en        human  -           1    -     1      2
captions                     2    0     1      3
items                        1    0     1      2

items: 2 without path

features  width  items
first         3      2
second        3      2

ar  mt     i#ar  \u2068كلب\u2069
en  human  i#en  a dog
en  human  j#en  a boat
""",
        "",
    )


def test_show_speaks_json(folder: Path) -> None:
    (folder / "i.jpg").touch()
    media = ["--media-root", ".", "--media-pattern", "{item_id}.jpg"]
    dragoman("-q", "corpus", "jsonl", "c.jsonl", *media, "--out", "out", at=folder)
    status, out, _ = dragoman("-q", "corpus", "show", "out", "--json", "--samples", "0", at=folder)
    assert status == 0
    assert json.loads(out) == {
        "items": {"train": 1, "val": 0, "test": 1},
        "files": {"present": 1, "missing": 0, "remote": 0, "none": 1, "text": 0},
        "captions": [
            {"lang": "ar", "role": "mt", "engine": "e1", "splits": {"train": 1, "val": 0, "test": 0}},
            {"lang": "en", "role": "human", "engine": None, "splits": {"train": 1, "val": 0, "test": 1}},
        ],
        "features": {},
        "samples": [],
    }


def test_a_bad_line_ends_with_2_or_is_collected_with_3(folder: Path) -> None:
    with (folder / "c.jsonl").open("a") as file:
        file.write('{"item_id": "k"}\n')
    status, out, err = dragoman("-q", "corpus", "jsonl", "c.jsonl", "--out", "out", at=folder)
    assert (status, out) == (2, "")
    assert err == (
        "Error: c.jsonl, line 4: lang is missing. Add it to the record, or pass --lang. "
        "To collect bad lines instead, pass --reject-file FILE.\n"
    )
    assert not (folder / "out").exists()
    done = dragoman("-q", "corpus", "jsonl", "c.jsonl", "--reject-file", "r.jsonl", "--out", "out", at=folder)
    assert done == (3, "out: 2 items, 3 captions\n", "rejected: 1 (see r.jsonl)\n")
    assert json.loads((folder / "r.jsonl").read_text())["raw"] == '{"item_id": "k"}'


def test_a_table_becomes_a_corpus(folder: Path) -> None:
    (folder / "t.csv").write_text("photo;title\ni;a dog\n")
    columns = ["--column", "item_id=photo", "--column", "text=title", "--delimiter", ";"]
    rest = ["--lang", "en", "--split-fractions", "1,0,0", "--out", "out"]
    assert dragoman("-q", "corpus", "csv", "t.csv", *columns, *rest, at=folder) == (
        0,
        "out: 1 items, 1 captions\n",
        "",
    )


def test_a_folder_becomes_a_corpus_once(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "a.jpg").touch()
    (folder / "photos" / "a.txt").write_text("a dog\n")
    command = ["corpus", "folder", "photos", "--lang", "en", "--split", "train", "--out", "out"]
    assert dragoman("-q", *command, at=folder) == (0, "out: 1 items, 1 captions\n", "")
    again = "out: 1 items, 1 captions (as before: same inputs, same options)\n"
    assert dragoman("-q", *command, at=folder) == (0, again, "")
    assert dragoman("-q", *command, "--overwrite", at=folder) == (0, "out: 1 items, 1 captions\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["csv", "t.csv", "--column", "text", "--out", "out"], "--column takes KEY=HEADER, got 'text'"),
        (["jsonl", "c.jsonl", "--features", "v.npy", "--out", "out"], "--feature-ids 0 times"),
        (["jsonl", "c.jsonl", "--feature-name", "x", "--out", "out"], "--feature-name 1 times"),
        (["jsonl", "c.jsonl", "--split-fractions", "most", "--out", "out"], "--split-fractions is 'most'"),
        (["jsonl", "c.jsonl", "--split", "dev", "--out", "out"], "--split is 'dev', but one of train"),
        (["jsonl", "none.jsonl", "--out", "out"], "none.jsonl does not exist"),
        (["show", "out"], "out does not exist"),
    ],
)
def test_a_call_that_does_not_fit_is_explained(folder: Path, words: list[str], message: str) -> None:
    status, out, err = dragoman("-q", "corpus", *words, at=folder)
    assert (status, out) == (2, "")
    assert message in err
    assert not (folder / "out").exists()


def test_frames_are_named_after_vectors_and_counted(folder: Path) -> None:
    (folder / "clips").mkdir()
    for count, name in ((3, "i"), (1500, "j")):
        np.save(folder / "clips" / f"{name}.npy", np.ones((count, 2)))
    given = ["--features", "v.npy", "--feature-ids", "ids.txt", "--frames", "clips"]
    names = ["--feature-name", "first", "--feature-name", "second"]
    assert dragoman("-q", "corpus", "jsonl", "c.jsonl", *given, *names, "--out", "out", at=folder)[0] == 0
    _, out, _ = dragoman("-q", "corpus", "show", "out", "--samples", "0", at=folder)
    expected = """\
features  width  items  frames
first         3      2       -
second        2      2   1,503
"""
    assert out.endswith(expected)
    status, _, err = dragoman(
        "-q", "corpus", "jsonl", "c.jsonl", *given, *names[:2], "--out", "two", at=folder
    )
    assert status == 2
    assert "--features and --frames stand 2 times and --feature-name 1 times" in err


@pytest.mark.parametrize("verb", ["jsonl", "csv", "folder", "show"])
def test_help_shows_an_example(folder: Path, verb: str) -> None:
    status, out, _ = dragoman("-q", "corpus", verb, "--help", at=folder)
    assert status == 0
    assert f"dragoman corpus {verb} " in out
