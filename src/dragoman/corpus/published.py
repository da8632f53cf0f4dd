"""Data sets as their authors publish them: what a reader says of its files, and what it is given to read.

A reader of a published data set is a file in `readers/` with `ABOUT`, `needed(test)` and `read(wanted)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dragoman.corpus.rows import Row
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import canonical_tag
from dragoman.records import Split
from dragoman.textfiles import TextLine

Needed = Mapping[str, tuple[str, ...]]
"""Files below the root that a language needs; those under "" are needed whatever the languages."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is known of a data set before any of its files is opened."""

    title: str
    where: Mapping[str, str]
    """Address at which files are published, by the beginning of their path; "" for all others."""
    languages: tuple[str, ...] = ()
    """As BCP 47; none where the files say which they are."""
    tests: tuple[str, ...] = ()
    """Names for `--test`, the default first; none where there is no choice."""
    items: Mapping[str, int] = field(default_factory=dict)
    """Published number of items, by split, or by split and test set as in `test 1k` where these differ."""
    defects: tuple[str, ...] = ()
    """What is known to be odd about the files, and what is done about it."""
    free: bool = False
    """Whether the user says what the files do not: language, role, split."""
    shares: tuple[float, float, float] | None = None
    """Of train, val and test, drawn by hash, where no split is published and the user names none."""
    names_tests: bool = False
    """Whether the files say which test sets there are."""
    columns: bool = False
    """Whether the user says which column holds what."""
    packed: bool = False
    """Whether the files hold the pictures, which can be extracted."""


class Defects:
    """What was odd or left out: counted, with the first few places."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def note(self, what: str, place: str) -> None:
        """Count one case; the same `what` is counted together."""
        # Foreign ids may be no valid Unicode, and these lines are printed.
        place = place.encode("utf-8", "backslashreplace").decode()
        self._counts[what] = self._counts.get(what, 0) + 1
        places = self._places.setdefault(what, [])
        if len(places) < 3 and place not in places:
            places.append(place)

    def lines(self) -> list[str]:
        """One line for each sort of case, in the order in which they were met."""
        return [
            f"{what}: {count:,} ({', '.join(self._places[what])}{', …' if count > 3 else ''})"
            for what, count in self._counts.items()
        ]


class Files:
    """The published files below a root: plain or gzip, in the published folders or without the outer ones."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self._used: dict[Path, None] = {}
        self._skipped = _folders_to_skip(root, names)

    def find(self, name: str) -> Path | None:
        """The file of that published path, if it is there."""
        path = _present(self.root, name, self._skipped)
        return None if path is None else self.use(path)

    def __getitem__(self, name: str) -> Path:
        path = self.find(name)
        assert path is not None, name
        return path

    def use(self, path: Path) -> Path:
        """Note a file as input of the corpus."""
        self._used[path] = None
        return path

    def hashes(self) -> dict[str, str]:
        """Path and content hash of each file that was used."""
        return {str(path): sha256(path) for path in self._used}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a reader is asked for."""

    files: Files
    languages: tuple[str, ...]
    test: str
    lang: str | None = None
    """Of captions that name none, where the user says it."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Header of a key, such as `text`, where it is not the usual one."""
    extract: Path | None = None
    """Where to write pictures that the files hold."""
    defects: Defects = field(default_factory=Defects)

    def caption(
        self,
        file: Path | str,
        line: TextLine,
        item_id: str,
        lang: str,
        slot: int,
        text: object,
        **more: object,
    ) -> Iterator[Row]:
        """A human caption as a row, under the id `item#lang#slot`; none, and a note, where it is empty."""
        if isinstance(text, str):
            text = text.strip()
            if not text:
                self.defects.note(f"empty caption left out, {lang}", item_id)
                return
            if "\t" in text:
                self.defects.note(f"tab inside a caption read as a blank, {lang}", item_id)
        fields = {"caption_id": f"{item_id}#{lang}#{slot}", "item_id": item_id, "lang": lang, "text": text}
        yield Row(str(file), line.number, line.raw, fields | more)


