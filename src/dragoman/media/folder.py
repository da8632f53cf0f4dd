"""A folder of images and videos, with the captions and the metadata that lie beside them.

Corpora and indexes read such a folder by these rules alone, so that a picture is the same item in both:

- The item of `trip/dog.jpg` is called `trip/dog.jpg`. What `listing` leaves out is counted.
- Its captions are the lines of `trip/dog.txt` that are not blank, and those of `trip/dog.pt.txt` in
  Portuguese. Of several media of one stem, `dog.jpg.txt` is of one alone.
- Its metadata are `trip/dog.json`, or else `trip/dog.jpg.json`, or what Google Takeout calls so.
- Its rows of `metadata.csv` and `metadata.jsonl` in the folder that was given are further captions, in the
  column `text`, and further metadata.
- Its sidecars `trip/dog.jpg.xmp` and `trip/dog.xmp`, and what stands inside of it (XMP, IPTC, EXIF, texts of
  PNG), give metadata that are not said above, and captions in languages that have none. In each language, the
  first of these sources that has captions gives all of them.

Of media files, nothing but these blocks is read. Memory: the paths of all files, the tables of metadata, and
what stands in the last `KEPT` pictures.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from dragoman.errors import UserError
from dragoman.languages import canonical_tag, language
from dragoman.media.embedded import (
    NOTHING,
    Embedded,
    Inside,
    chosen_captions,
    compared,
    read_embedded,
    read_sidecar,
)
from dragoman.media.listing import (
    IMAGE_SUFFIXES,
    OTHER,
    VIDEO_SUFFIXES,
    Listing,
    Unusable,
    kind_of,
    list_media,
)
from dragoman.media.metadata_tables import MediaTables, TableFault
from dragoman.metadata import metadata_of_json
from dragoman.records import Kind, Value
from dragoman.textfiles import TextLine, text_lines, unique_keys
from dragoman.texts import caption

log = logging.getLogger(__name__)

OWN = frozenset({"item_id", "kind", "path"})
"""Names for what an item says of itself, and metadata cannot."""
LONGEST_NOTE = 1_000_000
"""Bytes of a file beside a picture; a larger one was not written by hand."""
KEPT = 50_000
"""Pictures of which is kept what stands in them, some hundred bytes each: a build asks for it three times."""
Origin = Literal["text file", "table"] | Inside
"""Kind of place in which a caption stands."""
ORIGINS: Sequence[Origin] = ("text file", "table", "sidecar", "XMP", "IPTC", "EXIF", "PNG text")
"""In the order in which they count."""
UNREAD = "values of metadata that no filter can compare, such as lists of objects"
_TAKEOUT = re.compile(r"(?P<name>.+?\.\w+)(\.(?P<rest>[a-z-]*))?(?P<copy>\(\d+\))?", re.IGNORECASE)
MEND = "Correct it, or move it elsewhere."


class NoteError(ValueError):
    """A file beside a picture or video that cannot be read; the message names it and the reason."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(f"{file.name} {what}")
        self.what = what
        """The reason alone, from its verb on."""


class CaptionFile(NamedTuple):
    """A file of captions of one item, or those that a table has of it."""

    file: Path
    lang: str | None
    """Tag in its name, or None."""
    listed: tuple[TextLine, ...] | None = None
    """Those of a table or of a picture, which are read already."""
    origin: Origin = "text file"
    unreadable: str | None = None
    """Reason why there are none."""

    @property
    def within(self) -> str:
        """The block of the file that holds them, as `XMP`; empty where it is all of it."""
        return self.origin if self.origin in ("XMP", "IPTC", "EXIF", "PNG text") else ""

    def lines(self) -> Iterator[TextLine]:
        """Captions, one a line, without the lines that are blank. Raises NoteError."""
        if self.unreadable:
            raise NoteError(self.file, self.unreadable)
        for line in self._given():
            text, fault = (line.text, line.fault) if line.fault else caption(line.text)
            yield line._replace(text=text, fault=fault)

    def _given(self) -> Iterator[TextLine]:
        if self.listed is not None:
            yield from self.listed
            return
        try:
            _require_note(self.file)
            for line in text_lines(self.file):
                if line.text or line.fault:
                    yield line
        except (UserError, OSError) as error:
            raise NoteError(self.file, f"cannot be read ({error})") from None


