"""What every engine promises. A new engine file must join `READY`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_server import capitals, chat_server
from tiny_models import make
from translation_world import install_fake_apertium

from dragoman import plugins
from dragoman.translation.engine import Engine, open_engine

LINES = ["a dog runs", "two men sit near a red car on the grass", "a car", "a dog runs"]


def _apertium(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in install_fake_apertium(folder).items():
        patch.setenv(name, value)
    yield "apertium:eng-spa|spa-por"


def _recorded(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps({"text": x, "translation": x.upper()}) + "\n" for x in LINES))
    yield f"recorded:{path}"


def _openai(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    patch.setenv("no_proxy", "127.0.0.1")
    with chat_server(capitals) as (url, _):
        patch.setenv("OPENAI_BASE_URL", url)
        yield "openai:tiny"


def _transformers(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("torch", reason="models need dragoman[train]")
    yield f"transformers:{make('nllb', folder / 'model')}"


def _ctranslate2(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    converters = pytest.importorskip("ctranslate2", reason="needs dragoman[ctranslate2]").converters
    model = make("nllb", folder / "model")
    converters.TransformersConverter(str(model)).convert(str(folder / "fast"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "fast" / name).write_bytes((model / name).read_bytes())
    yield f"ctranslate2:{folder / 'fast'}"


READY: dict[str, Callable[[Path, pytest.MonkeyPatch], Iterator[str]]] = {
    "apertium": _apertium,
    "recorded": _recorded,
    "openai": _openai,
    "transformers": _transformers,
    "ctranslate2": _ctranslate2,
}


@pytest.fixture(scope="module", params=plugins.names("dragoman.translation.engines"))
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        yield from READY[request.param](tmp_path_factory.mktemp(request.param), patch)


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
