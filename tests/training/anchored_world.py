"""The made-up corpus with a public dual encoder, that reads English alone, and a sentence encoder.

The sentence encoder `many` reads the words of three languages as meanings, in a space of its own. The text
side of the dual encoder, `toy_texts`, reads English into the space of the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Answer, post_server
from training_world import DE, EN, PT, WIDTH, write_world

from dragoman.corpus import Corpus
from dragoman.features.texts import extract_texts
from dragoman.retrievers.trained import Retriever

# The first draw of `training_world`: pictures are sums of these.
SEEN = np.random.default_rng(7).standard_normal((len(EN), WIDTH))
READ = np.random.default_rng(8).standard_normal((len(EN), WIDTH))
NUMBER = {word: number for words in (EN, PT, DE) for number, word in enumerate(words)}


def vector(model: str, text: str) -> np.ndarray:
    """What `clip` (English alone) or `many` says of a text."""
    words = [word for word in text.split() if word in (EN if model == "clip" else NUMBER)]
    basis = SEEN if model == "clip" else READ
    found: np.ndarray = basis[[NUMBER[word] for word in words]].sum(0)
    return found


def answer(request: dict[str, Any]) -> Answer:
    found = [vector(request["model"], text).tolist() for text in request["input"]]
    return 200, json.dumps({"data": [{"index": at, "embedding": one} for at, one in enumerate(found)]})


@contextmanager
def anchored_world(folder: Path, **settings: Any) -> Iterator[Path]:
    """The corpus in Portuguese and German, while both encoders can be asked."""
    with pytest.MonkeyPatch.context() as patch, post_server(answer) as (url, _):
        patch.setenv("OPENAI_BASE_URL", url)
        patch.setenv("no_proxy", "127.0.0.1")
        write_world(folder, ("pt", "de"), **settings)
        extract_texts(folder, encoder="openai:many")
        extract_texts(folder, encoder="openai:clip", name="toy_texts")
        yield folder


def english(text: str) -> str:
    """The words of a text in English."""
    return " ".join(EN[NUMBER[word]] for word in text.split())


def nearness(world: Path, run: Path, lang: str) -> float:
    """Mean cosine of human test captions to where the dual encoder puts their English source."""
    captions = Corpus.open(world).select(role="human", lang=lang, split="test")
    belongs = np.array([vector("clip", english(text)) for text in captions.texts])
    belongs /= np.linalg.norm(belongs, axis=1, keepdims=True)
    found: float = (Retriever.load(run).encode_text(captions.texts) * belongs).sum(1).mean()
    return found


def mean_rank(world: Path, run: Path, lang: str) -> float:
    """Mean rank of the own picture of human test captions among those of the split, the best being 0."""
    corpus = Corpus.open(world)
    asked = corpus.select(role="human", lang=lang, split="test")
    features, items = corpus.features("toy"), sorted(set(asked.item_ids))
    retriever = Retriever.load(run)
    images = retriever.encode_features(features.whole(features.rows(items)))
    scores = retriever.encode_text(asked.texts) @ images.T
    own = scores[np.arange(len(asked.item_ids)), [items.index(item) for item in asked.item_ids]]
    found: float = (scores > own[:, None]).sum(1).mean()
    return found
