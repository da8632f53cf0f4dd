"""Published data sets: languages, test sets, known defects, and what is said about them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from miniatures import miniature, put_lines, put_records

from command_line import dragoman
from dragoman.corpus import BuildOptions, BuildReport, ReadOptions, build_dataset
from dragoman.errors import UserError


def built(name: str, root: Path, **given: Any) -> BuildReport:
    options = BuildOptions(**given.pop("options", {}))
    return build_dataset(name, root / "in", root / "out", options, ReadOptions(**given))


def captions(report: BuildReport) -> dict[str, str]:
    rows = report.corpus.captions.to_pylist()
    return {row["caption_id"]: row["text"] for row in rows}


def test_languages_are_chosen_and_those_without_files_left_out(tmp_path: Path) -> None:
    miniature("multi30k-task1", tmp_path / "in")
    for path in (tmp_path / "in").rglob("*.fr"):
        path.unlink()
    report = built("multi30k-task1", tmp_path)
    assert sorted(set(report.corpus.captions["lang"].to_pylist())) == ["cs", "de", "en"]
    assert report.corpus.manifest["options"]["languages"] == ["en", "de", "cs"]
    chosen = built("multi30k-task1", tmp_path, languages=["DE"], options={"overwrite": True})
    assert set(chosen.corpus.captions["lang"].to_pylist()) == {"de"}


def test_one_error_names_all_that_a_language_lacks(tmp_path: Path) -> None:
    miniature("multi30k-task1", tmp_path / "in")
    (tmp_path / "in/data/task1/raw/train.fr").unlink()
    (tmp_path / "in/data/task1/raw/val.de").unlink()
    with pytest.raises(UserError) as caught:
        built("multi30k-task1", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/in lacks 2 files of multi30k-task1: data/task1/raw/val.de, data/task1/raw/train.fr "
        "(published at https://github.com/multi30k/dataset). Fetch them, or choose others with --languages "
        "or --test."
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"languages": ["en", "pt"]}, "--languages en,pt: multi30k-task1 has no pt. It has: en, de, fr, cs"),
        ({"languages": ["english"]}, "--languages: lang is 'english', but a BCP 47 tag"),
        ({"languages": []}, "--languages : multi30k-task1 has no such language"),
        ({"test": "2019"}, "--test is '2019', but multi30k-task1 has: 2016_flickr, 2017_flickr"),
        ({"languages": ["cs"], "test": "2017_flickr"}, "has no cs. It has: en, de, fr"),
    ],
)
def test_a_choice_that_does_not_exist_is_named(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    miniature("multi30k-task1", tmp_path / "in")
    with pytest.raises(UserError, match=message):
        built("multi30k-task1", tmp_path, **given)


def test_a_data_set_of_no_known_name_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No data set 'multi40k'\. Known: .*multi30k-task1"):
        build_dataset("multi40k", tmp_path, tmp_path / "out")


def test_other_test_sets_of_multi30k(tmp_path: Path) -> None:
    miniature("multi30k-task1", tmp_path / "in")
    part = "data/task1/{}/test_2017_mscoco.{}"
    name = "COCO_val2014_000000000007.jpg#41"
    put_lines(
        tmp_path / "in", {part.format("image_splits", "txt"): [name], part.format("raw", "de"): ["sieben"]}
    )
    report = built("multi30k-task1", tmp_path, languages=["de"], test="2017_mscoco")
    assert [row for row in report.corpus.items.to_pylist() if row["split"] == "test"] == [
        {"item_id": "COCO_val2014_000000000007", "kind": "image", "path": None, "split": "test"}
        | {"file": "COCO_val2014_000000000007.jpg"}
    ]
    assert captions(report)["COCO_val2014_000000000007#de#0"] == "sieben"
    assert "test holds 1 items, but 461 are published" in report.notes


def test_files_whose_lines_do_not_pair_are_refused(tmp_path: Path) -> None:
    miniature("multi30k-task1", tmp_path / "in")
    put_lines(tmp_path / "in", {"data/task1/raw/train.de": ["nur eine"]})
    with pytest.raises(UserError, match=r"train\.de has 1 lines, but .*train\.txt names 2 images"):
        built("multi30k-task1", tmp_path)


def test_an_empty_line_is_a_caption_that_is_left_out_not_a_shift(tmp_path: Path) -> None:
    miniature("multi30k-task1", tmp_path / "in")
    raw = "data/task1/raw/{}.de"
    put_lines(
        tmp_path / "in", {raw.format("train"): ["", "zwei"], raw.format("test_2016_flickr"): ["vier", ""]}
    )
    report = built("multi30k-task1", tmp_path, languages=["en", "de"])
    found = captions(report)
    assert (found["2_a#de#0"], found["4#de#0"]) == ("zwei", "vier")
    assert not {"1#de#0", "5#de#0"} & set(found)
    assert report.notes[0] == "empty caption left out, de: 2 (1, 5)"
    assert "test items with captions in all 2 languages: 1 of 2" in report.notes


def test_the_outer_folders_of_the_published_layout_may_be_left_out(tmp_path: Path) -> None:
    expected = miniature("multi30k-task1", tmp_path / "in")
    report = build_dataset("multi30k-task1", tmp_path / "in/data/task1", tmp_path / "out")
    assert report.captions == len(expected.captions)
    # Without their folders, the files of two languages would have one name.
    miniature("xflickrco", tmp_path / "x")
    with pytest.raises(UserError, match="lacks 8 files of xflickrco"):
        build_dataset("xflickrco", tmp_path / "x/annotations/de", tmp_path / "out2")


def test_machine_translations_of_flickr8k_cn_know_their_source(tmp_path: Path) -> None:
    miniature("flickr8k-cn", tmp_path / "in")
    report = built("flickr8k-cn", tmp_path)
    rows = {row["caption_id"]: row for row in report.corpus.captions.to_pylist()}
    row = rows["c_3#zh-baidu-2015#1"]
    assert (row["source_id"], row["engine"], row["role"]) == ("c_3#en#1", "baidu-2015", "mt")
    assert report.notes[:2] == (
        "caption of an image in no split left out, en: 2 (lost_4)",
        "caption of an image in no split left out, zh: 2 (lost_4)",
    )
    alone = built("flickr8k-cn", tmp_path, languages=["zh"], options={"overwrite": True})
    assert {row["role"] for row in alone.corpus.captions.to_pylist()} == {"human"}


def test_an_empty_caption_of_xflickrco_is_found_by_content_and_its_image_stays(tmp_path: Path) -> None:
    miniature("xflickrco", tmp_path / "in")
    report = built("xflickrco", tmp_path)
    assert report.notes == (
        "empty caption left out, de: 1 (77)",
        "test holds 2 items, but 2,000 are published",
        "test items with captions in all 8 languages: 1 of 2",
    )
    german = built("xflickrco", tmp_path, languages=["de"], options={"overwrite": True})
    assert german.corpus.items["item_id"].to_pylist() == ["77", "COCO_val2014_000000000009", "5"]
    assert captions(german) == {
        "COCO_val2014_000000000009#de#0": "de of COCO_val2014_000000000009.jpg",
        "5#de#0": "de of 5.jpg",
    }


def test_repeated_test_captions_are_counted(tmp_path: Path) -> None:
    miniature("xtd10", tmp_path / "in")
    put_lines(tmp_path / "in", {"MIC/test_1kcaptions_de.txt": ["ein Hund", "ein Hund"]})
    assert "test captions that repeat another, de: 1" in built("xtd10", tmp_path).notes


def test_images_of_wit_are_joined_by_address_and_found_on_disk(tmp_path: Path) -> None:
    miniature("wit", tmp_path / "in")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "Two dogs.jpg").touch()
    report = built("wit", tmp_path, languages=["en", "ar"], options={"media_root": tmp_path / "media"})
    assert {row["item_id"]: row["path"] for row in report.corpus.items.to_pylist()} == {
        "wit-test_0": str(tmp_path / "media" / "Two dogs.jpg"),
        "wit-test_en": "https://upload.wikimedia.org/en.svg",
        "wit-test_ar": "https://upload.wikimedia.org/ar.svg",
    }
    assert captions(report)["wit-test_0#ar#1"] == "ar three"


def test_names_that_are_no_unicode_are_escaped(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    miniature("xtd10", folder / "in")
    for unchanged in (False, True):
        report = build_dataset("xtd10", folder / "in", tmp_path / "out")
        assert (report.items, report.unchanged) == (2, unchanged)
    assert str(folder / "in/XTD10/test_image_names.txt") in report.corpus.manifest["inputs"]
    with pytest.raises(UserError, match=r"caf\\udce9/out is no name in UTF-8.* Give another --out"):
        built("xtd10", folder)
    miniature("xflickrco", tmp_path / "in")
    with (tmp_path / "in/annotations/de/test.jsonl").open("a") as file:
        file.write('{"img_path": "\\ud800.jpg", "sentences": [""]}\n')
    report = built("xflickrco", tmp_path, options={"reject_file": tmp_path / "r.jsonl", "overwrite": True})
    assert r"empty caption left out, de: 2 (77, \ud800)" in report.notes
    assert report.rejected == 1


def test_a_language_that_the_test_set_lacks_is_told(tmp_path: Path) -> None:
    miniature("vatex", tmp_path / "in")
    report = built("vatex", tmp_path, test="public")
    assert "languages without any human caption of a test item: zh" in report.notes


def placed(root: Path, *files: str) -> BuildReport:
    """Multi30K with some media files; its images are 1, 2_a, 3, 4 and 5, all `.jpg`."""
    miniature("multi30k-task1", root / "in")
    for file in files:
        (root / "media" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "media" / file).touch()
    return built("multi30k-task1", root, options={"media_root": root / "media"})


def paths(report: BuildReport, root: Path) -> dict[str, str]:
    found = {row["item_id"]: row["path"] for row in report.corpus.items.to_pylist() if row["path"]}
    return {name: str(Path(path).relative_to(root / "media")) for name, path in found.items()}


def test_what_lies_beside_a_picture_under_its_name_is_no_picture(tmp_path: Path) -> None:
    report = placed(tmp_path, "1.json", "1.png", "3.npy", "4.JPEG", "4.JSON", "5.txt", "5.WebP")
    assert paths(report, tmp_path) == {"1": "1.png", "4": "4.JPEG", "5": "5.WebP"}


def test_several_files_of_a_name_are_told(tmp_path: Path) -> None:
    report = placed(tmp_path, "full/1.jpg", "thumbs/1.jpg", "thumbs/3.jpg")
    assert paths(report, tmp_path) == {"1": "full/1.jpg", "3": "thumbs/3.jpg"}
    assert "several media files of that name, the first taken: 1 (1)" in report.notes


def test_linked_folders_of_media_are_searched_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/1.jpg").touch()
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "media").mkdir()
    (tmp_path / "media/linked").symlink_to(tmp_path / "elsewhere")
    report = placed(tmp_path)
    assert paths(report, tmp_path) == {"1": "linked/1.jpg"}
    assert [note for note in report.notes if "media" in note] == []


def test_published_folders_tell_files_of_one_name_apart(tmp_path: Path) -> None:
    """Names of Wikimedia are unique within a folder alone."""
    where = "https://upload.wikimedia.org/wikipedia/commons"
    rows = [
        {"image_url": f"{where}/{folder}/Logo.png", "wit_ix": name, "caption_reference_description": name}
        for name, folder in (("one", "a/ab"), ("two", "b/bc"))
    ]
    put_records(tmp_path, {"in/annotations/test_en.jsonl": rows})
    for folder in ("a/ab", "b/bc"):
        (tmp_path / "media" / folder).mkdir(parents=True)
        (tmp_path / "media" / folder / "Logo.png").touch()
    options = {"media_root": tmp_path / "media"}
    report = built("wit", tmp_path, options=options)
    assert paths(report, tmp_path) == {"one": "a/ab/Logo.png", "two": "b/bc/Logo.png"}
    assert not any("media" in note for note in report.notes)
    (tmp_path / "media/b/bc/Logo.png").unlink()
    report = built("wit", tmp_path, options=options | {"overwrite": True})
    assert "media file of another item taken as well: 1 (two)" in report.notes


def test_a_line_that_is_no_record_is_named_or_collected(tmp_path: Path) -> None:
    miniature("xflickrco", tmp_path / "in")
    with (tmp_path / "in/annotations/ja/test.jsonl").open("a") as file:
        file.write('{"sentences": ["x"]}\n[]\n')
    with pytest.raises(UserError, match=r"ja/test\.jsonl, line 3: img_path and sentences are missing"):
        built("xflickrco", tmp_path)
    report = built("xflickrco", tmp_path, options={"reject_file": tmp_path / "r.jsonl"})
    assert report.rejected == 2
    miniature("flickr8k-cn", tmp_path / "in")
    with (tmp_path / "in/flickr8kzhc.caption.txt").open("a") as file:
        file.write("no id at all\n")
    with pytest.raises(
        UserError, match=r"zhc\.caption\.txt, line 9: 'no id at all' does not begin with an id"
    ):
        build_dataset("flickr8k-cn", tmp_path / "in", tmp_path / "out2")


def test_the_command_line_prints_what_was_found(tmp_path: Path) -> None:
    miniature("xflickrco", tmp_path / "in")
    words = ["xflickrco", "in", "--languages", "de,en", "--images", ".", "--out", "out"]
    assert dragoman("-q", "corpus", *words, at=tmp_path) == (
        0,
        "out: 3 items, 4 captions\n"
        "  empty caption left out, de: 1 (77)\n"
        "  test holds 2 items, but 2,000 are published\n"
        "  test items with captions in all 2 languages: 1 of 2\n",
        "",
    )
