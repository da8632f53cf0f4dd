"""Evaluation of a run: rows, galleries, fusion, files, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from reporting_world import FakeModel, edit_captions, vector, write_world

from dragoman.errors import UserError
from dragoman.evaluation import retrieval_metrics
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.measure import measure_table
from dragoman.reports.rows import best_weight
from dragoman.reports.settings import EvaluationSettings

METRICS = {"recall@1", "recall@5", "recall@10", "medr", "meanr", "map", "ndcg@10"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus")


@pytest.fixture(scope="module")
def out(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "report"
    evaluate(
        FakeModel(),
        corpus,
        EvaluationSettings(languages=["pt", "en", "ar"]),
        out=out,
        translate_test_run=FakeModel(2, 0.5),
    )
    return out


@pytest.fixture(scope="module")
def report(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def full_matrix(corpus: Path, lang: str, role: str) -> tuple[dict[str, float], dict[str, float]]:
    """The straightforward way: all captions against all images of the split."""
    rows = pq.read_table(corpus / "captions.parquet").to_pylist()
    if role == "human":
        chosen = [r for r in rows if r["lang"] == lang and r["role"] == "human"]
    else:
        chosen = [r for r in rows if r["role"] == "mt" and r["lang"] == "en"]
    chosen = [r for r in chosen if r["item_id"].startswith("t")]
    images = sorted({r["item_id"] for r in rows if r["item_id"].startswith("t")})
    texts = FakeModel().encode_text([r["text"] for r in chosen])
    scores = texts @ np.array([vector(i) for i in images], np.float32).T
    relevant = np.array([[r["item_id"] == i for i in images] for r in chosen])
    captioned = relevant.any(axis=0)
    there = retrieval_metrics(scores, relevant)
    return there, retrieval_metrics(scores.T[captioned], relevant.T[captioned])


@pytest.mark.parametrize(
    ("lang", "row", "role"),
    [
        ("pt", "direct", "human"),
        ("en", "direct", "human"),
        ("ar", "direct", "human"),
        ("pt", "translate_test", "mt"),
    ],
)
def test_a_row_equals_the_full_matrix(corpus: Path, report: dict, lang: str, row: str, role: str) -> None:
    there, back = full_matrix(corpus, lang, role)
    assert report["results"][lang][row]["text_to_image"] == pytest.approx(there)
    assert report["results"][lang][row]["image_to_text"] == pytest.approx(back)
    sums = sum(way[f"recall@{k}"] for way in (there, back) for k in (1, 5, 10))
    assert report["results"][lang][row]["sum_r"] == pytest.approx(sums)
    assert report["results"][lang][row]["mean_recall"] == pytest.approx(sums / 6)


def test_each_language_has_the_rows_that_the_corpus_allows(report: dict) -> None:
    assert {lang: set(rows) for lang, rows in report["results"].items()} == {
        "pt": {"direct", "translate_test", "fused", "translate_test_source_only"},
        "en": {"direct"},
        "ar": {"direct"},
    }
    missing = {lang: details["missing_rows"] for lang, details in report["languages"].items()}
    reason = "the corpus holds no en translation of these captions"
    assert missing == {"pt": {}, "en": {}, "ar": {"translate_test": reason, "fused": reason}}


def test_the_whole_split_is_the_gallery_and_uncaptioned_images_are_no_queries(report: dict) -> None:
    assert report["languages"]["pt"]["gallery"] == {"text_to_image": 24, "image_to_text": 46}
    assert report["languages"]["pt"]["queries"] == {"text_to_image": 46, "image_to_text": 23}
    assert report["languages"]["pt"]["images_without_caption"] == 1


def test_every_figure_comes_from_the_query_file_alone(out: Path, report: dict) -> None:
    table = pq.read_table(out / "queries.parquet")
    assert len(table) == 4 * (46 + 23) + (48 + 24) + (24 + 24)
    results, intervals = measure_table(table, seed=0)
    assert results == report["results"]
    assert json.loads(json.dumps(intervals)) == report["intervals"]
    assert set(results["pt"]["direct"]["text_to_image"]) == METRICS


def test_each_interval_holds_its_figure(report: dict) -> None:
    for lang, rows in report["results"].items():
        for row, result in rows.items():
            for way in ("text_to_image", "image_to_text"):
                for name, value in result[way].items():
                    low, high = report["intervals"][lang][row][way][name]
                    assert low <= value <= high


def test_the_weight_is_the_best_on_human_validation_captions(report: dict) -> None:
    fusion = report["languages"]["pt"]["fusion"]
    assert fusion["chosen_on"] == "32 human pt captions of the validation split"
    swept = fusion["sum_r_by_weight"]
    assert list(swept) == [str(round(w / 10, 1)) for w in range(11)]
    assert swept[str(fusion["weight"])] == max(swept.values())


def test_machine_captions_choose_the_weight_where_no_human_ones_are(corpus: Path, tmp_path: Path) -> None:
    other = write_world(tmp_path / "corpus")
    edit_captions(other, lambda rows: [r for r in rows if not re.match(r"v..#pt#", r["caption_id"])])
    report = evaluate(FakeModel(), other, EvaluationSettings(languages=["pt"]), out=tmp_path / "report")
    assert report["languages"]["pt"]["fusion"]["captions"] == "machine"
    assert (
        report["languages"]["pt"]["fusion"]["chosen_on"] == "32 machine pt captions of the validation split"
    )


def test_without_validation_captions_there_is_no_fused_row(tmp_path: Path) -> None:
    other = write_world(tmp_path / "corpus")
    edit_captions(other, lambda rows: [r for r in rows if r["item_id"].startswith("t")])
    report = evaluate(FakeModel(), other, EvaluationSettings(languages=["pt"]), out=tmp_path / "report")
    assert set(report["results"]["pt"]) == {"direct", "translate_test"}
    assert "no translated validation captions" in report["languages"]["pt"]["missing_rows"]["fused"]


def test_match_restricts_the_queries_of_its_language(corpus: Path, tmp_path: Path) -> None:
    report = evaluate(
        FakeModel(),
        corpus,
        EvaluationSettings(languages=["pt", "en"], match={"pt": ["*#pt#0"]}),
        out=tmp_path / "r",
    )
    assert report["languages"]["pt"]["queries"] == {"text_to_image": 23, "image_to_text": 23}
    assert report["languages"]["pt"]["gallery"] == {"text_to_image": 24, "image_to_text": 23}
    assert report["languages"]["en"]["queries"]["text_to_image"] == 48


def test_equal_texts_are_encoded_once_and_tie(tmp_path: Path) -> None:
    world = write_world(tmp_path / "corpus")
    edit_captions(
        world, lambda rows: [r | {"text": "0.1 t00 same"} if r["lang"] == "ar" else r for r in rows]
    )
    model = FakeModel()
    report = evaluate(model, world, EvaluationSettings(languages=["ar"]), out=tmp_path / "report")
    assert model.encoded == ["0.1 t00 same"]
    assert report["results"]["ar"]["direct"]["image_to_text"]["medr"] == (24 + 1) / 2


def test_the_query_file_names_the_best_hits(corpus: Path, out: Path) -> None:
    lines = pq.read_table(out / "queries.parquet").to_pylist()
    line = next(x for x in lines if (x["qid"], x["row"], x["language"]) == ("t03#en#1", "direct", "en"))
    text = next(
        r["text"]
        for r in pq.read_table(corpus / "captions.parquet").to_pylist()
        if r["caption_id"] == "t03#en#1"
    )
    scores = {f"t{i:02d}": float(FakeModel().encode_text([text])[0] @ vector(f"t{i:02d}")) for i in range(24)}
    best = sorted(scores, key=lambda one: -scores[one])[:10]
    assert line["top_ids"] == best
    assert line["top_scores"] == pytest.approx([scores[one] for one in best], abs=1e-3)
    assert (line["item_id"], line["slot"], line["gallery"], line["seed"], line["system"]) == (
        "t03",
        1,
        24,
        1,
        "toy",
    )
    assert line["rank"] == 1 + best.index("t03")


def test_the_trec_files_give_the_same_figures_elsewhere(out: Path, report: dict) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    qrels = list(ir_measures.read_trec_qrels(str(out / "trec" / "pt.text_to_image.qrels")))
    run = list(ir_measures.read_trec_run(str(out / "trec" / "pt.fused.text_to_image.run")))
    names = {"recall@1": "Success@1", "recall@10": "Success@10", "map": "AP", "ndcg@10": "nDCG@10"}
    measures = {name: ir_measures.parse_measure(theirs) for name, theirs in names.items()}
    found = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    ours = report["results"]["pt"]["fused"]["text_to_image"]
    assert {name: 100 * found[one] for name, one in measures.items()} == pytest.approx(
        {name: ours[name] for name in names}
    )


def test_the_report_says_what_made_it(out: Path, report: dict, corpus: Path) -> None:
    provenance = report["provenance"]
    assert set(provenance["corpus"]) == {"items.parquet", "captions.parquet"}
    assert re.fullmatch("[0-9a-f]{64}", provenance["corpus"]["items.parquet"])
    assert provenance["run"] == {"model": "object of class FakeModel"}
    assert {"python", "numpy", "dragoman"} <= set(provenance["versions"])
    assert json.loads((out / "manifest.json").read_text())["format"] == "dragoman-report"
    assert "recall@K" in report["definitions"]
    assert not (out / ".lock").exists()


def test_queries_without_translation_are_an_error_that_names_them(tmp_path: Path) -> None:
    world = write_world(tmp_path / "corpus")
    edit_captions(world, lambda rows: [r for r in rows if r["caption_id"] != "t05#pt#1#mt"])
    with pytest.raises(UserError, match=r"1 of 46 human pt captions .* first t05#pt#1.*--drop-untranslated"):
        evaluate(FakeModel(), world, EvaluationSettings(languages=["pt"]), out=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_dropped_queries_leave_all_rows(tmp_path: Path) -> None:
    world = write_world(tmp_path / "corpus")
    edit_captions(world, lambda rows: [r for r in rows if r["caption_id"] != "t05#pt#1#mt"])
    report = evaluate(
        FakeModel(), world, EvaluationSettings(languages=["pt"], untranslated="drop"), out=tmp_path / "r"
    )
    assert report["languages"]["pt"]["dropped_untranslated"] == 1
    table = pq.read_table(tmp_path / "r" / "queries.parquet")
    assert "t05#pt#1" not in table["qid"].to_pylist()
    assert len(table) == 3 * (45 + 23)


def test_translations_by_several_engines_must_be_chosen_from(tmp_path: Path) -> None:
    world = write_world(tmp_path / "corpus")

    def twice(rows: list[dict]) -> list[dict]:
        again = [
            r
            | {
                "caption_id": r["caption_id"] + "2",
                "engine": "other",
                "text": r["text"].replace("0.7", "0.1"),
            }
            for r in rows
            if r["lang"] == "en" and r["role"] == "mt"
        ]
        return rows + again

    edit_captions(world, twice)
    with pytest.raises(
        UserError, match=r"several engines: other, toy:pt-en\. Choose one: --translation-engine"
    ):
        evaluate(FakeModel(), world, EvaluationSettings(languages=["pt"]), out=tmp_path / "report")
    report = evaluate(
        FakeModel(),
        world,
        EvaluationSettings(languages=["pt"], translation_engine="other"),
        out=tmp_path / "report",
    )
    assert report["languages"]["pt"]["translation_engine"] == "other"
    with pytest.raises(UserError, match=r"No pt query was translated by 'mine'"):
        evaluate(
            FakeModel(),
            world,
            EvaluationSettings(languages=["pt"], translation_engine="mine"),
            out=tmp_path / "report",
        )


def test_languages_are_those_of_the_captions_however_they_are_spelt() -> None:
    settings = EvaluationSettings(
        languages=["POR", "pt_br", "iw"], match={"pt_BR.UTF-8": ["*"]}, consistency=["por_Latn", "he"]
    )
    assert settings == EvaluationSettings(
        languages=("pt", "pt-BR", "he"), match={"pt-BR": ["*"]}, consistency=("pt", "he")
    )
    with pytest.raises(UserError, match="languages must name each language once"):
        EvaluationSettings(languages=["pt", "PT"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"languages": ["gl"]}, "no human gl captions in split 'test'"),
        ({"languages": ["pt"], "match": {"pt": ["*#x"]}}, r"no human pt captions whose id fits \*#x"),
        ({"languages": ["pt"], "match": {"en": ["*"]}}, "match names en, which is not evaluated"),
        ({"languages": ["pt", "pt"]}, "languages must name each language once"),
        ({"languages": ["pt"], "split": "dev"}, "split is 'dev'; known: train, val, test"),
        ({"languages": ["pt"], "split": "train"}, "has no items in split 'train'|no human pt captions"),
        ({"languages": ["pt"], "features": "clip"}, "no feature set 'clip'"),
        ({"languages": ["pt"], "fusion_normalisation": "z"}, "known: matrix, query, none"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_folder(
    corpus: Path, tmp_path: Path, settings: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(FakeModel(), corpus, EvaluationSettings(**settings), out=tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_evaluation_leaves_the_earlier_report_untouched(corpus: Path, tmp_path: Path) -> None:
    evaluate(FakeModel(), corpus, EvaluationSettings(languages=["ar"]), out=tmp_path / "report")
    before = {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir() if p.is_file()}

    class Broken(FakeModel):
        def encode_text(self, texts):  # type: ignore[no-untyped-def]
            return super().encode_text(texts) * np.float32(np.nan)

    with pytest.raises(UserError, match="queries hold NaN"):
        evaluate(Broken(), corpus, EvaluationSettings(languages=["ar"]), out=tmp_path / "report")
    assert {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir() if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["report"]


def test_a_second_evaluation_replaces_the_first_and_gives_the_same_bytes(
    corpus: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        evaluate(FakeModel(), corpus, EvaluationSettings(languages=["ar"]), out=tmp_path / "report")
        (tmp_path / "report" / "stale").touch()
    first = (tmp_path / "report" / "report.json").read_bytes()
    evaluate(FakeModel(), corpus, EvaluationSettings(languages=["ar"]), out=tmp_path / "report")
    assert (tmp_path / "report" / "report.json").read_bytes() == first
    assert not (tmp_path / "report" / "stale").exists()


def test_a_folder_that_is_no_report_is_never_replaced(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"dear")
    with pytest.raises(UserError, match="holds other files and is no report, so it is left alone"):
        evaluate(FakeModel(), corpus, EvaluationSettings(languages=["ar"]), out=tmp_path / "photos")
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"dear"
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_without_languages_those_of_the_training_are_evaluated(corpus: Path, tmp_path: Path) -> None:
    report = evaluate(FakeModel(), corpus, out=tmp_path / "report")
    assert list(report["results"]) == ["pt", "en"]


def test_of_equally_good_weights_the_smallest_is_taken() -> None:
    assert best_weight({0.0: 1.0, 0.1: 2.0, 0.2: 2.0}) == 0.1


def test_the_interval_of_mean_recall_is_a_sixth_of_that_of_sum_r(report: dict) -> None:
    ends = report["intervals"]["pt"]["direct"]
    assert [6 * end for end in ends["mean_recall"]] == pytest.approx(ends["sum_r"])
