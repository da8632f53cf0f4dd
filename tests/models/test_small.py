from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_duals import TEXTS, small_config, small_text
from torch import Tensor

from dragoman.models.text.small import SmallText
from dragoman.models.text.spelling import SmallTextConfig, pieces, read


def states(trunk: SmallText, texts: Sequence[str]) -> list[Tensor]:
    """Token states [L, H] of each text, without its padding."""
    inputs = trunk.prepare(texts)
    with torch.no_grad():
        found = trunk(trunk.embed(inputs), inputs["mask"])
    return [row[mask] for row, mask in zip(found, inputs["mask"], strict=True)]


def test_words_of_one_letter_are_never_left_to_their_spelling() -> None:
    encoder = SmallText.fit(["a 狗在 um um"], SmallTextConfig(width=8, min_count=1))
    spelled = {piece for piece, row in encoder.spelling.row.items() if encoder._spelled[row]}
    assert spelled == {"<um>"}


def test_a_linked_word_is_read_by_the_pieces_of_its_source_words_too() -> None:
    config = SmallTextConfig(width=8, min_count=1)
    texts = ["dog man", "cão homem"]
    plain = SmallText.fit(texts, config)
    linked = SmallText.fit(texts, config, links={"cão": ("dog",), "狗": ("dog",), "homem": ("unheard",)})
    assert linked.vocabulary == plain.vocabulary
    own, dog = plain.spelling.rows("cão"), plain.spelling.rows("dog")
    assert linked.spelling.rows("cão") == own + dog
    assert linked.spelling.rows("dog") == dog and linked.spelling.rows("homem") == plain.spelling.rows(
        "homem"
    )
    # Case does not matter to a link; a pair of characters falls back on its first.
    assert linked.spelling.rows("CÃO")[-len(dog) :] == dog
    assert linked.spelling.rows("狗在") == linked.spelling.rows("狗") == dog
    with torch.no_grad():
        inputs = linked.eval().prepare(["cão"])
        expected = linked.pieces.weight[own + dog].mean(0) + linked.positions.weight[0]
        torch.testing.assert_close(linked.embed(inputs)[0, 0], expected)


def test_a_word_is_the_mean_of_its_known_pieces() -> None:
    trunk = small_text(layers=0)
    with torch.no_grad():
        trunk.positions.weight.zero_()
    for word in ("cão", "cãozinho"):
        rows = [trunk.vocabulary.index(p) + 1 for p in pieces(word, 3, 5) if p in trunk.vocabulary]
        assert rows
        expected = trunk.pieces.weight[rows].mean(0)
        torch.testing.assert_close(states(trunk, [word])[0][0], expected.detach())


def test_unknown_words_share_one_row_and_empty_texts_have_a_token() -> None:
    trunk = small_text(layers=0)
    with torch.no_grad():
        trunk.positions.weight.zero_()
    for text in ("ζζζζ", "", "  "):
        assert trunk.lengths([text]) == [1]
        torch.testing.assert_close(states(trunk, [text])[0], trunk.pieces.weight[:1].detach())


def test_an_encoder_of_an_empty_corpus_still_reads() -> None:
    trunk = SmallText.fit([], small_config()).eval()
    assert states(trunk, ["um cão"])[0].shape == (2, 16)


def test_long_texts_are_cut() -> None:
    trunk = small_text(max_words=3)
    assert trunk.lengths(["um cão corre na praia"]) == [3]
    torch.testing.assert_close(
        states(trunk, ["um cão corre na praia"])[0], states(trunk, ["um cão corre"])[0], rtol=0, atol=1e-6
    )


def test_lowercase_throws_case_away_and_nothing_else() -> None:
    kept, folded = small_text(), small_text(lowercase=True)
    assert read("Um CÃO", kept.config) == ["Um", "CÃO"]
    assert read("Um CÃO", folded.config) == ["um", "cão"]
    torch.testing.assert_close(*(states(folded, [text])[0] for text in ("Um Cão", "um cão")))
    assert not torch.allclose(*(states(kept, [text])[0] for text in ("Um Cão", "um cão")))


