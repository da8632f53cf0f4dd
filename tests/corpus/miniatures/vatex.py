from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from miniatures import Expected, put, put_lines


def write(root: Path) -> Expected:
    expected = []
    files = {
        "training_v1.0": ("train", "t"),
        "validation_v1.0": ("test", "v"),
        "public_test_english_v1.1": ("", "p"),
    }
    for part, (split, letter) in files.items():
        records = []
        for number in range(2):
            name = f"{letter}-{number}.x_000010_000020"
            record: dict[str, Any] = {"videoID": name, "enCap": [f"en {k} of {name}" for k in range(3)]}
            if part != "public_test_english_v1.1":
                record["chCap"] = [f"zh {k} of {name}" for k in range(3)]
            records.append(record)
            if split:
                expected += [
                    (name, split, lang, "human", f"{lang} {k} of {name}")
                    for lang in ("en", "zh")
                    for k in range(3)
                ]
        put(root, {f"vatex_{part}.json": json.dumps(records)})
    for half, number in (("val", 0), ("test", 1)):
        put_lines(root, {f"TextData/vatex{half}_zh.caption.txt": [f"v-{number}.x_000010_000020#zh#0 x"]})
    return Expected(expected)
