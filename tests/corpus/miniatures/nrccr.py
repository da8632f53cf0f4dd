from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put_lines


def nrccr_files(root: Path, collection: str, human: str, names: dict[str, str]) -> Expected:
    """Caption files with English training captions, Chinese val and test captions, and translations."""
    expected = []
    texts = {f"{collection}train{human}": ("train", "enc", "en", "human")}
    texts[f"{collection}train_google_enc2zh"] = ("train", "enc2zh", "zh", "mt")
    texts[f"{collection}train_google_enc2zh2enc"] = ("train", "enc2zh2enc", "en", "back")
    for split in ("val", "test"):
        texts[f"{collection}{split}_zh"] = (split, "zh", "zh", "human")
        texts[f"{collection}{split}_google_zh2enc"] = (split, "zh2enc", "en", "mt")
    for file, (split, tag, lang, role) in texts.items():
        name = names[split]
        put_lines(root, {f"{file}.caption.txt": [f"{name}#{tag}#{k} {tag} {k} of {split}" for k in range(2)]})
        item_id = name.removesuffix(".jpg")
        expected += [(item_id, split, lang, role, f"{tag} {k} of {split}") for k in range(2)]
    return Expected(expected)


def write(root: Path) -> Expected:
    return nrccr_files(
        root / "TextData", "multi30k", "_enc", {"train": "1.jpg", "val": "2.jpg", "test": "3.jpg"}
    )
