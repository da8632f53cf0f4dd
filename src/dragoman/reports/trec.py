"""TREC runs and qrels, readable by trec_eval, ir_measures and ranx."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from dragoman.evaluation.ranks import Positives, Ranks
from dragoman.folders import atomic_path

README = """\
<language>.<row>.<direction>.run: qid Q0 docid rank score tag, the first {depth} hits of each query
<language>.<direction>.qrels: qid 0 docid relevance

White space and % in ids are percent-encoded. Scores have nine digits, enough to tell any two float32 apart.
trec_eval ignores the rank column and sorts equal scores by descending docid; Dragoman gives a tied positive
the middle rank. Figures agree to the last digit unless a positive ties with a negative. Mean ranks and mAP
need complete ranks: they are in queries.parquet, not here.
"""


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
