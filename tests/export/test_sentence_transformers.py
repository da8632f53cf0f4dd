from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path

import export_world  # noqa: F401
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from export_world import save_hugging_run, save_run
from tiny_duals import TEXTS

from dragoman.cli import dragoman
from dragoman.errors import UserError
from dragoman.export import export
from dragoman.export.sentence_transformers import DragomanText
from dragoman.retrievers.trained import Retriever


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module", params=["small", "huggingface"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run` and its export `st`."""
    root = tmp_path_factory.mktemp(request.param)
    run = save_run(root / "run") if request.param == "small" else save_hugging_run(root)
    export(run, to="sentence-transformers", out=root / "st")
    return root


def test_the_folder_names_a_module_that_encodes_like_the_model(exported: Path) -> None:
    (module,) = json.loads((exported / "st" / "modules.json").read_text())
    package, _, name = module["type"].rpartition(".")
    loaded = getattr(import_module(package), name).load(str(exported / "st"), module["path"], token=None)
    with torch.inference_mode():
        found = loaded.eval()(loaded.preprocess(["o " + text for text in TEXTS]))["sentence_embedding"]
        prompted = loaded(loaded.preprocess(TEXTS, prompt="o "))["sentence_embedding"]
    expected = Retriever.load(exported / "run").encode_text(["o " + text for text in TEXTS])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(prompted, expected, atol=1e-5)
    assert loaded.get_embedding_dimension() == 16


def test_sentence_transformers_loads_it(exported: Path, tmp_path: Path) -> None:
    package = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    model = package.SentenceTransformer(str(exported / "st"), device="cpu", trust_remote_code=True)
    expected = Retriever.load(exported / "run").encode_text(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(model.encode(TEXTS[0]), expected[0], atol=1e-5)
    np.testing.assert_allclose(model.similarity(expected, expected), expected @ expected.T, atol=1e-5)
    assert (model.get_embedding_dimension(), model.similarity_fn_name) == (16, "cosine")
    assert model.max_seq_length == (7 if (exported / "text").exists() else 64)
    # Saved again, what it learned is kept.
    with torch.no_grad():
        model[0].model.text_head.linear.weight.neg_()
    model.save_pretrained(str(tmp_path / "again"))
    again = package.SentenceTransformer(str(tmp_path / "again"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(again.encode(TEXTS), -expected, atol=1e-5)


def test_what_the_package_reads_by_itself_is_compared_as_well(exported: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(exported / "st", tmp_path / "st"))
    (copy / "README.md").write_text("A card of one's own.")
    DragomanText.load(str(copy))
    file = copy / "config_sentence_transformers.json"
    file.write_text(file.read_text().replace('"cosine"', '"dotted"'))
    with pytest.raises(UserError, match=r"config_sentence_transformers\.json is damaged .* dragoman export"):
        DragomanText.load(str(copy))


def test_a_model_that_is_saved_over_its_export_is_no_damaged_export(exported: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(exported / "st", tmp_path / "st"))
    loaded = DragomanText.load(str(copy))
    with torch.no_grad():
        loaded.model.text_head.linear.weight.neg_()
    loaded.save(str(copy))
    again = DragomanText.load(str(copy)).eval()
    with torch.inference_mode():
        found = again(again.preprocess(TEXTS))["sentence_embedding"]
    np.testing.assert_allclose(found, -Retriever.load(exported / "run").encode_text(TEXTS), atol=1e-5)


def test_a_folder_that_names_the_module_as_it_was_once_called_still_loads(exported: Path) -> None:
    module = import_module("dragoman.encoders.st_module")
    loaded = module.DragomanText.load(str(exported / "st")).eval()
    with torch.inference_mode():
        found = loaded(loaded.preprocess(TEXTS))["sentence_embedding"]
    np.testing.assert_allclose(found, Retriever.load(exported / "run").encode_text(TEXTS), atol=1e-5)


def test_the_name_in_the_folder_is_the_one_that_stays(exported: Path) -> None:
    (module,) = json.loads((exported / "st" / "modules.json").read_text())
    assert module["type"] == "dragoman.export.sentence_transformers.DragomanText"


def test_a_name_that_is_no_folder_is_refused() -> None:
    with pytest.raises(UserError, match="hf download owner/model --local-dir FOLDER"):
        DragomanText.load("owner/model")


def test_the_folder_is_a_model_of_ours_as_well(exported: Path) -> None:
    expected = Retriever.load(exported / "run").encode_text(TEXTS)
    np.testing.assert_array_equal(Retriever.load(exported / "st").encode_text(TEXTS), expected)


def test_the_verb_prints_the_table_or_json(run: Path, tmp_path: Path) -> None:
    line = ["export", str(run), "--to", "sentence-transformers", "--out", str(tmp_path / "st")]
    table = CliRunner().invoke(dragoman, line)
    assert table.exit_code == 0, table.output
    assert [text.split()[:4] for text in table.stdout.splitlines()[1:2]] == [
        ["texts,", "golden", "fp32", "3"]
    ]
    assert table.stdout.splitlines()[-1].startswith(f"{tmp_path / 'st'}: 0.")
    printed = json.loads(CliRunner().invoke(dragoman, [*line, "--json"]).stdout)
    assert printed == json.loads((tmp_path / "st" / "parity.json").read_text())


@pytest.mark.parametrize("option", [["--int8"], ["--set", "int8=true"]])
def test_the_verb_refuses_a_setting_of_another_target(run: Path, tmp_path: Path, option: list[str]) -> None:
    line = ["export", str(run), "--to", "sentence-transformers", "--out", str(tmp_path / "st"), *option]
    with pytest.raises(
        UserError, match=r"'sentence-transformers' has no setting 'int8'\. Known here: corpus"
    ):
        CliRunner().invoke(dragoman, line, catch_exceptions=False)
    # The verb reads a setting of the target as its own options.
    with pytest.raises(UserError, match=str(tmp_path / "none")):
        CliRunner().invoke(
            dragoman, [*line[: -len(option)], "--set", f"corpus={tmp_path / 'none'}"], catch_exceptions=False
        )
