"""Paired comparison of reports: values by hand, joined by query id, refused over different queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from reporting_world import FakeModel, edit_captions, write_world

from checksums import without_checksums
from dragoman.errors import UserError
from dragoman.evaluation.significance import mcnemar, sign_flip
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.compare import Difference, compare
from dragoman.reports.settings import EvaluationSettings
from dragoman.reports.terminal import difference_lines


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports a1 and a2 of a weak system, b1 and b2 of a better one."""
    place = tmp_path_factory.mktemp("comparison")
    write_world(place / "corpus")
    for name, noise in [("a", 1.0), ("b", 0.7)]:
        for seed in (1, 2):
            evaluate(
                FakeModel(seed, noise),
                place / "corpus",
                EvaluationSettings(languages=["pt", "ar"]),
                out=place / f"{name}{seed}",
            )
    return place


def find(lines: list[Difference], language: str, row: str, direction: str, metric: str) -> Difference:
    (one,) = [
        x
        for x in lines
        if (x.pair.language, x.pair.row, x.direction, x.metric) == (language, row, direction, metric)
    ]
    return one


def hits(folder: Path, language: str, cutoff: int) -> dict[str, bool]:
    rows = pq.read_table(folder / "queries.parquet").to_pylist()
    return {
        r["qid"]: r["rank"] <= cutoff
        for r in rows
        if (r["language"], r["row"], r["direction"]) == (language, "direct", "text_to_image")
    }


def test_a_difference_is_that_of_the_two_reports(place: Path) -> None:
    one = find(compare([place / "a1"], [place / "b1"]), "pt", "direct", "text_to_image", "recall@1")
    a, b = hits(place / "a1", "pt", 1), hits(place / "b1", "pt", 1)
    assert one.a == pytest.approx(100 * np.mean(list(a.values())))
    assert one.b == pytest.approx(100 * np.mean(list(b.values())))
    assert one.difference == pytest.approx(one.b - one.a)
    assert one.interval[0] < one.difference < one.interval[1]
    assert one.mcnemar == mcnemar(np.array([a[q] for q in a]), np.array([b[q] for q in a]))
    assert (one.seeds_a, one.spread_a) == ([one.a], None)


def test_sum_r_adds_both_directions(place: Path) -> None:
    lines = compare([place / "a1"], [place / "b1"])
    parts = [
        find(lines, "pt", "direct", way, f"recall@{k}").difference
        for way in ("text_to_image", "image_to_text")
        for k in (1, 5, 10)
    ]
    assert find(lines, "pt", "direct", "both", "sum_r").difference == pytest.approx(sum(parts))


def test_a_clear_gain_is_told_from_none(place: Path) -> None:
    gain = find(compare([place / "a1"], [place / "b1"]), "pt", "direct", "both", "sum_r")
    assert gain.interval[0] > 0
    assert gain.p_holm < 0.01
    same = compare([place / "a1"], [place / "a1"])
    assert {(x.difference, x.interval, x.p, x.p_holm) for x in same} == {(0, (0, 0), 1, 1)}


def test_swapping_the_systems_turns_the_sign(place: Path) -> None:
    there, back = compare([place / "a1"], [place / "b1"]), compare([place / "b1"], [place / "a1"])
    assert [x.difference for x in there] == pytest.approx([-x.difference for x in back])
    assert [x.p for x in there] == [x.p for x in back]


def test_holm_counts_the_languages(place: Path) -> None:
    lines = compare([place / "a1"], [place / "b1"])
    pair = [find(lines, lang, "direct", "both", "sum_r") for lang in ("pt", "ar")]
    small, large = sorted(pair, key=lambda x: x.p)
    assert small.p_holm == pytest.approx(min(1, 2 * small.p))
    assert large.p_holm == pytest.approx(max(small.p_holm, large.p))
    alone = find(lines, "pt", "fused", "both", "sum_r")
    assert alone.p_holm == alone.p


def test_seeds_are_averaged_and_their_spread_stands_beside(place: Path) -> None:
    one = find(
        compare([place / "a1", place / "a2"], [place / "b1", place / "b2"]),
        "ar", "direct", "text_to_image", "recall@5",
    )  # fmt: skip
    shares = [100 * np.mean(list(hits(place / name, "ar", 5).values())) for name in ("a1", "a2")]
    assert one.seeds_a == pytest.approx(shares)
    assert one.a == pytest.approx(np.mean(shares))
    assert one.spread_a == pytest.approx(np.std(shares, ddof=1))
    assert one.mcnemar is None


