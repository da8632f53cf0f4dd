"""Converted models: the same answers as the models they were converted from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make

from dragoman.errors import MissingExtraError, UserError
from dragoman.translation.engine import open_engine

LINES = ["a dog runs", "two men sit near a red car on the grass", "a car"]
BEGINNINGS = {"nllb": ("eng_Latn", "por_Latn"), "marian": (">>por<<", None), "madlad": ("<2pt>", None)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Kind: the folder of the model, and that of its conversion together with the tokenizer's files."""
    converters = pytest.importorskip("ctranslate2", reason="needs dragoman[ctranslate2]").converters
    root = tmp_path_factory.mktemp("models")
    made = {}
    for kind in BEGINNINGS:
        model, converted = make(kind, root / kind), root / f"{kind}-ct2"
        with pytest.warns() if kind == "marian" else _nothing():
            converters.TransformersConverter(str(model)).convert(str(converted))
        for name in ("tokenizer.json", "tokenizer_config.json", "source.spm", "target.spm", "vocab.json"):
            if (model / name).exists():
                (converted / name).write_bytes((model / name).read_bytes())
        made[kind] = model, converted
    return made


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_a_converted_model_answers_as_its_original(folders: dict[str, tuple[Path, Path]], kind: str) -> None:
    model, converted = folders[kind]
    original = open_engine(f"transformers:{model}?beams=1", "en", "pt", device="cpu")
    fast = open_engine(f"ctranslate2:{converted}?beams=1&compute=float32", "en", "pt", device="cpu")
    # The two end an answer that reaches its bound at another token, so only what stands before is compared.
    assert [str(x)[:40] for x in fast.translate(LINES, 60)] == [
        str(x)[:40] for x in original.translate(LINES, 60)
    ]


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_the_model_is_told_its_languages(
    folders: dict[str, tuple[Path, Path]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = open_engine(f"ctranslate2:{folders[kind][1]}", "en", "pt", device="cpu")
    asked: list[Any] = []

    class Spy:
        def translate_batch(self, rows: Any, **given: Any) -> Any:
            asked.append((rows, given["target_prefix"]))
            return model.translate_batch(rows, **given)

    model, engine._model = engine._model, Spy()
    engine.translate(["a dog"], 60)
    ((rows, begin),) = asked
    source, target = BEGINNINGS[kind]
    assert rows[0][0] == source
    assert begin == ([[target]] if target else None)


def test_order_and_results_do_not_depend_on_the_batch(folders: dict[str, tuple[Path, Path]]) -> None:
    engine = open_engine(f"ctranslate2:{folders['nllb'][1]}", "en", "pt", device="cpu")
    assert engine.translate(LINES, 60) == [engine.translate([line], 60)[0] for line in LINES]


def test_int8_is_another_version(folders: dict[str, tuple[Path, Path]]) -> None:
    folder = folders["nllb"][1]
    plain = open_engine(f"ctranslate2:{folder}", "en", "pt", device="cpu")
    small = open_engine(f"ctranslate2:{folder}?compute=int8", "en", "pt", device="cpu")
    assert (plain.name, small.name) == ("ctranslate2:nllb-ct2", "ctranslate2:nllb-ct2?compute=int8")
    assert plain.version != small.version
    assert len(small.translate(LINES, 60)) == 3


def test_arithmetic_that_does_not_exist_is_told(folders: dict[str, tuple[Path, Path]]) -> None:
    with pytest.raises(UserError, match=r"CTranslate2 cannot open .*int3"):
        open_engine(f"ctranslate2:{folders['nllb'][1]}?compute=int3", "en", "pt", device="cpu")


def test_a_folder_that_was_not_converted_names_the_command(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="needs dragoman[ctranslate2]")
    with pytest.raises(
        UserError, match=r"has no model\.bin\. Convert one: ct2-transformers-converter --model"
    ):
        open_engine(f"ctranslate2:{tmp_path}", "en", "pt")


def test_without_the_package_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dragoman\[ctranslate2\]'"):
        open_engine("ctranslate2:some/folder", "en", "pt")
