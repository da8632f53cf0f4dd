"""`dragoman check`, and the damages at random that it and every reader must tell."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from checksums import without_checksums
from dragoman.cli import dragoman
from dragoman.errors import DamagedError, UserError
from dragoman.folders import read_sealed, write_sealed
from dragoman.pipelines.check import check
from dragoman.retrievers.trained import Retriever

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
    rows = list(mutations.mutate(folders, 120, seed=7))
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
