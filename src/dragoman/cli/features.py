"""`dragoman features`: frozen vectors of every image and video of a corpus, or of its texts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import AT_LEAST_1, CLUSTER, NO_CLUSTER, Verb, options, spelled
from dragoman.errors import Exit, UserError

if TYPE_CHECKING:
    from dragoman.features.extract import ExtractionReport, ExtractOptions
    from dragoman.features.texts import TextOptions

SHOWN = 5


@click.command(cls=Verb)
@click.argument("corpus")
@click.option(
    "--encoder",
    required=True,
    help="Vision tower: a Hugging Face folder or hub id. For texts a sentence encoder: one, `use`, or "
    "`openai:MODEL` of the server that OPENAI_BASE_URL names.",
)
@click.option("--name", help="Name of the feature set; by default the last part of the encoder's name.")
@options(
    "dragoman.features.extract:ExtractOptions",
    "options",
    grid=click.IntRange(min=0),
    batch_size=AT_LEAST_1,
    workers=AT_LEAST_1,
    most=spelled("--most-frames", type=AT_LEAST_1),
    **CLUSTER,
)
@click.option("--texts", is_flag=True, help="Vectors of the captions, one for each distinct text.")
@options("dragoman.features.texts:TextOptions", "reading", batch_size=None, device=None, **NO_CLUSTER)
def command(
    corpus: str,
    encoder: str,
    name: str | None,
    options: ExtractOptions,
    texts: bool,
    reading: TextOptions,
) -> None:
    """Write the vectors of a vision tower to CORPUS/features/NAME/, or with --texts of a sentence encoder.

    Where all items of CORPUS are texts, a sentence encoder makes their vectors.

    Only items without a vector are worked on, so a second run goes on where the first one was stopped.
    Broken images and videos are listed in rejected.jsonl with their reasons; the exit status is then 3.

    \b
    dragoman features corpus/ --encoder openai/clip-vit-base-patch32
    dragoman features corpus/ --encoder models/mobilenet_v2_imagenet --name mobilenet_v2
    dragoman features corpus/ --encoder models/mobilenet_v2_imagenet --name mobilenet_3x3 --grid 3
    dragoman features clips/ --encoder openai/clip-vit-base-patch32 --every 0.5
    dragoman features corpus/ --encoder openai/clip-vit-base-patch32 --ray
    dragoman features corpus/ --texts --encoder use
    dragoman features records/ --encoder use
    """
    if texts:
        _texts(corpus, encoder, name, options, reading)
        return
    import warnings

    # Pillow warns of every odd tag in a file; what cannot be read is rejected by name.
    warnings.filterwarnings("ignore", module="PIL")
    report = _extract(corpus, encoder, name, options, reading)
    for one in report.rejected[:SHOWN]:
        click.echo(f"rejected {one.item_id}: {one.path or 'no path'}: {one.reason}", err=True)
    rejected = f", {len(report.rejected)} items rejected" if report.rejected else ""
    made = f"{report.total} items of {report.frames:,} frames" if report.frames else f"{report.total} vectors"
    click.echo(f"{report.folder}: {made}, {report.extracted} of them new{rejected}")
    if report.averaged:
        videos = counted(report.averaged, "video")
        images = counted(report.total - report.averaged, "image")
        how = "each video is the mean of its frames; --frames keeps the frames"
        click.echo(f"{videos} among {images}: {how}")
    if report.rejected:
        click.echo(f"All rejected items: {report.folder / 'rejected.jsonl'}", err=True)
        click.get_current_context().exit(Exit.REJECTED)


def _extract(
    corpus: str, encoder: str, name: str | None, options: ExtractOptions, reading: TextOptions
) -> ExtractionReport:
    """Make the vectors of items: by a sentence encoder where all are texts, else by a vision tower."""
    from dragoman.corpus.corpus import Corpus
    from dragoman.features.extract import extract_features

    opened = Corpus.open(corpus)
    if not opened.texts or len(opened.texts) < len(opened.items):
        return extract_features(corpus, encoder=encoder, name=name, options=options)
    from dragoman.features.texts import extract_items

    if options.grid or options.frames:
        raise UserError(f"The items of {corpus} are texts, which have neither regions nor frames.")
    return extract_items(corpus, encoder=encoder, name=name, options=_read_by(options, reading))


def _read_by(options: ExtractOptions, reading: TextOptions) -> TextOptions:
    if options.batch_size is not None:
        reading = replace(reading, batch_size=options.batch_size)
    return replace(reading, device=options.device, cluster=options.cluster)


def _texts(
    corpus: str, encoder: str, name: str | None, options: ExtractOptions, reading: TextOptions
) -> None:
    from dragoman.features.texts import extract_texts

    report = extract_texts(corpus, encoder=encoder, name=name, options=_read_by(options, reading))
    texts = counted(report.total, "text")
    click.echo(f"{report.folder}: {texts} of {report.captions:,} captions, {report.extracted:,} of them new")


def counted(count: int, noun: str) -> str:
    """Say "1 image", "2 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