class MediaFolder:
    """All images and videos below a folder."""

    def __init__(self, folder: Path, exclude: Sequence[str] = ()) -> None:
        """Leave out what matches a pattern of `exclude`. Raises UserError for what is no folder, or holds no
        media."""
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give the folder that holds the images.")
        self.folder = folder
        self._listing = list_media(folder, exclude)
        self.unusable: Sequence[Unusable] = self._listing.unusable
        """Files and folders that cannot be taken, and why."""
        self.ids: Sequence[str] = self._listing.media
        """Sorted by code points."""
        self.links: Collection[str] = self._listing.links
        """Ids of files that are links."""
        # A set, as several threads read metadata, some of them more than once.
        self._unread: set[str] = set()
        # By item: how many captions of a source are taken, or left out by a rule.
        self._inside: dict[str, Counter[tuple[Inside, str]]] = {}
        self.embedded = lru_cache(KEPT)(self._embedded)
        if not self.ids:
            raise UserError(self._nothing())
        self._texts: dict[str, list[CaptionFile]] = {}
        self._notes: dict[str, Path] = {}
        self._sidecars: dict[str, Path] = {}
        self.strays: list[str] = []
        """Paths of text files that have a place among the media, but belong to none of them."""
        # Sorted like the ids, so that faults are told in an order that does not change.
        for parent in sorted(self._listing.folders):
            self._find_beside(parent, self._listing.folders[parent])
        self._tables = MediaTables(folder, self._listing.tables())
        self.faults: Sequence[TableFault] = self._tables.faults
        """Rows of tables, and whole tables, that cannot be read."""
        for line in (*self._unknown_languages(), *self._tables.oddities, *self._tables.unmatched(self.ids)):
            log.warning("%s", line)

    def left_out(self) -> list[str]:
        """Tell what the rules leave out, a line a rule; of metadata what was read so far."""
        values, captions = Listing(), Listing()
        for path in sorted(self._unread):
            values.leave_out(path, UNREAD)
        for item_id, counts in sorted(self._inside.items()):
            for (origin, rule), count in counts.items():
                for _ in range(count if rule else 0):
                    captions.leave_out(f"{item_id}: {origin}", rule)
        return [*self._listing.left_out(), *values.left_out(), *captions.left_out()]

    def taken_inside(self) -> Counter[Origin]:
        """Count the captions that `texts` took from sidecars and from inside pictures so far."""
        found: Counter[Origin] = Counter()
        for counts in self._inside.values():
            found.update({origin: count for (origin, rule), count in counts.items() if not rule})
        return found

    def kind(self, item_id: str) -> Kind:
        """Tell image or video."""
        kind = kind_of(item_id)
        assert kind is not None, "ids end like media files"
        return kind

    def texts(self, item_id: str, lang: str | None = None) -> list[CaptionFile]:
        """Find the captions of an item: its files, in the order of their names, those of the tables, then
        those of its sidecars and from inside of it.

        Of the last two, those in languages that the sources before them leave open; `lang` is the language of
        captions that say none.
        """
        # A set, as the name of one picture may be the stem of another: `dog.jpg` and `dog.jpg.png`.
        beside = sorted({*self._texts.get(item_id, ()), *self._texts.get(_stem(item_id), ())})
        listed = self._tables.captions.get(item_id, ())
        own = beside + [CaptionFile(file, tag, (line,), "table") for file, tag, line in listed]
        inside = self.embedded(item_id)
        return self._open(item_id, inside, own, lang) if inside.captions or inside.faults else own

    def metadata(self, item_id: str) -> dict[str, Value]:
        """Metadata of an item; what is `noted` counts more than what stands inside. Raises NoteError."""
        return {**self.embedded(item_id).metadata, **self.noted(item_id)}

    @property
    def has_notes(self) -> bool:
        """True where `noted` finds something of any item."""
        return bool(self._notes or self._tables.metadata)

    def noted(self, item_id: str) -> dict[str, Value]:
        """Metadata that were written for an item; what lies beside it counts more than the tables. Raises
        NoteError."""
        file = self._notes.get(_stem(item_id)) or self._notes.get(item_id)
        left: list[str] = []
        beside = {} if file is None else _read_note(file, left)
        self._unread.update(f"{item_id}: {name}" for name in left)
        found = {**self._tables.metadata.get(item_id, {}), **beside}
        return {name: value for name, value in found.items() if name not in OWN}

    def fingerprint(self) -> str:
        """Hash of the names of the media, and of names and contents of what lies beside them."""
        # Whoever kept a hash by former rules must not take it for one by these.
        digest = hashlib.sha256(b"ids with suffix\0")
        if self._tables.captions:
            digest.update(b"captions in tables\0")
        usable = set(self.ids)
        for path in sorted(self._listing.paths()):
            digest.update(os.fsencode(path) + b"\0")
            if kind_of(path) is None:
                digest.update(_content(self.folder / path))
            elif inside := self.embedded(path) if path in usable else NOTHING:
                # Faults by their source alone, as the words of a library may change.
                told = [fault.source for fault in inside.faults]
                digest.update(repr((inside.captions, sorted(inside.metadata.items()), told)).encode())
        return digest.hexdigest()

    def _embedded(self, item_id: str) -> Embedded:
        found = NOTHING
        for owner in dict.fromkeys((item_id, _stem(item_id))):
            if (sidecar := self._sidecars.get(owner)) is not None:
                found = found.before(read_sidecar(sidecar))
        return found.before(read_embedded(self.folder / item_id)) if kind_of(item_id) == "image" else found

    def _open(
        self, item_id: str, inside: Embedded, own: Sequence[CaptionFile], lang: str | None
    ) -> list[CaptionFile]:
        """Choose the captions from inside a picture that are in languages which are open, count all, and add
        them to its own, which are read then."""
        taken: dict[str | None, set[str]] = {}
        found = []
        for texts in own:
            try:
                texts = texts._replace(listed=tuple(texts.lines()))
            except NoteError as error:
                texts = texts._replace(unreadable=error.what)
            found.append(texts)
            if said := {compared(line.text) for line in texts.listed or () if line.fault is None}:
                taken.setdefault(texts.lang or lang, set()).update(said)
        chosen, counts = chosen_captions(inside.captions, taken, lang)
        self._inside[item_id] = counts
        for (origin, tag), group in groupby(chosen, key=lambda one: (one.source, one.lang)):
            lines = tuple(TextLine(0, "", one.text, None) for one in group)
            found.append(CaptionFile(self._place(item_id, origin), tag, lines, origin))
        for origin, name, what in inside.faults:
            file = self._place(item_id, origin).with_name(name)
            found.append(CaptionFile(file, None, (), origin, what))
        return found

    def _place(self, item_id: str, origin: Inside) -> Path:
        """Tell which file holds what `origin` gave."""
        if origin != "sidecar":
            return self.folder / item_id
        return self._sidecars.get(item_id) or self._sidecars[_stem(item_id)]

    def _nothing(self) -> str:
        if self.unusable:
            return f"{self.folder} holds nothing that can be taken. {self.unusable[0]}"
        left = "".join(f" {line}." for line in self.left_out())
        return (
            f"{self.folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}) and no videos "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}). Check the folder: is its disk there?{left}"
        )

    def _find_beside(self, parent: str, names: Sequence[str]) -> None:
        """Find whose the texts and notes of one folder are."""
        below = f"{parent}/" if parent else ""
        media = [name for name in names if kind_of(name)]
        owners = {*media, *map(_stem, media)}
        for name in names:
            stem, suffix, path = _stem(name), PurePosixPath(name).suffix.lower(), below + name
            if suffix == ".json" and (noted := stem if stem in owners else _of_takeout(stem, owners)):
                self._notes.setdefault(below + noted, self.folder / path)
            elif suffix == ".json":
                self._listing.leave_out(path, OTHER)
            elif suffix == ".xmp" and stem in owners:
                self._sidecars.setdefault(below + stem, self.folder / path)
            elif suffix == ".xmp":
                self._listing.leave_out(path, OTHER)
            elif suffix == ".txt":
                owner, lang = _owner(stem, owners)
                if owner is None:
                    self.strays.append(path)
                else:
                    self._texts.setdefault(below + owner, []).append(CaptionFile(self.folder / path, lang))

    def _unknown_languages(self) -> Iterator[str]:
        """Tell of tags in names of files that are no language which is known here: one line a tag."""
        tagged: dict[str, list[Path]] = {}
        for one in (one for texts in self._texts.values() for one in texts if one.lang is not None):
            tagged.setdefault(one.lang or "", []).append(one.file)
        for lang, files in sorted(tagged.items()):
            try:
                language(lang)
            except UserError:
                first = files[0].relative_to(self.folder).as_posix()
                yield (
                    f"{self.folder}: the language {lang!r} of {len(files)} files of captions is not known "
                    f"here; the first is {first}. Rename them if it is none."
                )


