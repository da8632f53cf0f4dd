"""Searching by a video: its vector by hand, for each kind of model, and what is found with it."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import toy_model
from export_world import save_seeing_run
from PIL import Image
from test_public import save_dual
from test_video import config
from tiny_duals import DETAILS, small_text
from tiny_towers import save_tower
from tiny_videos import COLOURS, save_sound, save_video
from toy_model import unit

from dragoman.errors import UserError
from dragoman.export import export
from dragoman.index import IndexOptions, index_media
from dragoman.media.images import ImageError
from dragoman.media.video import VideoPart
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.vision import VisionTower
from dragoman.retrievers.loading import load_encoder
from dragoman.retrievers.trained import Retriever
from dragoman.retrievers.videos import encode_video
from dragoman.search import live
from dragoman.search.calibration import Calibration, Judgement
from dragoman.search.live import VideoVectors
from dragoman.search.query import Answer, Query
from dragoman.search.searcher import Searcher

CLIP = ["red"] * 10 + ["green/blue"] * 10 + ["yellow"] * 5
ORDERS = {
    "there": ["red", "green", "blue", "yellow"],
    "back": ["yellow", "blue", "green", "red"],
    "other": ["blue", "red", "yellow", "green"],
}


def decoded(file: Path) -> list[Image.Image]:
    """All frames, by the library itself."""
    with av.open(str(file)) as container:
        return [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def ids(answer: Answer) -> list[str]:
    return [hit.entry.item_id for hit in answer.hits]


@pytest.fixture(scope="module")
def readers_of_images(traced_once: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run, its export, and a public model."""
    root = tmp_path_factory.mktemp("models")
    run = save_seeing_run(root)
    export(run, to="onnx", out=root / "onnx")
    return {"run": run, "onnx": root / "onnx", "public": save_dual(root / "clip", "clip")}


