"""Corrections: captions that people wrote in the place of a machine's, kept apart from it.

Two forms hold them: JSON Lines with the keys `item_id`, `lang`, `text` and `translation`, the machine's text
that is replaced; and sheets (.csv, .tsv, .xlsx, .ods) with these columns, where `correction` counts before
`text`, and `path` stands in for `item_id`. Rows without a correction are passed over.

A correction takes the place of what it corrects: of a translation, and of every earlier correction of that
translation, in whatever file it stands. So of several the last one counts, and files count in the order in
which they are given. Captions that people wrote elsewhere stay, behind it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dragoman.errors import UserError
from dragoman.folders import atomic_path
from dragoman.languages import canonical_tag
from dragoman.sheets import records, unguarded
from dragoman.textfiles import json_lines
from dragoman.texts import caption

CORRECTIONS = "corrections.jsonl"
"""File of an index, and of a collection, that keeps them."""
CORRECTION = "correction"
"""Place in which a corpus says that a caption stood (`corpus.FOUND_IN`)."""
COLUMNS = ("item_id", "path", "lang", "source", "translation", "trust", "reason", "correction")
"""Columns of a sheet that is to be filled in."""
_SHOWN = 3
"""Items that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A caption of an item that a person wrote in the place of a translation."""

    item_id: str
    lang: str
    """BCP 47."""
    text: str
    translation: str | None = None
    """Text of the machine that it replaces, where that is known."""

    @property
    def of(self) -> tuple[str, str, str | None]:
        """Name what it corrects: item, language and translation."""
        return self.item_id, self.lang, self.translation

    def encoded(self) -> bytes:
        """Write it as a line of JSON."""
        said = {"item_id": self.item_id, "lang": self.lang, "text": self.text}
        told = said if self.translation is None else said | {"translation": self.translation}
        # Escapes keep what is no valid Unicode.
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace")


class Fault(NamedTuple):
    """A record that is no correction, and why."""

    file: Path
    line: int
    raw: str | bytes
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"


class Corrections(Mapping[str, Mapping[str, tuple[Correction, ...]]]):
    """Corrections by item and language, in the order in which what they correct was first named."""

    def __init__(self, given: Iterable[Correction] = ()) -> None:
        """Take corrections in their order: the last one of a translation counts."""
        self._all = {one.of: one for one in given}
        self._of: dict[str, dict[str, tuple[Correction, ...]]] = {}
        for one in self._all.values():
            of_item = self._of.setdefault(one.item_id, {})
            of_item[one.lang] = (*of_item.get(one.lang, ()), one)

    def __getitem__(self, item_id: str) -> Mapping[str, tuple[Correction, ...]]:
        return self._of[item_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def each(self) -> list[Correction]:
        """List them all."""
        return list(self._all.values())

    def strangers(self, known: Collection[str]) -> str | None:
        """Tell of corrections whose item is none of the known ones; None where there are none."""
        gone = [item_id for item_id in self._of if item_id not in known]
        if not gone:
            return None
        count = sum(len(some) for item_id in gone for some in self._of[item_id].values())
        named = ", ".join([*gone[:_SHOWN], *(["…"] if len(gone) > _SHOWN else [])])
        return f"corrections of items that are not here, kept for when they are: {count:,} ({named})"


def replaced(before: Iterable[Correction], later: Iterable[Correction]) -> set[str]:
    """Texts of corrections, of one item in one language, whose place later ones take."""
    earlier, gone = list(before), {one.of for one in later}
    return {one.text for one in earlier if one.of in gone} - {
        one.text for one in earlier if one.of not in gone
    }


def read_corrections(
    files: Iterable[Path], faults: list[Fault] | None = None, *, media: Path | None = None
) -> Corrections:
    """Read files of corrections, one behind another; those that are not there hold none.

    A path that begins in the folder `media` is seen from there. Records that are none are added to `faults`,
    or where that is None, the first of them is raised as UserError. Raises UserError for a file that cannot
    be read, or a sheet without the columns.
    """
    found: list[Correction] = []
    for file in files:
        for one in _read(file, media) if file.exists() else ():
            if isinstance(one, Correction):
                found.append(one)
            elif faults is None:
                raise UserError(f"{one} Correct the line, or remove it.")
            else:
                faults.append(one)
    return Corrections(found)


def require_files(files: Iterable[Path]) -> None:
    """Raise UserError for a file that a user names and that is not there."""
    for file in files:
        if not file.is_file():
            raise UserError(f"--corrections {file}: there is no such file. Check the path.")


def keep_corrections(file: Path, given: Iterable[Correction]) -> None:
    """Add corrections to a file of JSON Lines, each in the place of the one that it follows, durably.

    Lines that are no corrections stay as they are. Hold the folder for it; a kill leaves the old file or the
    new one.
    """
    new = {one.of: one for one in given}
    lines: list[bytes] = []
    for raw, old in _lines(file):
        # In its place, so that what is corrected twice keeps its order.
        lines.append(new.pop(old.of).encoded() if old is not None and old.of in new else raw)
    _write(file, [*lines, *(one.encoded() for one in new.values())])


def write_corrections(file: Path, given: Iterable[Correction]) -> None:
    """Replace a file of JSON Lines, durably. Hold the folder for it."""
    _write(file, [one.encoded() for one in given])


def forget_corrections(file: Path, item_id: str, lang: str) -> list[Correction]:
    """Take the corrections of an item in a language out of a file, durably, and return them. Hold the folder
    for it."""
    kept, gone = [], []
    for raw, one in _lines(file):
        if one is not None and (one.item_id, one.lang) == (item_id, lang):
            gone.append(one)
        else:
            kept.append(raw)
    if gone:
        _write(file, kept)
    return gone


def _write(file: Path, lines: list[bytes]) -> None:
    with atomic_path(file) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for line in lines))


def _lines(file: Path) -> Iterator[tuple[bytes, Correction | None]]:
    for line, fields in json_lines(file) if file.exists() else ():
        found = None if line.fault else _correction(fields, None)
        raw = line.raw.encode() if isinstance(line.raw, str) else line.raw
        yield raw, found if isinstance(found, Correction) else None


def _read(file: Path, media: Path | None) -> Iterator[Correction | Fault]:
    if file.name.lower().endswith((".jsonl", ".jsonl.gz")):
        for line, fields in json_lines(file):
            found = line.fault or _correction(fields, media)
            if found is not None:
                yield Fault(file, line.number, line.raw, found) if isinstance(found, str) else found
        return
    usual = "\t" if file.name.lower().endswith(".tsv") else ","
    header, rows = records(file, usual=usual, padded=True)
    for wanted in (("item_id", "path"), ("lang",), ("correction", "text")):
        if not set(wanted) & set(header):
            raise UserError(
                f"{file}: no column {' or '.join(wanted)} among {', '.join(header)}. Make a sheet to fill in"
                ": dragoman trust CORPUS --review sheet.csv"
            )
    for number, raw, cells, fault in rows:
        given = {name: unguarded(cell.strip()) or None for name, cell in zip(header, cells, strict=False)}
        made = fault or _correction(given, media)
        if made is not None:
            yield Fault(file, number, raw, made) if isinstance(made, str) else made


def _correction(fields: Mapping[str, object], media: Path | None) -> Correction | str | None:
    """Make a correction of a record; why it is none; or None where nothing is corrected."""
    given: dict[str, str] = {}
    for name in ("item_id", "path", "lang", "text", "correction", "translation"):
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            return f"{name} is {value!r}, but a text was expected."
        if value is not None:
            given[name] = value
    # A sheet with a column for corrections may hold the captions themselves in another one.
    text = given.get("correction" if "correction" in fields else "text", "")
    if not text.strip():
        return None
    item_id = given.get("item_id") or _seen_from(media, given.get("path", ""))
    if not item_id:
        return "item_id is missing: it names the picture."
    try:
        lang = canonical_tag(given.get("lang", ""))
    except ValueError as error:
        return str(error)
    text, fault = caption(text.strip())
    if fault is not None:
        return fault
    translation = given.get("translation", "").strip() or None
    return Correction(item_id=item_id, lang=lang, text=text, translation=translation)


def _seen_from(media: Path | None, path: str) -> str:
    """Give the id of the item of a file: its path below the folder of the media."""
    path = path.replace("\\", "/").removeprefix("./")
    for root in () if media is None else (media.absolute(), media.resolve()):
        if Path(path).is_relative_to(root):
            return Path(path).relative_to(root).as_posix()
    return path
