"""The literature on each data set: the figures that it reports, and rows of it with what they were made by.

Rows hold numbers that could be verified, and only those. Sources: nrccr, the README of LiJiaBei-7/nrccr
(single runs; fusion weight not stated); mlcmr, the README of HuiGuanLab/MLCMR; ccrk, Table 1 of arXiv
2406.18254 (single seed; re-ranked, as its numbers imply; the test set took part in the selection); iglue and
mteb, result files of IGLUE and MTEB; clip-b, those of the CLIP benchmark; cards, model cards and READMEs.

A figure is read from `report.json`: `sum_r` and `mean_recall` (AR) of both directions, or `recall@K` of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.errors import UserError
from dragoman.evaluation import Metric
from dragoman.reports.rows import DIRECTIONS

BOTH = "both"


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


CIRCUMSTANCES = (
    *("tower", "resolution", "training text", "selection", "gallery", "queries", "re-ranking", "seeds"),
)


@dataclass(frozen=True)
class PublishedRow:
    """A row as it was published."""

    system: str
    source: str
    figure: str
    """The name that `Figure` prints."""
    values: Mapping[str, float]
    """Language (or `mean`) to value."""
    circumstances: Mapping[str, str]
    """Those of `CIRCUMSTANCES` that are known."""
    test: str = ""
    """Name of the test set, for a data set with several."""


def published_rows(name: str, test: str) -> list[PublishedRow]:
    """The rows of a data set, and of the test set where it has several."""
    return [row for row in _ROWS.get(name, ()) if row.test in ("", test)]


def _ccrk(values: Mapping[str, Mapping[str, float]], training: str) -> Iterator[PublishedRow]:
    for system, found in values.items():
        yield PublishedRow(system, "ccrk", "AR", found, _by_ccrk(system, training))


def _by_ccrk(system: str, training: str) -> dict[str, str]:
    tower = {"tower": "Swin-B, trained along", "resolution": "384"} if system.startswith("CCR^") else {}
    made_by = {"selection": "in part on test", "queries": "as asked", "re-ranking": "yes", "seeds": "1"}
    return {"training text": training, **made_by, **tower}


_MLCMR = {"training text": "machine (Google)", "selection": "val", "re-ranking": "no", "seeds": "1"}
_NRCCR = {
    "training text": "machine (Google)",
    "selection": "val (human captions)",
    "queries": "fused with their machine translation, at a weight not told",
    "re-ranking": "no",
    "seeds": "1",
}
_CLIP = _NRCCR | {"tower": "CLIP ViT-B/32"}
ZERO_SHOT = {
    "training text": "its own",
    "selection": "none",
    "queries": "as asked",
    "re-ranking": "no",
    "seeds": "1",
}
ENGLISH, EACH = "human English", "human, of each language"
_TRANSLATED = {"queries": "translated into English"}


def _zero_shot(system: str, source: str, figure: str, mean: float, test: str = "") -> PublishedRow:
    more = _TRANSLATED if system.startswith("translate-test") else {}
    return PublishedRow(system, source, figure, {"mean": mean}, ZERO_SHOT | {"tower": "its own"} | more, test)


_ROWS: Mapping[str, tuple[PublishedRow, ...]] = {
    "multi30k-task1": (
        PublishedRow("NRCCR", "nrccr", "SumR", {"de": 450.7, "fr": 452.9, "cs": 438.7}, _CLIP),
        PublishedRow("NRCCR", "nrccr", "SumR", {"cs": 303.6}, _NRCCR | {"tower": "ResNet-152"}),
        *_ccrk(
            {
                "M3P": {"en": 87.4, "de": 58.5, "fr": 46.0, "cs": 36.8},
                "UC2": {"en": 87.2, "de": 74.9, "fr": 74.0, "cs": 67.9},
                "CCLM-3M": {"en": 90.4, "de": 89.9, "fr": 89.4, "cs": 88.1},
                "CCR^6": {"en": 88.5, "de": 87.1, "fr": 87.8, "cs": 85.7},
                "CCR^6-E": {"en": 90.8, "de": 90.3, "fr": 91.0, "cs": 89.4},
                "CCR^10": {"en": 84.2, "de": 82.5, "fr": 81.9, "cs": 80.8},
                "CCR^10-E": {"en": 91.4, "de": 90.7, "fr": 91.3, "cs": 89.8},
            },
            ENGLISH,
        ),
        *_ccrk(
            {
                "UC2": {"en": 87.2, "de": 83.8, "fr": 77.6, "cs": 74.2},
                "CCLM-3M": {"en": 90.4, "de": 89.6, "fr": 90.0, "cs": 88.8},
                "CCR^6-E": {"en": 90.8, "de": 90.5, "fr": 91.4, "cs": 90.5},
                "CCR^10-E": {"en": 91.4, "de": 90.6, "fr": 91.2, "cs": 90.2},
            },
            EACH,
        ),
    ),
    "multi30k-task2": (
        PublishedRow("NRCCR", "nrccr", "SumR", {"de": 480.9, "fr": 482.1, "cs": 467.1}, _CLIP),
    ),
    "coco-zh": (
        PublishedRow("NRCCR", "nrccr", "SumR", {"zh": 512.4}, _CLIP),
        *_ccrk(
            {
                "M3P": {"zh": 53.8},
                "UC2": {"zh": 82.0},
                "CCLM-3M": {"zh": 90.4},
                "CCR^6-E": {"zh": 91.4},
                "CCR^10-E": {"zh": 91.4},
            },
            ENGLISH,
        ),
        *_ccrk(
            {"UC2": {"zh": 84.9}, "CCLM-3M": {"zh": 92.1}, "CCR^6-E": {"zh": 92.6}, "CCR^10-E": {"zh": 92.5}},
            EACH,
        ),
    ),
    "coco-ja-stair": (PublishedRow("NRCCR", "nrccr", "SumR", {"ja": 507.0}, _CLIP),),
    "coco-ja-yj": (
        *_ccrk(
            {
                "M3P": {"ja": 56.0},
                "UC2": {"ja": 71.7},
                "CCLM-3M": {"ja": 87.3},
                "CCR^6-E": {"ja": 89.4},
                "CCR^10-E": {"ja": 89.3},
            },
            ENGLISH,
        ),
        *_ccrk(
            {"UC2": {"ja": 87.3}, "CCLM-3M": {"ja": 92.4}, "CCR^6-E": {"ja": 92.5}, "CCR^10-E": {"ja": 92.5}},
            EACH,
        ),
    ),
    "coco-en": tuple(
        _ccrk(
            {
                "M3P": {"en": 88.6},
                "UC2": {"en": 88.1},
                "CCLM-3M": {"en": 92.3},
                "CCR^6-E": {"en": 92.5},
                "CCR^10-E": {"en": 92.5},
            },
            ENGLISH,
        )
    ),
    "xflickrco": (
        *(
            PublishedRow(
                system,
                "ccrk",
                figure,
                {"mean": value},
                _by_ccrk(system, ENGLISH),
            )
            for system, there, back in (
                ("M3P", 12.91, 11.90),
                ("UC2", 20.31, 17.89),
                ("CCLM-3M", 64.47, 62.74),
                ("CCR^6-E", 32.89, 33.06),
                ("CCR^10-E", 73.30, 72.64),
            )
            for figure, value in (("R@1 T2I", there), ("R@1 I2T", back))
        ),
        _zero_shot("SigLIP B/16-256 multilingual", "mteb", "R@1 T2I", 55.45),
        _zero_shot("SigLIP B/16-256 multilingual", "mteb", "R@1 I2T", 58.42),
        _zero_shot("e5-v", "mteb", "R@1 T2I", 69.70),
        _zero_shot("jina-embeddings-v5-omni-small", "mteb", "R@1 T2I", 67.04),
        _zero_shot("voyage-multimodal-3", "mteb", "R@1 T2I", 63.58),
        _zero_shot("translate-test UNITER", "iglue", "R@1 T2I", 41.04),
        _zero_shot("translate-test UNITER", "iglue", "R@1 I2T", 37.49),
    ),
    "wit": (
        _zero_shot("SigLIP B/16-256 multilingual", "mteb", "R@1 T2I", 32.53),
        _zero_shot("SigLIP B/16-256 multilingual", "mteb", "R@1 I2T", 35.99),
        _zero_shot("e5-v", "mteb", "R@1 T2I", 34.67),
        _zero_shot("LCO-Embedding-Omni-7B", "mteb", "R@1 T2I", 50.00),
        _zero_shot("translate-test mUNITER", "iglue", "R@1 T2I", 16.25),
        _zero_shot("translate-test mUNITER", "iglue", "R@1 I2T", 16.64),
    ),
    "xm3600": (
        *(
            _zero_shot(system, "clip-b", figure, value, "one")
            for system, there, back in (
                ("NLLB-CLIP-large-SigLIP mrl", 60.79, 57.41),
                ("NLLB-CLIP-base-SigLIP mrl", 55.39, 52.32),
                ("OpenCLIP XLM-R-large ViT-H/14", 50.22, 53.38),
                ("OpenCLIP XLM-R-base B/32", 42.56, 45.86),
                ("SigLIP B/16-256 multilingual", 44.07, 48.94),
            )
            for figure, value in (("R@1 T2I", there), ("R@1 I2T", back))
        ),
        _zero_shot("SigLIP B/16-256 multilingual", "mteb", "R@1 T2I", 44.18, "all"),
        _zero_shot("SigLIP B/16-256 multilingual", "mteb", "R@1 I2T", 56.27, "any"),
    ),
    "xtd10": (
        _zero_shot("NLLB-CLIP-large-SigLIP mrl", "clip-b", "R@10 T2I", 95.03),
        _zero_shot("NLLB-CLIP-large-SigLIP mrl", "clip-b", "R@10 I2T", 94.49),
        _zero_shot("NLLB-CLIP-base-SigLIP mrl", "clip-b", "R@10 T2I", 94.58),
        _zero_shot("OpenCLIP XLM-R-large ViT-H/14", "clip-b", "R@10 T2I", 93.24),
        _zero_shot("M-CLIP XLM-R B/16+", "cards", "R@10 T2I", 92.0),
        _zero_shot("M-CLIP XLM-R ViT-L/14", "cards", "R@10 T2I", 89.0),
        _zero_shot("SigLIP multilingual", "clip-b", "R@10 T2I", 89.0),
    ),
    "vatex": (
        PublishedRow("NRCCR", "nrccr", "SumR", {"zh": 366.5}, _NRCCR | {"tower": "I3D"}),
        PublishedRow("MLCMR", "mlcmr", "SumR", {"zh": 383.5}, _MLCMR | {"tower": "I3D"}),
        PublishedRow(
            "MLCMR", "mlcmr", "SumR", {"zh": 405.9}, _MLCMR | {"tower": "I3D", "training text": EACH}
        ),
    ),
    "msrvtt-cn": (
        PublishedRow("NRCCR", "nrccr", "SumR", {"zh": 308.0}, _NRCCR | {"tower": "ResNeXt-101 + ResNet-152"}),
        PublishedRow("MLCMR", "mlcmr", "SumR", {"zh": 311.5}, _MLCMR | {"tower": "ResNeXt-101 + ResNet-152"}),
    ),
}
