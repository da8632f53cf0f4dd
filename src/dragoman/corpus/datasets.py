"""Building a corpus from a published data set, by its name."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from dragoman import plugins
from dragoman.arrow import pa, pc
from dragoman.corpus.build import DEFAULTS, BuildReport, build
from dragoman.corpus.captions import select
from dragoman.corpus.options import BuildOptions
from dragoman.corpus.readers.contract import DataSet, Files, Needed, Published, Row, Wanted
from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.media.listing import kind_of, walk_files
from dragoman.records import SPLITS

READERS = "dragoman.corpus.readers"
# COCO numbered its pictures anew in 2017, without the name of the part in front.
_COCO = re.compile(r"COCO_(train|val|test)201[45]_")


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of reading a published data set."""

    languages: Sequence[str] | None = None
    """Languages to read, by default all of which files are there."""
    test: str | None = None
    """Name of the test set, by default the first of the data set."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Header of a key, such as `text`, where the files are tables."""
    extract: str | Path | None = None
    """Folder into which pictures are written, where the files hold them."""

    def __post_init__(self) -> None:
        if self.extract is not None and Path(self.extract).exists() and not Path(self.extract).is_dir():
            raise UserError(f"--extract {self.extract} is a file. Give a folder, which need not exist yet.")


ALL = ReadOptions()


def names() -> list[str]:
    """List the data sets and formats that `build_dataset` reads, sorted."""
    return sorted(_data_sets())


def load(name: str) -> DataSet:
    """Find the data set of that name. Raises UserError that lists the known ones."""
    known = _data_sets()
    if name not in known:
        raise UserError(
            f"No data set {name!r}. Known: {', '.join(sorted(known))}. "
            f"To add one, create {READERS.replace('.', '/')}/{name.replace('-', '_')}.py"
        )
    return known[name]


def _data_sets() -> dict[str, DataSet]:
    found: dict[str, DataSet] = {}
    for file in plugins.names(READERS):
        reader, name = plugins.load(READERS, file, "data set"), file.replace("_", "-")
        if family := getattr(reader, "FAMILY", None):
            found |= {f"{name}-{end}": one for end, one in family.items()}
        else:
            text = (reader.__doc__ or "").strip()
            needed = getattr(reader, "needed", _no_files)
            found[name] = DataSet(help=text, about=reader.ABOUT, needed=needed, read=reader.read)
    return found


def _no_files(test: str) -> Needed:
    # Formats are read from whatever files there are.
    return {}


def build_dataset(
    name: str,
    root: str | Path,
    out: str | Path,
    options: BuildOptions = DEFAULTS,
    reading: ReadOptions = ALL,
) -> BuildReport:
    """Build a corpus from the files of a data set as its authors publish them, below `root`.

    Media files are looked up by name below `options.media_root`; an item whose file is not there has no path.
    What was odd about the files, and what was left out, stands in the notes of the report.

    Raises UserError that names every missing file and where it is published.
    """
    reader = load(name)
    about = reader.about
    test = _choose_test(name, about, reading.test)
    chosen, files = _choose(name, about, reader.needed(test), Path(root), reading.languages)
    wanted = Wanted(
        files=files,
        languages=chosen,
        test=test,
        lang=options.lang,
        columns=dict(reading.columns),
        extract=None if reading.extract is None else Path(reading.extract),
    )
    source = reader.read(wanted)
    if options.split is None and options.split_fractions is None:
        options = replace(options, split_fractions=about.shares)
    media = Media(options.media_root, wanted.defects.note)
    assert source.items is not None, f"{name} gives no items"
    source = replace(
        source,
        items=_placed(source.items, media),
        inputs=files.hashes() | dict(source.inputs),
        findings=_findings(about, wanted),
    )
    more = {
        "columns": wanted.columns,
        "extract": None if wanted.extract is None else str(wanted.extract.absolute()),
    }
    own = {key: value for key, value in more.items() if value}
    return build(source, out, options, reader=name, languages=list(chosen), test=test or None, **own)


def _placed(rows: Iterable[Row], media: Media) -> Iterator[Row]:
    """Yield items whose path is the file that is there; the published name is kept as metadata `file`."""
    for row in rows:
        published = row.fields.get("path")
        if not isinstance(published, str):
            yield row
            continue
        address = "://" in published
        here = os.path.isabs(published) and os.path.isfile(published)  # noqa: PTH113, PTH117 -- for each item
        # A name that is absolute and not here was right on the computer of the authors.
        found = published if here else media.find(published, str(row.fields.get("item_id")))
        fields = {**row.fields, "path": found or (published if address else None)}
        name = {} if address else {"file": os.path.basename(published) if here else published}  # noqa: PTH119
        yield row._replace(fields=fields | name)


