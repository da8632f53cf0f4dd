"""A model and a corpus under evaluation: what is opened, and the vectors of its captions and images.

The model is any object that encodes texts and frozen vision vectors. N texts or images, I images, D width of
the joint space.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.captions import fits
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.folders import sha256, versions
from dragoman.models.hub import PAIR
from dragoman.models.identity import CALIBRATION, model_in, read_config
from dragoman.progress import bar
from dragoman.reports import queries
from dragoman.reports.queries import QueryTexts
from dragoman.reports.rows import Matched, Matcher, Vectors
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.base import Encoder, LanguageReader, Model, SentenceReader, encode_in
from dragoman.retrievers.described import with_descriptions
from dragoman.retrievers.loading import load_encoder, model_fingerprint
from dragoman.retrievers.postprocessing import Corrections
from dragoman.texts import one_line

CHUNK = 4096
"""Texts or image vectors that are encoded between two steps of the progress bar."""


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a split, encoded."""

    ids: list[str]
    vectors: NDArray[np.float32]
    """[I, D]"""
    other_vectors: NDArray[np.float32] | None
    """Vectors of the second model, which need not share the width D."""


@dataclass(frozen=True, eq=False)
class TextItems:
    """Items that are texts and have no vectors: the text side of a model encodes them, as it does queries."""

    texts: Mapping[str, tuple[str, str]]
    """Text and language of each by its id."""


