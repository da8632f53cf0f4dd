"""From a run and a corpus to the figures of a report, and the files that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dragoman.corpus.store import Corpus
from dragoman.errors import UserError
from dragoman.evaluation.ranks import Ranks
from dragoman.folders import write_json
from dragoman.reports import model as models
from dragoman.reports import queries, trec
from dragoman.reports.consistency import (
    CONSISTENCY_DEFINITIONS,
    Common,
    common_tables,
    find_common,
    measure_consistency,
)
from dragoman.reports.measure import (
    COMMON_QUERIES,
    DEFINITIONS,
    QUERIES,
    measure,
    measure_row,
    part,
    query_table,
)
from dragoman.reports.provenance import describe_provenance
from dragoman.reports.queries import Texts
from dragoman.reports.rows import (
    DIRECTIONS,
    ROWS,
    FusionModel,
    Matched,
    Matcher,
    Vectors,
    best_weight,
    rank_rows,
    sum_r_by_weight,
)
from dragoman.reports.settings import EvaluationSettings

FORMAT = "dragoman-report"
FORMAT_VERSION = 1
MAKE = "dragoman evaluate run/ corpus/ --languages pt,en --out report/"


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """The figures of a report, and what they were computed from."""

    report: dict[str, Any]
    """The content of `report.json`; `results[language][row][direction][metric]` are the figures."""
    queries: pa.Table
    """Lines of `queries.parquet`."""
    common: pa.Table | None
    """Lines of `consistency.parquet`; null where the languages have nothing in common."""
    corpus: Corpus
    texts: list[Texts]
    """Queries of each language."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluator:
    """A model and the corpus that it is asked about."""

    model: models.Model
    corpus: Corpus
    settings: EvaluationSettings
    other: models.Model | None
    """Scores the machine-translated queries for the row `translate_test_source_only`."""
    matcher: Matcher | None
    provenance: dict[str, Any]

    @classmethod
    def open(
        cls,
        run: str | Path | models.Model,
        corpus: str | Path | Corpus,
        settings: EvaluationSettings,
        translate_test_run: str | Path | models.Model | None,
    ) -> Evaluator:
        """Load everything. Raises UserError where a part is missing or does not fit."""
        if isinstance(run, str | Path) and not Path(run).is_dir():
            raise UserError(f"{run} does not exist. Train a model: dragoman train CORPUS --out {run}")
        model = models.load(run)
        other = None if translate_test_run is None else models.load(translate_test_run)
        if settings.languages is None:
            trained_on = [*model.config.get("targets", []), model.config["source"]]
            settings = replace(settings, languages=trained_on)
        opened = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
        return cls(
            model=model,
            corpus=opened,
            settings=settings,
            other=other,
            matcher=_matcher(model, opened, settings),
            provenance=describe_provenance(run, opened, translate_test_run, settings.seed),
        )

    @property
    def source(self) -> str:
        """Language into which queries are translated."""
        return str(self.model.config["source"])

    @property
    def languages(self) -> Sequence[str]:
        """Languages of the queries."""
        assert self.settings.languages is not None
        return self.settings.languages

    @property
    def name(self) -> str:
        """The recipe of the model, or its class."""
        return str(self.model.config.get("recipe") or type(self.model).__name__)

    @property
    def seed(self) -> int | None:
        """The seed of the training."""
        return self.model.config.get("seed")

    def measure(self, folder: Path) -> Evaluation:
        """Rank all queries and write a report into `folder`, but for its page and manifest."""
        return _measure(self, folder)


@dataclass(frozen=True, eq=False)
class _Images:
    ids: list[str]
    vectors: NDArray[np.float32]
    other_vectors: NDArray[np.float32] | None


