"""Small data sets, written in the format in which the real ones are published."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class Expected(NamedTuple):
    """What a miniature becomes: captions as (item, split, lang, role, text), and the items without any."""

    captions: list[tuple[str, str, str, str, str]]
    silent: tuple[str, ...] = ()


def put(root: Path, files: dict[str, str]) -> None:
    """Write text files below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def put_lines(root: Path, files: dict[str, list[str]]) -> None:
    """Write text files, one string a line."""
    put(root, {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()})


def put_records(root: Path, files: dict[str, list[Any]]) -> None:
    """Write JSON Lines."""
    put_lines(root, {k: [json.dumps(r, ensure_ascii=False) for r in v] for k, v in files.items()})


def multi30k_task1(root: Path) -> Expected:
    parts = {"train": ["1.jpg", "2_a.jpg"], "val": ["3.jpg"], "test_2016_flickr": ["4.jpg", "5.jpg"]}
    put_lines(root, {f"data/task1/image_splits/{part}.txt": names for part, names in parts.items()})
    texts = {
        lang: {part: [f"{lang} {name}" for name in names] for part, names in parts.items()}
        for lang in ("en", "de", "fr", "cs")
    }
    for lang, by_part in texts.items():
        put_lines(root, {f"data/task1/raw/{part}.{lang}": lines for part, lines in by_part.items()})
    return Expected(
        [
            (name.removesuffix(".jpg"), part.partition("_")[0], lang, "human", f"{lang} {name}")
            for part, names in parts.items()
            for lang in texts
            for name in names
        ]
    )


def multi30k_task2(root: Path) -> Expected:
    names = {"train": ("train_images", "train"), "val": ("val_images", "val")}
    names["test"] = ("test_2016_images", "test_2016")
    expected = []
    for split, (images, part) in names.items():
        put_lines(root, {f"data/task2/image_splits/{images}.txt": [f"{split}1.jpg", f"{split}2.jpg"]})
        for lang in ("en", "de"):
            for slot in range(1, 6):
                lines = [f"{lang} {slot} of {split}{number}" for number in (1, 2)]
                put_lines(root, {f"data/task2/raw/{part}.{slot}.{lang}": lines})
                expected += [(f"{split}{n}", split, lang, "human", lines[n - 1]) for n in (1, 2)]
    for lang in ("fr", "cs"):
        for split, part in (("val", "val"), ("test", "test_2016_flickr")):
            lines = [f"{lang} of {split}{number}" for number in (1, 2)]
            put_lines(root, {f"data/task1/raw/{part}.{lang}": lines})
            expected += [(f"{split}{n}", split, lang, "human", lines[n - 1]) for n in (1, 2)]
    return Expected(expected)


def flickr8k_cn(root: Path) -> Expected:
    put_lines(root, {"flickr8ktrain.txt": ["a_1"], "flickr8kval.txt": ["b_2"], "flickr8ktest.txt": ["c_3"]})
    expected = []
    for tag, lang, role in [
        ("enc", "en", "human"),
        ("zhc", "zh", "human"),
        ("zhb", "zh", "mt"),
        ("zhg", "zh", "mt"),
    ]:
        lines = []
        for name, split in [("a_1", "train"), ("b_2", "val"), ("c_3", "test"), ("lost_4", "")]:
            for slot in range(2):
                lines.append(f"{name}.jpg#{tag}#{slot} {tag} {slot} of {name} # 7")
                if split:
                    expected.append((name, split, lang, role, f"{tag} {slot} of {name} # 7"))
        put_lines(root, {f"flickr8k{tag}.caption.txt": lines})
    return Expected(expected)


def xflickrco(root: Path) -> Expected:
    images = [("77", "77.jpg", "test"), (9, "COCO_val2014_000000000009.jpg", "test"), ("5", "5.jpg", "train")]
    expected = []
    for lang in ("en", "de", "es", "id", "ja", "ru", "tr", "zh"):
        for part, split in (("test", "test"), ("train_100", "train")):
            if (lang, split) == ("en", "train"):
                continue
            records = []
            for number, path, place in images:
                if place == split:
                    text = "" if (lang, path) == ("de", "77.jpg") else f"{lang} of {path}"
                    records.append({"sentences": [text], "id": number, "img_path": path})
                    if text:
                        expected.append((path.removesuffix(".jpg"), split, lang, "human", text))
            put_records(root, {f"annotations/{lang}/{part}.jsonl": records})
    return Expected(expected)


