"""Captions of the source language that stand for records, and what is learned from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_calibration import ReadsWords
from toy_model import save_model
from training_world import write_world

from dragoman.corpus import Corpus, build_records
from dragoman.corpus.corpus import CORPUS
from dragoman.records import Caption, Item
from dragoman.search import calibrate as learning
from dragoman.search.bitext import Records
from dragoman.search.calibrate import calibrate
from dragoman.search.trial_queries import Queries


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two captions in English of a and c, one of b, none of d; a machine's are no records."""
    captions = [
        Caption(caption_id=f"{item}{number}", item_id=item, lang="en", role="human", text=f"{item} {number}")
        for item, count in (("a", 2), ("b", 1), ("c", 2))
        for number in range(count)
    ]
    captions += [
        Caption(caption_id=f"{item}pt", item_id=item, lang="pt", role="human", text=f"{item} pt")
        for item in "bd"
    ]
    back = Caption(
        caption_id="back", item_id="d", lang="en", role="mt", text="d mt", source_id="dpt", engine="e"
    )
    items = [Item(item_id=name, split="val") for name in "abcd"]
    return build_records(items, [*captions, back], tmp_path / "corpus").corpus


def queries(*said: tuple[str, int, list[int]], captions: int) -> Queries:
    right = np.zeros((len(said), 4), bool)
    for row, (_, _, images) in enumerate(said):
        right[row, images] = True
    texts, own = [text for text, _, _ in said], np.array([image for _, image, _ in said], np.int64)
    return Queries(texts=texts, own=own, right=right, captions=captions, human=True)


def test_the_last_caption_of_an_image_is_its_record(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.search.bitext.FEWEST", 3)
    found = Records.of(corpus, ["d", "c", "b", "a"], "en")
    assert found is not None
    assert (found.texts, found.images.tolist()) == (["c 1", "b 0", "a 1"], [1, 2, 3])
    # Fewer are too few.
    assert Records.of(corpus, ["d", "c", "b"], "en") is None


def test_what_a_record_answers_is_asked_but_the_record_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.search.bitext.FEWEST", 4)
    records = Records(texts=["c 1", "b 0", "a 1"], images=np.array([1, 2, 3]))
    asked = queries(
        ("a 0", 3, [3]),
        ("a 1", 3, [3]),
        ("d", 0, [0]),
        ("b", 2, [2]),
        ("words", 3, [0, 1, 3]),
        ("x", 1, [1]),
        captions=4,
    )
    found = records.asked(asked)
    assert found is not None
    rows, chosen = found
    assert rows.tolist() == [0, 3, 4, 5]
    assert (chosen.texts, chosen.own.tolist(), chosen.captions) == (
        ["a 0", "b", "words", "x"],
        [2, 1, 2, 0],
        2,
    )
    assert chosen.right.astype(int).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0]]
    assert records.asked(queries(("a 0", 3, [3]), ("a 1", 3, [3]), captions=2)) is None


def test_a_source_with_queries_enough_is_judged_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = write_world(tmp_path / "corpus", val=60)
    run = save_model(tmp_path / "run")
    monkeypatch.setattr(learning, "load_encoder", lambda *_: ReadsWords(world))
    shared = calibrate(run, world).texts
    monkeypatch.setattr(learning, "FEW_CAPTIONS", 60)
    own = calibrate(run, world).texts
    assert own is not None and shared is not None
    assert {lang: one.queries for lang, one in own.languages.items()} == {"en": 60, "pt": 120}
    assert own.languages["pt"] == shared.languages["pt"]
    assert own.languages["en"].weights != shared.languages["en"].weights


def test_too_few_texts_teach_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = write_world(tmp_path / "corpus", val=60)
    rows = [row for row in pq.read_table(world / "captions.parquet").to_pylist() if row["lang"] == "pt"]
    rows = [row | {"source_id": None, "role": "human", "engine": None} for row in rows]
    schema = pq.read_schema(world / "captions.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), world / "captions.parquet")
    CORPUS.write(world, inputs={})
    run = save_model(tmp_path / "run")
    monkeypatch.setattr(learning, "load_encoder", lambda *_: ReadsWords(world))
    found = calibrate(run, world).texts
    assert found is not None
    assert (found.languages, len(found.background)) == ({}, 0)


def test_a_run_of_texts_is_calibrated_on_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that was trained on texts in the place of pictures has one scale, that of texts."""
    world = write_world(tmp_path / "corpus", val=60)
    items = pq.read_table(world / "items.parquet").to_pylist()
    items = [item | {"kind": "text", "text": f"text of {item['item_id']}", "lang": "en"} for item in items]
    pq.write_table(pa.Table.from_pylist(items), world / "items.parquet")
    CORPUS.write(world, inputs={})
    run = save_model(tmp_path / "run")
    monkeypatch.setattr(learning, "load_encoder", lambda *_: ReadsWords(world))
    found = calibrate(run, world)
    assert found.texts is not None
    assert (found.texts.languages, found.texts.growth) == (found.languages, found.growth)
    np.testing.assert_array_equal(found.texts.background, found.background)
    assert found.languages["pt"].queries == 120
