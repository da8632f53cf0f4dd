"""The job and the search with a real model: PyTorch, a vision tower, and photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="models are PyTorch")


import torch
from tiny_duals import DETAILS, dual
from tiny_towers import picture, save_tower

from dragoman.index import IndexOptions, index_media
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.vision import tower_fingerprint
from dragoman.retrievers.trained import Retriever
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher

SHARED = Path(__file__).parents[3] / "shared"
PHOTOS = SHARED / "data" / "flickr8k_multilingual" / "images"
TOWER = SHARED / "models" / "mobilenet_v2_imagenet"


def save_run(folder: Path, tower: Path, feature_width: int) -> Path:
    """A run that knows its tower, with random weights."""
    torch.manual_seed(0)
    model = DualEncoder(DualConfig(joint=16, hidden=16, heads=2, key_width=8), dual().trunk, feature_width)
    vision = {"path": str(tower), "fingerprint": tower_fingerprint(tower)}
    save_model(folder / "model", model.eval(), DETAILS | {"features": "eyes", "vision": vision})
    return folder


def test_an_index_holds_the_vectors_of_the_model(tmp_path: Path) -> None:
    tower = save_tower(tmp_path / "tower", "clip")
    run = save_run(tmp_path / "run", tower, 8)
    (tmp_path / "photos").mkdir()
    for number in range(5):
        picture(number).save(tmp_path / "photos" / f"{number}.png")
    report = index_media(
        run, tmp_path / "photos", tmp_path / "index", IndexOptions(device="cpu", batch_size=2)
    )
    assert (report.done.added, report.info.width) == (5, 16)
    assert report.info.fingerprint == Retriever.load(run).fingerprint
    names = [f"{number}.png" for number in range(5)]
    with Searcher.open(tmp_path / "index") as searcher:
        expected = Retriever.load(run).encode_image([tmp_path / "photos" / name for name in names])
        # In other batches the tower may round differently by one float16 step.
        np.testing.assert_allclose(searcher.store.vectors(names), expected, atol=5e-3)
        answer = searcher.search(Query(text="a dog runs on the beach", k=5))
        scores = (
            Retriever.load(run).encode_text(["a dog runs on the beach"]) @ searcher.store.vectors(names).T
        )
        np.testing.assert_allclose([hit.score for hit in answer.hits], np.sort(scores[0])[::-1], atol=1e-5)


@pytest.mark.skipif(not (PHOTOS.is_dir() and TOWER.is_dir()), reason="the photos or the tower are absent")
def test_real_photos_find_themselves_and_stay_indexed(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", TOWER, 1280)
    (tmp_path / "photos").mkdir()
    for photo in sorted(PHOTOS.iterdir())[:6]:
        (tmp_path / "photos" / photo.name).write_bytes(photo.read_bytes())
    index_media(run, tmp_path / "photos", tmp_path / "index", IndexOptions(device="cpu"))
    with Searcher.open(tmp_path / "index") as searcher:
        for photo in (tmp_path / "photos").iterdir():
            best = searcher.search(Query(image=photo, k=1)).hits[0]
            assert best.entry.item_id == photo.name
            assert best.score == pytest.approx(1, abs=1e-3)
    again = index_media(run, tmp_path / "photos", tmp_path / "index", IndexOptions(device="cpu"))
    assert vars(again.done) == vars(type(again.done)())
