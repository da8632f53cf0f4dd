"""dragoman train: learn a text and an image encoder from a corpus."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dragoman.cli.verb import LISTED, PATH, Verb, assignments, needs, options, spelled
from dragoman.errors import UserError

if TYPE_CHECKING:
    from dragoman.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class ConfigOptions:
    """Choices that a configuration is made of."""

    recipe: str | None = None
    """Name of the recipe; by default glossed where a sentence encoder is installed that knows the languages,
    else nrccr; with --init that of the run."""
    source: str | None = None
    """Language of the human captions; by default en."""
    targets: tuple[str, ...] = ()
    """Languages to learn from machine captions, by commas."""
    features: str | None = None
    """Feature set of the corpus."""
    init: Path | None = None
    """Run folder to start from, with --add."""
    add: tuple[str, ...] = ()
    """Languages to add to that run, by commas."""
    seed: int | None = None
    """Seed of everything random."""
    engines: tuple[str, ...] = ()
    """Engine whose translations are learned from; repeatable."""
    settings: dict[str, str] = field(default_factory=dict)
    """Change a setting; repeatable."""

    def config(self) -> TrainConfig:
        """Make the configuration. Raises UserError where choices do not go together."""
        from dragoman.recipes import default_recipe, load_recipe
        from dragoman.training import extended_config

        if self.init is not None:
            if self.targets or self.source or self.features:
                raise UserError("--init takes source, targets and features from that run; name only --add")
            chosen = load_recipe(self.recipe)("", self.add, "") if self.recipe else None
            config = extended_config(self.init, self.add, chosen)
        elif self.add:
            raise UserError("--add needs the run that it extends: --init RUN")
        elif self.features is None:
            raise UserError("A feature set of the corpus is needed: --features NAME")
        else:
            source = self.source or "en"
            recipe = load_recipe(self.recipe or default_recipe((source, *self.targets)))
            config = recipe(source, self.targets, self.features)
        changes = dict(self.settings)
        if self.seed is not None:
            changes["seed"] = str(self.seed)
        if self.engines:
            changes["engines"] = ",".join(self.engines)
        return config.with_settings(changes)


@click.command(cls=Verb, short_help="Train a model on a corpus.")
@click.argument("corpus", type=PATH)
@click.option("--out", required=True, type=PATH, help="Run folder.")
@options(
    ConfigOptions,
    "chosen",
    targets=LISTED,
    add=LISTED,
    engines=spelled("--engine", multiple=True, metavar="[LANG=]ENGINE"),
    settings=assignments("epochs=5"),
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--show-config", is_flag=True, help="Print the complete configuration and stop.")
def command(corpus: Path, out: Path, chosen: ConfigOptions, device: str, show_config: bool) -> None:
    """Train a model on CORPUS by a recipe, and write a run folder.

    \b
    dragoman train corpus/ --recipe nrccr --source en --targets pt --features mobilenet_v2 --out run/
    dragoman train corpus/ --features mobilenet_v2 --out run2/ --set steps=1000
    dragoman train corpus/ --init run/ --add gl --out run3/

    With --init and --add, further languages join a finished run; what its image side says stays as it is.
    The same command goes on with a run that was stopped. Ctrl-C stops after the step in hand.
    """
    import json

    from dragoman.progress import is_first_process

    with needs("train", "Training"):
        from dragoman.training import train

        config = chosen.config()
    if show_config:
        click.echo(json.dumps(config.as_dict(), indent=2))
        return
    report = train(corpus, config, out, init=chosen.init, device=device)
    if not is_first_process():
        return
    click.echo(
        f"{report.folder}: {report.steps} steps; best at step {report.best_step} with {report.best:.1f}"
    )
    click.echo(f"Criterion: {report.criterion}")
    click.echo(f"Next: dragoman evaluate {out} {corpus} --split test --out {out}-report")