def _measure(system: Evaluator, folder: Path) -> Evaluation:
    settings = system.settings
    texts = [
        queries.require_human_texts(system.corpus, language, system.source, settings)
        for language in system.languages
    ]
    images = _encode_images(system, settings.split, with_other=True)
    compared = system.languages if settings.consistency is None else settings.consistency
    common = find_common([one for one in texts if one.language in compared], settings.slots, settings.seed)
    details: dict[str, Any] = {}
    parts: list[pa.Table] = []
    common_parts: list[pa.Table] = []
    for one in texts:
        details[one.language], tables, among_common = _rank_language(system, one, images, common, folder)
        parts += tables
        common_parts += among_common
    table = pa.concat_tables(parts)
    common_table = pa.concat_tables(common_parts) if common_parts else None
    pq.write_table(table, folder / QUERIES, compression="zstd")
    if common_table is not None:
        pq.write_table(common_table, folder / COMMON_QUERIES, compression="zstd")
    (folder / "trec" / "README").write_text(trec.README.format(depth=settings.run_depth), encoding="utf-8")
    results, intervals = measure_table(table, settings.seed)
    rows = dict.fromkeys(table["row"].to_pylist())
    report = {
        "results": results,
        "intervals": intervals,
        "consistency": measure_consistency(
            common_table, common, rows, source=system.source, seed=settings.seed
        ),
        "common": common.describe(),
        "languages": details,
        "definitions": DEFINITIONS | CONSISTENCY_DEFINITIONS,
        "settings": asdict(settings) | {"languages": list(system.languages), "consistency": list(compared)},
        "system": {"name": system.name, "seed": system.seed, "config": system.model.config},
        "provenance": system.provenance,
    }
    write_json(folder / "report.json", report)
    return Evaluation(report=report, queries=table, common=common_table, corpus=system.corpus, texts=texts)


