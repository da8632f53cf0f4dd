"""Paired comparison of reports: values by hand, joined by query id, refused over different queries."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reporting_world import FakeModel, edit_captions, write_world

from checksums import without_checksums
from dragoman.errors import UserError
from dragoman.evaluation import hierarchical_interval
from dragoman.evaluation.significance import holm, mcnemar, sign_flip
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.compare import Difference, compare, compare_mean
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
    # Two seeds leave nearly everything open.
    assert not line.endswith("*")
    assert any("sum_r of the seeds: a" in x and "sample std" in x for x in lines)
    assert lines[0] == f"direct of b ({place}/b1,{place}/b2) against a ({place}/a1,{place}/a2)"
    assert lines[1] == "intervals and p over images and seeds (2 and 2, the same of both, paired)"
    alone = list(difference_lines(compare([place / "a1"], [place / "b1", place / "b2"])))
    assert alone[1].startswith("intervals and p over images alone: 1 and 2 reports; ")
    assert next(x for x in alone if x.startswith("pt        both")).endswith("*")
    assert any("No primary figure was named" in x for x in lines)


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
    assert both.interval[0] < both.difference < both.interval[1]
    assert both.p_holm == both.p


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
    (line,) = [x for x in lines if x.startswith("ar+pt     both           mrv_std ")]
    assert "+" not in line.split("ar+pt")[1].split()[4]
    assert any("mrv_std of the seeds: a" in x for x in lines)
    assert "rank the same picture; lower is better, at equal recall" in lines[-1]
    order = [x.split()[0] for x in lines[3:] if x.split()[0] in ("ar", "pt", "ar+pt")]
    assert list(dict.fromkeys(order[: order.index("ar+pt") + 1])) == ["ar", "pt", "ar+pt"]


def values(folder: Path, language: str, cutoff: int) -> tuple[list[str], list[float]]:
    """Items and hits in percent of all captions, in the order of their ids."""
    rows = pq.read_table(folder / "queries.parquet").to_pylist()
    chosen = [
        r for r in rows
        if (r["language"], r["row"], r["direction"]) == (language, "direct", "text_to_image")
    ]  # fmt: skip
    chosen.sort(key=lambda r: r["qid"])
    return [r["item_id"] for r in chosen], [100.0 * (r["rank"] <= cutoff) for r in chosen]


def of_seeds(place: Path, *names: str) -> list[list[float]]:
    return [values(place / name, "pt", 5)[1] for name in names]


def test_equal_seeds_are_paired_in_whatever_order_they_are_given(place: Path) -> None:
    items = values(place / "a1", "pt", 5)[0]
    expected = hierarchical_interval(of_seeds(place, "b1", "b2"), items, of_seeds(place, "a1", "a2"))
    for b in (["b1", "b2"], ["b2", "b1"]):
        lines = compare([place / "a1", place / "a2"], [place / name for name in b])
        one = find(lines, "pt", "direct", "text_to_image", "recall@5")
        assert (one.over, one.paired) == ("images and seeds", True)
        assert one.interval == pytest.approx(expected.interval)
        assert one.p == expected.p
        assert one.seeds_b == pytest.approx([np.mean(of_seeds(place, name)) for name in b])


@pytest.fixture(scope="module")
def others(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of seeds 3 and 4, of a model without a seed, and some that name a primary figure."""
    others = tmp_path_factory.mktemp("others")
    settings = EvaluationSettings(languages=["pt", "ar"])
    for name, seed, noise in [("c3", 3, 0.7), ("c4", 4, 0.7)]:
        evaluate(FakeModel(seed, noise), place / "corpus", settings, out=others / name)
    fixed = FakeModel(9, 0.9)
    encode = fixed.encode_text
    fixed.encode_text = lambda texts: encode_as(fixed, encode, texts)  # type: ignore[method-assign]
    fixed.config["seed"] = None
    evaluate(fixed, place / "corpus", settings, out=others / "fixed")
    for name, seed, noise in [("n1", 1, 1.0), ("n2", 2, 0.7)]:
        named = EvaluationSettings(languages=["pt", "ar"], primary="pt,ar:sum_r")
        evaluate(FakeModel(seed, noise), place / "corpus", named, out=others / name)
    return others


def encode_as(model: FakeModel, encode, texts: list[str]) -> np.ndarray:
    """Encode as seed 9 does, whatever seed the configuration tells."""
    told = model.config["seed"]
    model.config["seed"] = 9
    try:
        return encode(texts)
    finally:
        model.config["seed"] = told


