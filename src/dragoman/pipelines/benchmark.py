"""Benchmarks by name: from a data set to its row, by stages of which the finished ones are reused."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dragoman.corpus import BuildOptions, Corpus, datasets
from dragoman.corpus.given import GivenFeatures, GivenFrames
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, require_same, sole_writer, write_json, write_text
from dragoman.languages import canonical_tag
from dragoman.pipelines.benchmark_row import (
    BenchmarkResult,
    Reports,
    benchmark_result,
    of_public,
    of_recipe,
)
from dragoman.pipelines.evaluate import evaluate, evaluate_folds
from dragoman.pipelines.experiment import Arm, Trial
from dragoman.pipelines.literature import Protocol, protocol_of
from dragoman.recipes import load_recipe
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.loading import model_config
from dragoman.training.config import TrainConfig
from dragoman.translation import TranslateSettings, translate

log = logging.getLogger(__name__)

SOURCE = "en"
OF_TRAINING = ("recipe", "settings", "back")
"""Fields of the configuration that may change until a run has begun: no earlier stage reads them."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """A measurement on a data set of `dragoman corpus`."""

    name: str
    languages: tuple[str, ...] = ()
    """Beside English; all of the data set where none is named."""
    test: str | None = None
    recipe: str = "nrccr"
    model: str | None = None
    """A public dual encoder, evaluated as it is instead of a recipe."""
    encoder: str | None = None
    """Vision tower that makes the features."""
    features: GivenFeatures | GivenFrames | None = None
    """Features that were made elsewhere."""
    media: str | None = None
    """Folder of the images or videos."""
    engine: str | None = None
    """Translates the English training captions; without it the data set's own captions are learned from."""
    back: str | None = None
    seeds: tuple[int, ...] = (1, 2, 3)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the training."""
    device: str = "auto"


def run_benchmark(config: BenchmarkSettings, root: str | Path, out: str | Path) -> BenchmarkResult:
    """Prepare, translate, train and evaluate into `out`: corpus/, run-<seed>/, report-<seed>/, and the
    page as benchmark.md and benchmark.html.

    root: the folder of the published files. A recipe that learns one language at a time gets a run for each,
    run-<language>-<seed>/. A stage that is finished is not done again, and one that was interrupted goes on
    where it was. Raises UserError for an unknown data set, missing files, training captions or features, and
    where `out` holds a benchmark of another configuration.
    """
    folder, protocol = Path(out), protocol_of(config.name)
    named = [canonical_tag(lang) for lang in config.languages]
    if config.model is None:
        require_recipe(config, [lang for lang in named if lang != SOURCE])
    with sole_writer(folder):
        _require_same(folder, config)
        corpus = _corpus(config, protocol, Path(root), folder / "corpus")
        tested = _languages(corpus, "test")
        targets = [lang for lang in dict.fromkeys(named or tested) if lang != SOURCE]
        stages = Stages(config, protocol, corpus, folder)
        if config.model is not None:
            made_by, reports = stages.public([*targets, *({SOURCE} & set(tested))])
        else:
            made_by, reports = stages.recipe(targets, with_source=SOURCE in tested)
        ours = Path(config.model).name if config.model is not None else f"dragoman, recipe {config.recipe}"
        result = benchmark_result(ours, config.name, _test(config), reports, made_by)
        write_text(folder / "benchmark.md", "\n".join(result.lines) + "\n")
        result.page.write(folder / "benchmark.html")
        write_json(
            folder / "benchmark.json",
            {
                "figures": result.figures,
                "consistency": result.consistency,
                "circumstances": result.circumstances,
                "lines": result.lines,
            },
        )
    return result


def _require_same(folder: Path, config: BenchmarkSettings) -> None:
    """Seeds may be added; anything else would mix two benchmarks in one folder."""
    # Here and not in the stages: reports are reused by their manifests, which do not name these settings.
    file = folder / "config.json"
    said: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    del said["seeds"]
    if file.is_file() and (before := json.loads(file.read_text(encoding="utf-8"))) != said:
        built = (folder / "corpus" / MANIFEST).is_file()
        begun = [*folder.glob("run-*/config.json"), *folder.glob(f"report*/{MANIFEST}")]
        differ = {name for name in said if before.get(name) != said[name]}
        # Until something was trained, its settings may still change: they have left nothing in the folder.
        if begun or (built and not differ <= set(OF_TRAINING)):
            require_same(folder, "benchmark", before, said, "Give another folder: --out")
    write_json(file, said)


def _corpus(config: BenchmarkSettings, protocol: Protocol, root: Path, folder: Path) -> Corpus:
    if not (folder / MANIFEST).is_file():
        log.info("corpus %s", folder)
        wanted = tuple(dict.fromkeys((SOURCE, *config.languages))) if config.languages else None
        options = BuildOptions(
            features=() if config.features is None else (config.features,),
            media_root=None if config.media is None else Path(config.media),
        )
        test = protocol.folds.get(config.test or "", config.test)
        datasets.build_dataset(
            config.name, root, folder, options, datasets.ReadOptions(languages=wanted, test=test)
        )
    return Corpus.open(folder)


def _languages(corpus: Corpus, split: str) -> list[str]:
    """List the languages of human captions of a split, sorted."""
    return corpus.select(role="human", split=split).languages


def _test(config: BenchmarkSettings) -> str:
    if config.test is not None:
        return config.test
    tests = datasets.load(config.name).about.tests
    return tests[0] if tests else ""


@dataclass(frozen=True)
class Stages:
    """Stages of one benchmark, into `folder`."""

    config: BenchmarkSettings
    protocol: Protocol
    corpus: Corpus
    folder: Path

    def public(self, languages: list[str]) -> tuple[dict[str, str], Reports]:
        """Evaluate a public model as it is."""
        assert self.config.model is not None
        vision = model_config(Path(self.config.model))["trained"]["vision"]["path"]
        features = self._features(vision)
        report = self.folder / "report"
        if not (report / MANIFEST).is_file():
            measure = evaluate_folds if self._in_folds else evaluate
            settings = EvaluationSettings(languages=languages)
            measure(self.config.model, self.corpus.folder, settings, out=report)
        return of_public(self.corpus.features(features).manifest), [[report]]

    def recipe(self, targets: list[str], *, with_source: bool) -> tuple[dict[str, str], Reports]:
        """Translate, then train and evaluate each seed."""
        config = self.config
        if config.engine is not None:
            for lang in targets:
                log.info("translate into %s", lang)
                translate(
                    self.corpus.folder,
                    to=lang,
                    source=SOURCE,
                    engine=config.engine,
                    back=config.back,
                    settings=TranslateSettings(splits=("train", "val")),
                )
        # Opened again: translations have joined it.
        corpus = Corpus.open(self.corpus.folder)
        fixed = _training_text(config, corpus, targets)
        features = self._features(config.encoder)
        alone = _learns_alone(config.recipe) and len(targets) > 1
        groups = [(lang,) for lang in targets] if alone else [tuple(targets)]
        reports: Reports = []
        for seed in config.seeds:
            trials = [self._trial(group, seed, features, fixed, alone, with_source) for group in groups]
            for trial in trials:
                log.info("train and evaluate %s", trial.run.name)
                trial.perform()
            reports.append([report for trial in trials for report in trial.reports])
        chosen = trials[-1].arm.config(config.seeds[-1])
        return of_recipe(chosen, corpus, targets, config.settings, len(config.seeds), alone), reports

    def _trial(
        self,
        group: tuple[str, ...],
        seed: int,
        features: str,
        fixed: Mapping[str, str],
        alone: bool,
        with_source: bool,
    ) -> Trial:
        name = f"{group[0]}-{seed}" if alone else f"{seed}"
        settings = {**fixed, **self.config.settings}
        # English is searched by as many models as there are languages: none of them is its own.
        languages = [*group, *([SOURCE] if with_source and not alone else [])]
        return Trial(
            corpus=self.corpus.folder,
            arm=Arm(recipe=self.config.recipe, targets=group, features=features, settings=settings),
            seed=seed,
            run=self.folder / f"run-{name}",
            reports={self.folder / f"report-{name}": EvaluationSettings(languages=languages)},
            folds=self._in_folds,
            device=self.config.device,
        )

    @property
    def _in_folds(self) -> bool:
        return self.config.test in self.protocol.folds

    def _features(self, encoder: str | None) -> str:
        """The name of the feature set to read, made where a tower is named."""
        corpus = self.corpus
        if encoder is not None:
            from dragoman.features.extract import ExtractOptions, extract_features

            name = Path(encoder).name.lower()
            options = ExtractOptions(device=self.config.device)
            extract_features(corpus.folder, encoder=encoder, name=name, options=options)
            return name
        if len(corpus.feature_names) == 1:
            return corpus.feature_names[0]
        raise UserError(
            f"{corpus.folder} has no vectors of its images. Name a vision tower and the images (--encoder "
            "FOLDER --images DIR), or give vectors (--features FILE.npy --feature-ids FILE)."
        )


def require_recipe(config: BenchmarkSettings, targets: Sequence[str]) -> None:
    """Raise UserError for an unknown recipe or setting before hours are spent on what comes first."""
    group = targets[:1] if _learns_alone(config.recipe) else targets
    if group:
        load_recipe(config.recipe)(SOURCE, tuple(group), "").with_settings(config.settings)


def _learns_alone(recipe: str) -> bool:
    """True where it learns one target language at a time, as NRCCR does."""
    chosen: TrainConfig = load_recipe(recipe)(SOURCE, ("xx",), "")
    return chosen.loss.target_languages == 1


def _training_text(config: BenchmarkSettings, corpus: Corpus, targets: Sequence[str]) -> dict[str, str]:
    """Settings that say what the target languages are learned from: machine captions where there are any.

    Raises UserError where one of them has nothing.
    """
    if config.engine is not None:
        return _engines(corpus, config.engine.partition(":")[0], targets)
    if not targets:
        return {}
    lacking: dict[str, list[str]] = {}
    for role in ("mt", "human"):
        there = corpus.select(role=role, split="train").languages
        lacking[role] = [lang for lang in targets if lang not in there]
    # Published translations are often by several engines, of which none is the data set's own choice.
    if not lacking["mt"]:
        return {"engines": "*"}
    if not lacking["human"]:
        return {"target_captions": "human", "validation": "human"}
    fewest = min(lacking.values(), key=len)
    raise UserError(
        f"{config.name} has no training captions in {', '.join(fewest)}. Translate the English ones "
        "(--engine SPEC, see docs/translation.md), leave the language out (--languages), or measure a public "
        "model (--model FOLDER)."
    )


def _engines(corpus: Corpus, kind: str, targets: Sequence[str]) -> dict[str, str]:
    """The setting that leaves published translations aside where an engine was named."""
    made = {lang: corpus.engines(source=SOURCE, target=lang, split="train") for lang in targets}
    if all(len(engines) < 2 for engines in made.values()):
        return {}
    ours = [f"{lang}={one}" for lang, some in made.items() for one in some if one.startswith(f"{kind}:")]
    return {"engines": ",".join(ours)}
