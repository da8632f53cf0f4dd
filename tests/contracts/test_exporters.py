"""The contract of exporters: every module of `dragoman/export` keeps it; a new one is found by its name.

An exporter brings `tests/export/<name>_setup.py` with

    encode_text(folder, texts)    [N, J] vectors of texts by the exported folder, read as its users read it
    VARIANTS                      further options, each with the least mean cosine to the model's vectors
                                  (none where it is missing)
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import export_world  # noqa: F401
import numpy as np
import pytest
from export_world import save_hugging_run, save_run
from tiny_duals import TEXTS

from dragoman import errors, plugins
from dragoman.errors import CheckFailedError, UserError
from dragoman.export import ExportConfig, config_of, export, parity, targets
from dragoman.folders import sha256
from dragoman.models.sentences import GOLDEN_TEXTS
from dragoman.retrievers.trained import Retriever

pytestmark = pytest.mark.usefixtures("traced_once")
PACKAGE = "dragoman.export"
NAMES = plugins.names(PACKAGE)
RUNS = {"small": lambda root: save_run(root / "run"), "huggingface": save_hugging_run}
# Long and empty texts, equal ones, and words that the model has never seen.
MANY = [*TEXTS, "", "ζ never seen", "a dog " * 80, TEXTS[0]]
each = pytest.mark.parametrize("name", NAMES)


def set_up(name: str) -> Any:
    """The set-up of an exporter, or a failure that says what to write."""
    if importlib.util.find_spec(f"{name}_setup") is None:
        pytest.fail(
            f"Write tests/export/{name}_setup.py with encode_text(folder, texts): vectors [N, J] of texts by "
            f"a folder that --to {name.replace('_', '-')} wrote. See onnx_setup.py beside it."
        )
    return importlib.import_module(f"{name}_setup")


def test_a_set_up_that_is_missing_is_told_by_the_name_of_its_file() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"Write tests/export/odd_setup\.py with encode_text\("):
        set_up("odd")


def variants() -> list[tuple[str, dict[str, Any], float]]:
    found = []
    for name in NAMES:
        known = importlib.util.find_spec(f"{name}_setup") is not None
        more = getattr(set_up(name), "VARIANTS", []) if known else []
        found += [(name, options, cosine) for options, cosine in more]
    return found


@pytest.fixture(scope="module", params=sorted(RUNS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = RUNS[request.param](tmp_path_factory.mktemp(request.param))
    (made / "model" / "calibration.json").write_text("{}")
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("small") / "run")


def files(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): sha256(file) for file in folder.rglob("*") if file.is_file()}


@each
def test_vectors_of_texts_are_those_of_the_model(name: str, run: Path, tmp_path: Path) -> None:
    before = files(run)
    made = export(run, to=name.replace("_", "-"), out=tmp_path / "out")
    assert files(run) == before
    expected = Retriever.load(run).encode_text(MANY)
    found = set_up(name).encode_text(tmp_path / "out", MANY)
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The texts tell nothing apart where all vectors are one.
    assert (expected @ expected.T).min() < 0.9
    # What the export says of itself is what is measured here.
    (golden,) = [row for row in made.parity if row.what == "texts, golden"]
    ours, theirs = (
        np.asarray(vectors, np.float64)
        for vectors in (
            Retriever.load(run).encode_text(GOLDEN_TEXTS),
            set_up(name).encode_text(tmp_path / "out", list(GOLDEN_TEXTS)),
        )
    )
    assert (golden.count, golden.precision) == (3, "fp32")
    assert golden.largest_difference == pytest.approx(np.abs(ours - theirs).max(), abs=1e-6)
    assert golden.cosine_min == pytest.approx((ours * theirs).sum(axis=1).min(), abs=1e-6)


@each
def test_the_folder_says_what_it_is(name: str, run: Path, tmp_path: Path) -> None:
    made = export(run, to=name.replace("_", "-"), out=tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["format"], manifest["target"]) == ("dragoman-export", name.replace("_", "-"))
    assert manifest["inputs"] == {"model.safetensors": sha256(run / "model" / "model.safetensors")}
    stored = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert stored == [dataclasses.asdict(row) for row in made.parity] != []
    # The card, and what scores are worth, go along.
    for file in ("README.md", "calibration.json"):
        assert (tmp_path / "out" / file).read_bytes() == (run / "model" / file).read_bytes()
    written = files(tmp_path / "out")
    sizes = {file: (tmp_path / "out" / file).stat().st_size for file in made.sizes}
    assert made.sizes == sizes and set(written) - set(made.sizes) <= {".lock"}


@each
def test_options_are_frozen_and_unknown_ones_refused(name: str) -> None:
    target = name.replace("_", "-")
    config = config_of(target, {})
    assert isinstance(config, ExportConfig) and config.corpus is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.corpus = "corpus/"  # type: ignore[misc]
    assert config_of(target, {"corpus": "corpus/"}).corpus == "corpus/"
    with pytest.raises(
        UserError, match=f"The target '{target}' has no setting 'speed'. Known here: .*corpus"
    ):
        config_of(target, {"corpus": "corpus/", "speed": 3})


@each
def test_an_export_that_differs_leaves_nothing_behind(
    name: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "LARGEST", -1.0)
    with pytest.raises(
        CheckFailedError, match=r"differs from the model by up to .* \(texts, golden\)"
    ) as found:
        export(small, to=name.replace("_", "-"), out=tmp_path / "out")
    assert found.value.exit_code == errors.Exit.CHECK_FAILED == 4
    assert list(tmp_path.iterdir()) == []


@each
def test_an_earlier_export_is_replaced_only_by_a_good_one(
    name: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, target = tmp_path / "out", name.replace("_", "-")
    export(small, to=target, out=out)
    before = {file: made for file, made in files(out).items() if file != "manifest.json"}
    (out / "stale").touch()
    with monkeypatch.context() as patch:
        patch.setattr(parity, "LARGEST", -1.0)
        with pytest.raises(CheckFailedError, match="nothing was written"):
            export(small, to=target, out=out)
    assert (out / "stale").exists()
    export(small, to=target, out=out)
    assert not (out / "stale").exists()
    assert set(files(out)) - {".lock", "manifest.json"} == set(before) - {".lock"}


@each
def test_other_folders_are_left_alone(name: str, small: Path, tmp_path: Path) -> None:
    target = name.replace("_", "-")
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError, match="left alone"):
        export(small, to=target, out=tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "dragoman-corpus", "format_version": 1}')
    with pytest.raises(UserError, match="holds a dragoman-corpus, but a dragoman-export was expected"):
        export(small, to=target, out=tmp_path)
    assert (tmp_path / "photo.jpg").exists()


@pytest.mark.parametrize(("name", "options", "cosine"), variants())
def test_variants_keep_the_direction_of_vectors(
    name: str, options: dict[str, Any], cosine: float, tmp_path: Path
) -> None:
    # Integers saturate on some processors, which costs a model as small as the other one too much.
    run = save_hugging_run(tmp_path / "run")
    export(run, to=config_of(name.replace("_", "-"), options), out=tmp_path / "out")
    expected = Retriever.load(run).encode_text(MANY)
    found = set_up(name).encode_text(tmp_path / "out", MANY)
    assert np.einsum("nj,nj->n", found, expected).mean() >= cosine


def test_targets_are_named_as_users_write_them(small: Path, tmp_path: Path) -> None:
    assert {"onnx", "sentence-transformers"} <= set(targets())
    with pytest.raises(UserError, match=r"No export target 'tflite'. Known: .*onnx, .*sentence_transformers"):
        export(small, to="tflite", out=tmp_path / "out")
