from __future__ import annotations

from pathlib import Path

import numpy as np

from miniatures import Expected, put_parquet


def write(root: Path) -> Expected:
    for shard in (0, 1):
        rows = [{"image_path": f"/photos/{shard}{k}.jpg", "caption": f"text {shard}{k}"} for k in range(2)]
        put_parquet(root / "metadata" / f"metadata_{shard}.parquet", rows)
        (root / "img_emb").mkdir(exist_ok=True)
        np.save(root / "img_emb" / f"img_emb_{shard}.npy", np.full((2, 3), shard + 1, np.float16))
    return Expected([(f"{s}{k}", "train", "en", "human", f"text {s}{k}") for s in (0, 1) for k in range(2)])
