"""`dragoman describe`: a description of each item, which enriches what a model sees of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import AT_LEAST_1, LISTED, NO_CLUSTER, PATH, Verb, options, spelled
from dragoman.errors import Exit

if TYPE_CHECKING:
    from dragoman.descriptions import SeenSettings


@click.command(cls=Verb, short_help="Describe each item, by a file, a model that sees, or photos like it.")
@click.argument("corpus", type=click.Path(exists=True, file_okay=False))
@click.option("--from", "file", type=PATH, help="Descriptions: JSON Lines or a table with item_id and text.")
@click.option("--nearest", metavar="FEATURES", help="Captions of the training photos nearest by this set.")
@click.option(
    "--count", type=AT_LEAST_1, default=5, show_default=True, help="Photos that --nearest takes one from."
)
@click.option("--model", help="Model that sees, behind an OpenAI-compatible endpoint; photos are sent there.")
@click.option("--lang", default="en", show_default=True, help="Language of the descriptions.")
@click.option("--reject-file", type=PATH, help="Collect bad lines of --from here, go on, and exit with 3.")
@options(
    "dragoman.descriptions:SeenSettings",
    "settings",
    splits=spelled("--split", type=LISTED),
    batch_size=spelled(type=AT_LEAST_1, help="Photos that are asked for at a time; by default 4."),
    timeout=spelled(type=click.FloatRange(0, min_open=True), help="Seconds that these may take."),
    cache=click.Path(file_okay=False),
    device=None,
    pause=None,
    tries=None,
    **NO_CLUSTER,
    retry_rejected=spelled("--retry-rejected", help="Show photos again that were refused in earlier runs."),
)
def command(
    corpus: str,
    file: Path | None,
    nearest: str | None,
    count: int,
    model: str | None,
    lang: str,
    reject_file: Path | None,
    settings: SeenSettings,
) -> None:
    """Give items of CORPUS a description, a caption of the role description for each of its sentences.

    It enriches the image side of models that read it (--recipe leccr), and is nobody's question. An item
    that is described again loses the description that it had.

    \b
    dragoman describe corpus/ --from descriptions.jsonl
    dragoman describe corpus/ --nearest mobilenet_v2
    dragoman describe corpus/ --model gpt-4o-mini

    The key of an endpoint is OPENAI_API_KEY, its address --url or OPENAI_BASE_URL. A run that was stopped
    goes on where it was. Exit status 3: some were rejected, and listed in CORPUS/rejected/.
    """
    from dragoman.descriptions import describe_from, describe_nearest, describe_seen

    if sum(one is not None for one in (file, nearest, model)) != 1:
        raise click.UsageError("Give one source of descriptions: --from, --nearest or --model.")
    if file is not None:
        report = describe_from(corpus, file, lang=lang, reject_file=reject_file)
    elif nearest is not None:
        report = describe_nearest(corpus, nearest, count=count, lang=lang)
    else:
        assert model is not None
        report = describe_seen(corpus, model, lang=lang, settings=settings)
    if report.counts is not None:
        counts = report.counts
        click.echo(
            f"{counts.translated} photos shown, {counts.cached} seen before, {counts.rejected} refused"
        )
    same = " (as before)" if report.unchanged else ""
    click.echo(f"{corpus}: {report.items:,} items described in {report.sentences:,} sentences{same}")
    if not report.unchanged:
        click.echo("  run again, to follow: dragoman features --texts")
    if report.rejected:
        click.echo(f"{report.rejected} were rejected; see {report.reject_file}", err=True)
        click.get_current_context().exit(Exit.REJECTED)
