"""The contract of engines: each module of `dragoman/translation/engines` keeps it, found by its name.

An engine brings `tests/translation/<name>_setup.py` with

    ready(folder, patch)    a generator that yields one spec: of an engine from en to pt that translates the
                            LINES of `translation_world` without a network; `folder` is its own, and what
                            `patch` (a MonkeyPatch) sets is undone afterwards
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
from translation_world import LINES

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.translation.engine import (
    ENGINES,
    Engine,
    EngineDescription,
    describe_engine,
    open_engine,
    read_description,
)

NAMES = plugins.names(ENGINES)


def set_up(name: str) -> Any:
    """The set-up of an engine, or a failure that says what to write."""
    if importlib.util.find_spec(f"{name}_setup") is None:
        pytest.fail(
            f"Write tests/translation/{name}_setup.py with a generator ready(folder, patch) that yields a "
            f"spec '{name}:…': an engine from en to pt for translation_world.LINES, without a network. "
            "See recorded_setup.py beside it."
        )
    return importlib.import_module(f"{name}_setup")


def test_a_set_up_that_is_missing_is_told_by_the_name_of_its_file() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"Write tests/translation/odd_setup\.py with .*ready\("):
        set_up("odd")


@pytest.fixture(scope="module", params=NAMES)
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        yield from set_up(name).ready(tmp_path_factory.mktemp(name), patch)


@pytest.fixture
def engine(spec: str) -> Engine:
    return open_engine(spec, "en", "pt", device="cpu")


def test_one_line_comes_out_for_each_that_goes_in(engine: Engine) -> None:
    for count in (1, 2, 4):
        results = engine.translate(LINES[:count], 60)
        assert len(results) == count
        assert all(isinstance(result, str) for result in results)


def test_order_is_kept_and_a_line_does_not_depend_on_the_others(engine: Engine) -> None:
    together = engine.translate(LINES, 60)
    assert engine.translate(LINES[::-1], 60) == together[::-1]
    assert [engine.translate([line], 60)[0] for line in LINES] == together
    assert together[0] == together[3] != together[1]


def test_no_translation_holds_a_line_break(engine: Engine) -> None:
    assert all("\n" not in str(result) for result in engine.translate(LINES, 60))


def test_opened_again_it_is_the_same_engine_and_another_pair_is_another(spec: str, engine: Engine) -> None:
    again = open_engine(spec, "en", "pt", device="cpu")
    assert (again.name, again.version) == (engine.name, engine.version)
    assert again.name.split(":")[0] == spec.split(":")[0]


def test_the_size_of_a_batch_is_stated(engine: Engine) -> None:
    assert engine.batch_size >= 1


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is_and_what_it_needs(name: str) -> None:
    about = describe_engine(name)
    assert about.spec.startswith(f"{name}:")
    assert about.what
    assert about.needs


def test_a_docstring_that_does_not_say_it_is_told_how() -> None:
    with pytest.raises(UserError, match=r"engines/odd\.py.*'What it is: `odd:ARGUMENT`\.\\n\\nNeeds what\.'"):
        read_description("odd", "An odd engine.")


def test_a_description_is_read_from_the_docstring() -> None:
    text = "Words of a file,\none a line: `words:FILE`.\n\nNeeds a file, and\ntime. It is slow.\n"
    assert read_description("words", text) == EngineDescription(
        "words:FILE", "Words of a file, one a line", "a file, and time"
    )
