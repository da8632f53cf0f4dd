"""From a corpus to reports: translate, make features, train, evaluate; what is finished is reused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.folders import MANIFEST
from dragoman.pipelines.benchmark_config import SOURCE, BenchmarkConfig
from dragoman.pipelines.circumstances import of_public, of_recipe
from dragoman.pipelines.evaluate import evaluate, evaluate_folds
from dragoman.pipelines.protocols import Protocol
from dragoman.recipes import load_recipe
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.loading import model_config
from dragoman.training import train
from dragoman.training.config import TrainConfig
from dragoman.translation import translate

log = logging.getLogger(__name__)

Reports = list[list[Path]]
"""For each seed the reports that make up its row: one, or one a language."""


@dataclass(frozen=True)
class Stages:
    """Of one benchmark, into `folder`."""

    config: BenchmarkConfig
    protocol: Protocol
    corpus: Corpus
    folder: Path

    def public(self, languages: list[str]) -> tuple[dict[str, str], Reports]:
        """Evaluate a public model as it is."""
        assert self.config.model is not None
        vision = model_config(Path(self.config.model))["trained"]["vision"]["path"]
        features = self._features(vision)
        report = self.folder / "report"
        self._evaluate(self.config.model, languages, report)
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
                    splits=("train", "val"),
                )
        corpus = Corpus.open(self.corpus.folder)
        fixed = _training_text(config, corpus, targets)
        features = self._features(config.encoder)
        alone = _learns_alone(config.recipe) and len(targets) > 1
        groups = [(lang,) for lang in targets] if alone else [tuple(targets)]
        reports: Reports = []
        for seed in config.seeds:
            reports.append([])
            for group in groups:
                name = f"{group[0]}-{seed}" if alone else f"{seed}"
                log.info("train and evaluate seed %d%s", seed, f", {group[0]}" if alone else "")
                run, report = self.folder / f"run-{name}", self.folder / f"report-{name}"
                chosen = load_recipe(config.recipe)(SOURCE, group, features)
                chosen = chosen.with_settings({**fixed, **config.settings, "seed": str(seed)})
                # A finished report stands whatever became of its run, or of the version that trained it.
                if not (report / MANIFEST).is_file():
                    train(corpus.folder, chosen, run, device=config.device)
                # English is searched by as many models as there are languages: none of them is its own.
                languages = [*group, *([SOURCE] if with_source and not alone else [])]
                self._evaluate(run, languages, report)
                reports[-1].append(report)
        return of_recipe(chosen, corpus, targets, config.settings, len(config.seeds), alone), reports

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

    def _evaluate(self, model: str | Path, languages: list[str], report: Path) -> None:
        if not (report / MANIFEST).is_file():
            in_folds = self.config.test in self.protocol.folds
            measure = evaluate_folds if in_folds else evaluate
            measure(model, self.corpus.folder, EvaluationSettings(languages=languages), out=report)


def require_recipe(config: BenchmarkConfig, targets: Sequence[str]) -> None:
    """Raise UserError for an unknown recipe or setting before hours are spent on what comes first."""
    group = targets[:1] if _learns_alone(config.recipe) else targets
    if group:
        load_recipe(config.recipe)(SOURCE, tuple(group), "").with_settings(config.settings)


def _learns_alone(recipe: str) -> bool:
    """Whether it learns one target language at a time, as NRCCR does."""
    chosen: TrainConfig = load_recipe(recipe)(SOURCE, ("xx",), "")
    return chosen.loss.target_languages == 1


def _training_text(config: BenchmarkConfig, corpus: Corpus, targets: Sequence[str]) -> dict[str, str]:
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
