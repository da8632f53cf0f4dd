"""Scoring a corpus folder: values, files, repeated and interrupted runs."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dragoman.cli import dragoman
from dragoman.corpus.corpus import CAPTIONS, CORRECTS, ITEMS, Corpus
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.trust import score as trust
from dragoman.trust import signals
from dragoman.trust.aids import Aids
from dragoman.trust.calibration import FAILED, GOOD, trust_of
from dragoman.trust.evidence import Translation, independent
from dragoman.trust.format import TRUST
from dragoman.trust.report import review_rows
from dragoman.trust.score import score_trust

THINGS = ["dog", "cat", "bird", "horse", "boy", "girl"]
COISAS = ["cão", "gato", "pássaro", "cavalo", "menino", "menina"]


def write_corpus(folder: Path, extra: list[dict[str, object]] | None = None) -> Path:
    captions: list[dict[str, object]] = []
    for n, (thing, coisa) in enumerate(zip(THINGS, COISAS, strict=True)):
        item = {"item_id": f"i{n}"}
        captions += [
            item | {"caption_id": f"en{n}", "lang": "en", "role": "human", "text": f"A {thing} runs fast ."},
            item
            | {"caption_id": f"pt{n}", "lang": "pt", "role": "mt", "text": f"Um {coisa} corre depressa ."}
            | {"source_id": f"en{n}", "engine": "one"},
            item
            | {"caption_id": f"bk{n}", "lang": "en", "role": "back", "text": f"A {thing} runs quickly ."}
            | {"source_id": f"pt{n}", "engine": "one"},
        ]
    captions += extra or []
    items = [{"item_id": f"i{n}", "kind": "image", "split": "train"} for n in range(len(THINGS))]
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(items, ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(captions, CAPTIONS), folder / "captions.parquet")
    CORPUS.write(folder, inputs={"captions.jsonl": "abc"}, note="kept")
    return folder


def machine(caption_id: str, text: str, engine: str = "two", lang: str = "pt") -> dict[str, object]:
    known = {"caption_id": caption_id, "item_id": "i0", "lang": lang, "role": "mt", "text": text}
    return known | {"source_id": "en0", "engine": engine}


def test_the_table_holds_the_signals_and_their_combination(tmp_path: Path) -> None:
    table = score_trust(write_corpus(tmp_path / "c"))
    assert table.schema.remove_metadata() == trust.TABLE
    row = table.to_pylist()[0]
    assert (row["caption_id"], row["source"], row["back"]) == (
        "pt0",
        "A dog runs fast .",
        "A dog runs quickly .",
    )
    assert row["round_trip"] == pytest.approx(signals.round_trip("A dog runs fast .", "A dog runs quickly ."))
    assert row["length_ratio"] == pytest.approx(18 / 12)
    assert row["agreement"] is None and row["language"] is None and row["failure"] is None
    values = {name: np.array(table[name].to_numpy(), np.float64) for name in GOOD}
    np.testing.assert_allclose(table["trust"].to_numpy(), trust_of(values), rtol=1e-5)
    assert pq.read_table(tmp_path / "c/trust/signals.parquet").equals(table)


def test_trust_goes_to_machine_captions_and_back_translations_inherit_it(tmp_path: Path) -> None:
    corpus = Corpus.open(write_corpus(tmp_path / "c"))
    table = score_trust(corpus.folder)
    scored = dict(zip(table["caption_id"].to_pylist(), table["trust"].to_pylist(), strict=True))
    for row in corpus.captions.to_pylist():
        expected = {"human": None, "mt": scored.get(row["caption_id"]), "back": scored.get(row["source_id"])}
        assert row["trust"] == expected[row["role"]]
    manifest = json.loads((corpus.folder / "manifest.json").read_text())
    assert manifest["note"] == "kept" and manifest["inputs"] == {"captions.jsonl": "abc"}


@pytest.mark.parametrize(
    ("text", "lang", "reason"),
    [
        ("...", "pt", "empty"),
        ("Собака быстро бежит", "pt", "script"),
        ("A dog runs fast .", "pt", "copied"),
        ("um cão um cão um cão um cão", "pt", "repetition"),
    ],
)
def test_an_outright_failure_is_capped_near_0(tmp_path: Path, text: str, lang: str, reason: str) -> None:
    table = score_trust(write_corpus(tmp_path / "c", [machine("bad", text, lang=lang)]))
    bad = next(row for row in table.to_pylist() if row["caption_id"] == "bad")
    assert bad["failure"] == reason
    assert bad["trust"] <= FAILED + 1e-9


def test_a_caption_without_back_translation_is_still_scored(tmp_path: Path) -> None:
    table = score_trust(write_corpus(tmp_path / "c", [machine("new", "Um cão corre depressa .")]))
    new = next(row for row in table.to_pylist() if row["caption_id"] == "new")
    assert new["round_trip"] is None and new["agreement"] == pytest.approx(1)
    assert 0 < new["trust"] <= 1


def test_one_engine_cannot_vouch_for_itself(tmp_path: Path) -> None:
    table = score_trust(write_corpus(tmp_path / "c", [machine("again", "Um cão corre depressa .", "one")]))
    assert table["agreement"].null_count == len(table)


def test_a_list_of_words_gives_the_signal_known_and_counts(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("# a list\nUm\ncorre\ndepressa\ncão\ngato\n", encoding="utf-8")
    without = score_trust(write_corpus(tmp_path / "c"))
    table = score_trust(tmp_path / "c", words={"pt": words})
    known = dict(zip(table["caption_id"].to_pylist(), table["known"].to_pylist(), strict=True))
    assert known == {f"pt{n}": pytest.approx(1 if n < 2 else 3 / 4) for n in range(6)}
    assert without["known"].null_count == 6
    assert table["trust"][5].as_py() < without["trust"][5].as_py()
    with pytest.raises(UserError, match="words of de, but no machine translation into it"):
        score_trust(tmp_path / "c", words={"de": words})


def test_a_bridge_compares_with_another_engine_of_a_related_language(tmp_path: Path) -> None:
    recorded = tmp_path / "es-pt.jsonl"
    pairs = {"Un perro corre rápido .": "Um cão corre rápido .", "Un gato": "Um gato"}
    lines = [
        json.dumps({"text": source, "translation": text, "source_lang": "es", "target_lang": "pt"})
        for source, text in pairs.items()
    ]
    recorded.write_text("\n".join(lines) + "\n", encoding="utf-8")
    spanish = machine("es0", "Un perro corre rápido .", "other", lang="es")
    same_steps = machine("es1", "Un gato", "one", lang="es")
    bridge = trust.Bridge(source="es", target="pt", engine=f"recorded:{recorded}")
    table = score_trust(
        write_corpus(tmp_path / "c", [spanish, same_steps]), bridges=[bridge], cache=tmp_path / "cache"
    )
    table = table.filter(pa.compute.equal(table["lang"], "pt"))
    agreement = dict(zip(table["caption_id"].to_pylist(), table["agreement"].to_pylist(), strict=True))
    expected = signals.agreement("Um cão corre depressa .", ["Um cão corre rápido ."])
    assert agreement.pop("pt0") == pytest.approx(expected)
    assert set(agreement.values()) == {None}


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("apertium:eng-spa|es-pt", "apertium:eng-spa", False),
        ("apertium:eng-spa|es-pt", "apertium:en-gl", True),
        ("apertium:eng-spa", "nllb:eng-spa", True),
        ("transformers:nllb?beams=5", "transformers:nllb", False),
        ("baidu-2015", "google-2015", True),
        ("baidu-2015", "baidu-2015", False),
        (None, None, False),
    ],
)
def test_engines_that_share_a_step_cannot_vouch_for_one_another(
    one: str | None, other: str | None, answer: bool
) -> None:
    assert independent(one, other) is answer


def test_the_language_signal_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("lingua")
    table = score_trust(
        write_corpus(tmp_path / "c", [machine("bad", "The boy runs on the beach")]), langid=True
    )
    language = dict(zip(table["caption_id"].to_pylist(), table["language"].to_pylist(), strict=True))
    assert language["pt4"] > 0.9 > 0.1 > language["bad"]


def test_languages_are_calibrated_apart(tmp_path: Path) -> None:
    alone = score_trust(write_corpus(tmp_path / "alone"))
    beside = score_trust(write_corpus(tmp_path / "both", [machine("es0", "Un perro", lang="es")]))
    kept = beside.filter(pa.compute.equal(beside["lang"], "pt"))
    assert kept["trust"].to_pylist() == alone["trust"].to_pylist()


def test_a_second_run_computes_nothing_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_corpus(tmp_path / "c")
    first = score_trust(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(trust, "_score", lambda *_: pytest.fail("scored again"))
    assert score_trust(folder).equals(first)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_changed_text_is_scored_anew(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "c")
    first = score_trust(folder)
    corpus = Corpus.open(folder)
    rows = corpus.captions.to_pylist()
    rows[1]["text"] = "Um peixe"
    corpus.replace_captions(pa.Table.from_pylist(rows, CAPTIONS))
    assert score_trust(folder)["trust"][0].as_py() < first["trust"][0].as_py()


def test_a_killed_run_goes_on_with_the_next_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "BATCH", 2)
    expected = score_trust(write_corpus(tmp_path / "whole"))
    folder = write_corpus(tmp_path / "killed")
    pairwise, asked = trust._pairwise, []

    def dies_in_the_third(batch: list[Translation], aids: Aids) -> dict[str, list[float | None]]:
        asked.append([t.caption_id for t in batch])
        if len(asked) == 3:
            raise KeyboardInterrupt
        return pairwise(batch, aids)

    monkeypatch.setattr(trust, "_pairwise", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        score_trust(folder)
    assert Corpus.open(folder).captions["trust"].null_count == 18
    assert score_trust(folder).equals(expected)
    assert asked == [["pt0", "pt1"], ["pt2", "pt3"], ["pt4", "pt5"], ["pt4", "pt5"]]
    assert not (folder / "trust/parts").exists()


@pytest.mark.parametrize("name", ["signals.parquet", "manifest.json"])
def test_a_damaged_table_is_made_anew_by_the_same_command(tmp_path: Path, name: str) -> None:
    folder = write_corpus(tmp_path / "c")
    expected = score_trust(folder)
    file = folder / "trust" / name
    whole = file.read_bytes()
    for damaged in (b"", whole[:-9], whole[:40] + b"\xff" + whole[41:]):
        file.write_bytes(damaged)
        assert score_trust(folder).equals(expected)
        assert file.stat().st_size == len(whole)
        assert TRUST.read(file.parent)


def test_a_damaged_part_of_a_killed_run_is_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "BATCH", 2)
    expected = score_trust(write_corpus(tmp_path / "whole"))
    folder = write_corpus(tmp_path / "killed")

    def dies(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trust, "_lexical", dies)
        with pytest.raises(KeyboardInterrupt):
            score_trust(folder)
    first, second, third = sorted((folder / "trust/parts").iterdir())
    first.write_text(first.read_text("utf-8").replace("0.", "1."), "utf-8")
    second.write_bytes(second.read_bytes()[:50])
    third.write_text(json.dumps({**json.loads(third.read_text()), "checksum": None}), "utf-8")
    assert score_trust(folder).equals(expected)


def test_a_kill_leaves_a_corpus_that_can_be_scored_to_the_same_end(tmp_path: Path) -> None:
    expected = score_trust(write_corpus(tmp_path / "whole"))
    folder = write_corpus(tmp_path / "killed")
    before = (folder / "captions.parquet").read_bytes()
    code = (
        "import os, signal, sys\n"
        "from dragoman.trust import score as trust\n"
        "trust.BATCH = 2\n"
        "kept, seen = trust._kept, []\n"
        "def dies_after_two(*arguments):\n"
        "    seen.append(kept(*arguments))\n"
        "    if len(seen) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return seen[-1]\n"
        "trust._kept = dies_after_two\n"
        "trust.score_trust(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "captions.parquet").read_bytes() == before
    assert len(list((folder / "trust/parts").iterdir())) == 2
    assert score_trust(folder).equals(expected)


def test_the_order_of_captions_in_the_corpus_does_not_matter(tmp_path: Path) -> None:
    expected = score_trust(write_corpus(tmp_path / "a"))
    corpus = Corpus.open(write_corpus(tmp_path / "b"))
    corpus.replace_captions(corpus.captions.take(list(range(17, -1, -1))))
    assert score_trust(corpus.folder).equals(expected)


def test_a_corpus_without_translations_names_the_next_step(tmp_path: Path) -> None:
    corpus = Corpus.open(write_corpus(tmp_path / "c"))
    corpus.replace_captions(corpus.captions.filter(pa.compute.equal(corpus.captions["role"], "human")))
    with pytest.raises(UserError, match=r"no machine translation to score\. Make some: dragoman translate"):
        score_trust(corpus.folder)


def test_a_sheet_for_review_lists_the_worst_that_nobody_corrected(tmp_path: Path) -> None:
    folder = write_corpus(
        tmp_path / "c",
        [
            machine("bad", "A dog runs fast .", "one", "es"),
            machine("worse", "???", "two"),
            machine("copied", "A dog runs fast .", "three"),
        ],
    )
    sheet = tmp_path / "worst.csv"
    command = ["trust", str(folder), "--review", str(sheet), "--count", "2"]
    assert CliRunner().invoke(dragoman, command).exit_code == 0
    header, *rows = csv.reader(sheet.read_text(encoding="utf-8-sig").splitlines())
    assert header == ["item_id", "path", "lang", "source", "translation", "trust", "reason", "correction"]
    found = [(row[0], *row[2:5], row[6], row[7]) for row in rows]
    assert found[0] == ("i0", "es", "A dog runs fast .", "A dog runs fast .", "copied", "")
    assert sorted(found[1:]) == [
        ("i0", "pt", "A dog runs fast .", "???", "empty", ""),
        ("i0", "pt", "A dog runs fast .", "A dog runs fast .", "copied", ""),
    ]
    assert all(0 <= float(row[5]) <= FAILED for row in rows)
    again = CliRunner().invoke(dragoman, command)
    assert "worst.csv is there, and may hold corrections" in str(again.exception)

    # What is corrected is listed no more.
    table = pq.read_table(folder / "captions.parquet").append_column(
        CORRECTS, pa.nulls(6 * 3 + 3, pa.string())
    )
    made = {"caption_id": "new", "item_id": "i0", "lang": "pt", "role": "human", "text": "Um cão corre"}
    rows_of = pa.Table.from_pylist([{**made, "corrects": "???"}], table.schema)
    pq.write_table(pa.concat_tables([table, rows_of]), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    corpus = Corpus.open(folder)
    texts = [row[4] for row in review_rows(score_trust(folder), corpus, 1, ["pt"])]
    assert texts == ["A dog runs fast ."]
    with pytest.raises(UserError, match="no machine captions in fr to review"):
        review_rows(score_trust(folder), corpus, 1, ["fr"])