@dataclass(frozen=True, eq=False)
class Other:
    """The second model, and the vectors that it reads."""

    model: Model
    features: FeatureSet | TextItems


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluator:
    """A model and the corpus that it is asked about."""

    model: Model
    corpus: Corpus
    settings: EvaluationSettings
    features: FeatureSet | TextItems
    """Vectors of the images, which all items of the evaluated split of `corpus` have, or texts."""
    other: Other | None
    """Scores the machine-translated queries for the row `translate_test_source_only`."""
    matcher: Matcher | None
    provenance: dict[str, Any]

    @classmethod
    def open(
        cls,
        run: str | Path | Model,
        corpus: str | Path | Corpus,
        settings: EvaluationSettings,
        translate_test_run: str | Path | Model | None,
    ) -> Evaluator:
        """Load everything. Raises UserError where a part is missing or does not fit."""
        if isinstance(run, str | Path) and not Path(run).is_dir():
            raise UserError(f"{run} does not exist. Train a model: dragoman train CORPUS --out {run}")
        model = load(run)
        opened = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
        if isinstance(model, Encoder):
            model.look_up(opened)
        features = items_of(model, opened, settings)
        # Named here once, so that the report tells them.
        if settings.languages is None:
            trained_on = [*model.config.get("targets", []), model.config["source"]]
            if isinstance(features, TextItems):
                trained_on = opened.select(role="human", split=settings.split).languages
            settings = replace(settings, languages=trained_on)
        seen, other = seen_of(opened, features, settings.split), None
        if translate_test_run is not None:
            second = load(translate_test_run)
            other = Other(second, items_of(second, opened, replace(settings, features=None)))
            seen = seen_of(seen, other.features, settings.split)
        return cls(
            model=model,
            corpus=seen,
            settings=settings,
            features=features,
            other=other,
            matcher=Matcher(model, of_images(features, "--rerank")) if settings.rerank else None,
            provenance=describe_provenance(run, opened, translate_test_run, settings.seed),
        )

    @property
    def source(self) -> str:
        """Language into which queries are translated."""
        return str(self.model.config["source"])

    @property
    def languages(self) -> Sequence[str]:
        """Languages of the queries."""
        assert self.settings.languages is not None
        return self.settings.languages

    @property
    def name(self) -> str:
        """The recipe of the model, or its class."""
        return str(self.model.config.get("recipe") or type(self.model).__name__)

    @property
    def seed(self) -> int | None:
        """The seed of the training."""
        return self.model.config.get("seed")

    @property
    def same(self) -> dict[str, Any]:
        """Columns of tables that are equal in all lines of the report."""
        return {"system": self.name, "seed": self.seed, "split": self.settings.split}

    def encode_images(self, split: str) -> Images:
        """Encode all images of a split."""
        ids = queries.item_ids(self.corpus, split)
        vectors = encode_images(self.model, self.features, ids)
        other = self.other
        return Images(
            ids, vectors, None if other is None else encode_images(other.model, other.features, ids)
        )

    def encode(self, texts: QueryTexts, images: Images) -> Vectors:
        """Encode captions, and their translations where there are any, beside the images."""
        label, translated = f"{texts.language} captions", texts.translations
        vectors = encode_texts(self.model, texts.texts, label, lang=texts.language)
        translations = other_translations = matched = None
        if translated is not None:
            translations = encode_texts(self.model, translated, label + ", translated", lang=self.source)
            if self.other is not None:
                label_other = label + ", translated, second model"
                other_translations = encode_texts(self.other.model, translated, label_other, lang=self.source)
        corrected = self._corrected(texts, vectors, images.vectors)
        for row, lang in self._other_tags(texts.language).items():
            read = encode_texts(self.model, texts.texts, f"{label}, read as {lang}", lang=lang)
            corrected[row] = (read, images.vectors)
        if self.matcher is not None:
            matched = Matched(texts=texts.texts, matcher=self.matcher, depth=self.settings.rerank)
        return Vectors(
            image_ids=images.ids,
            images=images.vectors,
            text_items=texts.items,
            texts=vectors,
            translations=translations,
            other_images=images.other_vectors,
            other_translations=other_translations,
            corrected=corrected,
            matched=matched,
        )

    def _corrected(
        self, texts: QueryTexts, vectors: NDArray[np.float32], images: NDArray[np.float32]
    ) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Make the vectors of the rows for which training captions are read."""
        found, settings, lang = {}, self.settings, texts.language
        if settings.centre and lang != self.source:
            if lang in self.corrections.means:
                found["centred"] = (self._centred(texts, vectors, lang), images)
            # Of the source language alone, the mean of all languages is its own, and nothing moves.
            if len(self.corrections.means) > 1:
                found["centred_untagged"] = (self._centred(texts, vectors, None), images)
        if settings.align and (map_of := self.corrections.maps.get(lang)) is not None:
            label = f"{lang} captions, aligned"
            found["aligned"] = (encode_texts(self.model, texts.texts, label, map_of), images)
        if settings.csls:
            found["csls"] = self.corrections.with_hubs(vectors, images, settings.csls)
        return found

    def _other_tags(self, lang: str) -> dict[str, str]:
        """Languages that the queries of one are told to be in, by rows, of a model that reads by languages:
        the source, as where none is told, and a wrong one."""
        if not isinstance(self.model, LanguageReader):
            return {}
        adapted = list(self.model.adapted)
        own = next((one for one in (lang, lang.split("-")[0]) if one in adapted), None)
        found = {} if own is None else {"untagged": self.source}
        others = adapted if own is None else adapted[adapted.index(own) + 1 :] + adapted[: adapted.index(own)]
        return found | ({"wrong_tag": others[0]} if others else {})

    def _centred(
        self, texts: QueryTexts, vectors: NDArray[np.float32], lang: str | None
    ) -> NDArray[np.float32]:
        step = self.corrections.sentence_step(lang)
        if step is None:
            return self.corrections.centred(vectors, lang)
        return encode_texts(self.model, texts.texts, f"{texts.language} captions, centred", step)

    @cached_property
    def corrections(self) -> Corrections:
        """Memory of the training captions and images."""
        features = of_images(self.features, "--centre, --align and --csls")
        return Corrections.learned(
            self.model, self.corpus, features, self.source, self.languages, self.settings.align
        )

    @cached_property
    def on_validation(self) -> Evaluator:
        """The model alone, without the second one and without re-ranking, beside what it sees of val."""
        return replace(
            self,
            corpus=seen_of(self.corpus, self.features, "val"),
            settings=replace(self.settings, centre=False, align=False, csls=0.0),
            other=None,
            matcher=None,
        )


def load(run: str | Path | Model) -> Model:
    """Load the model of a run, an export or a public folder; any other object is taken as a model itself."""
    if not isinstance(run, str | Path):
        return run
    return load_encoder(run)


def encode_texts(
    model: Model,
    texts: Sequence[str],
    label: str,
    step: NDArray[np.float32] | None = None,
    lang: str = "",
) -> NDArray[np.float32]:
    """Encode texts in one language as [N, D]; equal texts once, so that they tie exactly. `step` moves their
    sentence vectors before the head, of a `SentenceReader`."""

    def encode(some: list[str]) -> NDArray[np.float32]:
        if step is not None and isinstance(model, SentenceReader):
            return model.encode_text(some, step=step)
        return encode_in(model, some, lang)

    # Sorted, not in order of appearance: the batch of a text, and with it the last bits of its vector, then
    # depends on the set of texts alone.
    unique, place_N = np.unique(np.array(texts, dtype=object), return_inverse=True)
    parts = []
    with bar(len(unique), f"Encoding {label}", "texts") as progress:
        for start in range(0, len(unique), CHUNK):
            parts.append(encode(unique[start : start + CHUNK].tolist()))
            progress.update(len(parts[-1]))
    return np.concatenate(parts)[place_N]


def feature_set(model: Model, corpus: Corpus, features: str | None) -> FeatureSet:
    """Open the named feature set, or the one that the model was trained on or whose tower it has."""
    name = features or model.config.get("features") or corpus.features_of(model.config.get("vision"))
    if name is None and model.config.get("vision"):
        path = model.config["vision"]["path"]
        raise UserError(
            f"{corpus.folder} lacks the image vectors of {path}. Make them: dragoman features "
            f"{corpus.folder} --encoder {path} --name {Path(path).name.lower()}"
        )
    if name is None:
        raise UserError("The model names no feature set. Say which one holds the images: --features NAME")
    return with_descriptions(corpus.features(name), corpus, model.config.get("descriptions"))


def items_of(model: Model, corpus: Corpus, settings: EvaluationSettings) -> FeatureSet | TextItems:
    """Open the feature set of the items, or take them as texts: where all of the split are, and the model
    was trained on no vectors of theirs, nor are any named."""
    own = model.config.get("features")
    if settings.features is not None or not corpus.is_of_texts(settings.split):
        return feature_set(model, corpus, settings.features)
    ids = corpus.split(settings.split)["item_id"].to_pylist()
    if own in corpus.feature_names and len(corpus.features(str(own)).lacking(ids)) < len(ids):
        return feature_set(model, corpus, None)
    return TextItems(corpus.texts)


def seen_of(corpus: Corpus, features: FeatureSet | TextItems, split: str) -> Corpus:
    """Return the corpus without what has no vector in a split, or is no text."""
    if isinstance(features, TextItems):
        return corpus.part(fits(corpus.items["kind"], "text"))
    return corpus.with_vectors(features, split)


def of_images(features: FeatureSet | TextItems, wanted: str) -> FeatureSet:
    """Return the feature set. Raises UserError that `wanted` needs one, where the items are texts."""
    if isinstance(features, TextItems):
        raise UserError(f"{wanted}: the items are texts without vectors of their own. Leave it out.")
    return features


def encode_images(model: Model, stored: FeatureSet | TextItems, items: Sequence[str]) -> NDArray[np.float32]:
    """Encode items as [N, D], by their stored vectors, or by the text side."""
    if isinstance(stored, TextItems):
        return _encode_items(model, [stored.texts[item_id] for item_id in items])
    row_N, size = stored.rows(items), max(1, CHUNK // stored.per_item)
    parts = []
    with bar(len(row_N), "Encoding images", "images") as progress:
        for start in range(0, len(row_N), size):
            parts.append(model.encode_features(np.asarray(stored.whole(row_N[start : start + size]))))
            progress.update(len(parts[-1]))
    return np.concatenate(parts)


def _encode_items(model: Model, texts: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """Encode texts, each beside its language, as [N, D]."""
    rows: dict[str, list[int]] = {}
    for row, (_, lang) in enumerate(texts):
        rows.setdefault(lang, []).append(row)
    found = [
        encode_texts(model, [one_line(texts[row][0]) for row in some], f"{lang} items", lang=lang)
        for lang, some in rows.items()
    ]
    ordered: NDArray[np.float32] = np.concatenate(found)[np.argsort(np.concatenate([*rows.values()]))]
    return ordered


def describe_provenance(
    run: str | Path | Model,
    corpus: Corpus,
    other: str | Path | Model | None,
    seed: int,
) -> dict[str, Any]:
    """Collect the hashes, versions and commit that a report stands on; `other` is the second model."""
    return {
        "run": fingerprint(run),
        "run_path": str(run) if isinstance(run, str | Path) else None,
        "corpus": corpus.fingerprint(),
        "corpus_path": str(corpus.folder),
        "translate_test_run": None if other is None else fingerprint(other),
        "versions": versions(),
        "seed": seed,
        "commit": _commit(),
    }


def fingerprint(run: str | Path | Model) -> dict[str, str]:
    """Hash the content of the model's files; those of an object are unknown."""
    if not isinstance(run, str | Path):
        return {"model": f"object of class {type(run).__name__}"}
    if read_config(Path(run)).get("model_type") == PAIR:
        return {"model": model_fingerprint(Path(run))}
    # What `dragoman calibrate` learns of the finished model changes no vector, nor does its lock.
    files = (path for path in sorted(model_in(Path(run)).iterdir()) if path.is_file())
    kept = (path for path in files if path.name != CALIBRATION and not path.name.startswith("."))
    return {f"model/{path.name}": sha256(path) for path in kept}


def digest(hashes: dict[str, str]) -> str:
    """Make one hash of several, for display."""
    return hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()[:16]


def _commit() -> str | None:
    """Find the commit of this package, where it runs from a checkout."""
    folder = Path(__file__).parent.parent
    # Of the folder of the package alone: a commit that touches only documents changes no figure.
    command = ["git", "-C", str(folder), "log", "-1", "--format=%H", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
