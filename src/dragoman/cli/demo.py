"""`dragoman demo`: the whole way, on the generated world."""

from __future__ import annotations

import click

from dragoman.cli.verb import needs


@click.command()
@click.option("--out", default="demo", show_default=True, type=click.Path(file_okay=False), help="Folder.")
@click.option("--video", is_flag=True, help="Clips in place of pictures; needs dragoman[video].")
@click.option("--smallest", is_flag=True, help="A tiny world and few steps, as the tests do.")
def command(out: str, video: bool, smallest: bool) -> None:
    """Generate a world, translate it, train two models, evaluate them, show what they find, and index it.

    Takes about three minutes on two quiet cores. Needs no download and no Apertium: its translations are
    recorded. A second run reuses what is finished.

    \b
    dragoman demo --out demo
    dragoman demo --out demo-video --video
    """
    from dataclasses import replace

    with needs("train", "The demo"):
        from dragoman.pipelines.demo import EXPECTED, SMALLEST, DemoSettings, comparison_lines, run_demo
    from dragoman.progress import duration

    if not smallest:
        click.echo(
            f"About {duration(sum(EXPECTED.values()))} on two quiet cores; what is finished is reused."
        )
    result = run_demo(out, replace(SMALLEST if smallest else DemoSettings(), video=video))
    for line in comparison_lines(result.reports, result.differences):
        click.echo(line)
    click.echo(f"Look at {result.page} and {result.sheet}")
    click.echo(f'Next: dragoman search {result.index} "um cão"')
