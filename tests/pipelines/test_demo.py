"""The smallest demonstration, run once: every stage from pictures to a page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from dragoman.corpus import Corpus
from dragoman.errors import UserError

pytest.importorskip("torch", reason="the demo trains")

from dragoman.cli import dragoman
from dragoman.pipelines.demo import SMALLEST, DemoResult, comparison_lines, find_examples, run_demo
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from left_out import lacking_items, lacking_vectors

IMAGES = 60
CHANCE = 100 * 10 / IMAGES
"""Recall@10 of a random order."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoResult]:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    return folder, run_demo(folder, SMALLEST)


@pytest.mark.parametrize("recipe", ["mlp", "glossed"])
def test_both_models_find_held_out_pictures_far_above_chance(
    shown: tuple[Path, DemoResult], recipe: str
) -> None:
    results = shown[1].reports[recipe]["results"]
    assert results["en"]["direct"]["text_to_image"]["recall@10"] > 3 * CHANCE
    assert results["pt"]["direct"]["text_to_image"]["recall@10"] > 2 * CHANCE
    assert set(results["pt"]) == {"direct", "translate_test", "fused"}
    assert results["pt"]["translate_test"]["text_to_image"]["recall@10"] > 2.5 * CHANCE


def test_nobody_trained_on_a_human_portuguese_caption(shown: tuple[Path, DemoResult]) -> None:
    corpus = Corpus.open(shown[0] / "world")
    training = {row["item_id"] for row in corpus.items.to_pylist() if row["split"] == "train"}
    captions = [row for row in corpus.captions.to_pylist() if row["item_id"] in training]
    assert {(row["lang"], row["role"]) for row in captions} == {("en", "human"), ("pt", "mt"), ("en", "back")}
    assert all(0 <= row["trust"] <= 1 for row in captions if row["role"] != "human")


def test_the_table_has_a_line_for_every_row_and_says_what_the_house_recipe_gains(
    shown: tuple[Path, DemoResult],
) -> None:
    lines = list(comparison_lines(shown[1].reports, shown[1].differences))
    assert [line.split()[:3] for line in lines[1:9]] == [
        [lang, row, recipe]
        for lang, rows in (("pt", ("direct", "translate_test", "fused")), ("en", ("direct",)))
        for row in rows
        for recipe in ("mlp", "glossed")
    ]
    of = {tuple(line.split()[:3]): float(line.split()[6]) for line in lines[1:9]}
    gain = of["pt", "direct", "glossed"] - of["pt", "direct", "mlp"]
    said = next(line for line in lines[9:] if line.startswith("pt, asked directly: glossed"))
    assert float(re.search(r"glossed ([+-][\d.]+) SumR", said)[1]) == pytest.approx(gain, abs=0.11)  # type: ignore[index]


def test_the_better_of_both_models_stands_in_bold(shown: tuple[Path, DemoResult]) -> None:
    page = shown[1].page.read_text(encoding="utf-8")
    rows = re.findall(
        r"<tr class='(best)?(?: first)?'><td>(\w+)</td><td>(\w+)</td><td>(\w+)</td>(?:<td>[^<]*</td>){3}"
        r"<td>([\d.]+)</td>",
        page,
    )
    assert len(rows) == 8
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for _, lang, row, recipe, figure in rows:
        figures.setdefault((lang, row), {})[recipe] = float(figure)
    for mark, lang, row, recipe, figure in rows:
        assert bool(mark) == (float(figure) == max(figures[lang, row].values())), (lang, row, recipe)


def test_every_link_of_the_page_leads_somewhere(shown: tuple[Path, DemoResult]) -> None:
    page = shown[1].page.read_text(encoding="utf-8")
    links = re.findall(r"""(?:href|src)=["']([^"']+)["']""", page)
    assert len(links) == 3 + 8 * 5  # two reports, the trust report, five pictures for each of eight queries
    assert [link for link in links if not (shown[0] / link).is_file()] == []


