"""Learning what a score is worth: queries whose answer is known, and the same queries without their answer.

For every trial query of a split, the best hits are looked up twice: among all images of the split, where the
answer is, and among the half of the images that look least like the answers, where nothing does. To take away
its own image alone would leave many that answer as well. Hits of which no caption says that they answer count
as wrong, so relevance is rather too low than too high.

Q queries, I images, K best hits, J width of the vectors, F kinds of evidence.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.arrow import pc
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import MissingExtraError, UserError
from dragoman.folders import require_writable, sole_writer
from dragoman.index.corpus_items import features_of
from dragoman.languages import comparable
from dragoman.models.identity import CALIBRATION, model_in
from dragoman.retrievers.base import Encoder, encode_in
from dragoman.retrievers.loading import load_encoder, model_config, model_fingerprint
from dragoman.retrievers.postprocessing import AtSearch, Corrections
from dragoman.search.bitext import Records
from dragoman.search.calibration import (
    FEW_CAPTIONS,
    KNOWN,
    LENGTHS,
    NONE,
    THROUGH,
    Calibration,
    Channel,
    Judgement,
    Scale,
    evidence,
    fused,
    length_class,
    relevance,
    size_of,
)
from dragoman.search.channels import Through, absolute, measure, open_engines
from dragoman.search.trial_queries import FEWEST, SEARCHED, Queries, queries_of
from dragoman.search.vocabulary import Vocabulary
from dragoman.translation.engine import Engine

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
IMAGES = 5000
"""At most, of the split."""
SPREAD = 0.5
"""Standard deviation by which the weights of languages are expected to differ from the shared ones."""
SURE = 1.645
"""Standard errors of the share of false accepts that a threshold keeps away from the wanted one: in 95 % of
all cases no more than that share of other queries pass."""
FEW_QUERIES = 50
"""Queries of a length from which on it has a threshold of its own."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Queries of one language with their best hits."""

    present: Floats
    """[Q, K, F] evidence of the best hits among all images."""
    right: NDArray[np.bool_]
    """[Q, K] whether that hit answers."""
    absent: Floats
    """[Q, K, F] evidence of the best hits where nothing answers."""
    fewer: Floats
    """[Q, 1, F] of the best hit among every `PART`-th image of those."""
    length: NDArray[np.int64]
    """[Q] class of the length of each query."""
    judged: NDArray[np.bool_]
    """[Q] whether enough of its words are known, so that a search would judge it."""
    captions: int
    """Queries that are whole captions."""


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
    engines: Mapping[str, str] | None = None,
    device: str = "auto",
) -> Calibration:
    """Learn from the captions of a split what the scores of a run are worth; writes `model/calibration.json`.

    `languages` defaults to all that have captions there: human ones, or machine captions where there are
    none. With `centre`, searches move the mean of the language of a text to that of the source language; with
    `align` they map its sentence vectors to those of the source language; with `csls` they take so large a
    part of the nearness of images to captions from their scores. All learn from the split train. `engines`
    are specs of translation engines by the language that they translate into the source language: for each it
    is measured whether texts are asked better through it (`search.channels`). Raises UserError where the
    corpus lacks the feature set of the model, or captions, where there are no sentence vectors to map, and
    where an engine cannot be used.

    What scores with texts are worth is learned beside it, from captions of the source language that stand for
    texts (`search.bitext`).
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
    queries = queries_of(seen, images, wanted, source)
    opened_engines = _engines_for(engines or {}, queries, source, device)
    encoder = load_encoder(folder, device)
    image_IJ = encoder.encode_features(vectors_ID)
    step = max(len(images) // BACKGROUND, 1)
    # Rounded as it will be stored: what is learnt here holds for the background that searches will read.
    background_BJ = image_IJ[::step][:BACKGROUND].astype(np.float16).astype(np.float32)
    made = NONE
    if centre or align or csls:
        written = opened.select(role="mt", split="train").languages
        learned = Corrections.learned(encoder, opened, features, source, written, align)
        made = learned.at_search(centre or align, csls)
    view = _View(encoder, made, image_IJ, background_BJ)
    records = None if is_of_texts(seen, images) else Records.of(seen, images, source)
    asking = _Asking(view, records, None if records is None else view.of_texts(records.texts, source))
    vocabulary = vocabulary_of(opened, split)
    channels: dict[str, Channel] = {}
    for lang, one in queries.items():
        unlike_QI = unlike(vectors_ID, one.right)
        text_QJ = view.encoded(one.texts, lang)
        asking.ask(lang, one, text_QJ, unlike_QI, [vocabulary.share(text) for text in one.texts])
        if lang in opened_engines:
            by = Through(*opened_engines[lang], lang, source)
            channels[lang] = measure(one, by, text_QJ, view)
            if channels[lang].weight:
                # Now the short queries as well.
                translations = by.translated(one.texts)
                read_QJ = view.read(one.texts, text_QJ)
                fused_QJ = fused(read_QJ, view.translations(translations, source), channels[lang].weight)
                known_Q = [
                    max(vocabulary.share(text), vocabulary.share(other or ""))
                    for text, other in zip(one.texts, translations, strict=True)
                ]
                asking.ask(lang + THROUGH, one, fused_QJ, unlike_QI, known_Q)
    pictures = scale_of(asking.pictures, background_BJ, len(images), false_accepts)
    calibration = Calibration(
        fingerprint=model_fingerprint(folder),
        languages={lang: one for lang, one in pictures.languages.items() if not lang.endswith(THROUGH)},
        background=background_BJ,
        collection=pictures.collection,
        growth=pictures.growth,
        false_accepts=false_accepts,
        channels={
            lang: replace(one, judgement=pictures.languages.get(lang + THROUGH))
            for lang, one in channels.items()
        },
        words=vocabulary,
        without_vectors=seen.without_vectors,
        corrections=made,
        texts=pictures if is_of_texts(seen, images) else asking.scale_of_texts(source, false_accepts),
    )
    with sole_writer(home):
        calibration.write(home / CALIBRATION)
    return calibration


def calibrate_once(
    run: str | Path,
    corpus: str | Path,
    device: str = "auto",
    *,
    engines: Mapping[str, str] | None = None,
) -> bool:
    """Calibrate a run that is not yet, with these engines as `calibrate`, where the corpus has what it takes;
    returns whether it is then.

    An engine that cannot be used is told and left out. An export is as calibrated as its index, and is left
    as it is.
    """
    folder = Path(run)
    stored = model_in(folder) / CALIBRATION
    usable = _usable(engines or {}, folder, device)
    if stored.is_file():
        before = Calibration.read(stored)
        measured = {lang: channel.engine for lang, channel in before.channels.items()}
        # Of a language without captions nothing can be measured, however often.
        wanted = {lang: absolute(spec) for lang, spec in usable.items() if lang in before.languages}
        # Those of before knew nothing of words, or of texts.
        known = None not in (before.words, before.texts) and wanted.items() <= measured.items()
        if known and before.fingerprint == model_fingerprint(folder):
            return True
    if "fingerprint" in model_config(folder):
        return False
    try:
        calibrate(run, corpus, engines=usable, device=device)
    except UserError as error:
        log.info("Scores stay cosines: %s", error)
        return False
    return True


def _usable(engines: Mapping[str, str], run: Path, device: str) -> dict[str, str]:
    """Leave out the engines that cannot be used."""
    found = {}
    source = str(model_config(run)["trained"].get("source", ""))
    for lang, spec in engines.items():
        try:
            open_engines({lang: spec}, source, device)
        except UserError as error:
            log.warning("Texts in %s are asked directly: %s", lang, error)
        else:
            found[comparable(lang)] = spec
    return found


def _engines_for(
    engines: Mapping[str, str], queries: Mapping[str, Queries], source: str, device: str
) -> dict[str, tuple[str, Engine]]:
    """Open the engines of languages that have captions to be measured on."""
    asked = {comparable(lang): spec for lang, spec in engines.items()}
    for lang in asked:
        if lang not in queries:
            log.warning("There are no captions in %s to measure %s on.", lang, asked[lang])
    return open_engines({lang: spec for lang, spec in asked.items() if lang in queries}, source, device)


@dataclass(frozen=True, eq=False)
class _View:
    """Images and texts as searches will see them."""

    encoder: Encoder
    made: AtSearch
    images: Floats
    """[I, J]"""
    background: Floats
    """[B, J]"""

    @cached_property
    def _hubs(self) -> tuple[Floats, Floats]:
        return self.made.hub(self.images), self.made.hub(self.background)

    def of_texts(self, texts: Sequence[str], lang: str) -> _View:
        """Texts in a language as entries, in the place of the images."""
        vectors_RJ = encode_in(self.encoder, texts, lang)
        step = max(len(texts) // BACKGROUND, 1)
        background_BJ = vectors_RJ[::step][:BACKGROUND].astype(np.float16).astype(np.float32)
        return _View(self.encoder, replace(self.made, hubs=None), vectors_RJ, background_BJ)

    def encoded(self, texts: Sequence[str], lang: str) -> Floats:
        """[Q, J] unit vectors of texts."""
        return self.made.encoded(self.encoder, texts, [lang] * len(texts))

    def read(self, texts: Sequence[str], text_QJ: Floats) -> Floats:
        """[Q, J] vectors of texts, NaN of those of which the model can read nothing."""
        reads_Q = np.array(self.encoder.reads(texts), bool)
        return np.where(reads_Q[:, None], text_QJ, np.float32(np.nan))

    def translations(self, texts: Sequence[str | None], source: str) -> Floats:
        """[Q, J] unit vectors of translations, NaN where there is none."""
        rows = [row for row, text in enumerate(texts) if text is not None]
        found = np.full((len(texts), self.images.shape[1]), np.nan, np.float32)
        if rows:
            found[rows] = self.encoded([text for text in texts if text is not None], source)
        return found

    def scores(self, vectors_QJ: Floats) -> tuple[Floats, Floats]:
        """[Q, I] of all images, and [Q, B] of the background."""
        hub_I, hub_B = self._hubs
        return vectors_QJ @ self.images.T - hub_I, vectors_QJ @ self.background.T - hub_B


class _Asking:
    """Queries of each language with their best hits among pictures, and among texts."""

    def __init__(self, view: _View, records: Records | None, of_texts: _View | None) -> None:
        self._view, self._records, self._of_texts = view, records, of_texts
        self.pictures: dict[str, Asked] = {}
        self.texts: dict[str, Asked] = {}

    def ask(
        self,
        lang: str,
        queries: Queries,
        vectors_QJ: Floats,
        unlike_QI: NDArray[np.bool_],
        known_Q: Sequence[float],
    ) -> None:
        """Find the best hits of the queries of a language."""
        self.pictures[lang] = ask(queries, *self._view.scores(vectors_QJ), unlike_QI, known_Q)
        if self._records is None or self._of_texts is None:
            return
        if (found := self._records.asked(queries)) is not None:
            rows_Q, chosen = found
            scores = self._of_texts.scores(vectors_QJ[rows_Q])
            unlike_QR = unlike_QI[np.ix_(rows_Q, self._records.images)]
            self.texts[lang] = ask(chosen, *scores, unlike_QR, [known_Q[row] for row in rows_Q])

    def scale_of_texts(self, source: str, false_accepts: float) -> Scale:
        """Learn the scale of texts; without languages, where there are too few texts or queries."""
        view, asked = self._of_texts, self.texts
        if view is None or not asked:
            return Scale(languages={}, background=self._view.background[:0], collection=1, growth=0.0)
        found = scale_of(asked, view.background, len(view.images), false_accepts)
        mine = found.languages.get(source)
        if mine is not None and mine.queries >= FEW_CAPTIONS:
            return found
        # One caption an image is the record itself, which leaves none to ask with: then the languages
        # together say what scores of the source are worth.
        absent = np.concatenate([one.absent[one.judged, 0] for one in asked.values()])
        length = np.concatenate([one.length[one.judged] for one in asked.values()])
        shared_F, _ = fit(asked)
        judgement = Judgement(
            weights=tuple(map(float, shared_F)),
            thresholds=thresholds(absent @ shared_F, length, false_accepts),
            queries=sum(one.captions for one in asked.values()),
        )
        return replace(found, languages=dict(found.languages) | {source: judgement})


def vocabulary_of(corpus: Corpus, split: str) -> Vocabulary:
    """Gather the words on which a model was trained, or is calibrated."""
    taught = [corpus.select(role=SEARCHED, split=one) for one in ("train", split)]
    return Vocabulary.of(said for one in taught for said in zip(one.item_ids, one.texts, strict=True))


def ask(
    queries: Queries,
    score_QI: Floats,
    background_QB: Floats,
    unlike_QI: NDArray[np.bool_],
    known_Q: Sequence[float],
) -> Asked:
    """Find the best hits of queries among all images, and among those unlike the answers that are none."""
    score_QI = np.asarray(score_QI, np.float64)
    sizes = [size_of(text) for text in queries.texts]

    def seen(score_QI: Floats, hits: int = HITS) -> tuple[Floats, NDArray[np.int64]]:
        best_QK = np.argsort(-score_QI, axis=1, kind="stable")[:, :hits]
        best = np.take_along_axis(score_QI, best_QK, axis=1)
        each = zip(best, background_QB, sizes, known_Q, strict=True)
        return np.stack([evidence(*one) for one in each]), best_QK

    present, best_QK = seen(score_QI)
    others_QI = np.where(unlike_QI & ~queries.right, score_QI, -1.0)
    absent, _ = seen(others_QI)
    fewer, _ = seen(others_QI[:, ::PART], 1)
    return Asked(
        present=present,
        right=np.take_along_axis(queries.right, best_QK, axis=1),
        absent=absent,
        fewer=fewer,
        length=np.array([length_class(size) for size in sizes], np.int64),
        judged=np.array(known_Q) >= KNOWN,
        captions=queries.captions,
    )


def unlike(vectors_ID: Floats, right_QI: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark for each query the half of the images that look least like those that answer it, [Q, I], by frozen
    vision vectors.

    A video, [F, D] with NaN where it has no frame, looks like the mean of its frames.
    """
    if vectors_ID.ndim == 3:
        vectors_ID = np.nanmean(np.asarray(vectors_ID, np.float32), axis=1)
    centred = np.asarray(vectors_ID, np.float32) - np.asarray(vectors_ID, np.float32).mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    like_QI = (right_QI.astype(np.float32) @ centred) @ centred.T
    return np.asarray(like_QI < np.median(like_QI, axis=1, keepdims=True))