@pytest.mark.parametrize("kind", ["run", "onnx", "public"])
def test_by_a_model_of_images_a_video_is_the_mean_of_its_frames(
    readers_of_images: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    model = load_encoder(readers_of_images[kind])
    file = save_video(tmp_path / "a.mp4", CLIP)
    # Ten frames a second, of which one a second is looked at.
    frames = decoded(file)
    expected = unit(model.encode_image([frames[at] for at in (0, 10, 20)]).mean(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(encode_video(model, VideoPart(source=file)), expected, atol=1e-6)
    part = encode_video(model, VideoPart(source=file.read_bytes(), start=1, end=2))
    np.testing.assert_allclose(part, model.encode_image([frames[10]])[0], atol=1e-6)


def save_watching_run(root: Path, pooling: str, every: float) -> Path:
    """`root/run`, a model of videos on a tower in `root/tower`."""
    tower = VisionTower.load(save_tower(root / "tower", "clip"))
    torch.manual_seed(0)
    shape = DualConfig(joint=16, hidden=16, heads=2, key_width=8, image_head="none")
    model = DualEncoder(shape, small_text(), tower.width, video=config(pooling))
    # Differences between colours, and what order adds to them, made large.
    frames = [Image.new("RGB", (64, 48), colour) for colour in COLOURS.values()]
    seen = torch.from_numpy(tower.encode(frames)).float()
    model.fit_features(seen.mean(0), seen.std(0))
    assert model.image_frames is not None
    for parameter in model.image_frames.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter)
    sampling = {"every": every, "scenes": None, "most": 1024}
    vision = {"path": str(root / "tower"), "fingerprint": tower.fingerprint, "sampling": sampling}
    details = DETAILS | {"features": "eyes", "vision": vision}
    save_model(root / "run" / "model", model.eval(), details)
    return root / "run"


@pytest.mark.parametrize("pooling", ["temporal", "mean"])
def test_by_a_model_of_videos_a_clip_is_told_from_its_reversal_by_order_alone(
    tmp_path: Path, pooling: str
) -> None:
    run = save_watching_run(tmp_path, pooling, every=0.2)
    (tmp_path / "media").mkdir()
    for name, colours in ORDERS.items():
        save_video(tmp_path / "media" / f"{name}.avi", [one for one in colours for _ in range(2)])
    index_media(run, tmp_path / "media", tmp_path / "index", IndexOptions(device="cpu"))
    model = Retriever.load(run)
    with Searcher.open(tmp_path / "index") as searcher:
        assert searcher.info.count == 3
        for name in ORDERS:
            file = tmp_path / "media" / f"{name}.avi"
            found = searcher.encode_video([file])
            np.testing.assert_allclose(found, model.encode_video([file]), atol=1e-6)
            scores = {hit.entry.path: hit.score for hit in searcher.search(Query(video=file)).hits}
            assert scores[file.name] == pytest.approx(1, abs=1e-4)
            others = max(score for path, score in scores.items() if path != file.name)
            assert (others < 0.99) is (pooling == "temporal")


def test_a_long_video_is_asked_with_by_as_many_frames_as_a_model_reads(tmp_path: Path) -> None:
    colours = [name for name in ("red", "green", "blue", "yellow") for _ in range(50)]
    file = save_video(tmp_path / "a.mp4", colours, rate=1)
    model = toy_model.ToyModel(toy_model.save_model(tmp_path / "run"))
    frames = decoded(file)
    # 200 seconds in 64 steps of 3.125.
    chosen = [frames[int(3.125 * number)] for number in range(64)]
    found = encode_video(model, VideoPart(source=file))
    assert (sum(model.seen), max(model.seen)) == (64, 4)
    expected = unit(model.encode_image(chosen).mean(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A film of three seconds each of red, green and blue, one of blue, and a yellow picture; indexed."""
    toy_model.install(monkeypatch)
    folder = tmp_path / "media"
    folder.mkdir()
    save_video(folder / "three.mp4", ["red"] * 30 + ["green"] * 30 + ["blue"] * 30)
    save_video(folder / "blue.mp4", ["blue"] * 20)
    toy_model.save_picture(folder / "yellow.png", "yellow")
    toy_model.save_model(tmp_path / "run")
    index_media(tmp_path / "run", folder, tmp_path / "index", IndexOptions(device="cpu"))
    return folder


@pytest.fixture
def searcher(media: Path) -> Searcher:
    return Searcher.open(media.parent / "index")


def test_a_part_finds_its_moment(searcher: Searcher, media: Path) -> None:
    film = media / "three.mp4"
    assert ids(searcher.search(Query(video=film, k=1))) == ["yellow.png"]
    assert ids(searcher.search(Query(video=f"{film}#t=3,6", k=1))) == ["three.mp4#t=3.00,6.00"]
    # The id of a moment names it.
    for moment in ("three.mp4#t=0.00,3.00", "three.mp4#t=3.00,6.00", "blue.mp4#t=0.00,2.00"):
        best = searcher.search(Query(video=media / moment, k=3, moments=True)).hits
        scores = {hit.entry.item_id: hit.score for hit in best}
        assert scores[moment] == pytest.approx(1, abs=1e-5)


def test_the_best_moment_of_a_video_answers_or_all_of_them(searcher: Searcher, media: Path) -> None:
    green = f"{media / 'three.mp4'}#t=3,6"
    films = [one.partition("#")[0] for one in ids(searcher.search(Query(video=green, k=5)))]
    assert sorted(films) == ["blue.mp4", "three.mp4", "yellow.png"]
    every = ids(searcher.search(Query(video=green, k=5, moments=True)))
    assert sorted(every) == [
        "blue.mp4#t=0.00,2.00",
        "three.mp4#t=0.00,3.00",
        "three.mp4#t=3.00,6.00",
        "three.mp4#t=6.00,9.00",
        "yellow.png",
    ]
    alike = ids(searcher.search(Query(item_id="three.mp4#t=6.00,9.00", k=5, moments=True)))
    assert alike[0] == "blue.mp4#t=0.00,2.00"
    assert sorted(alike) == sorted(set(every) - {"three.mp4#t=6.00,9.00"})


def test_a_video_is_added_to_a_text_and_an_image_as_an_image_is(searcher: Searcher, media: Path) -> None:
    blue = media / "blue.mp4"
    (video,) = searcher.encode_video([blue])
    (text,) = searcher.encode_text(["red"])
    (image,) = searcher.encode_image([media / "yellow.png"])
    stored = {
        hit: searcher.store.vectors([hit])[0] for hit in ids(searcher.search(Query(text="red", moments=True)))
    }
    queries: list[tuple[dict[str, Any], np.ndarray]] = [
        ({"text": "red"}, video + text),
        ({"image": media / "yellow.png"}, video + image),
        ({"text": "-red", "image": media / "yellow.png"}, video + image - 0.5 * text),
    ]
    for given, total in queries:
        answer = searcher.search(Query(video=blue, moments=True, **given))
        for hit in answer.hits:
            expected = float(unit(total[None])[0] @ stored[hit.entry.item_id])
            assert hit.score == pytest.approx(expected, abs=2e-3)
        assert len(answer.hits) == len(stored)


def test_many_queries_are_answered_as_one_by_one(searcher: Searcher, media: Path) -> None:
    queries = [
        Query(text="red"),
        Query(video=media / "blue.mp4"),
        Query(video=VideoPart(source=(media / "three.mp4").read_bytes(), end=3)),
        Query(text="green", video=f"{media / 'three.mp4'}#t=3"),
    ]
    together = searcher.search_many(queries)
    for query, answer in zip(queries, together, strict=True):
        alone = searcher.search_many([query])[0]
        assert ids(answer) == ids(alone)
        assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in alone.hits])
    assert ids(together[2])[0] == "three.mp4#t=0.00,3.00"
    assert [answer.language is None for answer in together] == [False, True, True, False]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.mp4", r"gone\.mp4: no such file"),
        ("gone.mp4#t=1,2", r"gone\.mp4: no such file"),
        ("blue.mp4#t=2,1", r"blue\.mp4: the part from 2 to 1 seconds is empty"),
        ("blue.mp4#t=2,4", r"blue\.mp4: it ends after 2\.0 seconds, and the part begins at 2"),
        ("sound.mp4", r"sound\.mp4: it has no video stream, only sound"),
        ("torn.mp4", r"torn\.mp4: not a video of a known format, or damaged at its beginning or end"),
        ("yellow.png", r"yellow\.png: not a video of a known format"),
    ],
)
def test_a_video_that_cannot_be_read_is_told_by_name(
    searcher: Searcher, media: Path, name: str, said: str
) -> None:
    save_sound(media / "sound.mp3").rename(media / "sound.mp4")
    (media / "torn.mp4").write_bytes((media / "three.mp4").read_bytes()[:-200])
    with pytest.raises(ImageError, match=said):
        searcher.search(Query(text="red", video=media / name))
    assert ids(searcher.search(Query(video=media / "blue.mp4", k=1))) == ["blue.mp4#t=0.00,2.00"]


def test_clips_of_one_content_are_told_apart_by_part_limits_and_model(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, seen = (media / "three.mp4").read_bytes(), VideoVectors()
    model = toy_model.load_toy(media.parent / "run")
    for start, name in ((0, "red"), (3, "green"), (6, "blue"), (3, "green"), (0, "red")):
        vector = seen.vector(model, VideoPart(source=content, start=start, end=start + 3))
        assert int(vector.argmax()) == toy_model.COLOURS[name]
    assert sum(model.seen) == 9
    whole = seen.vector(model, VideoPart(source=content))
    np.testing.assert_array_equal(whole, encode_video(model, VideoPart(source=content)))
    with pytest.raises(ImageError, match=r"it lasts 9\.0 seconds, more than the limit of 8"):
        seen.vector(model, VideoPart(source=content, max_seconds=8))
    # What was asked for longest ago is forgotten first, and a file may have changed.
    monkeypatch.setattr(live, "KEPT", 1)
    seen = VideoVectors()
    for clip, frames in (
        (VideoPart(source=content, end=1), 1),
        (VideoPart(source=content), 9),
        (VideoPart(source=content), 0),
    ):
        before = sum(model.seen)
        seen.vector(model, clip)
        assert sum(model.seen) - before == frames
    before = sum(model.seen)
    for _ in range(2):
        seen.vector(model, VideoPart(source=media / "blue.mp4"))
    assert sum(model.seen) - before == 4


def test_a_new_model_watches_a_video_anew(searcher: Searcher, media: Path) -> None:
    clip = VideoPart(source=(media / "blue.mp4").read_bytes())
    searcher.encode_video([clip])
    loaded = len(toy_model.loaded)
    toy_model.save_model(media.parent / "run", fingerprint="9" * 64)
    index_media(media.parent / "run", media, media.parent / "index", IndexOptions(device="cpu"))
    (vector,) = searcher.encode_video([clip])
    assert int(vector.argmax()) == toy_model.COLOURS["blue"]
    assert any(2 in model.seen for model in toy_model.loaded[loaded:])


def test_vectors_of_videos_are_asked_for_in_a_list(searcher: Searcher, media: Path) -> None:
    with pytest.raises(UserError, match=r"encode_video takes a list of videos.*Write encode_video\(\["):
        searcher.encode_video(str(media / "blue.mp4"))
    assert searcher.encode_video([]).shape == (0, 3)


def test_a_video_is_judged_as_a_picture_is_and_not_as_a_text(searcher: Searcher, media: Path) -> None:
    """Only texts were calibrated: a relevance of anything else would mean nothing."""
    sure = Judgement(weights=(9.0, 0.0, 0.0), thresholds=(0.5,) * 4, queries=200)
    background = unit(np.random.default_rng(0).random((8, 3)))
    Calibration(
        fingerprint="1" * 64,
        languages={"en": sure},
        background=background,
        collection=5,
        growth=0.0,
        false_accepts=0.1,
    ).write(media.parent / "run" / "calibration.json")
    shutil.rmtree(media.parent / "index")
    index_media(media.parent / "run", media, media.parent / "index", IndexOptions(device="cpu"))
    with Searcher.open(media.parent / "index") as calibrated:

        def judged(**given: Any) -> tuple[bool | None, set[float | None]]:
            answer = calibrated.search(Query(**given))
            return answer.match, {hit.relevance for hit in answer.hits}

        assert judged(text="red", lang="en")[0] is True
        for more in ({}, {"text": "red", "lang": "en"}):
            assert judged(video=media / "blue.mp4", **more) == (None, {None})
            assert judged(image=media / "yellow.png", **more) == (None, {None})


def test_of_a_clip_of_many_seconds_a_batch_of_frames_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_video(tmp_path / "a.mp4", ["red", "blue"] * 20, rate=1)
    model = toy_model.ToyModel(toy_model.save_model(tmp_path / "run"))
    seen: list[weakref.ref[Image.Image]] = []
    held: list[int] = []

    def encode(images: Sequence[Image.Image]) -> np.ndarray:
        seen.extend(weakref.ref(image) for image in images)
        held.append(sum(one() is not None for one in seen))
        return np.ones((len(images), 3), np.float32)

    monkeypatch.setattr(model, "encode_image", encode)
    np.testing.assert_allclose(encode_video(model, VideoPart(source=file)), np.full(3, 3**-0.5), atol=1e-6)
    assert (len(seen), held) == (40, [4] * 10)
