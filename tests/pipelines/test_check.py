"""Folders of every kind: checked, damaged at random, and read where nobody can write."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import command_line
from checksums import without_checksums
from dragoman.cli import dragoman
from dragoman.errors import DamagedError, UserError
from dragoman.folders import read_sealed, write_sealed
from dragoman.pipelines.check import check
from dragoman.retrievers.trained import Retriever
from dragoman.search.searcher import Searcher
from read_only import content, denied

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "benchmarks/reliability/mutations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, mutations: ModuleType) -> Path:
    """One folder of each kind; nothing may change them."""
    work = tmp_path_factory.mktemp("folders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRAGOMAN_HOME", str(work / "home"))
        mutations.make_folders(work)
    return work


@pytest.fixture
def copied(folders: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folders, tmp_path / "all"))


def test_no_damage_at_random_is_silent_or_a_traceback(folders: Path, mutations: ModuleType) -> None:
    rows = list(mutations.mutate(folders, 120, 7, list(mutations.QUICK)))
    assert [row for row in rows if row["verdict"] in ("silent", "traceback")] == []
    told = [row for row in rows if row["verdict"] == "told"]
    assert len(told) > 60
    assert [row for row in told if not row["checked"]] == []


def test_every_folder_below_is_read_and_found_sound(folders: Path) -> None:
    found = {str(one.folder.relative_to(folders)): one for one in check(folders)}
    kinds = {name: one.kind for name, one in found.items()}
    assert kinds == {
        "approximate": "index",
        "corpus": "corpus",
        "corpus/features/grid": "features",
        "corpus/trust": "trust",
        "export": "export",
        "index": "index",
        "report": "report",
        "run": "run",
    }
    assert {name: one.damages for name, one in found.items() if one.damages} == {}
    assert found["corpus"].files == 2


def test_what_is_damaged_and_what_mends_it_are_told(copied: Path) -> None:
    vectors = copied / "corpus/features/grid/vectors.npy"
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)
    result = CliRunner().invoke(dragoman, ["check", str(copied / "corpus"), str(copied / "report")])
    assert result.exit_code == 4
    assert result.output.splitlines() == [
        f"{copied / 'corpus'}: corpus, sound",
        f"{vectors.parent}: features, damaged",
        f"  {vectors} is damaged (its checksum is that of other content). Restore it from a backup, or "
        "remove it and make it anew: dragoman features CORPUS --encoder FOLDER",
        f"{copied / 'corpus/trust'}: trust, sound",
        f"{copied / 'report'}: report, sound",
    ]


def test_a_folder_of_nothing_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match="holds no folder that dragoman wrote"):
        list(check(tmp_path))
    with pytest.raises(UserError, match="does not exist, or is no folder"):
        list(check(tmp_path / "none"))


def test_a_corpus_or_a_feature_set_without_its_manifest_is_told(copied: Path) -> None:
    for place in ("corpus", "corpus/features/grid"):
        (copied / place / "manifest.json").unlink()
    found = {one.folder: one.damages for one in check(copied / "corpus")}
    for place in ("corpus", "corpus/features/grid"):
        assert "has no manifest.json, so it is not whole" in found[copied / place][0]
    assert found[copied / "corpus/trust"] == ()


@pytest.mark.parametrize(
    ("manifest", "place"),
    [
        ("corpus/trust/manifest.json", "corpus/trust"),
        ("report/manifest.json", "report"),
        ("index/manifest.json", "index"),
        ("export/manifest.json", "export"),
        ("run/manifest.json", "run"),
    ],
)
def test_a_lost_manifest_among_several_folders_is_told(copied: Path, manifest: str, place: str) -> None:
    (copied / manifest).unlink()
    damaged = {one.folder.relative_to(copied).as_posix() for one in check(copied) if one.damages}
    assert damaged == {place}


@pytest.mark.parametrize("kind", ["corpus", "corpus/features/grid", "run", "report", "index", "export"])
def test_a_damaged_name_of_the_format_is_told_among_several_folders(copied: Path, kind: str) -> None:
    file = copied / kind / "manifest.json"
    file.write_text(file.read_text("utf-8").replace('"format": "dragoman-', '"format": "dragomen-'), "utf-8")
    damaged = {one.folder.relative_to(copied).as_posix(): one.damages for one in check(copied) if one.damages}
    assert list(damaged) == [kind]
    assert "its checksum is that of other content" in damaged[kind][0]


def test_a_manifest_that_lost_its_checksum_or_is_of_an_unknown_kind_is_told(copied: Path) -> None:
    file = copied / "report" / "manifest.json"
    said = {name: one for name, one in json.loads(file.read_text("utf-8")).items() if name != "checksum"}
    write_sealed(file, {**said, "format": "dragoman-poem"})
    (found,) = check(copied / "report")
    assert found.damages == ()
    assert "holds a dragoman-poem, which this dragoman does not know" in (found.unread or "")
    # As one that was edited, and lists fewer files than were written.
    file.write_text(json.dumps({**said, "files": {}}), "utf-8")
    (found,) = check(copied / "report")
    assert "its own checksum is missing" in found.damages[0]


def test_another_sealed_file_in_the_place_of_a_manifest_is_told(copied: Path) -> None:
    (file,) = (copied / "index").glob("calibration-*.json")
    (copied / "index/manifest.json").write_bytes(file.read_bytes())
    (found,) = check(copied / "index")
    assert "manifest.json is another file than a manifest" in found.damages[0]


def test_folders_behind_links_are_read_once_even_where_links_go_in_circles(copied: Path) -> None:
    elsewhere = copied / "disk"
    (copied / "corpus/features").rename(elsewhere)
    (copied / "corpus/features").symlink_to(elsewhere)
    (elsewhere / "grid/around").symlink_to(copied / "corpus")
    vectors = elsewhere / "grid/vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x7f")
    corpus = copied / "corpus"
    found = [(one.folder.relative_to(corpus).as_posix(), bool(one.damages)) for one in check(corpus)]
    assert found == [(".", False), ("features/grid", True), ("trust", False)]


def test_a_folder_that_cannot_be_read_is_told(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, listed = copied / "corpus/features", os.scandir

    def refused(path: str) -> Any:
        if Path(path) == place:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = {one.folder.name: one.unread for one in check(copied / "corpus")}
    said = f"{place} cannot be read (Permission denied). Run the same check as a user who may read it."
    assert found == {"corpus": None, "features": said, "trust": None}


def seal(file: Path, **changes: object) -> None:
    kept = json.loads(file.read_text("utf-8")) | changes
    write_sealed(file, {name: value for name, value in kept.items() if name != "checksum"})


def test_calibrations_of_another_model_are_told(copied: Path) -> None:
    seal(copied / "run/model/calibration.json", fingerprint="0" * 64)
    (found,) = check(copied / "run")
    assert found.damages == (
        f"{copied / 'run/model/calibration.json'} is of another model. Make it anew: "
        "dragoman calibrate RUN CORPUS",
    )
    # Sound, and of the same model, but learnt of other captions than those that the index names.
    (file,) = (copied / "index").glob("calibration-*.json")
    for changes in ({"growth": 9.0}, {"fingerprint": "0" * 64}):
        seal(file, **changes)
        with pytest.raises(DamagedError, match="is another calibration than that of this index"):
            Searcher.open(copied / "index", model=copied / "run")
        (found,) = check(copied / "index")
        assert "Let the index have its own: dragoman index" in found.damages[0]


def test_an_index_whose_entries_are_gone_is_told(copied: Path) -> None:
    (place,) = (copied / "index/generations").iterdir()
    for file in place.iterdir():
        file.unlink()
    (found,) = check(copied / "index")
    assert "about.json is missing. Restore it from a backup" in found.damages[0]
    with pytest.raises(DamagedError, match="is missing"):
        Searcher.open(copied / "index", model=copied / "run")


WRONG: tuple[object, ...] = (None, True, -1, 1.5, "", "../up", [1], {"a": 1})


@pytest.mark.parametrize(
    "name", ["index/manifest.json", "run/model/config.json", "run/model/calibration.json"]
)
def test_values_of_other_types_are_told_or_read_and_never_a_traceback(
    copied: Path, mutations: ModuleType, name: str
) -> None:
    """Of files without checksums, as older versions wrote them."""
    file, kind = copied / name, name.partition("/")[0]
    question = mutations.KINDS[kind].question
    without_checksums(file)
    whole = json.loads(file.read_text("utf-8"))
    for key in whole:
        for wrong in WRONG:
            file.write_text(json.dumps({**whole, key: wrong}), "utf-8")
            verdict, said = mutations.answer(question, copied / kind, "")
            assert verdict != "traceback", (key, wrong, said)
            if kind == "index" and key in ("generation", "settings", "width", "count", "languages", "folder"):
                assert verdict == "told", (key, wrong)


def test_a_configuration_that_lost_its_checksum_is_told(copied: Path) -> None:
    file = copied / "run/model/config.json"
    said = json.loads(file.read_text("utf-8"))
    del said["checksum"]
    file.write_text(json.dumps({**said, "trained": {**said["trained"], "targets": ["xx"]}}), "utf-8")
    with pytest.raises(DamagedError, match=r"config\.json is damaged \(its own checksum is missing\)"):
        Retriever.load(copied / "run")


def test_of_several_folders_each_is_read_though_one_is_none_of_ours(copied: Path) -> None:
    none = copied / "corpus/media"
    result = CliRunner().invoke(dragoman, ["check", str(none), str(copied / "report")])
    assert result.exit_code == 2
    assert "media holds no folder that dragoman wrote" in result.stderr
    assert result.stdout == f"{copied / 'report'}: report, sound\n"
    (copied / "report/report.json").unlink()
    result = CliRunner().invoke(dragoman, ["check", str(none), str(copied / "report")])
    assert result.exit_code == 4


def test_a_folder_of_before_there_were_checksums_is_said_to_be_so(copied: Path) -> None:
    report = copied / "report"
    without_checksums(report)
    result = CliRunner().invoke(dragoman, ["check", str(report)])
    assert result.exit_code == 0
    assert result.output == f"{report}: report, sound, as far as can be told\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE entries SET item_id = 'other' WHERE slot = 3", "The entry 'other' of the index is damaged"),
        ("UPDATE entries SET captions = '{}' WHERE slot = 3", "of the index is damaged"),
        ("UPDATE entries SET crc = crc + 1 WHERE slot = 3", "the vector is torn"),
        ("DELETE FROM entries WHERE slot = 3", "1 rows belong to no entry"),
        ("UPDATE fields SET value = 'x' WHERE slot = 3 AND name = 'split'", "filters see other metadata"),
    ],
)
def test_a_changed_row_of_an_index_is_told_when_it_is_opened(copied: Path, change: str, said: str) -> None:
    (path,) = (copied / "index/generations").glob("*/entries.sqlite")
    database = sqlite3.connect(path)
    assert database.execute(change).rowcount == 1
    database.commit()
    database.close()
    (found,) = check(copied / "index")
    assert len(found.damages) == 1
    assert said in found.damages[0]
    assert "make it again: dragoman index" in found.damages[0]


@pytest.mark.parametrize("side", ["image_", "text"])
def test_one_changed_weight_of_either_side_is_told(copied: Path, side: str) -> None:
    import struct

    file = copied / "run/model/model.safetensors"
    content = bytearray(file.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    named = {name: one for name, one in header.items() if name != "__metadata__"}
    name = next(name for name in named if name.startswith("image_") == (side == "image_"))
    content[8 + length + named[name]["data_offsets"][0]] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedError, match="the checksum of its weights is that of others"):
        Retriever.load(copied / "run")


def test_golden_vectors_of_images_are_compared_too(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragoman.models import folder

    changed = folder._golden_images
    monkeypatch.setattr(folder, "_golden_images", lambda model: -changed(model))
    with pytest.raises(DamagedError, match="does not reproduce its golden vectors"):
        Retriever.load(copied / "run")


def test_a_setting_of_a_model_that_was_changed_by_hand_is_told(copied: Path) -> None:
    file = copied / "run/model/config.json"
    config = read_sealed(file, "")
    file.write_text(file.read_text().replace('"joint": 16', '"joint": 17'))
    with pytest.raises(DamagedError, match=r"config\.json is damaged"):
        Retriever.load(copied / "run")
    write_sealed(file, config)
    Retriever.load(copied / "run")


def test_unfinished_work_in_a_folder_is_none_of_its_damage(copied: Path) -> None:
    """A kill leaves such folders; the next run of the same command removes or finishes them."""
    left = copied / "corpus/features/.grid/old.gone"
    left.mkdir(parents=True)
    (left / "manifest.json").write_bytes((copied / "corpus/features/grid/manifest.json").read_bytes())
    assert [one.folder for one in check(copied / "corpus") if one.damages] == []


def test_what_cannot_be_read_is_told_and_not_taken_for_damage(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = CliRunner().invoke(dragoman, ["check", str(copied / "export"), str(copied / "report")])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{copied / 'export'}: export, not read whole",
        "  Loading an exported model needs the package 'onnxruntime', which is not installed. "
        "Install it: pip install 'dragoman[onnx]'",
        f"{copied / 'report'}: report, sound",
    ]
    (copied / "report/report.json").write_text("{}")
    assert CliRunner().invoke(dragoman, ["check", *map(str, copied.glob("*port"))]).exit_code == 4


def test_folders_that_nobody_can_write_are_read_by_every_verb(copied: Path, tmp_path: Path) -> None:
    before, out = content(copied), tmp_path / "out"
    (copied / "run/model/calibration.json").unlink()
    before.pop("run/model/calibration.json")
    settings = ("steps=1", "batch_size=4", "text.width=16", "text.feed_forward=16", "dual.hidden=16")
    small = [word for one in settings for word in ("--set", one)]
    recipe = ("--recipe", "translate_train", "--targets", "pt", "--features", "grid")
    with denied(copied):
        for words in (
            ("search", "index", "a dog"),
            ("search", "approximate", "um cão", "--model", "export"),
            ("check", "."),
            ("corpus", "show", "corpus"),
            ("evaluate", "run", "corpus", "--split", "test", "--languages", "en", "--out", out / "report"),
            ("compare", "report", out / "report"),
            ("export", "run", "--to", "onnx", "--out", out / "export"),
            ("train", "corpus", *recipe, *small, "--out", out / "run"),
            # An index of a corpus calibrates the run, where that can be written.
            ("index", "run", "corpus", "--out", out / "index"),
        ):
            done = command_line.dragoman(*words, at=copied)
            assert done.returncode == 0, (words, done)
        for words in (
            ("index", "run", "corpus", "--out", "index"),
            ("calibrate", "run", "corpus", "--split", "train"),
            ("translate", "corpus", "--to", "pt", "--engine", "recorded:corpus/apertium.jsonl.gz"),
            ("trust", "corpus"),
            ("evaluate", "run", "corpus", "--split", "test", "--languages", "en", "--out", "report"),
            ("export", "run", "--to", "onnx", "--out", "new"),
            ("train", "corpus", *recipe, *small, "--out", "new"),
        ):
            done = command_line.dragoman(*words, at=copied)
            assert done.returncode == 1, (words, done)
            error = done.stderr.splitlines()[-1]
            assert error.startswith("Error: ")
            assert " cannot be written by this user (" in error
    assert content(copied) == before