def wit(root: Path) -> Expected:
    expected = []
    for number, lang in enumerate(("en", "ar", "bg", "da", "el", "et", "id", "ja", "ko", "tr", "vi")):
        shared = ("https" if number % 2 else "http") + "://upload.wikimedia.org/a/b/Two%20dogs.jpg"
        own = f"https://upload.wikimedia.org/{lang}.svg"
        rows = [(shared, f"wit-test_{number}", f"{lang} one"), (own, f"wit-test_{lang}", f"{lang} two")]
        rows.append((shared, f"wit-test_{number}", f"{lang} three"))
        records = [
            {"image_idx": 1, "image_url": url, "meta_url": "m", "caption_reference_description": text}
            | {"language": lang, "page_url": "p", "wit_ix": name}
            for url, name, text in rows
        ]
        put_records(root, {f"annotations/test_{lang}.jsonl": records})
        ids = ("wit-test_0", f"wit-test_{lang}", "wit-test_0")
        expected += [(i, "test", lang, "human", text) for i, (_, _, text) in zip(ids, rows, strict=True)]
    return Expected(expected)


def xtd10(root: Path) -> Expected:
    put_lines(root, {"XTD10/test_image_names.txt": ["COCO_train2014_1.jpg", "COCO_val2014_2.jpg"]})
    expected = []
    for lang in ("en", "de", "es", "fr", "it", "ja", "ko", "pl", "ru", "tr", "zh"):
        folder = {"de": "MIC", "fr": "MIC", "ja": "STAIR"}.get(lang, "XTD10")
        name = f"{folder}/test_1kcaptions_{'jp' if lang == 'ja' else lang}.txt"
        put_lines(root, {name: [f"{lang} 1", f" {lang} 2 "]})
        expected += [("COCO_train2014_1", "test", lang, "human", f"{lang} 1")]
        expected += [("COCO_val2014_2", "test", lang, "human", f"{lang} 2")]
    return Expected(expected)


def karpathy(root: Path) -> list[tuple[str, str, str, str, str]]:
    """`dataset_coco.json` with four images, of the numbers 1 to 4."""
    images, expected = [], []
    parts = [("train", "train2014", "train"), ("restval", "val2014", "train"), ("val", "val2014", "val")]
    parts.append(("test", "val2014", "test"))
    for number, (part, place, split) in enumerate(parts, 1):
        name = f"COCO_{place}_{number:012}"
        texts = [f"en {slot} of {number}" for slot in range(6 if part == "test" else 2)]
        sentences = [{"tokens": ["a"], "raw": f"{t} ", "imgid": number, "sentid": 7} for t in texts]
        image = {"filepath": place, "sentids": [7], "filename": f"{name}.jpg", "imgid": number, "split": part}
        images.append(image | {"sentences": sentences, "cocoid": number})
        expected += [(name, split, "en", "human", text) for text in texts]
    put(root, {"dataset_coco.json": json.dumps({"images": images, "dataset": "coco"})})
    return expected


def coco_en(root: Path) -> Expected:
    return Expected(karpathy(root))


def coco_zh(root: Path) -> Expected:
    names = {"train": "COCO_train2014_000000000001", "val": "COCO_val2014_000000000003"}
    names["test"] = "COCO_val2014_000000000002"
    put_lines(root, {f"coco-cn_{split}.txt": [name] for split, name in names.items()})
    written = [f"{name}#{slot}\t写 {split} {slot}" for split, name in names.items() for slot in (0, 1)]
    put_lines(root, {"imageid.human-written-caption.txt": [*written, "COCO_val2014_9#0\t没有"]})
    put_lines(root, {"imageid.manually-translated-caption.txt": [f"{names['test']}#0\t译"]})
    split_of = {name: split for split, name in names.items()}
    english = [(n, split_of[n], lang, role, t) for n, _, lang, role, t in karpathy(root) if n in split_of]
    chinese = [(n, split, "zh", "human", f"写 {split} {k}") for split, n in names.items() for k in (0, 1)]
    return Expected([*english, *chinese])