def test_other_seeds_vary_independently(place: Path, others: Path) -> None:
    items = values(place / "a1", "pt", 5)[0]
    c = [values(others / name, "pt", 5)[1] for name in ("c3", "c4")]
    expected = hierarchical_interval(c, items, of_seeds(place, "a1", "a2"), paired=False)
    lines = compare([place / "a1", place / "a2"], [others / "c3", others / "c4"])
    one = find(lines, "pt", "direct", "text_to_image", "recall@5")
    assert (one.over, one.paired) == ("images and seeds", False)
    assert one.interval == pytest.approx(expected.interval)


def test_a_model_without_a_seed_has_no_other_seeds(place: Path, others: Path) -> None:
    items = values(place / "a1", "pt", 5)[0]
    fixed = values(others / "fixed", "pt", 5)[1]
    lines = compare([others / "fixed"], [place / "b1", place / "b2"])
    one = find(lines, "pt", "direct", "text_to_image", "recall@5")
    # The same fixed values beside each seed: nothing of them varies with the seed.
    expected = hierarchical_interval(of_seeds(place, "b1", "b2"), items, [fixed, fixed])
    assert (one.over, one.paired) == ("images and seeds", False)
    assert one.interval == pytest.approx(expected.interval, abs=0.5)
    alone = compare([others / "fixed"], [others / "fixed"])
    assert {one.over for one in alone} == {"images"}


def test_the_primary_figure_comes_first_and_uncorrected(place: Path) -> None:
    a, b = [place / "a1", place / "a2"], [place / "b1", place / "b2"]
    first, *rest = compare(a, b, primary="pt:sum_r")
    assert (first.primary, first.pair.language, first.metric, first.p_holm) == (
        "here",
        "pt",
        "sum_r",
        first.p,
    )
    plain = compare(a, b)
    same = find(plain, "pt", "direct", "both", "sum_r")
    assert (first.difference, first.interval, first.p) == (same.difference, same.interval, same.p)
    # It is not among the others, which are adjusted without it.
    assert len(rest) == len(plain) - 1
    assert not any(one.primary for one in rest)
    other = find(rest, "ar", "direct", "both", "sum_r")
    assert other.p_holm == other.p
    lines = list(difference_lines([first, *rest]))
    assert lines[0] == "Primary figure: sum_r of pt, both directions, named with this comparison"
    assert f"{first.difference:+.2f}, 95 % interval {first.interval[0]:+.2f} to" in lines[2]
    assert not any("No primary figure" in line for line in lines)


def test_the_mean_over_languages_moves_all_their_images_together(place: Path) -> None:
    first = compare([place / "a1"], [place / "b1"], primary="pt,ar:sum_r")[0]
    plain = compare([place / "a1"], [place / "b1"])
    parts = [find(plain, language, "direct", "both", "sum_r") for language in ("pt", "ar")]
    assert first.pair.language == "pt,ar"
    assert first.difference == pytest.approx(np.mean([one.difference for one in parts]))
    assert first.a == pytest.approx(np.mean([one.a for one in parts]))
    gains: dict[str, float] = {}
    shares: list[dict[str, list[float]]] = []
    for language in ("pt", "ar"):
        for way in ("text_to_image", "image_to_text"):
            by_item: dict[str, list[float]] = {}
            for name, sign in [("a1", -1), ("b1", 1)]:
                rows = pq.read_table(place / name / "queries.parquet").to_pylist()
                asked = (language, "direct", way)
                for x in rows:
                    if (x["language"], x["row"], x["direction"]) == asked:
                        hit = 100 * sum(x["rank"] <= cutoff for cutoff in (1, 5, 10))
                        by_item.setdefault(x["item_id"], []).append(sign * hit)
            total = sum(map(len, by_item.values())) / 2
            for item, some in by_item.items():
                gains[item] = gains.get(item, 0) + sum(some) / total / 2
            shares.append(by_item)
    items = sorted(gains)
    assert first.p == sign_flip(np.array([[gains[item]] for item in items]), seed=0)[0]
    random, drawn = np.random.default_rng(0), []
    for _ in range(2000):
        chosen = [items[i] for i in random.integers(len(items), size=len(items))]
        figure = 0.0
        for by_item in shares:
            some = [x for item in chosen for x in by_item.get(item, [])]
            figure += sum(some) / (len(some) / 2) / 2
        drawn.append(figure)
    assert first.interval == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_the_mean_over_kinds_of_captions_is_that_over_languages(place: Path, others: Path) -> None:
    a, b = [place / "a1", place / "a2"], [place / "b1", place / "b2"]
    same = compare_mean([(a, b)], "pt")
    plain = find(compare(a, b), "pt", "direct", "both", "sum_r")
    assert (same.difference, same.interval, same.p) == (plain.difference, plain.interval, plain.p)
    # The same captions twice are no more certain than once.
    twice = compare_mean([(a, b), (a, b)], "pt")
    assert (twice.difference, twice.p) == (pytest.approx(plain.difference), plain.p)
    assert twice.interval == pytest.approx(plain.interval)
    # Portuguese named Arabic in other reports: the mean of both is that over the languages.
    over = compare(a, b, primary="pt,ar:sum_r")[0]
    kinds = [tuple([renamed(one, language) for one in some] for some in (a, b)) for language in ("pt", "ar")]
    found = compare_mean(kinds, "xx")  # type: ignore[arg-type]
    assert found.difference == pytest.approx(over.difference)
    assert found.interval == pytest.approx(over.interval)
    assert (found.p, found.over, found.paired) == (over.p, "images and seeds", True)
    with pytest.raises(UserError, match="are of different seeds"):
        compare_mean([(a, b), ([others / "c3", others / "c4"], b)], "pt")