def _findings(about: Published, wanted: Wanted) -> Callable[[pa.Table, pa.Table], list[str]]:
    def findings(items: pa.Table, captions: pa.Table) -> list[str]:
        return [
            *wanted.defects.lines(),
            *_counted(about, wanted.test, items),
            *_uneven(items, captions),
            *_repeated(items, captions),
        ]

    return findings


def _counted(about: Published, test: str, items: pa.Table) -> Iterator[str]:
    splits = items["split"].to_pylist()
    for split in SPLITS:
        published = about.items.get(f"{split} {test}", about.items.get(split))
        if published is not None and published != splits.count(split):
            yield f"{split} holds {splits.count(split):,} items, but {published:,} are published"


def _uneven(items: pa.Table, captions: pa.Table) -> Iterator[str]:
    """Tell of test items without a human caption in every language, which consistency needs."""
    tests = items["split"].to_pylist().count("test")
    human = select(captions, items, role="human", split="test")
    languages = human["lang"].unique().to_pylist()
    elsewhere = set(select(captions, items, role="human")["lang"].unique().to_pylist())
    # Machine captions are no gold: an item without a human caption has nothing to be consistent with.
    if languages and (absent := sorted(elsewhere - set(languages))):
        yield f"languages without any human caption of a test item: {', '.join(absent)}"
    if len(languages) > 1:
        counted = human.group_by("item_id").aggregate([("lang", "count_distinct")])
        complete = pc.sum(pc.equal(counted["lang_count_distinct"], len(languages))).as_py() or 0
        if complete != tests:
            yield f"test items with captions in all {len(languages)} languages: {complete:,} of {tests:,}"


def _repeated(items: pa.Table, captions: pa.Table) -> Iterator[str]:
    human = select(captions, items, role="human", split="test")
    counted = human.group_by(["lang", "text"]).aggregate([([], "count_all")])
    repeats: Counter[str] = Counter()
    for found in counted.filter(pc.greater(counted["count_all"], 1)).to_pylist():
        repeats[found["lang"]] += found["count_all"] - 1
    for lang in sorted(repeats):
        yield f"test captions that repeat another, {lang}: {repeats[lang]:,}"


def _choose(
    name: str, about: Published, needed: Needed, root: Path, languages: Sequence[str] | None
) -> tuple[tuple[str, ...], Files]:
    """Choose the languages to read and the files to read them from.

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
    # Anew, as looking for languages noted files as inputs that may not be read.
    files = Files(root, [path for paths in needed.values() for path in paths])
    missing = [path for tag in ("", *chosen) for path in needed.get(tag, ()) if files.find(path) is None]
    if missing:
        raise UserError(_describe_missing(name, about, root, list(dict.fromkeys(missing)), len(known) > 1))
    return chosen, files


def _choose_test(name: str, about: Published, test: str | None) -> str:
    """Choose the test set to read, by default the first."""
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


class Media:
    """Media files below `folder`; without a folder nothing is found. What is not sure goes to `note`."""

    def __init__(self, folder: Path | None, note: Callable[[str, str], None]) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._items: dict[str, str] = {}
        self._note = note
        if folder is None:
            return
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give the folder of the media files with --media-root.")
        for path in walk_files(folder.absolute()):
            name = PurePosixPath(path)
            # Captions and vectors often lie beside a picture, under its name.
            same = (name.name, name.stem) if kind_of(path) else (name.name,)
            for key in same:
                self._by_name.setdefault(key, []).append(path)

    def find(self, published: str, item_id: str) -> str | None:
        """Find the file of that name or address, or else one that is named like the item, with any suffix.

        Of several such files the one whose folders are the published ones is taken, else the first by name.
        """
        address = unquote(urlsplit(published).path) if "://" in published else published
        name = PurePosixPath(address).name
        names = (name, PurePosixPath(name).stem, item_id, _COCO.sub("", item_id))
        same = next((self._by_name[name] for name in names if name in self._by_name), None)
        if same is None:
            return None
        wanted = PurePosixPath(address).parent.parts
        alike = [_alike(wanted, PurePosixPath(path).parent.parts) for path in same]
        if alike.count(max(alike)) > 1:
            self._note("several media files of that name, the first taken", item_id)
        found = same[alike.index(max(alike))]
        if self._items.setdefault(found, item_id) != item_id:
            self._note("media file of another item taken as well", item_id)
        return found


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the folders that are the same, from the innermost on."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