def coco_ja_stair(root: Path) -> Expected:
    english = karpathy(root)
    split_of = {name: split for name, split, *_ in english}
    expected = list(english)
    for part, numbers in (("train", [1]), ("val", [2, 3, 4, 99])):
        notes = []
        for number in numbers:
            notes += [{"image_id": number, "id": k, "caption": f"{number} の {k}"} for k in range(2)]
        images = [{"license": 1, "file_name": "x.jpg", "id": number} for number in numbers]
        document = {"info": {}, "licenses": [[]], "images": images, "annotations": notes}
        put(root, {f"stair_captions_v1.2_{part}.json": json.dumps(document, ensure_ascii=False)})
    for name, split in split_of.items():
        number = int(name[-12:])
        expected += [(name, split, "ja", "human", f"{number} の {k}") for k in range(2)]
    return Expected(expected)


def coco_ja_yj(root: Path) -> Expected:
    # The first 64 bits of sha256("0:COCO_train2014_000000000001") lie in the last 1,000 of 26,500 parts.
    names = {"COCO_train2014_000000000001": "test", "COCO_train2014_000000000005": "train"}
    notes = [{"image_id": int(n[-1]), "id": k, "caption": f"{n} の {k}"} for n in names for k in range(2)]
    images = [{"id": int(name[-1]), "file_name": f"{name}.jpg"} for name in names]
    put(root, {"yjcaptions26k_clean.json": json.dumps({"images": images, "annotations": notes})})
    expected = [(n, split, "ja", "human", f"{n} の {k}") for n, split in names.items() for k in range(2)]
    expected += [(n, names[n], lang, role, text) for n, _, lang, role, text in karpathy(root) if n in names]
    return Expected(expected)


LOCALES = (
    "ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fil", "fr", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "mi", "nl", "no", "pl", "pt", "quz", "ro", "ru", "sv", "sw", "te", "th", "tr", "uk",
    "vi", "zh",
)  # fmt: skip


def xm3600(root: Path) -> Expected:
    records: list[dict[str, Any]] = []
    for key in ("0a1b", "2c3d"):
        texts = {lang: [f"{lang} one of {key}", f"{lang} two"] for lang in LOCALES}
        record = {lang: {"caption": t, "caption/tokenized": ["x"]} for lang, t in texts.items()}
        records.append({"image/key": key, "image/locale": "fil"} | record)
    put_records(root, {"captions.jsonl": records})
    return Expected(
        [(key, "test", lang, "human", f"{lang} one of {key}") for key in ("0a1b", "2c3d") for lang in LOCALES]
    )


def vatex(root: Path) -> Expected:
    expected = []
    files = {
        "training_v1.0": ("train", "t"),
        "validation_v1.0": ("test", "v"),
        "public_test_english_v1.1": ("", "p"),
    }
    for part, (split, letter) in files.items():
        records = []
        for number in range(2):
            name = f"{letter}-{number}.x_000010_000020"
            record: dict[str, Any] = {"videoID": name, "enCap": [f"en {k} of {name}" for k in range(3)]}
            if part != "public_test_english_v1.1":
                record["chCap"] = [f"zh {k} of {name}" for k in range(3)]
            records.append(record)
            if split:
                expected += [
                    (name, split, lang, "human", f"{lang} {k} of {name}")
                    for lang in ("en", "zh")
                    for k in range(3)
                ]
        put(root, {f"vatex_{part}.json": json.dumps(records)})
    for half, number in (("val", 0), ("test", 1)):
        put_lines(root, {f"TextData/vatex{half}_zh.caption.txt": [f"v-{number}.x_000010_000020#zh#0 x"]})
    return Expected(expected)


