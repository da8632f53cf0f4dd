from __future__ import annotations

from pathlib import Path

from miniatures import Expected, put_records


def write(root: Path) -> Expected:
    expected = []
    for number, lang in enumerate(("en", "ar", "bg", "da", "el", "et", "id", "ja", "ko", "tr", "vi")):
        shared = ("https" if number % 2 else "http") + "://upload.wikimedia.org/a/b/Two%20dogs.jpg"
        own = f"https://upload.wikimedia.org/{lang}.svg"
        rows = [(shared, f"wit-test_{number}", f"{lang} one"), (own, f"wit-test_{lang}", f"{lang} two")]
        rows.append((shared, f"wit-test_{number}", f"{lang} three"))
        records = [
            {"image_idx": 1, "image_url": url, "meta_url": "m", "caption_reference_description": text}
            | {"language": lang, "page_url": "p", "wit_ix": name}
            for url, name, text in rows
        ]
        put_records(root, {f"annotations/test_{lang}.jsonl": records})
        ids = ("wit-test_0", f"wit-test_{lang}", "wit-test_0")
        expected += [(i, "test", lang, "human", text) for i, (_, _, text) in zip(ids, rows, strict=True)]
    return Expected(expected)
