"""Frame features that come with the captions, in the layouts in which others publish them."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.corpus import BuildOptions, Corpus, GivenFeatures, GivenFrames, build_jsonl
from dragoman.corpus.frame_files import NrccrFolder
from dragoman.errors import UserError

VIDEOS = {
    "v0": np.array([[1, 2], [3, 4], [5, 6]], np.float32),
    "v1": np.array([[7, 8]], np.float32),
    "v2": np.array([[9, 10], [11, 12]], np.float32),
}


def built(folder: Path, item_ids: list[str], *features: GivenFrames | GivenFeatures) -> Corpus:
    captions = ({"item_id": name, "split": "train", "lang": "en", "text": "a dog"} for name in item_ids)
    (folder / "c.jsonl").write_text("".join(json.dumps(caption) + "\n" for caption in captions))
    return build_jsonl(folder / "c.jsonl", folder / "out", BuildOptions(features=features)).corpus


def write_npy_folder(folder: Path) -> GivenFrames:
    place = folder / "i3d"
    place.mkdir()
    for name, video in VIDEOS.items():
        # The features of VATEX have a first dimension of 1.
        np.save(place / f"{name}.npy", video[None] if name == "v1" else video)
    return GivenFrames(path=place)


def write_hdf5(folder: Path) -> GivenFrames:
    with h5py.File(folder / "i3d.h5", "w") as file:
        for name, video in VIDEOS.items():
            file[name] = video
    return GivenFrames(path=folder / "i3d.h5")


def write_nrccr(folder: Path) -> GivenFrames:
    place = folder / "i3d"
    place.mkdir()
    frames = {name: [f"{name}_{at}" for at in range(len(video))] for name, video in VIDEOS.items()}
    # Rows in another order than that of the videos, as in the published files.
    names = sorted((frame for some in frames.values() for frame in some), reverse=True)
    rows = [VIDEOS[name.split("_")[0]][int(name.split("_")[1])] for name in names]
    np.array(rows, "<f4").tofile(place / "feature.bin")
    (place / "shape.txt").write_text(f"{len(rows)} 2")
    (place / "id.txt").write_text(" ".join(names) + "\n")
    (place / "video2frames.txt").write_text(repr(frames))
    return GivenFrames(path=place)


def write_stacked(folder: Path) -> GivenFeatures:
    stacked = np.full((3, 3, 2), np.nan, np.float32)
    for at, video in enumerate(VIDEOS.values()):
        stacked[at, : len(video)] = video
    np.save(folder / "i3d.npy", stacked)
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in VIDEOS))
    return GivenFeatures(vectors=folder / "i3d.npy", ids=folder / "ids.txt")


@pytest.mark.parametrize("write", [write_npy_folder, write_hdf5, write_nrccr, write_stacked])
def test_every_layout_gives_the_same_frames(
    tmp_path: Path, write: Callable[[Path], GivenFrames | GivenFeatures]
) -> None:
    found = built(tmp_path, ["v2", "v0"], write(tmp_path)).features("i3d")
    assert found.layout == "frames"
    assert (found.ids, found.offsets.tolist(), found.times) == (["v2", "v0"], [0, 2, 5], None)
    expected = np.concatenate([VIDEOS["v2"], VIDEOS["v0"]]).astype(np.float16)
    np.testing.assert_array_equal(found.vectors, expected, strict=True)


def test_videos_may_lie_in_subfolders_and_groups(tmp_path: Path) -> None:
    (tmp_path / "f" / "a").mkdir(parents=True)
    np.save(tmp_path / "f" / "a" / "b.npy", VIDEOS["v0"])
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["a/b"] = VIDEOS["v0"]
    given_frames = [GivenFrames(path=tmp_path / name) for name in ("f", "g.h5")]
    corpus = built(tmp_path, ["a/b"], *given_frames)
    for name in ("f", "g"):
        np.testing.assert_array_equal(corpus.features(name).vectors, VIDEOS["v0"])


def test_the_same_frames_leave_a_corpus_as_it_is_and_others_take_their_place(tmp_path: Path) -> None:
    frames = write_npy_folder(tmp_path)
    built(tmp_path, ["v0"], frames)
    options = BuildOptions(features=(GivenFrames(path=frames.path),))
    assert build_jsonl(tmp_path / "c.jsonl", tmp_path / "out", options).unchanged
    np.save(frames.path / "v0.npy", VIDEOS["v0"] + 1)
    options = BuildOptions(features=(GivenFrames(path=frames.path),))
    corpus = build_jsonl(tmp_path / "c.jsonl", tmp_path / "out", options).corpus
    np.testing.assert_array_equal(corpus.features(options.features[0].name).vectors, VIDEOS["v0"] + 1)


def refused(folder: Path, frames: GivenFrames | GivenFeatures, message: str, *items: str) -> None:
    with pytest.raises(UserError, match=message):
        built(folder, list(items) or ["v0"], frames)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.ones(1, np.float32),
            r"v0\.npy holds float32 of shape \(1,\), but floats of shape",
        ),
        (np.ones((1, 1), np.int64), r"v0\.npy holds int64 of shape"),
        (np.zeros((0, 2)), r"v0\.npy holds float64 of shape \(0, 2\)"),
        (np.array([[1, 1], [1, np.nan]]), "frame 2 of item 'v0' holds a value that is not finite"),
        (np.array([[1.0, 70000]]), "frame 1 of item 'v0' holds a value that is not finite"),
        (np.ones((1, 3)), "the frames of 'v0' are 3 wide, those of 'v1' 2"),
    ],
)
def test_frames_that_do_not_fit_are_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    frames = write_npy_folder(tmp_path)
    np.save(frames.path / "v0.npy", array)
    refused(tmp_path, frames, message, "v1", "v0")


@pytest.mark.parametrize("write", [write_npy_folder, write_hdf5, write_nrccr])
def test_items_without_frames_are_named(tmp_path: Path, write: Callable[[Path], GivenFrames]) -> None:
    refused(tmp_path, write(tmp_path), "has no frames for 1 of 2 items: v9", "v0", "v9")


def test_a_stacked_video_needs_a_frame(tmp_path: Path) -> None:
    frames = write_stacked(tmp_path)
    stacked = np.load(frames.vectors)
    stacked[1] = np.nan
    np.save(frames.vectors, stacked)
    refused(tmp_path, frames, "holds NaN alone for item 'v1'", "v1")


def test_nan_between_frames_of_a_stack_is_damage(tmp_path: Path) -> None:
    frames = write_stacked(tmp_path)
    stacked = np.load(frames.vectors)
    stacked[0, 1] = np.nan
    np.save(frames.vectors, stacked)
    refused(tmp_path, frames, "frame 2 of item 'v0' holds a value that is not finite")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("feature.bin", b"\0" * 44, r"feature\.bin has 44 bytes, but 6 frames of 2 float32 values have 48"),
        ("shape.txt", b"6", r"shape\.txt holds '6', but the number of frames and their width"),
        ("shape.txt", b"6 x", r"shape\.txt holds '6 x'"),
        ("shape.txt", b"9" * 5000 + b" 2", r"shape\.txt holds '9{40}', but the number of frames"),
        ("shape.txt", b"7 2", "holds 6 ids, 6 of them different, but shape.txt says 7 frames"),
        ("id.txt", b"a a b c d e", "holds 6 ids, 5 of them different"),
        ("id.txt", b"a b c d e f", "video 'v0' has the frame 'v0_0', which id.txt does not name"),
        ("id.txt", b"\xff", r"id\.txt cannot be read"),
        ("video2frames.txt", b"print('hello')", "is no dictionary of frame ids by video"),
        ("video2frames.txt", b"{'v0': [1]}", "is no dictionary of lists of frame ids"),
        ("video2frames.txt", b"{'v0': []}", r"video 'v0' holds .* of shape \(0, 2\)"),
        ("video2frames.txt", b"{'v0': [NaN]}", "is no dictionary of lists of frame ids"),
        ("video2frames.txt", b"{'v0': [" + b"'x' " * 999 + b"]}", "video 'v0' has the frame 'x{60}', which"),
    ],
)
def test_a_damaged_file_of_nrccr_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    frames = write_nrccr(tmp_path)
    (frames.path / name).write_bytes(content)
    refused(tmp_path, frames, message)


@pytest.mark.parametrize(
    "written",
    ["{'v0': ['a', 'b']}", '{"v0": ["a", "b"]}', "{'v0': ('a', \"b\",),}", "{'v\\x30': ['a', 'b']}"],
)
def test_a_dictionary_may_be_written_in_any_way(tmp_path: Path, written: str) -> None:
    frames = write_nrccr(tmp_path)
    (frames.path / "id.txt").write_text("a b c d e f")
    (frames.path / "video2frames.txt").write_text(written)
    rows = np.fromfile(frames.path / "feature.bin", "<f4").reshape(6, 2)[:2]
    np.testing.assert_array_equal(built(tmp_path, ["v0"], frames).features("i3d").vectors, rows)


def test_a_published_dictionary_is_small_in_memory(tmp_path: Path) -> None:
    """Syntax trees of Python take forty times the size of the file."""
    frames = write_nrccr(tmp_path)
    published = {f"v{at}": [f"v{at}_{frame}" for frame in range(30)] for at in range(3000)}
    text = (frames.path / "video2frames.txt").read_text()[:-1] + ", " + repr(published)[1:]
    (frames.path / "video2frames.txt").write_text(text)
    tracemalloc.start()
    NrccrFolder(frames.path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * len(text)


@pytest.mark.parametrize("name", ["shape.txt", "id.txt", "video2frames.txt"])
def test_a_missing_file_of_nrccr_is_named(tmp_path: Path, name: str) -> None:
    frames = write_nrccr(tmp_path)
    (frames.path / name).unlink()
    refused(tmp_path, frames, rf"{name} cannot be read .* Features in this layout have feature\.bin")


def test_damaged_hdf5_is_named(tmp_path: Path) -> None:
    frames = write_hdf5(tmp_path)
    frames.path.write_bytes(frames.path.read_bytes()[:300])
    refused(tmp_path, frames, r"i3d\.h5 cannot be read as HDF5")


def test_other_data_sets_of_hdf5_are_named(tmp_path: Path) -> None:
    frames = write_hdf5(tmp_path)
    with h5py.File(frames.path, "a") as file:
        file["text"] = "hello"
        file.create_group("group")
    refused(tmp_path, frames, r"data set 'text' holds object of shape \(\)", "text")
    refused(tmp_path, frames, "has no frames for 1 of 1 items: group", "group")


def test_a_data_set_that_lies_in_another_file_is_refused(tmp_path: Path) -> None:
    """It could change without a trace in the manifest, and name any file of this computer."""
    frames = write_hdf5(tmp_path)
    (tmp_path / "raw").write_bytes(VIDEOS["v0"].tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["linked"] = h5py.ExternalLink(str(frames.path), "v0")
        file.create_dataset("raw", (3, 2), "f4", external=str(tmp_path / "raw"))
        layout = h5py.VirtualLayout((3, 2), "f4")
        layout[:] = h5py.VirtualSource(str(frames.path), "v0", (3, 2))
        file.create_virtual_dataset("virtual", layout)
    for name in ("linked", "raw", "virtual"):
        other = GivenFrames(path=tmp_path / "other.h5")
        refused(tmp_path, other, f"other.h5, data set '{name}' lies in another file", name)


def test_what_no_memory_holds_is_told(tmp_path: Path) -> None:
    frames = write_hdf5(tmp_path)
    with h5py.File(frames.path, "a") as file:
        file.create_dataset("vast", (10**10, 1000), "f4", chunks=(100, 100))
        file.create_dataset("text", (10**10, 1000), "S8", chunks=(100, 100))
    refused(tmp_path, frames, "cannot be read as HDF5 .Unable to allocate", "vast")
    refused(tmp_path, frames, r"data set 'text' holds \|S8 of shape", "text")


def test_only_files_are_frames(tmp_path: Path) -> None:
    frames = write_npy_folder(tmp_path)
    (frames.path / "folder.npy").mkdir()
    (frames.path / "gone.npy").symlink_to("nowhere")
    assert built(tmp_path, ["v0"], frames).features("i3d").ids == ["v0"]
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", GivenFrames(path=frames.path), "has no frames for 2 of 2", "folder", "gone")


def test_absent_hdf5_is_named(tmp_path: Path) -> None:
    refused(tmp_path, GivenFrames(path=tmp_path / "gone.h5"), r"gone\.h5 does not exist or is no file")


@pytest.mark.parametrize("name", ["gone", "file.txt"])
def test_what_holds_no_frames_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").touch()
    refused(tmp_path, GivenFrames(path=tmp_path / name), "holds no frame features that can be read")


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=80), name=st.sampled_from(["shape.txt", "id.txt", "video2frames.txt"]))
@example(data=b"{" * 5000, name="video2frames.txt")
@example(data=b"[" * 100_000, name="video2frames.txt")
@example(data=b"{'v0': 'v0_0'}", name="video2frames.txt")
@example(data="٦ 2".encode(), name="shape.txt")
def test_no_text_of_nrccr_gives_anything_but_features_or_a_user_error(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        frames = write_nrccr(folder)
        (frames.path / name).write_bytes(data)
        try:
            corpus = built(folder, ["v0"], frames)
        except UserError:
            assert not (folder / "out").exists()
        else:
            np.testing.assert_array_equal(corpus.features("i3d").vectors, VIDEOS["v0"])
