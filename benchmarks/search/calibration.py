"""Calibration, learnt on one split and measured on another.

    python benchmarks/search/calibration.py RUN CORPUS [--out benchmarks/search/calibration.md]

Learns on val as `dragoman calibrate` does, and asks human captions of test, whole and a few words of them. A
query with its image in the collection should be accepted, the same query without it should not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from dragoman.corpus.corpus import Corpus
from dragoman.index.items import features_of
from dragoman.models.text.spelling import unspaced, words
from dragoman.retrievers.base import Encoder
from dragoman.retrievers.loading import load_encoder, model_config
from dragoman.search.calibrate import (
    BACKGROUND,
    FALSE_ACCEPTS,
    QUERIES,
    Asked,
    ask,
    captions_of,
    growth_of,
    images_of,
    learn,
    seen_by,
    unlike,
)
from dragoman.search.calibration import Judgement, evidence, odds_of, relevance

LENGTHS = (1, 2, 3)
SHORT = 400
"""Short queries of a length and language."""
COMMON = 0.4
"""Words that more captioned images have say nothing."""
SIZES = (100, 300, 1000, 3000)
BINS = 10


def asked_of(
    encoder: Encoder, corpus: Corpus, split: str, background: np.ndarray | None
) -> tuple[dict[str, Asked], np.ndarray]:
    """Queries of a split by language, and the background that they were measured against."""
    images, vectors = images_of(*seen_by(corpus, encoder.config, split), split)
    image_IJ = encoder.encode_features(vectors)
    if background is None:
        background = image_IJ[:: max(len(images) // BACKGROUND, 1)][:BACKGROUND]
    captions = captions_of(corpus, images, (), str(encoder.config["source"]))
    found = {}
    for lang, (texts, own) in captions.items():
        found[lang] = ask(encoder.encode_text(texts), own, image_IJ, background, unlike(vectors))
    return found, background


def rates(one: Asked, judgement: Judgement) -> tuple[float, float, float]:
    """False accepts, true accepts, and the calibration error of all hits, with and without the image."""
    weights = judgement.weights
    false = float((relevance(one.absent[:, 0], weights) >= judgement.threshold).mean())
    true = float((relevance(one.present[:, 0], weights) >= judgement.threshold).mean())
    estimate = relevance(np.concatenate([one.present, one.absent]).reshape(-1, 3), weights)
    right = np.concatenate([one.right, np.zeros_like(one.right)]).ravel()
    return false, true, calibration_error(estimate, right)


def calibration_error(estimate: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of estimate and share of right hits, over bins of equally many hits."""
    order = np.argsort(estimate, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    gaps = [abs(estimate[part].mean() - right[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def by_cosine(val: Mapping[str, Asked]) -> Judgement:
    """Judge by a threshold on the cosine alone: the same for all languages."""
    best = np.concatenate([one.absent[:, 0, 1] for one in val.values()])
    cut = float(np.quantile(best, 1 - FALSE_ACCEPTS))
    return Judgement(weights=(-cut, 1.0, 0.0), threshold=0.5, queries=len(best))


def by_size(
    encoder: Encoder, corpus: Corpus, shared: Judgement, background: np.ndarray, growth: float
) -> Iterator[tuple[int, float, float]]:
    """False accepts among ever more images of train that look least like the query's own, in the source
    language: with the same threshold, and with one that grows."""
    features = features_of(corpus, encoder.config)
    assert features is not None
    images, own_vectors = images_of(*seen_by(corpus, encoder.config, "test"), "test")
    source = str(encoder.config["source"])
    texts, own = captions_of(corpus, images, (), source)[source]
    ids = corpus.split("train")["item_id"].to_pylist()
    vectors = np.asarray(features.whole(features.rows(ids)), np.float32)
    centred, mine = (one - vectors.mean(0) for one in (vectors, own_vectors.astype(np.float32)))
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    like = mine[own] @ centred.T
    unlike_QI = like < np.median(like, axis=1, keepdims=True)
    scores = encoder.encode_text(texts) @ encoder.encode_features(vectors).T
    seen_background = encoder.encode_text(texts) @ background.T
    draw = np.random.default_rng(1).permutation(len(ids))
    for size in (size for size in SIZES if 2 * size <= len(ids)):
        chosen = draw[: 2 * size]
        best = np.where(unlike_QI[:, chosen], scores[:, chosen], -1).max(axis=1)
        seen = np.concatenate([evidence(best[[q]], seen_background[q]) for q in range(len(best))])
        odds = seen @ np.asarray(shared.weights)
        same = odds >= odds_of(shared.threshold)
        grown = odds >= odds_of(shared.threshold) + growth * np.log(size / (len(images) / 2))
        yield size, float(same.mean()), float(grown.mean())


def by_length(
    encoder: Encoder, corpus: Corpus, judgement: Judgement, background: np.ndarray, lang: str
) -> Iterator[tuple[int, float, float, float]]:
    """Of queries of few words: whether the best image has a caption with all of them, true accepts, and false
    ones among images without such a caption that look least like the one they were taken from."""
    images, vectors = images_of(*seen_by(corpus, encoder.config, "test"), "test")
    texts, own = captions_of(corpus, images, (lang,), lang)[lang]
    image_IJ, unlike_II = encoder.encode_features(vectors), unlike(vectors)
    said: dict[str, list[set[str]]] = {item_id: [] for item_id in images}
    captions = corpus.select(lang=lang, role=("human", "mt"))
    for item_id, text in zip(captions.item_ids, captions.texts, strict=True):
        if item_id in said:
            said[item_id].append({word.lower() for word in words(text)})
    draw = np.random.default_rng(1)
    for length in LENGTHS:
        found: list[tuple[bool, bool, bool]] = []
        while len(found) < SHORT:
            row = int(draw.integers(len(texts)))
            spelled = words(texts[row])
            start = int(draw.integers(max(1, len(spelled) - length + 1)))
            span = spelled[start : start + length]
            wanted = {word.lower() for word in span}
            has_I = np.array([any(wanted <= caption for caption in captions) for captions in said.values()])
            if len(span) < length or has_I.mean() > COMMON:
                continue
            query = encoder.encode_text(["".join(span) if unspaced(span[0]) else " ".join(span)])[0]
            score_I, seen = image_IJ @ query, background @ query
            lacks_I = unlike_II[own[row]] & ~has_I
            best = evidence(np.array([score_I.max(), score_I[lacks_I].max()]), seen)
            there, away = relevance(best, judgement.weights) >= judgement.threshold
            found.append((bool(has_I[score_I.argmax()]), bool(there), bool(away)))
        right, there, away = np.mean(found, axis=0)
        yield length, float(right), float(there), float(away)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    corpus, encoder = Corpus.open(options.corpus), load_encoder(options.run)
    val, background = asked_of(encoder, corpus, "val", None)
    test, _ = asked_of(encoder, corpus, "test", background)
    shared, own = learn(val, FALSE_ACCEPTS)
    cosine = by_cosine(val)
    trained = model_config(options.run)["trained"]
    languages = [trained["source"], *trained["targets"]]
    lines = [
        "# Calibration",
        "",
        f"Learnt on val, measured on test, at most {QUERIES} captions a language; wanted false accepts "
        f"{FALSE_ACCEPTS:.0%}.",
        f"The model: recipe `{trained['recipe']}`, trained on {', '.join(languages)}.",
        "FA: queries that are told to have a good match where nothing answers (the half of the images that",
        "look least like their own). TA: queries with their image that are told so. ECE: calibration error",
        "of the relevance of the ten best hits.",
        "",
        "    python benchmarks/search/calibration.py RUN CORPUS",
        "",
        "| language | one cosine for all: FA, TA | shared weights and threshold: FA, TA, ECE "
        "| of the language: FA, TA, ECE |",
        "|---|---|---|---|",
    ]
    spread: dict[str, list[float]] = {"cosine": [], "shared": [], "own": []}
    for lang, one in test.items():
        (cf, ct, _), (sf, st, se), (of, ot, oe) = (
            rates(one, judgement) for judgement in (cosine, shared, own.get(lang, shared))
        )
        for name, value in zip(spread, (cf, sf, of), strict=True):
            spread[name].append(value)
        mark = "" if lang in languages else " (not trained)"
        cells = (f"{cf:.1%}, {ct:.1%}", f"{sf:.1%}, {st:.1%}, {se:.4f}", f"{of:.1%}, {ot:.1%}, {oe:.4f}")
        lines.append(f"| {lang}{mark} | {' | '.join(cells)} |")
    said = ", ".join(f"{name} {min(values):.1%} to {max(values):.1%}" for name, values in spread.items())
    lines += ["", f"False accepts over the languages: {said}.", ""]
    lines += ["## Size of the collection", ""]
    lines += ["Queries in the source language without an answer, among images of train that look unlike.", ""]
    lines += [
        "| images | same threshold: FA | threshold that grows (`Calibration.growth`): FA |",
        "|---|---|---|",
    ]
    for size, same, grown in by_size(
        encoder, corpus, shared, background, growth_of(val, shared.weights, FALSE_ACCEPTS)
    ):
        lines.append(f"| {size:,} | {same:.1%} | {grown:.1%} |")
    lines += ["", "## Short queries", ""]
    lines += [
        f"{SHORT} queries of so many words in a row, drawn from captions by people. Right: the best image"
    ]
    lines += ["has a caption with all of the words. FA: among unlike images without such a caption.", ""]
    lines += ["| language | words | right | TA | FA |", "|---|---|---|---|---|"]
    for lang in (lang for lang in test if lang in languages):
        for length, right, there, away in by_length(encoder, corpus, own.get(lang, shared), background, lang):
            lines.append(f"| {lang} | {length} | {right:.1%} | {there:.1%} | {away:.1%} |")
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
