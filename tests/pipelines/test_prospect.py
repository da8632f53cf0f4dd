"""Prospects of languages: closeness and agreement by hand, the fit against its points, and what is told."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from dragoman.cli import dragoman
from dragoman.errors import UserError
from dragoman.models.sentences import TextSide
from dragoman.pipelines import prospect
from dragoman.pipelines.prospect import (
    MOST,
    Checker,
    CheckOptions,
    Share,
    agreement,
    check_languages,
    closeness,
    expectations,
    expected_share,
    judged,
    read_texts,
)
from dragoman.translation.engine import Rejected

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "languages"
ENGLISH = ["dog", "cat", "man", "boat", "snow", "tree", "car", "sea", "sun", "wall"]
BACKWARDS = {word[::-1]: word for word in ENGLISH}


class Side(TextSide):
    """An encoder that knows the English words, each an axis, and of others the first letter alone."""

    width = 20

    def pieces(self, texts: Sequence[str]) -> list[list[str]]:
        return [[text] if text in ENGLISH else ["", text[1:]] for text in texts]

    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        rows = [ENGLISH.index(text) if text in ENGLISH else 10 + len(text) % 10 for text in given]
        return np.eye(self.width, dtype=np.float32)[rows]


class Engine:
    """Turns words round; of all but the engine `good` some are rejected."""

    def __init__(self, spec: str) -> None:
        self.spec = spec

    def translate(self, lines: Sequence[str], timeout: float) -> list[Any]:
        turned = [line[::-1] for line in lines]
        return turned if "good" in self.spec else [*turned[:5], *[Rejected("no word of it")] * 5]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], list[str]]:
    """Engines of this computer by language pairs, to be filled."""
    there: dict[tuple[str, str], list[str]] = {}
    monkeypatch.setattr(prospect, "offers", lambda source, target: there.get((source, target), []))
    monkeypatch.setattr(prospect, "open_engine", lambda spec, source, target: Engine(spec))
    monkeypatch.setattr(
        prospect,
        "packages",
        lambda source, target: {"gl": ["apertium apertium-en-gl"], "ga": ["dict-freedict-eng-gle"]}.get(
            target, []
        ),
    )
    return there


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Ten English words, and the same turned round for Portuguese."""
    path = tmp_path / "texts.tsv"
    path.write_text("en\tpt\n" + "".join(f"{word}\t{word[::-1]}\n" for word in ENGLISH))
    return path


def checked(lang: str, texts: Path, **options: Any) -> prospect.Prospect:
    return Checker(CheckOptions(texts=texts, **options), Side()).check(lang)


def test_closeness_is_the_mean_cosine_seen_from_the_mean_of_the_source() -> None:
    source = np.array([[2.0, 0.0], [0.0, 3.0]])
    # From (.5, .5), the source lies at (.5, -.5) and (-.5, .5), the second other at (0, -.5) once it is unit.
    other = np.array([[1.0, 0.0], [0.5, 0.0]])
    assert closeness(source, other) == pytest.approx((1 + -1) / 2)
    other = np.array([[0.8, 0.6], [0.0, 5.0]])
    first = (0.3 * 0.5 - 0.1 * 0.5) / (math.hypot(0.3, 0.1) * math.hypot(0.5, 0.5))
    assert closeness(source, other) == pytest.approx((first + 1) / 2)
    assert closeness(source, source) == pytest.approx(1)


def test_agreement_is_the_mean_of_both_directions_and_equals_find_nothing() -> None:
    source = np.eye(3)
    assert agreement(source, source) == 1
    # To the source: first and second find theirs, the third has the second before it. Back: of the second
    # column both the second and the third are equally near.
    other = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert agreement(source, other) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert agreement(source, np.ones((3, 3))) == 0


def test_shares_lie_on_the_line_and_within_0_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("INTERCEPT", 0.1),
        ("SLOPE", 0.8),
        ("RESIDUAL", 0.2),
        ("WORDS", 0.5),
        ("WORDS", 0.5),
    ):
        monkeypatch.setattr(prospect, name, value)
    assert expected_share(0.5) == pytest.approx((0.3, 0.5, 0.7))
    assert expected_share(0.5, "apertium:x") == pytest.approx((0.3, 0.5, 0.7))
    assert expected_share(1.0) == pytest.approx((0.7, 0.9, 1.0))
    assert expected_share(0.75, "dictionary:x") == pytest.approx((0.25, 0.35, 0.9))
    assert [judged(Share(0, middle, 1)) for middle in (0.5, 0.49, 0.2, 0.19)] == [
        "go",
        "weak",
        "weak",
        "no-go",
    ]


