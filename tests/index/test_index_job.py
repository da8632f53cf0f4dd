"""The job over folders of images: what is embedded, what is not, and what the index then holds."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from PIL import Image
from toy_model import load_toy, save_model, save_picture

from dragoman.errors import UserError
from dragoman.index import IndexReport, job, update
from dragoman.index.entries import walk
from dragoman.index.folder import open_generation, read_info, write_info
from dragoman.media.images import Decoding
from dragoman.records import Entry
from dragoman.stores import Store, parse
from dragoman.stores.embedded.store import EmbeddedStore
from operations import opcodes


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "load_encoder", load_toy)
    toy_model.loaded.clear()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_model(tmp_path / "run")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name, colour in (("a.png", "red"), ("b/c.png", "green"), ("b/d.png", "blue")):
        save_picture(folder / name, colour)
    return folder


def index(run: Path, media: Path, **options: object) -> IndexReport:
    return job.index_media(
        run,
        media,
        run.parent / "index",
        job.IndexOptions(**{"device": "cpu", "decoding": Decoding(workers=2), **options}),  # type: ignore[arg-type]
    )


def entries(run: Path) -> dict[str, Entry]:
    with opened(run) as backend:
        return {entry.item_id: entry for entry in walk(backend)}


def opened(run: Path) -> Store:
    return open_generation(read_info(run.parent / "index"))


def embedded() -> int:
    """Images that models have encoded since the last call."""
    count = sum(sum(model.seen) for model in toy_model.loaded)
    toy_model.loaded.clear()
    return count


def counts(report: IndexReport) -> dict[str, int]:
    return {name: count for name, count in vars(report.done).items() if count}


def test_every_image_below_the_folder_is_an_entry_with_its_vector(run: Path, photos: Path) -> None:
    save_picture(photos / ".hidden.png", "red")
    save_picture(photos / ".hidden" / "e.png", "red")
    (photos / "notes.pdf").write_text("no image")
    report = index(run, photos)
    assert counts(report) == {"added": 3}
    assert (report.info.count, report.rejected) == (3, ())
    with opened(run) as backend:
        found = backend.search(np.eye(3, dtype=np.float32), 1)
        assert [match[0].item_id for match in found] == ["a.png", "b/c.png", "b/d.png"]
        expected = toy_model.unit(np.array([[256, 1, 1]]))
        np.testing.assert_allclose(backend.vectors(["a.png"]), expected, atol=1e-6)


def test_entries_say_where_the_file_is_and_how_large(run: Path, photos: Path) -> None:
    index(run, photos)
    found = entries(run)
    assert found["b/c.png"].path == "b/c.png"
    assert found["b/c.png"].metadata == {"folder": "b", "file": "c.png", "width": 8, "height": 6}
    assert found["a.png"].metadata == {"file": "a.png", "width": 8, "height": 6}
    assert read_info(run.parent / "index").media == str(photos)


def test_year_and_date_are_read_from_the_camera(run: Path, photos: Path) -> None:
    image = Image.new("RGB", (8, 6), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif.get_ifd(0x8769)[0x9003] = "2014:07:21 10:00:00"
    image.save(photos / "camera.jpg", exif=exif)
    broken = Image.Exif()
    broken[0x0132] = "0000:00:00 00:00:00"
    image.save(photos / "undated.jpg", exif=broken)
    index(run, photos)
    found = entries(run)
    assert found["camera.jpg"].metadata == {
        "file": "camera.jpg",
        "width": 6,
        "height": 8,
        "year": 2014,
        "date": "2014-07-21",
    }
    assert set(found["undated.jpg"].metadata) == {"file", "width", "height"}


def test_pages_of_a_scan_are_counted(run: Path, photos: Path) -> None:
    pages = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "blue")]
    pages[0].save(photos / "scan.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(photos / "page.tiff")
    pages[0].save(photos / "moves.gif", save_all=True, append_images=pages[1:])
    index(run, photos)
    found = entries(run)
    assert found["scan.tiff"].metadata == {"file": "scan.tiff", "width": 8, "height": 6, "pages": 3}
    assert "pages" not in {**found["page.tiff"].metadata, **found["moves.gif"].metadata}
    with opened(run) as backend:
        red = backend.search(np.eye(3, dtype=np.float32)[:1], 1, parse("pages>1"))[0]
    assert [match.item_id for match in red] == ["scan.tiff"]


def test_metadata_and_captions_beside_the_image(run: Path, photos: Path) -> None:
    (photos / "a.txt").write_text("\na red square\nanother line\n", encoding="utf-8")
    (photos / "a.pt.txt").write_text("um quadrado vermelho", encoding="utf-8")
    (photos / "a.b.txt").write_text("not a language", encoding="utf-8")
    (photos / "a.json").write_text('{"place": "Porto", "geo": {"lat": 41.1}, "tags": ["x", "y"], "no": null}')
    table = "path,year,shelf,code\na.png,1999,01,7\n./b/c.png,2010,A,\n"
    (photos / "metadata.csv").write_text(table)
    index(run, photos)
    found = entries(run)
    assert found["a.png"].captions == {"en": "a red square", "pt": "um quadrado vermelho"}
    assert found["a.png"].more_captions == {"en": ("another line",)}
    metadata = dict(found["a.png"].metadata)
    # A column is numbers where all of its values are; leading zeros are none.
    assert (metadata["year"], metadata["shelf"], metadata["code"]) == (1999, "01", 7)
    assert (metadata["place"], metadata["geo.lat"], metadata["tags"]) == ("Porto", 41.1, ("x", "y"))
    assert found["b/c.png"].metadata["year"] == 2010
    assert "code" not in found["b/c.png"].metadata
    with opened(run) as backend:
        assert backend.count(parse("year<2000 and tags=y")) == 1


def test_the_language_of_captions_has_one_form(run: Path, photos: Path) -> None:
    (photos / "a.txt").write_text("um quadrado", encoding="utf-8")
    (photos / "a.pt_BR.txt").write_text("outro", encoding="utf-8")
    index(run, photos, lang="pt_br.UTF-8")
    found = entries(run)["a.png"]
    assert (found.captions, found.more_captions) == ({"pt-BR": "outro"}, {"pt-BR": ("um quadrado",)})
    with pytest.raises(UserError, match="--lang: lang is 'Portuguese', but a BCP 47 tag"):
        index(run, photos, lang="Portuguese")


def test_a_second_run_embeds_nothing_and_loads_no_model(run: Path, photos: Path) -> None:
    index(run, photos)
    manifest = (run.parent / "index" / "manifest.json").read_bytes()
    embedded()
    assert counts(index(run, photos)) == {}
    assert toy_model.loaded == []
    assert (run.parent / "index" / "manifest.json").read_bytes() == manifest


def test_only_what_is_new_or_changed_is_embedded(run: Path, photos: Path) -> None:
    index(run, photos)
    assert embedded() == 3
    save_picture(photos / "new.png", "yellow")
    save_picture(photos / "a.png", "blue")
    report = index(run, photos)
    assert counts(report) == {"added": 1, "changed": 1}
    assert embedded() == 2
    with opened(run) as backend:
        blue = backend.search(np.eye(3, dtype=np.float32)[2:], 2)[0]
        assert {match.item_id for match in blue} == {"a.png", "b/d.png"}


def test_a_touched_file_is_read_but_not_embedded(run: Path, photos: Path) -> None:
    index(run, photos)
    embedded()
    os.utime(photos / "a.png", (1, 1))
    assert counts(index(run, photos)) == {"reworded": 1}
    assert embedded() == 0
    assert counts(index(run, photos)) == {}


def test_new_words_about_an_image_do_not_embed_it(run: Path, photos: Path) -> None:
    index(run, photos)
    embedded()
    (photos / "a.txt").write_text("red", encoding="utf-8")
    assert counts(index(run, photos)) == {"reworded": 1}
    assert embedded() == 0
    found = entries(run)["a.png"]
    assert found.captions == {"en": "red"}
    assert found.metadata == {"file": "a.png", "width": 8, "height": 6}


def test_a_caption_that_no_store_takes_is_left_out_alone(run: Path, photos: Path) -> None:
    index(run, photos)
    (photos / "a.txt").write_text("red\nwith a \0", encoding="utf-8")
    (photos / "b" / "c.png").rename(photos / "moved.png")
    (photos / "moved.txt").write_text("x" * 65_537, encoding="utf-8")
    report = index(run, photos)
    reasons = {one.item_id: one.reason for one in report.rejected}
    assert sorted(reasons) == ["a.png", "moved.png"]
    assert "line 2 of a.txt: text is 'with a \\x00': character 8 is the control character" in reasons["a.png"]
    assert "a caption (en) of 65,537 bytes; at most 65,536 are stored" in reasons["moved.png"]
    found = entries(run)
    assert set(found) == {"a.png", "b/d.png", "moved.png"}
    assert (found["a.png"].captions, found["moved.png"].captions) == ({"en": "red"}, {})


def test_a_renamed_file_keeps_its_vector(run: Path, photos: Path) -> None:
    index(run, photos)
    embedded()
    (photos / "b" / "c.png").rename(photos / "moved.png")
    report = index(run, photos)
    assert counts(report) == {"added": 1, "moved": 1, "removed": 1}
    assert embedded() == 0
    assert set(entries(run)) == {"a.png", "b/d.png", "moved.png"}
    with opened(run) as backend:
        assert backend.search(np.eye(3, dtype=np.float32)[1:2], 1)[0][0].item_id == "moved.png"


@pytest.mark.parametrize("batch_size", [1, 4])
def test_files_that_trade_names_trade_vectors(run: Path, photos: Path, batch_size: int) -> None:
    index(run, photos)
    a, c, d = (photos / name for name in ("a.png", "b/c.png", "b/d.png"))
    with opened(run) as backend:
        before = backend.vectors(["a.png", "b/c.png", "b/d.png"])
    for old, new in ((a, photos / "x.png"), (c, a), (d, c), (photos / "x.png", d)):
        old.rename(new)
    (photos / "new.png").write_bytes(c.read_bytes())
    report = index(run, photos, batch_size=batch_size)
    assert counts(report) == {"changed": 3, "added": 1, "copies": 1}
    with opened(run) as backend:
        after = backend.vectors(["b/d.png", "a.png", "b/c.png", "new.png"])
    np.testing.assert_allclose(after, before[[0, 1, 2, 2]], atol=1e-6)


def test_copies_are_embedded_once(run: Path, photos: Path) -> None:
    shutil.copy(photos / "a.png", photos / "copy.png")
    shutil.copy(photos / "a.png", photos / "z.png")
    report = index(run, photos, batch_size=2)
    assert counts(report) == {"added": 5, "copies": 2}
    assert embedded() == 3
    with opened(run) as backend:
        vectors = backend.vectors(["a.png", "copy.png", "z.png"])
        np.testing.assert_array_equal(vectors, vectors[[0, 0, 0]])


def test_a_deleted_file_is_removed_and_one_added_by_hand_stays(run: Path, photos: Path) -> None:
    index(run, photos)
    with opened(run) as backend:
        backend.add([Entry(item_id="by hand")], np.eye(3, dtype=np.float32)[:1])
    (photos / "a.png").unlink()
    assert counts(index(run, photos)) == {"removed": 1}
    assert set(entries(run)) == {"b/c.png", "b/d.png", "by hand"}


def test_what_is_left_out_is_told_and_what_is_excluded_goes(run: Path, photos: Path) -> None:
    (photos / "README.txt").write_text("about these")
    (photos / "b" / "raw.nef").touch()
    told = (
        "left out: 1 RAW photos, which are not read: export them as JPEG or TIFF (b/raw.nef)",
        "left out: 1 texts that belong to no image or video (README.txt)",
    )
    report = index(run, photos)
    assert (counts(report), report.rejected, report.left_out) == ({"added": 3}, (), told)
    report = index(run, photos, exclude=("b/[d-z]*",))
    assert counts(report) == {"removed": 1}
    assert report.left_out == ("left out: 2 by --exclude (b/d.png, b/raw.nef)", told[1])
    assert set(entries(run)) == {"a.png", "b/c.png"}


def test_files_and_folders_of_one_size_and_time_that_change_names_are_seen(run: Path, photos: Path) -> None:
    for name, colour in (("e/x.bmp", "red"), ("f/x.bmp", "blue")):
        save_picture(photos / name, colour)
        os.utime(photos / name, ns=(10**18, 10**18))
    index(run, photos)

    def seen() -> list[str]:
        with opened(run) as backend:
            vectors = backend.vectors(["e/x.bmp", "f/x.bmp"])
        return ["red" if red > blue else "blue" for red, _, blue in vectors]

    def swap(one: Path, other: Path) -> None:
        one.rename(photos / "aside")
        other.rename(one)
        (photos / "aside").rename(other)

    assert seen() == ["red", "blue"]
    swap(photos / "e" / "x.bmp", photos / "f" / "x.bmp")
    index(run, photos)
    assert seen() == ["blue", "red"]
    swap(photos / "e", photos / "f")
    index(run, photos)
    assert seen() == ["red", "blue"]
    assert counts(index(run, photos)) == {}


def test_an_index_of_a_former_version_which_noted_no_places_stays_as_it_is(run: Path, photos: Path) -> None:
    report = index(run, photos)
    with open_generation(report.info) as store:
        found = store.scan()
        store.update([replace(one, source=one.source.rpartition(" ")[0]) for one in found])
    assert all(len(entry.source.split()) == 5 for entry in entries(run).values())
    assert counts(index(run, photos)) == {}


def test_the_steps_of_a_later_run_grow_as_the_pictures_do(tmp_path: Path) -> None:
    def steps(count: int) -> int:
        place, run = tmp_path / str(count), save_model(tmp_path / f"of {count}" / "run")
        for number in range(count):
            save_picture(place / f"{number:03}.png", "red")
            (place / f"{number:03}.txt").write_text("a square")
        assert counts(index(run, place)) == {"added": count, "copies": count - 1}
        return opcodes(lambda: index(run, place))

    few = steps(20)
    more, many = steps(60), steps(140)
    # Beside what each run costs, twice as many further pictures cost twice as much.
    assert many - more < 2.2 * (more - few)


def test_the_run_after_a_kill_makes_the_batches_that_a_whole_run_makes(
    run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bits of a vector depend on the pictures that are encoded beside it."""
    for number in range(7):
        save_picture(photos / f"{number}.png", (10 * number, 90, 200))

    def batches() -> list[int]:
        found = [size for model in toy_model.loaded for size in model.seen]
        toy_model.loaded.clear()
        return found

    def killed(store: EmbeddedStore, *arguments: Any) -> None:
        if store.count():
            raise KeyboardInterrupt
        add(store, *arguments)

    # On the slowest of computers, where everything has waited long enough.
    monkeypatch.setattr(update, "SECONDS", 0.0)
    add = EmbeddedStore.add
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedStore, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            index(run, photos, batch_size=4)
    assert batches() == [4, 4]
    index(run, photos, batch_size=4)
    assert batches() == [4, 2]