def item(file: Path | str, line: int, item_id: str, split: Split, path: str | None, **more: object) -> Row:
    """An item as a row; `path` is the published file name or address."""
    return Row(str(file), line, "", {"item_id": item_id, "split": split, "path": path} | more)


def stem(name: str) -> str:
    """A file name without folders and suffix: `val2014/COCO_val2014_1.jpg` gives `COCO_val2014_1`."""
    return PurePosixPath(name).stem


def faulty(file: Path | str, line: TextLine, fault: str) -> Row:
    """A line that is no record."""
    return Row(str(file), line.number, line.raw, {}, fault)


def choose(
    name: str, about: Published, needed: Needed, root: Path, languages: Sequence[str] | None
) -> tuple[tuple[str, ...], Files]:
    """The languages to read and the files to read them from.

    By default these are the languages of which the root holds any file. Raises UserError that names every
    file that is missing, and where it is published.
    """
    if not root.is_dir() and (needed or not root.is_file()):
        raise UserError(f"{root} is no folder. Give the folder that holds the files of {name}.")
    files = Files(root, [path for paths in needed.values() for path in paths])
    # Where languages have files of their own, one without any is not in this test set.
    known = tuple(tag for tag in about.languages if tag in needed) or about.languages
    if languages is not None:
        chosen = _known_languages(name, languages, known)
    else:
        there = [tag for tag in known if any(files.find(path) for path in needed.get(tag, ()))]
        chosen = tuple(there) or known
    files = Files(root, [path for paths in needed.values() for path in paths])
    missing = [path for tag in ("", *chosen) for path in needed.get(tag, ()) if files.find(path) is None]
    if missing:
        raise UserError(_describe_missing(name, about, root, list(dict.fromkeys(missing)), len(known) > 1))
    return chosen, files


def choose_test(name: str, about: Published, test: str | None) -> str:
    """The test set to read, by default the first."""
    if test is None:
        return about.tests[0] if about.tests else ""
    if about.names_tests:
        return test
    if test not in about.tests:
        known = ", ".join(about.tests) or "none to choose from"
        raise UserError(f"--test is {test!r}, but {name} has: {known}. Give one of these, or leave it out.")
    return test


def _known_languages(name: str, languages: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    try:
        chosen = tuple(dict.fromkeys(canonical_tag(tag) for tag in languages))
    except ValueError as error:
        raise UserError(f"--languages: {error}") from None
    unknown = [tag for tag in chosen if known and tag not in known]
    if unknown or not chosen:
        raise UserError(
            f"--languages {','.join(languages)}: {name} has no {', '.join(unknown) or 'such language'}. "
            f"It has: {', '.join(known)}."
        )
    return chosen


def _describe_missing(name: str, about: Published, root: Path, missing: list[str], several: bool) -> str:
    by_place: dict[str, list[str]] = {}
    for path in missing:
        start = max((s for s in about.where if path.startswith(s)), key=len, default="")
        by_place.setdefault(about.where[start], []).append(path)
    listed = "; ".join(f"{', '.join(paths)} (published at {place})" for place, paths in by_place.items())
    fix = "Fetch them, or choose others with --languages or --test." if several else "Fetch them."
    return f"{root} lacks {len(missing)} files of {name}: {listed}. {fix}"


def _folders_to_skip(root: Path, names: Sequence[str]) -> int:
    """How many outer folders of the published paths the root leaves out: so many that most files are there.

    At most so many that the paths stay different from one another.
    """
    best, most = 0, -1
    for skipped in range(min((name.count("/") for name in names), default=0) + 1):
        shortened = {name.split("/", skipped)[-1] for name in names}
        if len(shortened) < len(set(names)):
            break
        there = sum(_present(root, name, skipped) is not None for name in set(names))
        if there > most:
            best, most = skipped, there
    return best


def _present(root: Path, name: str, skipped: int) -> Path | None:
    short = "/".join(name.split("/")[min(skipped, name.count("/")) :])
    return next((path for path in (root / short, root / f"{short}.gz") if path.is_file()), None)
