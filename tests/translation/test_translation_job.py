"""The job: captions out of a corpus, through engines, and back into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from translation_world import UpperEngine, captions, make_corpus

from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.errors import UserError
from dragoman.folders import sole_writer
from dragoman.translation import TranslateSettings, TranslationReport, translate
from dragoman.translation.engine import EngineError, EngineUnavailableError

TAG = "fake-b12868"  # sha256("fake:upper")[:6]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    texts = ["a dog", "a cat", "a dog", "a bird"]
    return make_corpus(tmp_path / "corpus", [{"text": text} for text in texts])


def run(corpus: Path, engine: UpperEngine, back: UpperEngine | None = None, **more: Any) -> TranslationReport:
    call = {"to": "pt"} | {name: more.pop(name) for name in ("to", "source") if name in more}
    settings = TranslateSettings(**{"cache": corpus.parent / "cache"} | more)
    return translate(corpus, engine=engine, back=back, settings=settings, **call)


class Reverse(UpperEngine):
    """The way back: small letters."""

    def __init__(self, **given: Any) -> None:
        super().__init__(name="fake:lower", **given)

    def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
        return [
            text if not isinstance(text, str) else text.lower() for text in super().translate(lines, timeout)
        ]


def test_translations_and_back_translations_join_the_corpus(corpus: Path) -> None:
    report = run(corpus, UpperEngine(), Reverse())
    rows = captions(corpus)
    assert [row["text"] for row in rows[:4]] == ["a dog", "a cat", "a dog", "a bird"]
    assert rows[4] == {
        "caption_id": f"c0#pt-{TAG}",
        "item_id": "i0",
        "lang": "pt",
        "role": "mt",
        "text": "A DOG",
        "source_id": "c0",
        "engine": "fake:upper",
        "trust": None,
    }
    back = rows[8]
    assert back["source_id"] == f"c0#pt-{TAG}"
    assert back["caption_id"].startswith(f"c0#pt-{TAG}#en-fake-")
    assert (back["lang"], back["role"], back["text"], back["engine"]) == ("en", "back", "a dog", "fake:lower")
    assert len(rows) == 12
    assert (report.captions, report.translated, report.cached, report.rejected) == (4, 6, 0, 0)
    assert report.reject_file is None


def test_equal_sentences_are_translated_once(corpus: Path) -> None:
    engine = UpperEngine()
    run(corpus, engine)
    assert engine.worked == ["a dog", "a cat", "a bird"]


def test_sentences_that_differ_in_white_space_alone_are_translated_once(tmp_path: Path) -> None:
    texts = ["a dog", "a  dog ", "a\ndog"]
    corpus = make_corpus(tmp_path / "corpus", [{"text": text} for text in texts])
    engine = UpperEngine()
    run(corpus, engine)
    assert engine.worked == ["a dog"]
    assert [row["text"] for row in captions(corpus)[3:]] == ["A DOG"] * 3


def test_a_second_run_translates_nothing_and_changes_no_byte(corpus: Path) -> None:
    run(corpus, UpperEngine(), Reverse())
    before = {path.name: path.read_bytes() for path in corpus.iterdir() if path.is_file()}
    there, back = UpperEngine(), Reverse()
    report = run(corpus, there, back)
    assert there.calls == back.calls == []
    assert (report.translated, report.cached) == (0, 6)
    assert {path.name: path.read_bytes() for path in corpus.iterdir() if path.is_file()} == before


def test_another_project_shares_the_cache(corpus: Path, tmp_path: Path) -> None:
    run(corpus, UpperEngine())
    other = make_corpus(tmp_path / "other", [{"text": "a cat"}, {"text": "a fish"}])
    engine = UpperEngine()
    run(other, engine)
    assert engine.worked == ["a fish"]


def test_a_second_engine_adds_its_rows_beside(corpus: Path) -> None:
    run(corpus, UpperEngine())
    run(corpus, UpperEngine(name="fake:second"))
    engines = [row["engine"] for row in captions(corpus)]
    assert engines == [None] * 4 + ["fake:upper"] * 4 + ["fake:second"] * 4
    assert len({row["caption_id"] for row in captions(corpus)}) == 12


def test_a_new_version_replaces_the_old_rows_and_what_was_made_of_them(corpus: Path) -> None:
    class Better(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            return ["UM CÃO" if line == "a dog" else line.upper() for line in lines]

    run(corpus, UpperEngine(), Reverse())
    run(corpus, Better(version="2"))
    rows = captions(corpus)
    assert [row["text"] for row in rows if row["role"] == "mt"] == ["UM CÃO", "A CAT", "UM CÃO", "A BIRD"]
    assert [row["text"] for row in rows if row["role"] == "back"] == ["a cat", "a bird"]


def test_what_was_made_of_captions_that_are_gone_goes_and_the_rest_is_as_if_made_at_once(
    corpus: Path, tmp_path: Path
) -> None:
    run(corpus, UpperEngine(), Reverse())
    opened = Corpus.open(corpus)
    rows = opened.captions.to_pylist()
    # One is gone, and one has come before the others.
    new = rows[0] | {"caption_id": "c", "text": "a fox"}
    kept = [new, rows[0], *rows[2:]]
    opened.replace_captions(pa.Table.from_pylist(kept, CAPTIONS))
    engine = UpperEngine()
    run(corpus, engine, Reverse())
    assert engine.worked == ["a fox"]
    human = [row for row in kept if row["role"] == "human"]
    whole = make_corpus(tmp_path / "whole", human)
    run(whole, UpperEngine(), Reverse())
    assert captions(corpus) == captions(whole)
    assert len(captions(whole)) == 12


def test_the_same_back_translation_of_a_new_translation_is_kept(corpus: Path) -> None:
    class Steady(Reverse):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            return ["the same"] * len(lines)

    class Better(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            return [f"{line} 2" for line in lines]

    run(corpus, UpperEngine(), Steady())
    run(corpus, Better(version="2"), Steady())
    assert [row["text"] for row in captions(corpus) if row["role"] == "back"] == ["the same"] * 4


def test_trust_that_was_scored_survives_a_second_run(corpus: Path) -> None:
    run(corpus, UpperEngine())
    opened = Corpus.open(corpus)
    rows = [row | {"trust": 0.5 if row["role"] == "mt" else None} for row in opened.captions.to_pylist()]
    opened.replace_captions(pa.Table.from_pylist(rows, CAPTIONS))
    run(corpus, UpperEngine())
    assert [row["trust"] for row in captions(corpus)] == [None] * 4 + [0.5] * 4


def test_columns_that_others_added_are_kept(corpus: Path) -> None:
    opened = Corpus.open(corpus)
    opened.replace_captions(opened.captions.append_column("source", pa.array(["a", "b", "c", "d"])))
    run(corpus, UpperEngine())
    assert [row["source"] for row in captions(corpus)] == ["a", "b", "c", "d"] + [None] * 4


def test_rejected_captions_are_listed_with_their_reason_and_not_tried_again(corpus: Path) -> None:
    report = run(corpus, UpperEngine({"a dog": "crash"}))
    assert (report.there.translated, report.there.rejected, report.rejected) == (2, 1, 2)
    assert report.reject_file == corpus / "rejected" / "translate-en-pt.jsonl"
    listed = [json.loads(line) for line in report.reject_file.read_text().splitlines()]
    assert listed[0] == {
        "caption_id": "c0",
        "source_lang": "en",
        "target_lang": "pt",
        "engine": "fake:upper",
        "reason": "it crashed",
        "text": "a dog",
    }
    assert [row["caption_id"] for row in listed] == ["c0", "c2"]
    assert [row["text"] for row in captions(corpus) if row["role"] == "mt"] == ["A CAT", "A BIRD"]

    again = UpperEngine()
    assert run(corpus, again).rejected == 2
    assert again.calls == []


def test_retrying_translates_the_rejected_ones_and_removes_the_list(corpus: Path) -> None:
    run(corpus, UpperEngine({"a dog": "crash"}))
    engine = UpperEngine()
    report = run(corpus, engine, retry_rejected=True)
    assert engine.worked == ["a dog"]
    assert (report.rejected, report.reject_file) == (0, None)
    assert not (corpus / "rejected" / "translate-en-pt.jsonl").exists()
    assert sum(row["role"] == "mt" for row in captions(corpus)) == 4


def test_a_caption_that_only_the_way_back_rejects_keeps_its_translation(corpus: Path) -> None:
    report = run(corpus, UpperEngine(), Reverse(bad={"A CAT": "crash"}))
    assert sum(row["role"] == "mt" for row in captions(corpus)) == 4
    assert sum(row["role"] == "back" for row in captions(corpus)) == 3
    assert report.reject_file is not None
    listed = json.loads(report.reject_file.read_text())
    assert (listed["caption_id"], listed["source_lang"], listed["text"]) == (f"c1#pt-{TAG}", "pt", "A CAT")


def test_captions_with_line_breaks_stay_one_line_each(tmp_path: Path) -> None:
    texts = ["two\nlines", "a\u2028separator", "a\ttab", "plain"]
    corpus = make_corpus(tmp_path / "corpus", [{"text": text} for text in texts])
    run(corpus, UpperEngine())
    translated = [row["text"] for row in captions(corpus) if row["role"] == "mt"]
    assert translated == ["TWO LINES", "A SEPARATOR", "A TAB", "PLAIN"]


def test_a_caption_of_control_characters_alone_is_rejected(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", [{"text": "\x01\x02"}, {"text": "a dog"}])
    report = run(corpus, UpperEngine())
    assert report.reject_file is not None
    assert "no character that could be translated" in report.reject_file.read_text()


def test_human_captions_of_the_target_language_go_to_english_for_translate_test(tmp_path: Path) -> None:
    corpus = make_corpus(
        tmp_path / "corpus",
        [
            {"text": "um cão", "lang": "pt", "split": "train"},
            {"text": "um gato", "lang": "pt", "split": "test"},
            {"text": "uma ave", "lang": "pt", "split": "val"},
            {"text": "a cat", "lang": "en", "split": "test"},
        ],
    )
    report = run(corpus, UpperEngine(), source="pt", to="en", splits=["val", "test"])
    added = [row for row in captions(corpus) if row["role"] == "mt"]
    assert report.captions == 2
    assert [(row["source_id"], row["lang"], row["text"]) for row in added] == [
        ("c1", "en", "UM GATO"),
        ("c2", "en", "UMA AVE"),
    ]


def test_some_captions_are_chosen_at_equal_distances(tmp_path: Path) -> None:
    rows = [{"text": f"dog {number}", "lang": "en", "split": "train"} for number in range(7)]
    corpus = make_corpus(tmp_path / "corpus", rows)
    assert run(corpus, UpperEngine(), most=3).captions == 3

    def added() -> list[str]:
        return [row["text"] for row in captions(corpus) if row["role"] == "mt"]

    assert added() == ["DOG 0", "DOG 2", "DOG 4"]
    # More of them are as many as there are, in the order of their sources.
    run(corpus, UpperEngine(), most=9)
    assert added() == [f"DOG {number}" for number in range(7)]
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        TranslateSettings(most=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"to": "ptt"}, "Unknown language 'ptt'"),
        ({"to": "en"}, "both 'en'"),
        ({"source": "de"}, "no human caption in 'de'. It has 4 en human. Choose with --from"),
        ({"splits": ["test"]}, "no human caption in 'en' in the splits test"),
        ({"splits": ["tset"]}, "'tset' is none of train, val, test"),
        ({"role": "humans"}, "'humans' is none of human, mt, back"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    corpus: Path, given: dict[str, Any], message: str
) -> None:
    before = (corpus / "captions.parquet").read_bytes()
    with pytest.raises(UserError, match=message):
        run(corpus, UpperEngine(), **given)
    assert (corpus / "captions.parquet").read_bytes() == before


def test_a_corpus_that_another_process_writes_is_left_alone_and_the_work_is_kept(corpus: Path) -> None:
    engine = UpperEngine()
    with sole_writer(corpus), pytest.raises(UserError, match="being written by another dragoman process"):
        run(corpus, engine)
    again = UpperEngine()
    run(corpus, again)
    assert again.calls == []


def test_captions_that_changed_on_the_way_are_noticed(corpus: Path) -> None:
    class Meddler(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            opened = Corpus.open(corpus)
            rows = opened.captions.to_pylist()
            opened.replace_captions(pa.Table.from_pylist([row | {"text": "new"} for row in rows], CAPTIONS))
            return super().translate(lines, timeout)

    with pytest.raises(UserError, match=r"changed while they were translated. Run the same command"):
        run(corpus, Meddler())
    assert len(captions(corpus)) == 4


def test_captions_that_another_job_added_on_the_way_are_kept(corpus: Path) -> None:
    class Neighbour(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            if not self.calls:
                run(corpus, UpperEngine(name="fake:neighbour"), to="gl")
            return super().translate(lines, timeout)

    run(corpus, Neighbour())
    assert [row["lang"] for row in captions(corpus)] == ["en"] * 4 + ["gl"] * 4 + ["pt"] * 4


def test_a_broken_engine_leaves_the_corpus_as_it_was(corpus: Path) -> None:
    class Broken(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            raise EngineUnavailableError("the server is gone")

    with pytest.raises(EngineUnavailableError, match="the server is gone"):
        run(corpus, Broken())
    assert len(captions(corpus)) == 4


def test_an_interrupted_job_keeps_every_finished_batch(corpus: Path) -> None:
    class Interrupted(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            if "a bird" in lines:
                raise KeyboardInterrupt
            return super().translate(lines, timeout)

    with pytest.raises(KeyboardInterrupt):
        run(corpus, Interrupted(), batch_size=1)
    rest = UpperEngine()
    run(corpus, rest)
    assert rest.worked == ["a bird"]


def test_a_batch_of_unlucky_size_is_isolated_in_the_job_too(corpus: Path) -> None:
    class Moody(UpperEngine):
        def translate(self, lines, timeout):  # type: ignore[no-untyped-def]
            if len(lines) > 1:
                raise EngineError("too many at once")
            return super().translate(lines, timeout)

    report = run(corpus, Moody())
    assert (report.translated, report.rejected) == (3, 0)
