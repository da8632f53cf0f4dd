"""Settings of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from dragoman.errors import UserError
from dragoman.evaluation.consistency import MRV
from dragoman.evaluation.score_fusion import NORMALISATIONS, Normalisation
from dragoman.languages import comparable
from dragoman.records import SPLITS, Split

Untranslated = Literal["error", "drop"]
Slots = Literal["position", "drawn"]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Settings of an evaluation, checked; every default is written here and nowhere else."""

    languages: Sequence[str] | None = None
    """Languages of the queries, by default those that the model was trained on. Its source language gets the
    row `direct` alone."""
    split: Split = "test"
    """Split whose captions and images are taken."""
    match: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Globs of a language: only its human captions whose id fits one of them are queries."""
    consistency: Sequence[str] | None = None
    """Languages whose ranks are compared with one another; all where not given."""
    slots: Slots = "position"
    """The order in which captions of an image stand beside those of other languages, and are kept where a
    language has more of them: by their place in the order of ids, or drawn for each language."""
    features: str | None = None
    """Feature set of the images; the one that the model was trained on where not given."""
    fusion_normalisation: Normalisation = "matrix"
    """Scale of the fused channels: that of the whole matrix, of each query, or none."""
    translation_engine: str | None = None
    """Engine whose translation of the queries is taken, where the corpus holds those of several."""
    untranslated: Untranslated = "error"
    """Queries without translation, where others have one: an error, or dropped from all rows and counted."""
    rerank: int = 0
    """So many best hits of each query are put into the order of the model's fusion encoder, in a row of
    their own; 0 does without."""
    centre: bool = False
    """Rows in which the mean of the query's language, learned from machine captions of the split train, is
    moved to that of the source language: as the language is told, and as it is not."""
    align: bool = False
    """A row in which the sentence vectors of the query's language are mapped to those of the source language,
    by the machine captions of the split train and the captions that they translate."""
    csls: float = 0.0
    """Part of the nearness of images and texts to training captions and images that is taken from their
    scores, in a row of its own; 0 does without, 0.5 is usual."""
    run_depth: int = 100
    """Hits per query in the TREC runs."""
    primary: str | None = None
    """The one figure that systems will be judged by: `pt,zh:sum_r`, the mean over these languages, asked
    directly, or their `mrv_std_log`. The report keeps it, so that it was named before any comparison."""
    seed: int = 0
    """Seed of the bootstrap and of the choice of examples."""

    def __post_init__(self) -> None:
        # In the form in which captions bear them.
        for name in ("languages", "consistency"):
            if (tags := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(map(comparable, tags)))
        object.__setattr__(self, "match", {comparable(tag): globs for tag, globs in self.match.items()})
        primary = None if self.primary is None else Primary.parse(self.primary)
        if primary is not None:
            object.__setattr__(self, "primary", str(primary))
        if self.languages is not None:
            _require_distinct("languages", self.languages)
            if primary is not None:
                _require_evaluated("primary", primary.languages, self.languages)
            _require_evaluated("match", self.match, self.languages)
            _require_evaluated("consistency", self.consistency or (), self.languages)
        if self.consistency is not None:
            _require_distinct("consistency", self.consistency)
        _require_known("split", self.split, SPLITS)
        _require_known("fusion_normalisation", self.fusion_normalisation, NORMALISATIONS)
        _require_known("slots", self.slots, get_args(Slots))
        _require_known("untranslated", self.untranslated, get_args(Untranslated))
        if not 0 <= self.csls <= 1:
            raise UserError(f"csls must lie in [0, 1], got {self.csls}")
        if self.rerank < 0:
            raise UserError(f"rerank must be 0 or more, got {self.rerank}")
        if self.run_depth < 10:
            raise UserError(f"run_depth must be at least 10, got {self.run_depth}")


PRIMARY_METRICS = ("sum_r", *MRV)


@dataclass(frozen=True)
class Primary:
    """A figure that is named before the test is looked at: languages asked directly, both directions."""

    languages: tuple[str, ...]
    metric: str
    """`sum_r`, the mean over the languages, or one of `MRV` of their ranks of the same picture."""

    @classmethod
    def parse(cls, text: str) -> Primary:
        """Read "pt,zh:sum_r". Raises UserError for another metric, and for languages named badly."""
        named, _, metric = text.partition(":")
        languages = tuple(comparable(tag) for tag in named.split(",") if tag)
        enough = len(languages) > 1 if metric in MRV else bool(languages)
        if metric not in PRIMARY_METRICS or not enough or len(set(languages)) < len(languages):
            raise UserError(
                f"The primary figure is {text!r}; expected languages, each once, and a metric: sum_r, or of "
                f"two languages or more {', '.join(MRV)}. Write: --primary pt,zh:sum_r"
            )
        return cls(languages, metric)

    def __str__(self) -> str:
        return f"{','.join(self.languages)}:{self.metric}"


def _require_distinct(name: str, languages: Sequence[str]) -> None:
    if not languages or len(set(languages)) < len(languages):
        raise UserError(f"{name} must name each language once, got {list(languages)}. Write: --{name} pt,en")


def _require_evaluated(name: str, named: Iterable[str], languages: Sequence[str]) -> None:
    if strange := set(named) - set(languages):
        raise UserError(
            f"{name} names {', '.join(sorted(strange))}, which is not evaluated. "
            f"Evaluated: {', '.join(languages)}"
        )


def _require_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UserError(f"{name} is {value!r}; known: {', '.join(known)}")
