"""Exports in modules of sentence-transformers' own, read where Dragoman is not installed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import export_world  # noqa: F401
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from export_world import save_hugging_run
from test_text_towers import save_sentence_transformers
from tiny_duals import DETAILS, dual
from tiny_encoders import WORDS, save_encoder
from tiny_towers import picture, save_tower

from dragoman.cli import dragoman
from dragoman.errors import MissingExtraError
from dragoman.export import export, sentence_transformers
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.sentences import kind_of, load_text_side
from dragoman.models.text.frozen import FrozenText, FrozenTextConfig
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig
from dragoman.models.text.vectors import FrozenVectors
from dragoman.models.vision import VisionTower
from dragoman.retrievers.trained import Retriever
from hiding import ran, without

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

GOLDEN = Path(__file__).parents[3] / "shared" / "models" / "mobilenet_v2_imagenet"
# Long and empty texts, unknown words, a curly apostrophe, a soft hyphen and the mark of byte order.
TEXTS = [
    "a dog runs over the green grass",
    "Um cão",
    "",
    "ζ never seen",
    "the green " * 30,
    "the dog’s grass",
    "the dog's grass",
    "gr\u00adass",
    "\ufeffcão dog",
]
PICTURES = [picture(number, (40 + number, 30)) for number in range(3)]
READ = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from sentence_transformers import SentenceTransformer
texts = Path(sys.argv[1], "texts.txt").read_text(encoding="utf-8").split("\\x00")
photos = sorted(map(str, Path(sys.argv[1]).glob("*.png")))
for folder in sys.argv[2:]:
    model = SentenceTransformer(folder, device="cpu")
    found = {"texts": model.encode(texts), "queries": model.encode_query(texts)}
    if "image" in model.modalities:
        found["images"] = model.encode([Image.open(photo) for photo in photos])
        found["files"] = model.encode_document(photos)
    np.savez(Path(folder, "found.npz"), **found)
assert not any(name.partition(".")[0] == "dragoman" for name in sys.modules)
"""


def hugging(root: Path, kind: str, **settings: Any) -> HuggingFaceText:
    path = save_encoder(root / "text", kind, words=[*WORDS, "'", "s"])
    torch.manual_seed(0)
    trunk = HuggingFaceText.load(HuggingFaceTextConfig(path=str(path), max_length=7, **settings))
    if trunk.config.standardise:
        trunk.fit_states(["a dog runs", "the green grass", "Um cão"])
    return trunk


def frozen(root: Path, save: Callable[[Path], Any], **reading: Any) -> FrozenText:
    save(root / "text")
    side, kind = load_text_side(root / "text"), kind_of(root / "text")
    assert kind is not None
    trunk = FrozenText(
        FrozenTextConfig(features="toy"),
        FrozenVectors(
            {
                "path": str(root / "text"),
                "fingerprint": kind.fingerprint(root / "text"),
                "reading": asdict(side.reading) | reading,
                "width": side.width,
            }
        ),
    )
    trunk.standardise(iter(TEXTS))
    return trunk


def save_seeing(root: Path, trunk: Any, tower: VisionTower, path: Path, **settings: Any) -> Path:
    """`root/run` with random norms and heads, which standardises what the tower makes of the pictures."""
    torch.manual_seed(1)
    model = DualEncoder(DualConfig(joint=16, **{"text_head": "linear", **settings}), trunk, tower.width)
    seen = torch.from_numpy(tower.encode(PICTURES))
    model.fit_features(seen.mean(0), seen.std(0))
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
                torch.nn.init.uniform_(values, 0.5, 2)
    vision = {"path": str(path), "fingerprint": tower.fingerprint}
    save_model(root / "run" / "model", model.eval(), DETAILS | {"features": "eyes", "vision": vision})
    return root / "run"


