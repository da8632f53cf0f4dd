"""Formats of other tools: COCO JSON, WebDataset, img2dataset, clip-retrieval, Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures import miniature, put, put_parquet, put_saved, put_tar

from command_line import dragoman
from dragoman.corpus import BuildOptions, BuildReport, ReadOptions, build_dataset
from dragoman.errors import UserError


def built(name: str, root: Path, **given: Any) -> BuildReport:
    options = BuildOptions(**{"overwrite": True, "lang": "en", "split": "test"} | given.pop("options", {}))
    return build_dataset(name, root, root.parent / "out", options, ReadOptions(**given))


def texts(report: BuildReport) -> dict[str, str]:
    return {row["caption_id"]: row["text"] for row in report.corpus.captions.to_pylist()}


def items(report: BuildReport) -> dict[str, dict[str, Any]]:
    return {row.pop("item_id"): row for row in report.corpus.items.to_pylist()}


def test_one_file_of_coco_json_is_enough(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 3, "file_name": "x.jpg"}],
        "annotations": [{"image_id": 3, "caption": "um cão"}],
    }
    put(tmp_path, {"mine.json": json.dumps(document)})
    report = built("coco-json", tmp_path / "mine.json", options={"lang": "pt", "split": "val"})
    assert texts(report) == {"x#pt#0": "um cão"}
    assert items(report) == {
        "x": {"kind": "image", "path": None, "split": "val", "coco_id": 3, "file": "x.jpg"}
    }
    document["annotations"].append({"image_id": 4, "caption": "x"})
    put(tmp_path, {"mine.json": json.dumps(document)})
    with pytest.raises(
        UserError, match=r"mine\.json, annotations 2: image_id is 4, which is none of the images"
    ):
        built("coco-json", tmp_path / "mine.json")


def test_pictures_in_tars_are_extracted_once(tmp_path: Path) -> None:
    miniature("webdataset", tmp_path / "in")
    report = built("webdataset", tmp_path / "in", extract=tmp_path / "media")
    found = {name: row["path"] for name, row in items(report).items()}
    assert found == {
        "00000/0001": str(tmp_path / "media/00000/0001.jpg"),
        "00000/0002": str(tmp_path / "media/00000/0002.png"),
        "00000/0003": str(tmp_path / "media/00000/0003.jpg"),
        "validation-00000/deep/0004": None,
    }
    assert (tmp_path / "media/00000/0002.png").read_bytes() == b"P2"
    assert items(report)["00000/0002"]["width"] == 7
    assert report.notes == ("sample without caption: 1 (00000/0003)",)


def test_captions_of_a_key_or_of_chosen_languages(tmp_path: Path) -> None:
    sample = {"title": "a dog", "legend": {"pt": "um cão", "ja": ["犬", "走る犬"]}}
    put_tar(tmp_path / "in" / "a.tar", {"1.jpg": b"", "1.json": json.dumps(sample).encode()})
    assert texts(built("webdataset", tmp_path / "in", columns={"text": "title"})) == {"a/1#en#0": "a dog"}
    assert texts(built("webdataset", tmp_path / "in", columns={"text": "legend"}, languages=["ja"])) == {
        "a/1#ja#0": "犬",
        "a/1#ja#1": "走る犬",
    }
    with pytest.raises(UserError, match=r"a\.tar, 1: no column 'name'\. The columns are: title, legend"):
        built("webdataset", tmp_path / "in", columns={"text": "name"})
    with pytest.raises(UserError, match=r"--column trust=…: no such key here\. Known: item_id, text"):
        built("webdataset", tmp_path / "in", columns={"trust": "title"})


def test_captions_without_language_are_in_the_one_that_is_said(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "caption": "a dog", "lang": "pt"}]
    rows.append({"id": "b", "caption": "a boat", "lang": None})
    put_parquet(tmp_path / "in/x.parquet", rows)
    assert texts(built("huggingface", tmp_path / "in", languages=["pt"])) == {"a#pt#0": "a dog"}
    assert texts(built("huggingface", tmp_path / "in", languages=["en"])) == {"b#en#0": "a boat"}
    assert len(texts(built("huggingface", tmp_path / "in"))) == 2


def test_files_of_a_sample_stand_together(tmp_path: Path) -> None:
    """Else the sample would be two, and the first of them without a picture."""
    put_tar(tmp_path / "in" / "a.tar", {"1.txt": b"a dog", "2.txt": b"a boat", "1.jpg": b"", "2.jpg": b""})
    with pytest.raises(UserError, match=r"a\.tar: the files of 1 do not stand together.*tar --sort=name"):
        built("webdataset", tmp_path / "in")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("webdataset", "train/00000.tar.idx"),
        ("coco-json", "annotations/captions_val2017.json.bak"),
        ("img2dataset", "00002.parquet/"),
        ("huggingface", "x.parquet/"),
        ("ccrk", "part_0.data.bak"),
    ],
)
def test_what_is_called_nearly_like_a_file_is_left_alone(name: str, other: str, tmp_path: Path) -> None:
    miniature(name, tmp_path / "in")
    lang = {} if name == "ccrk" else {"lang": "en", "split": "test"}
    before = texts(built(name, tmp_path / "in", options=lang))
    if other.endswith("/"):
        (tmp_path / "in" / other).mkdir()
    else:
        (tmp_path / "in" / other).write_text("{}")
    assert texts(built(name, tmp_path / "in", options=lang)) == before


def test_pictures_are_extracted_into_a_folder(tmp_path: Path) -> None:
    miniature("webdataset", tmp_path / "in")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--extract .*file is a file\. Give a folder"):
        built("webdataset", tmp_path / "in", extract=tmp_path / "file")


def test_an_image_of_img2dataset_stands_once(tmp_path: Path) -> None:
    row = {"key": "000000000", "status": "success", "caption": "a dog"}
    put_parquet(tmp_path / "in/00000.parquet", [row, row | {"caption": "a boat"}])
    with pytest.raises(UserError, match=r"item_id '000000000' stands in .*row 1 already"):
        built("img2dataset", tmp_path / "in")


def test_a_name_in_a_tar_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    put_tar(tmp_path / "in" / "a.tar", {"../../../evil.jpg": b"x", "../../../evil.txt": b"a dog"})
    with pytest.raises(UserError, match=r"evil\.jpg' would be written outside"):
        built("webdataset", tmp_path / "in", extract=tmp_path / "media")
    assert not list(tmp_path.rglob("evil*"))


def test_a_damaged_tar_or_sample_is_named(tmp_path: Path) -> None:
    miniature("webdataset", tmp_path / "in")
    shard = tmp_path / "in/train/00000.tar"
    whole = shard.read_bytes()
    # In a header, in a caption, and garbled: each once after a sound sample.
    for harmed in (whole[:1200], whole[:1540], whole[:1024] + b"x" * 512 + whole[1536:]):
        shard.write_bytes(harmed)
        with pytest.raises(UserError, match=r"00000\.tar: the tar is damaged after 0001\.jpg"):
            built("webdataset", tmp_path / "in")
    shard.write_bytes(whole[:2048])
    note = "tar without its end mark, perhaps cut: 1 (00000.tar)"
    assert note in built("webdataset", tmp_path / "in").notes
    put_tar(shard, {"1.txt": b"a dog", "1.json": b"{", "2.txt": b"caf\xe9"})
    with pytest.raises(UserError, match=r"00000\.tar, 1: its \.json is no valid JSON"):
        built("webdataset", tmp_path / "in")
    report = built("webdataset", tmp_path / "in", options={"reject_file": tmp_path / "r"})
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "r").read_text().splitlines()]
    assert report.rejected == 2
    assert "U+DCE9" in reasons[1]


def test_downloaded_images_have_their_file_and_failed_ones_are_counted(tmp_path: Path) -> None:
    miniature("img2dataset", tmp_path / "in")
    (tmp_path / "in/00000").mkdir()
    (tmp_path / "in/00000/000000002.webp").touch()
    report = built("img2dataset", tmp_path / "in")
    assert items(report)["000000002"] == {
        "kind": "image", "path": str(tmp_path / "in/00000/000000002.webp"), "split": "test",
        "file": "000000002.webp", "url": "https://a.b/2.jpg", "width": 10, "height": 20,
    }  # fmt: skip
    assert items(report)["000000000"]["path"] is None
    assert report.notes == (
        "image left out, failed_to_download: 1 (000000001)",
        "test captions that repeat another, en: 1",
    )


def test_images_in_parquet_are_extracted(tmp_path: Path) -> None:
    row = {"key": "000000000", "status": "success", "caption": "a dog", "jpg": b"JPEG"}
    put_parquet(tmp_path / "in" / "00000.parquet", [row])
    assert items(built("img2dataset", tmp_path / "in"))["000000000"]["path"] is None
    report = built("img2dataset", tmp_path / "in", extract=tmp_path / "media")
    assert items(report)["000000000"]["path"] == str(tmp_path / "media/00000/000000000.jpg")
    assert (tmp_path / "media/00000/000000000.jpg").read_bytes() == b"JPEG"


def test_vectors_of_clip_retrieval_become_a_feature_set(tmp_path: Path) -> None:
    miniature("clip-retrieval", tmp_path / "in")
    report = built("clip-retrieval", tmp_path / "in")
    features = report.corpus.features("img_emb")
    assert features.ids == ["00", "01", "10", "11"]
    assert features.vectors.tolist() == [[1, 1, 1]] * 2 + [[2, 2, 2]] * 2
    assert built("clip-retrieval", tmp_path / "in", options={"overwrite": False}).unchanged
    np.save(tmp_path / "in/img_emb/img_emb_1.npy", np.ones((1, 3), np.float16))
    with pytest.raises(UserError, match=r"shape \(3, 3\), but the metadata have 4 rows"):
        built("clip-retrieval", tmp_path / "in")


def test_item_ids_of_clip_retrieval_keep_folders_where_names_repeat(tmp_path: Path) -> None:
    rows = [
        {"image_path": f"/photos/{folder}/1.jpg", "caption": folder, "year": 1990} for folder in ("a", "b")
    ]
    put_parquet(tmp_path / "in" / "metadata_0.parquet", rows)
    report = built("clip-retrieval", tmp_path / "in")
    assert texts(report) == {"a/1#en#0": "a", "b/1#en#0": "b"}
    assert items(report)["b/1"]["year"] == 1990
    assert report.corpus.feature_names == []


def test_a_saved_selection_is_read_in_its_order_and_pictures_are_extracted(tmp_path: Path) -> None:
    miniature("huggingface", tmp_path / "in")
    report = built("huggingface", tmp_path / "in", extract=tmp_path / "media")
    found = items(report)
    assert list(found) == ["2", "0", "9"]
    assert found["2"] == {
        "kind": "image", "path": str(tmp_path / "media/2.jpg"), "split": "train", "file": "2.jpg", "likes": 2,
    }  # fmt: skip
    assert (tmp_path / "media/9.jpg").read_bytes() == b"J"
    put_saved(tmp_path / "in" / "train", [{"caption": "x"}], [3])
    with pytest.raises(UserError, match="row 3 of 1 is selected"):
        built("huggingface", tmp_path / "in")


def test_columns_called_like_languages_hold_captions(tmp_path: Path) -> None:
    put_parquet(tmp_path / "in" / "data" / "test-00000-of-00001.parquet", [{"en": "a dog", "de": "ein Hund"}])
    report = built(
        "huggingface", tmp_path / "in", languages=["en", "de"], options={"lang": None, "split": None}
    )
    assert texts(report) == {
        "test-00000-of-00001-0#en#0": "a dog",
        "test-00000-of-00001-0#de#0": "ein Hund",
    }
    with pytest.raises(UserError, match=r"no column of captions is known among: en, de\. Name it with"):
        built("huggingface", tmp_path / "in")


def test_files_that_a_state_names_must_be_there(tmp_path: Path) -> None:
    miniature("huggingface", tmp_path / "in")
    (tmp_path / "in/train/indices.arrow").unlink()
    with pytest.raises(UserError, match=r"train lacks files that its state\.json names: .*indices\.arrow"):
        built("huggingface", tmp_path / "in")
    (tmp_path / "in/train/state.json").write_text("[]")
    with pytest.raises(UserError, match=r"state\.json cannot be read"):
        built("huggingface", tmp_path / "in")


def test_the_command_line_takes_columns_and_extracts(tmp_path: Path) -> None:
    put_parquet(
        tmp_path / "in" / "x.parquet", [{"title": "a dog", "picture": {"bytes": b"\x89PNG", "path": None}}]
    )
    words = ["huggingface", "in", "--column", "text=title", "--lang", "en", "--split", "train"]
    done = dragoman("-q", "corpus", *words, "--extract", "media", "--out", "out", at=tmp_path)
    assert done == (0, "out: 1 items, 1 captions\n", "")
    assert (tmp_path / "media/x-0.png").read_bytes() == b"\x89PNG"
