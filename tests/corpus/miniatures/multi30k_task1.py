from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put_lines


def write(root: Path) -> Expected:
    parts = {"train": ["1.jpg", "2_a.jpg"], "val": ["3.jpg"], "test_2016_flickr": ["4.jpg", "5.jpg"]}
    put_lines(root, {f"data/task1/image_splits/{part}.txt": names for part, names in parts.items()})
    texts = {
        lang: {part: [f"{lang} {name}" for name in names] for part, names in parts.items()}
        for lang in ("en", "de", "fr", "cs")
    }
    for lang, by_part in texts.items():
        put_lines(root, {f"data/task1/raw/{part}.{lang}": lines for part, lines in by_part.items()})
    return Expected(
        [
            (name.removesuffix(".jpg"), part.partition("_")[0], lang, "human", f"{lang} {name}")
            for part, names in parts.items()
            for lang in texts
            for name in names
        ]
    )
