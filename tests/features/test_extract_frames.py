"""Frames of a corpus through a tower: the whole way from a folder of clips, and what interrupts it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_duals import DETAILS, dual, small_text
from tiny_towers import picture, save_tower
from tiny_videos import COLOURS, save_sound, save_video

from command_line import dragoman
from dragoman.corpus import BuildOptions, Corpus, FeatureSet, build_folder
from dragoman.corpus.features import write_features
from dragoman.errors import MissingExtraError, UserError
from dragoman.features import encoding
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.index.moments import frames_seen, moments
from dragoman.media.frames import Sampling
from dragoman.media.images import open_image
from dragoman.media.reading import sampled_frames
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.temporal import VideoConfig
from dragoman.models.vision import VisionTower
from dragoman.retrievers.trained import Retriever
from dragoman.retrievers.videos import encode_videos

RESULT = ("vectors.npy", "offsets.npy", "times.npy", "ids.txt", "rejected.jsonl")
CLIPS = {"dawn": ["red"] * 10 + ["yellow"] * 15, "dusk": ["blue"] * 10, "noon": ["green"] * 32}


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tower(tmp_path_factory.mktemp("towers") / "tiny clip", "clip")


def clips(folder: Path) -> Path:
    """A corpus of three clips and one picture, with captions beside two of them."""
    media = folder / "media"
    media.mkdir(parents=True)
    for name, colours in CLIPS.items():
        save_video(media / f"{name}.mp4", colours)
    picture(1).save(media / "still.png")
    (media / "dawn.txt").write_text("the sun rises\n")
    (media / "still.pt.txt").write_text("ruído\n")
    return build_folder(media, folder / "corpus", BuildOptions(lang="en", split="test")).corpus.folder


def frames_of(corpus: Path, name: str = "tiny_clip") -> FeatureSet:
    found = Corpus.open(corpus).features(name)
    assert found.layout == "frames"
    return found


def test_a_folder_of_clips_becomes_items_of_their_kind(tmp_path: Path) -> None:
    corpus = Corpus.open(clips(tmp_path))
    kinds = dict(zip(corpus.items["item_id"].to_pylist(), corpus.items["kind"].to_pylist(), strict=True))
    assert kinds == {"dawn.mp4": "video", "dusk.mp4": "video", "noon.mp4": "video", "still.png": "image"}
    assert corpus.captions["text"].to_pylist() == ["the sun rises", "ruído"]


def test_every_frame_gets_the_vector_of_its_picture_and_its_time(tmp_path: Path, tower: Path) -> None:
    corpus = clips(tmp_path)
    sampling = Sampling(every=0.5)
    report = extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=2, sampling=sampling))
    assert (report.extracted, report.total, report.frames, report.rejected) == (4, 4, 15, ())
    found, loaded = frames_of(corpus), VisionTower.load(tower)
    assert found.sampling == sampling
    counts = {"dawn.mp4": 5, "dusk.mp4": 2, "noon.mp4": 7, "still.png": 1}
    assert dict(zip(found.ids, np.diff(found.offsets).tolist(), strict=True)) == counts
    for name, count in counts.items():
        vectors, times = found.frames(name)
        assert times is not None and times.tolist() == [at / 2 for at in range(count)]
        file = tmp_path / "media" / name
        images = (
            [open_image(file)]
            if name == "still.png"
            else [image for _, image in sampled_frames(file, sampling)]
        )
        expected = loaded.encode(images, batch_size=2).astype(np.float16)
        np.testing.assert_array_equal(vectors, expected)
    assert found.manifest["encoder"] == {
        "path": str(tower),
        "fingerprint": loaded.fingerprint,
        "sampling": {"every": 0.5, "scenes": None, "most": 1024},
    }


def test_broken_media_are_listed_with_their_reasons_and_tried_again(tmp_path: Path, tower: Path) -> None:
    corpus = clips(tmp_path)
    media = tmp_path / "media"
    save_sound(media / "dusk.mp3").rename(media / "dusk.mp4")
    whole = (media / "noon.mp4").read_bytes()
    (media / "noon.mp4").write_bytes(whole[:-200])
    (media / "still.png").write_bytes(b"")
    report = extract_features(corpus, encoder=tower)
    reasons = {one.item_id: one.reason for one in report.rejected}
    assert list(reasons) == ["dusk.mp4", "noon.mp4", "still.png"]
    assert reasons["dusk.mp4"] == "it has no video stream, only sound"
    assert "damaged at its beginning or end" in reasons["noon.mp4"]
    assert reasons["still.png"] == "the file is empty"
    assert frames_of(corpus).ids == ["dawn.mp4"]
    (media / "noon.mp4").write_bytes(whole)
    before = np.array(frames_of(corpus).frames("dawn.mp4")[0])
    again = extract_features(corpus, encoder=tower)
    assert (again.extracted, again.total, len(again.rejected)) == (1, 2, 2)
    found = frames_of(corpus)
    assert (found.ids, np.diff(found.offsets).tolist()) == (["dawn.mp4", "noon.mp4"], [3, 4])
    np.testing.assert_array_equal(found.frames("dawn.mp4")[0], before)
    listed = [json.loads(line) for line in (report.folder / "rejected.jsonl").read_text().splitlines()]
    assert [one["item_id"] for one in listed] == ["dusk.mp4", "still.png"]


def test_a_second_run_does_nothing_and_loads_no_tower(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = clips(tmp_path)
    (tmp_path / "media" / "dusk.mp4").write_bytes(b"")
    first = extract_features(corpus, encoder=tower)
    monkeypatch.setattr(VisionTower, "load", lambda *_: pytest.fail("the tower was loaded"))
    second = extract_features(corpus, encoder=tower)
    assert (second.extracted, second.total, second.rejected) == (0, 3, first.rejected)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling(every=2), "it differs in every=1.0 there, 2 now"),
        (Sampling(scenes=0.2), "it differs in scenes=None there, 0.2 now"),
    ],
)
def test_frames_sampled_in_two_ways_are_not_mixed(
    tmp_path: Path, tower: Path, sampling: Sampling, said: str
) -> None:
    corpus = clips(tmp_path)
    extract_features(corpus, encoder=tower, name="eyes")
    with pytest.raises(UserError, match=re.escape(said) + r"\. They cannot be mixed\. .* \(--name eyes_2\)"):
        extract_features(corpus, encoder=tower, name="eyes", options=ExtractOptions(sampling=sampling))


def test_regions_of_frames_are_refused(tmp_path: Path, tower: Path) -> None:
    with pytest.raises(UserError, match="holds videos, of whose frames no regions are kept"):
        extract_features(clips(tmp_path), encoder=tower, options=ExtractOptions(grid=2))


def test_a_video_longer_than_it_says_keeps_so_many_frames_spread_over_it(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = clips(tmp_path)
    red, blue = (picture(seed) for seed in (1, 2))
    found = [(float(second), red if second < 6 else blue) for second in range(12)]
    monkeypatch.setattr(encoding, "sampled_frames", lambda *_: iter(found))
    extract_features(corpus, encoder=tower, options=ExtractOptions(sampling=Sampling(most=4)))
    times = frames_of(corpus).frames("dawn.mp4")[1]
    assert times is not None and times.tolist() == [1, 4, 7, 10]


def test_vectors_beyond_float16_reject_the_video(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = clips(tmp_path)
    monkeypatch.setattr(VisionTower, "embed", lambda self, some: np.full((len(some), 8), 7e4, np.float32))
    monkeypatch.setattr(VisionTower, "load", lambda *_: VisionTower.__new__(VisionTower))
    monkeypatch.setattr(VisionTower, "prepare", lambda self, image: {})
    report = extract_features(corpus, encoder=tower)
    assert {one.reason.split(" (")[0] for one in report.rejected} == {
        "a vector of it does not fit into float16"
    }
    assert len(report.rejected) == 4


def test_a_run_killed_anywhere_ends_with_the_same_bits(tmp_path: Path, tower: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    save_video(media / "dawn.mp4", ["red"] * 10 + ["yellow"])
    save_video(media / "dusk.mp4", ["black"])
    start = build_folder(media, tmp_path / "corpus", BuildOptions(split="test")).corpus.folder
    here = Path(__file__).parent
    arguments = [start, tmp_path / "trial", tower, *RESULT]
    done = subprocess.run(
        [sys.executable, here / "mean_colour.py", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    results = done.stdout.splitlines()
    assert len(results) > 15
    assert len(set(results)) == 1
    found = FeatureSet.open(tmp_path / "trial" / "features" / "eyes")
    assert found.layout == "frames"
    for name, second, shown in (("dawn.mp4", 0, "red"), ("dawn.mp4", 1, "yellow"), ("dusk.mp4", 0, "black")):
        np.testing.assert_allclose(found.frames(name)[0][second], COLOURS[shown], atol=6)


def test_a_half_finished_job_of_before_goes_on(tmp_path: Path, tower: Path) -> None:
    """Shards of frames were feature sets once."""
    corpus = clips(tmp_path)
    sampling = {"every": 1.0, "scenes": None, "most": 1024}
    shards = corpus / "features" / ".eyes" / "shards"
    note = {"fingerprint": VisionTower.load(tower).fingerprint, "grid": 0, "sampling": sampling}
    vectors = np.arange(16.0).reshape(2, 8)
    times = np.array([0.0, 1.0])
    write_features(
        shards / "shard-00000000", ["dusk.mp4"], [vectors], layout="frames", times=times, inputs={}
    )
    (shards / "encoder.json").write_text(json.dumps(note))
    (shards / "shard-00000000.json").write_text(json.dumps({"ids": ["dusk.mp4"], "rejected": []}))
    report = extract_features(corpus, encoder=tower, name="eyes")
    assert (report.extracted, report.total) == (4, 4)
    found, when = frames_of(corpus, "eyes").frames("dusk.mp4")
    np.testing.assert_array_equal(found, vectors)
    assert when is not None and when.tolist() == [0, 1]


def test_batches_hold_frames_of_one_video_alone(tmp_path: Path, tower: Path) -> None:
    """Vectors of a film do not change with its neighbours, not even in the last bit."""
    corpus = clips(tmp_path)
    extract_features(corpus, encoder=tower, name="all", options=ExtractOptions(batch_size=4))
    for name in ("noon.mp4", "dawn.mp4", "dawn.txt", "still.png", "still.pt.txt"):
        (tmp_path / "media" / name).unlink()
    alone = build_folder(tmp_path / "media", tmp_path / "alone", BuildOptions(split="test")).corpus.folder
    extract_features(alone, encoder=tower, name="all", options=ExtractOptions(batch_size=4))
    beside_others = frames_of(corpus, "all").frames("dusk.mp4")[0]
    np.testing.assert_array_equal(frames_of(alone, "all").vectors, beside_others)


def test_the_retriever_watches_videos_as_the_extraction_did(tmp_path: Path, tower: Path) -> None:
    corpus = clips(tmp_path)
    extract_features(
        corpus, encoder=tower, name="eyes", options=ExtractOptions(batch_size=4, sampling=Sampling(every=0.5))
    )
    features = frames_of(corpus, "eyes")
    torch.manual_seed(0)
    shape = DualConfig(joint=16, hidden=16, heads=2, key_width=8)
    video = VideoConfig(hidden=8, heads=2, key_width=4)
    model = DualEncoder(shape, small_text(), features.width, video=video).eval()
    details = DETAILS | {"features": "eyes", "vision": features.manifest["encoder"]}
    save_model(tmp_path / "run" / "model", model, details)
    retriever = Retriever.load(tmp_path / "run")
    names = ["noon.mp4", "dawn.mp4"]
    found = retriever.encode_video([tmp_path / "media" / name for name in names])
    stored = retriever.encode_features(features.whole(features.rows(names)))
    np.testing.assert_allclose(found, stored, atol=1e-5)
    vectors, times = retriever.frame_vectors(tmp_path / "media" / "dusk.mp4")
    np.testing.assert_array_equal(vectors, features.frames("dusk.mp4")[0])
    assert times.tolist() == [0, 0.5]
    # A picture is a film of one frame.
    still = retriever.encode_image([tmp_path / "media" / "still.png"])
    np.testing.assert_allclose(
        still, retriever.encode_features(features.frames("still.png")[0][None]), atol=1e-5
    )
    assert retriever.encode_video([]).shape == (0, 16)
    # A film of one scene is one moment, encoded as the film.
    seen = frames_seen(retriever, tmp_path / "media" / "noon.mp4")
    (moment,) = moments(retriever, seen, whole=False)
    np.testing.assert_allclose(encode_videos(retriever, [moment.seen])[0], found[0], atol=1e-5)


def test_a_model_of_images_watches_no_videos(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"This model reads images\. Train one on the frames of videos"):
        Retriever(dual(), {"features": "eyes"}, None).encode_video([tmp_path / "a.mp4"])


def test_without_the_package_no_video_is_rejected_but_the_extra_is_named(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = clips(tmp_path)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"'av', which is not installed\. .* 'dragoman\[video\]'"):
        extract_features(corpus, encoder=tower)


def test_a_tower_that_fails_ends_the_run_and_rejects_nothing(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = clips(tmp_path)

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    shape = VisionTower.load(tower)
    monkeypatch.setattr(VisionTower, "load", lambda *_: shape)
    monkeypatch.setattr(VisionTower, "embed", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        extract_features(corpus, encoder=tower)
    assert Corpus.open(corpus).feature_names == []


def mixed(folder: Path, photos: int, films: tuple[str, ...] = ("noon",)) -> Path:
    """A corpus of a few clips among pictures."""
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    for name in films:
        # Written twice, it may be another file.
        if not (media / f"{name}.mp4").is_file():
            save_video(media / f"{name}.mp4", CLIPS[name])
    for number in range(photos):
        picture(number).save(media / f"photo{number}.png")
    return build_folder(media, folder / "corpus", BuildOptions(lang="en", split="test")).corpus.folder


def test_a_video_among_more_images_is_the_mean_of_its_frames(tmp_path: Path, tower: Path) -> None:
    corpus = mixed(tmp_path, 3, ("dawn",))
    options = ExtractOptions(batch_size=2, sampling=Sampling(every=0.5))
    report = extract_features(corpus, encoder=tower, options=options)
    assert (report.extracted, report.total, report.frames, report.averaged) == (4, 4, 0, 1)
    found, loaded = Corpus.open(corpus).features("tiny_clip"), VisionTower.load(tower)
    assert (found.layout, found.averages_videos, found.vectors.shape) == ("whole", True, (4, 8))
    seen = [image for _, image in sampled_frames(tmp_path / "media" / "dawn.mp4", options.sampling)]
    assert len(seen) == 5
    # As the tower gives them, not of unit length: so are those of the images beside it.
    mean = sum(loaded.encode([image])[0].astype(np.float64) for image in seen) / 5
    np.testing.assert_allclose(found.whole(found.rows(["dawn.mp4"]))[0], mean, rtol=2e-3, atol=1e-4)
    photos = [f"photo{number}.png" for number in range(3)]
    images = [open_image(tmp_path / "media" / name) for name in photos]
    expected = loaded.encode(images, batch_size=2).astype(np.float16)
    np.testing.assert_array_equal(found.whole(found.rows(photos)), expected)
    assert found.sampling == options.sampling


@pytest.mark.parametrize(
    ("photos", "frames", "layout", "averaged"),
    [(2, False, "whole", 1), (1, False, "frames", 0), (2, True, "frames", 0)],
)
def test_the_majority_decides_or_the_option(
    tmp_path: Path, tower: Path, photos: int, frames: bool, layout: str, averaged: int
) -> None:
    corpus = mixed(tmp_path, photos)
    report = extract_features(corpus, encoder=tower, options=ExtractOptions(frames=frames))
    found = Corpus.open(corpus).features("tiny_clip")
    assert (found.layout, report.averaged) == (layout, averaged)
    assert report.frames == (0 if averaged else 4 + photos)


def test_a_later_run_goes_on_with_what_was_decided(tmp_path: Path, tower: Path) -> None:
    corpus = mixed(tmp_path, 2)
    extract_features(corpus, encoder=tower, name="mean")
    extract_features(corpus, encoder=tower, name="frames", options=ExtractOptions(frames=True))
    kept = np.array(Corpus.open(corpus).features("mean").vectors)
    # Videos are the majority now, and then there is none.
    names = ("noon", "dusk", "dawn")
    corpus = mixed(tmp_path, 2, names)
    for name, layout in (("mean", "whole"), ("frames", "frames")):
        assert extract_features(corpus, encoder=tower, name=name).extracted == 2
        found = Corpus.open(corpus).features(name)
        assert (found.layout, len(found.ids)) == (layout, 5)
    found = Corpus.open(corpus).features("mean")
    np.testing.assert_array_equal(found.whole(found.rows(["noon.mp4", "photo0.png", "photo1.png"])), kept)
    for name in names:
        (tmp_path / "media" / f"{name}.mp4").unlink()
    corpus = mixed(tmp_path, 3, ())
    for name, layout in (("mean", "whole"), ("frames", "frames")):
        report = extract_features(corpus, encoder=tower, name=name)
        assert (report.extracted, report.total, report.averaged) == (1, 3, 0)
        assert Corpus.open(corpus).features(name).layout == layout
    with pytest.raises(UserError, match=r"differs in videos='mean' there, None now.*--name mean_2"):
        extract_features(corpus, encoder=tower, name="mean", options=ExtractOptions(frames=True))


def test_a_set_of_images_takes_in_the_first_video(tmp_path: Path, tower: Path) -> None:
    corpus = mixed(tmp_path, 2, ())
    extract_features(corpus, encoder=tower)
    kept = np.array(Corpus.open(corpus).features("tiny_clip").vectors)
    report = extract_features(mixed(tmp_path, 2), encoder=tower)
    assert (report.extracted, report.total, report.averaged) == (1, 3, 1)
    found = Corpus.open(corpus).features("tiny_clip")
    assert (found.ids, found.averages_videos) == (["noon.mp4", "photo0.png", "photo1.png"], True)
    np.testing.assert_array_equal(found.vectors[1:], kept)
    with pytest.raises(UserError, match=r"every=1\.0 there, 2 now"):
        extract_features(corpus, encoder=tower, options=ExtractOptions(sampling=Sampling(every=2)))


def test_means_of_videos_end_with_the_same_bits_wherever_a_run_was_killed(
    tmp_path: Path, tower: Path
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    save_video(media / "dawn.mp4", ["red"] * 10 + ["yellow"] * 10 + ["black"] * 10)
    for number in range(4):
        picture(number).save(media / f"{'ae'[number % 2]}{number}.png")
    start = build_folder(media, tmp_path / "corpus", BuildOptions(split="test")).corpus.folder
    arguments = [start, tmp_path / "trial", tower, "vectors.npy", "ids.txt", "rejected.jsonl"]
    script = Path(__file__).parent / "mean_colour.py"
    done = subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = done.stdout.splitlines()
    assert len(results) > 15
    assert len(set(results)) == 1
    found = FeatureSet.open(tmp_path / "trial" / "features" / "eyes")
    assert found.layout == "whole"
    colours = (COLOURS[name] for name in ("red", "yellow", "black"))
    mean = [sum(channel) / 3 for channel in zip(*colours, strict=True)]
    np.testing.assert_allclose(found.whole(found.rows(["dawn.mp4"]))[0], mean, atol=6)


def test_the_verb_says_what_became_of_the_videos(tmp_path: Path, tower: Path) -> None:
    corpus = mixed(tmp_path, 2)
    done = dragoman("features", corpus, "--encoder", tower)
    assert done.returncode == 0, done.stderr
    how = "each video is the mean of its frames; --frames keeps the frames"
    assert f"1 video among 2 images: {how}" in done.stdout
    kept = dragoman("features", corpus, "--encoder", tower, "--name", "b", "--frames")
    assert "3 items of 6 frames" in kept.stdout
    assert "mean" not in kept.stdout
