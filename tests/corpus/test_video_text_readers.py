"""Data sets of videos, and the caption files of the two methods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from miniatures import miniature, put, put_lines, put_records

from dragoman.corpus import BuildOptions, BuildReport, ReadOptions, build_dataset
from dragoman.errors import UserError


def built(name: str, root: Path, **given: Any) -> BuildReport:
    options = BuildOptions(overwrite=True, **given.pop("options", {}))
    return build_dataset(name, root / "in", root / "out", options, ReadOptions(**given))


def texts(report: BuildReport) -> dict[str, str]:
    return {row["caption_id"]: row["text"] for row in report.corpus.captions.to_pylist()}


def splits(report: BuildReport) -> dict[str, str]:
    return {row["item_id"]: row["split"] for row in report.corpus.items.to_pylist()}


def test_xm3600_keeps_the_first_caption_or_all(tmp_path: Path) -> None:
    miniature("xm3600", tmp_path / "in")
    one = built("xm3600", tmp_path, languages=["quz", "fil"])
    assert sorted(texts(one)) == ["0a1b#fil#0", "0a1b#quz#0", "2c3d#fil#0", "2c3d#quz#0"]
    for test in ("all", "any"):
        every = built("xm3600", tmp_path, languages=["quz"], test=test)
        assert texts(every) == {
            "0a1b#quz#0": "quz one of 0a1b",
            "0a1b#quz#1": "quz two",
            "2c3d#quz#0": "quz one of 2c3d",
            "2c3d#quz#1": "quz two",
        }
        assert every.corpus.manifest["options"]["test"] == test


def test_a_language_that_a_record_of_xm3600_lacks_is_named(tmp_path: Path) -> None:
    put_records(tmp_path / "in", {"captions.jsonl": [{"image/key": "k", "en": {"caption": ["a"]}}]})
    with pytest.raises(UserError, match=r"captions\.jsonl, line 1: de holds no list of captions"):
        built("xm3600", tmp_path, languages=["en", "de"])


def test_vatex_is_tested_on_validation_videos_on_half_of_them_or_in_english(tmp_path: Path) -> None:
    miniature("vatex", tmp_path / "in")
    train = {f"t-{k}.x_000010_000020": "train" for k in range(2)}
    assert splits(built("vatex", tmp_path)) == train | {f"v-{k}.x_000010_000020": "test" for k in range(2)}
    half = built("vatex", tmp_path, test="nrccr")
    assert splits(half) == train | {"v-0.x_000010_000020": "val", "v-1.x_000010_000020": "test"}
    assert set(half.corpus.items["kind"].to_pylist()) == {"video"}
    public = built("vatex", tmp_path, test="public")
    assert {s for item, s in splits(public).items() if item[0] == "p"} == {"test"}
    assert not any(key.startswith("p") and "#zh#" in key for key in texts(public))
    put_lines(tmp_path / "in", {"TextData/vatexval_zh.caption.txt": ["t-0.x_000010_000020#zh#0 x"]})
    assert (
        "validation video in neither half left out: 1 (v-0.x_000010_000020)"
        in built("vatex", tmp_path, test="nrccr").notes
    )


def test_videos_are_found_with_any_suffix(tmp_path: Path) -> None:
    miniature("vatex", tmp_path / "in")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "v-1.x_000010_000020.webm").touch()
    report = built("vatex", tmp_path, options={"media_root": tmp_path / "clips"})
    assert {row["item_id"]: row["path"] for row in report.corpus.items.to_pylist() if row["path"]} == {
        "v-1.x_000010_000020": str(tmp_path / "clips" / "v-1.x_000010_000020.webm")
    }


def test_msrvtt_in_the_split_of_jsfusion(tmp_path: Path) -> None:
    miniature("msrvtt", tmp_path / "in")
    report = built("msrvtt", tmp_path, test="1k-A")
    assert splits(report) == {"video0": "train", "video1": "test"}
    assert texts(report) == {
        "video0#en#0": "0 of video0",
        "video0#en#1": "1 of video0",
        "video1#en#0": "a, b",
    }
    assert report.notes == (
        "video in no list left out: 1 (video2)",
        "train holds 1 items, but 9,000 are published",
        "test holds 1 items, but 1,000 are published",
    )
    put_lines(tmp_path / "in", {"MSRVTT_JSFUSION_test.csv": ["key,video_id,sentence", "1,video1,a,b"]})
    with pytest.raises(UserError, match=r"test\.csv, line 2: 4 cells, but the header has 3"):
        built("msrvtt", tmp_path, test="1k-A")
    put_lines(tmp_path / "in", {"MSRVTT_JSFUSION_test.csv": ["video1,a"]})
    with pytest.raises(UserError, match=r"test\.csv, line 1: no header with video_id"):
        built("msrvtt", tmp_path, test="1k-A")


def test_translations_of_nrccr_join_with_their_sources(tmp_path: Path) -> None:
    miniature("nrccr", tmp_path / "in")
    report = built("nrccr", tmp_path)
    joined = report.corpus.translations(source="en", target="zh", split="train")
    assert joined.source_text == ["enc 0 of train", "enc 1 of train"]
    assert joined.mt_text == ["enc2zh 0 of train", "enc2zh 1 of train"]
    assert joined.back_text == ["enc2zh2enc 0 of train", "enc2zh2enc 1 of train"]
    assert joined.engine == "google"
    rows = {row["caption_id"]: row for row in report.corpus.captions.to_pylist()}
    row = rows["3#zh2en-google#1"]
    assert (row["source_id"], row["lang"], row["role"]) == ("3#zh#1", "en", "mt")
    assert set(report.corpus.items["kind"].to_pylist()) == {"image"}


def test_a_translation_of_nrccr_without_source_is_a_fault(tmp_path: Path) -> None:
    miniature("nrccr", tmp_path / "in")
    file = tmp_path / "in/TextData/multi30ktrain_enc.caption.txt"
    file.write_text(file.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match="source_id '1#en#1' is no caption of this corpus"):
        built("nrccr", tmp_path)


def test_the_tasks_of_multi30k_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    files = {
        "multi30ktrain_enc": "1.jpg#enc#0 first",
        "Flickr30ktrain_enc": "1.jpg#enc#0 second",
        "multi30kval_de_task1": "2.jpg#de#0 erste",
        "multi30kval_de": "2.jpg#de#0 zweite",
        "multi30kval_fr": "2.jpg#fr#0 toutes",
    }
    put_lines(tmp_path / "in/TextData", {f"{name}.caption.txt": [line] for name, line in files.items()})
    both = {"2#fr#0": "toutes"}
    assert texts(built("nrccr", tmp_path)) == both | {"1#en#0": "first", "2#de#0": "erste"}
    assert texts(built("nrccr", tmp_path, test="task2")) == both | {"1#en#0": "second", "2#de#0": "zweite"}
    assert texts(built("nrccr", tmp_path, languages=["fr"])) == both
    with pytest.raises(UserError, match=r"in ja alone\. The files hold: de, en, fr"):
        built("nrccr", tmp_path, languages=["ja"])


def test_caption_files_of_several_data_sets_are_not_mixed(tmp_path: Path) -> None:
    miniature("nrccr", tmp_path / "in/multi30k")
    miniature("nrccr", tmp_path / "in/mscoco")
    with pytest.raises(UserError, match=r"several data sets: .*mscoco/TextData, .*multi30k/TextData"):
        built("nrccr", tmp_path)


def test_msrvtt_cn_is_videos(tmp_path: Path) -> None:
    miniature("msrvtt-cn", tmp_path / "in")
    report = built("msrvtt-cn", tmp_path)
    assert set(report.corpus.items["kind"].to_pylist()) == {"video"}
    assert splits(report) == {"video1": "train", "video2": "val", "video3": "test"}
    only = built("msrvtt-cn", tmp_path, languages=["zh"])
    assert set(only.corpus.captions["role"].to_pylist()) == {"human"}


def test_frames_beside_the_captions_tell_that_items_are_videos(tmp_path: Path) -> None:
    miniature("nrccr", tmp_path / "in")
    put(tmp_path / "in", {"FeatureData/i3d/video2frames.txt": "{}"})
    assert set(built("nrccr", tmp_path).corpus.items["kind"].to_pylist()) == {"video"}


def test_of_several_test_sets_of_ccrk_one_is_named(tmp_path: Path) -> None:
    miniature("ccrk", tmp_path / "in")
    put(
        tmp_path / "in",
        {"en.5k_test.json": json.dumps([{"image": "x/y.jpg", "caption": ["five"], "image_id": 1}])},
    )
    with pytest.raises(UserError, match=r"several test sets in en: 1k_test, 5k_test\. Name one"):
        built("ccrk", tmp_path)
    report = built("ccrk", tmp_path, test="5k_test")
    assert {item for item, split in splits(report).items() if split == "test"} == {"y"}
    assert texts(report)["y#en#0"] == "five"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"test": "5k_test"}, r"--test is '5k_test', but the lists in .* have: 1k_test\. Give one"),
        ({"languages": ["ja", "fr"]}, r"--languages ja,fr: .* has no list in fr\. It has: en, ja"),
    ],
)
def test_a_choice_that_ccrk_lacks_is_named(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    miniature("ccrk", tmp_path / "in")
    with pytest.raises(UserError, match=message):
        built("ccrk", tmp_path, **given)


def test_names_of_ccrk_may_end_with_the_language(tmp_path: Path) -> None:
    record = [{"image": "flickr30k-images/7.jpg", "caption": ["ein Hund"], "image_id": 0}]
    put(tmp_path / "in", {"test_2016_flickr.de.json": json.dumps(record)})
    report = built("ccrk", tmp_path)
    assert (texts(report), splits(report)) == ({"7#de#0": "ein Hund"}, {"7": "test"})


def test_lines_to_pretrain_on_hold_english_and_its_translations(tmp_path: Path) -> None:
    captions = {"zh": "狗", "en": "a dog", "es": "un perro"}
    records: list[dict[str, Any]] = [{"image_path": "cc3m/9.jpg", "caption": captions}]
    records.append({"image": "aGVsbG8=", "caption": [captions]})
    put_records(tmp_path / "in", {"cc3m-mm-data-all/part_0.data": records})
    report = built("ccrk", tmp_path)
    rows = [
        (row["caption_id"], row["role"], row["source_id"], row["engine"], row["text"])
        for row in report.corpus.captions.to_pylist()
    ]
    assert rows[:3] == [
        ("9#en#0", "human", None, None, "a dog"),
        ("9#zh#0", "mt", "9#en#0", "uc2", "狗"),
        ("9#es#0", "mt", "9#en#0", "m2m_100_1.2B", "un perro"),
    ]
    assert [row["item_id"] for row in report.corpus.items.to_pylist()] == ["9", "part_0-2"]