def scale_of(
    asked: Mapping[str, Asked], background_BJ: NDArray[np.float32], entries: int, false_accepts: float
) -> Scale:
    """Learn the scale of one kind of entries, of which there were so many."""
    shared_F, judgements = learn(asked, false_accepts)
    return Scale(
        languages=judgements,
        background=background_BJ,
        collection=entries // 2,
        growth=growth_of(asked, shared_F, false_accepts),
    )


def learn(asked: Mapping[str, Asked], false_accepts: float) -> tuple[Floats, dict[str, Judgement]]:
    """Learn the weights [F] that all languages share, and the judgement of each."""
    shared_F, own = fit(asked)
    judgements = {
        lang: Judgement(
            weights=tuple(map(float, own[lang])),
            thresholds=thresholds(
                one.absent[one.judged, 0] @ own[lang], one.length[one.judged], false_accepts
            ),
            queries=one.captions,
        )
        for lang, one in asked.items()
    }
    return shared_F, judgements


def thresholds(odds_Q: Floats, length_Q: NDArray[np.int64], false_accepts: float) -> tuple[float, ...]:
    """Find for each class of length the relevance that best hits of queries without an answer reach so
    seldom, from their log odds. A class of few queries has the threshold of the next shorter one that has
    enough, else of the next longer one."""
    classes = [odds_Q[length_Q == one] for one in range(len(LENGTHS) + 1)]
    enough = {at: some for at, some in enumerate(classes) if len(some) >= FEW_QUERIES} or {0: odds_Q}
    odds = {at: _exceeded(some, false_accepts) for at, some in enough.items()}
    nearest = [min(odds, key=lambda at: (at > one, abs(at - one))) for one in range(len(classes))]
    return tuple(float(relevance(np.array([[odds[at]]]), [1.0])[0]) for at in nearest)


