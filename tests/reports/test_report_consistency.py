"""Consistency in a report: on what languages have in common, joined by id, or the reason why not."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from reporting_world import FakeModel, edit_captions, vector, write_world

from dragoman.errors import UserError
from dragoman.evaluation import mean_rank_variance
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.consistency import find_common, joined_part, measure_consistency
from dragoman.reports.queries import QueryTexts
from dragoman.reports.settings import EvaluationSettings
from dragoman.reports.terminal import result_lines

WAYS = ("text_to_image", "image_to_text")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus")


@pytest.fixture(scope="module")
def out(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "report"
    evaluate(FakeModel(noise=1.4), corpus, EvaluationSettings(languages=["pt", "en", "ar"]), out=out)
    return out


@pytest.fixture(scope="module")
def report(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def oracle(corpus: Path, languages: list[str], slots: int, noise: float) -> dict[str, list[list[float]]]:
    """Ranks of the same instances by direction, one list an instance: the obvious way, without ties."""
    rows = pq.read_table(corpus / "captions.parquet").to_pylist()
    humans = [r for r in rows if r["role"] == "human" and r["item_id"].startswith("t")]
    texts: dict = {lang: {} for lang in languages}
    for r in sorted(humans, key=lambda r: r["caption_id"]):
        if r["lang"] in texts:
            texts[r["lang"]].setdefault(r["item_id"], []).append(r["text"])
    items = sorted(set.intersection(*(set(texts[lang]) for lang in languages)))
    model, ranks = FakeModel(noise=noise), {way: {} for way in WAYS}
    for lang in languages:
        own = [(item, slot) for item in items for slot in range(slots)]
        encoded = model.encode_text([texts[lang][item][slot] for item, slot in own]).astype(np.float64)
        scores = encoded @ np.array([vector(item) for item in items]).T
        for (item, slot), line in zip(own, scores, strict=True):
            rank = 1 + int((line > line[items.index(item)]).sum())
            ranks["text_to_image"].setdefault((item, slot), []).append(rank)
        for item, column in zip(items, scores.T, strict=True):
            best = max(s for (name, _), s in zip(own, column, strict=True) if name == item)
            rank = 1 + sum(s > best for (name, _), s in zip(own, column, strict=True) if name != item)
            ranks["image_to_text"].setdefault(item, []).append(rank)
    return {way: [ranks[way][one] for one in sorted(ranks[way])] for way in WAYS}


def table_of(out: Path) -> list[dict]:
    return pq.read_table(out / "consistency.parquet").to_pylist()


@pytest.mark.parametrize("way", WAYS)
def test_ranks_are_those_within_what_all_languages_have(corpus: Path, report: dict, way: str) -> None:
    block = report["consistency"]["direct"]
    assert block["languages"] == ["pt", "en", "ar"]
    ranks = oracle(corpus, block["languages"], slots=1, noise=1.4)[way]
    assert block[way]["instances"] == block[way]["gallery"] == len(ranks) == 23
    expected = mean_rank_variance(ranks)
    assert expected["mrv_std"] > 0.3
    assert {name: block[way][name] for name in expected} == pytest.approx(expected)
    assert block[way]["median_std"] == pytest.approx(np.median(np.std(ranks, axis=1)))
    clipped = mean_rank_variance(np.minimum(ranks, 11))
    assert block[way]["mrv_std_clipped"] == pytest.approx(clipped["mrv_std"])


@pytest.mark.parametrize("way", WAYS)
def test_several_captions_of_an_image_are_joined_by_their_place(
    corpus: Path, tmp_path: Path, way: str
) -> None:
    report = evaluate(
        FakeModel(noise=1.4), corpus, EvaluationSettings(languages=["pt", "en"]), out=tmp_path / "r"
    )
    ranks = oracle(corpus, ["pt", "en"], slots=2, noise=1.4)[way]
    block = report["consistency"]["direct"][way]
    assert (block["instances"], block["gallery"]) == {
        "text_to_image": (46, 23),
        "image_to_text": (23, 46),
    }[way]
    assert block["mrv_std"] == pytest.approx(mean_rank_variance(ranks)["mrv_std"])


def test_both_directions_meet_in_their_mean(report: dict) -> None:
    block = report["consistency"]["direct"]
    names = set(block["mean"]) - {"intervals"}
    assert {"mrv_std", "mrv_var", "overlap@10", "median_std"} <= names
    for name in names:
        assert block["mean"][name] == pytest.approx((block[WAYS[0]][name] + block[WAYS[1]][name]) / 2)


def test_a_missing_caption_takes_one_instance_and_one_gallery_entry_from_all(tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")
    edit_captions(tmp_path / "corpus", lambda rows: [r for r in rows if r["caption_id"] != "t07#ar#0"])
    report = evaluate(
        FakeModel(), tmp_path / "corpus", EvaluationSettings(languages=["pt", "en", "ar"]), out=tmp_path / "r"
    )
    for way in WAYS:
        block = report["consistency"]["direct"][way]
        assert (block["instances"], block["gallery"]) == (22, 22)
    lines = table_of(tmp_path / "r")
    sizes = {}
    for line in lines:
        key = line["language"], line["row"], line["direction"]
        sizes[key] = sizes.get(key, 0) + 1
        assert line["gallery"] == 22
        assert line["item_id"] != "t07"
        assert "t07" not in line["top_ids"]
    assert set(sizes.values()) == {22}
    assert {key[0] for key in sizes} == {"pt", "en", "ar"}
    # The figures of each language by itself still rest on all that it has.
    assert report["languages"]["en"]["queries"]["text_to_image"] == 48


def test_the_report_counts_what_is_common_and_what_is_left_out(report: dict) -> None:
    assert report["common"] == {
        "languages": ["pt", "en", "ar"],
        "undefined": None,
        "items": 23,
        "captions": 23,
        "left_out": {
            "pt": {"items": 0, "captions": 23},
            "en": {"items": 1, "captions": 25},
            "ar": {"items": 1, "captions": 1},
        },
        "captions_aligned_by": "position",
        "captions_translate_each_other": "unknown",
    }


def test_recalls_are_measured_on_the_common_captions_too(corpus: Path, report: dict) -> None:
    block = report["consistency"]["direct"]
    ranks = {way: np.array(oracle(corpus, block["languages"], 1, 1.4)[way]) for way in WAYS}
    sums = {}
    for k, lang in enumerate(block["languages"]):
        found = block["recalls"][lang]
        for way in WAYS:
            for cutoff in (1, 5, 10):
                expected = 100 * (ranks[way][:, k] <= cutoff).mean()
                assert found[way][f"recall@{cutoff}"] == pytest.approx(expected)
        sums[lang] = found["sum_r"]
        assert found["mean_recall"] == pytest.approx(found["sum_r"] / 6)
    spread = block["spread"]
    assert spread["sum_r"]["min_language"] == min(sums, key=sums.get)
    assert spread["sum_r"]["range"] == pytest.approx(max(sums.values()) - min(sums.values()))
    assert spread["mean_recall"]["std"] == pytest.approx(np.std([one / 6 for one in sums.values()]))
    assert spread["mean_recall"]["mean_without_source"] == pytest.approx((sums["pt"] + sums["ar"]) / 12)
    there = [np.mean([100 * (ranks[WAYS[0]][:, k] <= c).mean() for c in (1, 5, 10)]) for k in range(3)]
    assert spread["text_to_image"]["mean_recall"]["min"] == pytest.approx(min(there))
    assert spread["text_to_image"]["recall@1"]["max"] == 100 * (ranks[WAYS[0]] == 1).mean(axis=0).max()


@pytest.mark.parametrize("way", WAYS)
def test_overlap_counts_the_images_that_both_list(out: Path, report: dict, way: str) -> None:
    tops: dict = {}
    for line in table_of(out):
        if (line["row"], line["direction"]) == ("direct", way):
            tops.setdefault((line["item_id"], line["slot"]), []).append(line["top_ids"])
    assert all(len(set(top)) == 10 for some in tops.values() for top in some)
    for k in (1, 10):
        pairs = [(set(a[:k]), set(b[:k])) for some in tops.values() for a, b in combinations(some, 2)]
        block = report["consistency"]["direct"][way]
        assert block[f"overlap@{k}"] == pytest.approx(np.mean([len(a & b) / k for a, b in pairs]))
        assert block[f"jaccard@{k}"] == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in pairs]))
        assert block["chance"][f"overlap@{k}"] == k / 23


def test_an_image_lists_each_image_once_by_its_best_caption(corpus: Path, tmp_path: Path) -> None:
    evaluate(FakeModel(noise=1.4), corpus, EvaluationSettings(languages=["pt", "en"]), out=tmp_path / "r")
    line = next(
        x for x in table_of(tmp_path / "r") if (x["qid"], x["language"], x["row"]) == ("t03", "en", "direct")
    )
    rows = pq.read_table(corpus / "captions.parquet").to_pylist()
    scores: dict[str, float] = {}
    for r in rows:
        if r["lang"] == "en" and r["role"] == "human" and "t00" <= r["item_id"] < "t23":
            score = float(FakeModel(noise=1.4).encode_text([r["text"]])[0] @ vector("t03"))
            scores[r["item_id"]] = max(score, scores.get(r["item_id"], -2))
    assert line["top_ids"] == sorted(scores, key=lambda item: -scores[item])[:10]


def test_equal_scores_are_listed_by_ascending_image_in_every_language(tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")
    same = {"pt": "0.5 t00 igual", "en": "0.5 t05 same"}

    def tie(rows: list[dict]) -> list[dict]:
        # The ids of captions run against those of the images, and differ between the languages.
        return [
            r | {"text": same[r["lang"]], "caption_id": f"{99 - int(r['item_id'][1:])}{r['caption_id']}"}
            if r["role"] == "human" and r["lang"] in same and r["item_id"].startswith("t")
            else r
            for r in rows
            if r["role"] == "human"
        ]

    edit_captions(tmp_path / "corpus", tie)
    report = evaluate(
        FakeModel(), tmp_path / "corpus", EvaluationSettings(languages=["pt", "en"]), out=tmp_path / "r"
    )
    backwards = [x["top_ids"] for x in table_of(tmp_path / "r") if x["direction"] == "image_to_text"]
    assert {tuple(top) for top in backwards} == {tuple(f"t{i:02d}" for i in range(10))}
    block = report["consistency"]["direct"]["image_to_text"]
    assert (block["overlap@10"], block["mrv_std"]) == (1, 0)


def test_every_figure_holds_its_interval_and_has_one(report: dict) -> None:
    block = report["consistency"]["direct"]
    for way in (*WAYS, "mean"):
        figures = {k for k in block[way] if k not in ("intervals", "instances", "gallery", "chance")}
        assert set(block[way]["intervals"]) == figures
        for name in figures:
            low, high = block[way]["intervals"][name]
            assert low <= block[way][name] <= high
        low, high = block[way]["intervals"]["mrv_std"]
        assert low < high


def test_the_interval_resamples_images_with_all_their_captions(corpus: Path, tmp_path: Path) -> None:
    report = evaluate(
        FakeModel(noise=1.4), corpus, EvaluationSettings(languages=["pt", "en"], seed=3), out=tmp_path / "r"
    )
    ranks = oracle(corpus, ["pt", "en"], slots=2, noise=1.4)["text_to_image"]
    by_image = np.std(ranks, axis=1).reshape(23, 2).mean(axis=1)
    random = np.random.default_rng(3)
    means = [by_image[random.integers(23, size=23)].mean() for _ in range(2000)]
    found = report["consistency"]["direct"]["text_to_image"]["intervals"]["mrv_std"]
    assert found == pytest.approx(list(np.percentile(means, [2.5, 97.5])))


def test_all_of_it_comes_from_the_file_alone_in_any_order_of_lines(out: Path, report: dict) -> None:
    table = pq.read_table(out / "consistency.parquet")
    texts = [
        QueryTexts(
            language=lang, ids=["c"], items=["i"], slots=[0], texts=["x"], translations=None,
            engine=None, dropped=0,
        )
        for lang in ("pt", "en", "ar")
    ]  # fmt: skip
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    found = measure_consistency(
        shuffled, find_common(texts, "position", 0), report["consistency"], source="en", seed=0
    )
    assert json.loads(json.dumps(found)) == report["consistency"]


def test_the_order_of_captions_and_languages_changes_nothing(report: dict, tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")
    random = np.random.default_rng(0)
    edit_captions(tmp_path / "corpus", lambda rows: [rows[i] for i in random.permutation(len(rows))])
    languages = ["ar", "pt", "en"]
    moved = evaluate(
        FakeModel(noise=1.4), tmp_path / "corpus", EvaluationSettings(languages=languages), out=tmp_path / "r"
    )
    for way in (*WAYS, "mean"):
        there, here = report["consistency"]["direct"][way], moved["consistency"]["direct"][way]
        assert here["mrv_std"] == pytest.approx(there["mrv_std"])
        assert here["overlap@10"] == pytest.approx(there["overlap@10"])
    there, here = (one["consistency"]["direct"]["spread"]["sum_r"] for one in (report, moved))
    assert here.pop("min_language") == there["min_language"]
    assert here == pytest.approx({name: there[name] for name in here})


def test_rows_are_kept_apart_and_a_row_of_one_language_says_so(report: dict) -> None:
    assert list(report["consistency"]) == ["direct", "translate_test", "fused"]
    assert report["consistency"]["translate_test"] == {"undefined": "only pt has the row translate_test"}
    assert report["consistency"]["fused"] == {"undefined": "only pt has the row fused"}


def test_two_translated_languages_have_all_rows(tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")

    def galician(rows: list[dict]) -> list[dict]:
        twins = [
            {
                name: value.replace("pt", "gl") if isinstance(value, str) else value
                for name, value in r.items()
            }
            for r in rows
            if "#pt" in r["caption_id"] or "#back" in r["caption_id"]
        ]
        return rows + [r | {"caption_id": "gl-" + r["caption_id"]} if "#back" in r["caption_id"] else r
                       for r in twins]  # fmt: skip

    edit_captions(tmp_path / "corpus", galician)
    languages = ["pt", "gl", "en"]
    report = evaluate(
        FakeModel(noise=1.4), tmp_path / "corpus", EvaluationSettings(languages=languages), out=tmp_path / "r"
    )
    blocks = report["consistency"]
    assert blocks["direct"]["languages"] == ["pt", "gl", "en"]
    assert blocks["translate_test"]["languages"] == blocks["fused"]["languages"] == ["pt", "gl"]
    # Both are translated into the very same English sentences.
    assert blocks["translate_test"]["text_to_image"]["mrv_std"] == 0
    apart = blocks["direct"]["without_source"]
    ranks = {
        lang: {(x["item_id"], x["slot"]): x["rank"] for x in table_of(tmp_path / "r")
               if (x["language"], x["row"], x["direction"]) == (lang, "direct", "text_to_image")}
        for lang in ("pt", "gl")
    }  # fmt: skip
    expected = np.mean([abs(rank - ranks["gl"][key]) / 2 for key, rank in ranks["pt"].items()])
    assert (apart["languages"], apart["text_to_image"]["mrv_std"]) == (["pt", "gl"], pytest.approx(expected))
    assert expected > 0
    assert blocks["fused"]["without_source"] is None
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"</i>([a-z ]+)<small>([a-z, ]+)</small></th>", page) == [
        ("direct", "pt, gl, en"),
        ("direct", "pt, gl"),
        ("translated query", "pt, gl"),
        ("both fused", "pt, gl"),
    ]
    assert blocks["fused"]["text_to_image"]["instances"] == blocks["direct"]["text_to_image"]["instances"]


def test_the_languages_that_take_part_can_be_chosen(corpus: Path, report: dict, tmp_path: Path) -> None:
    chosen = evaluate(
        FakeModel(noise=1.4),
        corpus,
        EvaluationSettings(languages=["pt", "en", "ar"], consistency=["en", "ar"]),
        out=tmp_path / "r",
    )
    assert chosen["consistency"]["direct"]["languages"] == ["en", "ar"]
    assert chosen["consistency"]["direct"]["text_to_image"]["instances"] == 24
    assert chosen["settings"]["consistency"] == ["en", "ar"]
    assert chosen["results"] == report["results"]
    reason = "none of the compared languages has the row fused"
    assert chosen["consistency"]["fused"] == {"undefined": reason}
    with pytest.raises(UserError, match=r"consistency names gl, which is not evaluated\. Evaluated: pt, en"):
        evaluate(
            FakeModel(),
            corpus,
            EvaluationSettings(languages=["pt", "en"], consistency=["en", "gl"]),
            out=tmp_path / "x",
        )
    with pytest.raises(UserError, match=r"consistency must name each language once, got \['pt', 'pt'\]"):
        evaluate(
            FakeModel(),
            corpus,
            EvaluationSettings(languages=["pt", "en"], consistency=["pt", "pt"]),
            out=tmp_path / "x",
        )


def test_one_language_has_no_consistency_and_the_report_says_why(corpus: Path, tmp_path: Path) -> None:
    report = evaluate(FakeModel(), corpus, EvaluationSettings(languages=["ar"]), out=tmp_path / "r")
    reason = "ar is the only language; ranks of two or more can be compared"
    assert report["common"]["undefined"] == reason
    assert report["consistency"] == {"direct": {"undefined": reason}}
    assert not (tmp_path / "r" / "consistency.parquet").exists()
    assert f"no consistency: {reason}" in list(result_lines(report))


def test_languages_without_a_common_image_say_how_many_each_has(tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")
    even = {f"t{i:02d}" for i in range(0, 24, 2)}

    def apart(rows: list[dict]) -> list[dict]:
        return [r for r in rows if r["item_id"] >= "v" or (r["item_id"] in even) == (r["lang"] == "ar")]

    edit_captions(tmp_path / "corpus", apart)
    report = evaluate(
        FakeModel(), tmp_path / "corpus", EvaluationSettings(languages=["pt", "ar"]), out=tmp_path / "r"
    )
    reason = "pt, ar have no image in common (captioned images: pt 11, ar 12); choose with --consistency"
    assert report["consistency"]["direct"] == {"undefined": reason}


def test_match_comes_before_the_places_of_captions(corpus: Path, tmp_path: Path) -> None:
    evaluate(
        FakeModel(),
        corpus,
        EvaluationSettings(languages=["pt", "en"], match={"en": ["*#en#1"]}),
        out=tmp_path / "r",
    )
    asked = {x["qid"]: x["slot"] for x in table_of(tmp_path / "r") if x["direction"] == "text_to_image"}
    assert {qid: slot for qid, slot in asked.items() if qid.startswith("t00")} == {
        "t00#pt#0": 0,
        "t00#en#1": 0,
    }


def test_captions_can_be_drawn_where_their_order_means_something(corpus: Path, tmp_path: Path) -> None:
    drawn = []
    for seed in (0, 0, 1):
        report = evaluate(
            FakeModel(),
            corpus,
            EvaluationSettings(languages=["en", "ar"], slots="drawn", seed=seed),
            out=tmp_path / "r",
        )
        assert report["common"]["captions_aligned_by"] == "drawn"
        lines = [x for x in table_of(tmp_path / "r") if x["direction"] == "text_to_image"]
        assert {x["slot"] for x in lines} == {0}
        assert len({x["item_id"] for x in lines if x["language"] == "en"}) == 24
        drawn.append([x["qid"][-1] for x in lines if x["language"] == "en"])
        assert 6 <= drawn[-1].count("0") <= 18
        assert "in an order drawn at random" in "".join(result_lines(report))
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(UserError, match="slots is 'length'; known: position, drawn"):
        evaluate(
            FakeModel(),
            corpus,
            EvaluationSettings(languages=["en", "ar"], slots="length"),
            out=tmp_path / "r",
        )


def test_all_captions_stay_in_a_draw_where_languages_have_equally_many(corpus: Path, tmp_path: Path) -> None:
    evaluate(
        FakeModel(), corpus, EvaluationSettings(languages=["en", "pt"], slots="drawn"), out=tmp_path / "r"
    )
    lines = [x for x in table_of(tmp_path / "r") if (x["direction"], x["row"]) == ("text_to_image", "direct")]
    expected = {f"t{i:02d}#{lang}#{k}" for i in range(23) for lang in ("en", "pt") for k in (0, 1)}
    assert {x["qid"] for x in lines} == expected
    assert len({(x["item_id"], x["slot"], x["language"]) for x in lines}) == len(lines) == len(expected)


def test_the_terminal_shows_consistency_with_recall_beside_it(report: dict) -> None:
    lines = list(result_lines(report))
    block = report["consistency"]["direct"]
    (line,) = [
        one for one in lines if one.startswith("consistency of direct over pt, en, ar: text to image ")
    ]
    for name in ("mrv_std", "mrv_std_clipped", "mrv_std_log"):
        low, high = block["text_to_image"]["intervals"][name]
        assert f"{name} {block['text_to_image'][name]:.2f} ({low:.2f} to {high:.2f})" in line
    assert f"mean recall {block['spread']['mean_recall']['mean']:.1f}, lowest" in line
    assert "no consistency of fused: only pt has the row fused" in lines
    (basis,) = [
        one for one in lines if one.startswith("consistency is that on the 23 images and 23 captions")
    ]
    assert "left out: pt 0 images and 23 captions; en 1 images" not in basis
    assert "pt 0 images and 23 captions, en 1 images and 25 captions" in basis
    assert any("whether they translate one another is not known" in one for one in lines)


def test_the_definitions_name_what_is_reported(report: dict) -> None:
    assert {"mrv_std", "mrv_var", "median_std", "overlap@K, jaccard@K"} <= set(report["definitions"])


def test_joined_parts_never_trust_the_order_of_lines(out: Path) -> None:
    table = pq.read_table(out / "consistency.parquet")
    there = joined_part(table, ["pt", "ar"], "direct", "text_to_image")
    here = joined_part(table.take(np.arange(len(table))[::-1]), ["pt", "ar"], "direct", "text_to_image")
    assert there.ids == here.ids == sorted(there.ids)
    assert there.ranks.tolist() == here.ranks.tolist()
