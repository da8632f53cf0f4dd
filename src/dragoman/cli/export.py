"""`dragoman export`: a trained model in the form of other libraries."""

from __future__ import annotations

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run")
@click.option("--to", required=True, help="onnx, or sentence-transformers (its text side).")
@click.option("--out", required=True, help="Folder of the export; an earlier export there is replaced.")
@click.option("--int8", is_flag=True, default=None, help="Weights as 8-bit integers (onnx).")
@click.option(
    "--vision", help="Vision tower to export, where the run does not know it: a folder or hub id (onnx)."
)
@click.option("--corpus", help="Compare on captions, vectors and images of this corpus as well.")
@click.option("--json", "as_json", is_flag=True, help="Print parity.json instead of a table.")
def command(run: str, to: str, out: str, as_json: bool, **options: object) -> None:
    """Write the model of RUN for use without Dragoman's training stack.

    The export is compared with the model: on golden texts and made-up pictures, and with --corpus on
    captions in every language, vectors and images of it. Where they differ by more than they may, nothing is
    written and the exit status is 4.

    \b
    dragoman export run/ --to onnx --out model-onnx/ --corpus corpus/
    dragoman export run/ --to onnx --int8 --out model-int8/
    dragoman export run/ --to sentence-transformers --out model-st/
    """
    import json
    from dataclasses import asdict

    from dragoman.export import export
    from dragoman.export._lines import parity_lines, size_line

    given = {name: value for name, value in options.items() if value is not None}
    made = export(run, to=to, out=out, **given)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in made.parity], ensure_ascii=False, indent=2))
        return
    for line in parity_lines(made.parity):
        click.echo(line)
    click.echo(f"{made.folder}: {size_line(made.sizes)}")
