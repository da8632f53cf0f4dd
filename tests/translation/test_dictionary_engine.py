"""Translation word for word: phrases, forms, the choice among translations, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from dictd_files import write_dictd, write_table
from translation_world import captions, make_corpus

from dragoman.errors import UserError
from dragoman.translation import build_lexicon, open_engine, translate
from dragoman.translation.engine import Engine, Rejected


def engine_of(folder: Path, *rows: str, options: str = "", pair: tuple[str, str] = ("en", "cs")) -> Engine:
    table = write_table(folder / "words.tsv", *rows, head="\t".join(pair))
    return open_engine(f"dictionary:{table}{options}", *pair)


def made(engine: Engine, line: str) -> str:
    (outcome,) = engine.translate([line], 1)
    assert isinstance(outcome, str), outcome
    return outcome


def test_the_longest_phrase_counts_but_not_across_a_comma(tmp_path: Path) -> None:
    engine = engine_of(
        tmp_path, "in = v", "front = přední", "in front of = před", "dog = pes", "front of = čelo"
    )
    assert made(engine, "dog in front of dog") == "pes před pes"
    assert made(engine, "dog in, front of dog.") == "pes v, čelo pes."


def test_forms_are_found_by_the_nearest_that_is_known(tmp_path: Path) -> None:
    rows = ("dog = pes", "men = muži", "ride = jezdit", "puppy = štěně", "smile = usmát se", "big = velký")
    assert made(engine_of(tmp_path, *rows), "two bigger dogs' men riding puppies smiled") == (
        "two velký pes muži jezdit štěně usmát se"
    )


def test_a_verb_in_ing_is_what_somebody_does(tmp_path: Path) -> None:
    base = write_dictd(
        tmp_path / "eng-ces",
        {
            "runs": "runs\nběží\n",
            "running": "running <n>\nběhání\n",
            "swings": "swings <n, pl>\nkmity\n",
            "swinging": "swinging <n>\nhoupání\n",
            "is": "is\nje\n",
            "dog": "dog <n>\npes\n",
            "boy": "boy\nkluk\n",
        },
    )
    engine = open_engine(f"dictionary:{base}", "en", "cs")
    # "swings" is but a noun here, and says nothing of what a boy does.
    assert made(engine, "A dog is running and the boy swinging") == "Pes běží and kluk houpání"
    assert made(engine, "The dog is a boy") == "Pes je kluk"


def test_the_translation_that_stands_in_most_entries_counts(tmp_path: Path) -> None:
    rows = [
        "water = kropit, voda",
        "drinking water = pitná voda",
        "rain water = dešťová voda",
        "sprinkle = kropit",
    ]
    assert made(engine_of(tmp_path, *rows), "water") == "voda"
    # By hand: "kropit" 2 entries under 2 headwords, 2/√2; "voda" once under 1, 1/√1.
    assert made(engine_of(tmp_path, *rows[::3]), "water") == "kropit"
    # One word before two, however often these stand.
    rows = ["busy = mám práce, zaneprázdněný", "work = práce", "have = mám", "much = mám práce"]
    assert made(engine_of(tmp_path, *rows), "busy") == "zaneprázdněný"


def test_a_text_of_the_language_decides(tmp_path: Path) -> None:
    rows = ["girl = služka, dívka", "maid = služka", "housemaid = služka"]
    assert made(engine_of(tmp_path, *rows), "girl") == "služka"
    text = tmp_path / "cs.txt"
    text.write_text("Dívka běží. Ta dívka!\nJe tu dívka, dívka.\n", encoding="utf-8")
    chosen = engine_of(tmp_path, *rows, options=f"?texts={text}")
    assert made(chosen, "girl") == "dívka"
    assert chosen.name == "dictionary:words.tsv?texts=cs.txt"
    text.write_text("služka\t100\ndívka\t90\n", encoding="utf-8")
    counted = engine_of(tmp_path, *rows, options=f"?texts={text}")
    # By hand: (100 + 3)/√3 = 59.5 against (90 + 1)/√1.
    assert made(counted, "girl") == "dívka"
    assert counted.version != chosen.version


def test_training_captions_of_a_corpus_decide_into_their_language(tmp_path: Path) -> None:
    rows = ["lad = kluk", "boy = kluk", "lad of gold = zlatý kluk"]
    there = [
        {"text": "A boy, a boy ."},
        {"text": "lad boy boy", "role": "mt"},
        {"text": "kluk", "lang": "cs"},
    ]
    tested = [{"text": "lad lad lad", "item_id": "t", "split": "test"}]
    corpus = make_corpus(tmp_path / "corpus", there + tested)
    plain = engine_of(tmp_path, *rows)
    table = write_table(tmp_path / "words.tsv", *rows, head="en\tcs")
    against = open_engine(f"dictionary:{table}", "cs", "en")
    assert made(against, "kluk") == "lad"
    chosen = open_engine(f"dictionary:{table}?texts={corpus}", "cs", "en")
    assert (made(chosen, "kluk"), chosen.name) == ("boy", "dictionary:words.tsv?texts=corpus")
    version = chosen.version
    assert translate(corpus, to="cs", engine=plain).captions == 2
    assert open_engine(f"dictionary:{table}?texts={corpus}", "cs", "en").version == version
    with pytest.raises(UserError, match="corpus holds no word of Welsh"):
        engine_of(tmp_path, "a = b", options=f"?texts={corpus}", pair=("en", "cy"))


def test_unknown_words_are_kept_or_dropped_and_a_line_of_them_is_rejected(tmp_path: Path) -> None:
    rows = ("dog = pes", "shirt = košile")
    keeping = engine_of(tmp_path, *rows)
    assert made(keeping, "Rover , a dog near 3 T-shirts .") == "Rover, pes near 3 košile."
    dropping = engine_of(tmp_path, *rows, options="?unknown=drop")
    assert made(dropping, "Rover , a dog near 3 T-shirts .") == "Pes 3 košile."
    outcomes = keeping.translate(["Rover near", "...", "a dog"], 1)
    assert outcomes == [Rejected("dictionary:words.tsv has no word of it")] * 2 + ["pes"]
    with pytest.raises(UserError, match="The engine 'dictionary': unknown must be keep or drop, got 'ask'"):
        engine_of(tmp_path, *rows, options="?unknown=ask")


def test_a_dictionary_is_read_against_its_direction_and_several_together(tmp_path: Path) -> None:
    there = write_dictd(tmp_path / "eng-ces", {"dog": "dog\npes\n", "red": "red <adj>\nčervený\n"})
    back = write_dictd(tmp_path / "ces-eng", {"kočka": "kočka\ncat\n"})
    both = f"dictionary:{there}|{back}"
    engine = open_engine(both, "en", "cs")
    assert (made(engine, "red dog cat"), engine.name) == ("červený pes kočka", "dictionary:eng-ces|ces-eng")
    # Forms of Czech are found by likeness.
    assert made(open_engine(both, "cs", "en"), "červeného pes, kočkami") == "red dog, cat"
    assert sorted(open_engine(both, "cs", "en").words()) == ["kočka", "pes", "červený"]
    with pytest.raises(
        UserError, match="eng-ces joins en and cs, but translations from en to cy are asked for"
    ):
        open_engine(both, "en", "cy")


def test_the_version_is_the_content_and_the_name_has_no_folder(tmp_path: Path) -> None:
    def identity(folder: str, entry: str) -> tuple[str, str]:
        base = write_dictd(tmp_path / folder / "eng-ces", {"dog": entry})
        engine = open_engine(f"dictionary:{base}", "en", "cs")
        return engine.name, engine.version

    first = identity("a", "dog\npes\n")
    assert first == identity("b", "dog\npes\n")
    assert first != identity("a", "dog\npsi\n")


def test_captions_go_there_and_back_and_a_lexicon_is_made_of_it(tmp_path: Path) -> None:
    table = write_table(tmp_path / "eng-swh.tsv", "dog = mbwa", "run = kimbia", "hound = mbwa", head="en\tsw")
    corpus = make_corpus(tmp_path / "corpus", [{"text": "A dog runs ."}, {"text": "Nobody"}])
    report = translate(corpus, to="sw", engine=f"dictionary:{table}", back=f"dictionary:{table}")
    assert (report.captions, report.rejected) == (2, 1)
    texts = {row["role"]: row["text"] for row in captions(corpus) if row["role"] != "human"}
    assert texts == {"mt": "Mbwa kimbia.", "back": "Dog run."}
    lexicon = build_lexicon(corpus, lang="sw", engine=f"dictionary:{table}")
    assert lexicon.path.read_text() == "mbwa\tdog\nkimbia\trun\n"
