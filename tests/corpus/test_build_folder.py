"""Building a corpus from a folder of images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dragoman.corpus import BuildOptions, BuildReport, build_folder
from dragoman.corpus.options import split_by_hash
from dragoman.errors import UserError


def photos(folder: Path, **texts: str | bytes | None) -> Path:
    """Files below `photos/`, named by keys with `__` for `/` and `_` for `.`; None makes an image."""
    root = folder / "photos"
    for key, text in texts.items():
        path = root / key.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if text is None else text.encode() if isinstance(text, str) else text)
    return root


def built(root: Path, **options: Any) -> BuildReport:
    return build_folder(root, root.parent / "out", BuildOptions(**{"lang": "en"} | options))


def test_text_files_hold_the_captions_of_the_image_beside_them(tmp_path: Path) -> None:
    root = photos(
        tmp_path,
        a_jpg=None,
        a_txt="\ufeffa dog\r\n\n a wet dog\n",
        a_pt_txt="um cão",
        sub__b_PNG=None,
        sub__b_zh_hant="not a text file",
        c_v2_webp=None,
        c_v2_txt="a cat",
    )
    (root / ".hidden.txt").write_text("skipped")
    (root / ".git").mkdir()
    (root / ".git" / "x.txt").write_text("skipped")
    corpus = built(root, split="train").corpus
    assert corpus.items.to_pylist() == [
        {"item_id": name, "kind": "image", "path": str(root / name), "split": "train"}
        for name in ("a.jpg", "c.v2.webp", "sub/b.PNG")
    ]
    captions = corpus.captions.select(["caption_id", "item_id", "lang", "text"]).to_pylist()
    assert [tuple(caption.values()) for caption in captions] == [
        ("a.jpg#pt#0", "a.jpg", "pt", "um cão"),
        ("a.jpg#en#0", "a.jpg", "en", "a dog"),
        ("a.jpg#en#1", "a.jpg", "en", "a wet dog"),
        ("c.v2.webp#en#0", "c.v2.webp", "en", "a cat"),
    ]


def test_items_keep_their_split_when_photos_are_added(tmp_path: Path) -> None:
    names = {f"p{number}_jpg": None for number in range(200)}
    before = built(photos(tmp_path, **names)).corpus.items
    more = {f"q{number}_jpg": None for number in range(200)}
    after = built(photos(tmp_path, **more)).corpus.items
    split_of = dict(zip(*(after[name].to_pylist() for name in ("item_id", "split")), strict=True))
    assert all(split_of[row["item_id"]] == row["split"] for row in before.to_pylist())
    # 400 draws: three standard deviations are 24 for train and 18 for the others.
    counts = Counter(split_of.values())
    assert abs(counts["train"] - 320) < 24
    assert abs(counts["val"] - 40) < 18
    assert abs(counts["test"] - 40) < 18


def test_the_hash_is_the_one_that_is_documented() -> None:
    # The first 64 bits of sha256("0:a") are 0.617 of all, those of "0:b" 0.876 and of "1:a" 0.255.
    shares = (0.5, 0.3, 0.2)
    assert [split_by_hash(shares, seed=0)(name) for name in "ab"] == ["val", "test"]
    assert split_by_hash(shares, seed=1)("a") == "train"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a_jpg": None, "a_json": "[1]"}, r"a\.jpg: a\.json holds a list, not an object"),
        ({"a_jpg": None, "metadata_csv": "path,n\na.jpg,1,2\n"}, r"metadata\.csv, line 2: 3 cells"),
        ({"a_jpg": None, "metadata_csv": "name,n\na.jpg,1\n"}, r"metadata\.csv.*no column is named path"),
        ({"a_jpg": None, "a_txt": ""}, r"a\.txt: it holds no caption"),
        ({"a_jpg": None, "a_txt": "\n \n"}, r"a\.txt: it holds no caption"),
        ({"a_jpg": None, "a_txt": b"ok\ncaf\xe9"}, r"a\.txt, line 2: byte 4 \(0xe9\) is not UTF-8"),
        ({"a_jpg": None, "a_txt": b"\x1f\x8bx"}, r"a\.txt: it cannot be read \(.*damaged"),
        ({"a_jpg": None, "b_txt": "a boat"}, r"b\.txt: there is no image or video b beside it"),
        (
            {"a_jpg": None, "a_english_txt": "x"},
            r"a\.english\.txt: there is no image or video a\.english beside it",
        ),
        ({"a_jpg": None, " a_jpg": None}, r"/ a\.jpg: item_id is ' a\.jpg', but a name without"),
    ],
)
def test_a_file_that_does_not_fit_is_named_and_the_others_are_taken(
    tmp_path: Path, files: dict[str, str | None], message: str
) -> None:
    report = built(photos(tmp_path, **files))
    assert report.corpus.items["item_id"].to_pylist() == ["a.jpg"]
    (line,) = (report.corpus.folder / "rejected.jsonl").read_text().splitlines()
    told = json.loads(line)
    place = f"{told['file']}, line {told['line']}" if told["line"] else told["file"]
    assert re.search(message, f"{place}: {told['reason']}")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a_txt": "a boat"}, "holds no images"),
        ({" a_jpg": None}, r"All 1 records were rejected\. .*/ a\.jpg: item_id is ' a\.jpg', but a name"),
    ],
)
def test_a_folder_of_which_nothing_can_be_taken_is_refused(
    tmp_path: Path, files: dict[str, str | None], message: str
) -> None:
    root = photos(tmp_path, **files)
    with pytest.raises(UserError, match=message):
        built(root)
    assert not (tmp_path / "out").exists()


def test_a_text_that_is_no_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    root = photos(tmp_path, a_jpg=None, b_jpg=None)
    os.mkfifo(root / "a.txt")
    (root / "b.txt").symlink_to("nowhere")
    # In a process of its own: to read from the pipe would never end.
    words = ["-q", "corpus", "folder", str(root), "--lang", "en", "--reject-file", "r", "--out", "out"]
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout) == (3, "out: 2 items, 0 captions\n")
    found = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert [(Path(one["file"]).name, one["reason"][:10]) for one in found] == [
        ("a.txt", "it is no f"),
        ("b.txt", "it is no f"),
    ]


def test_captions_without_language_need_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.txt, line 1: lang is missing.*--lang"):
        built(photos(tmp_path, a_jpg=None, a_txt="a dog"), lang=None)
    assert built(photos(tmp_path, a_txt="a dog"), lang="gl").corpus.captions["lang"].to_pylist() == ["gl"]


def test_a_folder_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Give the folder that holds the images"):
        built(tmp_path / "nowhere")


def test_bad_files_are_collected(tmp_path: Path) -> None:
    root = photos(tmp_path, a_jpg=None, a_png=None, a_txt="a dog\n\x00\n", b_txt="a boat")
    report = built(root, reject_file=tmp_path / "r.jsonl")
    assert (report.items, report.captions, report.rejected) == (2, 2, 3)
    found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(Path(reject["file"]).name, reject["line"]) for reject in found] == [
        ("a.txt", 2),
        ("a.txt", 2),
        ("b.txt", 0),
    ]


def test_a_changed_caption_is_noticed(tmp_path: Path) -> None:
    root = photos(tmp_path, a_jpg=None, a_txt="a dog")
    assert not built(root).unchanged
    assert built(root).unchanged
    photos(tmp_path, a_txt="a cat")
    report = built(root)
    assert report.corpus.captions["text"].to_pylist() == ["a cat"]
    assert report.update is not None
    assert str(report.update.captions) == "0 added, 1 changed, 0 removed"
