from __future__ import annotations

from pathlib import Path
from typing import Any

from miniatures import Expected, put_records

LOCALES = (
    "ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fil", "fr", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "mi", "nl", "no", "pl", "pt", "quz", "ro", "ru", "sv", "sw", "te", "th", "tr", "uk",
    "vi", "zh",
)  # fmt: skip


def write(root: Path) -> Expected:
    records: list[dict[str, Any]] = []
    for key in ("0a1b", "2c3d"):
        texts = {lang: [f"{lang} one of {key}", f"{lang} two"] for lang in LOCALES}
        record = {lang: {"caption": t, "caption/tokenized": ["x"]} for lang, t in texts.items()}
        records.append({"image/key": key, "image/locale": "fil"} | record)
    put_records(root, {"captions.jsonl": records})
    return Expected(
        [(key, "test", lang, "human", f"{lang} one of {key}") for key in ("0a1b", "2c3d") for lang in LOCALES]
    )
