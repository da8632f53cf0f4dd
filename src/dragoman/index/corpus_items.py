"""Items of a corpus. Memory holds their ids, their metadata and their captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.arrow import pa, pc
from dragoman.corpus.corpus import CORRECTS, FOUND_IN, TEXT_KEYS, Corpus
from dragoman.corpus.corrections import CORRECTION, Correction, Corrections
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.index.items import Items, MediaItem, Notes, Rejected
from dragoman.media.file_state import UNKNOWN, FileState
from dragoman.media.folder import OWN
from dragoman.media.frames import Frames, frames
from dragoman.metadata import column_values
from dragoman.records import KINDS, Kind, Value
from dragoman.retrievers.described import with_descriptions
from dragoman.texts import one_line

BY_PEOPLE = 2.0
"""Worth of a person's caption; the machine's has its trust, 0 to 1."""
NOT_SHOWN = ("back", "description")
"""Roles of captions that an entry does not have: neither says in which words an item is spoken of."""


class CorpusItems(Items):
    """All items of a corpus. Where the feature set of the model is there, no image and no video is opened."""

    def __init__(
        self, folder: Path, trained: Mapping[str, Any], whole: bool, media_root: Path | None = None
    ) -> None:
        """Open a corpus for a model; `trained` is what that was trained with (`config.json`).

        If `whole`, videos are not cut. Media below `media_root` have their paths from there. Raises UserError
        where that is no folder, or the corpus cannot be read.
        """
        if media_root is not None and not media_root.is_dir():
            raise UserError(f"{media_root} is no folder. Give the folder of the media with --media-root.")
        corpus = Corpus.open(folder)
        self.root, self._corpus = (media_root or corpus.folder).resolve(), corpus.folder
        # PyArrow compares bytes of UTF-8, whose order is that of code points.
        items = corpus.items.take(pc.sort_indices(corpus.items["item_id"]))
        self._row = {item_id: row for row, item_id in enumerate(items["item_id"].to_pylist())}
        self._paths: list[str | None] = items["path"].to_pylist()
        if media_root is not None:
            self._paths = [_below(path, media_root.absolute(), self.root) for path in self._paths]
        self._kinds: list[Kind] = [kind if kind in KINDS else "image" for kind in items["kind"].to_pylist()]
        # The split is metadata of an index.
        names = [name for name in items.column_names if name not in OWN]
        self._metadata = {name: _values(items[name]) for name in names}
        self._texts = corpus.texts
        self._captions, self._machine = _captions(corpus.captions)
        self.corrections = Corrections(_corrections(corpus.captions))
        self._features, self._whole = features_of(corpus, trained), whole
        known = () if self._features is None else self._features.ids
        self._feature_row = {item_id: row for row, item_id in enumerate(known)}
        self.faults = [] if self._features is None else list(self._outdated(self._features))

    def __len__(self) -> int:
        return len(self._row)

    def walk(self, *kinds: Kind) -> Iterator[MediaItem]:
        # Frames without times cannot be played from anywhere: such a video stays one entry.
        untimed = self._features is not None and self._features.times is None
        # The mean of a video is no moment of it: to be cut, it is decoded.
        is_mean = self._features is not None and self._features.averages_videos
        for item_id, row in self._row.items():
            if (kind := self._kinds[row]) in kinds:
                is_kept = not (kind == "video" and is_mean and not self._whole)
                is_frozen = is_kept and item_id in self._feature_row
                text, lang = self._texts.get(item_id, (None, None))
                yield MediaItem(
                    item_id=item_id,
                    kind=kind,
                    path=self._paths[row],
                    root=self.root,
                    is_cut=kind == "video" and not self._whole and not (is_frozen and untimed),
                    is_frozen=is_frozen,
                    text=text,
                    lang=lang,
                )

    def notes(self, item: MediaItem) -> Notes:
        row = self._row[item.item_id]
        found = {name: values[row] for name, values in self._metadata.items()}
        metadata = {name: value for name, value in found.items() if value is not None}
        texts, machine = self._captions.get(item.item_id, {}), self._machine.get(item.item_id, frozenset())
        if item.text is not None and item.lang is not None:
            metadata = {name: value for name, value in metadata.items() if name not in TEXT_KEYS}
            others = [] if item.lang in machine else texts.get(item.lang, [])
            texts = texts | {item.lang: list(dict.fromkeys([item.text, *others]))}
            machine -= {item.lang}
        return Notes.of(metadata, texts, machine=machine)

    def _outdated(self, features: FeatureSet) -> Iterator[Rejected]:
        """Tell of items whose file or text was replaced since their vectors were extracted."""
        for item_id, made in zip(features.ids, features.files, strict=True):
            row = self._row.get(item_id)
            if item_id in self._texts and made.kind == "text":
                text, _ = self._texts[item_id]
                if not made.is_content(FileState.of_text(one_line(text))):
                    reason = "indexed, but by the vector of a text that was changed since: dragoman features"
                    yield Rejected(item_id, None, f"{reason} {self._corpus}")
                continue
            path = None if row is None else self._paths[row]
            if row is None or path is None or "://" in path or made == UNKNOWN:
                continue
            if not made.is_content(made.now(self._kinds[row], self.root / path)):
                reason = "indexed, but by the vector of a file that was replaced since: dragoman features"
                yield Rejected(item_id, path, f"{reason} {self._corpus}")

    def frozen(self, item: MediaItem) -> NDArray[np.floating] | Frames:
        assert self._features is not None
        if not item.is_cut:
            rows = np.array([self._feature_row[item.item_id]])
            found: NDArray[np.floating] = self._features.whole(rows)[0]
            return found
        vectors, times = self._features.frames(item.item_id)
        assert times is not None
        return frames(vectors, times, self._features.sampling)


def features_of(corpus: Corpus, trained: Mapping[str, Any]) -> FeatureSet | None:
    """Open the feature set that a model was trained on, if the corpus has it, by the same vision tower; with
    the descriptions of its items beside it, where the model reads them."""
    name = trained.get("features") or corpus.features_of(trained.get("vision"))
    if name not in corpus.feature_names:
        return None
    found = corpus.features(str(name))
    made_by, expected = found.manifest.get("encoder"), trained.get("vision")
    told = (made_by.get("fingerprint"),) if isinstance(made_by, dict) else ()
    if told and isinstance(expected, dict) and told != (expected.get("fingerprint"),):
        return None
    return with_descriptions(found, corpus, trained.get("descriptions"))


def _corrections(captions: pa.Table) -> Iterator[Correction]:
    """Read the captions that a corpus knows as corrections, in its order."""
    if FOUND_IN.name not in captions.column_names:
        return
    for row in captions.filter(pc.equal(captions[FOUND_IN.name], CORRECTION)).to_pylist():
        yield Correction(
            item_id=row["item_id"], lang=row["lang"], text=row["text"], translation=row.get(CORRECTS.name)
        )


def _below(path: str | None, *roots: Path) -> str | None:
    """Strip the path of a file of the first of these folders that it lies in."""
    for root in roots:
        if path is not None and "://" not in path and Path(path).is_relative_to(root):
            return Path(path).relative_to(root).as_posix()
    return path


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


def _captions(table: pa.Table) -> tuple[dict[str, dict[str, list[str]]], dict[str, frozenset[str]]]:
    """Gather captions by item and language: all by people in their order, or the machine's of most trust.

    Returns them, and the languages of each item that have a machine's.
    """
    found: dict[str, dict[str, list[str]]] = {}
    best: dict[tuple[str, str], float] = {}
    for batch in table.select(["item_id", "lang", "role", "text", "trust"]).to_batches():
        for item_id, lang, role, text, trust in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            worth = BY_PEOPLE if role == "human" else -1.0 if trust is None else trust
            known = best.get((item_id, lang), -2.0)
            if role in NOT_SHOWN or worth < known or (worth == known and role != "human"):
                continue
            texts = found.setdefault(item_id, {}).setdefault(lang, [])
            if worth > known:
                texts.clear()
            texts.append(text)
            best[item_id, lang] = worth
    machine: dict[str, set[str]] = {}
    for (item_id, lang), worth in best.items():
        if worth < BY_PEOPLE:
            machine.setdefault(item_id, set()).add(lang)
    # Most items have the same languages: one set stands for all of them.
    sets = {frozenset(langs): frozenset(langs) for langs in machine.values()}
    return found, {item_id: sets[frozenset(langs)] for item_id, langs in machine.items()}
