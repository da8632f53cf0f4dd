"""Corrections in an index: what people wrote in the place of translations is shown first, as theirs.

They stand in `corrections.jsonl` of the index. The job that fills it reads them there, and a service adds to
them: first to the file, then to the entries, so that a kill between the two loses nothing.

A corpus has corrections of its own, those of sheets. The job keeps them in `corrections-of-corpus.jsonl`, by
which a service knows that a caption which it corrects is one of them, and of which translation: its own takes
that place (`corpus.corrections`), and where it is taken back the other one is shown again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corrections import (
    CORRECTIONS,
    Correction,
    Corrections,
    Fault,
    forget_corrections,
    keep_corrections,
    read_corrections,
    replaced,
    write_corrections,
)
from dragoman.errors import UserError
from dragoman.index.entries import PAGE, State, video_of
from dragoman.index.items import Items, MediaItem, Notes
from dragoman.media.frames import Frames
from dragoman.records import KINDS, Entry, Kind
from dragoman.stores import Store
from dragoman.stores.checks import check_entry

log = logging.getLogger(__name__)

OF_CORPUS = "corrections-of-corpus.jsonl"
"""File of an index with the corrections of the corpus that it was made from."""


def corrections_of(folder: Path) -> Corrections:
    """Read the corrections of an index; lines that are none are warned of."""
    faults: list[Fault] = []
    found = read_corrections([folder / CORRECTIONS], faults)
    for fault in faults:
        log.warning("no correction: %s", fault)
    return found


def keep_corpus_corrections(folder: Path, found: Corrections, own: Corrections) -> None:
    """Keep the corrections of the corpus beside those of its index. Hold the index for it."""
    text_of = {one.of: one.text for one in own.each()}
    before = read_corrections([folder / OF_CORPUS], []).each()
    # A corpus that was built with those of the index no longer has what they replaced.
    kept = {one.of: one for one in before if one.of in text_of}
    kept |= {one.of: one for one in found.each() if text_of.get(one.of) != one.text}
    if kept or before:
        write_corrections(folder / OF_CORPUS, kept.values())


def strangers_of(corrections: Corrections, items: Items, store: Store) -> str | None:
    """Tell of corrections whose item is neither among the items nor in the index; None where there are
    none."""
    known = {item.item_id for item in items.walk(*KINDS)}
    left = [one for one in corrections if one not in known]
    # What came by `Searcher.add` is no item.
    known.update(entry.item_id for entry in store.get(left) if entry is not None)
    return corrections.strangers(known)


class CorrectedItems(Items):
    """Items with corrections before what else people wrote, and in the place of what they correct."""

    def __init__(self, items: Items, corrections: Corrections) -> None:
        self._items, self._corrections = items, corrections
        self.corrections = items.corrections
        self.root, self.faults = items.root, items.faults

    @property
    def left_out(self) -> Sequence[str]:
        return self._items.left_out

    def __len__(self) -> int:
        return len(self._items)

    def walk(self, *kinds: Kind) -> Iterator[MediaItem]:
        return self._items.walk(*kinds)

    def notes(self, item: MediaItem) -> Notes:
        notes = self._items.notes(item)
        if (of_item := self._corrections.get(item.item_id)) is None:
            return notes
        texts = {lang: [text, *notes.more_captions.get(lang, ())] for lang, text in notes.captions.items()}
        machine, earlier = set(notes.machine), self.corrections.get(item.item_id, {})
        for lang, several in of_item.items():
            # A text itself is corrected where it comes from.
            if lang == item.lang:
                continue
            gone = replaced(earlier.get(lang, ()), several)
            others = [] if lang in machine else [one for one in texts.get(lang, []) if one not in gone]
            texts[lang] = list(dict.fromkeys([*(one.text for one in several), *others]))
        found = Notes.of(notes.metadata, texts, machine=machine - of_item.keys())
        return found._replace(faults=(*notes.faults, *found.faults))

    def frozen(self, item: MediaItem) -> NDArray[np.floating] | Frames:
        return self._items.frozen(item)


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """Captions of an entry in one language."""

    texts: tuple[str, ...]
    """The first one is shown."""
    is_machine: bool
    corrections: tuple[Correction, ...]
    """Those of the index, which are among the texts."""
    earlier: tuple[Correction, ...]
    """Those of the corpus, which are among them but where the index has one in their place."""

    @classmethod
    def of(cls, entry: Entry, lang: str, folder: Path) -> Captioned:
        """Read what an entry of the index in this folder has."""
        first = entry.captions.get(lang)
        texts = () if first is None else (first, *entry.more_captions.get(lang, ()))
        own, earlier = (
            read_corrections([folder / name], []).get(item_of(entry), {}).get(lang, ())
            for name in (CORRECTIONS, OF_CORPUS)
        )
        return cls(texts=texts, is_machine=lang in entry.machine, corrections=own, earlier=earlier)

    @property
    def shown(self) -> Correction | None:
        """The correction that is shown first, if one is."""
        every = (*self.corrections, *self.earlier)
        return next((one for one in every if self.texts[:1] == (one.text,)), None)


def item_of(entry: Entry) -> str:
    """Name the item of an entry: of a moment, its video."""
    return video_of(entry) or entry.item_id


def correct(
    folder: Path, store: Store, item_id: str, lang: str, text: str, require: Callable[[bool], object]
) -> tuple[bool, Entry] | None:
    """Put a caption of an entry first in a language, durably. Hold the index for it.

    All moments of a video get it. `require` is told whether there was a caption, and raises where nothing is
    to be changed. Returns True where there was none, and the entry; None where there is no such entry. Raises
    UserError for a text that no store holds, and for the text that the item itself is.
    """
    if (entry := store.get([item_id])[0]) is None:
        return None
    if lang == entry.lang:
        raise UserError(
            f"The text of {item_id!r} is the item itself: give the whole item anew, with another text."
        )
    held = Captioned.of(entry, lang, folder)
    require(bool(held.texts))
    before = held.shown
    translation = held.texts[0] if held.is_machine else before.translation if before else None
    of_people = () if held.is_machine else held.texts[1 if before else 0 :]
    changed = [_worded(one, lang, (text, *of_people)) for one in _entries_of(store, entry)]
    for one in changed:
        check_entry(one)
    made = Correction(item_id=item_of(entry), lang=lang, text=text, translation=translation)
    keep_corrections(folder / CORRECTIONS, [made])
    store.update(changed)
    return not held.texts, next(one for one in changed if one.item_id == item_id)


def take_back(
    folder: Path, store: Store, item_id: str, lang: str, require: Callable[[bool], object]
) -> bool | None:
    """Take the corrections of an entry in a language back, durably; what they replaced is shown again, and
    what a machine wrote where people wrote nothing else. Hold the index for it.

    `require` is told that there is one, and raises where nothing is to be changed. Returns False where there
    is none, and None where there is no such entry.
    """
    if (entry := store.get([item_id])[0]) is None:
        return None
    held = Captioned.of(entry, lang, folder)
    if not held.corrections:
        return False
    require(True)
    entries = _entries_of(store, entry)
    forget_corrections(folder / CORRECTIONS, item_of(entry), lang)
    gone = {one.text for one in held.corrections}
    back = replaced(held.earlier, held.corrections)
    # As the job puts them: corrections before what else people wrote.
    kept = (*(one.text for one in held.earlier if one.text in back), *held.texts)
    kept = tuple(text for text in kept if text in back or text not in gone)
    translation = next((one.translation for one in held.corrections if one.translation), None)
    # A kill may have left the entry as it was before it was corrected.
    is_machine = held.is_machine or (not kept and translation is not None)
    if not kept and translation is not None:
        kept = (translation,)
    store.update([_worded(one, lang, kept, is_machine=is_machine) for one in entries])
    return True


def _entries_of(store: Store, entry: Entry) -> list[Entry]:
    """Find all entries of the item of an entry: the moments of a video."""
    if (video := video_of(entry)) is None:
        return [entry]
    found, after = [], f"{video}#t="
    # Sorted by id, so that those which begin alike follow one another.
    while page := [one for one in store.scan(after, PAGE) if one.item_id.startswith(f"{video}#t=")]:
        found += [one for one in page if video_of(one) == video]
        after = page[-1].item_id
    return found


def _worded(entry: Entry, lang: str, texts: Iterable[str], *, is_machine: bool = False) -> Entry:
    """Give an entry these captions in a language, and none where there are none."""
    several = tuple(dict.fromkeys(texts))
    captions = {name: text for name, text in entry.captions.items() if name != lang}
    more = {name: further for name, further in entry.more_captions.items() if name != lang}
    if several:
        captions[lang] = several[0]
    if several[1:]:
        more[lang] = several[1:]
    machine = entry.machine - {lang} | ({lang} if is_machine else set())
    state = State.parse(entry.source)
    # The job must not take it for what it made of the notes of before.
    source = entry.source if state is None else str(state._replace(notes="0" * len(state.notes)))
    return replace(entry, captions=captions, more_captions=more, machine=machine, source=source)
