"""Calibration, learnt on one split and measured on another, by language and length of the query.

    python benchmarks/search/calibration.py CORPUS RUN... [--out benchmarks/search/calibration.md]

Learns on val as `dragoman calibrate` does, and asks captions of test, words in a row of them, and things that
no picture of test shows (`absent.tsv`). A query that has an answer in the collection should be told a good
match, one of which nothing there is true should not.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dragoman.corpus.corpus import Corpus
from dragoman.index.corpus_items import features_of
from dragoman.retrievers.base import Encoder
from dragoman.retrievers.loading import load_encoder, model_config
from dragoman.search.calibrate import (
    BACKGROUND,
    FALSE_ACCEPTS,
    Asked,
    ask,
    growth_of,
    images_of,
    learn,
    seen_by,
    unlike,
    vocabulary_of,
)
from dragoman.search.calibration import (
    KNOWN,
    LENGTHS,
    Judgement,
    evidence,
    length_class,
    odds_of,
    relevance,
    size_of,
)
from dragoman.search.trial_queries import SEARCHED, Queries, queries_of
from dragoman.search.vocabulary import Vocabulary

ABSENT = Path(__file__).with_name("absent.tsv")
TEMPLATES = {
    "en": (
        "{} and {}",
        "{}, {} and {} together",
        "an old picture that shows {}, {} and {} next to each other",
    ),
    "pt": ("{} e {}", "{}, {} e {} juntos", "uma fotografia antiga que mostra {}, {} e {} lado a lado"),
    "es": (
        "{} y {}",
        "{}, {} y {} juntos",
        "una fotografía antigua que muestra {}, {} y {} uno al lado del otro",
    ),
    "zh": ("{}和{}", "{}、{}和{}在一起", "一张旧照片，上面并排显示着{}、{}和{}，旁边什么也没有"),
    "ar": ("{} و{}", "{} و{} و{} معا", "صورة قديمة يظهر فيها {} و{} و{} جنبا إلى جنب"),
    "de": ("{} und {}", "{}, {} und {} zusammen", "ein altes Bild, das {}, {} und {} nebeneinander zeigt"),
    "cs": ("{} a {}", "{}, {} a {} společně", "stará fotografie, na které je {}, {} a {} vedle sebe"),
}
"""Queries of few words, a phrase and a sentence, of things that are coordinated and need no cases."""
NAMES = ("1", f"2-{LENGTHS[1]}", f"{LENGTHS[1] + 1}-{LENGTHS[2]}", "more")
ENOUGH = 50
"""Queries of a length and language that a share is told of."""
SIZES = (100, 300, 1000, 3000)
BINS = 10


ABOUT = """\
# Calibration

Learnt on val, measured on test; wanted false accepts at most {allowed:.0%}. The corpus is Flickr8k in many
languages; to learn from, each picture has two captions in English, and Apertium's translations of them into
Portuguese.

FA: queries that are told to have a good match where nothing answers: among the half of the images that look
least like those that answer, and of which no caption has the words. TA: queries with an answer in the
collection that are told so; and of those whose best hit is right, as one of its captions has all the words,
or it is the image of the whole caption. Known: queries of whose words {known:.0%} were taught or measured;
others are told that nothing is known, and count as not accepted. Captions alone: what whole captions teach,
with one threshold and without a list of words. ECE: calibration error of the relevance of the ten best hits.
Lengths of fewer than {enough} queries are left out.

    python benchmarks/search/calibration.py CORPUS RUN..."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """What a model says to the trial queries of a split."""

    images: list[str]
    vectors: np.ndarray
    seen: np.ndarray
    """[I, J]"""
    background: np.ndarray
    queries: Mapping[str, Queries]
    asked: Mapping[str, Asked]


def split_of(
    encoder: Encoder, corpus: Corpus, split: str, words: Vocabulary, background: np.ndarray | None = None
) -> Split:
    """Ask the queries of a split, as they score against a background of its own or of another."""
    images, vectors = images_of(*seen_by(corpus, encoder.config, split), split)
    image_IJ = encoder.encode_features(vectors)
    if background is None:
        background = image_IJ[:: max(len(images) // BACKGROUND, 1)][:BACKGROUND]
    queries = queries_of(corpus, images, (), str(encoder.config["source"]))
    asked = {}
    for lang, one in queries.items():
        text_QJ = encoder.encode_text(one.texts)
        scores = text_QJ @ image_IJ.T, text_QJ @ background.T
        asked[lang] = ask(one, *scores, unlike(vectors, one.right), [words.share(text) for text in one.texts])
    return Split(
        images=images,
        vectors=vectors,
        seen=image_IJ,
        background=background,
        queries=queries,
        asked=asked,
    )


def header(heads: tuple[str, ...]) -> Iterator[str]:
    """Lines above those of a table."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"


