from __future__ import annotations

import json
from pathlib import Path

from miniatures import Expected, karpathy, put


def write(root: Path) -> Expected:
    # The first 64 bits of sha256("0:COCO_train2014_000000000001") lie in the last 1,000 of 26,500 parts.
    names = {"COCO_train2014_000000000001": "test", "COCO_train2014_000000000005": "train"}
    notes = [{"image_id": int(n[-1]), "id": k, "caption": f"{n} の {k}"} for n in names for k in range(2)]
    images = [{"id": int(name[-1]), "file_name": f"{name}.jpg"} for name in names]
    put(root, {"yjcaptions26k_clean.json": json.dumps({"images": images, "annotations": notes})})
    expected = [(n, split, "ja", "human", f"{n} の {k}") for n, split in names.items() for k in range(2)]
    expected += [(n, names[n], lang, role, text) for n, _, lang, role, text in karpathy(root) if n in names]
    return Expected(expected)
