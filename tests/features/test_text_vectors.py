"""Vectors of texts, kept: one for each distinct text, by its content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mclip_sentences_setup
import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from stopped_work import stop_at_shard
from tiny_encoders import save_encoder

from dragoman.cli import dragoman
from dragoman.corpus import BuildOptions, build_jsonl
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import write_features
from dragoman.errors import CheckFailedError, UserError
from dragoman.features import texts as module
from dragoman.features.kept_texts import KeptTexts, KeptTokens, digest
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.folders import read_sealed, write_sealed
from dragoman.models.sentences import load_text_side
from dragoman.pipelines.check import check

CAPTIONS = ["a dog", "a casa", "A DOG", "dog", "casa a dog", "a dog", "a dog a dog a casa", "casa casa", "a"]


def save(folder: Path, captions: Sequence[str]) -> Path:
    rows = [
        {"item_id": f"i{number}", "text": text, "lang": "en", "split": "train"}
        for number, text in enumerate(captions)
    ]
    lines = folder.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    build_jsonl(lines, folder, BuildOptions())
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = mclip_sentences_setup.save(tmp_path_factory.mktemp("encoder") / "text")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return save(tmp_path / "corpus", CAPTIONS)


def kept(corpus: Path) -> KeptTexts:
    return KeptTexts(Corpus.open(corpus).features("text"))


def test_each_caption_has_the_vector_that_the_encoder_gives_to_it_alone(corpus: Path, encoder: Path) -> None:
    report = extract_texts(corpus, encoder=encoder, options=TextOptions(batch_size=3))
    side = load_text_side(encoder)
    distinct = set(side.reading.given(CAPTIONS))
    assert (report.extracted, report.total, report.captions) == (len(distinct), len(distinct), len(CAPTIONS))
    found = kept(corpus).vectors(CAPTIONS)
    alone = np.concatenate([side.encode([text]) for text in CAPTIONS])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, alone, atol=1e-3)
    assert np.linalg.norm(found[0] - found[1]) > 0.1
    np.testing.assert_array_equal(found[0], found[5])


@pytest.mark.parametrize("below_last", [None, 2])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    corpus: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below_last: int | None
) -> None:
    options = TextOptions(batch_size=2, below_last=below_last)
    whole = shutil.copytree(corpus, tmp_path / "whole")
    extract_texts(whole, encoder=encoder, options=options)
    shards = stop_at_shard(monkeypatch, 2, 2)
    with pytest.raises(KeyboardInterrupt):
        extract_texts(corpus, encoder=encoder, options=options)
    # Jobs of before did not note that these are captions.
    noted = corpus / "features/.text/shards/encoder.json"
    write_sealed(noted, {name: one for name, one in read_sealed(noted, "").items() if name != "of"})
    monkeypatch.setattr(module, "_shards", shards)
    extract_texts(corpus, encoder=encoder, options=options)
    for name in (
        ("vectors.npy", "ids.txt") if below_last is None else ("vectors.npy", "ids.txt", "offsets.npy")
    ):
        assert (corpus / "features/text" / name).read_bytes() == (whole / "features/text" / name).read_bytes()


def test_later_runs_make_what_is_new_and_drop_what_is_gone(corpus: Path, encoder: Path) -> None:
    extract_texts(corpus, encoder=encoder)
    assert extract_texts(corpus, encoder=encoder).extracted == 0
    save(corpus, [*CAPTIONS[1:4], "casa dog", "a a a"])
    report = extract_texts(corpus, encoder=encoder)
    side = load_text_side(encoder)
    now = side.reading.given([*CAPTIONS[1:4], "casa dog", "a a a"])
    assert (report.extracted, report.total) == (2, len(set(now)))
    assert kept(corpus).features.ids == list(dict.fromkeys(map(digest, now)))
    with pytest.raises(UserError, match=r"no vector for 1 of 2 texts, the first of caption c7, 'casa casa'"):
        kept(corpus).vectors(["a casa", "casa casa"], ["c6", "c7"])


def test_another_reading_or_another_encoder_is_refused(corpus: Path, encoder: Path, tmp_path: Path) -> None:
    extract_texts(corpus, encoder=encoder)
    with pytest.raises(UserError, match="prefix='' there, 'a ' now"):
        extract_texts(corpus, encoder=encoder, options=TextOptions(prefix="a "))
    with pytest.raises(UserError, match="pool='mean' there, 'max' now"):
        extract_texts(corpus, encoder=encoder, options=TextOptions(pool="max"))
    with pytest.raises(UserError, match="pool 'median' cannot be had"):
        extract_texts(corpus, encoder=encoder, options=TextOptions(pool="median"))
    manifest = corpus / "features/text/manifest.json"
    stored = read_sealed(manifest, "")
    stored["encoder"]["golden"] = "A" * len(stored["encoder"]["golden"])
    write_sealed(manifest, stored)
    with pytest.raises(CheckFailedError, match="gave other vectors"):
        extract_texts(corpus, encoder=encoder)


def test_a_prefix_is_read_as_a_part_of_each_text(corpus: Path, encoder: Path) -> None:
    extract_texts(corpus, encoder=encoder, options=TextOptions(prefix="casa "))
    expected = load_text_side(encoder).encode(["casa " + text.lower() for text in CAPTIONS])
    np.testing.assert_allclose(kept(corpus).vectors(CAPTIONS), expected, atol=1e-3)


def test_vectors_of_pictures_are_no_texts_nor_the_other_way(corpus: Path, encoder: Path) -> None:
    write_features(corpus / "features/pictures", ["i0", "i1"], np.eye(2, dtype=np.float32), inputs={})
    extract_texts(corpus, encoder=encoder)
    opened = Corpus.open(corpus)
    with pytest.raises(UserError, match=r"vectors of items, not vectors of texts.*--texts"):
        KeptTexts(opened.features("pictures"))
    with pytest.raises(UserError, match=r"vectors of texts, not of pictures"):
        opened.with_vectors(opened.features("text"), "train")


def test_the_command_makes_them(corpus: Path, encoder: Path) -> None:
    asked = [
        "features",
        str(corpus),
        "--texts",
        "--encoder",
        str(encoder),
        "--prefix",
        "a ",
        "--batch-size",
        "2",
    ]
    done = CliRunner().invoke(dragoman, [*asked, "--name", "kept"])
    assert done.exit_code == 0, done.output
    folder = corpus / "features/kept"
    assert done.stdout == f"{folder}: 7 texts of 9 captions, 7 of them new\n"
    assert KeptTexts(Corpus.open(corpus).features("kept")).reading.prefix == "a "


def test_words_of_captions_are_kept_where_asked_for_and_stay(corpus: Path, encoder: Path) -> None:
    extract_texts(corpus, encoder=encoder)
    assert not any(kept(corpus).holds(["casa"]))
    report = extract_texts(corpus, encoder=encoder, options=TextOptions(words=True))
    # Of the words "a" and "dog" are captions as well.
    assert report.extracted == 1
    found = kept(corpus)
    assert found.holds(["a", "casa", "dog", "gato"]) == [True, True, True, False]
    side = load_text_side(encoder)
    np.testing.assert_allclose(found.vectors(["casa"]), side.encode(["casa"]), atol=2e-3)
    again = extract_texts(corpus, encoder=encoder)
    assert again.extracted == 0 and kept(corpus).holds(["casa"]) == [True]


def tokens(corpus: Path) -> KeptTokens:
    return KeptTokens(Corpus.open(corpus).features("states"))


def keep(corpus: Path, encoder: Path, below_last: int | None, **options: Any) -> None:
    made = TextOptions(below_last=below_last, batch_size=3, **options)
    extract_texts(corpus, encoder=encoder, name="states", options=made)


def test_states_are_those_that_the_first_of_the_last_layers_reads(corpus: Path, tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "bert", "bert")
    keep(corpus, folder, 2, prefix="the ")
    kept = tokens(corpus)
    assert kept.first == 1 and kept.features.layout == "tokens"
    model = transformers.BertModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, found in zip(CAPTIONS, kept.states(CAPTIONS), strict=True):
        given = tokenizer(["the " + text.lower() if text == "A DOG" else "the " + text], return_tensors="pt")
        with torch.no_grad():
            expected = model(**given, output_hidden_states=True).hidden_states[1][0].numpy()
        assert found is not None and found.dtype == np.float16
        np.testing.assert_allclose(found, expected, atol=2e-3)
    # Nothing is read before it is asked for.
    assert isinstance(kept.features.vectors, np.memmap)
    assert kept.states(["a text of nobody"]) == [None]


def test_states_of_test_captions_are_not_kept(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "bert", "bert")
    rows = [
        {"item_id": split, "text": f"a {split}", "lang": "en", "split": split}
        for split in ("train", "val", "test")
    ]
    lines = tmp_path / "corpus.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    build_jsonl(lines, tmp_path / "corpus", BuildOptions())
    keep(tmp_path / "corpus", folder, 1)
    found = tokens(tmp_path / "corpus").states(["a train", "a val", "a test"])
    assert [one is not None for one in found] == [True, True, False]


def test_states_are_not_mixed_with_those_of_another_layer_nor_with_vectors(
    corpus: Path, encoder: Path, tmp_path: Path
) -> None:
    keep(corpus, encoder, 1)
    with pytest.raises(UserError, match=r"layer=1 there, 0 now"):
        keep(corpus, encoder, 2)
    with pytest.raises(UserError, match=r"layer=. there, None now"):
        keep(corpus, encoder, None)
    with pytest.raises(UserError, match=r"holds states of tokens, not vectors of texts"):
        KeptTexts(Corpus.open(corpus).features("states"))
    extract_texts(corpus, encoder=encoder)
    with pytest.raises(UserError, match=r"holds vectors of texts, not states of tokens.*--below-last"):
        KeptTokens(Corpus.open(corpus).features("text"))
    # A set of states is no set of vectors of the same encoder.
    made_by = KeptTexts(Corpus.open(corpus).features("text")).made_by
    shutil.rmtree(corpus / "features/text")
    assert KeptTexts.made_like(Corpus.open(corpus), made_by) is None


def test_layers_that_are_not_there_are_refused(corpus: Path, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--below-last 4 was asked for, but .* has 3 layers"):
        keep(corpus, save_encoder(tmp_path / "bert", "bert"), 4)
    with pytest.raises(UserError, match="neither pooled nor those of words"):
        keep(corpus, encoder, 1, words=True)


def test_a_check_finds_a_changed_byte_of_a_state(corpus: Path, encoder: Path) -> None:
    keep(corpus, encoder, 1)
    assert [one.damages for one in check(corpus)] == [(), ()]
    for name in ("vectors.npy", "offsets.npy"):
        file = corpus / "features/states" / name
        content = file.read_bytes()
        file.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        (damaged,) = [one for one in check(corpus) if one.damages]
        assert damaged.kind == "features" and name in damaged.damages[0]
        file.write_bytes(content)