def test_the_sample_of_its_own_is_whole() -> None:
    sample = read_texts(prospect.SAMPLE)
    assert {len(column) for column in sample.values()} == {30}
    assert all(text for column in sample.values() for text in column)
    assert all(len(set(column)) == 30 for column in sample.values())
    assert {"en", "pt", "sw", "cs", "hi"} <= sample.keys()


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.tsv"
    for content, said in (
        ("en\tthe second\n", "line 1: name each column by its language"),
        ("en\tpt\n" + "a\tb\n" * 9, "fewer than 10 captions"),
        ("en\tpt\n" + "a\n" * 10, "line 2"),
        ("pt\tpor\n" + "a\tb\n" * 10, "two columns are of the language 'pt'"),
        ("", "fewer than 10 captions"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=said):
            read_texts(path)
    path.write_text("pt\n" + "a\n" * 10)
    with pytest.raises(UserError, match="no 10 captions in English"):
        Checker(CheckOptions(texts=path), Side())


def test_whatever_bytes_a_table_holds_it_is_read_or_refused(tmp_path: Path) -> None:
    draws, path = random.Random(3), tmp_path / "texts.tsv"
    whole = ("en\tpt\n" + "a dog\tum c\u00e3o\n" * 12).encode()
    read = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draws.randrange(4)):
            data[draws.randrange(len(data))] = draws.choice(b'\t\n\r",\x00\xff\xe3 a')
        path.write_bytes(data)
        try:
            found = read_texts(path)
        except UserError:
            continue
        read += 1
        for column in found.values():
            "".join(column).encode()
    assert read > 50


def test_captions_of_people_are_read_as_they_are_and_through_what_leads_back(
    engines: dict[tuple[str, str], list[str]], texts: Path
) -> None:
    engines["en", "pt"] = ["recorded:good1", "dictionary:eng-por"]
    engines["pt", "en"] = ["recorded:good2", "dictionary:por-eng"]
    found = checked("pt-BR", texts)
    assert (found.origin, found.captions, found.lang) == ("people", 10, "pt-BR")
    assert found.engines == found.back == found.dictionaries == ()
    found = checked("pt", texts)
    assert (found.engines, found.back, found.dictionaries) == (
        ("recorded:good1",),
        ("recorded:good2",),
        ("dictionary:eng-por",),
    )
    by = {one.through: one for one in found.readings}
    assert by["recorded:good2"].agreement == 1
    assert by["recorded:good2"].closeness == pytest.approx(1, abs=1e-6)
    # Of ten the dictionary knows five, and nothing is known of an empty text.
    assert by["dictionary:por-eng"].agreement == 0.5
    assert by[None].agreement == 0
    assert [one.share.middle for one in found.readings] == sorted(
        (one.share.middle for one in found.readings), reverse=True
    )
    assert found.best is by["recorded:good2"]
    assert found.round_trip == 1
    assert (found.tokens, found.unknown) == (2.0, 0.5)


def test_without_captions_of_people_an_engine_makes_them_and_that_is_said(
    engines: dict[tuple[str, str], list[str]], texts: Path
) -> None:
    engines["en", "gl"] = ["recorded:good1"]
    found = checked("gl", texts)
    assert (found.origin, found.captions, found.back) == ("engine", 10, ())
    assert "by its engine, which flatters" in "\n".join(found.lines())
    named = checked("gl", texts, engines=("gl=dictionary:w.tsv",))
    # Five of ten words are too few to tell anything by.
    assert (named.origin, named.captions, named.readings) == ("dictionary", 5, ())
    assert named.verdict == "not known"


def test_the_cheapest_improvement_is_the_first_that_there_is(
    engines: dict[tuple[str, str], list[str]], texts: Path
) -> None:
    assert checked("gl", texts).advice == "Better with: sudo apt-get install apertium apertium-en-gl"
    assert checked("ga", texts).advice == "Better with: sudo apt-get install dict-freedict-eng-gle"
    engines["en", "ga"] = ["dictionary:eng-gle"]
    assert "--engine ga=ctranslate2:FOLDER" in checked("ga", texts).advice
    engines["en", "ga"] = ["recorded:good1"]
    assert checked("ga", texts).advice.startswith("Better with an encoder that knows it")
    texts.write_text("en\tpt\n" + "".join(f"{word}\t{word}\n" for word in ENGLISH))
    known = checked("pt", texts)
    assert (known.verdict, known.advice.partition(".")[0]) == ("go", "Known to the encoder")


