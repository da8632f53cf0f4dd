"""The stages of the demonstration, one after the other; those that are finished are reused."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, sole_writer
from dragoman.index import index_media
from dragoman.pages.contact_sheet import SHOWN, Example, draw_sheet
from dragoman.pages.demo import write_page
from dragoman.pages.trust import write_page as write_trust_page
from dragoman.pipelines.demo_table import cells, gain_lines
from dragoman.pipelines.evaluate import evaluate
from dragoman.recipes import load_recipe
from dragoman.reports.compare import Difference, compare
from dragoman.reports.provenance import fingerprint
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.trained import Retriever
from dragoman.scenes.world import RECORDED, SOURCE, WorldConfig, write_world
from dragoman.search.calibrate import calibrate_once
from dragoman.training import train
from dragoman.translation import translate
from dragoman.trust import score_trust

log = logging.getLogger(__name__)

BASELINE, ROBUST = "translate_train", "nrccr"
PER_LANGUAGE = 4
"""Queries of each language on the page."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Settings of the demonstration; the default takes a few minutes on two cores."""

    items: int = WorldConfig.items
    video: bool = False
    """Clips in place of pictures, each beside its reversal: who reads them must heed the order of frames."""
    seed: int = 1
    target: str = "pt"
    """Learned from machine translations alone."""
    unseen: tuple[str, ...] = ("gl",)
    """Evaluated too, though nothing was trained on them."""
    settings: Mapping[str, str] = field(default_factory=lambda: {"epochs": "10"})
    """Settings of both trainings."""

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
    """The figures that were measured, and where to look at them."""

    reports: dict[str, dict[str, Any]]
    """Recipe to its `report.json`."""
    differences: list[Difference]
    """Differences of nrccr to translate_train, on the same queries."""
    page: Path
    sheet: Path
    index: Path
    """Index of all pictures, by the model of nrccr: `dragoman search` and `dragoman serve` open it."""


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
        page = write_page(folder / "report.html", cells(reports), gain_lines(differences), corpus, examples)
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
    write_trust_page(world / "trust" / "report.html", score_trust(world))


def _train(world: Path, folder: Path, recipe: str, config: DemoConfig) -> None:
    chosen = load_recipe(recipe)(SOURCE, (config.target,), "grid")
    chosen = chosen.with_settings({**config.settings, "seed": str(config.seed)})
    train(world, chosen, folder / recipe / "run")


def _evaluate(world: Path, folder: Path, recipe: str, config: DemoConfig) -> dict[str, Any]:
    run, report = folder / recipe / "run", folder / recipe / "report"
    inputs = fingerprint(run) | Corpus.open(world).fingerprint()
    if (report / MANIFEST).is_file():
        manifest = json.loads((report / MANIFEST).read_text(encoding="utf-8"))
        if manifest.get("inputs") == inputs:
            stored: dict[str, Any] = json.loads((report / "report.json").read_text(encoding="utf-8"))
            return stored
    return evaluate(run, world, EvaluationSettings(languages=config.languages), out=report)


def find_examples(run: str | Path, corpus: Corpus, languages: Sequence[str]) -> list[Example]:
    """Ask human test captions, evenly spaced through the test set and not chosen by how well they do.

    Q queries, N pictures of the gallery, D width.
    """
    retriever = Retriever.load(run)
    gallery = corpus.split("test")["item_id"].to_pylist()
    features = corpus.features(str(retriever.config["features"]))
    images_ND = retriever.encode_features(np.asarray(features.whole(features.rows(gallery))))
    examples = []
    for number, lang in enumerate(languages):
        captions = corpus.select(role="human", lang=lang, split="test").table.to_pylist()
        step = len(captions) // PER_LANGUAGE
        # Another start for every language, so that the languages show different pictures.
        chosen = captions[number % max(step, 1) :: step][:PER_LANGUAGE]
        scores_QN = retriever.encode_text([caption["text"] for caption in chosen]) @ images_ND.T
        for caption, scores_N in zip(chosen, scores_QN, strict=True):
            order = np.argsort(-scores_N, kind="stable")
            examples.append(
                Example(
                    lang=lang,
                    text=caption["text"],
                    item_id=caption["item_id"],
                    found=[gallery[row] for row in order[:SHOWN]],
                    rank=int(np.flatnonzero(order == gallery.index(caption["item_id"]))[0]) + 1,
                )
            )
    return examples
