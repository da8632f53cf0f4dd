"""Data sets as their authors publish them: what a reader says of its files, and what it is given to read.

A reader is a file in `readers/` with `ABOUT`, `read(wanted)` and, where its files have names, `needed(test)`.
Its verb has the name of the file. Or a file holds a family: `FAMILY` maps the end of each verb to a
`DataSet`, as `en` in `coco.py` to that of `coco-en`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dragoman.folders import sha256
from dragoman.records import Split
from dragoman.textfiles import TextLine

if TYPE_CHECKING:
    from dragoman.arrow import pa

CAPTION_KEYS = frozenset({"caption_id", "item_id", "lang", "role", "text", "source_id", "engine", "trust"})
ITEM_KEYS = frozenset({"item_id", "split", "kind", "path"})


class Row(NamedTuple):
    """One record as a reader found it: its place, its raw text, and its fields or why there are none."""

    file: str
    line: int
    raw: str | bytes
    fields: Mapping[str, object]
    fault: str | None = None
    found_in: str | None = None
    """Kind of place in which a caption of a folder of media stands."""
    corrects: str | None = None
    """Text of a machine that a caption replaces."""
    is_item: bool = False
    """True of a record among captions that is an item itself, of the kind `text`."""


class Features(Protocol):
    """Vectors that come with the captions."""

    @property
    def name(self) -> str:
        """Name of the feature set."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Content hashes of what is read."""

    def write(self, folder: Path, item_ids: Sequence[str]) -> None:
        """Write the vectors of these items, in this order, into `folder`."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Output of a reader: items of their own (or None, where captions imply them), then captions.

    `inputs` maps what was read to a content hash. `findings` tells, from the finished tables of items and
    captions, what was odd about them and what was left out. Where the source `goes_on`, one bad record never
    ends a build: without a reject file, faults are listed in the corpus.
    """

    captions: Iterable[Row]
    items: Iterable[Row] | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    findings: Callable[[pa.Table, pa.Table], list[str]] | None = None
    features: tuple[Features, ...] = ()
    goes_on: bool = False


Needed = Mapping[str, tuple[str, ...]]
"""Files below the root that a language needs; those under "" are needed whatever the languages."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Facts about a data set, known before any of its files is opened."""

    title: str
    where: Mapping[str, str]
    """Address at which files are published, by the beginning of their path; "" for all others."""
    languages: tuple[str, ...] = ()
    """BCP 47 tags; none where the files say which languages they hold."""
    tests: tuple[str, ...] = ()
    """Names for `--test`, the default first; none where there is no choice."""
    items: Mapping[str, int] = field(default_factory=dict)
    """Published number of items, by split, or by split and test set as in `test 1k` where these differ."""
    defects: tuple[str, ...] = ()
    """Known oddities of the files, each with what is done about it."""
    free: bool = False
    """True where the user says what the files do not: language, role, split."""
    shares: tuple[float, float, float] | None = None
    """Shares of train, val and test, drawn by hash, where no split is published and the user names none."""
    names_tests: bool = False
    """True where the files say which test sets there are."""
    columns: bool = False
    """True where the user says which column holds what."""
    packed: bool = False
    """True where the files hold the pictures, which can be extracted."""


class Files:
    """The published files below a root: plain or gzip, in the published folders or without the outer ones."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self._used: dict[Path, None] = {}
        self._skipped = _folders_to_skip(root, names)

    def find(self, name: str) -> Path | None:
        """Find the file of that published path, if it is there."""
        path = _present(self.root, name, self._skipped)
        if path is not None:
            self.use(path)
        return path

    def __getitem__(self, name: str) -> Path:
        path = self.find(name)
        assert path is not None, name
        return path

    def use(self, *paths: Path) -> None:
        """Note files as inputs of the corpus."""
        self._used.update(dict.fromkeys(paths))

    def hashes(self) -> dict[str, str]:
        """Return path and content hash of each file that was used."""
        return {str(path): sha256(path) for path in self._used}


def _folders_to_skip(root: Path, names: Sequence[str]) -> int:
    """Count the outer folders of the published paths that the root leaves out, so that most files are there.

    At most so many that the paths stay different from one another.
    """
    # People unpack an archive with or without its outer folder; the depth at which most files are found is
    # right.
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


class Defects:
    """Cases that were odd or left out: counted, with the first few places."""

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
        """Write one line for each sort of case, in the order in which they were met."""
        return [
            f"{what}: {count:,} ({', '.join(self._places[what])}{', …' if count > 3 else ''})"
            for what, count in self._counts.items()
        ]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Request to a reader: languages, test set, and the files to read."""

    files: Files
    languages: tuple[str, ...]
    test: str
    lang: str | None = None
    """Language of captions that name none, where the user says it."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Header of a key, such as `text`, where it is not the usual one."""
    extract: Path | None = None
    """Folder for the pictures that the files hold, if they are to be written."""
    defects: Defects = field(default_factory=Defects)

    def caption(
        self, file: Path | str, line: TextLine, item_id: str, lang: str, slot: int, text: object
    ) -> Iterator[Row]:
        """Yield a human caption under the id `item#lang#slot`; where it is empty none, and note it."""
        if isinstance(text, str):
            text = text.strip()
            if not text:
                self.defects.note(f"empty caption left out, {lang}", item_id)
                return
            # The checks of a record make a blank of it, which is told here.
            if "\t" in text:
                self.defects.note(f"tab inside a caption read as a blank, {lang}", item_id)
        fields = {"caption_id": f"{item_id}#{lang}#{slot}", "item_id": item_id, "lang": lang, "text": text}
        yield Row(str(file), line.number, line.raw, fields)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One published data set, however its reader is written down."""

    help: str
    """Description for the help of its verb."""
    about: Published
    needed: Callable[[str], Needed]
    """Files for the test set of that name."""
    read: Callable[[Wanted], Source]


def item(file: Path | str, line: int, item_id: str, split: Split, path: str | None, **more: object) -> Row:
    """Make an item a row; `path` is the published file name or address."""
    return Row(str(file), line, "", {"item_id": item_id, "split": split, "path": path} | more)


def stem(name: str) -> str:
    """Strip a file name of folders and suffix: `val2014/COCO_val2014_1.jpg` gives `COCO_val2014_1`."""
    return PurePosixPath(name).stem


def faulty(file: Path | str, line: TextLine, fault: str) -> Row:
    """Make a row of a line that is no record."""
    return Row(str(file), line.number, line.raw, {}, fault)
