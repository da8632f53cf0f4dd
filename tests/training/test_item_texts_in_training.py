"""Recipes on items that are texts: captions learn to find records, whose vectors a sentence encoder made."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_encoders import save_encoder
from training_world import EN, PT, TINY, write_world

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.features.texts import extract_items, extract_texts
from dragoman.index import index_media
from dragoman.index.job import IndexOptions
from dragoman.pipelines.evaluate import evaluate
from dragoman.recipes import load_recipe
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.trained import Retriever
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.training import train

RECIPES = ("linear", "translate_train", "nrccr", "one_to_k")
LENGTH = {
    "steps": "80",
    "batch_size": "20",
    "learning_rate": "0.01",
    "patience": "99",
    "validate_every": "20",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two lines, each of which is an English caption."""
    place = tmp_path_factory.mktemp("world")
    folder = write_world(place / "corpus", train=80, val=20, test=20)
    said: dict[str, list[str]] = {}
    captions = Corpus.open(folder).select(role="human", lang="en")
    for item_id, text in zip(captions.item_ids, captions.texts, strict=True):
        said.setdefault(item_id, []).append(text)
    rows = pq.read_table(folder / "items.parquet").to_pylist()
    records = [row | {"kind": "text", "text": "\n".join(said[row["item_id"]]), "lang": "en"} for row in rows]
    pq.write_table(pa.Table.from_pylist(records), folder / "items.parquet")
    CORPUS.write(folder, inputs={})
    encoder = save_encoder(place / "bert", "bert", words=(*EN, *PT))
    extract_items(folder, encoder=encoder)
    extract_texts(folder, encoder=encoder)
    return folder


def trained(world: Path, out: Path, recipe: str) -> Path:
    settings = TINY | LENGTH
    if recipe == "linear":
        # Its text side is a set of vectors, without layers.
        settings = {name: value for name, value in settings.items() if not name.startswith("text.")}
        settings["text"] = "frozen:bert"
    train(world, load_recipe(recipe)("en", ("pt",), "bert_items").with_settings(settings), out, device="cpu")
    return out


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_learn_to_find_records_and_are_measured_on_them(
    world: Path, tmp_path: Path, recipe: str
) -> None:
    run = trained(world, tmp_path / "run", recipe)
    corpus, retriever = Corpus.open(world), Retriever.load(run)
    features = corpus.features("bert_items")
    items = sorted(corpus.split("test")["item_id"].to_pylist())
    item_IJ = retriever.encode_features(features.whole(features.rows(items)))
    report = evaluate(run, world, EvaluationSettings(languages=("pt", "en")), out=tmp_path / "report")
    for lang in ("pt", "en"):
        asked = corpus.select(role="human", lang=lang, split="test")
        score_QI = retriever.encode_text(asked.texts) @ item_IJ.T
        own = [items.index(item_id) for item_id in asked.item_ids]
        place_Q = np.array([1 + (row > row[at]).sum() for row, at in zip(score_QI, own, strict=True)])
        found = report["results"][lang]["direct"]["text_to_image"]
        assert found["recall@5"] == pytest.approx(100 * np.mean(place_Q <= 5))
        # Of 20 records the middle place by chance is 10.5; the mean of 40 has a deviation of 0.9.
        assert place_Q.mean() < 7
    with pytest.raises(UserError, match=r"trained on texts in the place of images, and reads no images"):
        retriever.encode_image([Image.new("RGB", (8, 8))])


def test_an_index_holds_the_vectors_of_the_set_and_a_query_finds_its_record(
    world: Path, tmp_path: Path
) -> None:
    run = trained(world, tmp_path / "run", "translate_train")
    report = index_media(run, world, tmp_path / "index", IndexOptions(device="cpu"))
    corpus, retriever = Corpus.open(world), Retriever.load(run)
    features = corpus.features("bert_items")
    assert (report.done.added, report.rejected) == (len(features.ids), ())
    item_IJ = retriever.encode_features(features.whole(features.rows(features.ids)))
    texts = corpus.select(role="human", lang="pt", split="test").texts[:8]
    score_QI = retriever.encode_text(texts) @ item_IJ.T
    with Searcher.open(tmp_path / "index") as searcher:
        np.testing.assert_allclose(searcher.store.vectors(features.ids), item_IJ, atol=2e-3)
        for text, score_I in zip(texts, score_QI, strict=True):
            (hit,) = searcher.search(Query(text=text, lang="pt", k=1)).hits
            assert hit.entry.kind == "text"
            assert score_I[features.ids.index(hit.entry.item_id)] > score_I.max() - 0.005


def test_an_index_tells_of_a_text_that_was_changed_since_its_vector_was_made(
    world: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(world, tmp_path / "corpus")
    run = trained(world, tmp_path / "run", "translate_train")
    rows = pq.read_table(changed / "items.parquet").to_pylist()
    rows[0]["text"] = "another text"
    # Spaces and lines are no change.
    rows[1]["text"] = " ".join(rows[1]["text"].split())
    pq.write_table(pa.Table.from_pylist(rows), changed / "items.parquet")
    CORPUS.write(changed, inputs={})
    report = index_media(run, changed, tmp_path / "index", IndexOptions(device="cpu"))
    (told,) = report.rejected
    assert told.item_id == rows[0]["item_id"] and "a text that was changed since" in told.reason
    assert report.info.count == len(rows)