def captions_alone(one: Asked) -> Asked:
    """What was learnt from before: whole captions, all of one length, whose words are all known."""
    kept = slice(one.captions)
    plain = np.array([1, 1, 1, 0, 0, 0, 0])
    return replace(
        one,
        present=one.present[kept] * plain,
        right=one.right[kept],
        absent=one.absent[kept] * plain,
        fewer=one.fewer[kept] * plain,
        length=np.zeros_like(one.length[kept]),
        judged=np.ones_like(one.judged[kept]),
    )


def shares(
    one: Asked, judgement: Judgement, length: int, known: np.ndarray
) -> tuple[float, float, float, float]:
    """False accepts, of all queries of a length and of the known ones; true accepts, of all and of those
    whose best hit is right. One that is not known is told nothing, so that it is never accepted."""
    of = one.length == length
    known = known[of]
    threshold, weights = judgement.thresholds[length], judgement.weights
    there, away = (
        (relevance(seen[of, 0], weights) >= threshold) & known for seen in (one.present, one.absent)
    )
    right = one.right[of, 0]
    found = (away, away[known], there, there[right])
    return tuple(float(some.mean()) if len(some) else np.nan for some in found)


def calibration_error(one: Asked, judgement: Judgement) -> float:
    """Mean distance of estimate and share of right hits, over bins of equally many hits."""
    hits = np.concatenate([one.present, one.absent]).reshape(-1, one.present.shape[-1])
    estimate = relevance(hits, judgement.weights)
    right = np.concatenate([one.right, np.zeros_like(one.right)]).ravel()
    parts = [part for part in np.array_split(np.argsort(estimate, kind="stable"), BINS) if len(part)]
    return float(
        sum(abs(estimate[part].mean() - right[part].mean()) * len(part) for part in parts) / len(right)
    )


def by_length(val: Split, test: Split) -> Iterator[str]:
    """Lines of shares by language and length."""
    _, before = learn({lang: captions_alone(one) for lang, one in val.asked.items()}, FALSE_ACCEPTS)
    _, now = learn(val.asked, FALSE_ACCEPTS)
    heads = (
        "language",
        "words",
        "queries",
        "known",
        "captions alone: FA, TA",
        "now: FA, TA",
        "TA, right",
        "ECE",
    )
    yield from header(heads)
    for lang, one in sorted(test.asked.items()):
        if lang not in now:
            continue
        error = calibration_error(one, now[lang])
        for length, name in enumerate(NAMES):
            of = one.length == length
            if of.sum() < ENOUGH:
                continue
            old = shares(one, before[lang], length, np.ones_like(one.judged))
            new = shares(one, now[lang], length, one.judged)
            surely = "" if np.isnan(new[3]) else f"{new[3]:.0%}"
            cells = (
                f"{one.judged[of].mean():.0%}",
                f"{old[0]:.1%}, {old[2]:.1%}",
                f"{new[0]:.1%}, {new[2]:.1%}",
                f"{new[1]:.1%}",
                surely,
            )
            yield f"| {lang} | {name} | {of.sum()} | {' | '.join(cells)} | {error:.4f} |"


def absent_queries(lang: str, corpus: Corpus) -> list[str]:
    """Things that no caption of test names, alone and together."""
    said = {
        one: " ".join(corpus.select(role=SEARCHED, lang=one, split="test").texts).lower()
        for one in ("en", lang)
    }
    with ABSENT.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    things = [
        row[lang]
        for row in rows
        if not any(row[one].lower().split()[-1] in text for one, text in said.items())
    ]
    found = list(things)
    for template in TEMPLATES[lang]:
        found += [template.format(*np.roll(things, -at)[[0, 7, 13]]) for at in range(len(things))]
    return found


