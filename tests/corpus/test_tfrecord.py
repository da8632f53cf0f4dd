"""Records of TensorFlow, written here byte by byte as its documentation says."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures import put_parquet

from dragoman.corpus import BuildOptions, ReadOptions, build_dataset
from dragoman.corpus.readers.img2dataset import examples, masked_crc32c
from dragoman.errors import UserError

NAMES = st.text(max_size=12)
CONTENTS = st.lists(st.dictionaries(NAMES, st.binary(max_size=300), max_size=4), max_size=4)


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def sized(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def example(features: dict[str, bytes]) -> bytes:
    """With a number and a float beside the bytes, as img2dataset writes width and similarity."""
    entries = [
        sized(1, sized(1, name.encode()) + sized(2, sized(1, sized(1, value))))
        for name, value in features.items()
    ]
    width = sized(3, sized(1, varint(640)))
    similarity = sized(2, sized(1, struct.pack("<f", 0.25)))
    entries += [
        sized(1, sized(1, b"width") + sized(2, width)),
        sized(1, sized(1, b"s") + sized(2, similarity)),
    ]
    return sized(1, b"".join(entries))


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return b"".join(
        [length, struct.pack("<I", masked_crc32c(length)), content, struct.pack("<I", masked_crc32c(content))]
    )


def test_the_checksum_is_that_of_castagnoli() -> None:
    crc = 0xE3069283  # of "123456789", RFC 3720, appendix B.4
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
    assert masked_crc32c(b"123456789") == masked


@given(CONTENTS)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, contents: list[dict[str, bytes]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "written.tfrecord"
    file.write_bytes(b"".join(record(example(one)) for one in contents))
    assert list(examples(file)) == contents


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_damaged_file_is_refused_or_read_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, cut: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.tfrecord"
    whole = record(example({"key": b"000000000", "jpg": b"picture"}))
    for content in (noise, record(noise), whole[:cut], whole + noise):
        file.write_bytes(content)
        try:
            found = list(examples(file))
        except UserError as error:
            assert "is damaged" in str(error)
        else:
            assert all(isinstance(value, bytes) for one in found for value in one.values())


@pytest.mark.parametrize("lost", [1, 4, 10, 40])
def test_a_torn_file_names_the_record(tmp_path: Path, lost: int) -> None:
    content = b"".join(record(example({"jpg": bytes(100)})) for _ in range(3))
    (tmp_path / "00000.tfrecord").write_bytes(content[:-lost])
    with pytest.raises(UserError, match=r"00000\.tfrecord, record 3, is damaged"):
        list(examples(tmp_path / "00000.tfrecord"))


def test_a_wrong_length_is_noticed(tmp_path: Path) -> None:
    content = bytearray(record(example({"jpg": bytes(100)})))
    content[0] -= 1
    (tmp_path / "00000.tfrecord").write_bytes(content)
    with pytest.raises(UserError, match=r"record 1, is damaged \(its length is wrong"):
        list(examples(tmp_path / "00000.tfrecord"))


def test_a_field_of_an_unknown_kind_is_no_example(tmp_path: Path) -> None:
    (tmp_path / "00000.tfrecord").write_bytes(record(varint(1 << 3 | 3)))
    with pytest.raises(UserError, match=r"a field of the unknown kind 3"):
        list(examples(tmp_path / "00000.tfrecord"))


def test_pictures_of_img2dataset_are_extracted(tmp_path: Path) -> None:
    rows = [
        {"key": f"00000000{k}", "status": status, "caption": f"text {k}"}
        for k, status in enumerate(["success", "failed_to_download", "success"])
    ]
    put_parquet(tmp_path / "in" / "00000.parquet", rows)
    held = [{"key": b"000000000", "jpg": b"first"}, {"key": b"000000002", "webp": b"third"}]
    (tmp_path / "in" / "00000.tfrecord").write_bytes(b"".join(record(example(one)) for one in held))
    options = BuildOptions(overwrite=True, lang="en", split="test")
    plain = build_dataset("img2dataset", tmp_path / "in", tmp_path / "out", options)
    assert plain.corpus.items["path"].to_pylist() == [None, None]
    report = build_dataset(
        "img2dataset", tmp_path / "in", tmp_path / "out", options, ReadOptions(extract=tmp_path / "media")
    )
    paths = [tmp_path / "media" / "00000" / name for name in ("000000000.jpg", "000000002.webp")]
    assert report.corpus.items["path"].to_pylist() == [str(path) for path in paths]
    assert [path.read_bytes() for path in paths] == [b"first", b"third"]
    captions = report.corpus.captions.to_pylist()
    assert [(row["item_id"], row["text"]) for row in captions] == [
        ("000000000", "text 0"),
        ("000000002", "text 2"),
    ]


def test_a_key_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    put_parquet(tmp_path / "in" / "00000.parquet", [{"key": "x", "status": "success", "caption": "y"}])
    held = record(example({"key": b"../../x", "jpg": b"picture"}))
    (tmp_path / "in" / "00000.tfrecord").write_bytes(held)
    options = BuildOptions(lang="en", split="test")
    with pytest.raises(UserError, match=r"would be written outside"):
        build_dataset(
            "img2dataset", tmp_path / "in", tmp_path / "out", options, ReadOptions(extract=tmp_path / "media")
        )
