"""The contract of text encoders that learn: every module of `dragoman/models/text` keeps it.

A kind brings `tests/models/<name>_text_setup.py` with

    config(folder)    its `Config`, for an encoder of width 16 or less; it may write into the folder
    kept(name)        the `KeptVectors` of that name, where it reads some
    MORE              further fields of the `Material` that it is made of (none where it is missing)
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tiny_duals import DETAILS, FEATURES, TEXTS

from dragoman import settings
from dragoman.errors import UserError
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.models.identity import own_fingerprint
from dragoman.models.text import TextConfig, kinds, load, name_of
from dragoman.models.text.contract import Material, TextEncoder, no_vectors

MANY = [*TEXTS, "", "a dog " * 40, "dog"]


def material(name: str) -> Material:
    kept = getattr(set_up(name), "kept", no_vectors)
    more = getattr(set_up(name), "MORE", {})
    return Material(
        texts=lambda: TEXTS,
        source_texts=lambda: TEXTS,
        known={},
        links=lambda settings: {},
        kept=kept,
        **more,
    )


def set_up(name: str) -> ModuleType:
    """The set-up of a kind, or a failure that says what to write."""
    if importlib.util.find_spec(f"{name}_text_setup") is None:
        pytest.fail(
            f"Write tests/models/{name}_text_setup.py with config(folder): a tiny encoder. "
            "See small_text_setup.py beside it."
        )
    return importlib.import_module(f"{name}_text_setup")


@pytest.fixture(scope="module", params=kinds())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def config(name: str, tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    found: TextConfig = set_up(name).config(tmp_path_factory.mktemp(name))
    return found


@pytest.fixture
def encoder(name: str, config: TextConfig) -> TextEncoder:
    torch.manual_seed(0)
    made: TextEncoder = load(name).Encoder.fresh(config, material(name))
    return made.eval()


def states_of(encoder: TextEncoder, texts: list[str]) -> list[torch.Tensor]:
    """[L, H] of each text, without padding."""
    inputs = encoder.prepare(texts)
    with torch.inference_mode():
        states = encoder(encoder.embed(inputs), inputs["mask"])
    assert states.shape == (*inputs["mask"].shape, encoder.width)
    return [state[mask] for state, mask in zip(states, inputs["mask"], strict=True)]


def dual_of(encoder: TextEncoder) -> DualEncoder:
    shape = DualConfig(joint=16, hidden=16, heads=2, key_width=8)
    return DualEncoder(shape, encoder, FEATURES).eval()


def test_settings_come_back_from_json(name: str, config: TextConfig) -> None:
    assert isinstance(config, TextConfig) and load(name).Config is type(config)
    assert settings.restore(type(config), json.loads(json.dumps(asdict(config)))) == config
    field = min(asdict(config))
    with pytest.raises(FrozenInstanceError):
        setattr(config, field, asdict(config)[field])


def test_the_name_of_the_file_is_that_of_the_kind(
    name: str, config: TextConfig, encoder: TextEncoder
) -> None:
    assert name_of(config) == name_of(encoder) == name


def test_texts_have_a_token_at_least_and_are_cut(encoder: TextEncoder, config: TextConfig) -> None:
    mask = encoder.prepare(MANY)["mask"]
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == encoder.lengths(MANY)
    assert min(encoder.lengths(MANY)) >= 1
    assert max(encoder.lengths(MANY)) == encoder.max_tokens <= config.max_tokens


def test_states_do_not_depend_on_the_texts_beside(encoder: TextEncoder) -> None:
    together = states_of(encoder, MANY)
    for text, found in zip(MANY, together, strict=True):
        torch.testing.assert_close(found, states_of(encoder, [text])[0], atol=1e-5, rtol=0)
    assert not torch.allclose(together[0][0], together[1][-1], atol=1e-3)


def test_a_model_comes_back_from_its_folder(encoder: TextEncoder, tmp_path: Path) -> None:
    model = dual_of(encoder)
    save_model(tmp_path, model, DETAILS)
    loaded, _ = load_model(tmp_path)
    assert type(loaded.trunk) is type(encoder)
    expected, found = (one.encode_text(one.trunk.prepare(MANY)).vector for one in (model, loaded))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_every_asset_decides_the_identity(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save_assets(tmp_path / "assets")
    written = [file.relative_to(tmp_path / "assets") for file in (tmp_path / "assets").rglob("*.*")]
    save_model(tmp_path / "model", dual_of(encoder), DETAILS)
    before = own_fingerprint(tmp_path / "model")
    for file in written:
        content = (tmp_path / "model" / file).read_bytes()
        (tmp_path / "model" / file).unlink()
        assert own_fingerprint(tmp_path / "model") != before, f"{file} may change unseen"
        (tmp_path / "model" / file).write_bytes(content)
    assert written and own_fingerprint(tmp_path / "model") == before


def test_a_vocabulary_that_grows_reads_old_texts_as_before(encoder: TextEncoder, config: TextConfig) -> None:
    grown = encoder.extended(["zwei Hunde laufen"]).eval()
    assert (encoder.table is not None) == config.grows
    if encoder.table is None:
        assert grown is encoder
        return
    assert grown.table is not None and len(grown.table) > len(encoder.table)
    torch.testing.assert_close(grown.table[: len(encoder.table)], encoder.table, atol=0, rtol=0)
    for found, expected in zip(states_of(grown, TEXTS), states_of(encoder, TEXTS), strict=True):
        torch.testing.assert_close(found, expected, atol=0, rtol=0)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"No text encoder 'letters'. Known: .*small.*text/letters\.py"):
        load("letters")
