"""Words linked to source words: from the captions, from a lexicon, and never a source word itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from training_world import DE, EN, PT, tiny, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.models.folder import load_model
from dragoman.models.text.small import SmallText
from dragoman.models.text.spelling import SmallTextConfig
from dragoman.training import train
from dragoman.training.model import word_links
from dragoman.training.samples import Choice, Samples, Target, load_samples

CONFIG = SmallTextConfig(links=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"))


def samples_of(world: Path) -> Samples:
    return load_samples(Corpus.open(world), tiny("one_to_k", ("pt", "de")), back=False)


def test_every_word_of_the_toy_world_finds_its_own(world: Path) -> None:
    found = word_links(samples_of(world), CONFIG, {})
    expected = {word.lower(): (english,) for to in (PT, DE) for word, english in zip(to, EN, strict=True)}
    assert found == {word: links for word, links in expected.items() if word not in EN}


def test_a_lexicon_links_words_that_no_caption_holds(world: Path) -> None:
    known = {"cachorro": ("dog", "hound"), "cão": ("cat",)}
    found = word_links(samples_of(world), CONFIG, known)
    # What the captions say of a word comes first.
    assert (found["cachorro"], found["cão"]) == (("dog",), ("dog",))
    assert word_links(samples_of(world), replace(CONFIG, links=2), known)["cachorro"] == ("dog", "hound")


def test_a_word_of_the_source_language_is_not_linked() -> None:
    pairs = [("a come b", "x come y")] * 4 + [("come c", "z w")] * 9
    samples = Samples(
        item_id=[str(row) for row in range(13)],
        source_text=[source for source, _ in pairs],
        targets=(Target(lang="pt", engines=("toy",), choices=[(Choice(text),) for _, text in pairs]),),
        dropped=0,
    )
    found = word_links(samples, CONFIG, {})
    assert "come" not in found and {"z", "w"} & set(found)


def test_characters_are_linked_alone_and_in_pairs() -> None:
    pairs = [("dog runs", "狗跑"), ("dog sleeps", "狗睡"), ("cat runs", "猫跑")] * 3
    samples = Samples(
        item_id=[str(row) for row in range(9)],
        source_text=[source for source, _ in pairs],
        targets=(Target(lang="zh", engines=("toy",), choices=[(Choice(text),) for _, text in pairs]),),
        dropped=0,
    )
    found = word_links(samples, CONFIG, {})
    assert (found["狗"], found["猫"], found["跑"]) == (("dog",), ("cat",), ("runs",))


def test_links_are_off_unless_asked_for(world: Path) -> None:
    assert word_links(samples_of(world), SmallTextConfig(), {"cachorro": ("dog",)}) == {}
    with pytest.raises(UserError, match="links must be 0 or more, got -1"):
        SmallTextConfig(links=-1)


def test_a_model_keeps_its_links(world: Path, tmp_path: Path) -> None:
    settings = {"epochs": "1", "text.links": "1"}
    train(world, tiny("one_to_k", ("pt", "de"), **settings), tmp_path / "run", device="cpu")
    trunk = load_model(tmp_path / "run" / "model")[0].trunk
    assert isinstance(trunk, SmallText)
    assert trunk.links["cão"] == ("dog",) and trunk.links["hund"] == ("dog",)
