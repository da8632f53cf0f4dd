"""dragoman train: learn a text and an image encoder from a corpus."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Train a model on a corpus.")
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--recipe", help="Name of the recipe.  [default: nrccr; with --init that run's]")
@click.option("--source", help="Language of the human captions.  [default: en]")
@click.option("--targets", default="", help="Languages to learn from machine captions, by commas.")
@click.option("--features", help="Feature set of the corpus.")
@click.option("--init", type=click.Path(path_type=Path), help="Run folder to start from, with --add.")
@click.option("--add", default="", help="Languages to add to that run, by commas.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option(
    "--engine", "engines", multiple=True, metavar="[LANG=]ENGINE", help="Whose translations; repeatable."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a setting; repeatable.")
@click.option("--show-config", is_flag=True, help="Print the complete configuration and stop.")
def command(
    corpus: Path,
    recipe: str | None,
    source: str | None,
    targets: str,
    features: str | None,
    init: Path | None,
    add: str,
    out: Path,
    seed: int | None,
    engines: tuple[str, ...],
    device: str,
    settings: tuple[str, ...],
    show_config: bool,
) -> None:
    """Train a model on CORPUS by a recipe, and write a run folder.

    \b
    dragoman train corpus/ --recipe nrccr --source en --targets pt --features mobilenet_v2 --out run/
    dragoman train corpus/ --targets pt --features mobilenet_v2 --out run2/ --set loss.sim_weight=0.2
    dragoman train corpus/ --init run/ --add gl --out run3/

    With --init and --add, further languages join a finished run; what its image side says stays as it is.
    The same command goes on with a run that was stopped. Ctrl-C stops after the step in hand.
    """
    import json

    from dragoman.errors import MissingExtraError, UserError
    from dragoman.progress import is_first_process
    from dragoman.settings import pairs

    try:
        from dragoman.recipes import load_recipe
        from dragoman.training import extended_config, train
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "train", "Training") from None
    changes = dict(pairs(settings, "--set", "NAME=VALUE", "epochs=5"))
    if seed is not None:
        changes["seed"] = str(seed)
    if engines:
        changes["engines"] = ",".join(engines)
    if init is not None:
        if targets or source or features:
            raise UserError("--init takes source, targets and features from that run; name only --add")
        added = _languages(add)
        chosen = load_recipe(recipe)("", added, "") if recipe else None
        config = extended_config(init, added, chosen)
    elif add:
        raise UserError("--add needs the run that it extends: --init RUN")
    elif features is None:
        raise UserError("A feature set of the corpus is needed: --features NAME")
    else:
        config = load_recipe(recipe or "nrccr")(source or "en", _languages(targets), features)
    config = config.with_settings(changes)
    if show_config:
        click.echo(json.dumps(config.as_dict(), indent=2))
        return
    report = train(corpus, config, out, init=init, device=device)
    if not is_first_process():
        return
    click.echo(
        f"{report.folder}: {report.steps} steps; best at step {report.best_step} with {report.best:.1f}"
    )
    click.echo(f"Criterion: {report.criterion}")
    click.echo(f"Next: dragoman evaluate {out} {corpus} --split test --out {out}-report")


def _languages(listed: str) -> tuple[str, ...]:
    return tuple(lang.strip() for lang in listed.split(",") if lang.strip())
