"""The stages of the demonstration, one after the other; those that are finished are reused."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, sole_writer
from dragoman.index import index_media
from dragoman.pipelines.contact_sheet import draw_sheet, find_examples
from dragoman.pipelines.demo_page import write_page
from dragoman.pipelines.evaluate import evaluate
from dragoman.recipes import load_recipe
from dragoman.reports import model as models
from dragoman.reports.compare import Difference, compare
from dragoman.reports.settings import EvaluationSettings
from dragoman.scenes.world import RECORDED, SOURCE, WorldConfig, write_world
from dragoman.search.calibrate import calibrate_once
from dragoman.training import train
from dragoman.translation import translate
from dragoman.trust import score_trust
from dragoman.trust.report_html import write_report as write_trust_report

log = logging.getLogger(__name__)

BASELINE, ROBUST = "translate_train", "nrccr"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What the demonstration does; the default takes a few minutes on two cores."""

    items: int = WorldConfig.items
    video: bool = False
    """Clips in place of pictures, each beside its reversal: who reads them must heed the order of frames."""
    seed: int = 1
    target: str = "pt"
    """Learned from machine translations alone."""
    unseen: tuple[str, ...] = ("gl",)
    """Evaluated too, though nothing was trained on them."""
    settings: Mapping[str, str] = field(default_factory=lambda: {"epochs": "10"})
    """Of both trainings."""

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages of the test, the source last."""
        return (self.target, *self.unseen, SOURCE)


SMALLEST = DemoConfig(
    items=240,
    unseen=(),
    settings={
        "epochs": "8",
        "batch_size": "64",
        "learning_rate": "0.002",
        "text.width": "128",
        "dual.hidden": "128",
        "dual.joint": "256",
    },
)
"""The same way in under a minute, for the tests."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What was measured, and where to look at it."""

    reports: dict[str, dict[str, Any]]
    """Recipe to its `report.json`."""
    differences: list[Difference]
    """Of nrccr to translate_train, on the same queries."""
    page: Path
    sheet: Path
    index: Path
    """Of all pictures, by the model of nrccr: `dragoman search` and `dragoman serve` open it."""


def run_demo(out: str | Path, config: DemoConfig) -> DemoResult:
    """Run every stage into `out`: world/, <recipe>/run, <recipe>/report, report.html,
    contact_sheet.png, index/.

    A stage that is finished is not done again, and one that was interrupted goes on where it was. Raises
    UserError if `out` holds a demonstration of another configuration.
    """
    folder = Path(out)
    with sole_writer(folder):
        world = folder / "world"
        log.info("1/6 world")
        write_world(world, WorldConfig(items=config.items, motion=config.video, seed=config.seed))
        log.info("2/6 translate (recorded Apertium) and score trust")
        _translate(world, config)
        reports = {}
        for recipe in (BASELINE, ROBUST):
            log.info("3/6 train %s", recipe)
            _train(world, folder, recipe, config)
        for recipe in (BASELINE, ROBUST):
            log.info("4/6 evaluate %s", recipe)
            reports[recipe] = _evaluate(world, folder, recipe, config)
        differences = compare([folder / BASELINE / "report"], [folder / ROBUST / "report"])
        log.info("5/6 look")
        corpus = Corpus.open(world)
        examples = find_examples(folder / ROBUST / "run", corpus, config.languages)
        sheet = draw_sheet(folder / "contact_sheet.png", corpus, examples)
        page = write_page(folder / "report.html", reports, differences, corpus, examples)
        log.info("6/6 index")
        run = folder / ROBUST / "run"
        calibrate_once(run, world, "cpu")
        index_media(run, world, folder / "index", device="cpu")
    return DemoResult(
        reports=reports, differences=differences, page=page, sheet=sheet, index=folder / "index"
    )


def _translate(world: Path, config: DemoConfig) -> None:
    """English into the target and back for training; human test captions into English for translate-test."""
    if (world / "trust" / "report.html").is_file():
        return
    engine = f"recorded:{world / RECORDED.name}"
    cache = world.parent / "cache"
    reports = [translate(world, to=config.target, engine=engine, back=engine, cache=cache)]
    for lang in (config.target, *config.unseen):
        reports.append(
            translate(world, to=SOURCE, source=lang, splits=("val", "test"), engine=engine, cache=cache)
        )
    if missing := sum(report.rejected for report in reports):
        raise UserError(
            f"{RECORDED.name} has no translation of {missing} captions of this world. It covers worlds of "
            "seed 1 with up to 1200 items; record another: python -m dragoman.scenes.record"
        )
    write_trust_report(world / "trust", score_trust(world))


def _train(world: Path, folder: Path, recipe: str, config: DemoConfig) -> None:
    chosen = load_recipe(recipe)(SOURCE, (config.target,), "grid")
    chosen = chosen.with_settings({**config.settings, "seed": str(config.seed)})
    train(world, chosen, folder / recipe / "run")


def _evaluate(world: Path, folder: Path, recipe: str, config: DemoConfig) -> dict[str, Any]:
    run, report = folder / recipe / "run", folder / recipe / "report"
    inputs = models.fingerprint(run) | Corpus.open(world).fingerprint()
    if (report / MANIFEST).is_file():
        manifest = json.loads((report / MANIFEST).read_text(encoding="utf-8"))
        if manifest.get("inputs") == inputs:
            stored: dict[str, Any] = json.loads((report / "report.json").read_text(encoding="utf-8"))
            return stored
    return evaluate(run, world, EvaluationSettings(languages=config.languages), out=report)
