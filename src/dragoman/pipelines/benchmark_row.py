"""The row of a benchmark: our figures, and the circumstances of them in the words of the published rows."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.corpus import Corpus
from dragoman.evaluation.consistency import MRV
from dragoman.pages.benchmark import BenchmarkPage, SystemLine
from dragoman.pipelines.experiment import spread
from dragoman.pipelines.literature import (
    CIRCUMSTANCES,
    EACH,
    ENGLISH,
    ZERO_SHOT,
    PublishedRow,
    protocol_of,
    published_rows,
    read_figures,
)
from dragoman.reports.rows import DIRECTIONS
from dragoman.reports.terminal import left_out_notes
from dragoman.training.config import TrainConfig

Reports = list[list[Path]]
"""For each seed the reports that make up its row: one, or one a language."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """The row of a benchmark, and its page beside published rows."""

    figures: dict[str, dict[str, list[float]]]
    """Figure to language to one value a seed."""
    consistency: dict[str, list[float]]
    """Forms of `MRV`, means of both directions, one a seed; empty where languages do not compare."""
    circumstances: dict[str, str]
    page: BenchmarkPage

    @property
    def lines(self) -> list[str]:
        """The page, as Markdown."""
        return list(self.page.markdown())


def benchmark_result(
    ours: str, name: str, test: str, folders: Reports, made_by: dict[str, str]
) -> BenchmarkResult:
    """Read the figures of a data set, or of its test set `test`, from the reports of our system."""
    protocol = protocol_of(name)
    figures: dict[str, dict[str, list[float]]] = {}
    consistency: dict[str, list[float]] = {}
    left_out: set[str] = set()
    for of_seed in folders:
        reports = [json.loads((one / "report.json").read_text(encoding="utf-8")) for one in of_seed]
        left_out |= {note for one in reports for note in left_out_notes(one)}
        merged = {"results": {lang: row for one in reports for lang, row in one["results"].items()}}
        for figure, values in read_figures(protocol.figures, merged).items():
            for lang, value in values.items():
                figures.setdefault(figure, {}).setdefault(lang, []).append(value)
        if len(reports) == 1 and _one_caption_each(reports[0]):
            found = reports[0]["consistency"]["direct"]
            for form in MRV:
                both = statistics.mean(found[way][form] for way in DIRECTIONS)
                consistency.setdefault(form, []).append(both)
    if protocol.folds:
        made_by["gallery"] = protocol.gallery(test)
    return BenchmarkResult(
        figures=figures,
        consistency=consistency,
        circumstances=made_by,
        page=BenchmarkPage(
            title=f"{name}{f', test {test}' if test else ''}",
            about=[*_about(protocol.note, consistency, made_by), *(f"{note}." for note in sorted(left_out))],
            tables=tables_of(ours, figures, made_by, published_rows(name, test)),
        ),
    )


def tables_of(
    ours: str,
    figures: Mapping[str, Mapping[str, Sequence[float]]],
    made_by: Mapping[str, str],
    published: Sequence[PublishedRow],
) -> dict[str, list[SystemLine]]:
    """Make a table for each figure: our system, with one value a seed, before the published rows."""
    return {
        name: [
            SystemLine(
                system=ours, values={lang: spread(of) for lang, of in values.items()}, source="this run"
            ),
            *(
                SystemLine(
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


def _about(
    note: str, consistency: Mapping[str, Sequence[float]], made_by: Mapping[str, str]
) -> Iterator[str]:
    shown = (*CIRCUMSTANCES, "models")
    made = "; ".join(f"{name}: {made_by[name]}" for name in shown if name in made_by)
    yield f"{note[:1].upper()}{note[1:]}. {made}."
    if "settings" in made_by:
        yield f"Settings that are not the recipe's: {made_by['settings']}."
    if consistency:
        forms = ", ".join(f"{form} {spread(values, 2)}" for form, values in consistency.items())
        yield f"Consistency over the languages, which compares at equal recall only: {forms}."


def _otherwise(row: PublishedRow, made_by: Mapping[str, str]) -> str:
    """Name each circumstance that differs or is not told."""
    told = [
        f"{name}: {row.circumstances.get(name, 'not told')}"
        for name in CIRCUMSTANCES
        if row.circumstances.get(name) != made_by.get(name)
    ]
    return "; ".join(told)


def _one_caption_each(report: Mapping[str, Any]) -> bool:
    # With several captions an image, their places mean nothing where languages were written apart.
    if "direct" not in report["consistency"] or "undefined" in report["consistency"]["direct"]:
        return False
    queries = [details["queries"] for details in report["languages"].values()]
    return all(one["text_to_image"] == one["image_to_text"] for one in queries)


def of_public(features: Mapping[str, Any]) -> dict[str, str]:
    """Tell the circumstances of a public model, by the manifest of the features that its tower made."""
    return {**_tower(features, ""), **ZERO_SHOT}


def of_recipe(
    chosen: TrainConfig,
    corpus: Corpus,
    targets: Sequence[str],
    settings: Mapping[str, str],
    seeds: int,
    alone: bool,
) -> dict[str, str]:
    """Tell the circumstances of trained models: `chosen` configures one, the user changed `settings`."""
    validation = "human" if chosen.validation == "human" or not targets else "machine"
    made_by = {
        **_tower(corpus.features(chosen.features).manifest, chosen.features),
        "training text": _training_text(chosen, corpus, targets),
        "selection": f"val ({validation} captions)" if chosen.select == "best" else "last step",
        "queries": "as asked",
        "re-ranking": "no",
        "seeds": str(seeds),
    }
    if alone:
        made_by["models"] = "one a language"
    if settings:
        made_by["settings"] = ", ".join(f"{name}={value}" for name, value in settings.items())
    return made_by


def _tower(features: Mapping[str, Any], name: str) -> dict[str, str]:
    made_by = features.get("encoder")
    if not isinstance(made_by, Mapping):
        return {"tower": f"given as {name}"}
    found = {"tower": Path(str(made_by["path"])).name}
    side = _side(features.get("preprocessing"))
    return found | ({} if side is None else {"resolution": str(side)})


def _side(preprocessing: object) -> int | None:
    """Find the side of the square that a tower sees, where its preprocessing tells it."""
    if not isinstance(preprocessing, Mapping):
        return None
    cropped = preprocessing.get("do_center_crop") and preprocessing.get("crop_size")
    size = cropped or preprocessing.get("size")
    if isinstance(size, int):
        return size
    found = size.get("height", size.get("shortest_edge")) if isinstance(size, Mapping) else None
    return found if isinstance(found, int) else None


def _training_text(chosen: TrainConfig, corpus: Corpus, targets: Sequence[str]) -> str:
    if not targets:
        return ENGLISH
    if chosen.target_captions == "human":
        return EACH
    named = [name.rpartition("=")[2] for name in chosen.engines]
    if not named or "*" in named:
        found = [corpus.engines(source=chosen.source, target=lang, split="train") for lang in targets]
        named = sorted({engine for engines in found for engine in engines})
    return f"machine ({', '.join(named)})"
