"""Rule-based pairs of Apertium, one after the other; small, fast, noisy: `apertium:eng-spa|es-pt`.

Needs the program, and a package for each pair.

Lines go through as paragraphs: a blank line ends the sentence for every stage of the pipe, so that no line
borrows words from its neighbour, and Apertium's own deformatter protects the characters that its stream
format reserves.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import Language, same_language
from dragoman.translation.engine import (
    Engine,
    EngineError,
    EngineUnavailableError,
    Rejected,
    fingerprint,
    require_argument,
    run_program,
)

SEPARATOR = "\n\n"


@dataclass(frozen=True, kw_only=True)
class Config:
    """This engine has no options."""


def build(
    argument: str, source: Language, target: Language, options: Config, device: str | None
) -> ApertiumEngine:
    """The engine of a chain of installed pairs that leads from `source` to `target`."""
    pairs = require_argument(argument, "apertium:eng-spa|es-pt").split("|")
    _require_chain(pairs, source, target)
    program = shutil.which("apertium")
    if program is None:
        raise UserError(f"The program 'apertium' is not installed. {_how_to_install(pairs)}")
    installed = run_program([program, "-l"], b"", 60).decode().split()
    missing = [pair for pair in pairs if pair not in installed]
    if missing:
        raise UserError(
            f"Apertium has no pair {' and no pair '.join(missing)} (installed: "
            f"{', '.join(installed) or 'none'}). {_how_to_install(missing)}"
        )
    return ApertiumEngine(program, pairs)


class ApertiumEngine(Engine):
    """One process a batch and pair, unknown words left as they are, without marks."""

    # The tagger of a pair remembers what it saw: of 2,000 captions, 4 come out otherwise in batches of 200
    # than in batches of 50, 16 in batches of 500, 48 in one of 2,000. Beyond 200 the gain in speed is small.
    batch_size = 200

    def __init__(self, program: str, pairs: Sequence[str]) -> None:
        self.name = f"apertium:{'|'.join(pairs)}"
        self.version = _version(program, pairs)
        self._program = program
        self._pairs = tuple(pairs)

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        # The pairs share one limit, which is for the batch.
        deadline = time.monotonic() + timeout
        for pair in self._pairs:
            lines = self._through(pair, lines, max(deadline - time.monotonic(), 0.01))
        return list(lines)

    def _through(self, pair: str, lines: Sequence[str], timeout: float) -> list[str]:
        data = "".join(line + SEPARATOR for line in lines).encode()
        try:
            output = run_program([self._program, "-u", pair], data, timeout).decode()
        except UnicodeDecodeError as error:
            raise EngineError(f"{pair} wrote invalid UTF-8 ({error.reason})") from None
        except FileNotFoundError:
            raise EngineUnavailableError(f"{self._program} is gone. {_how_to_install([pair])}") from None
        # A pipe ends with the status of its last program: where an earlier one died, only the silence tells.
        if not output and data:
            raise EngineError(f"{pair} printed nothing at all")
        found = output.removesuffix(SEPARATOR).split(SEPARATOR)
        if len(found) != len(lines):
            raise EngineError(f"{len(lines)} lines went into {pair} and {len(found)} came out")
        if "" in found:
            # The next pair would read the gap as one more paragraph mark.
            raise EngineError(f"{pair} gave an empty translation")
        return found


def _require_chain(pairs: Sequence[str], source: Language, target: Language) -> None:
    ends = [re.fullmatch(r"([a-z]{2,3})(?:_\w+)?-([a-z]{2,3})(?:_\w+)?", pair) for pair in pairs]
    if not all(ends):
        raise UserError(
            f"{'|'.join(pairs)!r} is no chain of Apertium pairs. Expected, for example, 'eng-spa|es-pt'; "
            "list what is installed: apertium -l"
        )
    stations = [source.tag, *(side for end in ends if end for side in end.groups()), target.tag]
    for left, right in zip(stations[::2], stations[1::2], strict=True):
        if not same_language(left, right):
            raise UserError(
                f"The chain {'|'.join(pairs)!r} does not lead from {source.tag} to {target.tag}: {left} "
                f"meets {right}. Name pairs that join, for example 'eng-spa|es-pt' from en to pt."
            )


def _how_to_install(pairs: Sequence[str]) -> str:
    packages = " ".join(f"apertium-{pair.split('_')[0]}" for pair in pairs)
    return (
        f"Install it: sudo apt-get install apertium {packages} (a package serves both directions: for "
        "pt-es it is apertium-es-pt; apt-cache search apertium lists them)"
    )


def _version(program: str, pairs: Sequence[str]) -> str:
    """A hash over the program and over every data file that the pairs name in their modes."""
    # By content: the data of a pair decide on a translation, and nothing in them tells their version.
    parts = {"apertium": sha256(Path(program))}
    installed = Path(program).resolve().parent.parent / "share" / "apertium"
    data = Path(os.environ.get("APERTIUM_DATADIR", installed))
    for pair in pairs:
        mode = data / "modes" / f"{pair}.mode"
        if mode.is_file():
            parts[pair] = sha256(mode)
            used = map(Path, re.findall(r"'([^']+)'", mode.read_text(encoding="utf-8")))
            parts |= {file.name: sha256(file) for file in used if file.is_file()}
    return fingerprint(parts)
