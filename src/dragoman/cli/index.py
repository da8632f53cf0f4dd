"""`dragoman index`: images and videos that can be searched, kept up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import AT_LEAST_1, CLUSTER, PATH, Renamed, Verb, assignments, needs, options, spelled
from dragoman.errors import Exit

if TYPE_CHECKING:
    from dragoman.index import IndexOptions

SHOWN = 5


class _Index(Verb):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Stores are asked only here, since each is imported for its description.
        from dragoman import plugins
        from dragoman.stores import STORES

        with formatter.section("Stores"):
            found = ((name, plugins.load(STORES, name, "store").__doc__) for name in plugins.names(STORES))
            formatter.write_dl([(name, (said or "").partition("\n\n")[0]) for name, said in found])


@click.command(cls=_Index, short_help="Make or update an index of images and videos.")
@click.argument("run", type=PATH)
@click.argument("media", type=PATH)
@click.option("--out", required=True, type=PATH, help="Index folder.")
@options(
    "dragoman.index:IndexOptions",
    "options",
    store=spelled("--store", cls=Renamed, old="--backend"),
    settings=assignments("wait=30"),
    batch_size=AT_LEAST_1,
    workers=AT_LEAST_1,
    exclude=spelled("--exclude", multiple=True, metavar="PATTERN"),
    **CLUSTER,
)
def command(run: Path, media: Path, out: Path, options: IndexOptions) -> None:
    """Make or update an index of MEDIA, a folder of images or a corpus, with the model of RUN.

    \b
    dragoman index run/ photos/ --out index/
    dragoman index run/ corpus/ --out index/ --store faiss
    dragoman index export/ photos/ --out index/ --vision models/mobilenet_v2_imagenet

    Only what is new or changed is embedded; what is gone is removed, and what moved is recognised. The same
    command goes on where it was stopped. With another model, the old index is searched until the new one is
    complete. With a corpus, a run is calibrated as by `dragoman calibrate`, if it is not. Broken images are
    listed in rejected.jsonl with their reasons; the exit status is then 3.
    """
    import warnings

    with needs("train", "Indexing"):
        from dragoman.index import index_media
        from dragoman.search.printing import plain
    # Pillow warns of every odd tag in a file; what cannot be read is rejected by name.
    warnings.filterwarnings("ignore", module="PIL")
    if (media / "captions.parquet").is_file():
        from dragoman.search.calibrate import calibrate_once

        calibrate_once(run, media, options.device)
    report = index_media(run, media, out, options)
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
    for line in report.left_out:
        click.echo(f"  {line}")
    if report.rejected:
        click.echo(f"All rejected items: {out / 'rejected.jsonl'}", err=True)
        click.get_current_context().exit(Exit.REJECTED)
