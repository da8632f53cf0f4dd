"""The channel by which texts of a language are asked best, measured on captions whose picture is known.

A text is asked directly, through its translation into the source language, or through both: by the unit
vector of weight x translation + (1 - weight) x text, which ranks pictures by the same mix of their cosines.
Another channel than the direct one is taken where its gain is above 0 in all of a 95 % interval over
pictures.

Q queries, I images, J width of the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dragoman.evaluation import MatrixScores, Metric, Positives, hierarchical_interval, rank_scores
from dragoman.evaluation.score_fusion import WEIGHTS
from dragoman.search.calibration import Channel, fused
from dragoman.search.trial_queries import Queries
from dragoman.translation.engine import Engine, open_engine
from dragoman.translation.texts import JobSettings, translate_texts

Floats = NDArray[np.float32]
RECALLS = (Metric("recall@1"), Metric("recall@5"), Metric("recall@10"))


@dataclass(frozen=True, eq=False)
class Through:
    """An engine between a language and the source language."""

    spec: str
    engine: Engine
    lang: str
    source: str

    def translated(self, texts: Sequence[str]) -> list[str | None]:
        """Translate texts, each once; None where the engine has no translation, and the text is asked
        directly. What was translated before is remembered."""
        outcomes, _ = translate_texts(texts, self.engine, self.lang, self.source, JobSettings())
        found = [outcomes[text] for text in texts]
        return [one if isinstance(one, str) else None for one in found]


class View(Protocol):
    """The images, and how texts are asked among them."""

    def read(self, texts: Sequence[str], text_QJ: Floats) -> Floats:
        """[Q, J] vectors of texts, NaN of those of which the model can read nothing."""

    def translations(self, texts: Sequence[str | None], source: str) -> Floats:
        """[Q, J] unit vectors of translations, NaN where there is none."""

    def scores(self, vectors_QJ: Floats) -> tuple[Floats, Floats]:
        """[Q, I] of all images; and others, which do not matter here."""


def open_engines(engines: Mapping[str, str], source: str, device: str) -> dict[str, tuple[str, Engine]]:
    """Open engines, given as specs by the language that they translate from: each with its spec, in which
    local paths are absolute, as an index is searched from other folders.

    Raises UserError for an engine that cannot be used.
    """
    where = None if device == "auto" else device
    found = {}
    for lang, spec in engines.items():
        full = absolute(spec)
        found[lang] = (full, open_engine(full, lang, source, device=where))
    return found


def absolute(spec: str) -> str:
    """Make the path of a local model or file in the spec of an engine absolute."""
    name, colon, rest = spec.partition(":")
    argument, mark, options = rest.partition("?")
    if argument and Path(argument).exists():
        argument = str(Path(argument).resolve())
    return f"{name}{colon}{argument}{mark}{options}"


def measure(queries: Queries, by: Through, text_QJ: Floats, view: View) -> Channel:
    """Measure all channels on the whole captions among queries, and choose one.

    The figure is the mean of recall@1, @5 and @10 in percent. Of equally good weights the smallest is taken,
    which leans least on the engine.
    """
    count = queries.captions
    read_QJ = view.read(queries.texts[:count], text_QJ[:count])
    translation_QJ = view.translations(by.translated(queries.texts[:count]), by.source)
    positives = Positives.from_matrix(queries.right[:count])

    def recalls(weight: float) -> NDArray[np.float64]:
        asked_QJ = fused(read_QJ, translation_QJ, weight) if weight else text_QJ[:count]
        score_QI, _ = view.scores(asked_QJ)
        ranks = rank_scores(MatrixScores(score_QI), positives)
        found: NDArray[np.float64] = np.mean([metric.values(ranks) for metric in RECALLS], axis=0)
        return found

    by_weight = {weight: recalls(weight) for weight in WEIGHTS}
    best = max(WEIGHTS[1:], key=lambda weight: (by_weight[weight].mean(), -weight))
    items: Sequence[int] = queries.own[:count].tolist()
    gain = hierarchical_interval(by_weight[best][None], items, by_weight[0.0][None])
    return Channel(
        lang=by.lang,
        engine=by.spec,
        engine_name=by.engine.name,
        source=by.source,
        weight=best if gain.interval[0] > 0 else 0.0,
        best=best,
        gain=gain.value,
        interval=gain.interval,
        recalls={weight: float(values_Q.mean()) for weight, values_Q in by_weight.items()},
        captions=count,
        human=queries.human,
    )
