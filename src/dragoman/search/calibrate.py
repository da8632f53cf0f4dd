"""Learning what a score is worth: queries whose answer is known, and the same queries without their answer.

For every caption of a split, the best hits are looked up twice: among all images of the split, where its own
image is the answer, and among the half of the images that look least like it, where nothing is. To take away
its own image alone would leave many that answer as well. Hits other than the own image count as wrong, so
relevance is rather too low than too high.

Q queries, I images, K best hits, J width of the vectors, F kinds of evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import MissingExtraError, UserError
from dragoman.folders import require_writable, sole_writer
from dragoman.index.items import features_of
from dragoman.languages import comparable
from dragoman.models.identity import CALIBRATION, model_in
from dragoman.retrievers.loading import load_encoder, model_config, model_fingerprint
from dragoman.retrievers.postprocessing import Corrections
from dragoman.search.calibration import NONE, Calibration, Judgement, evidence, odds_of, relevance

log = logging.getLogger(__name__)

Floats = NDArray[np.floating]

HITS = 10
"""Best hits of a query that are learnt from."""
FALSE_ACCEPTS = 0.1
"""Share of queries without an answer that may be told that there is one."""
BACKGROUND = 256
"""Images at most that tell how close a query is to everything."""
PART = 8
"""Shares of the images, to see how the best score grows with their number."""
IMAGES, QUERIES = 5000, 1000
"""At most, of the split and of each language."""
FEWEST = 20
"""Images of a split, and captions of a language, to learn from."""
SEARCHED = ("human", "mt")
"""Roles of captions that stand for what people ask; a way back is no one's question."""
SPREAD = 0.5
"""Standard deviation by which the weights of languages are expected to differ from the shared ones."""
SHARED_QUERIES = 50
"""So many queries the shared threshold counts as, beside a language's own."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Queries of one language with their best hits."""

    present: Floats
    """[Q, K, F] evidence of the best hits among all images."""
    right: NDArray[np.bool_]
    """[Q, K] whether that hit is the image of the caption."""
    absent: Floats
    """[Q, K, F] evidence of the best hits where nothing answers."""
    fewer: Floats
    """[Q, 1, F] of the best hit among every `PART`-th image of those."""


