"""Figures of the literature for each data set, and the languages that they are over.

A figure is read from `report.json`: `sum_r` and `mean_recall` (AR) of both directions, or `recall@K` of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.errors import UserError
from dragoman.evaluation import Metric

BOTH = "both"
DIRECTIONS = ("text_to_image", "image_to_text")


@dataclass(frozen=True)
class Figure:
    """One column of a published table."""

    metric: str
    direction: str = BOTH
    mean_over: tuple[str, ...] = ()
    """Languages that are averaged into one number, "others" for all but English; none for a number a
    language."""

    def __str__(self) -> str:
        arrow = {"text_to_image": " T2I", "image_to_text": " I2T", BOTH: ""}[self.direction]
        # Both of these are of two directions, hence no metrics of one ranking.
        short = {"sum_r": "SumR", "mean_recall": "AR"}.get(self.metric) or Metric(self.metric).short
        return f"{short}{arrow}"

    def of(self, report: Mapping[str, Any]) -> dict[str, float]:
        """Language to value, or `mean` where languages are averaged."""
        found = {lang: self._of_language(rows["direct"]) for lang, rows in report["results"].items()}
        if not self.mean_over:
            return found
        chosen = [value for lang, value in found.items() if lang != "en"]
        return {"mean": sum(chosen) / len(chosen)} if chosen else {}

    def _of_language(self, row: Mapping[str, Any]) -> float:
        return float(row[self.metric] if self.direction == BOTH else row[self.direction][self.metric])


SUM_R, AR = Figure("sum_r"), Figure("mean_recall")
OTHERS = ("others",)
R1_THERE, R1_BACK = (Figure("recall@1", way, OTHERS) for way in DIRECTIONS)
R10_THERE, R10_BACK = (Figure("recall@10", way, OTHERS) for way in DIRECTIONS)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The way in which a data set is evaluated."""

    figures: tuple[Figure, ...]
    note: str = ""
    """Facts of the gallery or the captions that a reader of the row must know."""
    folds: Mapping[str, str] = field(default_factory=dict)
    """Test sets that are a mean over the folds of another one, which the reader knows."""

    def gallery(self, test: str) -> str:
        """The gallery of a test set, where there is a choice."""
        return "1,000 images, mean over five folds" if test in self.folds else "5,000 images"


KARPATHY = "all 5,000 test images, or by --test 1k the mean over five folds of 1,000"
FIVE_FOLDS = {"1k": "5k"}
PROTOCOLS: Mapping[str, Protocol] = {
    "multi30k-task1": Protocol(figures=(SUM_R, AR), note="1,000 images, one caption a language"),
    "multi30k-task2": Protocol(
        figures=(SUM_R, AR), note="five captions an image; about 30 SumR above task 1 for one model"
    ),
    "flickr8k-cn": Protocol(figures=(SUM_R, AR), note="1,000 images, five captions"),
    "coco-en": Protocol(figures=(SUM_R, AR), note=KARPATHY, folds=FIVE_FOLDS),
    "coco-zh": Protocol(figures=(SUM_R, AR), note="1,000 images, 1,053 captions"),
    "coco-ja-stair": Protocol(
        figures=(SUM_R, AR),
        note=f"STAIR captions: not the test set of YJ Captions; {KARPATHY}",
        folds=FIVE_FOLDS,
    ),
    "coco-ja-yj": Protocol(figures=(SUM_R, AR), note="YJ Captions: not the test set of STAIR"),
    "xflickrco": Protocol(figures=(R1_THERE, R1_BACK), note="mean of the languages but English"),
    "wit": Protocol(figures=(R1_THERE, R1_BACK), note="languages cover different images; names help"),
    "xm3600": Protocol(figures=(R1_THERE, R1_BACK), note="protocol by --test: one, all or any"),
    "xtd10": Protocol(figures=(R10_THERE, R10_BACK), note="mean of the languages but English"),
    "vatex": Protocol(figures=(SUM_R,), note="videos; several captions each"),
    "msrvtt": Protocol(figures=(SUM_R,), note="videos"),
    "msrvtt-cn": Protocol(figures=(SUM_R,), note="videos; one caption each at test"),
}


def protocol_of(name: str) -> Protocol:
    """The protocol of a data set. Raises UserError that lists the known ones."""
    if name not in PROTOCOLS:
        raise UserError(f"No benchmark is called {name!r}. Known: {', '.join(sorted(PROTOCOLS))}.")
    return PROTOCOLS[name]


def read_figures(figures: Sequence[Figure], report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Each figure by its name, as language to value."""
    return {str(figure): figure.of(report) for figure in figures}
