"""Small data sets, written in the format in which the real ones are published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Expected(NamedTuple):
    """What a miniature becomes: captions as (item, split, lang, role, text), and the items without any."""

    captions: list[tuple[str, str, str, str, str]]
    silent: tuple[str, ...] = ()


def put(root: Path, files: dict[str, str]) -> None:
    """Write text files below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def put_lines(root: Path, files: dict[str, list[str]]) -> None:
    """Write text files, one string a line."""
    put(root, {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()})


def put_records(root: Path, files: dict[str, list[Any]]) -> None:
    """Write JSON Lines."""
    put_lines(root, {k: [json.dumps(r, ensure_ascii=False) for r in v] for k, v in files.items()})


def multi30k_task1(root: Path) -> Expected:
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


def multi30k_task2(root: Path) -> Expected:
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


def flickr8k_cn(root: Path) -> Expected:
    put_lines(root, {"flickr8ktrain.txt": ["a_1"], "flickr8kval.txt": ["b_2"], "flickr8ktest.txt": ["c_3"]})
    expected = []
    for tag, lang, role in [
        ("enc", "en", "human"),
        ("zhc", "zh", "human"),
        ("zhb", "zh", "mt"),
        ("zhg", "zh", "mt"),
    ]:
        lines = []
        for name, split in [("a_1", "train"), ("b_2", "val"), ("c_3", "test"), ("lost_4", "")]:
            for slot in range(2):
                lines.append(f"{name}.jpg#{tag}#{slot} {tag} {slot} of {name} # 7")
                if split:
                    expected.append((name, split, lang, role, f"{tag} {slot} of {name} # 7"))
        put_lines(root, {f"flickr8k{tag}.caption.txt": lines})
    return Expected(expected)


def xflickrco(root: Path) -> Expected:
    images = [("77", "77.jpg", "test"), (9, "COCO_val2014_000000000009.jpg", "test"), ("5", "5.jpg", "train")]
    expected = []
    for lang in ("en", "de", "es", "id", "ja", "ru", "tr", "zh"):
        for part, split in (("test", "test"), ("train_100", "train")):
            if (lang, split) == ("en", "train"):
                continue
            records = []
            for number, path, place in images:
                if place == split:
                    text = "" if (lang, path) == ("de", "77.jpg") else f"{lang} of {path}"
                    records.append({"sentences": [text], "id": number, "img_path": path})
                    if text:
                        expected.append((path.removesuffix(".jpg"), split, lang, "human", text))
            put_records(root, {f"annotations/{lang}/{part}.jsonl": records})
    return Expected(expected)


def wit(root: Path) -> Expected:
    expected = []
    for number, lang in enumerate(("en", "ar", "bg", "da", "el", "et", "id", "ja", "ko", "tr", "vi")):
        shared = ("https" if number % 2 else "http") + "://upload.wikimedia.org/a/b/Two%20dogs.jpg"
        own = f"https://upload.wikimedia.org/{lang}.svg"
        rows = [(shared, f"wit-test_{number}", f"{lang} one"), (own, f"wit-test_{lang}", f"{lang} two")]
        rows.append((shared, f"wit-test_{number}", f"{lang} three"))
        records = [
            {"image_idx": 1, "image_url": url, "meta_url": "m", "caption_reference_description": text}
            | {"language": lang, "page_url": "p", "wit_ix": name}
            for url, name, text in rows
        ]
        put_records(root, {f"annotations/test_{lang}.jsonl": records})
        ids = ("wit-test_0", f"wit-test_{lang}", "wit-test_0")
        expected += [(i, "test", lang, "human", text) for i, (_, _, text) in zip(ids, rows, strict=True)]
    return Expected(expected)


def xtd10(root: Path) -> Expected:
    put_lines(root, {"XTD10/test_image_names.txt": ["COCO_train2014_1.jpg", "COCO_val2014_2.jpg"]})
    expected = []
    for lang in ("en", "de", "es", "fr", "it", "ja", "ko", "pl", "ru", "tr", "zh"):
        folder = {"de": "MIC", "fr": "MIC", "ja": "STAIR"}.get(lang, "XTD10")
        name = f"{folder}/test_1kcaptions_{'jp' if lang == 'ja' else lang}.txt"
        put_lines(root, {name: [f"{lang} 1", f" {lang} 2 "]})
        expected += [("COCO_train2014_1", "test", lang, "human", f"{lang} 1")]
        expected += [("COCO_val2014_2", "test", lang, "human", f"{lang} 2")]
    return Expected(expected)


MINIATURES: dict[str, Callable[[Path], Expected]] = {
    "flickr8k-cn": flickr8k_cn,
    "multi30k-task1": multi30k_task1,
    "multi30k-task2": multi30k_task2,
    "wit": wit,
    "xflickrco": xflickrco,
    "xtd10": xtd10,
}
