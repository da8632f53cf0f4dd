"""Items that are to be indexed: those of a folder of media, or of a corpus.

Memory holds their ids, their tables of metadata, and of a corpus its captions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dragoman.corpus.corpus import CORPUS, CORRECTS, FOUND_IN, TEXT_KEYS, Corpus
from dragoman.corpus.corrections import CORRECTION, Correction, Corrections
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.folders import MANIFEST
from dragoman.languages import comparable
from dragoman.media.file_state import UNKNOWN
from dragoman.media.folder import ORIGINS, OWN, MediaFolder, NoteError
from dragoman.media.frames import Frames, frames
from dragoman.media.listing import Listing, kind_of
from dragoman.metadata import column_values
from dragoman.records import KINDS, Kind, Value
from dragoman.stores.checks import check_caption, check_field

BY_PEOPLE = 2.0
"""Worth of a person's caption; the machine's has its trust, 0 to 1."""
NOT_SHOWN = ("back", "description")
"""Roles of captions that an entry does not have: neither says in which words an item is spoken of."""


class Rejected(NamedTuple):
    """Something that cannot be indexed, or not with all that lies beside it, and why."""

    item_id: str
    path: str | None
    reason: str


class Notes(NamedTuple):
    """Metadata and captions of an item, as an entry has them."""

    metadata: Mapping[str, Value]
    captions: Mapping[str, str]
    more_captions: Mapping[str, tuple[str, ...]]
    faults: tuple[str, ...] = ()
    """Things that could not be read, to be told."""
    machine: tuple[str, ...] = ()
    """Languages, sorted, whose captions a machine translated."""

    @classmethod
    def of(
        cls,
        metadata: Mapping[str, Value],
        texts: Mapping[str, Sequence[str]],
        faults: Sequence[str] = (),
        machine: AbstractSet[str] = frozenset(),
    ) -> Notes:
        """Tell the first caption of each language from the others, without what no store can hold."""
        # The picture is sound: it is found by its pixels, whatever is said of it.
        told = list(faults)
        fields = {name: value for name, value in metadata.items() if _holds(check_field, name, value, told)}
        kept = {
            lang: good
            for lang, several in texts.items()
            if (good := [text for text in several if _holds(check_caption, lang, text, told)])
        }
        more = {lang: tuple(several[1:]) for lang, several in kept.items() if len(several) > 1}
        first = {lang: several[0] for lang, several in kept.items()}
        faults = tuple(f"indexed, but without {fault}" for fault in told)
        return cls(fields, first, more, faults, tuple(sorted(machine & first.keys())))


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaItem:
    """An item, as it is known without a look into its file. The plan hands it on to all that follows."""

    item_id: str
    kind: Kind
    path: str | None
    """Place of the file as entries tell it: relative to `root`, absolute, or a URI."""
    root: Path
    is_cut: bool
    """True for a video whose moments become entries; every other item is one entry."""
    is_frozen: bool
    """True where vectors of it are kept (`Items.frozen`): no file is opened then, and no text encoded."""
    text: str | None = None
    """Content of an item of the kind `text`."""
    lang: str | None = None
    """Language of that text."""

    @property
    def file(self) -> Path | None:
        """Place of the media file, where there should be one on this computer."""
        return None if self.path is None or "://" in self.path else self.root / self.path


class Items(ABC):
    """Items that are to be indexed, with a file, a text or frozen vectors each."""

    root: Path
    """Absolute; the paths of entries are relative to it."""
    faults: Sequence[Rejected]
    """Files that were found and are no items."""
    corrections: Corrections = Corrections()
    """Corrections among the captions."""

    @property
    def left_out(self) -> Sequence[str]:
        """Lines on what the rules leave out, once the notes of all items are read."""
        return ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    @abstractmethod
    def walk(self, *kinds: Kind) -> Iterator[MediaItem]:
        """Yield the items of these kinds, each once, sorted by the code points of their ids."""

    @abstractmethod
    def notes(self, item: MediaItem) -> Notes:
        """Read metadata and captions, as far as they can be read."""

    def frozen(self, item: MediaItem) -> NDArray[np.floating] | Frames:
        """Read the vision vectors of an item that is frozen.

        [D] of an image, the frames of a video that is cut, or [F, D] of one that is not, absent frames NaN.
        """
        raise NotImplementedError


def open_items(
    media: Path,
    trained: Mapping[str, Any],
    lang: str | None,
    *,
    whole_videos: bool = False,
    exclude: Sequence[str] = (),
    media_root: Path | None = None,
) -> Items:
    """Open a corpus, or any other folder as a folder of media.

    `trained` is what the model was trained with (`config.json`); `lang` is the language of captions whose
    file names none; patterns of `exclude` leave out files of a folder of media; `media_root` is the folder of
    the media of a corpus. Raises UserError.
    """
    manifest = media / MANIFEST
    # By its text, not by reading it: a corpus with a damaged manifest is told of, not indexed as photos.
    if manifest.is_file() and CORPUS.name in manifest.read_text(encoding="utf-8", errors="replace"):
        if exclude:
            raise UserError(f"{media} is a corpus, and --exclude is for folders of images. Leave it out.")
        return CorpusItems(Corpus.open(media), trained, whole_videos, media_root)
    if media_root is not None:
        raise UserError(f"{media} is no corpus: its media lie in itself. Leave --media-root out.")
    if not media.is_dir():
        raise UserError(f"{media} is no folder. Give a folder of images, or a corpus.")
    # Entries have paths below the root, which must not change with the way to it.
    found = MediaFolder(media.resolve(), exclude)
    return FolderItems(found, lang or comparable(str(trained.get("source", "en"))), whole_videos)


class FolderItems(Items):
    """All images and videos below a folder, but for links that lead out of it."""

    def __init__(self, media: MediaFolder, lang: str, whole: bool) -> None:
        """If `whole`, videos are not cut."""
        self.root = media.folder
        self._media, self._lang, self._whole = media, lang, whole
        # The service shows the files of an index: a link must not open the rest of the disk to it.
        out = {one for one in media.links if _leads_out(self.root / one, self.root)}
        reason = "a link that leads out of the folder: index the folder that holds the file"
        self.faults = [Rejected(path, path, why) for path, why in media.unusable]
        self.faults += [Rejected(path, path, reason) for path in sorted(out)]
        for file, line, reason in media.faults:
            table = file.relative_to(self.root).as_posix()
            self.faults.append(Rejected(table, table, f"line {line}: {reason}" if line else reason))
        # No fault here, as for a corpus, whose captions they might be: the pictures are found without them.
        self._strays = Listing()
        for path in media.strays:
            self._strays.leave_out(path, "texts that belong to no image or video")
        self._ids = [one for one in media.ids if one not in out]

    @property
    def left_out(self) -> Sequence[str]:
        inside = self._media.taken_inside()
        told = ", ".join(f"{origin} {inside[origin]:,}" for origin in ORIGINS if origin in inside)
        lines = [f"captions from inside pictures and their sidecars: {told}"] if told else []
        return [*lines, *self._media.left_out(), *self._strays.left_out()]

    def __len__(self) -> int:
        return len(self._ids)

    def walk(self, *kinds: Kind) -> Iterator[MediaItem]:
        for path in self._ids:
            if (kind := kind_of(path)) in kinds and kind is not None:
                is_cut = kind == "video" and not self._whole
                yield MediaItem(
                    item_id=path, kind=kind, path=path, root=self.root, is_cut=is_cut, is_frozen=False
                )

    def notes(self, item: MediaItem) -> Notes:
        found: dict[str, list[str]] = {}
        metadata: Mapping[str, Value] = {}
        faults = []
        for texts in self._media.texts(item.item_id, self._lang):
            try:
                for line in texts.lines():
                    if line.fault is None:
                        found.setdefault(texts.lang or self._lang, []).append(line.text)
                    else:
                        faults.append(f"line {line.number} of {texts.file.name}: {line.fault}")
            except NoteError as error:
                within = f"the {texts.within} of " if texts.within else ""
                faults.append(f"{within}{texts.file.name}, which {error.what}")
        try:
            metadata = self._media.metadata(item.item_id)
        except NoteError as error:
            faults.append(f"its metadata: {error}")
        return Notes.of(metadata, found, faults)


class CorpusItems(Items):
    """All items of a corpus. Where the feature set of the model is there, no image and no video is opened."""

    def __init__(
        self, corpus: Corpus, trained: Mapping[str, Any], whole: bool, media_root: Path | None = None
    ) -> None:
        """If `whole`, videos are not cut. Media below `media_root` have their paths from there. Raises
        UserError where that is no folder."""
        if media_root is not None and not media_root.is_dir():
            raise UserError(f"{media_root} is no folder. Give the folder of the media with --media-root.")
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
        self._texts = _texts(items) if "text" in self._kinds else {}
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
        """Tell of items whose file was replaced since their vectors were extracted."""
        for item_id, made in zip(features.ids, features.files, strict=True):
            row = self._row.get(item_id)
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
    """Open the feature set that a model was trained on, if the corpus has it, by the same vision tower."""
    name = trained.get("features") or corpus.features_of(trained.get("vision"))
    if name not in corpus.feature_names:
        return None
    found = corpus.features(str(name))
    made_by, expected = found.manifest.get("encoder"), trained.get("vision")
    if isinstance(made_by, dict) and isinstance(expected, dict):
        return found if made_by.get("fingerprint") == expected.get("fingerprint") else None
    return found


def _corrections(captions: pa.Table) -> Iterator[Correction]:
    """Read the captions that a corpus knows as corrections, in its order."""
    if FOUND_IN.name not in captions.column_names:
        return
    for row in captions.filter(pc.equal(captions[FOUND_IN.name], CORRECTION)).to_pylist():
        yield Correction(
            item_id=row["item_id"], lang=row["lang"], text=row["text"], translation=row.get(CORRECTS.name)
        )


def _holds(check: Callable[[str, Any, str], None], name: str, value: object, told: list[str]) -> bool:
    try:
        check(name, value, "it")
    except UserError as error:
        told.append(f"what cannot be stored: {error}")
        return False
    return True


def _leads_out(file: Path, root: Path) -> bool:
    return file.is_symlink() and not file.resolve().is_relative_to(root)


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


def _texts(items: pa.Table) -> dict[str, tuple[str, str]]:
    """Text and language of each item that is a text."""
    columns = (items[name].to_pylist() for name in ("item_id", "kind", *TEXT_KEYS))
    rows = zip(*columns, strict=True)
    return {item_id: (text, lang) for item_id, kind, text, lang in rows if kind == "text"}


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
