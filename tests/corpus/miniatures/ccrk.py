from __future__ import annotations

import json
from pathlib import Path

from miniatures import Expected, put


def write(root: Path) -> Expected:
    expected = []
    for lang in ("en", "ja"):
        train = [
            {"caption": f"{lang} {k} ", "image": "coco/val2014/COCO_val2014_1.jpg", "image_id": 1}
            for k in range(2)
        ]
        put(root, {f"{lang}.train.json": json.dumps(train)})
        expected += [("COCO_val2014_1", "train", lang, "human", f"{lang} {k}") for k in range(2)]
        for part, split in (("valid", "val"), ("1k_test", "test")):
            texts = [f"{lang} {part} {k}" for k in range(2)]
            put(
                root,
                {
                    f"{lang}.{part}.json": json.dumps(
                        [{"image": f"coco/{part}.jpg", "caption": texts, "image_id": 2}]
                    )
                },
            )
            expected += [(part, split, lang, "human", text) for text in texts]
    return Expected(expected)