def test_a_sample_is_cut_and_rows_without_a_caption_do_not_count(
    engines: dict[tuple[str, str], list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("en,pt\n" + "".join(f"{word},{'' if word == 'sun' else word}\n" for word in ENGLISH * 20))
    assert checked("pt", path).captions == MOST * 9 // 10


def test_what_is_asked_wrongly_is_told(texts: Path) -> None:
    with pytest.raises(UserError, match="Unknown language 'qqq'"):
        list(check_languages(["qqq"], CheckOptions()))
    with pytest.raises(UserError, match="pt is the language of the captions"):
        list(check_languages(["en", "por"], CheckOptions(source="pt")))
    with pytest.raises(UserError, match="LANG=ENGINE was expected"):
        CheckOptions(engines=("apertium:eng-spa",))
    with pytest.raises(UserError, match="no 10 captions in Welsh"):
        Checker(CheckOptions(source="cy"), Side())


def test_expectations_are_of_people_alone_and_pass_over_what_cannot_work(
    monkeypatch: pytest.MonkeyPatch, engines: dict[tuple[str, str], list[str]]
) -> None:
    class Marked(TextSide):
        width = 31

        def _vectors(self, given: list[str]) -> NDArray[np.float32]:
            places = [at for text in given for at in [self.at(text)]]
            return np.eye(31, dtype=np.float32)[places]

        def at(self, text: str) -> int:
            known = [read_texts(prospect.SAMPLE)[lang] for lang in ("en", "pt")]
            return next((column.index(text) for column in known if text in column), 30)

    def refuse(spec: str, source: str, target: str) -> Engine:
        raise UserError("not there")

    monkeypatch.setattr(prospect, "load_text_side", lambda folder: Marked())
    monkeypatch.setattr(prospect, "open_engine", refuse)
    monkeypatch.setattr(prospect, "find_spec", lambda name: None)
    assert expectations("en", {"pt": ()}) == {}
    monkeypatch.setattr(prospect, "find_spec", lambda name: name)
    found = expectations("en", {"pt": (), "cs": (), "de": ("dictionary:eng-deu",), "cy": ()})
    assert found == {
        "pt": pytest.approx(expected_share(1.0)),
        # Each is the place that nothing of the source has.
        "cs": pytest.approx(found["cs"]),
    }
    assert found["cs"].middle < 0.2
    assert expectations("cy", {"pt": ()}) == {}


def test_the_verb_prints_lines_or_json(
    monkeypatch: pytest.MonkeyPatch, engines: dict[tuple[str, str], list[str]], texts: Path
) -> None:
    monkeypatch.setattr(prospect, "load_text_side", lambda folder: Side())
    for name, value in (("INTERCEPT", 0.1), ("SLOPE", 0.8), ("RESIDUAL", 0.2)):
        monkeypatch.setattr(prospect, name, value)
    engines["en", "pt"] = engines["pt", "en"] = ["recorded:good1"]
    arguments = ["check-language", "pt", "ga", "--texts", str(texts)]
    done = CliRunner().invoke(dragoman, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    share = expected_share(1.0, "recorded:good1")
    heads = [line for line in done.output.splitlines() if line[:1] != " "]
    assert heads == [
        f"Portuguese (pt), Latin: {judged(share)}, {prospect.told(share)}",
        "Irish (ga), Latin: not known",
    ]
    assert "there and back: chrF 100 of 100" in done.output
    done = CliRunner().invoke(dragoman, [*arguments, "--json"], catch_exceptions=False)
    first, second = json.loads(done.output)
    assert first["readings"][0]["share"]["middle"] == pytest.approx(share.middle)
    assert (first["verdict"], second["verdict"], second["readings"]) == (judged(share), "not known", [])


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("languages_run", BENCHMARK / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_constants_are_the_fit_of_the_points_that_were_measured(benchmark: Any) -> None:
    stored = json.loads((BENCHMARK / "results.json").read_text())
    points = [benchmark.Point(**one) for one in stored["points"]]
    alone = next(one for one in points if one.model == "glossed+lexicon, photos")
    points.remove(alone)
    # Normal equations, by elimination.
    rows = np.array([[1.0, one.closeness] for one in points])
    shares = np.array([one.share for one in points])
    line = np.linalg.solve(rows.T @ rows, rows.T @ shares)
    assert pytest.approx(line, abs=6e-4) == (prospect.INTERCEPT, prospect.SLOPE)
    said = line[0] + line[1] * alone.closeness
    assert pytest.approx(alone.share / said, abs=6e-4) == prospect.WORDS
    assert pytest.approx(benchmark.half_width(points), abs=6e-4) == prospect.RESIDUAL
    predicted = [guess for _, guess, _ in benchmark.judged(points)]
    assert benchmark.spearman(predicted, [one.share for one, _, _ in benchmark.judged(points)]) >= 0.8


def test_each_language_is_predicted_without_its_own_figures(benchmark: Any) -> None:
    draws = np.random.default_rng(0)
    points = [
        benchmark.Point(
            encoder="use",
            model="m",
            lang=lang,
            through=through,
            closeness=close,
            agreement=1,
            share=0.1 + 0.5 * close + draws.normal(0, 0.05),
        )
        for lang in "abcdef"
        for through, close in ((None, draws.random()), ("dictionary:x", draws.random()))
    ]
    before = {one.lang: guess for one, guess, _ in benchmark.judged(points) if one.through is None}
    moved = [benchmark.Point(**{**vars(one), "share": 1.0}) if one.lang == "c" else one for one in points]
    after = {one.lang: guess for one, guess, _ in benchmark.judged(moved) if one.through is None}
    assert after["c"] == before["c"]
    assert all(after[lang] != before[lang] for lang in "abdef")
    # 12 residuals: of 13 places nine tenths are 11.7, so it is the largest.
    assert benchmark.half_width(points) == max(benchmark.residuals(points))
