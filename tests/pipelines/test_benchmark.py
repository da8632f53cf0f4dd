"""A miniature of Multi30K from its published files to a row beside the published ones."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from miniatures import put_lines
from test_public import save_dual
from test_text_towers import save_pair, save_sentence_transformers
from tiny_towers import picture
from training_world import DE, EN, TINY

from checksums import without_checksums
from dragoman.cli.benchmark import command
from dragoman.corpus import Corpus, datasets
from dragoman.corpus.given import GivenFeatures
from dragoman.errors import UserError
from dragoman.pages.benchmark import BenchmarkPage
from dragoman.pipelines.benchmark import BenchmarkSettings, run_benchmark
from dragoman.pipelines.benchmark_row import BenchmarkResult, benchmark_result, tables_of
from dragoman.pipelines.evaluate import evaluate
from dragoman.pipelines.literature import AR, CIRCUMSTANCES, PROTOCOLS, R1_THERE, protocol_of, published_rows
from dragoman.reports.settings import EvaluationSettings
from left_out import lacking_vectors

SIZES = {"train": 24, "val": 8, "test_2016_flickr": 8}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Multi30K task 1 in English and German, photos, and vectors of them."""
    root, draws = tmp_path_factory.mktemp("multi30k"), np.random.default_rng(1)
    (root / "photos").mkdir()
    ids: list[str] = []
    vectors: list[np.ndarray] = []
    meaning = draws.standard_normal((len(EN), 12))
    for part, size in SIZES.items():
        names = [f"{part}{number}.jpg" for number in range(size)]
        seen = [draws.choice(len(EN), 4, replace=False) for _ in names]
        put_lines(root, {f"data/task1/image_splits/{part}.txt": names})
        for lang, words in (("en", EN), ("de", DE)):
            lines = [" ".join(words[one] for one in some) for some in seen]
            put_lines(root, {f"data/task1/raw/{part}.{lang}": lines})
        for number, name in enumerate(names):
            picture(len(ids) + number).save(root / "photos" / name)
        ids += [name.removesuffix(".jpg") for name in names]
        vectors += [meaning[some].sum(0) for some in seen]
    np.save(root / "toy.npy", np.array(vectors, np.float32))
    put_lines(root, {"ids.txt": ids})
    return root