def of_absent(encoder: Encoder, corpus: Corpus, val: Split, test: Split, words: Vocabulary) -> Iterator[str]:
    """Lines of false accepts of things that no picture of test shows, among all pictures of test."""
    alone = {lang: captions_alone(one) for lang, one in val.asked.items()}
    larger = np.log(2 * len(test.images) / len(val.images))
    ways = []
    for asked in (alone, val.asked):
        shared, judgements = learn(asked, FALSE_ACCEPTS)
        ways.append((judgements, growth_of(asked, shared, FALSE_ACCEPTS) * larger))
    yield from header(("language", "words", "queries", "known", "captions alone: FA", "now: FA"))
    for lang in (lang for lang in TEMPLATES if lang in val.asked):
        texts = absent_queries(lang, corpus)
        found: dict[int, list[tuple[bool, bool, bool]]] = {}
        for text, query_J in zip(texts, encoder.encode_text(texts), strict=True):
            size, share = size_of(text), words.share(text)
            best, background = np.array([(test.seen @ query_J).max()]), val.background @ query_J
            seen = [evidence(best, background, size, share) for share in (1.0, share)]
            seen[0][:, 3:] = 0
            accepted = [
                odds_of(relevance(one, judgements[lang].weights)[0])
                >= odds_of(judgements[lang].threshold(size)) + growth
                for one, (judgements, growth) in zip(seen, ways, strict=True)
            ]
            known = share >= KNOWN
            found.setdefault(length_class(size), []).append((known, accepted[0], accepted[1] and known))
        for length, told in sorted(found.items()):
            known, before, now = np.mean(told, axis=0)
            yield f"| {lang} | {NAMES[length]} | {len(told)} | {known:.0%} | {before:.1%} | {now:.1%} |"


def by_size(encoder: Encoder, corpus: Corpus, val: Split, test: Split) -> Iterator[str]:
    """Lines of false accepts among ever more images of train that look least like the query's own, of whole
    captions in the source language."""
    features = features_of(corpus, encoder.config)
    assert features is not None
    source = str(encoder.config["source"])
    shared, now = learn(val.asked, FALSE_ACCEPTS)
    growth, judgement = growth_of(val.asked, shared, FALSE_ACCEPTS), now[source]
    one = test.queries[source]
    texts, own, lengths = one.texts[: one.captions], one.own[: one.captions], test.asked[source].length
    ids = corpus.split("train")["item_id"].to_pylist()
    vectors = np.asarray(features.whole(features.rows(ids)), np.float32)
    centred, mine = (each - vectors.mean(0) for each in (vectors, test.vectors.astype(np.float32)))
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    like = mine[own] @ centred.T
    unlike_QI = like < np.median(like, axis=1, keepdims=True)
    text_QJ = encoder.encode_text(texts)
    scores, background = text_QJ @ encoder.encode_features(vectors).T, text_QJ @ val.background.T
    needed = np.array([odds_of(judgement.thresholds[length]) for length in lengths[: one.captions]])
    yield from header(("images", "same threshold: FA", "threshold that grows (`Calibration.growth`): FA"))
    draw = np.random.default_rng(1).permutation(len(ids))
    for size in (size for size in SIZES if 2 * size <= len(ids)):
        chosen = draw[: 2 * size]
        best = np.where(unlike_QI[:, chosen], scores[:, chosen], -1).max(axis=1)
        seen = [evidence(best[[q]], background[q], size_of(text)) for q, text in enumerate(texts)]
        odds = np.concatenate(seen) @ np.asarray(judgement.weights)
        grown = odds >= needed + growth * np.log(size / (len(val.images) / 2))
        yield f"| {size:,} | {(odds >= needed).mean():.1%} | {grown.mean():.1%} |"


def measured(run: Path, corpus: Corpus) -> Iterator[str]:
    """Lines about one run."""
    encoder = load_encoder(run)
    encoder.look_up(corpus)
    trained = model_config(run)["trained"]
    words = vocabulary_of(corpus, "val")
    val = split_of(encoder, corpus, "val", words)
    test = split_of(encoder, corpus, "test", words, val.background)
    yield from (
        "",
        f"## Recipe `{trained['recipe']}`, trained on {', '.join([trained['source'], *trained['targets']])}",
    )
    yield from ("", *by_length(val, test))
    yield from ("", "Things that no picture shows:", "", *of_absent(encoder, corpus, val, test, words))
    yield from (
        "",
        "Captions in the source language without an answer, among images of train that look unlike:",
        "",
    )
    yield from by_size(encoder, corpus, val, test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="run")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    corpus = Corpus.open(options.corpus)
    lines = [ABOUT.format(allowed=FALSE_ACCEPTS, known=KNOWN, enough=ENOUGH)]
    for run in options.runs:
        lines += measured(run, corpus)
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
