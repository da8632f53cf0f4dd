"""`dragoman corpus`: build a corpus from captions, and look at one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dragoman import errors
from dragoman.cli import _corpus_readers

if TYPE_CHECKING:
    from dragoman.corpus import BuildOptions, BuildReport

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)

_OUTCOME = [
    click.option("--out", type=FILE, required=True, help="The corpus folder to make."),
    click.option("--features", type=FILE, multiple=True, help="Vectors (.npy), one row an item; repeatable."),
    click.option(
        "--feature-ids", type=FILE, multiple=True, help="Item ids, line i for row i; one file may serve all."
    ),
    click.option(
        "--frames",
        type=FILE,
        multiple=True,
        help="Frame features: a folder of .npy, HDF5, or NRCCR's layout; repeatable.",
    ),
    click.option(
        "--feature-name",
        multiple=True,
        help="Name of the feature set, --features before --frames.  [default: stem of the file]",
    ),
    click.option("--reject-file", type=FILE, help="Collect bad records here, go on, and exit with 3."),
    click.option("--overwrite", is_flag=True, help="Replace another corpus in --out, with all in it."),
]
_STAND_INS = [
    click.option("--lang", help="Language of captions that name none, as BCP 47 tag: en, pt-BR."),
    click.option(
        "--role", help="Role of captions that name none: human, mt, back or description.  [default: human]"
    ),
    click.option("--split", help="Split of items that name none: train, val or test."),
    click.option(
        "--split-fractions",
        metavar="A,B,C",
        help="Or: shares of train, val and test, drawn by hash of the id.",
    ),
    click.option("--seed", type=int, help="Seed of that hash.  [default: 0]"),
]
_SHARED = [*_OUTCOME, *_STAND_INS]
_FOUND = [
    click.option(
        "--images",
        "--videos",
        "media_root",
        type=FILE,
        help="Folder of the media files, found by their published names in it and below.",
    ),
    *_OUTCOME,
]
_KIND = click.option("--kind", help="Kind of items that name none: image, video or text.  [default: image]")
_MEDIA = [
    click.option("--media-root", type=FILE, help="Folder of the media files."),
    click.option("--media-pattern", help="File of an item that names no path.  [default: {item_id}.jpg]"),
    click.option(
        "--metadata", multiple=True, metavar="NAME", help="Keep this column with the item; repeatable."
    ),
]


def _options(options: Sequence[Callable[[Any], Any]]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


_FORMER = {"csv": "table"}
"""Verbs of before, which scripts still call."""


class Readers(click.Group):
    """The verbs of this file, and one for each further reader, found by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_corpus_readers.names()])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command = super().get_command(ctx, _FORMER.get(name, name))
        if command is None and name in _corpus_readers.names():
            command = _corpus_readers.verb(name, _FOUND, _STAND_INS, _tell, _build_options)
        return command


@click.group(cls=Readers)
def command() -> None:
    """Build a corpus from captions, or look at one.

    Besides the formats, a published data set is read by its name, from its files as they are published.

    \b
    dragoman corpus jsonl captions.jsonl --features vectors.npy --feature-ids ids.txt --out corpus/
    dragoman corpus table table.csv --column text=caption --column item_id=image --lang en --out corpus/
    dragoman corpus folder photos/ --lang en --out corpus/
    dragoman corpus iiif manifest.json --media-root scans/ --lang en --out corpus/
    dragoman corpus multi30k-task1 multi30k/ --languages en,de,cs --out corpus/
    dragoman corpus show corpus/
    """


@command.command()
@click.argument("captions", type=FILE)
@click.option("--items", type=FILE, help="Items with their metadata, one JSON object a line.")
@click.option(
    "--ignore", multiple=True, metavar="KEY", help="Leave out this key of the captions; repeatable."
)
@_options([*_MEDIA, *_SHARED, _KIND])
def jsonl(captions: Path, items: Path | None, out: Path, **given: Any) -> None:
    """From JSON Lines, one caption a line; `.gz` too.

    Keys: item_id, text, split, lang, role, caption_id, source_id, engine, trust, kind, path. A line of the
    kind text is an item itself, and no caption.

    \b
    dragoman corpus jsonl captions.jsonl.gz --media-root photos/ --out corpus/
    """
    from dragoman.corpus import build_jsonl

    _tell(build_jsonl(captions, out, _build_options(given), items=items), given)


@command.command()
@click.argument("table", type=FILE)
@click.option(
    "--column", multiple=True, metavar="KEY=HEADER", help="Where a key stands, as text=caption; repeatable."
)
@click.option("--delimiter", help="Between cells.  [default: comma, or tab in .tsv files]")
@_options([*_MEDIA, *_SHARED, _KIND])
def table(table: Path, column: tuple[str, ...], delimiter: str | None, out: Path, **given: Any) -> None:
    """From a table with a header line: .xlsx, .ods, CSV, TSV; `.gz` too.

    One caption a record, or one in each column of a language: text_pt, caption (de), fr. A record of the
    kind text is an item itself; its captions stand in columns of languages.

    \b
    dragoman corpus table table.csv --column text=caption --column item_id=image \\
        --lang en --split-fractions 0.8,0.1,0.1 --out corpus/
    dragoman corpus table table.xlsx --column item_id=file --column text_pt=Legenda --out corpus/
    dragoman corpus table records.csv --kind text --lang en --split test --out records/
    """
    from dragoman.corpus import build_table
    from dragoman.settings import pairs

    columns = dict(pairs(column, "--column", "KEY=HEADER", "text=caption"))
    delimiter = "\t" if delimiter == "\\t" else delimiter
    _tell(build_table(table, out, _build_options(given), columns=columns, delimiter=delimiter), given)


