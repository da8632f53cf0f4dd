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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import Language, language, same_language
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
PACKAGED = (
    "af-nl arg-cat bel-rus br-fr cat-ita cat-srd dan-nor en-gl eng-cat eng-spa eo-ca eo-en eo-es eo-fr es-gl "
    "es-pt es-ro eu-en eu-es fr-es fra-cat fra-frp hbs-eng hbs-mkd hbs-slv ind-zlm isl-eng isl-swe mk-en "
    "mkd-bul nno-nob oc-ca oc-es oci-fra pol-szl por-cat pt-gl rus-ukr spa-arg spa-ast spa-ita srd-ita "
    "swe-dan swe-nor urd-hin"
)
"""Pairs in Debian 12, of which a package is called apertium-PAIR."""
ONE_WAY = {"br-fr", "eu-en", "eu-es"}
"""Packages that do not serve the other direction."""
_PAIR = re.compile(r"([a-z]{2,3})(?:_\w+)?-([a-z]{2,3})(?:_(\w+))?")


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


def offers(source: Language, target: Language) -> list[str]:
    """Chains of at most two installed pairs: short ones first, and those that write as the region does."""
    program = shutil.which("apertium")
    if program is None:
        return []
    try:
        installed = run_program([program, "-l"], b"", 60).decode().split()
    except EngineError:
        return []
    region = target.tag.rpartition("-")[2]

    def strange(chain: tuple[str, ...]) -> tuple[object, ...]:
        variants = [found[3] for pair in chain if (found := _PAIR.fullmatch(pair))]
        # A variant on the way is nobody's wish.
        return len(chain), variants[-1] != region, any(variants), chain

    return ["|".join(chain) for chain in sorted(_chains(installed, source, target), key=strange)]


def packages(source: Language, target: Language) -> list[str]:
    """Packages of the chains of at most two pairs that Debian has."""
    against = ["-".join(reversed(pair.split("-"))) for pair in PACKAGED.split() if pair not in ONE_WAY]

    def strange(chain: tuple[str, ...]) -> tuple[object, ...]:
        # English and Spanish is the oldest and largest of the pairs of English.
        return len(chain), not any("spa" in pair for pair in chain), chain

    chains = sorted(_chains([*PACKAGED.split(), *against], source, target), key=strange)
    return [" ".join(["apertium", *map(_package, chain)]) for chain in chains]


def _package(pair: str) -> str:
    left, right = pair.split("-")
    return f"apertium-{pair}" if pair in PACKAGED.split() else f"apertium-{right}-{left}"


def _chains(pairs: Sequence[str], source: Language, target: Language) -> Iterator[tuple[str, ...]]:
    """Chains of one or two of these pairs that lead from one language to the other."""
    ends = {pair: sides for pair in pairs if (sides := _sides(pair))}
    for first, (left, middle) in ends.items():
        if left != source.iso3:
            continue
        if middle == target.iso3:
            yield (first,)
            continue
        for second, (start, end) in ends.items():
            if (start, end) == (middle, target.iso3):
                yield first, second


def _sides(pair: str) -> tuple[str, str] | None:
    """The ISO 639-3 codes of a pair, where both are languages that are known here."""
    found = _PAIR.fullmatch(pair)
    try:
        return None if found is None else (language(found[1]).iso3, language(found[2]).iso3)
    except UserError:
        return None


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
    ends = [_PAIR.fullmatch(pair) for pair in pairs]
    if not all(ends):
        raise UserError(
            f"{'|'.join(pairs)!r} is no chain of Apertium pairs. Expected, for example, 'eng-spa|es-pt'; "
            "list what is installed: apertium -l"
        )
    stations = [source.tag, *(side for end in ends if end for side in end.groups()[:2]), target.tag]
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
