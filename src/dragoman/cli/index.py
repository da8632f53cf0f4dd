"""`dragoman index`: images and videos that can be searched, kept up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dragoman.errors import Exit

SHOWN = 5


@click.command(short_help="Make or update an index of images and videos.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("media", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Index folder.")
@click.option("--backend", help="Store: exact, faiss, postgres or qdrant.  [default: the index's, or exact]")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a setting of it; repeatable."
)
@click.option("--vision", type=click.Path(path_type=Path), help="Vision tower, where the run knows none.")
@click.option("--lang", help="Language of captions in text files that name none.  [default: the source's]")
@click.option("--whole-videos", is_flag=True, help="One entry a video, not its moments; give it every time.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images a pass.  [default: 4 on a CPU, or 64]")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that decode images.  [default: cores]")
@click.option("--max-megapixels", type=float, default=100.0, show_default=True, help="Larger are rejected.")
@click.option("--reject-file", type=click.Path(path_type=Path), help="List what is rejected here as well.")
def command(
    run: Path, media: Path, out: Path, settings: tuple[str, ...], max_megapixels: float, **options: Any
) -> None:
    """Make or update an index of MEDIA, a folder of images or a corpus, with the model of RUN.

    \b
    dragoman index run/ photos/ --out index/
    dragoman index run/ corpus/ --out index/ --backend faiss
    dragoman index export/ photos/ --out index/ --vision models/mobilenet_v2_imagenet

    Only what is new or changed is embedded; what is gone is removed, and what moved is recognised. The same
    command goes on where it was stopped. With another model, the old index is searched until the new one is
    complete. With a corpus, a run is calibrated as by `dragoman calibrate`, if it is not. Broken images are
    listed in rejected.jsonl with their reasons; the exit status is then 3.
    """
    import warnings

    from dragoman.errors import MissingExtraError
    from dragoman.settings import pairs

    given = dict(pairs(settings, "--set", "NAME=VALUE", "wait=30"))
    try:
        from dragoman.index import IndexOptions, index_media
        from dragoman.media.images import Decoding
        from dragoman.search.printing import plain
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "train", "Indexing") from None
    # Pillow warns of every odd tag in a file; what cannot be read is rejected by name.
    warnings.filterwarnings("ignore", module="PIL")
    if (media / "captions.parquet").is_file():
        from dragoman.search.calibrate import calibrate_once

        calibrate_once(run, media, str(options["device"]))
    decoding = Decoding(max_megapixels=max_megapixels)
    report = index_media(run, media, out, IndexOptions(settings=given, decoding=decoding, **options))
    done = report.done
    for one in report.rejected[:SHOWN]:
        click.echo(f"rejected {plain(one.item_id)}: {plain(one.reason)}", err=True)
    counts = {
        "added": done.added,
        "moved among them": done.moved,
        "copies among them": done.copies,
        "changed": done.changed,
        "with new metadata": done.reworded,
        "removed": done.removed,
        "rejected": len(report.rejected),
    }
    said = "".join(f", {count} {what}" for what, count in counts.items() if count)
    click.echo(f"{out}: {report.info.count} items{said}")
    if report.rejected:
        click.echo(f"All rejected items: {out / 'rejected.jsonl'}", err=True)
        click.get_current_context().exit(Exit.REJECTED)
