"""The corpora of the noise curve: one small corpus, and a damaged and scored copy of it for every rate."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dragoman.corpus.corpus import Corpus

FEATURES = "mobilenet_v2"
BACK = "apertium:pt-es|spa-eng"
ENGINES = ("apertium:eng-spa|es-pt", BACK, "apertium:eng-spa", "apertium:en-gl")
"""Portuguese and the way back; Spanish and Galician only lend their captions as a wrong language."""
TRAIN_ITEMS = 2_000
RATES = (0.0, 0.1, 0.2, 0.4, 0.6)
NOISE_SEED = 1


def prepare(data: Path, out: Path) -> None:
    """A corpus for every rate."""
    whole = out / "whole"
    if not (whole / "manifest.json").is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_captions(data, out / "captions.jsonl")
        features = ["--features", data / "features" / f"{FEATURES}.npy", "--feature-ids"]
        files = [out / "captions.jsonl", *features, data / "features" / "ids.txt"]
        call("corpus", "jsonl", *files, "--out", whole)
    for rate in RATES:
        corpus = corpus_of(out, rate)
        if not (corpus / "manifest.json").is_file():
            settings = ["--lang", "pt", "--rate", rate, "--seed", NOISE_SEED, "--back", BACK]
            call("noise", whole, *settings, "--out", corpus)
        leave_out_donors(corpus)


def write_captions(data: Path, chosen: Path) -> None:
    """The captions of the training items with the lowest hashes, and those of all of val and test."""
    with gzip.open(data / "captions.jsonl.gz", "rb") as lines:
        rows = [(line, json.loads(line)) for line in lines]
    items = {row["item_id"] for _, row in rows if row["split"] == "train"}
    kept = set(sorted(items, key=lambda item: hashlib.sha256(item.encode()).hexdigest())[:TRAIN_ITEMS])
    with chosen.open("wb") as file:
        for line, row in rows:
            if row["split"] != "train" or row["item_id"] in kept:
                file.writelines([line] * wanted(row))


def wanted(caption: dict[str, str]) -> bool:
    """Whether a caption takes part."""
    if caption["role"] == "human":
        return caption["lang"] == "en" or (caption["lang"] == "pt" and caption["split"] != "train")
    if caption["lang"] == "en":
        return caption["role"] == "back" and caption["engine"] == BACK
    return caption["engine"] in ENGINES


def leave_out_donors(folder: Path) -> None:
    """Without es and gl, which served as wrong languages only."""
    corpus = Corpus.open(folder)
    languages = corpus.captions["lang"]
    if set(languages.unique().to_pylist()) != {"en", "pt"}:
        corpus.replace_captions(corpus.captions.filter(pc.is_in(languages, pa.array(["en", "pt"]))))


def corpus_of(out: Path, rate: float) -> Path:
    """The folder of the corpus with so much noise."""
    return out / f"noise-{rate:g}"


@cache
def fingerprint(corpus: Path) -> str:
    """Of the trust scores."""
    scores = Corpus.open(corpus).captions.select(["caption_id", "trust"]).to_pylist()
    return hashlib.sha256(repr(scores).encode()).hexdigest()[:8]


def call(*arguments: object) -> None:
    """Run the dragoman command line; its complaints go to our stderr."""
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", *map(str, arguments)]
    print(" ".join(map(str, arguments)), file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
