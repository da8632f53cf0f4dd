"""A first look at a folder of photos: its media, its captions and their languages. No photo is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dragoman.corpus.corrections import Corrections
from dragoman.languages import comparable
from dragoman.media.folder import CaptionFile, MediaFolder, NoteError
from dragoman.search.detection import UNKNOWN, language_of

UNSAID = "und"
"""Tag of a language that is not determined (RFC 5646, section 4.1)."""
READ = 2000
"""Captions at most by which a language is recognised."""
TOGETHER = 10
"""Captions that are read as one text: of a short one alone, its language is often a guess."""
SAMPLED = 8
"""Photos, and captions, that are kept as examples."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Contents of a folder of photos."""

    photos: Path
    images: int
    videos: int
    captioned: int
    """Images and videos with a caption in the source language."""
    captions: Mapping[str, int]
    """Captions by language, with those that corrected a translation."""
    corrections: int
    """Captions among them that did."""
    lang: str
    """Language of captions that name none."""
    source: str
    """Language of most captions."""
    sample: tuple[str, ...]
    """Some captions in it."""
    files: tuple[Path, ...]
    """Some photos."""
    unusable: tuple[str, ...]
    """Files that cannot be taken, and why."""
    left_out: tuple[str, ...]
    """Lines on what the rules leave out, and on corrections of what is not here."""


def look(
    photos: Path,
    *,
    lang: str | None = None,
    exclude: Sequence[str] = (),
    corrections: Corrections | None = None,
) -> Found:
    """Look at a folder: its media, the captions beside and in them, and those that people corrected.

    Raises UserError where it holds no media.
    """
    media = MediaFolder(photos, exclude)
    # Where captions name no language, a part of them is asked for before it is known, and all of them after.
    read = cache(_lines)
    lang = lang or _recognised(_unsaid(media, read))
    texts = _Texts()
    for item_id in media.ids:
        for one in media.texts(item_id, lang):
            texts.add(comparable(one.lang or lang), item_id, read(one))
    # English among equals: most engines and encoders know it best. Corrections stand in the place of
    # translations, which are made from it.
    source = max(texts.count, key=lambda one: (texts.count[one], one == "en"), default=lang)
    known, corrections = set(media.ids), corrections or Corrections()
    corrected = [one for one in corrections.each() if one.item_id in known]
    for correction in corrected:
        texts.add(comparable(correction.lang), correction.item_id, [correction.text])
    strangers = corrections.strangers(known)
    images = [one for one in media.ids if media.kind(one) == "image"]
    return Found(
        photos=photos,
        images=len(images),
        videos=len(media.ids) - len(images),
        captioned=len(texts.owners.get(source, ())),
        captions=dict(texts.count.most_common()),
        corrections=len(corrected),
        lang=lang,
        source=source,
        sample=_spread(texts.some.get(source, [])),
        files=tuple(photos / one for one in _spread(images)),
        unusable=tuple(f"{path}: {why}" for path, why in media.unusable),
        left_out=(*media.left_out(), *([strangers] if strangers else [])),
    )


class _Texts:
    """Captions by their language."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.owners: dict[str, set[str]] = {}
        self.some: dict[str, list[str]] = {}

    def add(self, lang: str, item_id: str, lines: Sequence[str]) -> None:
        if lines:
            self.count[lang] += len(lines)
            self.owners.setdefault(lang, set()).add(item_id)
            some = self.some.setdefault(lang, [])
            some += lines[: max(READ - len(some), 0)]


def _lines(texts: CaptionFile) -> Sequence[str]:
    try:
        return [line.text for line in texts.lines() if line.fault is None]
    except NoteError:
        # The corpus tells of it.
        return []


def _unsaid(media: MediaFolder, read: Callable[[CaptionFile], Sequence[str]]) -> list[str]:
    """Gather captions whose language is not said, beside the photos and in them."""
    found: list[str] = []
    for item_id in media.ids:
        for one in media.texts(item_id, UNSAID):
            if one.lang in (None, UNSAID):
                found += read(one)
        if len(found) >= READ:
            break
    return found[:READ]


def _spread(some: Sequence[str]) -> tuple[str, ...]:
    """Take a few at equal distances."""
    return tuple(some[:: max(len(some) // SAMPLED, 1)][:SAMPLED])


def _recognised(texts: Sequence[str]) -> str:
    """The language of most of these captions; English where there are none."""
    groups = [" ".join(texts[at : at + TOGETHER]) for at in range(0, len(texts), TOGETHER)]
    found = Counter(language_of(group, ("en",)).code for group in groups)
    del found[UNKNOWN]
    return found.most_common(1)[0][0] if found else "en"
