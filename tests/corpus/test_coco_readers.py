"""Data sets on the images of COCO, and documents of JSON."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from miniatures import miniature, put

from dragoman.corpus import BuildOptions, BuildReport, ReadOptions, build_dataset
from dragoman.corpus.readers import coco
from dragoman.corpus.readers.formats import documents
from dragoman.corpus.readers.formats.documents import entries
from dragoman.errors import UserError


def built(name: str, root: Path, **given: Any) -> BuildReport:
    options = BuildOptions(overwrite=True, **given.pop("options", {}))
    return build_dataset(name, root / "in", root / "out", options, ReadOptions(**given))


def texts(report: BuildReport) -> dict[str, str]:
    return {row["caption_id"]: row["text"] for row in report.corpus.captions.to_pylist()}


def test_the_test_images_of_karpathy_fall_into_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "FOLD", 2)
    images = [
        {
            "filename": f"{k}.jpg",
            "filepath": "val2014",
            "split": "test",
            "cocoid": k,
            "sentences": [{"raw": f"t{k}"}],
        }
        for k in range(5)
    ]
    put(tmp_path / "in", {"dataset_coco.json": json.dumps({"dataset": "coco", "images": images})})
    whole = built("coco-en", tmp_path)
    assert whole.corpus.items.select(["item_id", "fold", "coco_id", "file"]).to_pylist() == [
        {"item_id": str(k), "fold": k // 2, "coco_id": k, "file": f"val2014/{k}.jpg"} for k in range(5)
    ]
    assert list(texts(built("coco-en", tmp_path, test="1k"))) == ["0#en#0", "1#en#0"]


def test_images_with_more_than_five_captions_are_counted_and_keep_them(tmp_path: Path) -> None:
    miniature("coco-en", tmp_path / "in")
    report = built("coco-en", tmp_path)
    note = "image with more than five English captions, test: 1 (COCO_val2014_000000000004)"
    assert report.notes[0] == note
    assert texts(report)["COCO_val2014_000000000004#en#5"] == "en 5 of 4"


def test_pictures_of_coco_are_found_under_their_names_of_2017(tmp_path: Path) -> None:
    miniature("coco-en", tmp_path / "in")
    place = tmp_path / "media" / "val2017" / "000000000004.jpg"
    place.parent.mkdir(parents=True)
    place.touch()
    items = built("coco-en", tmp_path, options={"media_root": tmp_path / "media"}).corpus.items.to_pylist()
    assert {row["item_id"]: row["path"] for row in items if row["path"]} == {
        "COCO_val2014_000000000004": str(place)
    }


def test_coco_cn_is_tested_on_written_or_on_translated_captions(tmp_path: Path) -> None:
    miniature("coco-zh", tmp_path / "in")
    written = built("coco-zh", tmp_path, languages=["zh"])
    test = "COCO_val2014_000000000002"
    assert {k: v for k, v in texts(written).items() if k.startswith(test)} == {
        f"{test}#zh#0": "写 test 0",
        f"{test}#zh#1": "写 test 1",
    }
    assert "caption of an image in no split left out, zh: 1 (COCO_val2014_9)" in written.notes
    translated = texts(built("coco-zh", tmp_path, languages=["zh"], test="translated"))
    assert {k: v for k, v in translated.items() if k.startswith(test)} == {f"{test}#zh#0": "译"}
    assert {k: v for k, v in translated.items() if not k.startswith(test)} == {
        k: v for k, v in texts(written).items() if not k.startswith(test)
    }


def test_coco_cn_without_the_english_file_is_chinese_alone(tmp_path: Path) -> None:
    miniature("coco-zh", tmp_path / "in")
    (tmp_path / "in/dataset_coco.json").unlink()
    assert set(built("coco-zh", tmp_path).corpus.captions["lang"].to_pylist()) == {"zh"}
    with pytest.raises(
        UserError, match=r"lacks 1 files of coco-zh: dataset_coco\.json \(published at https://cs"
    ):
        built("coco-zh", tmp_path, languages=["zh", "en"])


def test_stair_captions_of_images_outside_the_split_are_told(tmp_path: Path) -> None:
    miniature("coco-ja-stair", tmp_path / "in")
    assert "caption of an image in no split left out, ja: 2 (99)" in built("coco-ja-stair", tmp_path).notes


def test_yj_captions_are_split_as_the_user_says(tmp_path: Path) -> None:
    miniature("coco-ja-yj", tmp_path / "in")
    report = built("coco-ja-yj", tmp_path)
    assert report.notes[0].startswith("split drawn by hash of the image, none is published: 1")
    assert report.corpus.manifest["options"]["split_fractions"][0] == pytest.approx(0.9245, abs=1e-4)
    one = built("coco-ja-yj", tmp_path, options={"split": "val"})
    assert set(one.corpus.items["split"].to_pylist()) == {"val"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no 'images'"),
        ("[]", "holds no 'images'. Check that it is"),
        ('{"annotations": []}', "holds no 'images'"),
        ('{"images": {}}', "'images' of d.json is no list"),
        ('{"images": [{}, ', "no valid JSON"),
        ('{"images": [{} {}]}', "no valid JSON .*',' expected"),
        ('{"images"', "':' expected"),
        ('{"first": [1, {"a": [}]', "no valid JSON"),
        ('{"images": [' + "[" * 100_000, "no valid JSON"),
    ],
)
def test_a_document_that_is_none_is_told(tmp_path: Path, text: str, message: str) -> None:
    put(tmp_path, {"d.json": text})
    with pytest.raises(UserError, match=rf"d\.json:? .*{message}|d\.json: {message}"):
        list(entries(tmp_path / "d.json", "images"))


def test_records_of_a_document_come_one_by_one_with_their_text(tmp_path: Path) -> None:
    text = '\ufeff {"a": [1, [2], {"images": []}], "b": "x", "images" : [ {"k": 1} , 7,{"k": [2]}], "c": 1}'
    put(tmp_path, {"d.json": text})
    found = list(entries(tmp_path / "d.json", "images"))
    assert [(e.place.removeprefix(str(tmp_path)), e.line.raw, e.fields, e.line.fault) for e in found] == [
        ("/d.json, images 1", '{"k": 1}', {"k": 1}, None),
        ("/d.json, images 2", "7", {}, "a JSON int, not an object."),
        ("/d.json, images 3", '{"k": [2]}', {"k": [2]}, None),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    before=JSON,
    records=st.lists(JSON, max_size=5),
    piece=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    zipped=st.booleans(),
)
def test_a_document_read_in_pieces_is_the_document(
    tmp_path_factory: pytest.TempPathFactory,
    before: object,
    records: list[object],
    piece: int,
    indent: int | None,
    zipped: bool,
) -> None:
    document = {"before": before, "images": records, "after": [1, 2]}
    text = json.dumps(document, ensure_ascii=False, indent=indent).encode()
    file = tmp_path_factory.mktemp("documents") / "d.json"
    file.write_bytes(gzip.compress(text) if zipped else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PIECE", piece)
        found = list(entries(file, "images"))
    assert [json.loads(entry.line.raw) for entry in found] == records
    assert [entry.fields for entry in found] == [one if isinstance(one, dict) else {} for one in records]


def test_a_fault_of_a_document_is_placed_though_it_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "PIECE", 4)
    file = tmp_path / "d.json"
    file.write_bytes(b'\xef\xbb\xbf{"images": [{}, {} {}]}')
    with pytest.raises(UserError, match=r"no valid JSON \(',' expected, character 20\)"):
        list(entries(file, "images"))
    file.write_bytes(b'\xef\xbb\xbf{"images": [{"a": "\xff"}]}')
    with pytest.raises(UserError, match="byte 23 is not UTF-8"):
        list(entries(file, "images"))


def test_a_bad_record_of_a_document_is_named_by_its_number(tmp_path: Path) -> None:
    miniature("coco-ja-yj", tmp_path / "in")
    file = tmp_path / "in/yjcaptions26k_clean.json"
    document = json.loads(file.read_text())
    document["annotations"][2]["caption"] = 7
    document["annotations"].append({"caption": "x"})
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"clean\.json, annotations 3: text is 7, but a string was expected"):
        built("coco-ja-yj", tmp_path)
    report = built("coco-ja-yj", tmp_path, options={"reject_file": tmp_path / "r.jsonl"})
    assert [json.loads(line)["file"] for line in (tmp_path / "r.jsonl").read_text().splitlines()] == [
        f"{file}, annotations 3",
        f"{file}, annotations 5",
    ]
    assert report.rejected == 2
