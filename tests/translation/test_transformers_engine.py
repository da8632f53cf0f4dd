"""Sequence-to-sequence models of every convention, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make

from dragoman.errors import MissingExtraError, UserError
from dragoman.translation.engine import EngineError, Rejected, open_engine

pytest.importorskip("torch", reason="models need dragoman[train]")

LINES = ["a dog runs", "two men sit near a red car on the grass", "a car"]
# Kind: the tokens of a source text begin with the first, a translation with the second.
CONVENTIONS = {
    "m2m": ("__en__", "__pt__"),
    "nllb": ("eng_Latn", "por_Latn"),
    "marian": (">>por<<", None),
    "madlad": ("<2pt>", None),
    "bilingual": (None, None),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: make(kind, root / kind) for kind in CONVENTIONS}


def recorded_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: str = ""
) -> tuple[Any, list[Any]]:
    """The engine of a folder, and a list that gets the arguments and the result of every generation."""
    engine: Any = open_engine(f"transformers:{folder}{options}", "en", "pt", device="cpu")
    seen: list[Any] = []
    generate = engine._model.generate

    def spy(**given: Any) -> Any:
        seen.append((given, generate(**given)))
        return seen[-1][1]

    monkeypatch.setattr(engine._model, "generate", spy)
    return engine, seen


@pytest.mark.parametrize("kind", CONVENTIONS)
def test_the_model_is_told_its_languages(
    folders: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, seen = recorded_engine(folders[kind], monkeypatch)
    assert len(engine.translate(["a dog"], 60)) == 1
    ((given, tokens),) = seen
    to_id = engine._tokenizer.convert_tokens_to_ids
    source, target = CONVENTIONS[kind]
    unknown = engine._tokenizer.unk_token_id
    if source:
        assert to_id(source) != unknown
        assert given["input_ids"][0, 0] == to_id(source)
    if target:
        assert to_id(target) != unknown
        assert given["forced_bos_token_id"] == to_id(target)
        assert tokens[0, 1] == to_id(target)
    else:
        assert "forced_bos_token_id" not in given


def test_the_words_follow_the_code(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, seen = recorded_engine(folders["madlad"], monkeypatch)
    engine.translate(["a dog runs"], 60)
    tokens = engine._tokenizer.convert_ids_to_tokens(seen[0][0]["input_ids"][0])
    assert tokens == ["<2pt>", "a", "dog", "runs"]


@pytest.mark.parametrize("kind", CONVENTIONS)
def test_order_and_results_do_not_depend_on_the_batch(folders: dict[str, Path], kind: str) -> None:
    engine = open_engine(f"transformers:{folders[kind]}", "en", "pt", device="cpu")
    assert engine.translate(LINES, 60) == [engine.translate([line], 60)[0] for line in LINES]


def test_lines_of_like_length_share_a_batch_of_bounded_size() -> None:
    from dragoman.grouping import by_length
    from dragoman.translation.models import longest_answer

    assert by_length([3, 4, 2, 6], tokens=10, kind=longest_answer) == [[2, 0], [1], [3]]
    assert by_length([5, 5, 5], tokens=10, kind=longest_answer) == [[0, 1], [2]]
    # Up to 8 tokens the answer may have 32, from 9 on 64.
    assert by_length([7, 8, 9, 24], tokens=2048, kind=longest_answer) == [[0, 1], [2, 3]]


def test_a_line_too_long_for_the_model_is_rejected_and_not_cut(folders: dict[str, Path]) -> None:
    engine = open_engine(f"transformers:{folders['m2m']}", "en", "pt", device="cpu")
    outcomes = engine.translate(["a dog", "a dog " * 60], 60)
    assert isinstance(outcomes[0], str)
    assert isinstance(outcomes[1], Rejected)
    assert "the model reads at most 64" in outcomes[1].reason


def test_a_model_that_takes_too_long_is_an_error(folders: dict[str, Path]) -> None:
    engine = open_engine(f"transformers:{folders['m2m']}", "en", "pt", device="cpu")
    with pytest.raises(EngineError, match="did not finish within"):
        engine.translate(["a dog"], -1)


def test_options_reach_the_search_and_name_the_engine(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, seen = recorded_engine(folders["nllb"], monkeypatch, "?beams=2")
    engine.translate(["a dog"], 60)
    assert seen[0][0]["num_beams"] == 2
    assert seen[0][0]["do_sample"] is False
    assert engine.name == "transformers:nllb?beams=2"


def test_the_version_follows_weights_options_and_languages(folders: dict[str, Path], tmp_path: Path) -> None:
    def version(folder: Path, options: str = "", to: str = "pt") -> str:
        return open_engine(f"transformers:{folder}{options}", "en", to, device="cpu").version

    one = version(folders["nllb"])
    assert version(folders["nllb"]) == one
    assert len({one, version(folders["nllb"], "?beams=1"), version(folders["nllb"], to="es")}) == 3
    copy = make("nllb", tmp_path / "nllb")
    same = version(copy)
    config = copy / "generation_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"length_penalty": 2.0}))
    assert version(copy) != same


def test_a_language_that_the_model_does_not_speak_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"does not speak Galician \(gl\)\. It knows >>por<<, >>spa<<"):
        open_engine(f"transformers:{folders['marian']}", "en", "gl", device="cpu")


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="gives no tokenizer"):
        open_engine(f"transformers:{tmp_path}", "en", "pt")


def test_pickled_weights_are_never_read(folders: dict[str, Path], tmp_path: Path) -> None:
    import torch

    folder = make("marian", tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="Pickled weights are never read"):
        open_engine(f"transformers:{folder}", "en", "pt")


def test_a_model_of_another_kind_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = make("marian", tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({"model_type": "bert", "vocab_size": config["vocab_size"]})
    )
    with pytest.raises(UserError, match="gives no sequence-to-sequence model"):
        open_engine(f"transformers:{folder}", "en", "pt")


def test_a_device_that_does_not_exist_is_told(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="The device 'nonsense' cannot be used"):
        open_engine(f"transformers:{folders['marian']}", "en", "pt", device="nonsense")


def test_without_torch_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dragoman\[train\]'"):
        open_engine("transformers:some/model", "en", "pt")