def test_the_contact_sheet_shows_every_query(shown: tuple[Path, DemoResult]) -> None:
    with Image.open(shown[1].sheet) as sheet:
        assert sheet.size == (1630, 786)
        assert sheet.convert("RGB").getpixel((0, 0)) == (252, 251, 248)


def test_a_second_run_does_nothing_again_and_says_the_same(shown: tuple[Path, DemoResult]) -> None:
    folder, result = shown
    slow = [
        "index/manifest.json",
        "glossed/run/model/calibration.json",
        "world/captions.parquet",
        "world/media/s00000.png",
        "world/features/grid/vectors.npy",
    ]
    slow += [
        f"{recipe}/{file}"
        for recipe in result.reports
        for file in ("run/manifest.json", "report/report.json")
    ]
    before = {name: (folder / name).stat().st_mtime_ns for name in slow}
    done = CliRunner().invoke(dragoman, ["demo", "--smallest", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    assert {name: (folder / name).stat().st_mtime_ns for name in slow} == before
    lines = list(comparison_lines(result.reports, result.differences))
    assert done.stdout.splitlines() == [
        *lines,
        f"Look at {result.page} and {result.sheet}",
        f'Next: dragoman search {result.index} "um cão"',
    ]


def test_the_index_of_the_demonstration_finds_pictures(shown: tuple[Path, DemoResult]) -> None:
    corpus = Corpus.open(shown[0] / "world")
    with Searcher.open(shown[1].index) as searcher:
        assert searcher.info.count == len(corpus.items) == searcher.store.count()
        assert searcher.info.calibration is not None
        caption = next(row for row in corpus.captions.to_pylist() if row["item_id"].endswith("0"))
        answer = searcher.search(Query(text=caption["text"], lang=caption["lang"], k=3, filter="split=test"))
        assert len(answer.hits) == 3
        # So small a world has too few captions to estimate from.
        assert (answer.match, answer.unjudged) == (None, "few_captions")
        for hit in answer.hits:
            assert hit.entry.metadata["split"] == "test"
            assert hit.relevance is None
            assert searcher.media_file(hit.entry).is_file()  # type: ignore[union-attr]


def test_examples_leave_out_a_picture_without_vector(shown: tuple[Path, DemoResult], tmp_path: Path) -> None:
    run, world = shown[0] / "glossed" / "run", Corpus.open(shown[0] / "world")
    asked = find_examples(run, world, ("en",))[0].item_id
    lacking = Corpus.open(lacking_vectors(world.folder, tmp_path / "lacking", asked, features="grid"))
    without = Corpus.open(lacking_items(world.folder, tmp_path / "without", asked, features="grid"))
    found, expected = (find_examples(run, corpus, ("en", "pt")) for corpus in (lacking, without))
    assert found == expected and asked not in {item for one in found for item in (one.item_id, *one.found)}


def test_a_folder_of_another_demonstration_is_refused(shown: tuple[Path, DemoResult]) -> None:
    with pytest.raises(UserError, match="holds another corpus; it differs in "):
        run_demo(shown[0], replace(SMALLEST, items=252))


def test_the_demo_goes_the_whole_way_on_clips(tmp_path: Path) -> None:
    settings = {**SMALLEST.settings, "steps": "40"}
    result = run_demo(tmp_path, replace(SMALLEST, items=96, video=True, settings=settings))
    corpus = Corpus.open(tmp_path / "world")
    assert set(corpus.items["kind"].to_pylist()) == {"video"}
    for report in result.reports.values():
        assert report["results"]["en"]["direct"]["text_to_image"]["recall@10"] > 100 * 10 / 24
    with Searcher.open(result.index) as searcher:
        hits = searcher.search(Query(text="um carro", k=96)).hits
        assert len(hits) == 96 and {hit.entry.kind for hit in hits} == {"video"}
        file = searcher.media_file(hits[0].entry)
        assert file is not None and file.suffix == ".mp4" and file.is_file()
    with Image.open(result.sheet) as sheet:
        assert len(set(sheet.resize((200, 100)).get_flattened_data())) > 500
    assert (tmp_path / "glossed" / "report" / "report.html").read_text().count("data:image/jpeg") > 20
