from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put_lines


def write(root: Path) -> Expected:
    put_lines(root, {"XTD10/test_image_names.txt": ["COCO_train2014_1.jpg", "COCO_val2014_2.jpg"]})
    expected = []
    for lang in ("en", "de", "es", "fr", "it", "ja", "ko", "pl", "ru", "tr", "zh"):
        folder = {"de": "MIC", "fr": "MIC", "ja": "STAIR"}.get(lang, "XTD10")
        name = f"{folder}/test_1kcaptions_{'jp' if lang == 'ja' else lang}.txt"
        put_lines(root, {name: [f"{lang} 1", f" {lang} 2 "]})
        expected += [("COCO_train2014_1", "test", lang, "human", f"{lang} 1")]
        expected += [("COCO_val2014_2", "test", lang, "human", f"{lang} 2")]
    return Expected(expected)
