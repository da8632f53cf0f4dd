from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dragoman.corpus.corpus import CAPTIONS, Corpus
from dragoman.errors import UserError
from dragoman.scenes import items
from dragoman.scenes.items import split_of
from dragoman.scenes.render import render
from dragoman.scenes.world import RECORDED, RECORDED_MOTION, WorldSettings, human_captions, write_world

SMALL = WorldSettings(items=24, languages=("pt", "zh"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_world(tmp_path_factory.mktemp("small") / "world", SMALL)


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_world_is_a_corpus_with_pictures_features_and_facts(world: Corpus) -> None:
    items = world.items.to_pylist()
    assert [row["split"] for row in items[:12]].count("train") == 8
    assert {row["split"] for row in items} == {"train", "val", "test"}
    assert items[0] | {"path": ""} == {
        "item_id": "s00000", "kind": "image", "path": "", "split": "train", "ground": "street",
        "place": "centre", "object": "car", "colour": "purple", "size": "small", "count": 3,
        "relation": None, "object_2": None, "colour_2": None, "size_2": None, "count_2": None,
    }  # fmt: skip
    for row in items:
        with Image.open(world.media_path(row["path"])) as picture:
            assert picture.size == (192, 192)
    assert world.captions.schema.equals(CAPTIONS)
    assert world.feature_names == ["grid"]
    assert world.features("grid").ids == [row["item_id"] for row in items]


def test_captions_of_the_world_never_change(world: Corpus) -> None:
    lines = "\n".join(world.captions["text"].to_pylist())
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == PINNED


PINNED = "d1c96fc13e3d33d3"


def test_nobody_can_train_on_human_target_captions_unless_asked(world: Corpus) -> None:
    split = dict(zip(world.items["item_id"].to_pylist(), world.items["split"].to_pylist(), strict=True))
    seen = {(split[row["item_id"]], row["lang"]) for row in world.captions.to_pylist()}
    both = {(part, lang) for part in ("val", "test") for lang in ("en", "pt", "zh")}
    assert seen == both | {("train", "en")}
    asked = human_captions(WorldSettings(items=12, languages=("pt",), target_captions=True, captions=2))
    assert len(asked) == 12 * 2 * 2


def test_a_bigger_world_begins_with_the_smaller() -> None:
    small, big = (human_captions(WorldSettings(items=items)) for items in (12, 40))
    assert big[: len(small)] == small
    assert [split_of(n) for n in range(1200)].count("test") == 300


def test_an_interrupted_world_goes_on_and_ends_the_same(
    world: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "world"
    with monkeypatch.context() as patch:
        calls = iter(range(10))

        def stop_after_ten(*arguments: object) -> Image.Image:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return render(*arguments)  # type: ignore[arg-type]

        patch.setattr(items, "render", stop_after_ten)
        with pytest.raises(KeyboardInterrupt):
            write_world(folder, SMALL)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("media/*.png")}
    assert len(kept) == 10
    with pytest.raises(UserError, match=r"no manifest\.json"):
        Corpus.open(folder)
    write_world(folder, SMALL)
    assert content(folder) == content(world.folder)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_complete_world_is_reused_and_another_one_refused(world: Corpus) -> None:
    before = content(world.folder)
    assert write_world(world.folder, SMALL).items.equals(world.items)
    with pytest.raises(UserError, match=r"another corpus; it differs in .* Give another folder with --out"):
        write_world(world.folder, WorldSettings(items=24, seed=2, languages=("pt", "zh")))
    assert content(world.folder) == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"items": 11}, "at least 12 items"),
        ({"captions": 0}, "at least 1 caption"),
        ({"languages": ("pt", "xx")}, "No caption grammar for xx. Known: ar, de, en"),
    ],
)
def test_a_wrong_configuration_says_what_is_possible(config: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WorldSettings(**config)  # type: ignore[arg-type]


def test_the_command_line_writes_the_same_world(world: Corpus, tmp_path: Path) -> None:
    from dragoman.cli import dragoman

    folder = tmp_path / "world"
    done = CliRunner().invoke(
        dragoman, ["scenes", "--out", str(folder), "--items", "24", "--languages", "pt,zh"]
    )
    assert done.exit_code == 0
    assert done.stdout == f"{folder}: 24 pictures, {world.captions.num_rows} captions\n"
    assert content(folder) == content(world.folder)


@pytest.mark.parametrize(
    ("recorded", "config"), [(RECORDED, WorldSettings()), (RECORDED_MOTION, WorldSettings(motion=True))]
)
def test_the_recording_covers_the_default_world(recorded: Path, config: WorldSettings) -> None:
    with gzip.open(recorded, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    assert set(rows[0]) == {"source_lang", "target_lang", "text", "translation", "engine"}
    known = {(row["source_lang"], row["target_lang"], row["text"]): row["translation"] for row in rows}
    assert len(known) == len(rows)
    captions = human_captions(config)
    for target in ("es", "gl", "pt"):
        english = {c.text for c in captions if c.lang == "en"}
        assert all(("en", target, text) in known for text in english)
        assert all((target, "en", c.text) in known for c in captions if c.lang == target)
        assert all((target, "en", known["en", target, text]) in known for text in english)
    assert recorded.stat().st_size < 1_000_000


def test_the_world_carries_the_recording(world: Corpus) -> None:
    assert (world.folder / RECORDED.name).read_bytes() == RECORDED.read_bytes()


def test_features_come_from_the_pixels_alone(world: Corpus, tmp_path: Path) -> None:
    from dragoman.scenes.grid import WIDTH, describe

    stored = world.features("grid")
    assert stored.vectors.shape == (24, WIDTH)
    copy = shutil.copy(world.media_path("media/s00003.png"), tmp_path / "unknown.png")
    with Image.open(copy) as picture:
        np.testing.assert_array_equal(describe(picture).astype(np.float16), stored.vectors[3])