def _exceeded(odds_Q: Floats, share: float) -> float:
    """Find the log odds that no more than a share of further queries exceed, as far as these can tell."""
    # Few queries bound the share badly, so that fewer of them may pass.
    margin = SURE * math.sqrt(share * (1 - share) / len(odds_Q))
    return float(np.quantile(odds_Q, 1 - max(share - margin, 0.0)))


def growth_of(asked: Mapping[str, Asked], weights_F: Floats, false_accepts: float) -> float:
    """Measure how the threshold rises, in log odds, as images that answer nothing become e times as many."""

    def threshold(best: Iterable[Floats]) -> float:
        odds_Q = np.concatenate([seen_QF @ weights_F for seen_QF in best])
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


def is_of_texts(corpus: Corpus, images: Sequence[str]) -> bool:
    """Tell if what `images_of` gave are texts, which a model was trained on in the place of images."""
    row = corpus.items["item_id"].index(images[0]).as_py()
    return str(corpus.items["kind"][row]) == "text"


def images_of(corpus: Corpus, features: FeatureSet, split: str) -> tuple[list[str], Floats]:
    """Read ids and frozen vectors of the images of a split, evenly spaced where there are too many; of its
    texts, where there is nothing else."""
    items = corpus.split(split)
    images = items.filter(pc.not_equal(items["kind"], "text"))
    ids = (images if len(images) else items)["item_id"].to_pylist()
    # Rounded up, so that no more than IMAGES are left.
    ids = ids[:: -(-len(ids) // IMAGES)] if ids else []
    if len(ids) < FEWEST:
        raise UserError(
            f"{corpus.folder} has {len(ids)} images with vectors in its split {split!r}; at least {FEWEST} "
            "are needed to tell good scores from bad ones. Name another split: --split test"
        )
    return ids, np.asarray(features.whole(features.rows(ids)))
