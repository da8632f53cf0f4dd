"""Trial queries against a slow look through all captions, and the words that a calibration keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_world import PT, edit_captions, write_world

from dragoman.corpus import Corpus
from dragoman.search import trial_queries
from dragoman.search.calibration import length_class, size_of
from dragoman.search.trial_queries import Said, queries_of
from dragoman.search.vocabulary import Vocabulary


def test_captions_and_words_of_them_are_asked_with_what_answers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The toy has sixteen words, of which each picture has half.
    monkeypatch.setattr(trial_queries, "COMMON", 0.7)
    corpus = Corpus.open(write_world(tmp_path / "corpus", val=30))
    images = corpus.split("val")["item_id"].to_pylist()
    found = queries_of(corpus, images, (), "en")
    assert set(found) == {"en", "pt"}
    for lang, one in found.items():
        said = corpus.select(role="human", lang=lang, split="val")
        texts = list(zip(said.item_ids, said.texts, strict=True))
        assert one.human and one.captions == len(texts) == 60
        assert one.texts[:60] == said.texts
        assert [images[row] for row in one.own[:60]] == said.item_ids
        assert one.right[:60].tolist() == np.eye(30, dtype=bool)[one.own[:60]].tolist()
        short = one.texts[60:]
        # Captions are four words long, so there are no longer queries. Each text is drawn once.
        assert {length_class(size_of(text)) for text in short} == {0, 1, 2}
        assert len(set(short)) == len(short) > 60
        for text, own, right in zip(short, one.own[60:], one.right[60:], strict=True):
            expected = {item for item, caption in texts if set(text.split()) <= set(caption.split())}
            assert {images[row] for row in np.flatnonzero(right)} == expected
            assert images[own] in expected and any(text in caption for _, caption in texts)


def test_where_people_wrote_nothing_machine_captions_ask(tmp_path: Path) -> None:
    folder = write_world(tmp_path / "corpus", val=30)

    def machine_only(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [row for row in rows if (row["lang"], row["role"]) != ("pt", "human")]

    edit_captions(folder, machine_only)
    corpus = Corpus.open(folder)
    found = queries_of(corpus, corpus.split("val")["item_id"].to_pylist(), (), "en")
    assert (found["pt"].human, found["en"].human) == (False, True)
    assert found["pt"].texts[0].split()[0] in PT


def test_articles_are_no_queries_and_characters_stand_in_a_row() -> None:
    texts = ["the dog runs", "the red cat", "the ball of a child", "the end", "一只狗在跑", "狗和一只猫"]
    texts += ["the old man", "the sea", "the hill"]
    said = Said(texts, range(9), 9)
    drawn = {text for text, _, _ in said.drawn(100, 1, 2, np.random.default_rng(0))}
    assert not any(text.split()[0] == "the" or text.split()[-1] in ("the", "of", "a") for text in drawn)
    assert {"dog", "dog runs", "red cat", "ball"} <= drawn
    # A word of such a script is taken for two characters.
    assert {"只狗", "狗在", "狗和"} <= drawn and not {"狗", "一"} & drawn
    assert said.having(["一", "只"]).tolist() == [False] * 4 + [True, True] + [False] * 3
    # Both captions have the two characters, one of them in a row.
    assert said.having(["狗", "在"]).tolist() == [False] * 4 + [True] + [False] * 4
    assert said.having(["dog", "the"]).tolist() == [True] + [False] * 8


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("dog", 1),
        ("DOG", 1),
        ("a dog", 0.5),
        ("balloon", 0),
        ("dog, dog!", 1),
        ("?", 0),
        ("", 0),
        # Of one picture alone, twice.
        ("cat", 0),
        ("狗", 1),
        ("小狗", 1),
        # 小 and 大 form no known pair with one another, but 狗 does with 小.
        ("大小狗", 2 / 3),
        ("狗大", 0),
    ],
)
def test_a_word_is_known_that_is_said_of_two_pictures(text: str, share: float) -> None:
    captions = [("1", "The dog."), ("1", "A cat, a cat"), ("2", "one dog"), ("3", "小狗"), ("4", "小狗跑")]
    assert Vocabulary.of(captions).share(text) == pytest.approx(share)


def test_words_are_read_as_they_were_packed() -> None:
    words = Vocabulary.of([("1", "one dog"), ("2", "one dog")])
    assert Vocabulary.unpacked(words.packed()) == words and len(words.hashes) == 2
    assert Vocabulary.unpacked(Vocabulary(frozenset()).packed()).hashes == frozenset()


@given(st.text(alphabet="AQz=+/ é", max_size=12))
def test_what_was_not_packed_is_a_value_error(stored: str) -> None:
    try:
        found = Vocabulary.unpacked(stored)
    except ValueError:
        return
    assert all(0 <= one < 2**32 for one in found.hashes)
