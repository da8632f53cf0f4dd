"""From cosines to an estimated probability that a hit answers the query, alike in every language.

Two things are read of a hit: its cosine, and by how many standard deviations it lies above what the query
scores on a fixed sample of pictures, so that a query which is close to everything is not believed; and two of
the query: how short it is, and which share of its words the model does not know. Logistic regression turns
them into relevance, with weights of the query's language. From which relevance on there is a match depends on
the length of the query, as the best of many wrong scores does.

Where nothing was learnt that fits a query, nothing is estimated, and the reason is told.

It may also say how vectors and scores are corrected: it was learnt from corrected ones, and so a search
corrects them as well.

K hits, J width of the vectors, B background images.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import DamagedError, UserError
from dragoman.folders import read_sealed, write_sealed
from dragoman.index.folder import IndexInfo, calibration_name
from dragoman.models.text.spelling import unspaced, words
from dragoman.records import Hit
from dragoman.retrievers.base import unit
from dragoman.retrievers.postprocessing import AtSearch
from dragoman.search.query import ChannelName, Unjudged, channel_name
from dragoman.search.vocabulary import Vocabulary
from dragoman.texts import worded

FORMAT_VERSION = 4
"""Readers of less know nothing of the length of a query. 3 moves sentence vectors, 2 corrects other vectors
or scores."""
NONE = AtSearch()
MAKE = "Make it anew: dragoman calibrate RUN CORPUS"
Floats = NDArray[np.floating]

LENGTHS = (1, 3, 7)
"""Words at most of a query of one word, of few words, and of a phrase; what is longer is a sentence."""
FEW_CAPTIONS = 200
"""Captions of a language from which on anything is said."""
KNOWN = 0.8
"""Share of the words of a query that the model must know: all of four, and of five all but one."""
EVIDENCE = 7
THROUGH = "+"
"""Stands behind a language whose texts are asked through its channel. No tag ends so."""
_PLAIN = ("fingerprint", "collection", "growth", "false_accepts")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The reading of the scores of one language."""

    weights: tuple[float, ...]
    """[EVIDENCE] one for each column of `evidence`; those that are left out at the end are 0."""
    thresholds: tuple[float, ...]
    """Relevance of the best hit from which on there is a match, by the length of the query: for each of
    `LENGTHS`, and for sentences."""
    queries: int
    """Captions that it was learnt from."""

    def threshold(self, size: int) -> float:
        """Find the threshold for a query of so many words."""
        return self.thresholds[length_class(size)]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """The channel of a language, and how it was chosen: through its text, a translation of it, or both."""

    lang: str
    engine: str
    """Spec of the engine that translates."""
    engine_name: str
    """Its name for people, which holds no path."""
    source: str
    """Language into which it translates."""
    weight: float
    """Weight of the translation: 0 asks directly, without an engine, 1 asks through the translation alone."""
    best: float
    """The weight of the highest recall; it is taken where that is surely a gain."""
    gain: float
    """Its gain over asking directly, in the mean of recall@1, @5 and @10, in percentage points."""
    interval: tuple[float, float]
    """95 %, over pictures."""
    recalls: Mapping[float, float]
    """That mean by weight, in percent."""
    captions: int
    """It was chosen on."""
    human: bool
    """True where people wrote them. Machine captions flatter an engine, as another one wrote them."""
    judgement: Judgement | None = None
    """The reading of scores of this channel; None where texts are asked directly."""

    @property
    def name(self) -> ChannelName:
        """`direct`, `translated`, or `fused` of both."""
        return channel_name(self.weight)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The reading of the scores of one kind of entries: pictures and videos, or texts."""

    languages: Mapping[str, Judgement]
    """By the language of the query."""
    background: NDArray[np.float32]
    """[B, J] unit vectors of entries."""
    collection: int
    """Entries among which nothing answered."""
    growth: float
    """Gain of the thresholds, in log odds, as those become e times as many."""

    def judgement(self, lang: str) -> Judgement | None:
        """Find the judgement of a BCP 47 tag, or of its language without region."""
        return self.languages.get(lang) or self.languages.get(lang.split("-")[0])

    def judge(
        self,
        judgement: Judgement,
        hits: Sequence[Hit],
        background_B: Floats,
        size: int,
        known: float,
        count: int,
    ) -> tuple[list[Hit], bool]:
        """Give hits their relevance, and tell if any is likely to answer a query of so many words, of which
        such a share is known, among `count` entries; `background_B` are its scores on the background."""
        seen_KF = evidence(np.array([hit.score for hit in hits]), background_B, size, known)
        relevance_K = relevance(seen_KF, judgement.weights)
        found = [replace(hit, relevance=float(one)) for hit, one in zip(hits, relevance_K, strict=True)]
        needed = odds_of(judgement.threshold(size)) + self.growth * np.log(max(count, 1) / self.collection)
        return found, bool(len(found) and odds_of(relevance_K.max()) >= needed)


@dataclass(frozen=True, kw_only=True)
class Calibration(Scale):
    """The result of `dragoman calibrate` for a model. It is the scale of pictures itself."""

    fingerprint: str
    """Fingerprint of that model."""
    false_accepts: float
    """Share of queries without an answer that are taken to have one, in every language."""
    channels: Mapping[str, Channel] = field(default_factory=dict)
    """Channels of the languages for which an engine was measured."""
    words: Vocabulary | None = None
    """Words that the model was taught or measured on; None where that was not noted."""
    without_vectors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By split the images that were left out with their captions, as they have no vectors."""
    corrections: AtSearch = NONE
    texts: Scale | None = None
    """The scale of texts: None where it was not asked for, without languages where none could be learned.
    Those that are asked through a channel stand there with `THROUGH` behind them as well."""

    @cached_property
    def _background_hub(self) -> Floats:
        return self.corrections.hub(self.background)

    def known(self, text: str, translation: str | None = None) -> float:
        """Tell which share of the words of a text, or of its translation, was taught or measured, 0 to 1."""
        if self.words is None:
            return 1.0
        return max(self.words.share(one) for one in (text, translation) if one is not None)

    def unjudged(
        self, lang: str, trained: bool, text: str, translation: str | None = None, *, of_texts: bool = False
    ) -> Unjudged | None:
        """Say why nothing can be estimated of pictures, or of texts, for a query in a language, on which the
        model was trained or not, asked with a translation or without; None where something can."""
        judgement = self.judgement(lang)
        if of_texts:
            if self.texts is None or not self.texts.languages:
                return "not_calibrated"
            judgement = self._judgement(self.texts, lang, translation)
        if judgement is None and not trained:
            return "language_not_measured"
        if judgement is None or judgement.queries < FEW_CAPTIONS:
            return "few_captions"
        return "unknown_words" if self.known(text, translation) < KNOWN else None

    def judged(
        self,
        hits: Sequence[Hit],
        vector_J: Floats,
        lang: str,
        count: int,
        text: str,
        translation: str | None = None,
        *,
        of_texts: bool = False,
    ) -> tuple[list[Hit], bool]:
        """Give the hits of a query in words their relevance, and tell if any is likely to answer it, where
        `unjudged` finds no reason against. All hits are pictures, or texts. With a translation, the query was
        asked through the channel of its language.

        The more entries of their kind an index has (`count`), the better the best of those that do not
        answer.
        """
        scale = self.texts if of_texts else self
        assert scale is not None
        judgement = self._judgement(scale, lang, translation)
        assert judgement is not None
        background_B = scale.background @ vector_J
        if not of_texts:
            background_B = background_B - self._background_hub
        return scale.judge(judgement, hits, background_B, size_of(text), self.known(text, translation), count)

    def _judgement(self, scale: Scale, lang: str, translation: str | None) -> Judgement | None:
        if translation is None or (channel := self.channel(lang)) is None:
            return scale.judgement(lang)
        return channel.judgement if scale is self else scale.languages.get(channel.lang + THROUGH)

    def channel(self, lang: str) -> Channel | None:
        """Find the channel of a BCP 47 tag, or of its language without region; None where texts are asked
        directly and no engine was measured."""
        return self.channels.get(lang) or self.channels.get(lang.split("-")[0])

    def write(self, file: Path) -> None:
        """Write `calibration.json`."""
        made = self.corrections
        stored = {
            "format": "dragoman-calibration",
            "format_version": FORMAT_VERSION,
            **{name: getattr(self, name) for name in _PLAIN},
            **_written(self),
        }
        if self.texts is not None:
            plain = {"collection": self.texts.collection, "growth": self.texts.growth}
            stored["texts"] = plain | _written(self.texts)
        if self.channels:
            stored["channels"] = {lang: _stored(one) for lang, one in sorted(self.channels.items())}
        if self.words is not None:
            stored["words"] = self.words.packed()
        for name in ("steps", "sentence_steps"):
            if steps := getattr(made, name):
                stored[name] = {lang: _packed(step) for lang, step in sorted(steps.items())}
        if made.hubs is not None:
            stored |= {"hubs": _packed(made.hubs), "csls": made.csls}
        if self.without_vectors:
            stored["without_vectors"] = self.without_vectors
        write_sealed(file, stored)

    @classmethod
    def read(cls, file: Path) -> Calibration:
        """Read `calibration.json`. Raises UserError for a newer format, DamagedError where it is missing or
        damaged."""
        stored = read_sealed(file, MAKE)
        try:
            if (version := int(stored["format_version"])) > FORMAT_VERSION:
                raise UserError(
                    f"{file} has format version {version}, but this dragoman reads up to {FORMAT_VERSION}. "
                    "Upgrade it: pip install --upgrade dragoman"
                )
            return cls(
                fingerprint=str(stored["fingerprint"]),
                **_scale(stored),
                false_accepts=float(stored["false_accepts"]),
                channels={lang: _channel(one) for lang, one in stored.get("channels", {}).items()},
                words=Vocabulary.unpacked(stored["words"]) if "words" in stored else None,
                without_vectors=dict(stored.get("without_vectors", {})),
                corrections=AtSearch(
                    **{
                        name: {lang: _unpacked(one) for lang, one in stored.get(name, {}).items()}
                        for name in ("steps", "sentence_steps")
                    },
                    hubs=_unpacked(stored["hubs"]) if "hubs" in stored else None,
                    csls=float(stored.get("csls", 0.0)),
                ),
                texts=Scale(**_scale(stored["texts"])) if "texts" in stored else None,
            )
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{file} is damaged ({error!r}). {MAKE}") from None

    @classmethod
    def of_index(cls, info: IndexInfo) -> Calibration | None:
        """Read the calibration that an index names, if it names one.

        Raises UserError as `read`, and where it is of another model, or not the one that was named.
        """
        if info.calibration is None:
            return None
        file = info.folder / str(info.calibration["file"])
        found = cls.read(file)
        if found.fingerprint != info.fingerprint or file.name != calibration_name(file):
            raise DamagedError(
                f"{file} is another calibration than that of this index. Let the index have its own: "
                f"dragoman index {info.model} {info.media or 'MEDIA'} --out {info.folder}"
            )
        return found


