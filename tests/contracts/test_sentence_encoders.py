"""The contract of sentence encoders: every module of `dragoman/models/sentences` keeps it.

A kind brings `tests/models/<name>_sentences_setup.py` with

    save(folder)    writes a tiny encoder there, with the same weights each time; returns the folder. It knows
                    at least the words "a", "dog" and "casa"
    change(folder)  changes its weights there; without it, a tensor of its first safetensors file is changed
    ready(patch)    yields while what it needs is there, such as a server (optional)
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny_duals import dual

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.models.sentences import Reading, TextSide, kind_of, kinds, load_text_side
from dragoman.retrievers.trained import TrainedTexts

PACKAGE = "dragoman.models.sentences"
TEXTS = ["a dog", "casa", "", "a dog a casa a dog", "ζ never seen", "dog"]
each = pytest.mark.parametrize("name", kinds())


def module_of(name: str) -> Any:
    """The kind as a module, or a failure that says what its file lacks."""
    module = plugins.load(PACKAGE, name, "sentence encoder")
    for part in ("LAYOUT", "reads", "width", "fingerprint", "load"):
        if not hasattr(module, part):
            pytest.fail(f"{module.__file__} lacks {part}: see dragoman/models/sentences/__init__.py")
    return module


def set_up(name: str) -> ModuleType:
    """The set-up of a kind, or a failure that says what to write."""
    if importlib.util.find_spec(f"{name}_sentences_setup") is None:
        pytest.fail(
            f"Write tests/models/{name}_sentences_setup.py with save(folder): a tiny encoder. "
            "See mclip_sentences_setup.py beside it."
        )
    return importlib.import_module(f"{name}_sentences_setup")


def change_tensor(folder: Path) -> None:
    file = min(folder.rglob("*.safetensors"))
    weights = load_file(file)
    first = min(weights)
    save_file({**weights, first: weights[first] + 1}, file, metadata={"format": "pt"})


@pytest.fixture(scope="module", autouse=True)
def all_ready() -> Iterator[None]:
    with ExitStack() as held:
        patch = held.enter_context(pytest.MonkeyPatch.context())
        for name in kinds():
            if hasattr(set_up(name), "ready"):
                held.enter_context(contextmanager(set_up(name).ready)(patch))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: set_up(name).save(tmp_path_factory.mktemp(name) / "text") for name in kinds()}


@pytest.fixture(params=[*kinds(), "trained"])
def side(request: pytest.FixtureRequest, folders: dict[str, Path]) -> TextSide:
    """The text side of each kind, and that of a trained model, which keeps the same contract."""
    if request.param == "trained":
        return TrainedTexts(dual())
    found: TextSide = module_of(request.param).load(folders[request.param], "cpu")
    return found


@each
def test_a_folder_is_read_by_one_kind(name: str, folders: dict[str, Path]) -> None:
    assert kind_of(folders[name]) is module_of(name)
    assert [other for other in kinds() if module_of(other).reads(folders[name])] == [name]


@each
def test_the_width_is_known_without_the_weights(name: str, folders: dict[str, Path]) -> None:
    width = module_of(name).width(folders[name])
    assert load_text_side(folders[name]).width == width
    assert load_text_side(folders[name]).encode(TEXTS).shape == (len(TEXTS), width)


@each
def test_the_fingerprint_follows_what_decides_vectors(name: str, tmp_path: Path) -> None:
    kind, save = module_of(name), set_up(name).save
    one, again = save(tmp_path / "one" / "text"), save(tmp_path / "again" / "text")
    before = kind.fingerprint(one)
    assert kind.fingerprint(again) == before
    if one.is_dir():
        (one / "README.md").write_text("A card decides nothing.")
    assert kind.fingerprint(one) == before
    getattr(set_up(name), "change", change_tensor)(one)
    assert kind.fingerprint(one) != before


def test_vectors_stand_alone(side: TextSide) -> None:
    together = side.encode(TEXTS)
    assert together.dtype == np.float32 and np.isfinite(together).all()
    alone = np.concatenate([side.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(side.lengths(TEXTS)) == len(TEXTS)
    unit = together / np.linalg.norm(together, axis=1, keepdims=True)
    # Where all vectors are one, nothing above says anything.
    assert (unit @ unit.T).min() < 0.99
    if side.unit:
        np.testing.assert_allclose(together, unit, atol=1e-6)


def test_pieces_are_those_of_a_vocabulary_and_an_empty_one_is_unknown(side: TextSide) -> None:
    found = side.pieces(["a dog", "", "a dog a dog"])
    if found is not None:
        once, nothing, twice = found
        assert (nothing, twice) == ([], once * 2)
        assert once and all(once)
        strange = side.pieces(["\U00012345"])
        # A vocabulary of bytes knows everything.
        assert strange and (strange[0] == [""] or all(strange[0]))


def test_every_text_is_read_as_the_reading_says(side: TextSide) -> None:
    plain = side.encode(["a dog", "a casa"])
    side.reading = Reading(prefix="a ", longest=side.reading.longest, pool=side.reading.pool)
    np.testing.assert_allclose(side.encode(["dog", "casa"]), plain, atol=1e-5)
    side.reading = Reading(lowercase=True, longest=side.reading.longest, pool=side.reading.pool)
    np.testing.assert_allclose(side.encode(["A DOG", "a Casa"]), plain, atol=1e-5)


def test_a_prefix_stands_before_the_text_as_it_is() -> None:
    assert Reading(prefix="Query: ", lowercase=True).given(["Um CÃO", ""]) == ["Query: um cão", "Query: "]
    with pytest.raises(FrozenInstanceError):
        Reading().prefix = "x"  # type: ignore[misc]


def test_a_folder_that_no_kind_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no sentence encoder that is known: .*M-CLIP's folders"):
        load_text_side(tmp_path)


def test_kinds_are_found_without_heavy_packages() -> None:
    code = (
        "import sys; from dragoman import plugins; from dragoman.models.sentences import kinds\n"
        f"for name in kinds(): plugins.load({PACKAGE!r}, name, '')\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
