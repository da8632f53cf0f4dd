"""A public model, without training: from a folder of pictures to hits, and from a corpus to a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_public import TEXTS, save_dual
from test_text_towers import save_pair, save_sentence_transformers
from tiny_towers import picture, save_photo_corpus

from checksums import without_checksums
from dragoman.corpus.corpus import CAPTIONS
from dragoman.errors import UserError
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.index import IndexOptions, index_media
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.loading import load_encoder
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher

COUNT = 9


@pytest.fixture(scope="module", params=["one folder", "two folders"])
def public(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    clip = save_dual(models / "clip", "clip")
    if request.param == "one folder":
        return clip
    return save_pair(models / "pair", save_sentence_transformers(models / "text"), clip)


def test_a_folder_of_pictures_is_searched_without_training(public: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(COUNT):
        picture(number).save(tmp_path / "photos" / f"{number}.png")
    report = index_media(public, tmp_path / "photos", tmp_path / "index", IndexOptions(device="cpu"))
    assert (report.info.count, report.info.languages) == (COUNT, ())
    model = load_encoder(public)
    images = model.encode_image([picture(number) for number in range(COUNT)])
    with Searcher.open(tmp_path / "index") as searcher:
        for text in TEXTS:
            scores = images @ model.encode_text([text])[0]
            answer = searcher.search(Query(text=text, k=3))
            assert [hit.entry.item_id for hit in answer.hits] == [
                f"{number}.png" for number in np.argsort(-scores)[:3]
            ]
            assert answer.hits[0].score == pytest.approx(scores.max(), abs=1e-3)
            assert answer.warnings == ()
    assert (
        index_media(public, tmp_path / "photos", tmp_path / "index", IndexOptions(device="cpu")).done.added
        == 0
    )


def test_a_report_of_a_public_model_encodes_images_once(public: Path, tmp_path: Path) -> None:
    corpus = save_photo_corpus(tmp_path / "corpus", COUNT)
    rows = [
        {"caption_id": f"{number}#{lang}", "item_id": f"item{number}", "lang": lang, "role": "human"}
        | {"text": f"{start} {'casa ' * number}".strip()}
        for number in range(COUNT)
        for lang, start in (("en", "a dog"), ("pt", "um cão"))
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=CAPTIONS), corpus / "captions.parquet")
    without_checksums(corpus)
    settings, out = EvaluationSettings(languages=["en", "pt"]), tmp_path / "report"
    with pytest.raises(UserError, match=r"lacks the image vectors of .*dragoman features .* --name clip"):
        evaluate(public, corpus, settings, out=out)
    extract_features(corpus, encoder=public, options=ExtractOptions(device="cpu"))
    report = evaluate(public, corpus, settings, out=out)
    model = load_encoder(public)
    images = model.encode_image([picture(number) for number in range(COUNT)])
    for lang in ("en", "pt"):
        texts = model.encode_text([row["text"] for row in rows if row["lang"] == lang])
        scores = texts @ images.T
        rank = (scores > scores.diagonal()[:, None] + 1e-6).sum(1) + 1
        found = report["results"][lang]["direct"]["text_to_image"]
        assert found["recall@1"] == pytest.approx(100 * np.mean(rank <= 1))
        assert found["recall@5"] == pytest.approx(100 * np.mean(rank <= 5))
    names = {"clip": "zero-shot clip", "pair": "zero-shot text with clip"}
    assert report["system"]["name"] == names[public.name]
