"""The corpora of the noise curve: one small corpus, and a damaged and scored copy of it for every rate."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dragoman.corpus import Corpus
from dragoman.pipelines import experiment
from dragoman.trust import NoiseSettings, plant_noise

FEATURES = "mobilenet_v2"
BACK = "apertium:pt-es|spa-eng"
ENGINES = ("apertium:eng-spa|es-pt", BACK, "apertium:eng-spa", "apertium:en-gl")
"""Portuguese and the way back; Spanish and Galician only lend their captions as a wrong language."""
TRAIN_ITEMS = 2_000
RATES = (0.0, 0.1, 0.2, 0.4, 0.6)
NOISE_SEED = 1


def prepare(data: Path, out: Path) -> None:
    """A corpus for every rate."""
    whole = experiment.captions_corpus(
        data,
        out / "whole",
        lambda caption: (
            wanted(caption) and (caption["split"] != "train" or caption["item_id"] in lowest_hashes(data))
        ),
        features=FEATURES,
    )
    for rate in RATES:
        corpus = corpus_of(out, rate)
        if not (corpus / "manifest.json").is_file():
            config = NoiseSettings(rate=rate, seed=NOISE_SEED)
            plant_noise(whole, corpus, languages=("pt",), config=config, back=BACK)
        leave_out_donors(corpus)


@cache
def lowest_hashes(data: Path) -> set[str]:
    """The training items with the lowest hashes."""
    with gzip.open(data / "captions.jsonl.gz", "rb") as lines:
        captions = map(json.loads, lines)
        items = {caption["item_id"] for caption in captions if caption["split"] == "train"}
    return set(sorted(items, key=lambda item: hashlib.sha256(item.encode()).hexdigest())[:TRAIN_ITEMS])


def wanted(caption: Mapping[str, str]) -> bool:
    """True for English captions, their translations and the way back, and for people's Portuguese tests."""
    if caption["role"] == "human":
        return caption["lang"] == "en" or (caption["lang"] == "pt" and caption["split"] != "train")
    if caption["lang"] == "en":
        return caption["role"] == "back" and caption["engine"] == BACK
    return caption["engine"] in ENGINES


def leave_out_donors(folder: Path) -> None:
    """Remove es and gl, which served as wrong languages only."""
    corpus = Corpus.open(folder)
    languages = corpus.captions["lang"]
    if set(languages.unique().to_pylist()) != {"en", "pt"}:
        corpus.replace_captions(corpus.captions.filter(pc.is_in(languages, pa.array(["en", "pt"]))))


def corpus_of(out: Path, rate: float) -> Path:
    """The folder of the corpus with so much noise."""
    return out / f"noise-{rate:g}"


@cache
def fingerprint(corpus: Path) -> str:
    """Name the trust scores by a hash."""
    scores = Corpus.open(corpus).captions.select(["caption_id", "trust"]).to_pylist()
    return hashlib.sha256(repr(scores).encode()).hexdigest()[:8]
