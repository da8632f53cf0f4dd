"""Building a corpus from JSON Lines."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.corpus import BuildOptions, Corpus, build_jsonl, draft
from dragoman.errors import UserError
from dragoman.folders import Format

HUMAN = {"caption_id": "h", "item_id": "i", "split": "train", "lang": "en", "role": "human", "text": "a dog"}
MT = HUMAN | {
    "caption_id": "m",
    "lang": "pt",
    "role": "mt",
    "text": "um cão",
    "source_id": "h",
    "engine": "e",
}
BACK = HUMAN | {"caption_id": "b", "role": "back", "text": "one dog", "source_id": "m", "engine": "e"}


def lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def built(folder: Path, *records: dict[str, Any], **options: Any) -> Corpus:
    return build_jsonl(lines(folder / "c.jsonl", *records), folder / "out", BuildOptions(**options)).corpus


def test_captions_and_items_are_stored_as_given(tmp_path: Path) -> None:
    corpus = built(tmp_path, BACK | {"trust": 0.5}, HUMAN, MT, HUMAN | {"caption_id": "z", "item_id": "j"})
    assert corpus.captions.to_pylist() == [
        {"caption_id": "b", "item_id": "i", "lang": "en", "role": "back", "text": "one dog", "source_id": "m",
         "engine": "e", "trust": 0.5},
        {"caption_id": "h", "item_id": "i", "lang": "en", "role": "human", "text": "a dog", "source_id": None,
         "engine": None, "trust": None},
        {"caption_id": "m", "item_id": "i", "lang": "pt", "role": "mt", "text": "um cão", "source_id": "h",
         "engine": "e", "trust": None},
        {"caption_id": "z", "item_id": "j", "lang": "en", "role": "human", "text": "a dog", "source_id": None,
         "engine": None, "trust": None},
    ]  # fmt: skip
    assert corpus.items.to_pylist() == [
        {"item_id": "i", "kind": "image", "path": None, "split": "train"},
        {"item_id": "j", "kind": "image", "path": None, "split": "train"},
    ]


def test_gzip_byte_order_mark_blank_lines_and_unicode_line_separators(tmp_path: Path) -> None:
    text = "one\u2028two\x85three"
    raw = "\ufeff" + json.dumps(HUMAN | {"text": text}, ensure_ascii=False) + "\r\n\n"
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(raw.encode()))
    corpus = build_jsonl(tmp_path / "c.jsonl.gz", tmp_path / "out").corpus
    assert corpus.captions["text"].to_pylist() == [text]


def test_a_line_break_inside_a_text_becomes_a_space(tmp_path: Path) -> None:
    corpus = built(tmp_path, HUMAN | {"text": "a dog\r\n\tin the sun"})
    assert corpus.captions["text"].to_pylist() == ["a dog in the sun"]


def test_language_tags_get_their_usual_case(tmp_path: Path) -> None:
    tags = ["EN", "pt-br", "ZH-hant-tw", "es-419", "de-ch-1996", "sr-latn-x-a"]
    captions = [HUMAN | {"caption_id": tag, "lang": tag} for tag in tags]
    expected = ["en", "pt-BR", "zh-Hant-TW", "es-419", "de-CH-1996", "sr-Latn-x-a"]
    assert built(tmp_path, *captions).captions["lang"].to_pylist() == expected


def test_what_is_missing_is_filled_in_by_options(tmp_path: Path) -> None:
    corpus = built(tmp_path, {"item_id": 7, "text": "a"}, {"item_id": 7, "text": "b"}, lang="en", split="val")
    assert corpus.captions["caption_id"].to_pylist() == ["7#en#0", "7#en#1"]
    assert corpus.captions["role"].to_pylist() == ["human", "human"]
    assert corpus.items["split"].to_pylist() == ["val"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([HUMAN, HUMAN], r"line 2: caption_id 'h' stands in .*line 1 already"),
        ([HUMAN | {"text": " \u200b\n"}], "line 1: text is .* which is empty"),
        ([HUMAN | {"text": "a\x00b"}], r"line 1: text is 'a\\x00b': character 2 .*U\+0000"),
        ([HUMAN | {"text": 5}], "line 1: text is 5, but a string"),
        ([HUMAN | {"text": None}], "line 1: text is missing"),
        ([HUMAN | {"item_id": "a\nb"}], r"line 1: item_id is 'a\\nb', but a name without control characters"),
        ([HUMAN | {"item_id": None}], "line 1: item_id is missing"),
        ([HUMAN | {"lang": "english"}], "line 1: lang is 'english', but a BCP 47 tag"),
        ([HUMAN | {"lang": "pt_br!"}], "line 1: lang is 'pt_br!', but a BCP 47 tag such as"),
        ([HUMAN | {"lang": None}], "line 1: lang is missing. Add it to the record, or pass --lang"),
        ([HUMAN | {"role": "machine"}], "line 1: role is 'machine', but one of human, mt, back"),
        ([HUMAN | {"role": []}], r"line 1: role is \[\], but one of human, mt, back"),
        ([HUMAN | {"split": "dev"}], "line 1: split is 'dev', but one of train, val, test"),
        ([HUMAN | {"split": None}], "line 1: split is missing. .*--split"),
        ([HUMAN | {"kind": "audio"}], "line 1: kind is 'audio', but one of image, video"),
        ([HUMAN | {"trust": 1.5}], "line 1: trust is 1.5, but a number from 0 to 1"),
        ([HUMAN | {"trust": True}], "line 1: trust is True, but a number from 0 to 1"),
        ([HUMAN | {"trust": float("nan")}], "line 1: trust is nan, but a number from 0 to 1"),
        ([HUMAN | {"cpation": "x"}], "line 1: key 'cpation' is not known .*--ignore cpation"),
        ([HUMAN, HUMAN | {"caption_id": "g", "split": "test"}], "line 2: .* split 'test' here but 'train'"),
        ([HUMAN | {"path": "a"}, HUMAN | {"caption_id": "g", "path": "b"}], "line 2: .* path '.*b' here but"),
        ([HUMAN | {"source_id": "m"}, MT], "line 1: a human caption has source_id 'm'"),
        ([HUMAN, MT | {"source_id": None}], "line 2: role is 'mt' but there is no source_id"),
        ([HUMAN, MT | {"source_id": "x"}], "line 2: source_id 'x' is no caption of this corpus"),
        ([HUMAN, MT | {"item_id": "j"}], "line 2: its source 'h' belongs to item 'i', not to 'j'"),
        ([HUMAN, MT | {"lang": "en"}], "line 2: role is 'mt' and lang 'en', but its source 'h' has the same"),
        ([HUMAN, BACK | {"source_id": "h"}], "line 2: role is 'back', but its source 'h' has role 'human'"),
        ([HUMAN, MT, BACK | {"lang": "gl"}], "line 3: .* lang 'gl', but the original 'h' is in 'en'"),
        ([MT | {"source_id": "n"}, MT | {"caption_id": "n", "lang": "es", "source_id": "m"}],
         "line 1: its source 'n' leads back to itself"),
        ([MT | {"source_id": "m", "lang": "en"}], "line 1: .* lang 'en', but its source 'm' has the same"),
        ([], "nothing to build from"),
    ],
)  # fmt: skip
def test_a_bad_record_is_named_and_nothing_is_left(
    tmp_path: Path, records: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        built(tmp_path, *records)
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "line 2: no valid JSON"),
        (b"[1]", "line 2: a JSON list, but an object"),
        (b'{"a": "\xff"}', r"line 2: byte 8 \(0xff\) is not UTF-8"),
        (b"[" * 100_000, "line 2: no valid JSON"),
        (b'{"text": "\\ud800", "item_id": "i", "lang": "en"}', r"line 2: .*U\+D800"),
        (b"9" * 5000, "line 2: no valid JSON"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, raw: bytes, message: str) -> None:
    lines(tmp_path / "c.jsonl", HUMAN)
    with (tmp_path / "c.jsonl").open("ab") as file:
        file.write(raw)
    with pytest.raises(UserError, match=message):
        build_jsonl(tmp_path / "c.jsonl", tmp_path / "out")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"c\.jsonl does not exist"):
        build_jsonl(tmp_path / "c.jsonl", tmp_path / "out")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        build_jsonl(tmp_path, tmp_path / "out")
    whole = gzip.compress((json.dumps(HUMAN) + "\n").encode() + b" \n" * 10_000)
    (tmp_path / "c.jsonl.gz").write_bytes(whole[:-20])
    with pytest.raises(UserError, match="compressed data is damaged"):
        build_jsonl(tmp_path / "c.jsonl.gz", tmp_path / "out")


def test_bad_records_are_collected_with_all_that_depends_on_them(tmp_path: Path) -> None:
    records = [
        BACK,
        MT,
        HUMAN | {"text": ""},
        HUMAN | {"caption_id": "good"},
        HUMAN | {"caption_id": "good", "item_id": "new"},
        MT | {"caption_id": "lost", "source_id": "nowhere"},
        BACK | {"caption_id": "lost too", "source_id": "lost"},
    ]
    source = lines(tmp_path / "c.jsonl", *records)
    report = build_jsonl(source, tmp_path / "out", BuildOptions(reject_file=tmp_path / "r.jsonl"))
    assert (report.captions, report.items, report.rejected) == (1, 1, 6)
    assert report.corpus.captions["caption_id"].to_pylist() == ["good"]
    found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").split("\n")[:-1]]
    raw = source.read_text("utf-8").split("\n")
    assert all(reject["raw"] == raw[reject["line"] - 1] and reject["file"] == str(source) for reject in found)
    assert {reject["line"]: reject["reason"] for reject in found} == {
        1: "its source 'm' was rejected.",
        2: "its source 'h' was rejected.",
        3: "text is '', which is empty. Write a caption or remove the record.",
        5: f"caption_id 'good' stands in {source}, line 4 already. Give every caption an id of its own.",
        6: "source_id 'nowhere' is no caption of this corpus. Add that caption, or correct the id.",
        7: "its source 'lost' was rejected.",
    }


def test_rejection_travels_down_a_long_chain(tmp_path: Path) -> None:
    links = [
        MT
        | {"caption_id": f"m{k}", "lang": ("pt", "es")[k % 2], "source_id": f"m{k - 1}" if k else "nowhere"}
        for k in range(11)
    ]
    other = HUMAN | {"caption_id": "other", "item_id": "other"}
    corpus = built(tmp_path, *reversed(links), other, reject_file=tmp_path / "r.jsonl")
    assert corpus.captions["caption_id"].to_pylist() == ["other"]
    # Their item had no other captions, so it went with them.
    assert corpus.items["item_id"].to_pylist() == ["other"]
    found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    assert [reject["reason"] for reject in found[:-1]] == [
        f"its source 'm{k}' was rejected." for k in range(9, -1, -1)
    ]
    assert found[-1]["reason"].startswith("source_id 'nowhere' is no caption")


def test_captions_in_several_chunks_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "CHUNK", 2)
    records = [HUMAN | {"caption_id": str(k), "text": f"text {k}"} for k in range(5)]
    bad = MT | {"source_id": "nowhere"}
    corpus = built(tmp_path, *records[:3], bad, *records[3:], reject_file=tmp_path / "r.jsonl")
    assert corpus.captions["text"].to_pylist() == [f"text {k}" for k in range(5)]
    assert json.loads((tmp_path / "r.jsonl").read_text())["line"] == 4


def test_an_input_is_never_taken_for_the_reject_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is an input"):
        built(tmp_path, HUMAN, reject_file=tmp_path / "." / "c.jsonl")
    assert json.loads((tmp_path / "c.jsonl").read_text()) == HUMAN


def test_when_every_record_is_rejected_there_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"All 1 records were rejected: see .*r\.jsonl"):
        built(tmp_path, HUMAN | {"text": ""}, reject_file=tmp_path / "r.jsonl")
    assert not (tmp_path / "out").exists()


def test_items_of_their_own_bring_metadata_and_close_the_list(tmp_path: Path) -> None:
    captions = lines(tmp_path / "c.jsonl", {"item_id": "i", "lang": "en", "text": "a dog"})
    items = lines(
        tmp_path / "i.jsonl",
        {"item_id": "i", "split": "train", "path": "photos/i.jpg", "year": 1990, "tags": ["a", "b"]},
        {"item_id": "j", "split": "test", "path": "https://example.org/j.jpg", "year": 1990.5},
    )
    corpus = build_jsonl(captions, tmp_path / "out", items=items).corpus
    assert corpus.items.to_pylist() == [
        {"item_id": "i", "kind": "image", "path": str(tmp_path / "photos/i.jpg"), "split": "train",
         "year": 1990.0, "tags": ["a", "b"]},
        {"item_id": "j", "kind": "image", "path": "https://example.org/j.jpg", "split": "test",
         "year": 1990.5, "tags": None},
    ]  # fmt: skip
    lines(captions, HUMAN | {"item_id": "k"})
    with pytest.raises(UserError, match=r"c\.jsonl, line 1: item_id 'k' is none of the items"):
        build_jsonl(captions, tmp_path / "out2", items=items)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"item_id": "i", "split": "train"}, r"line 2: item_id 'i' stands in .*i\.jsonl, line 1 already"),
        ({"item_id": "j"}, "line 2: split is missing"),
        ({"item_id": "j", "split": "test", "year": "old"}, "line 2: year is 'old', text, but elsewhere"),
        ({"item_id": "j", "split": "test", "year": {}}, "line 2: year is {}, but a string, a number"),
        ({"item_id": "j", "split": "test", "year": 1 << 70}, "line 2: year is 11805.*, but a string"),
        ({"item_id": "j", "split": "test", "year": float("inf")}, "line 2: year is inf, but a finite number"),
        ({"item_id": "j", "split": "test", "a\n": 1}, r"line 2: 'a\\n' cannot name a metadata column"),
    ],
)  # fmt: skip
def test_a_bad_item_is_named_or_collected(tmp_path: Path, second: dict[str, Any], message: str) -> None:
    captions = lines(tmp_path / "c.jsonl", HUMAN, HUMAN | {"caption_id": "j", "item_id": "j"})
    items = lines(tmp_path / "i.jsonl", {"item_id": "i", "split": "train", "year": 1}, second)
    with pytest.raises(UserError, match=message):
        build_jsonl(captions, tmp_path / "out", items=items)
    options = BuildOptions(reject_file=tmp_path / "r.jsonl")
    report = build_jsonl(captions, tmp_path / "out", options, items=items)
    assert (report.items, report.captions, report.rejected) == (1, 1, 2)
    last = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[-1])
    if "stands in" not in message:
        assert last["reason"] == "its item 'j' was rejected."


def test_metadata_in_captions_is_kept_with_the_item(tmp_path: Path) -> None:
    corpus = built(tmp_path, HUMAN | {"year": 1990, "x": 1}, metadata=("year",), ignore=("x",))
    assert corpus.items.to_pylist()[0]["year"] == 1990
    with pytest.raises(UserError, match="item 'i' has year 1991 here but 1990"):
        built(
            tmp_path,
            HUMAN | {"year": 1990},
            HUMAN | {"caption_id": "k", "year": 1991},
            metadata=("year",),
            overwrite=True,
        )


def test_items_get_the_media_file_that_exists(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "i.jpg").touch()
    other = HUMAN | {"caption_id": "k", "item_id": "k"}
    corpus = built(tmp_path, HUMAN, other, media_root=tmp_path / "photos", media_pattern="{item_id}.jpg")
    assert corpus.items["path"].to_pylist() == [str(tmp_path / "photos/i.jpg"), None]
    # A file that comes or goes is a change of the inputs.
    (tmp_path / "photos" / "i.jpg").rename(tmp_path / "photos" / "k.jpg")
    moved = built(tmp_path, HUMAN, other, media_root=tmp_path / "photos")
    assert moved.items["path"].to_pylist() == [None, str(tmp_path / "photos/k.jpg")]
    with pytest.raises(UserError, match="is no folder"):
        built(tmp_path, HUMAN, media_root=tmp_path / "nowhere")


def test_an_existing_corpus_is_replaced_only_on_request(tmp_path: Path) -> None:
    built(tmp_path, HUMAN)
    again = build_jsonl(tmp_path / "c.jsonl", tmp_path / "out")
    assert again.unchanged
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (tmp_path / "c.jsonl").rename(tmp_path / "other.jsonl")
    with pytest.raises(
        UserError, match=r"holds another corpus; it differs in inputs\. Give another --out, .*--overwrite"
    ):
        build_jsonl(tmp_path / "other.jsonl", tmp_path / "out")
    (tmp_path / "other.jsonl").rename(tmp_path / "c.jsonl")
    with pytest.raises(UserError, match=r"holds another corpus; it differs in .*'train' now.*--overwrite"):
        built(tmp_path, HUMAN, MT, split="train")
    with pytest.raises(UserError, match=r"none of its items is among these\. Give another --out, .*--overw"):
        built(tmp_path, HUMAN | {"item_id": "k"})
    for options in ({}, {"overwrite": True}):
        with pytest.raises(UserError, match="which is empty"):
            built(tmp_path, HUMAN | {"text": ""}, **options)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    assert len(built(tmp_path, HUMAN, MT, overwrite=True).captions) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.jsonl", "out"]


def test_a_folder_of_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is no corpus, so it is left alone"):
        built(tmp_path, HUMAN, overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_a_folder_of_another_kind_or_a_newer_corpus_is_never_replaced(tmp_path: Path) -> None:
    (folder := tmp_path / "out").mkdir()
    Format("dragoman-run", 1, "").write(folder, inputs={})
    with pytest.raises(UserError, match="holds a dragoman-run, but a dragoman-corpus was expected"):
        built(tmp_path, HUMAN, overwrite=True)
    Format("dragoman-corpus", 99, "").write(folder, inputs={})
    with pytest.raises(UserError, match="format version 99, but this dragoman reads up to 1"):
        built(tmp_path, HUMAN, overwrite=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lang": "english"}, "--lang: lang is 'english'"),
        ({"role": "author"}, "--role is 'author', but one of human"),
        ({"split": "dev"}, "--split is 'dev', but one of train"),
        ({"split": "val", "split_fractions": (1, 0, 0)}, "Give one"),
        ({"split_fractions": (0.5, 0.1, 0.1)}, "--split-fractions is .* sum to 1"),
        ({"metadata": ("text",)}, "--metadata text: that column has a meaning"),
        ({"media_pattern": "x.jpg"}, "--media-pattern is 'x.jpg'"),
    ],
)
def test_options_that_do_not_fit_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BuildOptions(**wrong)


# Some letter or digit that is seen, which the fillers of Hangul are not.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: any(one.isalnum() and one not in "\u115f\u1160\u3164\uffa0" for one in text)
)
NAME = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(captions=st.lists(st.tuples(NAME, NAME, TEXT, st.none() | st.floats(0, 1, width=32)), max_size=8))
def test_any_caption_comes_back_as_it_was(captions: list[tuple[str, str, str, float | None]]) -> None:
    unique = list({caption[0]: caption for caption in captions}.values())
    records = [
        HUMAN | {"caption_id": name, "item_id": item, "text": text, "trust": trust}
        for name, item, text, trust in unique
    ]
    with tempfile.TemporaryDirectory() as folder:
        if not records:
            return
        corpus = built(Path(folder), *records)
        found = corpus.captions.select(["caption_id", "item_id", "text", "trust"]).to_pylist()
        assert [tuple(row.values()) for row in found] == unique
        assert corpus.items["item_id"].to_pylist() == list(dict.fromkeys(item for _, item, _, _ in unique))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
SPOILT = st.fixed_dictionaries({}, optional={key: JSON | st.just(value) for key, value in MT.items()})


@settings(max_examples=150, deadline=None)
@given(
    raw=st.lists(
        st.binary(max_size=40) | SPOILT.map(json.dumps).map(str.encode) | st.just(json.dumps(HUMAN).encode()),
        max_size=5,
    ),
    zipped=st.booleans(),
    collect=st.booleans(),
)  # fmt: skip
def test_no_input_gives_anything_but_a_corpus_or_a_user_error(
    raw: list[bytes], zipped: bool, collect: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = b"\n".join(raw)
        (folder / "c.jsonl").write_bytes(gzip.compress(data) if zipped else data)
        options = BuildOptions(lang="en", split="train", reject_file=folder / "r" if collect else None)
        try:
            report = build_jsonl(folder / "c.jsonl", folder / "out", options)
        except UserError:
            assert not (folder / "out").exists()
        else:
            assert len(report.corpus.captions) == report.captions > 0