def renamed(report: Path, language: str) -> Path:
    """The report, its queries of this language being in "xx" and the others left out."""
    copy = report.with_name(f"{report.name}-{language}")
    shutil.copytree(report, copy)
    table = pq.read_table(copy / "queries.parquet").to_pylist()
    rows = [row | {"language": "xx"} for row in table if row["language"] == language]
    schema = pq.read_schema(copy / "queries.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), copy / "queries.parquet")
    without_checksums(copy)
    return copy


def test_a_recorded_primary_figure_needs_no_naming_and_gives_way_to_none(place: Path, others: Path) -> None:
    first = compare([others / "n1"], [place / "b1"])[0]
    assert (first.primary, first.pair.language) == ("recorded", "pt,ar")
    line = next(iter(difference_lines([first])))
    assert line.endswith("sum_r of pt,ar, mean over the languages, recorded when the reports were made")
    assert compare([others / "n1"], [place / "b1"], primary="pt,ar:sum_r")[0].primary == "recorded"
    with pytest.raises(UserError, match=r"recorded pt,ar:sum_r as the primary .* pt:sum_r cannot take its"):
        compare([others / "n1"], [place / "b1"], primary="pt:sum_r")


def test_the_primary_figure_of_several_systems_is_adjusted_over_them(place: Path) -> None:
    lines = compare([place / "a1"], [place / "a2"], [place / "b1"], primary="pt,ar:mrv_std_log")
    firsts = [one for one in lines if one.primary]
    assert [one.pair.b for one in firsts] == [str(place / "a2"), str(place / "b1")]
    assert [one.p_holm for one in firsts] == pytest.approx(holm([one.p for one in firsts]))
    assert {one.pair.language for one in firsts} == {"ar+pt"}
    ranks = [list(rank_table(place / "b1", way).values()) for way in ("text_to_image", "image_to_text")]
    stds = [np.std(np.log(one), axis=1).mean() for one in ranks]
    assert firsts[1].b == pytest.approx(np.mean(stds))


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        ("pt:sum", "expected languages, each once, and a metric: sum_r, or of two languages or more mrv_std"),
        ("pt:mrv_std", "two languages or more"),
        ("sum_r", "expected languages"),
        ("pt,pt:sum_r", "each once"),
        ("gl:sum_r", "has no row direct of gl; it has ar direct, pt direct"),
    ],
)
def test_a_primary_figure_that_is_none_is_refused(place: Path, primary: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare([place / "a1"], [place / "b1"], primary=primary)


def test_a_primary_figure_of_languages_that_are_not_evaluated_is_refused() -> None:
    with pytest.raises(UserError, match="primary names gl, which is not evaluated"):
        EvaluationSettings(languages=["pt"], primary="pt,gl:sum_r")
    assert EvaluationSettings(languages=["pt_BR"], primary="pt_BR:sum_r").primary == "pt-BR:sum_r"