@command.command()
@click.argument("images", type=FILE)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave out what matches, as *.gif; repeatable."
)
@click.option(
    "--corrections",
    type=FILE,
    multiple=True,
    help="Sheet or .jsonl of translations that people corrected; repeatable.",
)
@_options(_SHARED)
def folder(
    images: Path, out: Path, exclude: tuple[str, ...], corrections: tuple[Path, ...], **given: Any
) -> None:
    """From a folder of images and videos with captions in text files beside them.

    photo.txt holds the captions of photo.jpg, one a line; photo.pt.txt those in Portuguese. Without --split
    or --split-fractions, items are drawn 80 : 10 : 10 into train, val and test.

    \b
    dragoman corpus folder photos/ --lang en --out corpus/
    """
    from dragoman.corpus import build_folder
    from dragoman.corpus.build import REJECTED
    from dragoman.corpus.corrections import require_files

    require_files(corrections)
    options = _build_options(given)
    report = build_folder(images, out, options, exclude=exclude, corrections=corrections)
    _tell(report, given | {"reject_file": given["reject_file"] or report.corpus.folder / REJECTED})


@command.command()
@click.argument("manifests", type=FILE)
@click.option("--media-root", type=FILE, help="Folder of the images.  [default: that of the manifests]")
@click.option("--download", is_flag=True, help="Fetch what is missing into --media-root, over the network.")
@click.option(
    "--pause",
    type=click.FloatRange(0, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two requests of --download.",
)
@_options(_SHARED)
def iiif(manifests: Path, out: Path, download: bool, pause: float, **given: Any) -> None:
    """From a manifest or collection of IIIF (Presentation API 2 and 3), or a folder of them.

    Each canvas is an item, its summary and label are captions in their languages. Images are found below
    --media-root by their names; nothing is fetched without --download.

    \b
    dragoman corpus iiif manifest.json --media-root scans/ --lang en --out corpus/
    dragoman corpus iiif collection.json --media-root scans/ --download --lang en --out corpus/
    """
    from dragoman.corpus import build_iiif
    from dragoman.corpus.build import REJECTED

    report = build_iiif(manifests, out, _build_options(given), download=download, pause=pause)
    _tell(report, given | {"reject_file": given["reject_file"] or report.corpus.folder / REJECTED})


@command.command()
@click.argument("corpus", type=FILE)
@click.option(
    "--samples",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Captions to show of each language and role.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the samples.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(corpus: Path, samples: int, seed: int, as_json: bool) -> None:
    """Counts per split, language, role and engine, features, files, and samples.

    \b
    dragoman corpus show corpus/ --samples 3
    """
    import json
    from dataclasses import asdict

    from dragoman.cli._corpus_page import page
    from dragoman.corpus import Corpus
    from dragoman.corpus.summary import summarize

    found = summarize(Corpus.open(corpus), samples=samples, seed=seed)
    click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2) if as_json else page(found))


def _build_options(given: dict[str, Any]) -> BuildOptions:
    from dragoman.corpus import BuildOptions, GivenFeatures, GivenFrames

    vectors, ids, names = given.pop("features"), given.pop("feature_ids"), given.pop("feature_name")
    frames = given.pop("frames")
    if (vectors or ids) and len(ids) not in (1, len(vectors)):
        raise errors.UserError(
            f"--features stands {len(vectors)} times and --feature-ids {len(ids)} times. "
            "Give one file of ids for all, or one for each."
        )
    sets = len(vectors) + len(frames)
    if len(names) not in (0, sets):
        stand = "--features and --frames stand" if frames else "--features stands"
        raise errors.UserError(
            f"{stand} {sets} times and --feature-name {len(names)} times. Name all or none."
        )
    ids = ids * len(vectors) if len(ids) == 1 else ids
    named = iter(names or [""] * sets)
    features: list[GivenFeatures | GivenFrames] = [
        GivenFeatures(vectors=v, ids=i, name=next(named)) for v, i in zip(vectors, ids, strict=True)
    ]
    features += [GivenFrames(path=path, name=next(named)) for path in frames]
    if given["split_fractions"] is not None:
        given["split_fractions"] = _shares(given["split_fractions"])
    chosen = {key: value for key, value in given.items() if value is not None}
    return BuildOptions(features=tuple(features), **chosen)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise errors.UserError(
            f"--split-fractions is {text!r}, but three numbers with commas were expected, as in 0.8,0.1,0.1."
        ) from None


def _tell(report: BuildReport, given: dict[str, Any]) -> None:
    unchanged = " (as before: same inputs, same options)" if report.unchanged else ""
    click.echo(f"{report.corpus.folder}: {report.items:,} items, {report.captions:,} captions{unchanged}")
    for note in report.notes:
        click.echo(f"  {note}")
    if (update := report.update) is not None:
        click.echo(f"  items: {update.items}; captions by people: {update.captions}")
        if update.kept or update.dropped:
            click.echo(f"  captions by machine: {update.kept:,} kept, {update.dropped:,} removed")
        if update.follow:
            click.echo(f"  run again, to follow: {', '.join(update.follow)}")
    if report.rejected:
        where = given["reject_file"] or "an earlier build's reject file"
        click.echo(f"rejected: {report.rejected:,} (see {where})", err=True)
        raise click.exceptions.Exit(errors.Exit.REJECTED)