def test_broken_files_are_named_and_the_rest_is_indexed(run: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (photos / "empty.png").touch()
    (photos / "a\nb.png").write_bytes((photos / "a.png").read_bytes())
    save_picture(tmp_path / "elsewhere.png", "red")
    (photos / "out.png").symlink_to(tmp_path / "elsewhere.png")
    (photos / "loop").symlink_to(photos)
    save_picture(photos / "bomb.png", "red", (2000, 1000))
    report = index(run, photos, decoding=Decoding(max_megapixels=1), reject_file=tmp_path / "rejects.jsonl")
    reasons = {one.item_id: one.reason for one in report.rejected}
    assert set(reasons) == {"torn.jpg", "empty.png", "a\nb.png", "out.png", "bomb.png"}
    assert "control character" in reasons["a\nb.png"]
    assert "leads out of the folder" in reasons["out.png"]
    assert "2000x1000 is 2.0 megapixels" in reasons["bomb.png"]
    assert "the file is empty" in reasons["empty.png"]
    assert set(entries(run)) == {"a.png", "b/c.png", "b/d.png"}
    listed = (run.parent / "index" / "rejected.jsonl").read_text().splitlines()
    assert {json.loads(line)["item_id"] for line in listed} == set(reasons)
    assert (tmp_path / "rejects.jsonl").read_text().splitlines() == listed
    assert counts(index(run, photos, decoding=Decoding(max_megapixels=10))) == {"added": 1}


def test_an_image_is_indexed_without_what_beside_it_cannot_be_read(run: Path, photos: Path) -> None:
    (photos / "a.txt").write_bytes(b"red\num c\xe3o\n")
    (photos / "a.json").write_text("[1]")
    (photos / "b" / "c.txt").write_bytes(b"x" * 1_000_001)
    told = {
        (
            "a.png",
            "indexed, but without its metadata: a.json holds a list, not an object. Correct it, or move it "
            "elsewhere.",
        ),
        (
            "a.png",
            "indexed, but without line 2 of a.txt: byte 5 (0xe3) is not UTF-8. Save the file as UTF-8.",
        ),
        ("b/c.png", "indexed, but without c.txt, which is larger than 1,000,000 bytes. Move it elsewhere."),
    }
    # Told again where nothing changed.
    for done in ({"added": 3}, {}):
        report = index(run, photos)
        assert counts(report) == done
        assert {(one.item_id, one.reason) for one in report.rejected} == told
    found = entries(run)["a.png"]
    assert (found.captions, found.metadata) == ({"en": "red"}, {"file": "a.png", "width": 8, "height": 6})
    (photos / "a.json").write_text('{"year": 1999}')
    assert counts(index(run, photos)) == {"reworded": 1}
    assert entries(run)["a.png"].metadata["year"] == 1999


def test_a_file_that_broke_is_no_longer_found(run: Path, photos: Path) -> None:
    index(run, photos)
    (photos / "a.png").write_bytes(b"torn")
    assert counts(index(run, photos)) == {"removed": 1}
    assert set(entries(run)) == {"b/c.png", "b/d.png"}


def test_another_image_side_is_indexed_beside_and_swapped_in(run: Path, photos: Path) -> None:
    first = index(run, photos).info
    embedded()
    other = save_model(run.parent / "other", "3" * 64, "4" * 64)
    report = index(other, photos)
    assert report.swapped
    assert embedded() == 3
    assert report.info.generation != first.generation
    assert [path.name for path in first.place.parent.iterdir()] == [report.info.generation]
    assert (report.info.model, report.info.fingerprint) == (str(other), "3" * 64)


def test_a_model_that_learnt_a_language_keeps_the_vectors(run: Path, photos: Path) -> None:
    first = index(run, photos).info
    embedded()
    other = save_model(run.parent / "other", "3" * 64, "2" * 64, targets=["pt", "gl"])
    report = index(other, photos)
    assert not report.swapped
    assert embedded() == 0
    assert report.info.generation == first.generation
    assert (report.info.fingerprint, report.info.languages) == ("3" * 64, ("en", "pt", "gl"))


def test_other_settings_of_the_backend_copy_the_vectors(run: Path, photos: Path) -> None:
    index(run, photos)
    with opened(run) as backend:
        backend.add([Entry(item_id="by hand")], np.eye(3, dtype=np.float32)[:1])
    embedded()
    report = index(run, photos, settings={"wait": "3"})
    assert report.swapped
    assert report.info.settings["wait"] == 3.0
    assert embedded() == 0
    assert set(entries(run)) == {"a.png", "b/c.png", "b/d.png", "by hand"}
    # What is not said again stays.
    assert not index(run, photos).swapped


def test_narrower_vectors_are_made_of_those_that_are_there(run: Path, photos: Path) -> None:
    index(run, photos)
    embedded()
    report = index(run, photos, settings={"precision": "int8"})
    assert report.swapped and embedded() == 0
    assert [path.name for path in report.info.place.glob("vectors-*")] == ["vectors-0.i8"]
    # The toy's vectors lie on the axes.
    with opened(run) as store:
        assert sorted(store.vectors(["a.png", "b/c.png", "b/d.png"]).tolist()) == np.eye(3)[::-1].tolist()


def test_a_setting_that_an_index_of_before_does_not_name_is_no_change(run: Path, photos: Path) -> None:
    info = index(run, photos).info
    former = {name: value for name, value in info.settings.items() if name != "precision"}
    write_info(replace(info, settings=former))
    report = index(run, photos)
    assert not report.swapped and report.info.generation == info.generation


def test_what_was_added_by_hand_is_read_by_the_next_model(run: Path, photos: Path, tmp_path: Path) -> None:
    index(run, photos)
    file = save_picture(tmp_path / "elsewhere" / "e.png", "red")
    with opened(run) as backend:
        by_hand = [Entry(item_id="kept", path=str(file)), Entry(item_id="lost")]
        backend.add(by_hand, np.eye(3, dtype=np.float32)[:2])
    report = index(save_model(run.parent / "other", "3" * 64, "4" * 64), photos)
    assert "kept" in entries(run)
    assert [(one.item_id, "added by hand" in one.reason) for one in report.rejected] == [("lost", True)]


def test_another_folder_is_refused_while_the_first_is_there(run: Path, photos: Path, tmp_path: Path) -> None:
    index(run, photos)
    embedded()
    save_picture(tmp_path / "others" / "x.png", "red")
    with pytest.raises(UserError, match=r"an index of .*photos, not of .*others.*all be removed"):
        index(run, tmp_path / "others")
    moved = photos.rename(tmp_path / "moved")
    assert counts(index(run, moved)) == {}
    assert read_info(tmp_path / "index").media == str(moved)


def test_an_empty_folder_removes_nothing(run: Path, photos: Path) -> None:
    index(run, photos)
    shutil.rmtree(photos)
    photos.mkdir()
    with pytest.raises(UserError, match=r"holds no images.*is its disk there"):
        index(run, photos)
    assert len(entries(run)) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"store": "nonsense"}, "No store 'nonsense'. Known: exact"),
        ({"settings": {"nonsense": "1"}}, "no setting 'nonsense'. Known here: "),
        ({"settings": {"wait": "soon"}}, "wait must be a number, got 'soon'"),
    ],
)
def test_wrong_settings_are_named(run: Path, photos: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        index(run, photos, **options)
