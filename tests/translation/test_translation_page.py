"""The page on translation says what is so."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from translation_world import captions, make_corpus

from dragoman import plugins
from dragoman.cli.translate import command
from dragoman.translation import TranslateSettings
from dragoman.translation.engine import read_config

PAGE = (Path(__file__).parents[2] / "docs" / "translation.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^dragoman translate (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_can_be_read(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    context = command.make_context("translate", shlex.split(line))
    for spec in (context.params["engine"], context.params["back"]):
        if spec:
            name, query = spec.partition(":")[0], spec.partition("?")[2]
            read_config(name, plugins.load("dragoman.translation.engines", name, "engine").Config, query)


def test_every_option_and_engine_is_on_the_page() -> None:
    written = " ".join(COMMANDS) + PAGE
    for parameter in command.get_params(click.Context(command)):
        # Its long name comes last.
        if parameter.opts[-1] not in ("corpus", "--role", "--help"):
            assert parameter.opts[-1] in written
    for name in plugins.names("dragoman.translation.engines"):
        assert f"`{name}:" in PAGE, "run: python -m tests.docs --write"
        options = plugins.load("dragoman.translation.engines", name, "engine").Config
        for field in dataclasses.fields(options):
            assert f"`{field.name}={field.default}`" in PAGE, "run: python -m tests.docs --write"


def test_the_default_time_limit_is_the_one_on_the_page() -> None:
    assert f"{TranslateSettings.timeout:.0f} seconds by default" in PAGE
    said = CliRunner().invoke(command, ["--help"]).output.partition("--timeout")[2].partition("--device")[0]
    assert f"default: {TranslateSettings.timeout}" in " ".join(said.split())


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"<!-- runs: recorded -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    make_corpus(tmp_path / "corpus", [{"text": "a dog"}, {"text": "a cat"}])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGOMAN_HOME", str(tmp_path / "home"))
    Path("translations.jsonl").write_text(json.dumps({"text": "a dog", "translation": "um cão"}))
    exec(compile(example, "translation.md", "exec"), {})
    assert capsys.readouterr().out == "1 0 1\n"
    assert [row["text"] for row in captions(Path("corpus"))] == ["a dog", "a cat", "um cão"]
