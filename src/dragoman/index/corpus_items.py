"""A corpus as a collection: its feature set, its metadata, and one caption a language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.index.collection import Collection, Notes, present
from dragoman.media.frames import Frames, Sampling, frames
from dragoman.metadata import column_values
from dragoman.records import KINDS, Kind, Value

_OWN = {"item_id", "kind", "path"}
"""What entries have beside metadata; the split is metadata of an index."""


class CorpusItems(Collection):
    """All items of a corpus. Where the feature set of the model is there, no image and no video is opened."""

    def __init__(self, corpus: Corpus, trained: Mapping[str, Any], whole: bool = False) -> None:
        """`trained` is what the model was trained with (`config.json`). If `whole`, videos are not cut."""
        self.root = corpus.folder.resolve()
        items = corpus.items
        order = pc.sort_indices(items["item_id"])
        # PyArrow compares bytes of UTF-8, whose order is that of code points.
        items = items.take(order)
        ids = items["item_id"].to_pylist()
        self.faults = ()
        self._row = {item_id: row for row, item_id in enumerate(ids)}
        self._paths: list[str | None] = items["path"].to_pylist()
        self._kinds: list[Kind] = [kind if kind in KINDS else "image" for kind in items["kind"].to_pylist()]
        names = [name for name in items.column_names if name not in _OWN]
        self._metadata = {name: _values(items[name]) for name in names}
        self._captions = _captions(corpus.captions)
        self._features = features_of(corpus, trained)
        rows = {} if self._features is None else {one: row for row, one in enumerate(self._features.ids)}
        self._feature_row = rows
        self.videos = [one for one in ids if self.kind(one) == "video" and self._is_film(one, whole)]
        films = set(self.videos)
        self.ids = [one for one in ids if one not in films]

    def path(self, item_id: str) -> str | None:
        return self._paths[self._row[item_id]]

    def kind(self, item_id: str) -> Kind:
        return self._kinds[self._row[item_id]]

    def notes(self, item_id: str) -> Notes:
        row = self._row[item_id]
        metadata = present((name, values[row]) for name, values in self._metadata.items())
        return Notes(metadata, self._captions.get(item_id, {}))

    def feature(self, item_id: str) -> NDArray[np.floating] | None:
        row = self._feature_row.get(item_id)
        if row is None or self._features is None:
            return None
        found: NDArray[np.floating] = self._features.whole(np.array([row]))[0]
        return found

    def frames(self, video: str) -> Frames | None:
        if video not in self._feature_row:
            return None
        assert self._features is not None
        vectors, times = self._features.frames(video)
        assert times is not None
        sampling: Any = self._features.manifest.get("sampling") or {}
        return frames(vectors, times, Sampling(**sampling))

    def _is_film(self, item_id: str, whole: bool) -> bool:
        """Whether it has frames with times to be cut by, or a file to take them from."""
        if item_id not in self._feature_row:
            return self.file(item_id) is not None
        # Frames without times cannot be played from anywhere: such a video stays one entry.
        return not whole and self._features is not None and self._features.times is not None


def features_of(corpus: Corpus, trained: Mapping[str, Any]) -> FeatureSet | None:
    """The feature set that a model was trained on, if the corpus has it, made by the same vision tower."""
    name = trained.get("features") or corpus.features_of(trained.get("vision"))
    if name not in corpus.feature_names:
        return None
    found = corpus.features(str(name))
    made_by, expected = found.manifest.get("encoder"), trained.get("vision")
    if isinstance(made_by, dict) and isinstance(expected, dict):
        return found if made_by.get("fingerprint") == expected.get("fingerprint") else None
    return found


def _values(column: pa.ChunkedArray) -> list[Value | None]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return list(column_values(column.to_pylist()))
    return [_value(value) for value in column.to_pylist()]


def _value(value: Any) -> Value | None:
    if isinstance(value, list):
        return tuple(str(one) if not isinstance(one, int | float | str) else one for one in value) or None
    if value is None or isinstance(value, str | int | float):
        return None if value != value else value
    return str(value)


def _captions(table: pa.Table) -> dict[str, dict[str, str]]:
    """One caption an item and language: the first by a person, else the machine's with the highest trust."""
    found: dict[str, dict[str, str]] = {}
    best: dict[tuple[str, str], float] = {}
    for batch in table.select(["item_id", "lang", "role", "text", "trust"]).to_batches():
        for item_id, lang, role, text, trust in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            if role == "back":
                continue
            worth = 2.0 if role == "human" else trust if trust is not None else -1.0
            if worth > best.get((item_id, lang), -2.0):
                best[item_id, lang] = worth
                found.setdefault(item_id, {})[lang] = text
    return found
