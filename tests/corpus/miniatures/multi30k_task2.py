from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put_lines


def write(root: Path) -> Expected:
    names = {"train": ("train_images", "train"), "val": ("val_images", "val")}
    names["test"] = ("test_2016_images", "test_2016")
    expected = []
    for split, (images, part) in names.items():
        put_lines(root, {f"data/task2/image_splits/{images}.txt": [f"{split}1.jpg", f"{split}2.jpg"]})
        for lang in ("en", "de"):
            for slot in range(1, 6):
                lines = [f"{lang} {slot} of {split}{number}" for number in (1, 2)]
                put_lines(root, {f"data/task2/raw/{part}.{slot}.{lang}": lines})
                expected += [(f"{split}{n}", split, lang, "human", lines[n - 1]) for n in (1, 2)]
    for lang in ("fr", "cs"):
        for split, part in (("val", "val"), ("test", "test_2016_flickr")):
            lines = [f"{lang} of {split}{number}" for number in (1, 2)]
            put_lines(root, {f"data/task1/raw/{part}.{lang}": lines})
            expected += [(f"{split}{n}", split, lang, "human", lines[n - 1]) for n in (1, 2)]
    return Expected(expected)
