"""The stages of a benchmark, one after the other; those that are finished are reused."""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from dragoman.benchmarking.page import page
from dragoman.benchmarking.protocols import Protocol, protocol_of, read_figures
from dragoman.benchmarking.published import published_rows
from dragoman.corpus import BuildOptions, Corpus, datasets
from dragoman.corpus.given_features import GivenFeatures
from dragoman.corpus.given_frames import GivenFrames
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, sole_writer, write_json, write_text
from dragoman.recipes import load_recipe
from dragoman.reporting import evaluate
from dragoman.training import train
from dragoman.translation import translate

log = logging.getLogger(__name__)

SOURCE = "en"


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is measured on a data set of `dragoman corpus`."""

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
    """Of the training."""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """One row, and what it stands beside."""

    figures: dict[str, dict[str, list[float]]]
    """Figure to language to one value a seed."""
    consistency: list[float]
    """mrv_std of both directions, one a seed; empty where the languages cover different items."""
    circumstances: dict[str, str]
    lines: list[str]
    """The page, as Markdown."""


def run_benchmark(config: BenchmarkConfig, root: str | Path, out: str | Path) -> BenchmarkResult:
    """Prepare, translate, train and evaluate into `out`: corpus/, run-<seed>/, report-<seed>/, benchmark.md.

    root: the folder of the published files. A stage that is finished is not done again, and one that was
    interrupted goes on where it was. Raises UserError for an unknown data set, missing files, training
    captions or features, and where `out` holds a benchmark of another configuration.
    """
    folder, protocol = Path(out), protocol_of(config.name)
    with sole_writer(folder):
        _require_same(folder / "config.json", config)
        corpus = _corpus(config, Path(root), folder / "corpus")
        languages = [lang for lang in config.languages or _languages(corpus, "test") if lang != SOURCE]
        evaluated = [*languages, *([SOURCE] if SOURCE in _languages(corpus, "test") else [])]
        if config.model is not None:
            made_by = _evaluate_public(config, corpus, evaluated, folder / "report")
            reports = [folder / "report"]
        else:
            made_by = _train_and_evaluate(config, corpus, languages, evaluated, folder)
            reports = [folder / f"report-{seed}" for seed in config.seeds]
        result = _result(config, protocol, reports, made_by, _test(corpus, config))
        write_text(folder / "benchmark.md", "\n".join(result.lines) + "\n")
        write_json(folder / "benchmark.json", vars(result))
    return result


def _require_same(file: Path, config: BenchmarkConfig) -> None:
    """Seeds may be added; anything else would mix two benchmarks in one folder."""
    said: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    del said["seeds"]
    if file.is_file() and (before := json.loads(file.read_text(encoding="utf-8"))) != said:
        differ = sorted(name for name in said if before.get(name) != said[name])
        raise UserError(
            f"{file.parent} holds a benchmark of another configuration ({', '.join(differ)} differ). "
            "Give another folder: --out"
        )
    write_json(file, said)


def _corpus(config: BenchmarkConfig, root: Path, folder: Path) -> Corpus:
    if not (folder / MANIFEST).is_file():
        log.info("corpus %s", folder)
        wanted = tuple(dict.fromkeys((SOURCE, *config.languages))) if config.languages else None
        options = BuildOptions(
            features=() if config.features is None else (config.features,),
            media_root=None if config.media is None else Path(config.media),
        )
        datasets.build_dataset(config.name, root, folder, options, languages=wanted, test=config.test)
    return Corpus.open(folder)


def _languages(corpus: Corpus, split: str) -> list[str]:
    """Languages of human captions of a split, sorted."""
    items = corpus.items.filter(pc.field("split") == split)["item_id"]
    chosen = (pc.field("role") == "human") & pc.field("item_id").isin(items.combine_chunks())
    return sorted(corpus.captions.filter(chosen)["lang"].unique().to_pylist())


def _features(config: BenchmarkConfig, corpus: Corpus, encoder: str | None) -> str:
    """The name of the feature set to read, made where a tower is named."""
    if encoder is not None:
        from dragoman.encoders.extract import extract_features

        name = Path(encoder).name.lower()
        extract_features(corpus.folder, encoder=encoder, name=name, device=config.device)
        return name
    if len(corpus.feature_names) == 1:
        return corpus.feature_names[0]
    raise UserError(
        f"{corpus.folder} has no vectors of its images. Name a vision tower and the images (--encoder FOLDER "
        "--images DIR), or give vectors (--features FILE.npy --feature-ids FILE)."
    )


def _evaluate_public(
    config: BenchmarkConfig, corpus: Corpus, languages: list[str], report: Path
) -> dict[str, str]:
    assert config.model is not None
    _features(config, corpus, config.model)
    if not (report / MANIFEST).is_file():
        evaluate(config.model, corpus.folder, out=report, languages=languages)
    return {
        "tower": Path(config.model).name,
        "training text": "its own",
        "selection": "none",
        "re-ranking": "no",
        "seeds": "1",
    }


def _train_and_evaluate(
    config: BenchmarkConfig, corpus: Corpus, targets: list[str], evaluated: list[str], folder: Path
) -> dict[str, str]:
    if config.engine is not None:
        for lang in targets:
            log.info("translate into %s", lang)
            translate(
                corpus.folder,
                to=lang,
                source=SOURCE,
                engine=config.engine,
                back=config.back,
                splits=("train", "val"),
            )
        corpus = Corpus.open(corpus.folder)
    text = _training_text(config, corpus, targets)
    features = _features(config, corpus, config.encoder)
    if text == "human":
        settings = {"target_captions": "human", "validation": "human"}
    else:
        # Published translations are often by several engines, of which none is the data set's own choice.
        settings = {} if config.engine is not None else {"engines": "*"}
    for seed in config.seeds:
        log.info("train and evaluate seed %d", seed)
        run, report = folder / f"run-{seed}", folder / f"report-{seed}"
        chosen = load_recipe(config.recipe)(SOURCE, tuple(targets), features)
        chosen = chosen.with_settings({**settings, **config.settings, "seed": str(seed)})
        train(corpus.folder, chosen, run, device=config.device)
        if not (report / MANIFEST).is_file():
            evaluate(run, corpus.folder, out=report, languages=evaluated)
    made_by = corpus.features(features).manifest.get("encoder")
    return {
        "tower": Path(str(made_by["path"])).name if isinstance(made_by, dict) else f"given as {features}",
        "training text": text,
        "selection": "val",
        "re-ranking": "no",
        "seeds": str(len(config.seeds)),
    }


def _training_text(config: BenchmarkConfig, corpus: Corpus, targets: list[str]) -> str:
    """What the target languages are learned from. Raises UserError where one of them has nothing."""
    if config.engine is not None:
        return f"machine ({config.engine})"
    train_items = corpus.items.filter(pc.field("split") == "train")["item_id"].combine_chunks()
    captions = corpus.captions.filter(pc.field("item_id").isin(train_items))
    for role, text in (("mt", "machine (published with the data)"), ("human", "human")):
        of_role = set(captions.filter(pc.field("role") == role)["lang"].unique().to_pylist())
        if targets and set(targets) <= of_role:
            return text
    raise UserError(
        f"{config.name} has no training captions in all of {', '.join(targets) or 'no language'}. Translate "
        "the English ones: --engine SPEC, see docs/translation.md; or measure a public model: --model FOLDER"
    )


def _test(corpus: Corpus, config: BenchmarkConfig) -> str:
    if config.test is not None:
        return config.test
    tests = datasets.load(config.name).ABOUT.tests
    return tests[0] if tests else ""


def _result(
    config: BenchmarkConfig, protocol: Protocol, folders: list[Path], made_by: dict[str, str], test: str
) -> BenchmarkResult:
    reports = [json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in folders]
    figures: dict[str, dict[str, list[float]]] = {}
    for report in reports:
        for name, values in read_figures(protocol.figures, report).items():
            for lang, value in values.items():
                figures.setdefault(name, {}).setdefault(lang, []).append(value)
    consistency = [
        statistics.mean(found["direct"][way]["mrv_std"] for way in ("text_to_image", "image_to_text"))
        for found in (report["consistency"] for report in reports)
        if found
    ]
    ours = Path(config.model).name if config.model is not None else f"dragoman, recipe {config.recipe}"
    rows = published_rows(config.name, test)
    title = f"{config.name}{f', test {test}' if test else ''}"
    return BenchmarkResult(
        figures=figures,
        consistency=consistency,
        circumstances=made_by,
        lines=list(page(title, protocol.note, ours, figures, consistency, made_by, rows)),
    )