def calibrate(
    run: str | Path,
    corpus: str | Path,
    *,
    split: str = "val",
    languages: Sequence[str] = (),
    false_accepts: float = FALSE_ACCEPTS,
    centre: bool = False,
    align: bool = False,
    csls: float = 0.0,
    device: str = "auto",
) -> Calibration:
    """Learn from the captions of a split what the scores of a run are worth; writes `model/calibration.json`.

    `languages` defaults to all that have captions there: human ones, or machine captions where there are
    none. With `centre`, searches move the mean of the language of a text to that of the source language; with
    `align` they map its sentence vectors to those of the source language; with `csls` they take so large a
    part of the nearness of images to captions from their scores. All learn from the split train. Raises
    UserError where the corpus lacks the feature set of the model, or captions, and where there are no
    sentence vectors to map.
    """
    if not 0 < false_accepts < 1:
        raise UserError(f"false accepts must lie between 0 and 1, got {false_accepts}")
    if not 0 <= csls <= 1:
        raise UserError(f"csls must lie in [0, 1], got {csls}")
    folder, opened = Path(run), Corpus.open(corpus)
    home, trained = model_in(folder), model_config(folder)["trained"]
    require_writable(home)  # told before the work
    seen, features = seen_by(opened, trained, split)
    images, vectors_ID = images_of(seen, features, split)
    # Under the form in which queries name their language.
    wanted, source = tuple(map(comparable, languages)), comparable(str(trained.get("source", "")))
    captions = captions_of(seen, images, wanted, source)
    encoder = load_encoder(folder, device)
    image_IJ = encoder.encode_features(vectors_ID)
    step = max(len(images) // BACKGROUND, 1)
    # Rounded as it will be stored: what is learnt here holds for the background that searches will read.
    background_BJ = image_IJ[::step][:BACKGROUND].astype(np.float16).astype(np.float32)
    unlike_II = unlike(vectors_ID)
    made = NONE
    if centre or align or csls:
        written = opened.select(role="mt", split="train").languages
        learned = Corrections.learned(encoder, opened, features, source, written, align)
        made = learned.at_search(centre or align, csls)
    hub_I, hub_B = made.hub(image_IJ), made.hub(background_BJ)
    asked = {}
    for lang, (texts, own_Q) in captions.items():
        text_QJ = made.encoded(encoder, texts, [lang] * len(texts))
        asked[lang] = ask(text_QJ @ image_IJ.T - hub_I, own_Q, text_QJ @ background_BJ.T - hub_B, unlike_II)
    shared, judgements = learn(asked, false_accepts)
    calibration = Calibration(
        fingerprint=model_fingerprint(folder),
        shared=shared,
        languages=judgements,
        background=background_BJ,
        collection=len(images) // 2,
        growth=growth_of(asked, shared.weights, false_accepts),
        false_accepts=false_accepts,
        without_vectors=seen.without_vectors,
        corrections=made,
    )
    with sole_writer(home):
        calibration.write(home / CALIBRATION)
    return calibration


def calibrate_once(run: str | Path, corpus: str | Path, device: str = "auto") -> bool:
    """Calibrate a run that is not yet, where the corpus has what it takes; returns whether it is then.

    An export is as calibrated as its index, and is left as it is.
    """
    folder = Path(run)
    stored = model_in(folder) / CALIBRATION
    if stored.is_file() and Calibration.read(stored).fingerprint == model_fingerprint(folder):
        return True
    if "fingerprint" in model_config(folder):
        return False
    try:
        calibrate(run, corpus, device=device)
    except UserError as error:
        log.info("Scores stay cosines: %s", error)
        return False
    return True


def ask(
    score_QI: Floats, own_Q: NDArray[np.int64], background_QB: Floats, unlike_II: NDArray[np.bool_]
) -> Asked:
    """Find the best hits of queries among all images, and among those unlike their own (rows `own_Q`)."""
    score_QI = np.asarray(score_QI, np.float64)

    def seen(score_QI: Floats, hits: int = HITS) -> tuple[Floats, NDArray[np.int64]]:
        best_QK = np.argsort(-score_QI, axis=1, kind="stable")[:, :hits]
        found = [
            evidence(score_I[best_K], background_B)
            for score_I, best_K, background_B in zip(score_QI, best_QK, background_QB, strict=True)
        ]
        return np.stack(found), best_QK

    present, best_QK = seen(score_QI)
    others_QI = np.where(unlike_II[own_Q], score_QI, -1.0)
    absent, _ = seen(others_QI)
    fewer, _ = seen(others_QI[:, ::PART], 1)
    return Asked(present=present, right=best_QK == own_Q[:, None], absent=absent, fewer=fewer)


def unlike(vectors_ID: Floats) -> NDArray[np.bool_]:
    """Mark for each image the half of the others that look least like it, [I, I], by frozen vision vectors.

    A video, [F, D] with NaN where it has no frame, looks like the mean of its frames.
    """
    if vectors_ID.ndim == 3:
        vectors_ID = np.nanmean(np.asarray(vectors_ID, np.float32), axis=1)
    centred = np.asarray(vectors_ID, np.float32) - np.asarray(vectors_ID, np.float32).mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    like_II = centred @ centred.T
    return np.asarray(like_II < np.median(like_II, axis=1, keepdims=True))


def learn(asked: Mapping[str, Asked], false_accepts: float) -> tuple[Judgement, dict[str, Judgement]]:
    """Learn the shared judgement, and that of every language."""
    shared_F, own = fit(asked)
    best = {lang: best_without(one, own[lang]) for lang, one in asked.items()}
    shared_best = np.concatenate([best_without(one, shared_F) for one in asked.values()])
    shared_odds = odds_of(float(np.quantile(shared_best, 1 - false_accepts)))
    judgements = {}
    for lang, one in asked.items():
        count = len(one.right)
        odds = odds_of(float(np.quantile(best[lang], 1 - false_accepts)))
        mixed = (count * odds + SHARED_QUERIES * shared_odds) / (count + SHARED_QUERIES)
        judgements[lang] = _judgement(own[lang], mixed, count)
    total = sum(len(one.right) for one in asked.values())
    return _judgement(shared_F, shared_odds, total), judgements


def growth_of(asked: Mapping[str, Asked], weights: Sequence[float], false_accepts: float) -> float:
    """Measure how the threshold rises, in log odds, as images that answer nothing become e times as many."""

    def threshold(best: Iterable[Floats]) -> float:
        odds_Q = np.concatenate([seen_QF @ np.asarray(weights) for seen_QF in best])
        return float(np.quantile(odds_Q, 1 - false_accepts))

    whole = threshold(one.absent[:, 0] for one in asked.values())
    part = threshold(one.fewer[:, 0] for one in asked.values())
    return (whole - part) / float(np.log(PART))


def fit(asked: Mapping[str, Asked]) -> tuple[Floats, dict[str, Floats]]:
    """Fit weights [F] of all languages together, and of each: shared ones and a deviation, which costs.

    A query counts 1, half of it with its image and half without, as if half of all queries had an answer.
    """
    names = list(asked)
    rows = [
        np.concatenate([one.present, one.absent]).reshape(-1, one.present.shape[-1]) for one in asked.values()
    ]
    label = [np.concatenate([one.right, np.zeros_like(one.right)]).ravel() for one in asked.values()]
    weight = [1 / (2 * one.right.shape[1]) for one in asked.values()]
    width = rows[0].shape[1]

    def cost(flat: Floats) -> tuple[float, Floats]:
        shared_F, own_LF = flat[:width], flat[width:].reshape(-1, width)
        total = float((own_LF**2).sum()) / (2 * SPREAD**2)
        slope = np.zeros_like(flat)
        slope[width:] = (own_LF / SPREAD**2).ravel()
        for at, (seen, right, each) in enumerate(zip(rows, label, weight, strict=True)):
            odds = seen @ (shared_F + own_LF[at])
            total += each * float((np.logaddexp(0, odds) - right * odds).sum())
            change_F = each * (seen.T @ (relevance(odds[:, None], [1.0]) - right))
            slope[:width] += change_F
            slope[width * (at + 1) : width * (at + 2)] += change_F
        return total, slope

    try:
        # Serving has no need of SciPy, which is a quarter of an installation without PyTorch.
        from scipy.optimize import minimize
    except ImportError:
        raise MissingExtraError("scipy", "train", "Calibrating scores") from None
    start = np.zeros(width * (len(names) + 1))
    found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    shared_F = found[:width]
    return shared_F, {
        lang: shared_F + found[width * (at + 1) : width * (at + 2)] for at, lang in enumerate(names)
    }


def best_without(one: Asked, weights_F: Floats) -> Floats:
    """Estimate the relevance [Q] of the best hit where nothing answers."""
    return relevance(one.absent[:, 0], list(weights_F))


def _judgement(weights_F: Floats, odds: float, queries: int) -> Judgement:
    first, second, third = map(float, weights_F)
    return Judgement(
        weights=(first, second, third), threshold=float(1 / (1 + np.exp(-odds))), queries=queries
    )


def seen_by(corpus: Corpus, trained: Mapping[str, Any], split: str) -> tuple[Corpus, FeatureSet]:
    """Return the corpus without what the model cannot see of a split, and its feature set of the corpus.

    Raises UserError where there is no such set, or it lacks more than half of the split.
    """
    features = features_of(corpus, trained)
    if features is None:
        raise UserError(
            f"{corpus.folder} lacks the feature set {trained.get('features')!r} that the model reads. "
            f"Make it: dragoman features {corpus.folder} --encoder FOLDER --name {trained.get('features')}"
        )
    return corpus.with_vectors(features, split), features


def images_of(corpus: Corpus, features: FeatureSet, split: str) -> tuple[list[str], Floats]:
    """Read ids and frozen vectors of the images of a split, evenly spaced where there are too many."""
    ids = corpus.split(split)["item_id"].to_pylist()
    # Rounded up, so that no more than IMAGES are left.
    ids = ids[:: -(-len(ids) // IMAGES)] if ids else []
    if len(ids) < FEWEST:
        raise UserError(
            f"{corpus.folder} has {len(ids)} images with vectors in its split {split!r}; at least {FEWEST} "
            "are needed to tell good scores from bad ones. Name another split: --split test"
        )
    return ids, np.asarray(features.whole(features.rows(ids)))


def captions_of(
    corpus: Corpus, images: Sequence[str], languages: Sequence[str], source: str
) -> dict[str, tuple[list[str], NDArray[np.int64]]]:
    """Choose the texts of each language, and the rows of their images."""
    row_of = {item_id: row for row, item_id in enumerate(images)}
    found: dict[str, tuple[list[str], NDArray[np.int64]]] = {}
    for lang in languages or corpus.select(role=SEARCHED).languages:
        rows = corpus.select(role=SEARCHED, lang=lang).table.select(["item_id", "role", "text"]).to_pylist()
        rows = [row for row in rows if row["item_id"] in row_of]
        human = [row for row in rows if row["role"] == "human"]
        # Of the source language, what machines wrote is the way back from a person's caption in another.
        chosen = human if len(human) >= FEWEST or lang == source else rows
        chosen = chosen[:: -(-len(chosen) // QUERIES)] if chosen else []
        if len(chosen) >= FEWEST:
            own_Q = np.array([row_of[row["item_id"]] for row in chosen], np.int64)
            found[lang] = ([row["text"] for row in chosen], own_Q)
        elif languages:
            raise UserError(f"There are {len(chosen)} captions in {lang!r}; at least {FEWEST} are needed.")
    if not found:
        raise UserError(f"No language of {corpus.folder} has {FEWEST} captions of these images.")
    return found
