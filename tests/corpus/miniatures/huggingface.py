from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put_saved


def write(root: Path) -> Expected:
    rows = [
        {
            "image": {"bytes": b"J", "path": f"{k}.jpg"},
            "image_id": k,
            "captions": [f"{k} a", f"{k} b"],
            "likes": k,
        }
        for k in range(3)
    ]
    put_saved(root / "train", rows, [2, 0])
    put_saved(root / "validation", [rows[0] | {"image_id": 9, "image": {"bytes": b"J", "path": "9.jpg"}}])
    (root / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    found = [("2", "train", 2), ("0", "train", 0), ("9", "val", 0)]
    return Expected([(i, split, "en", "human", f"{k} {x}") for i, split, k in found for x in "ab"])