def measure_table(table: pa.Table, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure all languages and rows of a `queries.parquet`: results, and intervals of the same shape."""
    results: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    found = table.select(["language", "row"]).group_by(["language", "row"], use_threads=False).aggregate([])
    for language, row in zip(found["language"].to_pylist(), found["row"].to_pylist(), strict=True):
        there, back = (measure(part(table, language, row, way), seed) for way in DIRECTIONS)
        figures, ends = measure_row(there, back)
        results.setdefault(language, {})[row] = figures
        intervals.setdefault(language, {})[row] = ends
    return results, intervals


def _rank_language(
    system: Evaluator, texts: Texts, images: _Images, common: Common, folder: Path
) -> tuple[dict[str, Any], list[pa.Table], list[pa.Table]]:
    """Give details, the ranks of all queries, and those of the common ones among the common."""
    settings = system.settings
    vectors = _encode(system, texts, images)
    fusion = _choose_weight(system, texts)

    def rank(some: Vectors, direction: str, depth: int) -> Iterator[tuple[str, Ranks]]:
        weight = fusion["weight"] if fusion else None
        normalisation = settings.fusion_normalisation
        return rank_rows(some, direction, weight=weight, normalisation=normalisation, depth=depth)

    tables = []
    for direction in DIRECTIONS:
        ranked = rank(vectors, direction, settings.run_depth)
        tables += list(_tables(system, texts, vectors, direction, ranked, folder))
    among_common = []
    if common.undefined is None and texts.language in common.languages:
        among_common = list(common_tables(common, texts, vectors, rank, **_same(system)))
    details = {
        "queries": {"text_to_image": len(texts), "image_to_text": len(vectors.queried_images)},
        "gallery": {"text_to_image": len(images.ids), "image_to_text": len(texts)},
        "images_without_caption": len(images.ids) - len(vectors.queried_images),
        "match": list(settings.match.get(texts.language, [])) or None,
        "translation_engine": texts.engine,
        "dropped_untranslated": texts.dropped,
        "fusion": fusion,
        "missing_rows": _missing_rows(system, texts, fusion),
    }
    return details, tables, among_common


def _tables(
    system: Evaluator, texts: Texts, vectors: Vectors, direction: str, ranked: Iterator[Any], folder: Path
) -> Iterator[pa.Table]:
    by_text = direction == "text_to_image"
    captioned = [vectors.image_ids[place] for place in vectors.queried_images]
    qids, items, slots = (texts.ids, texts.items, texts.slots) if by_text else (captioned, captioned, None)
    gallery = vectors.image_ids if by_text else texts.ids
    name = f"{texts.language}.{{}}{direction}"
    trec.write_qrels(
        folder / "trec" / (name.format("") + ".qrels"), vectors.positives(direction), qids, gallery
    )
    for row, ranks in ranked:
        path = folder / "trec" / (name.format(row + ".") + ".run")
        trec.write_run(path, ranks, qids, gallery, f"{system.name}-{row}")
        yield query_table(
            ranks,
            qids=qids,
            items=items,
            slots=slots,
            gallery_ids=gallery,
            language=texts.language,
            row=row,
            direction=direction,
            **_same(system),
        )


def _same(system: Evaluator) -> dict[str, Any]:
    return {"system": system.name, "seed": system.seed, "split": system.settings.split}


def _encode_images(system: Evaluator, split: str, *, with_other: bool) -> _Images:
    ids = queries.item_ids(system.corpus, split)
    vectors = models.encode_images(system.model, system.corpus, ids, system.settings.features)
    other = system.other if with_other else None
    return _Images(
        ids, vectors, None if other is None else models.encode_images(other, system.corpus, ids, None)
    )


def _encode(system: Evaluator, texts: Texts, images: _Images) -> Vectors:
    label, translated = f"{texts.language} captions", texts.translations
    return Vectors(
        image_ids=images.ids,
        images=images.vectors,
        text_items=texts.items,
        texts=models.encode_texts(system.model, texts.texts, label),
        translations=None
        if translated is None
        else models.encode_texts(system.model, translated, label + ", translated"),
        other_images=images.other_vectors,
        other_translations=None
        if translated is None or system.other is None or images.other_vectors is None
        else models.encode_texts(system.other, translated, label + ", translated, second model"),
        matched=None
        if system.matcher is None
        else Matched(texts=texts.texts, matcher=system.matcher, depth=system.settings.rerank),
    )


def _choose_weight(system: Evaluator, texts: Texts) -> dict[str, Any] | None:
    """Choose the weight of the highest SumR on validation captions; on human ones if they are translated."""
    if texts.translations is None:
        return None
    settings = replace(system.settings, untranslated="drop")
    validation = queries.human_texts(system.corpus, texts.language, "val", system.source, settings)
    kind = "human"
    if validation is None or validation.translations is None:
        validation = queries.machine_texts(system.corpus, texts.language, "val", system.source)
        kind = "machine"
    if validation is None:
        return None
    vectors = _encode(
        replace(system, other=None, matcher=None), validation, _encode_images(system, "val", with_other=False)
    )
    swept = sum_r_by_weight(vectors, settings.fusion_normalisation)
    return {
        "weight": best_weight(swept),
        "chosen_on": f"{len(validation)} {kind} {texts.language} captions of the validation split",
        "captions": kind,
        "criterion": "sum_r",
        "sum_r_by_weight": {str(weight): value for weight, value in swept.items()},
        "translation_engine": validation.engine,
        "normalisation": settings.fusion_normalisation,
    }


def _missing_rows(system: Evaluator, texts: Texts, fusion: dict[str, Any] | None) -> dict[str, str]:
    if texts.language == system.source:
        return {}
    if texts.translations is None:
        reason = f"the corpus holds no {system.source} translation of these captions"
        return dict.fromkeys(ROWS[1:3], reason)
    if fusion is None:
        return {"fused": "there are no translated validation captions to choose the weight on"}
    return {}


def _matcher(model: models.Model, corpus: Corpus, settings: EvaluationSettings) -> Matcher | None:
    if not settings.rerank:
        return None
    return Matcher(cast(FusionModel, model), models.feature_set(model, corpus, settings.features))
