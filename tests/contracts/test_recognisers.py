"""The contract of recognisers: every module of `dragoman/speech/recognisers` keeps it.

A kind brings `tests/speech/<name>_recogniser_setup.py` with

    ready(folder, patch)    a generator that yields the name of a recogniser (a folder, an address) that knows
                            English, works without a network, and finds some words in any sound; `folder` is
                            its own, and what `patch` (a MonkeyPatch) sets is undone afterwards
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sounds import tone

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.media.sound import RATE, Samples
from dragoman.speech.recogniser import RECOGNISERS, Recogniser, kind_of, kinds, open_recogniser


def module_of(name: str) -> Any:
    """The kind as a module, or a failure that says what its file lacks."""
    module = plugins.load(RECOGNISERS, name, "recogniser")
    for part in ("LAYOUT", "reads", "load"):
        if not hasattr(module, part):
            pytest.fail(f"{module.__file__} lacks {part}: see dragoman/speech/recognisers/__init__.py")
    return module


def set_up(name: str) -> Any:
    """The set-up of a kind, or a failure that says what to write."""
    if importlib.util.find_spec(f"{name}_recogniser_setup") is None:
        pytest.fail(
            f"Write tests/speech/{name}_recogniser_setup.py with a generator ready(folder, patch) that "
            "yields the name of a recogniser. See openai_recogniser_setup.py beside it."
        )
    return importlib.import_module(f"{name}_recogniser_setup")


@pytest.fixture(scope="module", params=kinds())
def named(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The kind, and the name of a recogniser of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set_up(request.param).ready(tmp_path_factory.mktemp(request.param), patch):
            yield request.param, name


@pytest.fixture(scope="module")
def recogniser(named: tuple[str, str]) -> Recogniser:
    return open_recogniser(named[1])


def sound(seconds: float = 1.0, seed: int = 0) -> Samples:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1
    return np.asarray(tone(440, seconds, RATE) + noise, np.float32)


def test_a_name_is_read_by_one_kind(named: tuple[str, str]) -> None:
    kind, name = named
    assert [one for one in kinds() if module_of(one).reads(name)] == [kind]
    assert kind_of(name) is module_of(kind)


def test_words_their_language_and_how_sure_it_is_are_told(recogniser: Recogniser) -> None:
    found = recogniser.recognise(sound(), None)
    assert found.text == found.text.strip() != ""
    assert found.language is not None and canonical_tag(found.language) == found.language
    assert recogniser.languages is None or found.language in recogniser.languages
    assert 0 < found.confidence <= 1
    if found.units:  # nothing was guessed that could be made up
        assert found.no_speech is None and found.log_probability is None
        return
    assert found.no_speech is not None and 0 <= found.no_speech <= 1
    assert found.log_probability is not None and found.log_probability < 0


def test_a_language_that_is_given_is_kept(recogniser: Recogniser) -> None:
    assert recogniser.languages is None or "en" in recogniser.languages
    found = recogniser.recognise(sound(), "en")
    assert (found.language, found.confidence) == ("en", 1.0)


def test_the_same_sound_gives_the_same_words_also_among_others(recogniser: Recogniser) -> None:
    alone = [recogniser.recognise(sound(seed=seed), None) for seed in (1, 2, 3)]
    with ThreadPoolExecutor(3) as threads:
        together = threads.map(lambda seed: recogniser.recognise(sound(seed=seed), None), (1, 2, 3))
        for one, other in zip(alone, together, strict=True):
            assert (one.text, one.language) == (other.text, other.language)


@pytest.mark.parametrize("seconds", [0.01, 29.99, 30.0])
def test_sounds_of_every_length_are_taken(recogniser: Recogniser, seconds: float) -> None:
    assert recogniser.recognise(sound(seconds), "en").text


def test_what_no_kind_reads_is_refused_with_what_they_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no recogniser of speech that is known: Whisper converted by"):
        open_recogniser(tmp_path)


def test_kinds_are_found_without_heavy_packages() -> None:
    code = (
        "import sys; from dragoman.speech.recogniser import kind_of; kind_of('nowhere')\n"
        "print(sorted({'torch', 'transformers', 'ctranslate2', 'tokenizers', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
