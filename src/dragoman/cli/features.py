"""`dragoman features`: frozen vision vectors of every image and video of a corpus."""

from __future__ import annotations

from typing import Any

import click

from dragoman.errors import Exit

SHOWN = 5


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("corpus")
@click.option("--encoder", required=True, help="Vision tower: a Hugging Face folder or hub id.")
@click.option("--name", help="Name of the feature set (default: the last part of the encoder's name).")
@click.option(
    "--grid",
    type=click.IntRange(min=1),
    help="Keep the tower's map as well, pooled to GRID x GRID regions, for a fusion encoder.",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), help="Images per forward pass (default: 4 on a CPU, else 64)."
)
@click.option("--device", help="cpu, cuda, mps, or auto: cuda where there is one (default: auto).")
@click.option("--max-megapixels", type=float, help="Larger images are rejected (default: 100).")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Threads that decode images (default: the cores)."
)
@click.option("--every", type=float, help="Seconds between the frames of a video (default: 1).")
@click.option(
    "--scenes",
    type=float,
    help="Or a frame of every scene: the least difference of frames, 0 to 1, that begins one (try 0.2).",
)
@click.option(
    "--most-frames", type=click.IntRange(min=1), help="Frames of a video, spread evenly (default: 1024)."
)
def command(
    corpus: str,
    encoder: str,
    name: str | None,
    **given: object,
) -> None:
    """Write the vectors of a vision tower to CORPUS/features/NAME/.

    Only items without a vector are worked on, so a second run goes on where the first one was stopped.
    Broken images and videos are listed in rejected.jsonl with their reasons; the exit status is then 3.

    \b
    dragoman features corpus/ --encoder openai/clip-vit-base-patch32
    dragoman features corpus/ --encoder models/mobilenet_v2_imagenet --name mobilenet_v2
    dragoman features corpus/ --encoder models/mobilenet_v2_imagenet --name mobilenet_3x3 --grid 3
    dragoman features clips/ --encoder openai/clip-vit-base-patch32 --every 0.5
    """
    import warnings

    from dragoman.features.extract import ExtractOptions, extract_features
    from dragoman.media.frames import Sampling
    from dragoman.media.images import Decoding

    # Pillow warns of every odd tag in a file; what cannot be read is rejected by name.
    warnings.filterwarnings("ignore", module="PIL")
    given["most"] = given.pop("most_frames")

    def chosen(*names: str) -> dict[str, Any]:
        return {name: given[name] for name in names if given[name] is not None}

    options = ExtractOptions(
        **chosen("grid", "batch_size", "device"),
        sampling=Sampling(**chosen("every", "scenes", "most")),
        decoding=Decoding(**chosen("max_megapixels", "workers")),
    )
    report = extract_features(corpus, encoder=encoder, name=name, options=options)
    for one in report.rejected[:SHOWN]:
        click.echo(f"rejected {one.item_id}: {one.path or 'no path'}: {one.reason}", err=True)
    rejected = f", {len(report.rejected)} items rejected" if report.rejected else ""
    made = f"{report.total} items of {report.frames:,} frames" if report.frames else f"{report.total} vectors"
    click.echo(f"{report.folder}: {made}, {report.extracted} of them new{rejected}")
    if report.rejected:
        click.echo(f"All rejected items: {report.folder / 'rejected.jsonl'}", err=True)
        click.get_current_context().exit(Exit.REJECTED)
