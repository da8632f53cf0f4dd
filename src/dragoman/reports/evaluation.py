"""Figures of a report from a model and a corpus, and the files that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dragoman.arrow import pa, pq
from dragoman.corpus.corpus import Corpus
from dragoman.evaluation.ranks import Positives, Ranks
from dragoman.folders import atomic_path, write_json
from dragoman.reports import queries
from dragoman.reports.consistency import (
    CONSISTENCY_DEFINITIONS,
    Common,
    common_tables,
    find_common,
    measure_consistency,
)
from dragoman.reports.evaluator import Evaluator, Images
from dragoman.reports.format import COMMON_QUERIES, QUERIES
from dragoman.reports.measure import DEFINITIONS, measure_table, query_table
from dragoman.reports.queries import QueryTexts
from dragoman.reports.rows import DIRECTIONS, ROWS, Vectors, best_weight, rank_rows, sum_r_by_weight

TREC_README = """\
<language>.<row>.<direction>.run: qid Q0 docid rank score tag, the first {depth} hits of each query
<language>.<direction>.qrels: qid 0 docid relevance

White space and % in ids are percent-encoded. Scores have nine digits, enough to tell any two float32 apart.
trec_eval ignores the rank column and sorts equal scores by descending docid; Dragoman gives a tied positive
the middle rank. Figures agree to the last digit unless a positive ties with a negative. Mean ranks and mAP
need complete ranks: they are in queries.parquet, not here.
"""


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
    texts: list[QueryTexts]
    """Queries of each language."""


def measure_run(evaluator: Evaluator, folder: Path) -> Evaluation:
    """Rank all queries and write a report into `folder`, but for its page and manifest."""
    settings = evaluator.settings
    texts = [
        queries.require_human_texts(evaluator.corpus, language, evaluator.source, settings)
        for language in evaluator.languages
    ]
    images = evaluator.encode_images(settings.split)
    compared = evaluator.languages if settings.consistency is None else settings.consistency
    common = find_common([one for one in texts if one.language in compared], settings.slots, settings.seed)
    details: dict[str, Any] = {}
    parts: list[pa.Table] = []
    common_parts: list[pa.Table] = []
    for one in texts:
        details[one.language], tables, among_common = _rank_language(evaluator, one, images, common, folder)
        parts += tables
        common_parts += among_common
    table = pa.concat_tables(parts)
    common_table = pa.concat_tables(common_parts) if common_parts else None
    pq.write_table(table, folder / QUERIES, compression="zstd")
    if common_table is not None:
        pq.write_table(common_table, folder / COMMON_QUERIES, compression="zstd")
    (folder / "trec" / "README").write_text(TREC_README.format(depth=settings.run_depth), encoding="utf-8")
    results, intervals = measure_table(table, settings.seed)
    rows = dict.fromkeys(table["row"].to_pylist())
    report = {
        "results": results,
        "intervals": intervals,
        "consistency": measure_consistency(
            common_table, common, rows, source=evaluator.source, seed=settings.seed
        ),
        "common": common.describe(),
        "languages": details,
        "definitions": DEFINITIONS | CONSISTENCY_DEFINITIONS,
        "settings": asdict(settings)
        | {"languages": list(evaluator.languages), "consistency": list(compared)},
        "system": {"name": evaluator.name, "seed": evaluator.seed, "config": evaluator.model.config},
        "provenance": evaluator.provenance,
    }
    if evaluator.corpus.without_vectors:
        report["without_vectors"] = evaluator.corpus.without_vectors
    write_json(folder / "report.json", report)
    return Evaluation(report=report, queries=table, common=common_table, corpus=evaluator.corpus, texts=texts)


def _rank_language(
    evaluator: Evaluator, texts: QueryTexts, images: Images, common: Common, folder: Path
) -> tuple[dict[str, Any], list[pa.Table], list[pa.Table]]:
    """Give details, the ranks of all queries, and those of the common ones among the common."""
    settings = evaluator.settings
    vectors = evaluator.encode(texts, images)
    fusion = _choose_weight(evaluator, texts)

    def rank(some: Vectors, direction: str, depth: int) -> Iterator[tuple[str, Ranks]]:
        weight = fusion["weight"] if fusion else None
        normalisation = settings.fusion_normalisation
        return rank_rows(some, direction, weight=weight, normalisation=normalisation, depth=depth)

    tables = []
    for direction in DIRECTIONS:
        ranked = rank(vectors, direction, settings.run_depth)
        tables += list(_tables(evaluator, texts, vectors, direction, ranked, folder))
    among_common = []
    if common.undefined is None and texts.language in common.languages:
        among_common = list(common_tables(common, texts, vectors, rank, **evaluator.same))
    details = {
        "queries": {"text_to_image": len(texts), "image_to_text": len(vectors.queried_images)},
        "gallery": {"text_to_image": len(images.ids), "image_to_text": len(texts)},
        "images_without_caption": len(images.ids) - len(vectors.queried_images),
        "match": list(settings.match.get(texts.language, [])) or None,
        "translation_engine": texts.engine,
        "dropped_untranslated": texts.dropped,
        "fusion": fusion,
        "missing_rows": _missing_rows(evaluator, texts, fusion),
    }
    return details, tables, among_common


def _tables(
    evaluator: Evaluator,
    texts: QueryTexts,
    vectors: Vectors,
    direction: str,
    ranked: Iterator[Any],
    folder: Path,
) -> Iterator[pa.Table]:
    by_text = direction == "text_to_image"
    captioned = [vectors.image_ids[place] for place in vectors.queried_images]
    qids, items, slots = (texts.ids, texts.items, texts.slots) if by_text else (captioned, captioned, None)
    gallery = vectors.image_ids if by_text else texts.ids
    name = f"{texts.language}.{{}}{direction}"
    write_qrels(folder / "trec" / (name.format("") + ".qrels"), vectors.positives(direction), qids, gallery)
    for row, ranks in ranked:
        path = folder / "trec" / (name.format(row + ".") + ".run")
        write_run(path, ranks, qids, gallery, f"{evaluator.name}-{row}")
        yield query_table(
            ranks,
            qids=qids,
            items=items,
            slots=slots,
            gallery_ids=gallery,
            language=texts.language,
            row=row,
            direction=direction,
            **evaluator.same,
        )


def _choose_weight(evaluator: Evaluator, texts: QueryTexts) -> dict[str, Any] | None:
    """Choose the weight of the highest SumR on validation captions; on human ones if they are translated."""
    if texts.translations is None:
        return None
    # What val lacks is told only where it is read.
    if _validation_texts(evaluator, texts.language) is None:
        return None
    alone = evaluator.on_validation
    if (found := _validation_texts(alone, texts.language)) is None:
        return None
    kind, validation = found
    vectors = alone.encode(validation, alone.encode_images("val"))
    normalisation = evaluator.settings.fusion_normalisation
    swept = sum_r_by_weight(vectors, normalisation)
    chosen_on = f"{len(validation)} {kind} {texts.language} captions of the validation split"
    if left_out := alone.corpus.without_vectors.get("val"):
        chosen_on += f" (images left out for want of vectors: {len(left_out)})"
    return {
        "weight": best_weight(swept),
        "chosen_on": chosen_on,
        "captions": kind,
        "criterion": "sum_r",
        "sum_r_by_weight": {str(weight): value for weight, value in swept.items()},
        "translation_engine": validation.engine,
        "normalisation": normalisation,
    }


def _validation_texts(evaluator: Evaluator, language: str) -> tuple[str, QueryTexts] | None:
    """Find validation captions with translations: human ones, else machine ones with their ways back."""
    # Figures need every query, a weight only enough of them.
    settings = replace(evaluator.settings, untranslated="drop")
    found = queries.human_texts(evaluator.corpus, language, "val", evaluator.source, settings)
    if found is not None and found.translations is not None:
        return "human", found
    found = queries.machine_texts(evaluator.corpus, language, "val", evaluator.source)
    return None if found is None else ("machine", found)


def _missing_rows(evaluator: Evaluator, texts: QueryTexts, fusion: dict[str, Any] | None) -> dict[str, str]:
    if texts.language == evaluator.source:
        return {}
    if texts.translations is None:
        reason = f"the corpus holds no {evaluator.source} translation of these captions"
        return dict.fromkeys(ROWS[1:3], reason)
    if fusion is None:
        return {"fused": "there are no translated validation captions to choose the weight on"}
    return {}


def write_run(path: Path, ranks: Ranks, qids: Sequence[str], gallery_ids: Sequence[str], tag: str) -> None:
    """Write the listed hits of all queries."""
    names = [_token(one) for one in gallery_ids]
    _write(path, _run_lines(ranks, qids, names, _token(tag)))


def write_qrels(path: Path, positives: Positives, qids: Sequence[str], gallery_ids: Sequence[str]) -> None:
    """Write what is relevant to each query."""
    _write(
        path,
        (
            f"{_token(qid)} 0 {_token(gallery_ids[place])} 1\n"
            for query, qid in enumerate(qids)
            for place in positives.of(query)
        ),
    )


def _run_lines(ranks: Ranks, qids: Sequence[str], names: Sequence[str], tag: str) -> Iterator[str]:
    for qid, top_K, score_K in zip(qids, ranks.top_index.tolist(), ranks.top_score.tolist(), strict=True):
        query = _token(qid)
        for rank, (place, score) in enumerate(zip(top_K, score_K, strict=True), 1):
            yield f"{query} Q0 {names[place]} {rank} {score:.9g} {tag}\n"


def _token(name: str) -> str:
    # The format separates by white space and knows no escape.
    kept = "".join(c for c in name if not c.isspace() and c != "%")
    return name if kept == name else quote(name, safe=kept)


def _write(path: Path, lines: Iterator[str]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(lines)
