"""How often the language of a query is recognised, on human captions cut to a few words.

    python benchmarks/search/languages.py CAPTIONS [--out benchmarks/search/languages.md]

CAPTIONS is a JSON Lines file (.gz) with `lang`, `role` and `text`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections import defaultdict
from pathlib import Path

from dragoman.search.detection import language_of, language_warning

SAMPLE = 1000
WORDS = (1, 2, 3, 6, 0)
"""0 is the whole caption; two Chinese characters count as a word."""
TRAINED = (("en", "pt"), ("en", "pt", "es", "gl", "zh", "uk", "ar"))


def human_captions(file: Path) -> dict[str, list[str]]:
    """Captions by people, by language, drawn by a fixed seed."""
    found: dict[str, list[str]] = defaultdict(list)
    with gzip.open(file, "rb") as lines:
        for line in lines:
            row = json.loads(line)
            if row["role"] == "human":
                found[row["lang"]].append(row["text"])
    draw = random.Random(1)
    return {lang: draw.sample(texts, min(SAMPLE, len(texts))) for lang, texts in sorted(found.items())}


def cut(text: str, lang: str, words: int) -> str:
    """The first words of a caption."""
    if not words:
        return text
    return text[: 2 * words] if lang == "zh" else " ".join(text.split()[:words])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    captions = human_captions(options.captions)
    lines = [
        "# Recognising the language of a query",
        "",
        f"Human captions of Flickr8k, {SAMPLE} a language drawn at random (seed 1), cut to their first",
        "words. First the share whose language is recognised; then the share for which a warning of an",
        "untrained language is shown, which should be 100 % outside the training and 0 % inside. First words",
        "are mostly articles and numerals, so a single one says little.",
        "",
        "    python benchmarks/search/languages.py captions.jsonl.gz",
    ]
    started, asked = time.perf_counter(), 0
    for trained in TRAINED:
        lines += ["", f"## A model trained on {', '.join(trained)}", ""]
        lines += ["| words | " + " | ".join(captions) + " |", "|---|" + "---|" * len(captions)]
        for words in WORDS:
            cells = []
            for lang, texts in captions.items():
                found = [language_of(cut(text, lang, words), trained) for text in texts]
                asked += len(found)
                right = sum(one.code == lang for one in found) / len(found)
                warned = sum(language_warning(one, trained) is not None for one in found) / len(found)
                cells.append(f"{right:.1%}, warned {warned:.1%}")
            lines.append(f"| {words or 'all'} | " + " | ".join(cells) + " |")
    spent = (time.perf_counter() - started) / asked
    lines += ["", f"A query takes {spent * 1e6:.0f} µs on one busy core.", ""]
    options.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
