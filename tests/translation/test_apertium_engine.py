"""Apertium: the real program where it is installed, and a stand-in with known faults."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from translation_world import bisection_bound, install_fake_apertium

from dragoman.errors import UserError
from dragoman.translation.engine import Engine, EngineError, Rejected, open_engine
from dragoman.translation.texts import Isolator

FATAL = "A group of men and women are in wedding attire ."


def needs_pairs(*pairs: str) -> pytest.MarkDecorator:
    listed = (
        subprocess.run(["apertium", "-l"], capture_output=True, text=True)
        if shutil.which("apertium")
        else None
    )
    missing = set(pairs) - set(listed.stdout.split() if listed else ())
    packages = " ".join(sorted(f"apertium-{pair}" for pair in missing))
    return pytest.mark.skipif(
        bool(missing), reason=f"not installed: sudo apt-get install apertium {packages}"
    )


def through(pair: str, line: str) -> str:
    """One line through the program itself."""
    return subprocess.run(
        ["apertium", "-u", pair], input=line, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Engine]:
    for name, value in install_fake_apertium(tmp_path / "bin").items():
        monkeypatch.setenv(name, value)
    return lambda chain="eng-spa|spa-por": open_engine(f"apertium:{chain}", "en", "pt")


def test_a_chain_goes_through_its_pairs_in_order(fake: Callable[..., Engine]) -> None:
    assert fake().translate(["a dog", "a cat"], 30) == ["A DOG/ENG-SPA/spa-por", "A CAT/ENG-SPA/spa-por"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("silent", "eng-spa printed nothing at all"),
        ("crash", r"apertium ended with status 1 \(cannot go on\)"),
        ("killed", "apertium ended with signal 11"),
        ("torn", r"eng-spa wrote invalid UTF-8"),
        ("split", "3 lines went into eng-spa and 4 came out"),
        ("merge", "3 lines went into eng-spa and 2 came out"),
        ("void", "eng-spa gave an empty translation"),
    ],
)
def test_every_fault_of_the_program_is_an_error_with_its_reason(
    fake: Callable[..., Engine], line: str, reason: str
) -> None:
    with pytest.raises(EngineError, match=reason):
        fake().translate(["a", line, "b"], 30)


def test_a_program_that_hangs_is_killed_with_its_children(fake: Callable[..., Engine]) -> None:
    engine = fake()
    with pytest.raises(EngineError, match=r"apertium did not finish within 1 s"):
        engine.translate(["hang"], 1)
    deadline = time.monotonic() + 120  # on a computer with much else to do
    while _processes_with(os.environ["FAKE_HANG"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _processes_with(os.environ["FAKE_HANG"]) == []


def _processes_with(argument: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in command:
            found.append(folder.name)
    return found


@pytest.mark.parametrize(
    ("chain", "source", "target", "message"),
    [
        ("", "en", "pt", r"needs an argument, for example 'apertium:eng-spa\|es-pt'"),
        (
            "eng-glg",
            "en",
            "gl",
            r"no pair eng-glg \(installed: eng-spa.*apt-get install apertium apertium-eng-glg",
        ),
        ("eng-spa", "en", "pt", "does not lead from en to pt: spa meets pt"),
        ("spa-por", "en", "pt", "does not lead from en to pt: en meets spa"),
        ("eng-spa|por-spa", "en", "es", "spa meets por"),
        ("english", "en", "pt", "'english' is no chain of Apertium pairs"),
    ],
)
def test_a_chain_that_cannot_work_is_refused_with_the_fix(
    fake: Callable[..., Engine], chain: str, source: str, target: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        open_engine(f"apertium:{chain}", source, target)


def test_without_the_program_the_install_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"not installed.*apt-get install apertium apertium-eng-spa"):
        open_engine("apertium:eng-spa", "en", "es")


def test_the_version_follows_the_data_of_the_pair(fake: Callable[..., Engine], tmp_path: Path) -> None:
    data = tmp_path / "bin" / "eng-spa.bin"
    modes = tmp_path / "bin" / "modes"
    modes.mkdir()
    data.write_bytes(b"rules")
    (modes / "eng-spa.mode").write_text(f"lt-proc '{data}'")
    first = fake().version
    assert fake().version == first
    data.write_bytes(b"better rules")
    assert fake().version != first


@needs_pairs("eng-spa", "es-pt")
def test_lines_do_not_borrow_from_their_neighbours() -> None:
    engine = open_engine("apertium:eng-spa|es-pt", "en", "pt")
    lines = ["A tan dog with trees in the background", "A small dog", "A red ball on", "the grass :", "hello"]
    assert engine.translate(lines, 60) == [through("es-pt", through("eng-spa", line)) for line in lines]


@needs_pairs("eng-spa")
def test_characters_that_apertium_reserves_come_through() -> None:
    engine = open_engine("apertium:eng-spa", "en", "es")
    reserved = r"^x$ [x] {x} \ / @ # * < > & ~ | + _ ` [[t:b:1]]x[[/]]"
    assert engine.translate([reserved, "xyzzy"], 60) == [reserved, "xyzzy"]


@needs_pairs("eng-cat")
def test_the_one_line_that_silences_a_whole_batch_is_the_only_one_rejected() -> None:
    engine = open_engine("apertium:eng-cat", "en", "ca")
    lines = [f"A dog and {number} cats run ." for number in ("two", "three", "four", "five", "six")]
    lines.insert(3, FATAL)
    with pytest.raises(EngineError, match="eng-cat printed nothing at all"):
        engine.translate(lines, 60)

    calls = []
    translate = engine.translate
    engine.translate = lambda batch, timeout: calls.append(batch) or translate(batch, timeout)  # type: ignore
    outcomes = Isolator(engine, 60, lambda: None).translate(lines)

    assert outcomes[3] == Rejected("eng-cat printed nothing at all")
    assert outcomes[:3] + outcomes[4:] == [through("eng-cat", line) for line in lines if line != FATAL]
    assert len(calls) <= bisection_bound(6, 1)