def test_any_row_may_be_the_baseline(place: Path) -> None:
    lines = compare([place / "a1"], [place / "b1"], baseline_row="translate_test")
    one = find(lines, "pt", "direct", "both", "sum_r")
    same = compare([place / "a1"], [place / "b1"])
    direct, translated = (find(same, "pt", row, "both", "sum_r") for row in ("direct", "translate_test"))
    assert (one.a, one.b) == (translated.a, direct.b)
    assert {x.pair.language for x in lines} == {"pt"}


def test_the_order_of_lines_in_the_files_changes_nothing(place: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    evaluate(FakeModel(1, 0.7), place / "corpus", EvaluationSettings(languages=["pt", "ar"]), out=moved)
    table = pq.read_table(moved / "queries.parquet")
    pq.write_table(table.take(np.random.default_rng(0).permutation(len(table))), moved / "queries.parquet")
    without_checksums(moved)
    there, here = compare([place / "a1"], [place / "b1"]), compare([place / "a1"], [moved])
    assert [(x.metric, x.difference, x.p) for x in here] == [(x.metric, x.difference, x.p) for x in there]


def test_reports_over_other_queries_are_refused_with_the_difference(place: Path, tmp_path: Path) -> None:
    evaluate(
        FakeModel(),
        place / "corpus",
        EvaluationSettings(languages=["pt"], match={"pt": ["*#pt#0"]}),
        out=tmp_path / "some",
    )
    with pytest.raises(
        UserError, match=r"different queries \(pt text_to_image\): 23 of 46 in .*a1 are not in"
    ):
        compare([place / "a1"], [tmp_path / "some"])
    with pytest.raises(UserError, match=r"first t00#pt#1, t01#pt#1, t02#pt#1"):
        compare([tmp_path / "some"], [place / "a1"])


def test_seeds_over_other_queries_are_refused(place: Path, tmp_path: Path) -> None:
    evaluate(
        FakeModel(),
        place / "corpus",
        EvaluationSettings(languages=["ar"], match={"ar": ["t0*"]}),
        out=tmp_path / "x",
    )
    with pytest.raises(UserError, match=r"different queries \(ar text_to_image\): 14 of 24"):
        compare([place / "b1"], [place / "a1", tmp_path / "x"])


def test_other_galleries_are_refused(place: Path, tmp_path: Path) -> None:
    larger = write_world(tmp_path / "corpus", test=30)
    edit_captions(larger, lambda rows: [r for r in rows if r["item_id"] < "t24" or r["item_id"] >= "v"])
    evaluate(FakeModel(), larger, EvaluationSettings(languages=["ar"]), out=tmp_path / "r")
    with pytest.raises(UserError, match=r"different galleries \(ar text_to_image\): 24 .* 30 in"):
        compare([place / "a1"], [tmp_path / "r"])


def test_reports_with_nothing_in_common_say_what_each_has(place: Path, tmp_path: Path) -> None:
    evaluate(FakeModel(), place / "corpus", EvaluationSettings(languages=["en"]), out=tmp_path / "en")
    with pytest.raises(UserError, match=r"in common: .* has ar direct, pt direct.*has en direct"):
        compare([place / "a1"], [tmp_path / "en"])


def test_a_folder_that_is_no_report_is_refused(place: Path) -> None:
    with pytest.raises(UserError, match="holds a dragoman-corpus, but a dragoman-report was expected"):
        compare([place / "a1"], [place / "corpus"])


def test_one_report_alone_is_refused(place: Path) -> None:
    with pytest.raises(UserError, match="nothing to be compared with"):
        compare([place / "a1"])


def test_an_unknown_baseline_row_lists_the_known(place: Path) -> None:
    with pytest.raises(UserError, match=r"No row 'best'\. Known: direct, translate_test, fused"):
        compare([place / "a1"], [place / "b1"], baseline_row="best")


def test_the_lines_mark_what_stands_after_correction(place: Path) -> None:
    lines = list(difference_lines(compare([place / "a1", place / "a2"], [place / "b1", place / "b2"])))
    line = next(x for x in lines if x.startswith("pt        both"))
    assert line.endswith("*")
    assert any("sum_r of the seeds: a" in x and "sample std" in x for x in lines)
    assert lines[0] == f"direct of b ({place}/b1,{place}/b2) against a ({place}/a1,{place}/a2)"


def test_sum_r_is_tested_on_what_each_image_adds_to_it(place: Path) -> None:
    gains: dict[str, float] = {}
    for name, sign in [("a1", -1), ("b1", 1)]:
        rows = pq.read_table(place / name / "queries.parquet").to_pylist()
        for way in ("text_to_image", "image_to_text"):
            lines = [x for x in rows if (x["language"], x["row"], x["direction"]) == ("pt", "direct", way)]
            for x in lines:
                hit = sum(x["rank"] <= cutoff for cutoff in (1, 5, 10))
                gains[x["item_id"]] = gains.get(x["item_id"], 0) + sign * 100 * hit / len(lines)
    expected = sign_flip(np.array([[gains[item]] for item in sorted(gains)]), seed=0)[0]
    assert find(compare([place / "a1"], [place / "b1"]), "pt", "direct", "both", "sum_r").p == expected


def rank_table(folder: Path, way: str) -> dict[tuple, list[float]]:
    """Ranks of each common instance in ar and pt."""
    ranks: dict[tuple, list[float]] = {}
    for x in pq.read_table(folder / "consistency.parquet").to_pylist():
        if (x["row"], x["direction"]) == ("direct", way):
            ranks.setdefault((x["item_id"], x["slot"]), []).append(x["rank"])
    return ranks


def test_consistency_is_compared_instance_by_instance_in_the_mean_over_seeds(place: Path) -> None:
    lines = compare([place / "a1", place / "a2"], [place / "b1", place / "b2"])
    expected: dict[str, list[float]] = {}
    for name in ("a1", "a2", "b1", "b2"):
        for way in ("text_to_image", "image_to_text"):
            ranks = rank_table(place / name, way)
            assert len(ranks) == 23
            expected.setdefault(way, []).append(np.mean([np.std(r) for r in ranks.values()]))
    for way, values in expected.items():
        one = find(lines, "ar+pt", "direct", way, "mrv_std")
        assert (one.seeds_a, one.seeds_b) == (pytest.approx(values[:2]), pytest.approx(values[2:]))
        assert one.difference == pytest.approx(np.mean(values[2:]) - np.mean(values[:2]))
        assert one.spread_a == pytest.approx(np.std(values[:2], ddof=1))
        assert one.mcnemar is None
    both = find(lines, "ar+pt", "direct", "both", "mrv_std")
    assert both.seeds_a == pytest.approx(np.mean(list(expected.values()), axis=0)[:2])
    assert both.interval[0] < both.difference < both.interval[1] < 0
    assert both.p_holm == both.p < 0.05


def test_the_interval_of_a_consistency_pairs_the_images_of_both_systems(place: Path) -> None:
    one = find(compare([place / "a1"], [place / "b1"], seed=4), "ar+pt", "direct", "text_to_image", "mrv_var")
    a, b = (rank_table(place / name, "text_to_image") for name in ("a1", "b1"))
    gains = np.array([np.var(b[key]) - np.var(a[key]) for key in sorted(a)])
    random = np.random.default_rng(4)
    means = [gains[random.integers(23, size=23)].mean() for _ in range(2000)]
    assert one.interval == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_consistency_over_other_images_is_left_out_and_said(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("x", "y"):
        evaluate(
            FakeModel(), place / "corpus", EvaluationSettings(languages=["en", "pt"]), out=tmp_path / name
        )
    table = pq.read_table(tmp_path / "y" / "consistency.parquet")
    keep = np.array([x != "t15" for x in table["item_id"].to_pylist()])
    pq.write_table(table.filter(keep), tmp_path / "y" / "consistency.parquet")
    without_checksums(tmp_path / "y")
    lines = compare([tmp_path / "x"], [tmp_path / "y"])
    assert {x.pair.language for x in lines} == {"en", "pt"}
    assert "No comparison of the consistency of en+pt, row direct" in caplog.text


def test_a_report_without_anything_in_common_is_compared_by_language(place: Path, tmp_path: Path) -> None:
    evaluate(FakeModel(), place / "corpus", EvaluationSettings(languages=["ar"]), out=tmp_path / "alone")
    lines = compare([place / "a1"], [tmp_path / "alone"])
    assert {(x.pair.language, x.metric) for x in lines} == {
        ("ar", name) for name in ("recall@1", "recall@5", "recall@10", "map", "sum_r")
    }


def test_the_lines_of_a_consistency_say_that_lower_is_better(place: Path) -> None:
    lines = list(difference_lines(compare([place / "a1", place / "a2"], [place / "b1", place / "b2"])))
    (line,) = [x for x in lines if x.startswith("ar+pt     both           mrv_std")]
    assert line.endswith("*")
    assert any("mrv_std of the seeds: a" in x for x in lines)
    assert lines[-1].endswith("rank the same picture; lower is better.")
    order = [x.split()[0] for x in lines[2:] if x.split()[0] in ("ar", "pt", "ar+pt")]
    assert list(dict.fromkeys(order[: order.index("ar+pt") + 1])) == ["ar", "pt", "ar+pt"]
