"""The stages of the demonstration, one after the other; those that are finished are reused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.evaluation.metrics import RECALLS
from dragoman.folders import sole_writer
from dragoman.index import IndexOptions, index_media
from dragoman.pages.demo import SHOWN, DemoExample, draw_sheet, write_demo_page
from dragoman.pages.trust import write_trust_page
from dragoman.pipelines.experiment import Arm, Trial, read_report
from dragoman.progress import Whole
from dragoman.reports.compare import Difference, compare
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.base import encode_in
from dragoman.retrievers.described import with_descriptions
from dragoman.retrievers.trained import Retriever
from dragoman.scenes.world import RECORDED, SOURCE, WorldSettings, write_world
from dragoman.search.calibrate import calibrate_once
from dragoman.translation import TranslateSettings, translate
from dragoman.trust import score_trust

BASELINE, HOUSE = "mlp", "glossed"
"""The plainest rival that is worth beating, and the recipe that measured best (docs/results.md)."""
EXPECTED = {
    "draw the world": 25.0,
    "translate (recorded Apertium) and judge": 20.0,
    f"learn: {BASELINE}": 30.0,
    f"learn: {HOUSE}": 50.0,
    "evaluate both": 25.0,
    "look, and index": 20.0,
}
"""Seconds of each stage on two quiet cores."""
PER_LANGUAGE = 4
"""Queries of each language on the page."""
ROWS = ("direct", "translate_test", "fused")
WAY = "text_to_image"


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Settings of the demonstration; the default takes a few minutes on two cores."""

    items: int = WorldSettings.items
    video: bool = False
    """Clips in place of pictures, each beside its reversal: who reads them must heed the order of frames."""
    seed: int = 1
    target: str = "pt"
    """Learned from machine translations alone."""
    unseen: tuple[str, ...] = ("gl",)
    """Evaluated too, though nothing was trained on them."""
    settings: Mapping[str, str] = field(default_factory=lambda: {"steps": "150"})
    """Settings of both trainings."""

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages of the test, the source last."""
        return (self.target, *self.unseen, SOURCE)


SMALLEST = DemoSettings(
    items=240,
    unseen=(),
    settings={"steps": "60", "batch_size": "128"},
)
"""The same way in under a minute, for the tests."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """The figures that were measured, and where to look at them."""

    reports: dict[str, dict[str, Any]]
    """Recipe to its `report.json`."""
    differences: list[Difference]
    """Differences of the house recipe to the baseline, on the same queries."""
    page: Path
    sheet: Path
    index: Path
    """Index of all pictures, by the house recipe: `dragoman search` and `dragoman serve` open it."""


def run_demo(out: str | Path, config: DemoSettings) -> DemoResult:
    """Run every stage into `out`: world/, <recipe>/run, <recipe>/report, report.html,
    contact_sheet.png, index/.

    A stage that is finished is not done again, and one that was interrupted goes on where it was. Raises
    UserError if `out` holds a demonstration of another configuration.
    """
    folder = Path(out)
    world = folder / "world"
    trials: dict[str, Trial] = {}
    with sole_writer(folder), Whole(EXPECTED).shown() as whole:
        with whole.stage("draw the world", parts=2):
            write_world(world, WorldSettings(items=config.items, motion=config.video, seed=config.seed))
        with whole.stage("translate (recorded Apertium) and judge", parts=5):
            _translate(world, config)
        for recipe in (BASELINE, HOUSE):
            trials[recipe] = _trial(world, folder / recipe, recipe, config)
            with whole.stage(f"learn: {recipe}"):
                trials[recipe].fit()
        with whole.stage("evaluate both"):
            for trial in trials.values():
                trial.perform()
        reports = {recipe: read_report(folder / recipe / "report") for recipe in trials}
        differences = compare([folder / BASELINE / "report"], [folder / HOUSE / "report"])
        with whole.stage("look, and index"):
            corpus, run = Corpus.open(world), folder / HOUSE / "run"
            examples = find_examples(run, corpus, config.languages)
            sheet = draw_sheet(folder / "contact_sheet.png", corpus, examples)
            page = write_demo_page(
                folder / "report.html", cells(reports), gain_lines(differences), corpus, examples
            )
            calibrate_once(run, world, "cpu")
            index_media(run, world, folder / "index", IndexOptions(device="cpu"))
    return DemoResult(
        reports=reports, differences=differences, page=page, sheet=sheet, index=folder / "index"
    )


def _translate(world: Path, config: DemoSettings) -> None:
    """English into the target and back for training; human test captions into English for translate-test."""
    if (world / "trust" / "report.html").is_file():  # the last file that is written here
        return
    engine = f"recorded:{world / RECORDED.name}"
    settings = TranslateSettings(cache=world.parent / "cache")
    reports = [translate(world, to=config.target, engine=engine, back=engine, settings=settings)]
    tested = replace(settings, splits=("val", "test"))
    for lang in (config.target, *config.unseen):
        reports.append(translate(world, to=SOURCE, source=lang, engine=engine, settings=tested))
    if missing := sum(report.rejected for report in reports):
        raise UserError(
            f"{RECORDED.name} has no translation of {missing} captions of this world. It covers worlds of "
            "seed 1 with up to 1200 items; record another: python -m dragoman.scenes.record"
        )
    write_trust_page(world / "trust" / "report.html", score_trust(world))


def _trial(world: Path, folder: Path, recipe: str, config: DemoSettings) -> Trial:
    return Trial(
        corpus=world,
        arm=Arm(
            recipe=recipe, source=SOURCE, targets=(config.target,), features="grid", settings=config.settings
        ),
        seed=config.seed,
        run=folder / "run",
        reports={folder / "report": EvaluationSettings(languages=config.languages)},
        device="auto",
    )


def find_examples(run: str | Path, corpus: Corpus, languages: Sequence[str]) -> list[DemoExample]:
    """Ask human test captions, evenly spaced through the test set and not chosen by how well they do.

    Q queries, N pictures of the gallery, D width.
    """
    retriever = Retriever.load(run)
    features = corpus.features(str(retriever.config["features"]))
    features = with_descriptions(features, corpus, retriever.config.get("descriptions"))
    corpus = corpus.with_vectors(features, "test")
    gallery = corpus.split("test")["item_id"].to_pylist()
    images_ND = retriever.encode_features(np.asarray(features.whole(features.rows(gallery))))
    examples = []
    for number, lang in enumerate(languages):
        captions = corpus.select(role="human", lang=lang, split="test").table.to_pylist()
        step = len(captions) // PER_LANGUAGE
        # Another start for every language, so that the languages show different pictures.
        chosen = captions[number % max(step, 1) :: step][:PER_LANGUAGE]
        scores_QN = encode_in(retriever, [caption["text"] for caption in chosen], lang) @ images_ND.T
        for caption, scores_N in zip(chosen, scores_QN, strict=True):
            order = np.argsort(-scores_N, kind="stable")
            examples.append(
                DemoExample(
                    lang=lang,
                    text=caption["text"],
                    item_id=caption["item_id"],
                    found=[gallery[row] for row in order[:SHOWN]],
                    rank=int(np.flatnonzero(order == gallery.index(caption["item_id"]))[0]) + 1,
                )
            )
    return examples


def comparison_lines(
    reports: Mapping[str, Mapping[str, Any]], differences: Sequence[Difference]
) -> Iterator[str]:
    """Print a line a language, row and recipe, then what the house recipe gains when asked directly."""
    heads = "".join(f"{metric.short:>7}" for metric in RECALLS)
    yield f"{'queries':<9}{'row':<16}{'recipe':<17}{heads}{'SumR':>8}  95 % interval"
    for lang, row, recipe, result, (low, high) in cells(reports):
        recalls = "".join(f"{result[WAY][metric]:7.1f}" for metric in RECALLS)
        yield f"{lang:<9}{row:<16}{recipe:<17}{recalls}{result['sum_r']:8.1f}  {low:.1f} to {high:.1f}"
    yield from gain_lines(differences)


def gain_lines(differences: Sequence[Difference]) -> Iterator[str]:
    """Tell what the house recipe gains in SumR when asked directly, a line a language."""
    for one in differences:
        if one.metric != "sum_r" or one.pair.row != "direct":
            continue
        low, high = one.interval
        yield (
            f"{one.pair.language}, asked directly: {HOUSE} {one.difference:+.1f} SumR against {BASELINE} "
            f"(95 % interval {low:+.1f} to {high:+.1f}, p {one.p:.3f}; one seed)"
        )


def cells(
    reports: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str, str, Mapping[str, Any], tuple[float, float]]]:
    """List language, row, recipe, its results, and the interval of its SumR."""
    first = next(iter(reports.values()))["results"]
    for lang in first:
        for row in ROWS:
            for recipe, report in reports.items():
                if row in report["results"][lang]:
                    low, high = report["intervals"][lang][row]["sum_r"]
                    yield lang, row, recipe, report["results"][lang][row], (low, high)
