from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import transformers
from PIL import Image
from tiny_videos import save_video

from command_line import dragoman
from dragoman.corpus.corpus import CAPTIONS, ITEMS, Corpus
from dragoman.corpus.format import CORPUS


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers") / "vit"
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=32
    )
    transformers.ViTModel(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}})
    )
    return folder


def corpus_of(folder: Path, *names: str) -> Path:
    rows = [{"item_id": name, "kind": "image", "path": f"{name}.png", "split": "test"} for name in names]
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), folder / "items.parquet")
    pq.write_table(CAPTIONS.empty_table(), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    return folder


def test_features_are_written_and_a_broken_image_gives_status_3(tmp_path: Path, tower: Path) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    corpus = corpus_of(tmp_path, "red", "gone")
    done = dragoman("features", corpus, "--encoder", tower)
    assert done.returncode == 3, done.stderr
    assert done.stdout == f"{corpus}/features/vit: 1 vectors, 1 of them new, 1 items rejected\n"
    assert done.stderr == (
        f"rejected gone: gone.png: no such file\nAll rejected items: {corpus}/features/vit/rejected.jsonl\n"
    )
    assert Corpus.open(corpus).features("vit").ids == ["red"]

    corpus_of(tmp_path, "red")
    done = dragoman("features", corpus, "--encoder", tower, "--batch-size", 2, "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{corpus}/features/vit: 1 vectors, 0 of them new\n"


def test_frames_of_videos_are_counted_and_sampled_as_asked(tmp_path: Path, tower: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    save_video(media / "a.mp4", ["red"] * 10)
    save_video(media / "b.mkv", ["red"] * 5 + ["blue"] * 5)
    assert dragoman("corpus", "folder", media, "--split", "test", "--out", tmp_path / "c").returncode == 0
    for options, frames in ((["--every", "0.25"], 8), (["--scenes", "0.2"], 3), (["--most-frames", "1"], 2)):
        name = options[0].strip("-")
        done = dragoman("features", tmp_path / "c", "--encoder", tower, "--name", name, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (f"{tmp_path}/c/features/{name}: 2 items of {frames} frames, 2 of them new\n")
    done = dragoman("features", tmp_path / "c", "--encoder", tower, "--scenes", "3")
    assert (done.returncode, done.stderr) == (2, "Error: scenes must lie between 0 and 1, got 3.0. Try 0.2\n")


def test_a_folder_that_is_no_tower_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = dragoman("features", corpus_of(tmp_path, "red"), "--encoder", tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: {tmp_path} belongs to a folder of Dragoman (dragoman-corpus)")
    assert done.stderr.count("\n") == 1


def test_help_shows_an_example() -> None:
    done = dragoman("features", "--help")
    assert "dragoman features corpus/ --encoder openai/clip-vit-base-patch32" in done.stdout
