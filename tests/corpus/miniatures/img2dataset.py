from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put, put_parquet


def write(root: Path) -> Expected:
    done = {"status": "success", "error_message": None, "width": 10, "height": 20, "sha256": "x"}
    rows = [
        {"key": f"00000000{k}", "caption": f"text {k}", "url": f"https://a.b/{k}.jpg", **done}
        for k in range(3)
    ]
    rows[1] |= {"status": "failed_to_download", "width": None}
    put_parquet(root / "00000.parquet", rows)
    put_parquet(root / "00001.parquet", [rows[0] | {"key": "000010000"}])
    put(root, {"00000_stats.json": "{}"})
    found = [("000000000", "text 0"), ("000000002", "text 2"), ("000010000", "text 0")]
    return Expected([(key, "train", "en", "human", text) for key, text in found])
