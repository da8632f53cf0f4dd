"""Words that a recogniser is to expect: those that captions of a collection hold often, by language.

A name takes them behind it: `whisper/?words=FOLDER`, where FOLDER holds texts as `pt.txt` or `en.txt`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.textfiles import text_lines

SIGN = "?words="
MOST = 90
"""Words that are expected, the most frequent ones: Whisper reads 223 tokens before it writes."""
SHORTEST = 4
"""Letters of a word; shorter ones are those of every text."""


def parted(name: str) -> tuple[str, Path | None]:
    """Part the name of a recogniser from the folder of words behind it, where there is one."""
    found, sign, folder = name.partition(SIGN)
    return found, Path(folder) if sign else None


def read_words(folder: Path) -> dict[str, str]:
    """Words of each language by its tag, as a text. Raises UserError where there is none, or a file is named
    as no language."""
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    if not files:
        raise UserError(
            f"{folder} has no words to expect: a folder of texts was expected, such as pt.txt with captions "
            "in Portuguese, one a line."
        )
    found = {}
    for file in files:
        try:
            tag = canonical_tag(file.stem)
        except ValueError as error:
            raise UserError(f"{file} holds words of no known language: {error}") from None
        found[tag] = frequent_words(line.text for line in text_lines(file))
    return found


def frequent_words(texts: Iterable[str]) -> str:
    """The most frequent words of texts, those first; of equally frequent ones, the first in its alphabet."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word in re.findall(r"[^\W\d_]+", text.lower()) if len(word) >= SHORTEST)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))[:MOST]
    return ", ".join(ordered) + "." if ordered else ""
