from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dragoman.cli import dragoman
from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.errors import UserError
from dragoman.media.video import pyav
from dragoman.scenes import items
from dragoman.scenes.grid import describe
from dragoman.scenes.items import read_mp4, write_mp4
from dragoman.scenes.world import RECORDED, RECORDED_MOTION, WorldSettings, human_captions, write_world

SMALL = WorldSettings(items=24, motion=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_world(tmp_path_factory.mktemp("motion") / "world", SMALL)


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def texts(corpus: Corpus) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for row in corpus.captions.to_pylist():
        found.setdefault(row["item_id"], {}).setdefault(row["lang"], []).append(row["text"])
    return found


def test_a_world_in_motion_is_a_corpus_with_videos_features_and_facts(world: Corpus) -> None:
    items = world.items.to_pylist()
    assert items[1] == {
        "item_id": "m00000r", "kind": "video", "path": "media/m00000r.mp4", "split": "train",
        "ground": "street", "place": None, "object": "car", "colour": "purple", "size": "small", "count": 2,
        "relation": None, "object_2": None, "colour_2": None, "size_2": None, "count_2": None,
        "event": "down", "reversal": "m00000",
    }  # fmt: skip
    assert [row["item_id"] for row in items[:4]] == ["m00000", "m00000r", "m00001", "m00001r"]
    assert {row["split"] for row in items} == {"train", "val", "test"}
    assert world.captions.schema.equals(CAPTIONS)
    assert world.feature_names == ["grid"]


def test_every_clip_has_a_reversal_in_its_split_that_no_bag_of_frames_can_tell_from_it(world: Corpus) -> None:
    rows = {row["item_id"]: row for row in world.items.to_pylist()}
    said = texts(world)
    features = world.features("grid")
    for item_id, row in rows.items():
        other = rows[row["reversal"]]
        assert other["reversal"] == item_id and other["split"] == row["split"]
        assert {key for key in row if row[key] != other[key]} == {"item_id", "path", "event", "reversal"}
        one, back = (
            [frame.tobytes() for frame in read_mp4(Path(world.media_path(r["path"])), 1)]
            for r in (row, other)
        )
        assert Counter(one) == Counter(back)
        assert one == back[::-1] != back
        assert features.layout == "frames"
        np.testing.assert_array_equal(features.frames(item_id)[0], features.frames(row["reversal"])[0][::-1])
        assert set(said[item_id]) == set(said[row["reversal"]]) >= {"en"}
        for lang, captions in said[item_id].items():
            assert not set(captions) & set(said[row["reversal"]][lang]), lang


def test_features_come_from_the_frames_of_each_file(world: Corpus) -> None:
    features = world.features("grid")
    assert features.layout == "frames"
    for row in (world.items.to_pylist()[0], world.items.to_pylist()[5]):
        with pyav().open(world.media_path(row["path"])) as file:
            frames = {frame.time: frame.to_image() for frame in file.decode(video=0)}
        vectors, times = features.frames(row["item_id"])
        assert times is not None and times.tolist() == [0, 1, 2, 3]
        expected = np.stack([describe(frames[time]) for time in times.tolist()]).astype(np.float16)
        np.testing.assert_array_equal(vectors, expected)


def test_captions_of_the_world_in_motion_never_change(world: Corpus) -> None:
    lines = "\n".join(world.captions["text"].to_pylist())
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == PINNED


PINNED = "53b4a20635e935d5"


def test_the_world_in_motion_carries_its_own_recording(world: Corpus) -> None:
    assert (world.folder / RECORDED.name).read_bytes() == RECORDED_MOTION.read_bytes()


def test_training_clips_have_english_captions_alone_unless_asked(world: Corpus) -> None:
    split = dict(zip(world.items["item_id"].to_pylist(), world.items["split"].to_pylist(), strict=True))
    trained = {row["lang"] for row in world.captions.to_pylist() if split[row["item_id"]] == "train"}
    tested = {row["lang"] for row in world.captions.to_pylist() if split[row["item_id"]] == "test"}
    assert (trained, tested) == ({"en"}, {"ar", "de", "en", "es", "fr", "gl", "pt", "zh"})
    asked = WorldSettings(items=24, motion=True, languages=("pt",), target_captions=True, captions=2)
    assert len(human_captions(asked)) == 24 * 2 * 2


def test_a_bigger_world_in_motion_begins_with_the_smaller() -> None:
    small, big = (human_captions(WorldSettings(items=items, motion=True)) for items in (24, 60))
    assert big[: len(small)] == small


def test_an_interrupted_world_in_motion_goes_on_and_ends_the_same(
    world: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "world"
    with monkeypatch.context() as patch:
        calls = iter(range(9))

        def stop_between_a_clip_and_its_reversal(*arguments: object) -> None:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            write_mp4(*arguments)  # type: ignore[arg-type]

        patch.setattr(items, "write_mp4", stop_between_a_clip_and_its_reversal)
        with pytest.raises(KeyboardInterrupt):
            write_world(folder, SMALL)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("media/*.mp4")}
    assert len(kept) == 9 and not list(folder.glob("media/.*"))
    with pytest.raises(UserError, match=r"no manifest\.json"):
        Corpus.open(folder)
    write_world(folder, SMALL)
    assert content(folder) == content(world.folder)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_killed_world_in_motion_goes_on_and_ends_the_same(world: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    command = [sys.executable, "-m", "dragoman", "scenes", "--out", str(folder), "--items", "24", "--motion"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(list(folder.glob("media/*.mp4"))) < 5:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (folder / "manifest.json").exists()
    write_world(folder, SMALL)
    left = {name: digest for name, digest in content(folder).items() if not name.endswith(".tmp")}
    assert left == content(world.folder)


def test_a_complete_world_is_reused_and_pictures_are_no_clips(world: Corpus) -> None:
    before = content(world.folder)
    assert write_world(world.folder, SMALL).items.equals(world.items)
    with pytest.raises(UserError, match=r"another corpus; it differs in .* Give another folder with --out"):
        write_world(world.folder, WorldSettings(items=24))
    assert content(world.folder) == before


def test_pictures_are_noted_as_before_there_were_clips(tmp_path: Path) -> None:
    corpus = write_world(tmp_path / "world", WorldSettings(items=12, languages=("pt",), captions=1))
    assert corpus.manifest["world"] == {
        "items": 12, "seed": 1, "captions": 1, "languages": ["pt"], "target_captions": False
    }  # fmt: skip


@pytest.mark.parametrize(
    ("items", "message"), [(22, "at least 24 items"), (25, "no world of 25 clips. Ask for 26")]
)
def test_a_world_in_motion_needs_pairs_in_all_splits(items: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        WorldSettings(items=items, motion=True)


def test_without_pyav_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    done = CliRunner().invoke(dragoman, ["scenes", "--out", str(tmp_path / "world"), "--motion"])
    assert "pip install 'dragoman[video]'" in str(done.exception or done.output)
    assert not (tmp_path / "world").exists()


def test_the_command_line_writes_the_same_clips(world: Corpus) -> None:
    given = ["scenes", "--out", str(world.folder), "--items", "24", "--motion"]
    done = CliRunner().invoke(dragoman, given)
    assert done.exit_code == 0
    assert done.stdout == f"{world.folder}: 24 clips, {world.captions.num_rows} captions\n"
    noted = json.loads((world.folder / "manifest.json").read_text())["world"]
    assert noted["motion"] is True