WORLDS: dict[str, tuple[Callable[[Path], Any], str, dict[str, Any]]] = {
    "standardised": (
        lambda root: hugging(root, "xlm-roberta", standardise=True, prefix="a "),
        "clip",
        {},
    ),
    "residual": (
        lambda root: hugging(root, "bert"),
        "vit_without_pooler",
        {"text_head": "residual", "image_head": "mlp"},
    ),
    "projector": (
        lambda root: hugging(root, "bert", lowercase=True),
        "clip_vision",
        {"text_head": "projector", "image_head": "projector", "image_unit": True},
    ),
    "norms": (
        lambda root: hugging(root, "distilbert", lora=2),
        "vit",
        {"text_head": "mlp", "head_batch_norm": True, "image_head": "released"},
    ),
    "own": (
        lambda root: own(root),
        "siglip",
        {"text_head": "none", "image_head": "none"},
    ),
    "frozen": (
        lambda root: frozen(
            root,
            lambda to: save_encoder(to, "xlm-roberta", words=[*WORDS, "'", "s"]),
            prefix="a ",
            lowercase=True,
        ),
        "dinov2",
        {"image_head": "matrix"},
    ),
    "modules": (
        lambda root: frozen(root, save_sentence_transformers),
        "vit",
        {"text_head": "residual"},
    ),
}


