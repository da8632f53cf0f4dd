"""Collections that are indexed: a folder of media, or a corpus.

Memory holds their ids, their tables of metadata, and of a corpus one caption an item and language.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dragoman.corpus.corpus import CORPUS, Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.folders import MANIFEST
from dragoman.media.folder import OWN, MediaFolder, NoteError
from dragoman.media.frames import Frames, Sampling, frames
from dragoman.metadata import column_values
from dragoman.records import KINDS, Kind, Value


class Rejected(NamedTuple):
    """Something that cannot be indexed, and why."""

    item_id: str
    path: str | None
    reason: str


class Notes(NamedTuple):
    """Metadata of an item, and the captions that are shown with it, one a language."""

    metadata: Mapping[str, Value]
    captions: Mapping[str, str]


class Collection(ABC):
    """Items with a file or frozen vectors each."""

    root: Path
    """Absolute; the paths of entries are relative to it."""
    ids: Sequence[str]
    """Sorted by code points, without duplicates."""
    faults: Sequence[Rejected]
    """Files that were found and are no items."""

    @abstractmethod
    def kind(self, item_id: str) -> Kind:
        """image or video."""

    @abstractmethod
    def path(self, item_id: str) -> str | None:
        """Place of the file: relative to `root`, absolute, or a URI."""

    @abstractmethod
    def notes(self, item_id: str) -> Notes:
        """Read metadata and captions. Raises NoteError."""

    @abstractmethod
    def is_cut(self, item_id: str) -> bool:
        """True for a video whose moments become entries; every other item is one entry."""

    def frozen(self, item_id: str) -> NDArray[np.floating] | Frames | None:
        """Read the frozen vision vectors of an item that has some: no file is opened then.

        [D] of an image, the frames of a video that is cut, or [F, D] of one that is not, absent frames NaN.
        """
        return None

    def file(self, item_id: str) -> Path | None:
        """The media file, where there should be one on this computer."""
        path = self.path(item_id)
        return None if path is None or "://" in path else self.root / path


def open_collection(
    media: Path, trained: Mapping[str, Any], lang: str | None, whole_videos: bool = False
) -> Collection:
    """Open a corpus, or any other folder as a folder of media.

    `trained` is what the model was trained with (`config.json`); `lang` is the language of captions whose
    file names none. Raises UserError.
    """
    manifest = media / MANIFEST
    if manifest.is_file() and CORPUS.name in manifest.read_text(encoding="utf-8", errors="replace"):
        return CorpusItems(Corpus.open(media), trained, whole_videos)
    if not media.is_dir():
        raise UserError(f"{media} is no folder. Give a folder of images, or a corpus.")
    return MediaItems(media, lang or str(trained.get("source", "en")), whole_videos)


class MediaItems(Collection):
    """All images and videos below a folder, but for links that lead out of it."""

    def __init__(self, folder: Path, lang: str, whole: bool) -> None:
        """Raises UserError as `MediaFolder`. If `whole`, videos are not cut."""
        # Entries have paths below the root, which must not change with the way to it.
        self.root = folder.resolve()
        self._media, self._lang, self._whole = MediaFolder(self.root), lang, whole
        # The service shows the files of an index: a link must not open the rest of the disk to it.
        out = {one for one in self._media.ids if self._leads_out(self.root / one)}
        reason = "a link that leads out of the folder: index the folder that holds the file"
        self.faults = [Rejected(path, path, why) for path, why in self._media.unusable]
        self.faults += [Rejected(path, path, reason) for path in sorted(out)]
        self.ids = [one for one in self._media.ids if one not in out]

    def kind(self, item_id: str) -> Kind:
        return self._media.kind(item_id)

    def path(self, item_id: str) -> str:
        return item_id

    def notes(self, item_id: str) -> Notes:
        shown: dict[str, str] = {}
        for texts in self._media.texts(item_id):
            for line in texts.lines():
                if line.fault:
                    raise NoteError(texts.file, f"line {line.number}: {line.fault}")
                shown.setdefault(texts.lang or self._lang, line.text)
        return Notes(self._media.metadata(item_id), shown)

    def is_cut(self, item_id: str) -> bool:
        return not self._whole and self.kind(item_id) == "video"

    def _leads_out(self, file: Path) -> bool:
        return file.is_symlink() and not file.resolve().is_relative_to(self.root)


class CorpusItems(Collection):
    """All items of a corpus. Where the feature set of the model is there, no image and no video is opened."""

    def __init__(self, corpus: Corpus, trained: Mapping[str, Any], whole: bool) -> None:
        """If `whole`, videos are not cut."""
        self.root = corpus.folder.resolve()
        # PyArrow compares bytes of UTF-8, whose order is that of code points.
        items = corpus.items.take(pc.sort_indices(corpus.items["item_id"]))
        self.ids = items["item_id"].to_pylist()
        self.faults = ()
        self._row = {item_id: row for row, item_id in enumerate(self.ids)}
        self._paths: list[str | None] = items["path"].to_pylist()
        self._kinds: list[Kind] = [kind if kind in KINDS else "image" for kind in items["kind"].to_pylist()]
        # The split is metadata of an index.
        names = [name for name in items.column_names if name not in OWN]
        self._metadata = {name: _values(items[name]) for name in names}
        self._captions = _shown(corpus.captions)
        self._features, self._whole = features_of(corpus, trained), whole
        known = () if self._features is None else self._features.ids
        self._feature_row = {item_id: row for row, item_id in enumerate(known)}

    def kind(self, item_id: str) -> Kind:
        return self._kinds[self._row[item_id]]

    def path(self, item_id: str) -> str | None:
        return self._paths[self._row[item_id]]

    def notes(self, item_id: str) -> Notes:
        row = self._row[item_id]
        found = {name: values[row] for name, values in self._metadata.items()}
        metadata = {name: value for name, value in found.items() if value is not None}
        return Notes(metadata, self._captions.get(item_id, {}))

    def is_cut(self, item_id: str) -> bool:
        if self._whole or self.kind(item_id) != "video":
            return False
        # Frames without times cannot be played from anywhere: such a video stays one entry.
        return item_id not in self._feature_row or (
            self._features is not None and self._features.times is not None
        )

    def frozen(self, item_id: str) -> NDArray[np.floating] | Frames | None:
        row = self._feature_row.get(item_id)
        if row is None or self._features is None:
            return None
        if not self.is_cut(item_id):
            found: NDArray[np.floating] = self._features.whole(np.array([row]))[0]
            return found
        vectors, times = self._features.frames(item_id)
        assert times is not None
        sampling: Any = self._features.manifest.get("sampling") or {}
        return frames(vectors, times, Sampling(**sampling))


def features_of(corpus: Corpus, trained: Mapping[str, Any]) -> FeatureSet | None:
    """Open the feature set that a model was trained on, if the corpus has it, by the same vision tower."""
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


def _shown(table: pa.Table) -> dict[str, dict[str, str]]:
    """Choose one caption an item and language: the first by a person, else the machine's of highest trust."""
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
