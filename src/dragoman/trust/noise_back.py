"""Back-translations of damaged captions: what the old one said of the old text no longer holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.translation.engine import open_engine
from dragoman.translation.texts import JobSettings, translate_texts
from dragoman.trust.noise import Damage

DROP, KEEP = "drop", "keep"


def back_translations(
    rows: Sequence[Mapping[str, Any]],
    damages: Mapping[str, Damage],
    donors: Mapping[str, str],
    back: str,
) -> dict[str, str]:
    """The back-translation of each damaged caption that still has one, by caption id.

    A shuffled caption brings its own along: an engine would have made the same of the same text. For other
    damage, `back` is "drop" (none: what the engine would have made is not known), "keep" (the old one: the
    damage came after back-translation), or an engine spec, which translates the damaged text for good.
    Damaged captions that had none before get none; those that the engine rejects lose theirs.
    """
    old = {row["source_id"]: row for row in rows if row["role"] == "back"}
    moved = {i: old[donor]["text"] for i, donor in donors.items() if donor in old}
    changed = [i for i in damages if i in old and i not in donors]
    if back == DROP:
        return moved
    if back == KEEP:
        return moved | {i: old[i]["text"] for i in changed}
    lang_of = {row["caption_id"]: row["lang"] for row in rows if row["caption_id"] in damages}
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for i in changed:
        pairs[lang_of[i], old[i]["lang"]].append(i)
    for (lang, source_lang), caption_ids in pairs.items():
        outcomes, _ = translate_texts(
            (damages[i].text for i in caption_ids),
            open_engine(back, lang, source_lang),
            lang,
            source_lang,
            JobSettings(),
        )
        found = {i: outcomes[damages[i].text] for i in caption_ids}
        moved |= {i: text for i, text in found.items() if isinstance(text, str)}
    return moved
