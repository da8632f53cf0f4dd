"""From cosines to an estimated probability that a hit answers the query, alike in every language.

Two things are read of a hit: its cosine, and by how many standard deviations it lies above what the query
scores on a fixed sample of pictures, so that a query which is close to everything is not believed. Logistic
regression turns them into relevance, with weights of the query's language.

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
from dragoman.records import Hit
from dragoman.retrievers.postprocessing import AtSearch

FORMAT_VERSION = 3
"""3 where a search moves sentence vectors, 2 where it corrects other vectors or scores, which a reader of
less would not do; else 1 is written."""
NONE = AtSearch()
MAKE = "Make it anew: dragoman calibrate RUN CORPUS"
_PLAIN = ("fingerprint", "collection", "growth", "false_accepts")
Floats = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The reading of the scores of one language."""

    weights: tuple[float, float, float]
    """Constant, per tenth of cosine, per standard deviation above the background."""
    threshold: float
    """Relevance of the best hit from which on there is a match."""
    queries: int
    """It was learnt from."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The result of `dragoman calibrate` for a model."""

    fingerprint: str
    """Fingerprint of that model."""
    shared: Judgement
    """For languages without captions of their own."""
    languages: Mapping[str, Judgement]
    background: NDArray[np.float32]
    """[B, J] unit vectors of images."""
    collection: int
    """Images among which nothing answered."""
    growth: float
    """Gain of the thresholds, in log odds, as those become e times as many."""
    false_accepts: float
    """Share of queries without an answer that are taken to have one, in every language."""
    without_vectors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By split the images that were left out with their captions, as they have no vectors."""
    corrections: AtSearch = NONE

    @cached_property
    def _background_hub(self) -> Floats:
        return self.corrections.hub(self.background)

    def judged(self, hits: Sequence[Hit], vector_J: Floats, lang: str, count: int) -> tuple[list[Hit], bool]:
        """Give the hits of a query their relevance, and tell if any is likely to answer it.

        The more images an index has (`count`), the better the best of those that do not answer.
        """
        judgement = self.judgement(lang)
        cosine_K = np.array([hit.score for hit in hits])
        background_B = self.background @ vector_J - self._background_hub
        relevance_K = relevance(evidence(cosine_K, background_B), judgement.weights)
        found = [replace(hit, relevance=float(one)) for hit, one in zip(hits, relevance_K, strict=True)]
        more = self.growth * np.log(max(count, 1) / self.collection)
        return found, bool(len(found) and odds_of(relevance_K.max()) >= odds_of(judgement.threshold) + more)

    def judgement(self, lang: str) -> Judgement:
        """Find the judgement of a BCP 47 tag, or of its language without region."""
        return self.languages.get(lang) or self.languages.get(lang.split("-")[0]) or self.shared

    def write(self, file: Path) -> None:
        """Write `calibration.json`."""
        made = self.corrections
        version = 2 if made.steps or made.hubs is not None else 1
        if made.sentence_steps:
            version = FORMAT_VERSION
        stored = {
            "format": "dragoman-calibration",
            "format_version": version,
            **{name: getattr(self, name) for name in _PLAIN},
            "shared": asdict(self.shared),
            "languages": {lang: asdict(one) for lang, one in sorted(self.languages.items())},
            "background": _packed(self.background),
        }
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
                shared=_judgement(stored["shared"]),
                languages={lang: _judgement(one) for lang, one in stored["languages"].items()},
                background=_unpacked(stored["background"]),
                collection=int(stored["collection"]),
                growth=float(stored["growth"]),
                false_accepts=float(stored["false_accepts"]),
                without_vectors=dict(stored.get("without_vectors", {})),
                corrections=AtSearch(
                    **{
                        name: {lang: _unpacked(one) for lang, one in stored.get(name, {}).items()}
                        for name in ("steps", "sentence_steps")
                    },
                    hubs=_unpacked(stored["hubs"]) if "hubs" in stored else None,
                    csls=float(stored.get("csls", 0.0)),
                ),
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


def evidence(cosine_K: Floats, background_B: Floats) -> Floats:
    """Gather [K, 3]: a constant, tenths of cosine, deviations above the query's scores on the background."""
    # Of like size, so that one expected deviation of the weights fits all three when they are learnt.
    deviation = max(float(np.std(background_B)), 1e-6)
    above_K = (cosine_K - float(np.mean(background_B))) / deviation
    return np.stack([np.ones_like(above_K), 10 * cosine_K, above_K], axis=1)


def relevance(evidence_K3: Floats, weights: Sequence[float]) -> Floats:
    """Estimate [K] in 0..1, by logistic regression."""
    odds_K: Floats = evidence_K3 @ np.asarray(weights)
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


def _judgement(stored: Mapping[str, Any]) -> Judgement:
    first, second, third = map(float, stored["weights"])
    return Judgement(
        weights=(first, second, third), threshold=float(stored["threshold"]), queries=int(stored["queries"])
    )