def test_states_depend_on_neither_batch_mates_nor_padding() -> None:
    trunk = small_text(layers=2)
    together = states(trunk, TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(states(trunk, [text])[0], found, rtol=0, atol=1e-5)


def test_with_layers_the_order_of_words_counts() -> None:
    trunk = small_text(layers=2)
    first, second = (states(trunk, [text])[0].mean(0) for text in ("um cão", "cão um"))
    assert not torch.allclose(first, second, atol=1e-3)


def test_dropout_is_off_in_eval_and_on_in_training() -> None:
    trunk = small_text(dropout=0.5)
    once, again = states(trunk, TEXTS[:1])[0], states(trunk, TEXTS[:1])[0]
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    trunk.train()
    assert not torch.allclose(once, states(trunk, TEXTS[:1])[0])
    # Pieces are dropped as well, and their mean is over those that stay.
    trunk = small_text(layers=0, dropout=0, piece_dropout=0.5).train()
    assert not torch.allclose(states(trunk, ["cão"])[0], states(trunk, ["cão"])[0])


def test_a_saved_encoder_reads_as_before(tmp_path: Path) -> None:
    trunk = small_text(lowercase=True)
    trunk.save_assets(tmp_path)
    loaded = SmallText.from_assets(tmp_path)
    assert (loaded.config, loaded.vocabulary) == (trunk.config, trunk.vocabulary)
    linked = SmallText(trunk.config, trunk.vocabulary, links={"cão": ["dog"]})
    linked.save_assets(tmp_path / "linked")
    assert SmallText.from_assets(tmp_path / "linked").links == {"cão": ("dog",)}
    loaded.load_state_dict(trunk.state_dict())
    texts = [*TEXTS, "", "ζ never seen"]
    for before, after in zip(states(trunk, texts), states(loaded.eval(), texts), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert "cão" in json.loads((tmp_path / "ngrams.json").read_text(encoding="utf-8"))["pieces"]


def rows_of(trunk: SmallText, word: str) -> list[str]:
    """The pieces that a word is read by."""
    inputs = trunk.prepare([word])
    return ["?" if not row else trunk.vocabulary[row - 1] for row in inputs["pieces"].tolist()]


def test_an_extension_appends_rows_and_moves_none() -> None:
    trunk = small_text()
    grown = trunk.extended(["Hund und Strand", "um cão"], known=["Meer"]).eval()
    known = len(trunk.vocabulary)
    assert grown.vocabulary[:known] == trunk.vocabulary
    assert sorted(grown.vocabulary[known:]) == sorted(
        {p for word in ("Hund", "und", "Strand", "Meer") for p in pieces(word, 3, 5)} - set(trunk.vocabulary)
    )
    assert grown.added == (len(grown.vocabulary) - known,)
    assert torch.equal(grown.pieces.weight[: known + 1], trunk.pieces.weight)
    for before, after in zip(states(trunk, TEXTS), states(grown, TEXTS), strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=0)
    assert rows_of(trunk, "Hund") == ["?"]
    assert sorted(rows_of(grown, "Hund")) == sorted(pieces("Hund", 3, 5))


def test_new_pieces_count_where_they_are_most_of_a_word_or_all_of_it() -> None:
    config = small_config(shortest=3, longest=3)
    grown = SmallText.fit(["abcd"], config).extended(["cdef"])
    assert grown.vocabulary == ["<ab", "<abcd>", "abc", "bcd", "cd>", "<cd", "<cdef>", "cde", "def", "ef>"]
    # Known as a whole: every piece is new but for those that are not.
    assert rows_of(grown, "cdef") == ["<cdef>", "<cd", "cde", "def", "ef>"]
    # Two old pieces (<ab, abc) against three and four new ones, then three (and bcd) against two.
    assert rows_of(grown, "abcdef") == ["<ab", "abc", "bcd"]
    assert rows_of(grown, "abcef") == ["<ab", "abc"]
    assert rows_of(grown, "abdef") == ["<ab", "def", "ef>"]
    # A known whole word is read by the new pieces even where they are few.
    again = SmallText.fit(["abcd abce abcf"], config).extended(["abcdabce"])
    expected = ["<abcdabce>", "<ab", "abc", "bcd", "cda", "dab", "abc", "bce", "ce>"]
    assert rows_of(again, "abcdabce") == expected


def test_each_extension_looks_at_what_was_known_before_it(tmp_path: Path) -> None:
    config = small_config(shortest=3, longest=3)
    twice = SmallText.fit(["abcd"], config).extended(["cdef"]).extended(["efgh", "cdef"])
    assert twice.added == (5, 5)
    assert twice.vocabulary[10:] == ["<ef", "<efgh>", "efg", "fgh", "gh>"]
    # One piece of the first vocabulary and two of the second; then one, one and three of the third.
    assert rows_of(twice, "abdef") == ["<ab", "def", "ef>"]
    assert rows_of(twice, "abdefgh") == ["<ab", "efg", "fgh", "gh>"]
    twice.save_assets(tmp_path)
    loaded = SmallText.from_assets(tmp_path)
    assert loaded.added == twice.added
    for word in ("abcd", "cdef", "efgh", "abdef", "zz"):
        assert rows_of(loaded, word) == rows_of(twice, word)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text_can_be_read(texts: list[str]) -> None:
    for length, found in zip(READER.lengths(texts), states(READER, texts), strict=True):
        assert len(found) == length >= 1
        assert found.isfinite().all()


READER = small_text()
