"""A corpus that is built again after its inputs changed is the one of a first build, with all in it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mean_colour import MeanColour
from tiny_towers import picture, save_tower
from translation_world import UpperEngine, captions

from dragoman.corpus import (
    BuildOptions,
    BuildReport,
    Corpus,
    GivenFeatures,
    build_csv,
    build_folder,
    build_jsonl,
)
from dragoman.corpus import build as building
from dragoman.corpus.corpus import CAPTIONS
from dragoman.errors import UserError
from dragoman.features import ExtractOptions, extract_features
from dragoman.features.extract import ExtractionReport
from dragoman.features.work import FeatureWork
from dragoman.folders import sole_writer
from dragoman.media.images import Decoding
from dragoman.models.vision import VisionTower
from dragoman.translation import TranslateSettings, translate
from dragoman.trust import score_trust

KILLS = int(os.environ.get("DRAGOMAN_KILLS", "24"))
Extract = Callable[[Path], ExtractionReport]


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tower(tmp_path_factory.mktemp("towers") / "tiny", "clip")


@pytest.fixture
def extract(tower: Path, monkeypatch: pytest.MonkeyPatch) -> Extract:
    """Extraction by a tower whose vector is the mean colour."""
    monkeypatch.setattr(VisionTower, "load", lambda *_: MeanColour())
    options = ExtractOptions(batch_size=2, decoding=Decoding(workers=1))
    return lambda corpus: extract_features(corpus, encoder=tower, name="eyes", options=options)


class Photos:
    """A folder of photos with what lies beside them, and edits that people make."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.count = 0
        folder.mkdir()
        for _ in range(5):
            self.add()

    def ids(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.bmp"))

    def some(self) -> str:
        return self.draw.choice(self.ids()).removesuffix(".bmp")

    def sentence(self) -> str:
        # Of few, so that some stand twice, and some come back.
        return f"{self.draw.choice('abcde')} dog runs {self.draw.choice(('fast', 'home', 'away'))}"

    def write_captions(self, stem: str) -> None:
        lines = [self.sentence() for _ in range(self.draw.randint(1, 3))]
        (self.folder / f"{stem}.txt").write_text("\n".join(lines))

    def add(self) -> None:
        self.count += 1
        # Anywhere among the others, by its name.
        stem = f"{self.draw.choice('abcdefgh')}{self.count}"
        self.replace(stem)
        self.write_captions(stem)

    def replace(self, stem: str | None = None) -> None:
        seed = self.draw.randrange(1000)
        picture(seed, (4, 3)).save(self.folder / f"{stem or self.some()}.bmp")

    def remove(self) -> None:
        if len(self.ids()) > 3:
            stem = self.some()
            for path in self.folder.glob(f"{stem}.*"):
                path.unlink()

    def edit(self) -> None:
        self.write_captions(self.some())

    def note(self) -> None:
        (self.folder / f"{self.some()}.json").write_text(json.dumps({"year": self.draw.randrange(3)}))

    def translate_by_hand(self) -> None:
        (self.folder / f"{self.some()}.pt.txt").write_text("um cão\n")

    def list_rows(self) -> None:
        rows = [f"{name},{self.draw.choice('xy')}\n" for name in self.ids() if self.draw.random() < 0.5]
        (self.folder / "metadata.csv").write_text("path,shelf\n" + "".join(rows))

    def touch(self) -> None:
        (self.folder / f"{self.some()}.bmp").touch()

    def change(self) -> None:
        """Edit one to three things."""
        edits = [self.add, self.replace, self.remove, self.edit, self.note, self.translate_by_hand]
        for edit in self.draw.choices([*edits, self.list_rows, self.touch], k=self.draw.randint(1, 3)):
            edit()


def build(photos: Path, out: Path, **options: Any) -> BuildReport:
    return build_folder(photos, out, BuildOptions(lang="en", **options))


def translated(corpus: Path, cache: Path) -> list[str]:
    """Translate there and back; gives the lines that were translated into German."""
    there, back = UpperEngine(), UpperEngine(name="fake:back")
    translate(corpus, to="de", engine=there, back=back, settings=TranslateSettings(cache=cache))
    return there.worked


def vectors(corpus: Path) -> dict[str, list[float]]:
    found = Corpus.open(corpus).features("eyes")
    return dict(zip(found.ids, np.array(found.vectors).tolist(), strict=True))


def state(corpus: Path) -> dict[str, object]:
    """All that a corpus says, in its order."""
    opened = Corpus.open(corpus)
    made, said = opened.features("eyes").manifest, ("inputs", "options", "rejected", "notes", "seed")
    return {
        "items": opened.items.to_pylist(),
        "columns": opened.items.schema,
        "captions": captions(corpus),
        "vectors": list(vectors(corpus).items()),
        "corpus": {name: opened.manifest[name] for name in said},
        "features": {name: made[name] for name in ("inputs", "encoder", "layout")},
    }


@pytest.mark.parametrize("seed", range(6))
def test_an_updated_corpus_is_the_one_built_from_scratch(tmp_path: Path, extract: Extract, seed: int) -> None:
    photos, corpus = Photos(tmp_path / "photos", seed), tmp_path / "corpus"
    build(photos.folder, corpus)
    seen = set(translated(corpus, tmp_path / "cache"))
    extract(corpus)
    score_trust(corpus)
    for step in range(6):
        before = {name: (photos.folder / name).read_bytes() for name in photos.ids()}
        split = {row["item_id"]: row["split"] for row in Corpus.open(corpus).items.to_pylist()}
        photos.change()
        report = build(photos.folder, corpus)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
        kept = report.captions - sum(row["role"] == "human" for row in captions(corpus))
        assert report.unchanged or (report.update is not None and report.update.kept == kept)
        said = {row["text"] for row in captions(corpus) if (row["role"], row["lang"]) == ("human", "en")}
        new = translated(corpus, tmp_path / "cache")
        assert sorted(new) == sorted(said - seen), "each line is translated once"
        seen |= said
        now = {name: (photos.folder / name).read_bytes() for name in photos.ids()}
        assert extract(corpus).extracted == sum(before.get(name) != content for name, content in now.items())
        assert all(
            split.get(row["item_id"], row["split"]) == row["split"]
            for row in Corpus.open(corpus).items.to_pylist()
        )
        whole = tmp_path / f"whole {step}"
        build(photos.folder, whole)
        translated(whole, tmp_path / f"cache {step}")
        extract(whole)
        for each in (corpus, whole):
            score_trust(each)
        assert state(corpus) == state(whole)


def test_what_changed_is_counted_and_what_is_left_to_do_is_named(tmp_path: Path, extract: Extract) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, name in enumerate("abc"):
        picture(number, (4, 3)).save(photos / f"{name}.bmp")
        (photos / f"{name}.txt").write_text(f"{name} dog\n{name} cat\n")
    corpus = build(photos, tmp_path / "corpus").corpus.folder
    translated(corpus, tmp_path / "cache")
    extract(corpus)
    (corpus / "trust").mkdir()
    rows = [row | {"trust": 0.5 if row["role"] == "mt" else None} for row in captions(corpus)]
    Corpus.open(corpus).replace_captions(pa.Table.from_pylist(rows, CAPTIONS))
    (photos / "a.txt").write_text("a dog\na bird\na fox\n")
    (photos / "b.json").write_text('{"year": 1990}')
    for path in (*photos.glob("c.*"), photos / "b.txt"):
        path.unlink()
    picture(3, (4, 3)).save(photos / "d.bmp")
    update = build(photos, corpus).update
    assert update is not None
    # The year is a column that a has not, and had not.
    assert str(update.items) == "1 added, 1 changed, 1 removed"
    assert str(update.captions) == "1 added, 1 changed, 4 removed"
    # Of six captions, there and back, one is as it was.
    assert (update.kept, update.dropped) == (2, 10)
    assert update.follow == ("dragoman translate", "dragoman trust", "dragoman features")
    assert [row["trust"] for row in captions(corpus)] == [None] * 3 + [0.5, None]
    assert sorted(vectors(corpus)) == ["a.bmp", "b.bmp", "c.bmp"], "features follow by their own command"


def test_all_else_that_a_corpus_holds_stays_without_being_copied(tmp_path: Path, extract: Extract) -> None:
    photos = Photos(tmp_path / "photos", 1)
    corpus = build(photos.folder, tmp_path / "corpus").corpus.folder
    extract(corpus)
    for name in ("lexicon/pt.tsv", "trust/signals.parquet", "rejected/translate-en-de.jsonl", "notes.md"):
        (corpus / name).parent.mkdir(exist_ok=True)
        (corpus / name).write_text(name)
    (corpus / "link").symlink_to("notes.md")
    (corpus / ".torn.1234.tmp").write_text("half")
    (photos.folder / "stray.txt").write_text("belongs to no photo")
    kept = {
        path.relative_to(corpus): path.stat().st_ino
        for path in corpus.rglob("*")
        if path.is_file() and path.parent != corpus
    }
    build(photos.folder, corpus)
    assert {name: (corpus / name).stat().st_ino for name in kept} == kept
    assert len(kept) >= 8
    assert (corpus / "link").is_symlink() and (corpus / "notes.md").read_text() == "notes.md"
    names = {"items.parquet", "captions.parquet", "manifest.json", "features", "lexicon", "trust", "rejected"}
    assert {path.name for path in corpus.iterdir()} == names | {"link", "notes.md", "rejected.jsonl"}
    # What the folder says of its faults is said anew.
    (photos.folder / "stray.txt").unlink()
    build(photos.folder, corpus)
    assert not (corpus / "rejected.jsonl").exists()


def test_where_no_links_are_files_are_copied(
    tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = Photos(tmp_path / "photos", 1)
    corpus = build(photos.folder, tmp_path / "corpus").corpus.folder
    extract(corpus)
    before = vectors(corpus)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links on this disk")

    monkeypatch.setattr(os, "link", refuse)
    photos.add()
    build(photos.folder, corpus)
    assert vectors(corpus) == before


def test_given_vectors_are_those_of_the_new_inputs(tmp_path: Path) -> None:
    def given(*shape: int) -> BuildReport:
        ids = [f"i{number}" for number in range(shape[0])]
        lines = [{"item_id": name, "lang": "en", "split": "train", "text": "a"} for name in ids]
        (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (tmp_path / "ids.txt").write_text("".join(f"{name}\n" for name in ids))
        np.save(tmp_path / "v.npy", np.full(shape, len(ids), np.float32))
        features = GivenFeatures(vectors=tmp_path / "v.npy", ids=tmp_path / "ids.txt")
        return build_jsonl(tmp_path / "c.jsonl", tmp_path / "corpus", BuildOptions(features=(features,)))

    given(2, 2, 3)
    report = given(3, 4)
    assert report.update is not None and report.update.follow == ()
    np.testing.assert_array_equal(report.corpus.features("v").vectors, np.full((3, 4), 3))
    # Nothing of the frames that it held before.
    names = {path.name for path in (report.corpus.folder / "features" / "v").iterdir()}
    assert names == {"ids.txt", "manifest.json", "vectors.npy"}


def test_translations_that_the_inputs_gave_go_with_them(tmp_path: Path) -> None:
    human = {"caption_id": "1", "item_id": "i", "lang": "en", "split": "train", "text": "a dog"}
    given = human | {"caption_id": "1#pt-x", "lang": "pt", "role": "mt", "source_id": "1", "text": "um cão"}

    def built(*rows: dict[str, str]) -> BuildReport:
        (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return build_jsonl(tmp_path / "c.jsonl", tmp_path / "corpus")

    corpus = built(human, given).corpus.folder
    translated(corpus, tmp_path / "cache")
    update = built(human).update
    # Nothing tells the given one from the others; the cache has these.
    assert update is not None and (update.kept, update.dropped) == (0, 3)
    assert update.follow == ("dragoman translate",)
    assert [row["text"] for row in captions(corpus)] == ["a dog"]
    assert translated(corpus, tmp_path / "cache") == []
    update = built(human, given).update
    assert update is not None and (update.kept, update.dropped) == (0, 2)
    assert [row["text"] for row in captions(corpus)] == ["a dog", "um cão"]


def test_a_column_that_others_added_stays_with_what_is_kept(tmp_path: Path) -> None:
    photos = Photos(tmp_path / "photos", 2)
    corpus = build(photos.folder, tmp_path / "corpus").corpus.folder
    translated(corpus, tmp_path / "cache")
    opened = Corpus.open(corpus)
    marks = [row["role"] for row in captions(corpus)]
    opened.replace_captions(opened.captions.append_column("mark", pa.array(marks)))
    photos.note()
    build(photos.folder, corpus)
    assert {(row["role"], row["mark"]) for row in captions(corpus)} == {
        ("human", None),
        ("mt", "mt"),
        ("back", "back"),
    }


def test_a_repaired_table_is_an_update(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    options = BuildOptions(lang="en", split="train")
    table.write_text("item_id,text\na,a dgo\nb,a cat\n")
    corpus = build_csv(table, tmp_path / "corpus", options).corpus.folder
    translated(corpus, tmp_path / "cache")
    table.write_text("item_id,text\na,a dog\nb,a cat\n")
    update = build_csv(table, corpus, options).update
    assert update is not None and str(update.captions) == "0 added, 1 changed, 0 removed"
    assert translated(corpus, tmp_path / "cache") == ["a dog"]
    assert [row["text"] for row in captions(corpus)][2:4] == ["A DOG", "A CAT"]


def test_a_corpus_whose_captions_are_damaged_is_built_anew_and_keeps_its_features(
    tmp_path: Path, extract: Extract
) -> None:
    photos = Photos(tmp_path / "photos", 3)
    corpus = build(photos.folder, tmp_path / "corpus").corpus.folder
    translated(corpus, tmp_path / "cache")
    extract(corpus)
    before = vectors(corpus)
    (corpus / "captions.parquet").write_bytes(b"damaged")
    report = build(photos.folder, corpus)
    assert (report.update, vectors(corpus)) == (None, before)
    assert {row["role"] for row in captions(corpus)} == {"human"}


@pytest.mark.parametrize("place", [".", "features/.eyes", "lexicon"])
def test_a_corpus_is_not_updated_under_one_that_writes_into_it(
    tmp_path: Path, extract: Extract, place: str
) -> None:
    photos = Photos(tmp_path / "photos", 4)
    corpus = build(photos.folder, tmp_path / "corpus").corpus.folder
    extract(corpus)
    before = state(corpus)
    photos.add()
    with sole_writer(corpus / place), pytest.raises(UserError, match="being written by another dragoman"):
        build(photos.folder, corpus)
    assert state(corpus) == before
    build(photos.folder, corpus)
    assert len(Corpus.open(corpus).items) == 6


def test_nobody_writes_into_a_corpus_while_it_is_updated(
    tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = Photos(tmp_path / "photos", 5)
    corpus = build(photos.folder, tmp_path / "corpus").corpus.folder
    extract(corpus)
    photos.add()
    keep_rest, refused = building.keep_rest, []

    def meddle(*given: Any) -> None:
        for work in (lambda: extract(corpus), lambda: translated(corpus, tmp_path / "cache")):
            with pytest.raises(UserError, match="being written by another dragoman"):
                work()
            refused.append(work)
        keep_rest(*given)

    monkeypatch.setattr(building, "keep_rest", meddle)
    build(photos.folder, corpus)
    assert len(refused) == 2
    assert {row["role"] for row in captions(corpus)} == {"human"}
    assert extract(corpus).total == 6


def test_two_states_of_a_corpus_are_never_mixed(
    tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = Photos(tmp_path / "photos", 6)
    corpus = build(photos.folder, tmp_path / "corpus").corpus.folder
    opened = Corpus.open(corpus)
    assert len(opened.items) == 5
    photos.add()
    build(photos.folder, corpus)
    with pytest.raises(UserError, match=r"was updated by another process while it was read\. Run the same"):
        _ = opened.captions

    add = FeatureWork.add

    def update(work: FeatureWork, shard: Any) -> None:
        add(work, shard)
        if len(Corpus.open(corpus).items) == 6:
            photos.add()
            # As if it had looked for writers just before there was one.
            with monkeypatch.context() as patch:
                patch.setattr(building, "writers_kept_out", lambda folder: nullcontext())
                build(photos.folder, corpus)

    monkeypatch.setattr(FeatureWork, "add", update)
    with pytest.raises(UserError, match="was updated by another process while it was read"):
        extract(corpus)
    assert Corpus.open(corpus).feature_names == []
    report = extract(corpus)
    assert (report.extracted, sorted(vectors(corpus))) == (7, photos.ids())


@pytest.mark.parametrize("by", ["exchange", "renames"])
def test_a_kill_at_any_step_leaves_the_old_corpus_or_the_new(
    tmp_path: Path, extract: Extract, by: str
) -> None:
    photos = Photos(tmp_path / "photos", 7)
    corpus = build(photos.folder, tmp_path / "start" / "corpus").corpus.folder
    translated(corpus, tmp_path / "cache")
    extract(corpus)
    photos.add()
    photos.edit()
    photos.note()
    script = Path(__file__).parent / "killed_updates.py"
    command = [sys.executable, script, photos.folder, corpus, tmp_path / "trial", by, str(KILLS // 2)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = done.stdout.split()
    # More than there are steps are not needed.
    assert len(found) > min(KILLS // 2, 60)
    assert found[0] == "old" and found[-2:] == ["new", "new"]
    assert set(found) <= {"old", "new"} | ({"gone"} if by == "renames" else set())
