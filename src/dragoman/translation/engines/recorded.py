"""A JSON Lines file of translations, plain or .gz: `recorded:FILE`.

Needs nothing. Each line has `text`, `translation` and perhaps the languages:

{"source_lang": "en", "target_lang": "pt", "text": "A dog runs.", "translation": "Um cão corre."}
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import Language, same_language
from dragoman.translation.engine import Engine, Rejected, one_line, require_argument


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
    pair = {"source_lang": source.tag, "target_lang": target.tag}
    others: set[str] = set()
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text, translation = one_line(row["text"]), one_line(row["translation"])
                if all(same_language(row.get(key) or tag, tag) for key, tag in pair.items()):
                    found[text] = translation
                else:
                    others.add(f"{row.get('source_lang')}-{row.get('target_lang')}")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{path}, line {number}: no recorded translation ({error!r}). Expected one JSON object "
                    'a line, such as {"source_lang": "en", "target_lang": "pt", "text": "A dog.", '
                    '"translation": "Um cão."}'
                ) from None
    if not found:
        raise UserError(
            f"{path} holds no translation from {source.tag} to {target.tag}"
            + (f"; it has {', '.join(sorted(others))}." if others else ": it is empty.")
        )
    return found
