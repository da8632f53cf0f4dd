from __future__ import annotations

from pathlib import Path

from miniatures import Expected, karpathy, put_lines


def write(root: Path) -> Expected:
    names = {"train": "COCO_train2014_000000000001", "val": "COCO_val2014_000000000003"}
    names["test"] = "COCO_val2014_000000000002"
    put_lines(root, {f"coco-cn_{split}.txt": [name] for split, name in names.items()})
    written = [f"{name}#{slot}\t写 {split} {slot}" for split, name in names.items() for slot in (0, 1)]
    put_lines(root, {"imageid.human-written-caption.txt": [*written, "COCO_val2014_9#0\t没有"]})
    put_lines(root, {"imageid.manually-translated-caption.txt": [f"{names['test']}#0\t译"]})
    split_of = {name: split for split, name in names.items()}
    english = [(n, split_of[n], lang, role, t) for n, _, lang, role, t in karpathy(root) if n in split_of]
    chinese = [(n, split, "zh", "human", f"写 {split} {k}") for split, n in names.items() for k in (0, 1)]
    return Expected([*english, *chinese])
