"""`dragoman export`: a trained model in the form of other libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import Verb, assignments, options

if TYPE_CHECKING:
    from dragoman.export.parity import Agreement


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """Options of a target, those that several have by names of their own."""

    int8: bool | None = None
    """Weights as 8-bit integers (onnx)."""
    vision: str | None = None
    """Vision tower to export, where the run does not know it: a folder or hub id."""
    corpus: str | None = None
    """Compare on captions, vectors and images of this corpus as well."""
    settings: dict[str, str] = field(default_factory=dict)
    """Any setting of the target, as in int8=true; repeatable."""

    def given(self) -> dict[str, object]:
        """Return what was given, by the names of the target's settings."""
        named: dict[str, object] = {"int8": self.int8, "vision": self.vision, "corpus": self.corpus}
        return {name: value for name, value in named.items() if value is not None} | dict(self.settings)


@click.command(cls=Verb)
@click.argument("run")
@click.option("--to", required=True, help="onnx, or sentence-transformers.")
@click.option("--out", required=True, help="Folder of the export; an earlier export there is replaced.")
@options(TargetOptions, "target", settings=assignments("int8=true"))
@click.option("--json", "as_json", is_flag=True, help="Print parity.json instead of a table.")
def command(run: str, to: str, out: str, target: TargetOptions, as_json: bool) -> None:
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

    from dragoman.export import config_of, export

    made = export(run, to=config_of(to, target.given()), out=out)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in made.parity], ensure_ascii=False, indent=2))
        return
    for line in parity_lines(made.parity):
        click.echo(line)
    click.echo(f"{made.folder}: {size_line(made.sizes)}")


def parity_lines(rows: Sequence[Agreement]) -> Iterator[str]:
    """A table: what was compared, how many, and how well it agrees."""
    width = max(len(row.what) for row in rows)
    yield f"{'compared':{width}}  weights  number  largest diff.  cosine min  cosine mean  same top 10"
    for row in rows:
        top = "-" if row.top10 is None else f"{row.top10:.1%}"
        yield (
            f"{row.what:{width}}  {row.precision:7}  {row.count:6}  {row.largest_difference:13.1e}  "
            f"{row.cosine_min:10.6f}  {row.cosine_mean:11.6f}  {top:>11}"
        )


def size_line(sizes: dict[str, int]) -> str:
    """The files and their sizes in MB."""
    large = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items() if size >= 50_000)
    return f"{sum(sizes.values()) / 1e6:.1f} MB" + (f" ({large})" if large else "")