def _of_takeout(stem: str, owners: set[str]) -> str | None:
    """Whose metadata a file of Google Takeout holds: `dog.jpg.supplemental-metadata`, of which long names
    keep only the beginning, and `dog.jpg(1)` of `dog(1).jpg`."""
    found = _TAKEOUT.fullmatch(stem)
    if found is None or not "supplemental-metadata".startswith(found["rest"] or ""):
        return None
    name, copy = found["name"], found["copy"] or ""
    owner = f"{_stem(name)}{copy}{PurePosixPath(name).suffix}"
    return owner if owner in owners else None


def _stem(path: str) -> str:
    """Strip a path of its suffix, as PurePosixPath tells it."""
    return path.removesuffix(PurePosixPath(path).suffix)


def _owner(stem: str, owners: set[str]) -> tuple[str | None, str | None]:
    """Whose captions a text file holds, by its stem, and in which language."""
    # `dog.old.txt` is of the picture `dog.old.jpg` where there is one, though "old" might be a language.
    if stem in owners:
        return stem, None
    owner, _, tag = stem.rpartition(".")
    if owner not in owners:
        return None, None
    try:
        return owner, canonical_tag(tag)
    except ValueError:
        return None, None


def _require_note(file: Path) -> None:
    # To read from a pipe would wait for ever.
    if not file.is_file():
        raise NoteError(file, "is no file that can be read. Remove it, or move it elsewhere.")
    if file.stat().st_size > LONGEST_NOTE:
        raise NoteError(file, f"is larger than {LONGEST_NOTE:,} bytes. Move it elsewhere.")


def _read_note(file: Path, left_out: list[str]) -> dict[str, Value]:
    try:
        _require_note(file)
        # Of bytes, json tells the encoding itself: UTF-8 with or without a mark, UTF-16.
        value = json.loads(file.read_bytes(), object_pairs_hook=unique_keys)
        if isinstance(value, dict):
            return metadata_of_json(value, left_out=left_out)
    except OSError as error:
        raise NoteError(file, f"cannot be read ({error.strerror}). {MEND}") from None
    except NoteError:
        raise
    except (ValueError, RecursionError) as error:
        raise NoteError(file, f"is no JSON ({error}). {MEND}") from None
    raise NoteError(file, f"holds a {type(value).__name__}, not an object. {MEND}")


def _content(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes() if file.is_file() else b"no file").digest()
    except OSError:
        return b"unreadable"
