"""The example of the page, run over a run that the export writes as plain modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from export_world import DETAILS
from tiny_encoders import save_encoder
from tiny_towers import picture, save_tower

from dragoman.export import export
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig
from dragoman.models.vision import VisionTower
from dragoman.retrievers.trained import Retriever

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed: make interop")
PAGE = Path(__file__).parents[2] / "docs" / "interoperate.md"


def test_the_page_says_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tower = VisionTower.load(save_tower(tmp_path / "tower", "clip"))
    trunk = HuggingFaceText.load(HuggingFaceTextConfig(path=str(save_encoder(tmp_path / "text", "bert"))))
    torch.manual_seed(0)
    model = DualEncoder(DualConfig(joint=16, text_head="linear"), trunk, tower.width).eval()
    vision = {"path": str(tmp_path / "tower"), "fingerprint": tower.fingerprint}
    save_model(tmp_path / "run" / "model", model, DETAILS | {"vision": vision})
    export(tmp_path / "run", to="sentence-transformers", out=tmp_path / "model-st")
    (tmp_path / "photos").mkdir()
    picture(0).save(tmp_path / "photos" / "dog.jpg")
    section = (
        PAGE.read_text(encoding="utf-8").partition("## sentence-transformers\n")[2].partition("\n## ")[0]
    )
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(code, {})
    told = float(capsys.readouterr().out.strip().strip("[]"))
    retriever = Retriever.load("run")
    expected = retriever.encode_text(["um cão corre na praia"]) @ retriever.encode_image(["photos/dog.jpg"]).T
    assert told == pytest.approx(float(expected[0, 0]), abs=1e-3)
