"""Items that are to be indexed, and what is said of them, wherever they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corrections import Corrections
from dragoman.errors import UserError
from dragoman.media.frames import Frames
from dragoman.records import Kind, Value
from dragoman.stores.checks import check_caption, check_field


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


def _holds(check: Callable[[str, Any, str], None], name: str, value: object, told: list[str]) -> bool:
    try:
        check(name, value, "it")
    except UserError as error:
        told.append(f"what cannot be stored: {error}")
        return False
    return True