def fused(
    text_QJ: NDArray[np.float32], translation_QJ: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """Mix texts with their translations into the source language, of this weight: [Q, J] unit vectors.

    A translation of NaN is none, and its text stays alone; a text of NaN cannot be read, and has its
    translation alone.
    """
    mixed_QJ = np.float32(weight) * translation_QJ + np.float32(1 - weight) * text_QJ
    mixed_QJ = np.where(np.isnan(translation_QJ), text_QJ, mixed_QJ)
    return unit(np.where(np.isnan(text_QJ), translation_QJ, mixed_QJ))


def size_of(text: str) -> int:
    """Count the words of a text; in scripts without spaces between them, two characters count as one."""
    found = [word for word in words(text) if worded(word)]
    alone = sum(map(unspaced, found))
    return len(found) - alone + -(-alone // 2)


def length_class(size: int) -> int:
    """Give the place among `LENGTHS` of a query of so many words; after the last one stand sentences."""
    return sum(size > most for most in LENGTHS)


def evidence(cosine_K: Floats, background_B: Floats, size: int, known: float = 1.0) -> Floats:
    """Gather [K, EVIDENCE]: a constant, tenths of cosine, and deviations above the query's scores on the
    background; the same three times how short the query is, 1 for one word and 0 for endless ones; and its
    share of unknown words."""
    # Of like size, so that one expected deviation of the weights fits all when they are learnt.
    deviation = max(float(np.std(background_B)), 1e-6)
    above_K = (cosine_K - float(np.mean(background_B))) / deviation
    seen_K3 = np.stack([np.ones_like(above_K), 10 * cosine_K, above_K], axis=1)
    unknown_K1 = np.full((len(above_K), 1), 1 - known)
    return np.concatenate([seen_K3, seen_K3 / max(size, 1), unknown_K1], axis=1)


def relevance(evidence_KF: Floats, weights: Sequence[float]) -> Floats:
    """Estimate [K] in 0..1, by logistic regression."""
    odds_K: Floats = evidence_KF[:, : len(weights)] @ np.asarray(weights)
    found: Floats = 1 / (1 + np.exp(-np.clip(odds_K, -50, 50)))
    return found


def odds_of(probability: float) -> float:
    """Give the logarithm of the odds."""
    clipped = min(max(float(probability), 1e-9), 1 - 1e-9)
    return float(np.log(clipped / (1 - clipped)))


def _packed(values: NDArray[np.float32]) -> dict[str, Any]:
    # As JSON numbers they would take megabytes; they were rounded to float16 before they were used.
    half = values.astype("<f2")
    return {"shape": half.shape, "float16": base64.b64encode(half.tobytes()).decode()}


def _unpacked(stored: Mapping[str, Any]) -> NDArray[np.float32]:
    content = base64.b64decode(stored["float16"], validate=True)
    return np.frombuffer(content, "<f2").reshape(stored["shape"]).astype(np.float32)


def _written(scale: Scale) -> dict[str, Any]:
    return {
        "languages": {lang: asdict(one) for lang, one in sorted(scale.languages.items())},
        "background": _packed(scale.background),
    }


def _scale(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "languages": {lang: _judgement(one) for lang, one in stored["languages"].items()},
        "background": _unpacked(stored["background"]),
        "collection": int(stored["collection"]),
        "growth": float(stored["growth"]),
    }


def _judgement(stored: Mapping[str, Any]) -> Judgement:
    # Before format 4 there was one threshold for all lengths.
    classes = len(LENGTHS) + 1
    thresholds = stored["thresholds"] if "thresholds" in stored else [stored["threshold"]] * classes
    if len(thresholds) != classes or not 3 <= len(stored["weights"]) <= EVIDENCE:
        raise ValueError(f"{len(thresholds)} thresholds and {len(stored['weights'])} weights")
    return Judgement(
        weights=tuple(map(float, stored["weights"])),
        thresholds=tuple(map(float, thresholds)),
        queries=int(stored["queries"]),
    )


def _stored(channel: Channel) -> dict[str, Any]:
    return asdict(channel) | {"recalls": {str(weight): value for weight, value in channel.recalls.items()}}


def _channel(stored: Mapping[str, Any]) -> Channel:
    judgement = stored["judgement"]
    low, high = map(float, stored["interval"])
    return Channel(
        lang=str(stored["lang"]),
        engine=str(stored["engine"]),
        engine_name=str(stored["engine_name"]),
        source=str(stored["source"]),
        weight=float(stored["weight"]),
        best=float(stored["best"]),
        gain=float(stored["gain"]),
        interval=(low, high),
        recalls={float(weight): float(value) for weight, value in stored["recalls"].items()},
        captions=int(stored["captions"]),
        human=bool(stored["human"]),
        judgement=None if judgement is None else _judgement(judgement),
    )