def own(root: Path) -> HuggingFaceText:
    path = save_encoder(root / "text", "clip", words=[*WORDS, "'", "s"], joint=16)
    return HuggingFaceText.load(HuggingFaceTextConfig(path=str(path), max_length=7, own=True))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs and their exports, and what sentence-transformers reads of them where there is no Dragoman."""
    root = tmp_path_factory.mktemp("worlds")
    for number, one in enumerate(PICTURES):
        one.save(root / f"{number}.png")
    (root / "texts.txt").write_text("\x00".join(TEXTS), encoding="utf-8")
    for name, (trunk, kind, settings) in WORLDS.items():
        here = root / name
        tower = VisionTower.load(save_tower(here / "tower", kind))
        run = save_seeing(here, trunk(here), tower, here / "tower", **settings)
        export(run, to="sentence-transformers", out=here / "st")
    read = ran(without("dragoman", root, *(root / name / "st" for name in WORLDS), code=READ))
    assert read.returncode == 0, read.stderr
    return root


@pytest.mark.parametrize("name", WORLDS)
def test_vectors_are_those_of_the_model_without_dragoman(worlds: Path, name: str) -> None:
    retriever, found = Retriever.load(worlds / name / "run"), np.load(worlds / name / "st" / "found.npz")
    texts = retriever.encode_text(TEXTS)
    if isinstance(trunk := retriever.model.trunk, FrozenText):
        # Without the float16 in which vectors are stored: modules of others do not round.
        given = torch.from_numpy(trunk.frozen.side.encode(TEXTS)).unsqueeze(1)
        mask = torch.ones(len(TEXTS), 1, dtype=torch.bool)
        with torch.inference_mode():
            texts = retriever.model.encode_text({"vectors": given, "mask": mask}).vector.numpy()
    np.testing.assert_allclose(found["texts"], texts, atol=1e-5)
    np.testing.assert_allclose(found["queries"], texts, atol=1e-5)
    tower = retriever.tower()
    images = retriever.encode_features(tower.encode(PICTURES))
    np.testing.assert_allclose(found["images"], images, atol=1e-5)
    np.testing.assert_allclose(found["files"], images, atol=1e-5)
    # They tell something apart.
    for vectors in (texts, images):
        assert np.ptp(vectors, axis=0).max() > 0.005


def test_invisible_characters_and_curly_apostrophes_are_read_alike(worlds: Path) -> None:
    found = np.load(worlds / "residual" / "st" / "found.npz")["texts"]
    plain, curly = (found[TEXTS.index(f"the dog{sign}s grass")] for sign in "'’")
    np.testing.assert_array_equal(plain, curly)
    assert np.abs(found[TEXTS.index("gr\u00adass")] - found[TEXTS.index("ζ never seen")]).max() > 0.01


def test_the_tower_of_imagenet_is_read_alike(worlds: Path, tmp_path: Path) -> None:
    if not GOLDEN.is_dir():
        pytest.skip("the pretrained vision tower mobilenet_v2_imagenet is not there")
    tower = VisionTower.load(GOLDEN)
    run = save_seeing(tmp_path, hugging(tmp_path, "bert"), tower, GOLDEN)
    export(run, to="sentence-transformers", out=tmp_path / "st")
    read = ran(without("dragoman", worlds, tmp_path / "st", code=READ))
    assert read.returncode == 0, read.stderr
    images = np.load(tmp_path / "st" / "found.npz")["images"]
    expected = Retriever.load(run).encode_features(tower.encode(PICTURES))
    np.testing.assert_allclose(images, expected, atol=1e-5)
    np.testing.assert_allclose(images, Retriever.load(run).encode_image(PICTURES), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text_head": "attention"}, "it has an attention layer of its own"),
        ({"text_head": "linear"}, "its text encoder is Dragoman's own"),
    ],
)
def test_what_has_no_module_keeps_ours_and_says_why(
    change: dict[str, Any], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_model(tmp_path / "run" / "model", dual(**change), DETAILS)
    with caplog.at_level(logging.INFO, "dragoman.export"):
        export(tmp_path / "run", to="sentence-transformers", out=tmp_path / "st")
    assert f"because {reason}" in caplog.text and "trust_remote_code=True" in caplog.text
    assert "DragomanText" in (tmp_path / "st" / "modules.json").read_text()


def test_an_encoder_that_automodel_does_not_load_keeps_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trunk = hugging(tmp_path, "t5")
    save_model(
        tmp_path / "run" / "model", DualEncoder(DualConfig(joint=16, text_head="linear"), trunk, 12), DETAILS
    )
    with caplog.at_level(logging.INFO, "dragoman.export"):
        export(tmp_path / "run", to="sentence-transformers", out=tmp_path / "st")
    assert "no model of its own for its text encoder (T5Stack)" in caplog.text


def test_texts_alone_where_no_tower_is_known_and_images_where_it_is_named(
    worlds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trunk = HuggingFaceText.load(HuggingFaceTextConfig(path=str(worlds / "residual" / "text")))
    model = DualEncoder(DualConfig(joint=16, text_head="linear"), trunk, 8).eval()
    save_model(tmp_path / "run" / "model", model, DETAILS)
    line = ["export", str(tmp_path / "run"), "--to", "sentence-transformers", "--out", str(tmp_path / "st")]
    with caplog.at_level(logging.INFO, "dragoman.export"):
        alone = export(tmp_path / "run", to="sentence-transformers", out=tmp_path / "st")
    assert "name it: --vision FOLDER" in caplog.text
    assert [row.what for row in alone.parity] == ["texts, golden"]
    line += ["--vision", str(worlds / "standardised" / "tower")]
    both = CliRunner().invoke(dragoman, line, catch_exceptions=False)
    assert both.exit_code == 0 and "images" in both.stdout


def test_our_module_can_be_asked_for(worlds: Path, tmp_path: Path) -> None:
    run = worlds / "residual" / "run"
    export(run, to=sentence_transformers.Config(plain=False), out=tmp_path / "st")
    expected = Retriever.load(run).encode_text(TEXTS)
    np.testing.assert_array_equal(Retriever.load(tmp_path / "st").encode_text(TEXTS), expected)


def test_without_the_package_it_says_how_to_get_it(
    worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"dragoman\[export\]"):
        export(worlds / "residual" / "run", to="sentence-transformers", out=tmp_path / "st")
    assert not (tmp_path / "st").exists()


def test_a_run_whose_trunk_has_attention_is_exported_as_before(tmp_path: Path) -> None:
    export(save_hugging_run(tmp_path), to="sentence-transformers", out=tmp_path / "st")
    assert "DragomanText" in (tmp_path / "st" / "modules.json").read_text()
