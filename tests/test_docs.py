"""README and pages: every verb is on them, and what they tell a reader to type exists."""

from __future__ import annotations

import argparse
import ast
import fnmatch
import pkgutil
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from docs import pages, renewed, tables
from dragoman.cli import dragoman

ROOT = Path(__file__).parent.parent
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.is_file()]
OPERATORS = {";", "|", "||", "&", "&&", ">", ">>", "<"}


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each verb that does something, under its words: ("corpus", "jsonl")."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        child = command.get_command(click.Context(command), name)
        assert child is not None
        yield from leaves(child, (*path, name))


VERBS = dict(leaves(dragoman))


def commands(text: str) -> list[str]:
    """Lines that begin with `dragoman`, perhaps after a prompt, joined with their continuations."""
    joined = re.sub(r"\\\n>?\s*", "", text)
    return re.findall(r"^ *(?:\$ )?(dragoman [a-z].*)$", joined, re.MULTILINE)


def words(line: str) -> list[str]:
    """The words of the first program of a shell line; quoted operators are part of a word."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    found: list[str] = []
    for word in reader:
        if word in OPERATORS:
            break
        found.append(word)
    return found


def complaint(line: str) -> str | None:
    """What the command line would say against a documented line; files need not exist."""
    _, *arguments = words(line)
    command: click.Command = dragoman
    while isinstance(command, click.Group):
        name = arguments.pop(0) if arguments else ""
        child = command.get_command(click.Context(command), name)
        if child is None:
            return f"no verb {name!r}"
        command = child
    context = click.Context(command)
    try:
        given, rest, _ = command.make_parser(context).parse_args(arguments)
    except click.UsageError as error:
        return error.format_message()
    if rest:
        return f"too many arguments: {rest}"
    missing = [
        p.name for p in command.params if p.required and not isinstance(given.get(p.name), str | tuple)
    ]
    return f"missing: {missing}" if missing else None


DOCUMENTED = [(page.name, line) for page in PAGES for line in commands(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "line"), DOCUMENTED)
def test_a_documented_command_can_be_typed(page: str, line: str) -> None:
    assert complaint(line) is None, f"{page}: {line}"


def measurements(text: str) -> list[str]:
    """Commands of the benchmarks: alone in a line, perhaps after variables, or in backticks."""
    joined = re.sub(r"\\\n>?\s*", "", text)
    alone = re.findall(r"^ *(?:[A-Z_]+=\S+ )*(python benchmarks/.*)$", joined, re.MULTILINE)
    return [*alone, *re.findall(r"`(python benchmarks/[^`]*)`", joined)]


HEADS = {
    # In brackets stands what may be left out.
    str(script.relative_to(ROOT)): (ast.get_docstring(ast.parse(script.read_bytes())) or "")
    .replace("[", "")
    .replace("]", "")
    for script in sorted((ROOT / "benchmarks").glob("*/*.py"))
}
RESULTS = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in [*PAGES, ROOT / "EXPERIMENTS.md", *sorted((ROOT / "benchmarks").glob("*/*.md"))]
}
MEASURED = [(page, line) for page, text in (HEADS | RESULTS).items() for line in measurements(text)]


class Understood(BaseException):
    """A script has read its arguments; it is not to go on."""


@pytest.mark.parametrize(("page", "line"), MEASURED)
def test_the_command_above_a_table_of_measurements_can_be_typed(
    page: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script itself reads the line, and stops there: most of them measure for hours."""
    read = argparse.ArgumentParser.parse_args

    def once(parser: argparse.ArgumentParser, *arguments: object) -> None:
        read(parser, *arguments)  # type: ignore[call-overload]
        raise Understood

    _, script, *arguments = words(line)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", once)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.setattr(sys, "path", [str((ROOT / script).parent), *sys.path])
    before = set(sys.modules)
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
        pytest.fail(f"{script} reads no arguments")
    except Understood:
        pass
    except SystemExit:
        pytest.fail(f"{page}: {line}\n{capsys.readouterr().err}")
    finally:
        # Scripts of several folders have one name.
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(ROOT / "benchmarks"):
                del sys.modules[name]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_help_of_a_verb_shows_an_example_that_can_be_typed(verb: tuple[str, ...]) -> None:
    examples = [
        line for line in commands(VERBS[verb].help or "") if tuple(line.split()[1:])[: len(verb)] == verb
    ]
    assert examples, f"dragoman {' '.join(verb)} --help shows no example"
    assert [complaint(line) for line in examples] == [None] * len(examples)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_verb_is_documented(verb: tuple[str, ...]) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    command = f"dragoman {' '.join(verb)}"
    assert command in text, f"no page has {command}; of a reader, write it: python -m tests.docs --write"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_picture_of_the_docs_is_shown() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = set(re.findall(r"images/([\w.-]+)", text))
    assert {file.name for file in (ROOT / "docs" / "images").iterdir()} - shown == set()