def msrvtt(root: Path) -> Expected:
    expected, videos, sentences = [], [], []
    for number, (part, split) in enumerate([("train", "train"), ("validate", "val"), ("test", "test")]):
        name = f"video{number}"
        videos.append(
            {"video_id": name, "split": part, "category": number, "url": "u", "start time": 1.5, "id": number}
        )
        sentences += [{"caption": f"{k} of {name}", "video_id": name, "sen_id": k} for k in range(2)]
        expected += [(name, split, "en", "human", f"{k} of {name}") for k in range(2)]
    for file, places in (("train_val", [0, 1]), ("test", [2])):
        document = {"info": {}, "videos": [videos[p] for p in places]}
        document["sentences"] = [s for s in sentences if int(s["video_id"][5:]) in places]  # type: ignore[index]
        put(root, {f"{file}_videodatainfo.json": json.dumps(document)})
    put(root, {"MSRVTT_data.json": json.dumps({"info": {}, "videos": videos, "sentences": sentences})})
    put_lines(root, {"MSRVTT_train.9k.csv": ["video_id", "video0"]})
    put_lines(
        root, {"MSRVTT_JSFUSION_test.csv": ["key,vid_key,video_id,sentence", 'ret0,msr1,video1,"a, b"']}
    )
    return Expected(expected)


def nrccr_files(root: Path, collection: str, human: str, names: dict[str, str]) -> Expected:
    """Caption files with English training captions, Chinese val and test captions, and translations."""
    expected = []
    texts = {f"{collection}train{human}": ("train", "enc", "en", "human")}
    texts[f"{collection}train_google_enc2zh"] = ("train", "enc2zh", "zh", "mt")
    texts[f"{collection}train_google_enc2zh2enc"] = ("train", "enc2zh2enc", "en", "back")
    for split in ("val", "test"):
        texts[f"{collection}{split}_zh"] = (split, "zh", "zh", "human")
        texts[f"{collection}{split}_google_zh2enc"] = (split, "zh2enc", "en", "mt")
    for file, (split, tag, lang, role) in texts.items():
        name = names[split]
        put_lines(root, {f"{file}.caption.txt": [f"{name}#{tag}#{k} {tag} {k} of {split}" for k in range(2)]})
        item_id = name.removesuffix(".jpg")
        expected += [(item_id, split, lang, role, f"{tag} {k} of {split}") for k in range(2)]
    return Expected(expected)


def nrccr(root: Path) -> Expected:
    return nrccr_files(
        root / "TextData", "multi30k", "_enc", {"train": "1.jpg", "val": "2.jpg", "test": "3.jpg"}
    )


def msrvtt_cn(root: Path) -> Expected:
    return nrccr_files(
        root / "TextData", "msrvttcn", "", {"train": "video1", "val": "video2", "test": "video3"}
    )


def ccrk(root: Path) -> Expected:
    expected = []
    for lang in ("en", "ja"):
        train = [
            {"caption": f"{lang} {k} ", "image": "coco/val2014/COCO_val2014_1.jpg", "image_id": 1}
            for k in range(2)
        ]
        put(root, {f"{lang}.train.json": json.dumps(train)})
        expected += [("COCO_val2014_1", "train", lang, "human", f"{lang} {k}") for k in range(2)]
        for part, split in (("valid", "val"), ("1k_test", "test")):
            texts = [f"{lang} {part} {k}" for k in range(2)]
            put(
                root,
                {
                    f"{lang}.{part}.json": json.dumps(
                        [{"image": f"coco/{part}.jpg", "caption": texts, "image_id": 2}]
                    )
                },
            )
            expected += [(part, split, lang, "human", text) for text in texts]
    return Expected(expected)


def coco_json(root: Path) -> Expected:
    expected = []
    for part, split, number in (("train2017", "train", 1), ("val2017", "val", 2)):
        notes = [{"image_id": number, "id": k, "caption": f"{part} {k}"} for k in range(2)]
        images = [
            {"id": number, "file_name": f"{part}/{number}.jpg"},
            {"id": number + 8, "file_name": f"{number}9.jpg"},
        ]
        document = {"info": {}, "images": images, "licenses": [], "annotations": notes}
        put(root, {f"annotations/captions_{part}.json": json.dumps(document)})
        expected += [(str(number), split, "en", "human", f"{part} {k}") for k in range(2)]
    put(root, {"annotations/instances_val2017.json": "{}"})
    return Expected(expected, silent=("19", "29"))


