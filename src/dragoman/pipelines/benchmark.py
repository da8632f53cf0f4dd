"""From the name of a data set to its row, by stages of which the finished ones are reused."""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dragoman.corpus import BuildOptions, Corpus, datasets
from dragoman.errors import UserError
from dragoman.folders import MANIFEST, sole_writer, write_json, write_text
from dragoman.languages import canonical_tag
from dragoman.pages.benchmark import BenchmarkPage, Line
from dragoman.pipelines.benchmark_config import SOURCE, BenchmarkConfig
from dragoman.pipelines.literature import CIRCUMSTANCES, Row, published_rows
from dragoman.pipelines.protocols import Protocol, protocol_of, read_figures
from dragoman.pipelines.stages import Reports, Stages, require_recipe

log = logging.getLogger(__name__)

OF_TRAINING = ("recipe", "settings", "back")
"""Fields of the configuration that may change until a run has begun: no earlier stage reads them."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """The row of a benchmark, and its page beside published rows."""

    figures: dict[str, dict[str, list[float]]]
    """Figure to language to one value a seed."""
    consistency: list[float]
    """mrv_std of both directions, one a seed; empty where ranks of languages do not compare."""
    circumstances: dict[str, str]
    page: BenchmarkPage

    @property
    def lines(self) -> list[str]:
        """The page, as Markdown."""
        return list(self.page.markdown())


def run_benchmark(config: BenchmarkConfig, root: str | Path, out: str | Path) -> BenchmarkResult:
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
        result = _result(config, protocol, reports, made_by)
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


def _require_same(folder: Path, config: BenchmarkConfig) -> None:
    """Seeds may be added; anything else would mix two benchmarks in one folder."""
    file = folder / "config.json"
    said: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    del said["seeds"]
    if file.is_file() and (before := json.loads(file.read_text(encoding="utf-8"))) != said:
        built = (folder / "corpus" / MANIFEST).is_file()
        begun = [*folder.glob("run-*/config.json"), *folder.glob(f"report*/{MANIFEST}")]
        differ = sorted(name for name in said if before.get(name) != said[name])
        if begun or (built and not set(differ) <= set(OF_TRAINING)):
            raise UserError(
                f"{folder} holds a benchmark of another configuration ({', '.join(differ)}). "
                "Give another folder: --out"
            )
    write_json(file, said)


def _corpus(config: BenchmarkConfig, protocol: Protocol, root: Path, folder: Path) -> Corpus:
    if not (folder / MANIFEST).is_file():
        log.info("corpus %s", folder)
        wanted = tuple(dict.fromkeys((SOURCE, *config.languages))) if config.languages else None
        options = BuildOptions(
            features=() if config.features is None else (config.features,),
            media_root=None if config.media is None else Path(config.media),
        )
        test = protocol.folds.get(config.test or "", config.test)
        datasets.build_dataset(config.name, root, folder, options, languages=wanted, test=test)
    return Corpus.open(folder)


def _languages(corpus: Corpus, split: str) -> list[str]:
    """List the languages of human captions of a split, sorted."""
    return corpus.select(role="human", split=split).languages


def _test(config: BenchmarkConfig) -> str:
    if config.test is not None:
        return config.test
    tests = datasets.load(config.name).ABOUT.tests
    return tests[0] if tests else ""


def _result(
    config: BenchmarkConfig, protocol: Protocol, folders: Reports, made_by: dict[str, str]
) -> BenchmarkResult:
    figures: dict[str, dict[str, list[float]]] = {}
    consistency = []
    for of_seed in folders:
        reports = [json.loads((one / "report.json").read_text(encoding="utf-8")) for one in of_seed]
        merged = {"results": {lang: row for one in reports for lang, row in one["results"].items()}}
        for name, values in read_figures(protocol.figures, merged).items():
            for lang, value in values.items():
                figures.setdefault(name, {}).setdefault(lang, []).append(value)
        if len(reports) == 1 and _one_caption_each(reports[0]):
            found = reports[0]["consistency"]["direct"]
            consistency.append(
                statistics.mean(found[way]["mrv_std"] for way in ("text_to_image", "image_to_text"))
            )
    test = _test(config)
    if protocol.folds:
        made_by["gallery"] = protocol.gallery(test)
    ours = Path(config.model).name if config.model is not None else f"dragoman, recipe {config.recipe}"
    return BenchmarkResult(
        figures=figures,
        consistency=consistency,
        circumstances=made_by,
        page=BenchmarkPage(
            title=f"{config.name}{f', test {test}' if test else ''}",
            about=list(_about(protocol.note, consistency, made_by)),
            tables=tables_of(ours, figures, made_by, published_rows(config.name, test)),
        ),
    )


def tables_of(
    ours: str,
    figures: Mapping[str, Mapping[str, Sequence[float]]],
    made_by: Mapping[str, str],
    published: Sequence[Row],
) -> dict[str, list[Line]]:
    """Make a table for each figure: our system, with one value a seed, before the published rows."""
    return {
        name: [
            Line(system=ours, values={lang: _mean(of) for lang, of in values.items()}, source="this run"),
            *(
                Line(
                    system=row.system,
                    values={lang: f"{value:g}" for lang, value in row.values.items()},
                    source=row.source,
                    otherwise=_otherwise(row, made_by),
                )
                for row in published
                if row.figure == name
            ),
        ]
        for name, values in figures.items()
    }


def _about(note: str, consistency: Sequence[float], made_by: Mapping[str, str]) -> Iterator[str]:
    shown = (*CIRCUMSTANCES, "models")
    made = "; ".join(f"{name}: {made_by[name]}" for name in shown if name in made_by)
    yield f"{note[:1].upper()}{note[1:]}. {made}."
    if "settings" in made_by:
        yield f"Settings that are not the recipe's: {made_by['settings']}."
    if consistency:
        yield f"Consistency over the languages: mrv_std {_mean(consistency)}, mean of both directions."


def _otherwise(row: Row, made_by: Mapping[str, str]) -> str:
    """Name each circumstance that differs or is not told."""
    told = [
        f"{name}: {row.circumstances.get(name, 'not told')}"
        for name in CIRCUMSTANCES
        if row.circumstances.get(name) != made_by.get(name)
    ]
    return "; ".join(told)


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def _one_caption_each(report: Mapping[str, Any]) -> bool:
    # With several captions an image, their places mean nothing where languages were written apart.
    if "direct" not in report["consistency"] or "undefined" in report["consistency"]["direct"]:
        return False
    queries = [details["queries"] for details in report["languages"].values()]
    return all(one["text_to_image"] == one["image_to_text"] for one in queries)
