"""The package mteb asks our models on a small task in three languages, against figures computed by hand."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import export_world  # noqa: F401
import numpy as np
import pytest
from export_world import save_seeing_run
from tiny_towers import picture

from dragoman.errors import UserError
from dragoman.pipelines.mteb import report
from dragoman.reports.compare import compare
from dragoman.retrievers.mteb import MtebModel
from dragoman.retrievers.trained import Retriever

pytest.importorskip("mteb", reason="mteb is not installed: make interop")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Their own warnings are theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

IMAGES = 12
SUBSETS = {"de": "deu-Latn", "en": "eng-Latn", "pt": "por-Latn"}
WORDS = {
    "de": ["Hund", "Strand", "Ball", "läuft", "alt"],
    "en": ["dog", "beach", "ball", "runs", "old"],
    "pt": ["cão", "praia", "bola", "corre", "velho"],
}


def text(lang: str, number: int) -> str:
    words = WORDS[lang]
    return " ".join([words[number % 5], words[number * 3 % 4], words[number // 5]])


def small_task(**changes: Any) -> Any:
    """A task of texts that ask for pictures, in memory; the subsets share ids and pictures."""
    import datasets
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class SmallT2I(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="SmallT2I",
            description="Pictures of noise.",
            reference="https://example.org",
            dataset={"path": "none", "revision": "none"},
            type="Any2AnyMultilingualRetrieval",
            category="t2i",
            modalities=["text", "image"],
            eval_splits=["test"],
            eval_langs={subset: [code] for subset, code in SUBSETS.items()},
            main_score="ndcg_at_10",
            date=("2026-01-01", "2026-01-02"),
            dialect=[],
            domains=[],
            task_subtypes=[],
            license="cc-by-4.0",
            annotations_creators="derived",
            sample_creation="created",
            bibtex_citation="",
        )

        def load_data(self, *arguments: Any, **settings: Any) -> None:
            self.dataset = {subset: {"test": self.split(subset)} for subset in SUBSETS}
            self.data_loaded = True

        def split(self, subset: str) -> Any:
            pictures = [picture(number + changes.get("shift", {}).get(subset, 0)) for number in range(IMAGES)]
            return {
                "queries": datasets.Dataset.from_dict(
                    {
                        "id": [f"q{number}" for number in range(IMAGES)],
                        "text": [text(subset, number) for number in range(IMAGES)],
                    }
                ),
                "corpus": datasets.Dataset.from_dict(
                    {"id": [f"d{number}" for number in range(IMAGES)], "image": pictures},
                    features=datasets.Features({"id": datasets.Value("string"), "image": datasets.Image()}),
                ),
                "relevant_docs": {
                    f"q{number}": {
                        f"d{one % IMAGES}": 1 for one in range(number, number + changes.get("wanted", 1))
                    }
                    for number in range(IMAGES)
                },
                "top_ranked": None,
            }

    return SmallT2I()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_seeing_run(tmp_path_factory.mktemp("run"))


def asked(model: MtebModel, task: Any) -> dict[str, Any]:
    """Scores of mteb by subset."""
    import mteb

    (found,) = mteb.evaluate(model, task, cache=None, show_progress_bar=False).task_results
    return {one["hf_subset"]: one for one in found.scores["test"]}


def ranks(run: Path, lang: str) -> np.ndarray:
    """[Q] of the picture of each query: 1 + those scored higher."""
    retriever = Retriever.load(run)
    pictures = [picture(number) for number in range(IMAGES)]
    found = []
    for number in range(IMAGES):
        scores = retriever.encode_image(pictures) @ retriever.encode_text([text(lang, number)])[0]
        found.append(1 + sum(score > scores[number] for score in scores))
    return np.array(found)


def test_scores_of_mteb_are_those_by_hand_and_each_image_is_embedded_once(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, counted = MtebModel.load(run), []
    encode = model.model.encode_image
    monkeypatch.setattr(model.model, "encode_image", lambda images: counted.extend(images) or encode(images))
    scores = asked(model, small_task())
    assert len(counted) == IMAGES
    for lang in SUBSETS:
        for k in (1, 5, 10):
            expected = float(np.mean(ranks(run, lang) <= k))
            assert scores[lang][f"recall_at_{k}"] == pytest.approx(expected, abs=1e-5)
    # The figures tell languages apart, and neither all nor nothing is found.
    assert len({tuple(ranks(run, lang)) for lang in SUBSETS}) == 3


def test_the_report_has_recalls_intervals_and_mrv_of_the_same_rankings(run: Path, tmp_path: Path) -> None:
    model, task = MtebModel.load(run), small_task()
    asked(model, task)
    found = report(model, task, out=tmp_path / "report")
    by_lang = {lang: ranks(run, lang) for lang in SUBSETS}
    for lang, ranks_Q in by_lang.items():
        there = found["results"][lang]["direct"]["text_to_image"]
        for k in (1, 5, 10):
            assert there[f"recall@{k}"] == pytest.approx(100 * np.mean(ranks_Q <= k))
        low, high = found["intervals"][lang]["direct"]["text_to_image"]["recall@5"]
        assert low <= there["recall@5"] <= high and low < high
    stacked = np.stack(list(by_lang.values())).astype(float)
    told = found["consistency"]["direct"]["text_to_image"]
    assert told["mrv_std"] == pytest.approx(stacked.std(0).mean())
    assert told["mrv_std_log"] == pytest.approx(np.log(stacked).std(0).mean())
    assert told["mrv_std_clipped"] == pytest.approx(np.minimum(stacked, 11).std(0).mean())


def test_a_search_gives_the_best_alone_and_of_chosen_documents_their_order(run: Path) -> None:
    model, task = MtebModel.load(run), small_task()
    task.load_data()
    part = task.dataset["pt"]["test"]
    where = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "pt", "encode_kwargs": {}}
    model.index(part["corpus"], **where)
    retriever = Retriever.load(run)
    pictures = retriever.encode_image([picture(number) for number in range(IMAGES)])
    scores = pictures @ retriever.encode_text([text("pt", 2)])[0]
    best = [f"d{number}" for number in sorted(range(IMAGES), key=lambda one: -scores[one])]
    found = model.search(part["queries"], top_k=3, **where)["q2"]
    assert list(found) == best[:3]
    assert list(found.values()) == pytest.approx(sorted(scores)[::-1][:3], abs=1e-5)
    chosen = {f"q{number}": ["d1", "d5", "d7"] for number in range(IMAGES)}
    found = model.search(part["queries"], top_k=2, top_ranked=chosen, **where)["q2"]
    assert list(found) == [one for one in best if one in chosen["q2"]][:2]


def test_two_reports_compare(run: Path, tmp_path: Path) -> None:
    other = save_seeing_run(tmp_path / "other", "vit")
    for name, folder in (("a", run), ("b", other)):
        model, task = MtebModel.load(folder), small_task()
        asked(model, task)
        report(model, task, out=tmp_path / name)
    lines = compare([tmp_path / "a"], [tmp_path / "b"])
    (line,) = [
        one
        for one in lines
        if (one.pair.language, one.direction, one.metric) == ("pt", "text_to_image", "recall@5")
    ]
    recalls = [100 * float(np.mean(ranks(folder, "pt") <= 5)) for folder in (run, other)]
    assert [line.a, line.b] == pytest.approx(recalls)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"wanted": 2}, "has 2 relevant documents, but one was expected"),
        ({"shift": {"pt": 100}}, "The subset pt of SmallT2I has other images than de"),
    ],
)
def test_what_makes_no_report_is_refused(run: Path, tmp_path: Path, changes: Any, reason: str) -> None:
    model, task = MtebModel.load(run), small_task(**changes)
    asked(model, task)
    with pytest.raises(UserError, match=reason):
        report(model, task, out=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_task_that_was_not_run_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mteb\.evaluate\(model, task\)"):
        report(MtebModel.load(run), small_task(), out=tmp_path / "report")


def test_the_page_says_what_runs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "interoperate.md").read_text(encoding="utf-8")
    section = page.partition("## mteb\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    import mteb

    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(run)
    monkeypatch.setattr(mteb, "get_task", lambda name: small_task())
    exec(code, {})
    assert (tmp_path / "report" / "report.html").is_file()


def test_similarities_are_cosines_and_the_revision_is_the_fingerprint(run: Path) -> None:
    model = MtebModel.load(run)
    vectors = Retriever.load(run).encode_text(["dog", "ball"])
    np.testing.assert_allclose(model.similarity(vectors, vectors), vectors @ vectors.T, atol=1e-6)
    np.testing.assert_allclose(model.similarity_pairwise(vectors, vectors), [1, 1], atol=1e-6)
    meta = model.mteb_model_meta
    assert (meta.name, meta.revision) == ("dragoman/run", Retriever.load(run).fingerprint)
