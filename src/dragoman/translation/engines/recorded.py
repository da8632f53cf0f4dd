"""A JSON Lines file of translations, plain or .gz: `recorded:FILE`.

Needs nothing. Each line has `text`, `translation` and perhaps the languages:

{"source_lang": "en", "target_lang": "pt", "text": "A dog runs.", "translation": "Um cão corre."}
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import Language, language
from dragoman.textfiles import json_lines
from dragoman.translation.engine import Engine, Rejected, one_line, require_argument

log = logging.getLogger(__name__)

EXACT = 2
"""Fit of a line in the very language that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """This engine has no options."""


def build(
    argument: str, source: Language, target: Language, options: Config, device: str | None
) -> RecordedEngine:
    """The engine of the file `argument`; lines of another language pair are left out."""
    path = Path(require_argument(argument, "recorded:translations.jsonl"))
    if not path.is_file():
        raise UserError(f"The file of recorded translations {path} does not exist.")
    return RecordedEngine(path, source, target)


class RecordedEngine(Engine):
    """Looks lines up; a line that the file does not hold is rejected."""

    batch_size = 5000

    def __init__(self, path: Path, source: Language, target: Language) -> None:
        self.name = f"recorded:{path.name}"
        self.version = sha256(path)  # a line added to the file is asked for again
        self._translations = _read(path, source, target)
        self._missing = Rejected(f"{path.name} has no translation of it into {target.tag}")

    def translate(self, lines: Sequence[str], timeout: float) -> list[str | Rejected]:
        return [self._translations.get(line, self._missing) for line in lines]


def _read(path: Path, source: Language, target: Language) -> dict[str, str]:
    found: dict[str, str] = {}
    exact: set[str] = set()
    others: set[str] = set()
    repeated = 0
    for line, row in json_lines(path):
        try:
            if line.fault:
                raise ValueError(line.fault)
            text, translation = one_line(row["text"]), one_line(row["translation"])  # type: ignore[arg-type]
            fits = [_fits(row.get("source_lang"), source), _fits(row.get("target_lang"), target)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}, line {line.number}: no recorded translation ({error!r}). Expected one JSON object "
                'a line, such as {"source_lang": "en", "target_lang": "pt", "text": "A dog.", '
                '"translation": "Um cão."}'
            ) from None
        if not all(fits):
            others.add(f"{row.get('source_lang')}-{row.get('target_lang')}")
        # Where a text has translations into several regions, that of the region asked for counts.
        elif min(fits) == EXACT or text not in exact:
            repeated += text in found and found[text] != translation and (min(fits) < EXACT or text in exact)
            found[text] = translation
            exact |= {text} if min(fits) == EXACT else set()
    if repeated:
        log.warning(
            "%s has other translations of %d texts further down; the last of each counts", path, repeated
        )
    if not found:
        raise UserError(
            f"{path} holds no translation from {source.tag} to {target.tag}"
            + (f"; it has {', '.join(sorted(others))}." if others else ": it is empty.")
        )
    return found


def _fits(tag: object, wanted: Language) -> int:
    """Tell how well the language of a line fits: not, but for its region, or exactly (also where it has
    none)."""
    if not tag:
        return EXACT
    try:
        found = language(str(tag))
    except UserError:
        return 0
    if found.tag == wanted.tag:
        return EXACT
    # Written in another script it is no translation that was asked for.
    return int((found.iso3, found.row, found.flores) == (wanted.iso3, wanted.row, wanted.flores))