def config(root: Path, **more: object) -> BenchmarkSettings:
    given: dict[str, object] = {
        "name": "multi30k-task1",
        "languages": ("de",),
        "recipe": "translate_train",
        "features": GivenFeatures(vectors=root / "toy.npy", ids=root / "ids.txt"),
        "settings": TINY | {"epochs": "2"},
        "seeds": (1, 2),
        "device": "cpu",
    }
    return BenchmarkSettings(**(given | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(published: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BenchmarkResult]:
    out = tmp_path_factory.mktemp("out")
    return out, run_benchmark(config(published), published, out)


def test_a_row_holds_what_the_reports_say(done: tuple[Path, BenchmarkResult]) -> None:
    out, result = done
    reports = [json.loads((out / f"report-{seed}" / "report.json").read_text()) for seed in (1, 2)]
    found = [report["results"]["de"]["direct"] for report in reports]
    assert result.figures["SumR"]["de"] == [one["sum_r"] for one in found]
    assert result.figures["AR"]["de"] == pytest.approx([one["sum_r"] / 6 for one in found])
    assert set(result.figures["SumR"]) == {"de", "en"}
    assert reports[0]["system"]["seed"] == 1 and reports[1]["system"]["seed"] == 2
    assert list(result.consistency) == ["mrv_std", "mrv_std_clipped", "mrv_std_log"]
    for form, values in result.consistency.items():
        ways = [
            [one["consistency"]["direct"][way][form] for one in reports]
            for way in ("text_to_image", "image_to_text")
        ]
        assert values == pytest.approx([statistics.mean(pair) for pair in zip(*ways, strict=True)])
    assert result.circumstances["training text"] == "human, of each language"
    assert result.circumstances["selection"] == "val (human captions)"
    assert result.circumstances["seeds"] == "2"


def test_the_command_prints_the_row_and_names_its_folder_itself(
    published: Path, done: tuple[Path, BenchmarkResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [part for one in (TINY | {"epochs": "2"}).items() for part in ("--set", "=".join(one))]
    given = ["--languages", "de", "--recipe", "translate_train", "--seeds", "2", "--device", "cpu"]
    vectors = ["--features", str(published / "toy.npy"), "--feature-ids", str(published / "ids.txt")]
    arguments = ["multi30k-task1", "--root", str(published), *given, *vectors, *settings]
    found = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert found.exit_code == 0
    page_of = (tmp_path / "multi30k-task1-translate_train" / "benchmark.md").read_text()
    assert found.stdout.endswith(page_of) and page_of == "\n".join(done[1].lines) + "\n"


def test_a_row_over_fewer_images_says_so(
    published: Path, done: tuple[Path, BenchmarkResult], tmp_path: Path
) -> None:
    lacking = lacking_vectors(done[0] / "corpus", tmp_path / "corpus", "test_2016_flickr3")
    settings = EvaluationSettings(languages=["de"])
    evaluate(done[0] / "run-1", lacking, settings, out=tmp_path / "report")
    page = benchmark_result("ours", "multi30k-task1", "2016", [[tmp_path / "report"]], {}).lines
    said = "Images left out of test for want of vectors, with their captions: 1 (test_2016_flickr3)."
    assert said in page and said not in done[1].lines


def test_the_page_has_published_rows_and_what_differs(done: tuple[Path, BenchmarkResult]) -> None:
    out, result = done
    text = (out / "benchmark.md").read_text()
    assert text.splitlines() == result.lines
    mean, spread = (f(result.figures["SumR"]["de"]) for f in (statistics.mean, statistics.stdev))
    assert f"| **dragoman, recipe translate_train** | {mean:.1f} ± {spread:.1f} |" in text
    (nrccr,) = [line for line in result.lines if line.startswith("| NRCCR |") and "450.7" in line]
    assert "tower: CLIP ViT-B/32" in nrccr and "training text: machine (Google)" in nrccr
    assert "seeds: 1" in nrccr and "re-ranking" not in nrccr


def test_a_finished_benchmark_is_not_done_again_and_takes_more_seeds(
    published: Path, done: tuple[Path, BenchmarkResult]
) -> None:
    out, result = done
    stamps = {file: file.stat().st_mtime_ns for file in out.glob("*/manifest.json")}
    again = run_benchmark(config(published, seeds=(1, 2, 3)), published, out)
    assert {file: file.stat().st_mtime_ns for file in stamps} == stamps
    assert again.figures["SumR"]["de"][:2] == result.figures["SumR"]["de"]
    assert len(again.figures["SumR"]["de"]) == 3
    # As an older version would have written it.
    settings = json.loads((out / "run-1" / "config.json").read_text())
    del settings["config"]["chunk"]
    without_checksums(out / "run-1" / "config.json", config=settings["config"])
    without_checksums(out / "run-1")
    assert run_benchmark(config(published, seeds=(1, 3)), published, out).circumstances["seeds"] == "2"
    with pytest.raises(UserError, match=r"another benchmark; it differs in recipe=.* there, 'nrccr' now"):
        run_benchmark(config(published, recipe="nrccr"), published, out)


@pytest.mark.parametrize("apart", [False, True])
def test_a_public_model_is_measured_without_training(published: Path, tmp_path: Path, apart: bool) -> None:
    model = save_dual(tmp_path / "tiny-clip", "clip")
    if apart:
        model = save_pair(tmp_path / "pair", save_sentence_transformers(tmp_path / "text"), model)
    chosen = config(published, features=None, model=str(model), media=str(published / "photos"))
    result = run_benchmark(chosen, published, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["system"]["name"] == ("zero-shot text with tiny-clip" if apart else "zero-shot clip")
    assert apart == (list(report["provenance"]["run"]) == ["model"])
    assert result.figures["SumR"]["en"] == [report["results"]["en"]["direct"]["sum_r"]]
    assert (result.circumstances["tower"], result.circumstances["resolution"]) == ("tiny-clip", "32")
    assert not list((tmp_path / "out").glob("run-*"))


def test_translations_are_asked_for_where_the_files_have_none(published: Path, tmp_path: Path) -> None:
    for part in SIZES:
        (tmp_path / "root" / "data" / "task1" / "raw").mkdir(parents=True, exist_ok=True)
        for kind in (f"image_splits/{part}.txt", f"raw/{part}.en", f"raw/{part}.de"):
            target = tmp_path / "root" / "data" / "task1" / kind
            target.parent.mkdir(exist_ok=True)
            text = (published / "data" / "task1" / kind).read_text()
            target.write_text("\n" * text.count("\n") if kind == "raw/train.de" else text)
    with pytest.raises(UserError, match=r"no training captions in de\. Translate .*--engine"):
        run_benchmark(config(published), tmp_path / "root", tmp_path / "out")
    lines = [
        json.dumps({"text": english, "translation": german})
        for part in SIZES
        for english, german in zip(
            *(
                (published / f"data/task1/raw/{part}.{lang}").read_text().splitlines()
                for lang in ("en", "de")
            ),
            strict=True,
        )
    ]
    put_lines(tmp_path, {"said.jsonl": lines})
    engine = f"recorded:{tmp_path / 'said.jsonl'}"
    result = run_benchmark(
        config(published, engine=engine, seeds=(1,)), tmp_path / "root", tmp_path / "translated"
    )
    assert result.circumstances["training text"] == "machine (recorded:said.jsonl)"
    captions = Corpus.open(tmp_path / "translated" / "corpus").captions.to_pylist()
    machine = [one for one in captions if one["role"] == "mt"]
    assert len(machine) == SIZES["train"] + SIZES["val"]


def test_features_are_asked_for(published: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no vectors of its images\. Name a vision tower"):
        run_benchmark(config(published, features=None), published, tmp_path / "out")


def test_every_protocol_is_of_a_data_set_and_every_row_of_a_figure() -> None:
    assert set(PROTOCOLS) <= set(datasets.names())
    with pytest.raises(UserError, match=r"No benchmark is called 'imagenet'\. Known: .*xm3600"):
        protocol_of("imagenet")
    for name, protocol in PROTOCOLS.items():
        about = datasets.load(name).about
        figures = {str(figure) for figure in protocol.figures}
        for test in about.tests or ("",):
            for row in published_rows(name, test):
                assert row.figure in figures, (name, row)
                assert set(row.circumstances) <= set(CIRCUMSTANCES)
                assert all(
                    0 < value <= (600 if row.figure == "SumR" else 100) for value in row.values.values()
                )
                known = {"mean"} if row.figure.startswith("R@") else set(about.languages) or set(row.values)
                assert set(row.values) <= known, (name, row)


def test_figures_are_read_from_a_report() -> None:
    def row(sum_r: float, there: float) -> dict[str, object]:
        return {"direct": {"sum_r": sum_r, "mean_recall": sum_r / 6, "text_to_image": {"recall@1": there}}}

    report = {"results": {"en": row(300, 90), "de": row(120, 10), "ja": row(60, 30)}}
    assert AR.of(report) == {"en": 50, "de": 20, "ja": 10}
    assert R1_THERE.of(report) == {"mean": 20}
    assert (str(AR), str(R1_THERE)) == ("AR", "R@1 T2I")


def test_a_figure_without_a_published_row_says_so() -> None:
    made_by = dict.fromkeys(CIRCUMSTANCES, "x")
    tables = tables_of("ours", {"SumR": {"de": [1.0, 3.0]}}, made_by, [])
    lines = list(BenchmarkPage(title="title", about=["note"], tables=tables).markdown())
    assert "| **ours** | 2.0 ± 1.4 | this run | |" in lines
    assert lines[-1] == "No published figure of this kind was verified for this test set."