def put_tar(path: Path, files: dict[str, bytes]) -> None:
    """Write a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def webdataset(root: Path) -> Expected:
    first = {"0001.jpg": b"J1", "0001.txt": b"a dog", "0001.pt.txt": "um cão".encode(), "0002.png": b"P2"}
    first["0002.json"] = json.dumps({"caption": ["a boat", "two boats"], "width": 7}).encode()
    put_tar(root / "train" / "00000.tar", first | {"0003.jpg": b"J3", "0003.json": b"{}"})
    put_tar(root / "validation-00000.tar", {"deep/0004.v2.jpg": b"J4", "deep/0004.txt": b"a cat"})
    expected = [
        ("00000/0001", "train", "en", "human", "a dog"),
        ("00000/0001", "train", "pt", "human", "um cão"),
    ]
    expected += [("00000/0002", "train", "en", "human", text) for text in ("a boat", "two boats")]
    expected += [("validation-00000/deep/0004", "val", "en", "human", "a cat")]
    return Expected(expected, silent=("00000/0003",))


def put_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def img2dataset(root: Path) -> Expected:
    done = {"status": "success", "error_message": None, "width": 10, "height": 20, "sha256": "x"}
    rows = [
        {"key": f"00000000{k}", "caption": f"text {k}", "url": f"https://a.b/{k}.jpg", **done}
        for k in range(3)
    ]
    rows[1] |= {"status": "failed_to_download", "width": None}
    put_parquet(root / "00000.parquet", rows)
    put_parquet(root / "00001.parquet", [rows[0] | {"key": "000010000"}])
    put(root, {"00000_stats.json": "{}"})
    found = [("000000000", "text 0"), ("000000002", "text 2"), ("000010000", "text 0")]
    return Expected([(key, "train", "en", "human", text) for key, text in found])


def clip_retrieval(root: Path) -> Expected:
    for shard in (0, 1):
        rows = [{"image_path": f"/photos/{shard}{k}.jpg", "caption": f"text {shard}{k}"} for k in range(2)]
        put_parquet(root / "metadata" / f"metadata_{shard}.parquet", rows)
        (root / "img_emb").mkdir(exist_ok=True)
        np.save(root / "img_emb" / f"img_emb_{shard}.npy", np.full((2, 3), shard + 1, np.float16))
    return Expected([(f"{s}{k}", "train", "en", "human", f"text {s}{k}") for s in (0, 1) for k in range(2)])


def put_saved(folder: Path, rows: list[dict[str, Any]], indices: list[int] | None = None) -> None:
    """Write one split as `datasets` does with `save_to_disk`."""
    folder.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_split": folder.name,
    }
    tables = {"data-00000-of-00001.arrow": pa.Table.from_pylist(rows)}
    if indices is not None:
        state["_indices_files"] = [{"filename": "indices.arrow"}]
        tables["indices.arrow"] = pa.table({"indices": pa.array(indices, pa.uint64())})
    for name, table in tables.items():
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps(state))


def huggingface(root: Path) -> Expected:
    rows = [
        {
            "image": {"bytes": b"J", "path": f"{k}.jpg"},
            "image_id": k,
            "captions": [f"{k} a", f"{k} b"],
            "likes": k,
        }
        for k in range(3)
    ]
    put_saved(root / "train", rows, [2, 0])
    put_saved(root / "validation", [rows[0] | {"image_id": 9, "image": {"bytes": b"J", "path": "9.jpg"}}])
    (root / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    found = [("2", "train", 2), ("0", "train", 0), ("9", "val", 0)]
    return Expected([(i, split, "en", "human", f"{k} {x}") for i, split, k in found for x in "ab"])


MINIATURES: dict[str, Callable[[Path], Expected]] = {
    "ccrk": ccrk,
    "clip-retrieval": clip_retrieval,
    "coco-en": coco_en,
    "coco-ja-stair": coco_ja_stair,
    "coco-ja-yj": coco_ja_yj,
    "coco-json": coco_json,
    "coco-zh": coco_zh,
    "flickr8k-cn": flickr8k_cn,
    "huggingface": huggingface,
    "img2dataset": img2dataset,
    "msrvtt": msrvtt,
    "msrvtt-cn": msrvtt_cn,
    "multi30k-task1": multi30k_task1,
    "multi30k-task2": multi30k_task2,
    "nrccr": nrccr,
    "vatex": vatex,
    "webdataset": webdataset,
    "wit": wit,
    "xflickrco": xflickrco,
    "xm3600": xm3600,
    "xtd10": xtd10,
}
