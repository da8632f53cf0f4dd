from __future__ import annotations

import json
from pathlib import Path

from miniatures import Expected, put_tar


def write(root: Path) -> Expected:
    first = {"0001.jpg": b"J1", "0001.txt": b"a dog", "0001.pt.txt": "um cão".encode(), "0002.png": b"P2"}
    first["0002.json"] = json.dumps({"caption": ["a boat", "two boats"], "width": 7}).encode()
    put_tar(root / "train" / "00000.tar", first | {"0003.jpg": b"J3", "0003.json": b"{}"})
    put_tar(root / "validation-00000.tar", {"deep/0004.v2.jpg": b"J4", "deep/0004.txt": b"a cat"})
    expected = [
        ("00000/0001", "train", "en", "human", "a dog"),
        ("00000/0001", "train", "pt", "human", "um cão"),
    ]
    expected += [("00000/0002", "train", "en", "human", text) for text in ("a boat", "two boats")]
    expected += [("validation-00000/deep/0004", "val", "en", "human", "a cat")]
    return Expected(expected, silent=("00000/0003",))
