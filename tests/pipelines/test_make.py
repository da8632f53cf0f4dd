"""From a folder of photos to an index, in one command that goes on where it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from click.testing import CliRunner
from PIL import Image
from tiny_towers import save_tower

from dragoman.cli import dragoman
from dragoman.corpus import Corpus
from dragoman.corpus.corrections import CORRECTIONS
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.index.corrections import correct
from dragoman.index.folder import COLLECTION
from dragoman.pipelines import make as making
from dragoman.pipelines.check import check
from dragoman.pipelines.make import Measured, make, mean_of, told, unread_file
from dragoman.pipelines.options import MakeOptions
from dragoman.pipelines.plan import Plan, make_plan
from dragoman.progress import Whole
from dragoman.search.searcher import Searcher

COLOURS = {
    "red": (200, 20, 20, "vermelho"),
    "green": (20, 180, 20, "verde"),
    "blue": (20, 20, 200, "azul"),
    "yellow": (220, 220, 20, "amarelo"),
    "black": (5, 5, 5, "preto"),
    "white": (250, 250, 250, "branco"),
}
THINGS = {"square": "quadrado", "door": "porta", "box": "caixa"}
SETTINGS = {"steps": "4", "batch_size": "16", "dual.joint": "16", "dual.hubness": "0"}
PHOTOS = 36


def write_photos(folder: Path, count: int = PHOTOS) -> Path:
    """Plain pictures of a colour each, with two English captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        name, (*colour, _) = list(COLOURS.items())[number % len(COLOURS)]
        thing = list(THINGS)[number % len(THINGS)]
        shade = tuple(min(part + number // 6, 255) for part in colour)
        Image.new("RGB", (24, 24), shade).save(folder / f"{number:03}.png")
        (folder / f"{number:03}.txt").write_text(
            f"a {name} {thing}\nthe {thing} is {name}, number {number}\n"
        )
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Photos, a tower and a dictionary, from which a collection was made in one go."""
    folder = tmp_path_factory.mktemp("make")
    write_photos(folder / "photos")
    save_tower(folder / "tower", "mobilenet")
    words = {name: pt for name, (*_, pt) in COLOURS.items()} | THINGS
    (folder / "words.tsv").write_text("en\tpt\n" + "".join(f"{en}\t{pt}\n" for en, pt in words.items()))
    (folder / "words-cs.tsv").write_text("en\tcs\nred\tčervený\nblue\tmodrý\nsquare\tčtverec\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dragoman.pipelines.plan.FEWEST", 10)
        patch.setattr("dragoman.pipelines.plan.offers", offers_of(folder))
        patch.setattr(making, "ASKED", 2)
        make(plan_of(folder), folder / "whole")
        yield folder


def offers_of(folder: Path) -> Callable[[str, str], list[str]]:
    """A computer that has a dictionary of English and Czech, and nothing else."""
    spec = f"dictionary:{folder / 'words-cs.tsv'}"
    return lambda source, target: [spec] if {source, target} == {"en", "cs"} else []


def plan_of(folder: Path, **more: Any) -> Plan:
    engine = f"pt=dictionary:{folder / 'words.tsv'}"
    options = {"to": ("pt", "de", "cs"), "engines": (engine,), "settings": SETTINGS, "device": "cpu"} | more
    return make_plan(folder / "photos", MakeOptions(vision=str(folder / "tower"), **options))


def content(folder: Path) -> dict[str, Any]:
    """Every file by its bytes; of JSON the values but for times, paths and commands."""
    found: dict[str, Any] = {}
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = file.relative_to(folder).as_posix()
        if file.name in (".lock", "seconds.json") or file.suffix in (".sqlite", ".db", ".pt"):
            continue
        if file.suffix in (".json", ".jsonl"):
            lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
            found[name] = [_timeless(json.loads(line)) for line in lines]
        else:
            found[name] = sha256(file)
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = {"created", "updated", "command", "checksum", "files", "captions_per_second"}
        return {key: _timeless(one) for key, one in value.items() if key not in left_out}
    if isinstance(value, list):
        return [_timeless(one) for one in value]
    return value.replace("/killed/", "/alone/") if isinstance(value, str) else value


def test_a_collection_is_searched_in_a_language_that_has_no_captions(place: Path) -> None:
    with Searcher.open(place / "whole" / "index") as searcher:
        answer = searcher.search("um quadrado vermelho", k=3)
        assert len(answer.hits) == 3
        assert answer.language.trained
        entry = answer.hits[0].entry
        assert searcher.media_file(entry) == place / "photos" / entry.item_id
        assert entry.captions["pt"] and entry.captions["en"]
    assert [one.kind for one in check(place / "whole") if one.damages or one.unread] == []
    manifest = COLLECTION.read(place / "whole")
    assert manifest["ways"]["pt"]["by"] == "engine"
    assert manifest["ways"]["de"]["by"] == "encoder"
    assert manifest["ways"]["cs"]["by"] == "dictionary"
    # What the encoder knows, and what the lexicon alone does.
    reads = json.loads((Path(manifest["model"]) / "model" / "config.json").read_text())["trained"]["reads"]
    assert {"de", "cs"} <= set(reads) and "sw" not in reads
    assert [one["lang"] for one in manifest["measured"]] == ["en", "pt"]
    corpus = Corpus.open(place / "whole" / "corpus")
    splits = corpus.items["split"].to_pylist()
    assert set(splits) == {"train", "val"}


def test_killed_between_and_within_stages_it_ends_with_the_same_bytes(place: Path) -> None:
    """Killed at the end of a stage, and in the middle of training."""
    script = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[3]]
import test_make as t
from dragoman.pipelines import make as m, plan
plan.FEWEST, m.ASKED = 10, 2
place = Path(sys.argv[1])
plan.offers = t.offers_of(place)
todo, learn = t.plan_of(place), m.train
# In this very process: how libraries share work among threads, which other tests change, moves last bits.
m.make(todo, place / "alone")
die = lambda *given, **more: os.kill(os.getpid(), signal.SIGKILL)
half = lambda *given, **more: learn(*given, **more, on_step=lambda step: step == 2 and die())
for name, instead in (("extract_features", die), ("train", die), ("train", half), ("index_media", die)):
    if os.fork() == 0:
        setattr(m, name, instead)
        m.make(todo, place / "killed")
        os._exit(1)
    assert os.WTERMSIG(os.wait()[1]) == signal.SIGKILL, name
m.make(todo, place / "killed")
"""
    here = Path(__file__).parent
    command = [sys.executable, "-c", script, str(place), str(here), str(here.parent / "models")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    whole, killed = content(place / "alone"), content(place / "killed")
    # The name of a generation is made of the path of its index.
    (name,) = (one.name for one in (place / "killed" / "index" / "generations").iterdir())
    (other,) = (one.name for one in (place / "alone" / "index" / "generations").iterdir())
    assert json.loads(json.dumps(killed).replace(name, other)) == json.loads(json.dumps(whole))


def test_made_again_nothing_is_done_and_a_new_caption_is_learned_from(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, states = content(place / "whole"), {}
    for file in (place / "whole").rglob("*.safetensors"):
        states[file] = file.stat().st_mtime_ns
    monkeypatch.setattr(making, "train", pytest.fail)
    make(plan_of(place), place / "whole")
    assert content(place / "whole") == before
    assert {file: file.stat().st_mtime_ns for file in states} == states

    # A photo without captions is found, and changes nothing of what was learned.
    Image.new("RGB", (24, 24), (1, 2, 3)).save(place / "photos" / "new.png")
    made = make(plan_of(place), place / "whole")
    assert made.count == PHOTOS + 1
    assert made.model.name == next((place / "whole" / "runs").iterdir()).name
    monkeypatch.undo()
    monkeypatch.setattr("dragoman.pipelines.plan.FEWEST", 10)
    monkeypatch.setattr("dragoman.pipelines.plan.offers", offers_of(place))
    monkeypatch.setattr(making, "ASKED", 2)

    # What a person wrote is learned from beside what the machine did.
    note = place / "photos" / "000.pt.txt"
    note.write_text("um quadrado todo encarnado\n")
    # So is what a person corrected, in the running service and in a sheet.
    index, sheet = place / "whole" / "index", place / "sheet.csv"
    with Searcher.open(index) as searcher, searcher.writing() as opened:
        entries = {name: opened.store.get([name])[0] for name in ("001.png", "002.png")}
        wrong = {name: entry.captions["pt"] for name, entry in entries.items() if entry is not None}
        correct(index, opened.store, "001.png", "pt", "uma porta verde", lambda exists: None)
    sheet.write_text(
        "path,lang,translation,correction\n"
        f"{place / 'photos' / '002.png'},pt,{wrong['002.png']},uma caixa azul\n"
        f"001.png,pt,{wrong['001.png']},uma porta qualquer\n"
        "gone.png,pt,,nada\n"
    )
    todo = plan_of(place, corrections=(str(sheet),))
    again = make(todo, place / "whole")
    assert again.model != made.model
    assert [one.name for one in (place / "whole" / "runs").iterdir()] == [again.model.name]
    captions = Corpus.open(place / "whole" / "corpus").select(lang="pt", role="human").table
    expected = {
        "000.png": ("um quadrado todo encarnado", None),
        # What the service was told counts more.
        "001.png": ("uma porta verde", wrong["001.png"]),
        "002.png": ("uma caixa azul", wrong["002.png"]),
    }
    columns = [captions[name].to_pylist() for name in ("item_id", "text", "corrects")]
    assert {row[0]: row[1:] for row in zip(*columns, strict=True)} == expected
    assert len(captions) == 3
    with Searcher.open(index) as searcher:
        for name, (text, _) in expected.items():
            (entry,) = searcher.store.get([name])
            assert entry is not None and entry.captions["pt"] == text
            assert entry.caption_roles["pt"] == "human" and "pt" not in entry.more_captions

    # What is written on the page takes the place of what the sheet said.
    with Searcher.open(index) as searcher, searcher.writing() as opened:
        correct(index, opened.store, "002.png", "pt", "uma caixa azul-escura", lambda exists: None)
    make(plan_of(place, corrections=(str(sheet),)), place / "whole")
    with Searcher.open(index) as searcher:
        (entry,) = searcher.store.get(["002.png"])
        assert entry is not None and entry.captions["pt"] == "uma caixa azul-escura"
        assert "pt" not in entry.more_captions
    said = Corpus.open(place / "whole" / "corpus").select(lang="pt", role="human").table.to_pylist()
    assert [row["text"] for row in said if row["item_id"] == "002.png"] == ["uma caixa azul-escura"]
    again = replace(again, model=next((place / "whole" / "runs").iterdir()))

    # They need not be given again.
    sheet.unlink()
    monkeypatch.setattr(making, "train", pytest.fail)
    todo = replace(todo, options=replace(todo.options, corrections=()))
    assert make(todo, place / "whole").model == again.model
    assert len(Corpus.open(place / "whole" / "corpus").select(lang="pt", role="human").table) == 3

    monkeypatch.undo()
    monkeypatch.setattr("dragoman.pipelines.plan.FEWEST", 10)
    monkeypatch.setattr(making, "ASKED", 2)
    kept = [folder / CORRECTIONS for folder in (index, index.parent)]
    for file in (note, place / "photos" / "new.png", *kept):
        file.unlink()
    make(plan_of(place), place / "whole")
    assert {name for name in content(place / "whole") if name.startswith("runs/")} == {
        name for name in before if name.startswith("runs/")
    }


def test_photos_that_cannot_be_read_are_told_once_in_words_of_who_has_them(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tower", "words.tsv", "words-cs.tsv"):
        (tmp_path / name).symlink_to(place / name)
    photos = write_photos(tmp_path / "photos")
    for name in ("005.png", "007.png"):
        (photos / name).write_bytes(b"no picture")
    monkeypatch.setattr("dragoman.pipelines.plan.FEWEST", 10)
    out = tmp_path / "collection"
    command = ["make", str(photos), "--to", "de", "--vision", str(tmp_path / "tower"), "--out", str(out)]
    command += ["--device", "cpu", "--yes", *(f"--set={name}={value}" for name, value in SETTINGS.items())]
    with caplog.at_level("WARNING"):
        done = CliRunner().invoke(dragoman, command)
    assert done.exit_code == 3, done.output
    assert "2 photos could not be read, so no search finds them: 005.png, 007.png\n" in done.output
    assert f"Why: {unread_file(out)}\n" in done.output and unread_file(out).is_file()
    assert "give the same command again" in done.output
    assert "no vector" not in caplog.text + done.output

    for number in range(20):
        (photos / f"{number:03}.png").write_bytes(b"no picture")
    with pytest.raises(
        UserError, match=r"20 of 36 photos cannot be read: 000\.png, .* the same command again"
    ):
        make(plan_of(tmp_path), out)


def test_a_recipe_with_a_cycle_learns_from_the_machine_alone(place: Path) -> None:
    def role(recipe: str) -> str:
        todo = plan_of(place, recipe=recipe, to=("pt",), settings={})
        return making._Maker(todo, place / "whole", Whole(todo.stages))._config().target_captions

    assert (role("nrccr"), role("glossed")) == ("mt", "both")


@pytest.mark.parametrize("inner", ["photos/collection", "."])
def test_a_collection_within_its_photos_or_around_them_is_refused(place: Path, inner: str) -> None:
    with pytest.raises(UserError, match="lie in each other"):
        make(plan_of(place), place / inner)


def test_a_folder_of_other_things_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("dear")
    with pytest.raises(UserError, match=r"holds other things, such as thesis\.docx"):
        make(plan_of(place), tmp_path)
    assert (tmp_path / "thesis.docx").read_text() == "dear"


def test_a_collection_of_other_photos_is_refused(place: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    for name in ("tower", "words.tsv"):
        (tmp_path / name).symlink_to(place / name)
    with pytest.raises(UserError, match="is a collection of"):
        make(plan_of(tmp_path), place / "whole")


def test_a_full_disk_is_told_before_the_work(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "free_room", lambda folder: 1000)
    with pytest.raises(UserError, match=r"has 0\.0 GB left, and about 0\.1 GB are needed"):
        make(plan_of(place), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_measured_is_said_in_words() -> None:
    one = Measured(lang="pt", captions=40, human=False, photos=90, found=0.74, sum_r=250.0)
    assert told(one) == (
        "Portuguese: of 10 captions that a machine translated and the model did not see, 7 find their photo "
        "among the first 10 of 90"
    )
    assert mean_of((one,)) == 250.0
