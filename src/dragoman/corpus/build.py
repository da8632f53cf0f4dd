"""Building a corpus: what a reader gives is checked, joined with features, and written as one folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dragoman import progress
from dragoman.arrow import pa, pq
from dragoman.corpus.checks import Rejects
from dragoman.corpus.corpus import TEXT_KEYS, Corpus
from dragoman.corpus.draft import Draft
from dragoman.corpus.format import CORPUS
from dragoman.corpus.options import BuildOptions
from dragoman.corpus.readers.contract import ITEM_KEYS, Row, Source
from dragoman.corpus.readers.formats.downloads import Fetcher
from dragoman.corpus.readers.formats.iiif import read_iiif
from dragoman.corpus.readers.formats.plain import read_folder, read_jsonl, read_table
from dragoman.corpus.update import Update, keep_rest, update_of, writers_kept_out
from dragoman.errors import DamagedError, UserError
from dragoman.folders import MANIFEST, atomic_path, differences, stage
from dragoman.media.listing import file_names
from dragoman.records import Caption, Item

log = logging.getLogger(__name__)

DEFAULTS = BuildOptions()
REJECTED = "rejected.jsonl"
TABLES = ("items.parquet", "captions.parquet")
FOLDER_SHARES = (0.8, 0.1, 0.1)
REPLACE = "Give another --out, or replace it, with all translations and features in it: --overwrite"


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """Outcome of a build."""

    corpus: Corpus
    items: int
    captions: int
    rejected: int
    unchanged: bool
    """The folder held this corpus already, from the same inputs and options, and was left as it was."""
    notes: tuple[str, ...] = ()
    """Oddities of a published data set, and what was left out of it."""
    update: Update | None = None
    """Changes, where the folder held the corpus before its inputs changed."""


def build_jsonl(
    captions: str | Path,
    out: str | Path,
    options: BuildOptions = DEFAULTS,
    *,
    items: str | Path | None = None,
) -> BuildReport:
    """Build a corpus from JSON Lines (`.gz` too): captions, and optionally items with metadata."""
    file = None if items is None else Path(items)
    source = read_jsonl(
        Path(captions), items=file, metadata=options.metadata, ignore=options.ignore, kind=options.kind
    )
    return build(source, out, options, reader="jsonl")


def build_table(
    table: str | Path,
    out: str | Path,
    options: BuildOptions = DEFAULTS,
    *,
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
) -> BuildReport:
    """Build a corpus from a table: .xlsx, .ods, CSV or TSV (`.gz` too).

    `columns` maps a key, such as `text` or `text_pt`, to its header.
    """
    mapping = dict(columns or {})
    source = read_table(
        Path(table), columns=mapping, delimiter=delimiter, metadata=options.metadata, kind=options.kind
    )
    # The name in manifests of before, so that a table that was read by them is read again.
    return build(source, out, options, reader="csv", columns=mapping, delimiter=delimiter)


build_csv = build_table
"""Name of before."""


def build_folder(
    images: str | Path,
    out: str | Path,
    options: BuildOptions = DEFAULTS,
    *,
    exclude: Sequence[str] = (),
    corrections: Sequence[Path] = (),
) -> BuildReport:
    """Build a corpus from a folder of images and videos with captions in text files beside them.

    Without `split` or `split_fractions`, items are drawn 80 : 10 : 10: training needs val, and test tells
    how good the result is. What matches a pattern of `exclude` is left out. Files of `corrections` are to be
    given every time (`corpus.corrections`); one that is not there holds none. What cannot be taken ends
    nothing: without a reject file it is listed in `rejected.jsonl` of the corpus.
    """
    if options.split is None and options.split_fractions is None:
        options = replace(options, split_fractions=FOLDER_SHARES)
    # Named only where given: a corpus that was built before there were patterns is still the same.
    chosen = {"exclude": list(exclude)} if exclude else {}
    source = read_folder(Path(images), exclude, lang=options.lang, corrections=corrections)
    return build(source, out, options, reader="folder", **chosen)


def build_iiif(
    manifests: str | Path,
    out: str | Path,
    options: BuildOptions = DEFAULTS,
    *,
    download: bool = False,
    pause: float = 1.0,
) -> BuildReport:
    """Build a corpus from a manifest or collection of IIIF, or a folder of them; each canvas is an item.

    Images are found below `media_root` by their names. With `download`, those that are missing, and manifests
    that a collection names, are fetched into it, with `pause` seconds between two requests. Splits and faults
    are as of `build_folder`.
    """
    if options.split is None and options.split_fractions is None:
        options = replace(options, split_fractions=FOLDER_SHARES)
    fetcher = None
    if download:
        if options.media_root is None:
            raise UserError("Pictures that are fetched need a place: --media-root FOLDER.")
        options.media_root.mkdir(parents=True, exist_ok=True)
        fetcher = Fetcher(options.media_root, pause=pause)
    source = read_iiif(Path(manifests), media_root=options.media_root, lang=options.lang, fetcher=fetcher)
    return build(source, out, options, reader="iiif")


def build_records(
    items: Iterable[Item], captions: Iterable[Caption], out: str | Path, options: BuildOptions = DEFAULTS
) -> BuildReport:
    """Build a corpus from records in memory. Relative paths are seen from the working folder."""
    # Generators, so that records in memory are not held twice.
    item_rows = (
        Row("items", number, "", {**item.metadata, **_said(item)}) for number, item in enumerate(items, 1)
    )
    caption_rows = (Row("captions", number, "", asdict(c)) for number, c in enumerate(captions, 1))
    return build(Source(items=item_rows, captions=caption_rows), out, options, reader="records")


def _said(item: Item) -> dict[str, object]:
    # Other items may have metadata of these names.
    keys = (*ITEM_KEYS, *(TEXT_KEYS if item.kind == "text" else ()))
    return {key: getattr(item, key) for key in keys}


def build(source: Source, out: str | Path, options: BuildOptions, **reader: Any) -> BuildReport:
    """Check and join what a reader gives, and write the corpus folder `out`.

    Nothing appears under `out` before all is checked. A corpus that was built from the same inputs, with the
    same options, is left as it is. One whose inputs changed is updated: feature sets stay, and translations
    of captions that did not change (`update_of`). `reader` are the reader's own options, for the manifest.

    Raises UserError at the first bad record (or, with a reject file, only for what no single record causes),
    and for a folder that holds another corpus.
    """
    target, features = Path(out), (*options.features, *source.features)
    given = {path: digest for one in features for path, digest in one.inputs.items()}
    inputs = dict(source.inputs) | given
    _check_places(target, options, inputs)
    if source.inputs and options.media_root is not None:
        # Whether an item has a file may depend on which there are.
        inputs["media"] = file_names(options.media_root)
    noted = _noted(options) | reader
    # Records in memory have no inputs to compare.
    same = {"inputs": inputs, "options": noted} if inputs and not options.overwrite else None

    def renews(stored: Mapping[str, Any]) -> bool:
        # By other files it is another corpus.
        shared = source.inputs.keys() & (stored.get("inputs") or {})
        return bool(shared) and not differences({"options": stored.get("options")}, {"options": noted})

    with (
        ExitStack() as until_swapped,
        stage(target, CORPUS, same, replace=options.overwrite, renews=renews, fix=REPLACE) as work,
    ):
        if work.done is not None:
            log.info("%s holds this corpus already; build it anew with --overwrite", target)
            return _report(Corpus(target, work.done), unchanged=True)
        staging = work.folder
        own = staging / REJECTED if source.goes_on else None
        rejects = Rejects(options.reject_file or own)
        items, captions = _tables(source, rejects, options)
        # Also where there is nothing to build: the reject file is all that tells why.
        if rejects.file != own or len(rejects):
            rejects.write()
        if not len(items):
            where = f" All {len(rejects)} records were rejected: see {rejects.file}." if len(rejects) else ""
            if rejects.file == own and len(rejects):
                where = f" All {len(rejects)} records were rejected. {rejects.first}"
            raise UserError(
                f"There is nothing to build from in {', '.join(source.inputs) or 'the input'}.{where}"
            )
        machine = len(captions) - captions["role"].to_pylist().count("human")
        notes = [] if source.findings is None else source.findings(items, captions)
        update, renewed = None, not options.overwrite and (target / MANIFEST).is_file()
        if renewed and (old := _before(target)) is not None:
            _require_shared(old, items)
            update, captions = update_of(old, items, captions)
        for name, table in zip(TABLES, (items, captions), strict=True):
            with atomic_path(staging / name) as temporary:
                pq.write_table(table, temporary, compression="zstd")
        for one in features:
            one.write(staging / "features" / one.name, items["item_id"].to_pylist())
        if renewed:
            until_swapped.enter_context(writers_kept_out(target))
            keep_rest(target, staging, (*TABLES, REJECTED))
        details = {"machine": machine} if machine else {}
        # The manifest is last: a folder without one is an unfinished corpus, which nothing opens.
        CORPUS.write(
            staging,
            inputs=inputs,
            seed=options.seed,
            options=noted,
            rejected=len(rejects),
            notes=notes,
            **details,
        )
    log.info("%s: %d items, %d captions", target, len(items), len(captions))
    return replace(_report(Corpus.open(target), unchanged=False), update=update)


def _before(target: Path) -> Corpus | None:
    """Open the corpus that is to be updated; None where its tables are damaged, and so nothing of them can be
    kept."""
    try:
        old = Corpus.open(target)
        _ = old.items, old.captions
    except DamagedError as error:
        log.warning("It is built anew, without its machine captions (dragoman translate). %s", error)
        return None
    return old


def _require_shared(old: Corpus, items: pa.Table) -> None:
    if not set(old.items["item_id"].to_pylist()) & set(items["item_id"].to_pylist()):
        raise UserError(f"{old.folder} holds another corpus: none of its items is among these. {REPLACE}")


def _check_places(target: Path, options: BuildOptions, inputs: Iterable[str]) -> None:
    root, rejects, out = options.media_root, options.reject_file, str(target.absolute())
    if root is not None and not root.is_dir():
        raise UserError(f"{root} is no folder. Give the folder of the media files with --media-root.")
    if (shown := out.encode("utf-8", "backslashreplace").decode()) != out:
        raise UserError(f"{shown} is no name in UTF-8, which tables need. Give another --out.")
    if rejects is not None and rejects.resolve() in {Path(path).resolve() for path in inputs}:
        raise UserError(f"--reject-file {rejects} is an input. Give another file.")


def _report(corpus: Corpus, *, unchanged: bool) -> BuildReport:
    return BuildReport(
        corpus=corpus,
        items=len(corpus.items),
        captions=len(corpus.captions),
        rejected=int(corpus.manifest["rejected"]),
        unchanged=unchanged,
        notes=tuple(corpus.manifest.get("notes", ())),
    )


def _tables(source: Source, rejects: Rejects, options: BuildOptions) -> tuple[pa.Table, pa.Table]:
    draft = Draft(rejects, options, keep_items=source.goes_on)
    if source.items is not None:
        draft.add_items(source.items)
    for row in _counted(source.captions):
        draft.add_caption(row)
    items, captions = draft.tables()
    if options.media_root is not None:
        items = _with_media(items, options.media_root.absolute(), options.media_pattern)
    return items, captions


def _counted(rows: Iterable[Row], step: int = 10_000) -> Iterator[Row]:
    with progress.bar(None, "Reading captions", "captions") as shown:
        for number, row in enumerate(rows, 1):
            yield row
            if number % step == 0:
                shown.update(step)


def _with_media(items: pa.Table, root: Path, pattern: str) -> pa.Table:
    """Return the items, those without a path with the file that `pattern` names, if it exists."""
    paths, kinds = items["path"].to_pylist(), items["kind"].to_pylist()
    for row, item_id in enumerate(items["item_id"].to_pylist()):
        if paths[row] is None and kinds[row] != "text":
            path = os.path.normpath(root / pattern.replace("{item_id}", item_id))
            paths[row] = path if os.path.isfile(path) else None  # noqa: PTH113 -- Path raises for long names
    missing = paths.count(None) - kinds.count("text")
    if missing:
        log.info("%d of %d items have no media file in %s", missing, len(items), root)
    column = pa.array(paths, pa.string())
    return items.set_column(items.schema.get_field_index("path"), items.schema.field("path"), column)


def _noted(options: BuildOptions) -> dict[str, Any]:
    """Return the options that shape the result, as JSON."""
    # Where faults go and what was there before do not change the corpus that comes of its inputs. A kind is
    # named only where given: a corpus that was built before it could be is still the same.
    left_out = ("reject_file", "overwrite", "features", *(("kind",) if options.kind is None else ()))
    plain = {key: value for key, value in asdict(options).items() if key not in left_out}
    root = options.media_root
    names = [given.name for given in options.features]
    noted = plain | {"media_root": None if root is None else str(root.absolute()), "features": names}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in noted.items()}
