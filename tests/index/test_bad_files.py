"""One bad file never ends a run: whatever lies among sound pictures, they are taken and it is named."""

from __future__ import annotations

import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import toy_model
from toy_model import load_toy, save_model, save_picture

from dragoman.corpus import BuildOptions, build_folder
from dragoman.index import IndexOptions, index_media, job
from dragoman.index.entries import walk
from dragoman.index.folder import open_generation
from dragoman.media.images import Decoding

Bad = Callable[[Path], object]
"""Makes a bad file; the path is that of a sound picture, beside which it is to lie."""


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "load_encoder", load_toy)
    toy_model.loaded.clear()


def icon_of_a_bomb() -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22) + png


PICTURES: dict[str, Bad] = {
    "empty.jpg": lambda file: file.touch(),
    "torn.png": lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n torn"),
    "page.gif": lambda file: file.write_text("<html>"),
    "bomb.ico": lambda file: file.write_bytes(icon_of_a_bomb()),
    "phone.heic": lambda file: file.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40)),
    "gone.jpg": lambda file: file.symlink_to("nowhere"),
    "circle.jpg": lambda file: file.symlink_to("circle.jpg"),
    "pipe.jpg": os.mkfifo,
    "new\nline.jpg": lambda file: file.touch(),
    os.fsdecode(b"latin\xe9.jpg"): lambda file: file.touch(),
    f"{'é' * 120}.jpg": lambda file: file.touch(),
}
"""Of these none is an item that can be found."""
BESIDE: dict[str, Bad] = {
    "sound.txt": lambda file: file.write_bytes(b"um c\xe3o"),
    "sound.json": lambda file: file.write_text("[" * 5000),
    "sound.pt.txt": os.mkfifo,
    "sound.fr.txt": lambda file: file.symlink_to("sound.fr.txt"),
    "metadata.csv": lambda file: file.write_bytes(b'file_name,year\nsound.png,"1\n'),
    "metadata.jsonl": lambda file: file.write_text('{"file_name": "sound.png", "text": 5}\n{'),
}
"""Without these a picture is found all the same."""
STRAY: dict[str, Bad] = {
    "README.txt": lambda file: file.write_text("about these pictures"),
    "photo.CR2": lambda file: file.touch(),
    "stray.json": lambda file: file.write_text("{"),
    "@eaDir": lambda file: save_picture(file / "sound.png" / "thumb.png", "red"),
    "folder.jpg": lambda file: file.mkdir(),
    "sound.png.txt": lambda file: file.mkdir(),
}
"""These are passed over."""


@pytest.mark.parametrize("seed", range(12))
def test_sound_pictures_are_taken_whatever_lies_among_them(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    photos, places = tmp_path / "photos", ["", "trip/", "trip/day 2/"]
    for place in places:
        save_picture(photos / place / "sound.png", "red")
    made = {}
    for kind in (PICTURES, BESIDE, STRAY):
        for name in draw.sample(sorted(kind), draw.randint(1, len(kind))):
            place = draw.choice(places)
            made[place + name] = kind
            kind[name](photos / place / name)
    sound = {f"{place}sound.png" for place in places}
    named = {name for name, kind in made.items() if kind is PICTURES}

    report = index_media(
        save_model(tmp_path / "run"),
        photos,
        tmp_path / "index",
        IndexOptions(device="cpu", decoding=Decoding(workers=2)),
    )
    with open_generation(report.info) as store:
        assert {entry.item_id for entry in walk(store)} == sound
    shown = {name.encode("utf-8", "backslashreplace").decode() for name in named}
    assert shown <= {one.item_id for one in report.rejected}
    beside = [name for name, kind in made.items() if kind is BESIDE]
    told = " ".join(f"{one.item_id} {one.reason}" for one in report.rejected)
    assert [name for name in beside if Path(name).name not in told] == []
    # A later run finds and tells the same.
    again = index_media(
        tmp_path / "run",
        photos,
        tmp_path / "index",
        IndexOptions(device="cpu", decoding=Decoding(workers=2)),
    )
    assert set(again.rejected) == set(report.rejected)
    assert not any(vars(again.done).values())

    corpus = build_folder(photos, tmp_path / "corpus", BuildOptions(lang="en", split="train"))
    assert sound <= set(corpus.corpus.items["item_id"].to_pylist())
    lines = (corpus.corpus.folder / "rejected.jsonl").read_text().splitlines()
    assert corpus.rejected == len(lines)
    told = " ".join(f"{one['file']} {one['reason']}" for one in map(json.loads, lines))
    assert [name for name in beside if Path(name).name not in told] == []


def test_what_cannot_be_stored_costs_no_picture(tmp_path: Path) -> None:
    said = {"z": "a\0b", "year": 1950, "": 1, "long": "x" * 70_000, "half": "\ud800"}
    photos = tmp_path / "photos"
    save_picture(photos / "a.png", "red")
    (photos / "a.json").write_text(json.dumps(said))
    (photos / "a.txt").write_text("a d\0og\n" + "y" * 70_000 + "\nsound\n")
    run = save_model(tmp_path / "run")
    report = index_media(run, photos, tmp_path / "index", IndexOptions(device="cpu"))
    with open_generation(report.info) as store:
        (entry,) = walk(store)
    assert {name: entry.metadata[name] for name in said if name in entry.metadata} == {"year": 1950}
    assert (entry.captions, entry.more_captions) == ({"en": "sound"}, {})
    told = [one.reason for one in report.rejected]
    assert len(told) == 6
    assert all(reason.startswith("indexed, but without ") for reason in told)
    # The same from a corpus, which holds longer texts than an index.
    (photos / "a.json").unlink()
    build_folder(photos, tmp_path / "corpus", BuildOptions(lang="en", split="train"))
    report = index_media(run, tmp_path / "corpus", tmp_path / "other", IndexOptions(device="cpu"))
    with open_generation(report.info) as store:
        assert [entry.captions for entry in walk(store)] == [{"en": "sound"}]
    assert ["caption (en) of 70,000 bytes" in one.reason for one in report.rejected] == [True]
