"""`dragoman lexicon`: output, exit statuses, and what is stored."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dragoman.cli import dragoman
from dragoman.cli.lexicon import command
from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.translation.engines import recorded

ANSWERS = {"cão": "Dog .", "cadela": "Dog .", "gato": "Cat .", "anunciasses": "You announced ."}
WORDS = "Rio\ncão\nrelva\ngato\ncadela\nanunciasses\n"
PAGE = (Path(__file__).parents[2] / "docs" / "lexicon.md").read_text(encoding="utf-8")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    item = {"item_id": "i", "kind": "image", "split": "train"}
    caption = {"caption_id": "c", "item_id": "i", "lang": "en", "role": "human", "text": "a dog"}
    pq.write_table(pa.Table.from_pylist([item], ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist([caption], CAPTIONS), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    lines = (json.dumps({"text": f"{word} .", "translation": text}) for word, text in ANSWERS.items())
    (tmp_path / "recorded.jsonl").write_text("\n".join(lines))
    (tmp_path / "words.txt").write_text(WORDS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGOMAN_HOME", str(tmp_path / "home"))
    return folder


def arguments(**changes: str | None) -> list[str]:
    options = {"lang": "pt", "words": "words.txt", "engine": "recorded:recorded.jsonl"} | changes
    return [
        "lexicon",
        "corpus",
        *(part for name, value in options.items() if value for part in (f"--{name}", value)),
    ]


def test_the_lexicon_is_written_and_its_place_printed(corpus: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from dragoman.cli import main; main()", *arguments()],
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "corpus/lexicon/pt.tsv: 4 of 5 words have a translation\n"
    assert (
        corpus / "lexicon" / "pt.tsv"
    ).read_bytes() == "cão\tdog\ngato\tcat\ncadela\tdog\nanunciasses\tyou announced\n".encode()


def test_a_second_call_translates_nothing_and_writes_the_same(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = CliRunner().invoke(dragoman, arguments())
    assert first.exit_code == 0, first.output
    content = (corpus / "lexicon" / "pt.tsv").read_bytes()
    monkeypatch.setattr(recorded.RecordedEngine, "translate", lambda *_: pytest.fail("the engine was asked"))
    again = CliRunner().invoke(dragoman, arguments())
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert (corpus / "lexicon" / "pt.tsv").read_bytes() == content


def test_counts_are_grouped_by_thousands(corpus: Path) -> None:
    letters = "abcdefghij"
    words = ["cão", *(f"x{a}{b}{c}" for a in letters for b in letters for c in letters)]
    Path("words.txt").write_text("\n".join(words), encoding="utf-8")
    # Lines that are not recorded are rejected, which the engine survives.
    done = CliRunner().invoke(dragoman, arguments())
    assert done.stdout == "corpus/lexicon/pt.tsv: 1 of 1,001 words have a translation\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lang": "ptx"}, "Unknown language 'ptx'. Did you mean pt"),
        ({"engine": "apertim:pt-es"}, "No translation engine 'apertim'. Known: apertium"),
        ({"engine": "recorded:no.jsonl"}, "The file of recorded translations no.jsonl"),
        ({"words": None}, "recorded:recorded.jsonl lists no words of its own. Give a list of words: --words"),
        ({"words": "no.txt"}, "no.txt: No such file or directory. Give a text file with one word a line."),
        (
            {"words": "latin1.txt"},
            "latin1.txt is not UTF-8 (invalid continuation byte at byte 1). Convert it.",
        ),
        (
            {"words": "names.txt"},
            "names.txt holds no lower-case word. Give a text file with one word a line.",
        ),
        (
            {"words": "unknown.txt"},
            "recorded.jsonl knows none of the 1 words of unknown.txt. Give a list of pt",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    corpus: Path, changes: dict[str, str | None], message: str
) -> None:
    assert CliRunner().invoke(dragoman, arguments()).exit_code == 0
    before = (corpus / "lexicon" / "pt.tsv").read_bytes()
    Path("latin1.txt").write_bytes(b"c\xe3o\n")
    Path("names.txt").write_text("Rio\nONU\n")
    Path("unknown.txt").write_text("relva\n")
    done = CliRunner().invoke(dragoman, arguments(**changes))
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
    assert (done.exception.exit_code, len(str(done.exception).splitlines())) == (2, 1)
    assert (corpus / "lexicon" / "pt.tsv").read_bytes() == before


def test_options_that_are_missing_or_wrong_are_named(corpus: Path) -> None:
    for wrong, message in [
        (["lexicon", "corpus", "--lang", "pt"], "Missing option '--engine'"),
        (["lexicon", "nowhere", *arguments()[2:]], "Directory 'nowhere' does not exist"),
        ([*arguments(), "--batch-size", "0"], "0 is not in the range x>=1"),
    ]:
        done = CliRunner().invoke(dragoman, wrong)
        assert done.exit_code == 2
        assert message in done.stderr


def test_help_shows_an_example() -> None:
    done = CliRunner().invoke(dragoman, ["lexicon", "--help"])
    assert done.exit_code == 0
    assert "dragoman lexicon corpus/ --lang pt --words /usr/share/dict/brazilian" in done.stdout


def test_every_command_of_the_page_can_be_read(corpus: Path) -> None:
    commands = re.findall(r"^dragoman lexicon (.*)$", PAGE, re.MULTILINE)
    assert len(commands) >= 2
    for line in commands:
        assert command.make_context("lexicon", shlex.split(line)).params["corpus"] == "corpus/"


def test_every_option_is_on_the_page() -> None:
    assert [option.opts[0] for option in command.params[1:] if option.opts[0] not in PAGE] == []


def test_the_python_example_runs(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"<!-- runs: recorded -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "lexicon.md", "exec"), {})
    assert capsys.readouterr().out == "corpus/lexicon/pt.tsv 5 4\n"


def test_the_settings_of_the_page_exist_and_do_nothing_unless_they_are_set() -> None:
    from dataclasses import fields

    from dragoman.training import TrainConfig

    defaults = {field.name: field.default for field in fields(TrainConfig)}
    named = re.findall(r"--set (\w+)=|^\| `(\w+)`", PAGE, re.MULTILINE)
    assert {one or other: defaults[one or other] for one, other in named} == {"synonyms": 0, "renderings": 0}