def headings(page: Path) -> set[str]:
    """Anchors of the headings of a page, as its host makes them: small, without signs, a hyphen a space."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    names = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    lost = [
        f"{file}#{anchor}"
        for file, anchor in links
        if anchor not in headings(page.parent / file if file else page)
    ]
    assert lost == []


HOUSE = [*PAGES, ROOT / "CONTRIBUTING.md"]
PLACES = [
    f"/{path.relative_to(ROOT).as_posix()}"
    for part in ("src", "tests", "benchmarks")
    for path in [ROOT / part, *(ROOT / part).rglob("*")]
]


@pytest.mark.parametrize("page", HOUSE, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """Capitals stand for a name of the reader's: `stores/NAME.py`."""
    told = re.findall(r"`([\w./-]+\.py|(?:src|tests|benchmarks)/[\w./-]*)[` ]", page.read_text("utf-8"))
    patterns = {name: re.sub(r"[A-Z]{3,}", "*", f"*/{name.rstrip('/')}") for name in told}
    assert [name for name, pattern in patterns.items() if not fnmatch.filter(PLACES, pattern)] == []


@pytest.mark.parametrize("page", HOUSE, ids=lambda page: page.name)
def test_python_names_that_a_page_tells_are_there(page: Path) -> None:
    gone = []
    for name in sorted(set(re.findall(r"(?<![\w./-])dragoman(?:\.[A-Za-z_]\w*)+", page.read_text("utf-8")))):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            gone.append(name)
    assert gone == []


def test_the_rooms_on_the_first_page_are_those_of_the_house() -> None:
    text = (ROOT / "README.md").read_text("utf-8").partition("src/dragoman/\n")[2].partition("```")[0]
    shown = [word.rstrip("/") for word in text.split() if word.endswith("/")]
    rooms = {path.parent.name for path in (ROOT / "src/dragoman").glob("*/__init__.py")}
    # Folders that describe themselves are under all the others, and `encoders` keeps names of before.
    assert sorted(shown) == sorted(rooms - {"folders", "encoders"})


@pytest.mark.parametrize("page", [page for page in pages() if "<!-- table: " in page.read_text("utf-8")])
def test_tables_are_what_the_code_makes(page: Path) -> None:
    found = list(tables(page.read_text(encoding="utf-8")))
    assert page.read_text(encoding="utf-8").count("<!-- table: ") == len(found), "a table has no end"
    stale = [name for name, stands, made in found if stands != made]
    assert stale == [], "write them anew: python -m tests.docs --write"


def test_a_table_is_written_between_its_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = SimpleNamespace(lines=lambda *words: ["| a |", *(f"| {word} |" for word in words)])
    monkeypatch.setitem(sys.modules, "maker", maker)
    page = "text\n\n<!-- table: maker.lines one two -->\n\nold\n\n<!-- end -->\n\n<!-- other -->\n"
    assert list(tables(page)) == [("maker.lines one two", "old", "| a |\n| one |\n| two |")]
    assert renewed(page) == page.replace("old", "| a |\n| one |\n| two |")
    assert renewed(renewed(page)) == renewed(page)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dragoman teach corpus/", "no verb 'teach'"),
        ("dragoman trust corpus/ --best 5", "No such option"),
        ("dragoman trust", "missing: ['corpus']"),
        ("dragoman corpus show corpus/ more/", "too many arguments"),
        ('dragoman translate corpus/ --to pt --engine "apertium:eng-spa|es-pt" | tee log', None),
        ("dragoman corpus show corpus/; echo $?", None),
    ],
)
def test_the_reading_of_documented_lines_itself(line: str, said: str | None) -> None:
    found = complaint(line)
    assert found is None if said is None else found is not None and said in found
