"""Reports of what mteb asked a model, from the rankings that it saw: with intervals, and MRV."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.corpus import Corpus, build_records
from dragoman.errors import UserError
from dragoman.folders import stage, versions
from dragoman.pages.report import write_report_page
from dragoman.records import Caption, Item
from dragoman.reports.evaluation import measure_run
from dragoman.reports.evaluator import Evaluator, Images, TextItems
from dragoman.reports.format import REPORT
from dragoman.reports.queries import QueryTexts
from dragoman.reports.rows import Vectors
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.mteb import MtebModel, Seen


def report(
    model: MtebModel,
    task: Any,
    *,
    out: str | Path,
    split: str = "test",
    subsets: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the report folder `out` of a retrieval task of texts and images that mteb has run with `model`.

    Every subset is a language; all that were run are taken where `subsets` are not named. The direction that
    mteb did not ask is ranked from the same vectors. Returns the content of `report.json`. Raises UserError
    where the task was not run, where queries have no one image, and where subsets have one language, or
    different images.
    """
    name = task.metadata.name
    ran = {
        subset: seen
        for (one, part, subset), seen in model.seen.items()
        if (one, part) == (name, split) and (subsets is None or subset in subsets)
    }
    if not ran:
        raise UserError(
            f"{name} was not run with this model on the split {split!r}. Run it before: "
            "mteb.evaluate(model, task)"
        )
    if not task.data_loaded:
        task.load_data()
    by_language = _languages(name, ran)
    with tempfile.TemporaryDirectory() as scratch, stage(Path(out), REPORT, replace=True) as work:
        items, captions = _records(name, ran, {one: task.dataset[one][split]["relevant_docs"] for one in ran})
        build_records(items, captions, Path(scratch) / "corpus")
        corpus = Corpus.open(Path(scratch) / "corpus")
        evaluator = SeenEvaluator(
            seen=by_language,
            model=model.model,
            corpus=corpus,
            settings=EvaluationSettings(languages=list(by_language), seed=seed),
            features=TextItems({}),
            other=None,
            matcher=None,
            provenance={
                "run": {"model": model.model.fingerprint},
                "run_path": None,
                "corpus": corpus.fingerprint(),
                "corpus_path": f"mteb:{name}",
                "translate_test_run": None,
                "versions": versions(),
                "seed": seed,
                "commit": None,
            },
        )
        evaluation = measure_run(evaluator, work.folder)
        write_report_page(work.folder / "report.html", evaluation)
        provenance = evaluation.report["provenance"]
        REPORT.write(work.folder, inputs=provenance["run"] | provenance["corpus"], seed=seed)
    return evaluation.report


@dataclass(frozen=True, eq=False, kw_only=True)
class SeenEvaluator(Evaluator):
    """Vectors as mteb asked for them, instead of those that the model would make again."""

    seen: Mapping[str, Seen]
    """Queries and documents by language."""

    def encode_images(self, split: str) -> Images:
        """The documents, which all languages have in common."""
        one = next(iter(self.seen.values()))
        return Images(one.document_ids, one.documents, None)

    def encode(self, texts: QueryTexts, images: Images) -> Vectors:
        """The queries of a language, beside the documents."""
        one = self.seen[texts.language]
        row_of = {_caption(texts.language, query): row for row, query in enumerate(one.query_ids)}
        return Vectors(
            image_ids=images.ids,
            images=images.vectors,
            text_items=texts.items,
            texts=one.queries[[row_of[query] for query in texts.ids]],
        )


def _languages(name: str, ran: Mapping[str, Seen]) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    first = next(iter(ran.values()))
    for subset, seen in ran.items():
        if seen.lang is None or seen.lang in found or "" in seen.texts or "" in seen.contents:
            raise UserError(
                f"The subset {subset} of {name} asks in {seen.lang or 'several languages'}, but texts in one "
                "language, another one in each subset, that ask for images were expected. Name others: "
                "subsets=[…]"
            )
        here = dict(zip(seen.document_ids, seen.contents, strict=True))
        if here != dict(zip(first.document_ids, first.contents, strict=True)):
            raise UserError(
                f"The subset {subset} of {name} has other images than {next(iter(ran))}, so their ranks "
                "cannot stand beside one another. Make a report of each: subsets=[…]"
            )
        found[seen.lang] = seen
    return found


def _records(
    name: str, ran: Mapping[str, Seen], relevant: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> tuple[list[Item], list[Caption]]:
    items = [Item(item_id=one, split="test") for one in next(iter(ran.values())).document_ids]
    captions = []
    for subset, seen in ran.items():
        for query, text in zip(seen.query_ids, seen.texts, strict=True):
            wanted = [one for one, worth in relevant[subset][query].items() if worth > 0]
            if len(wanted) != 1:
                raise UserError(
                    f"The query {query!r} of {name} ({subset}) has {len(wanted)} relevant documents, but one "
                    "was expected, as a caption has one image."
                )
            assert seen.lang is not None
            captions.append(
                Caption(
                    caption_id=_caption(seen.lang, query),
                    item_id=wanted[0],
                    lang=seen.lang,
                    role="human",
                    text=text,
                )
            )
    return items, captions


def _caption(lang: str, query: str) -> str:
    return f"{lang}:{query}"
