"""The records that every stage speaks of. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["image", "video", "text"]
Split = Literal["train", "val", "test"]
Role = Literal["human", "mt", "back", "description"]

KINDS: tuple[Kind, ...] = ("image", "video", "text")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
ROLES: tuple[Role, ...] = ("human", "mt", "back", "description")
CAPTION_ROLES: tuple[Role, ...] = ("human", "mt", "back")
"""Roles of what is said, translated and asked. A description is none of it: it enriches what a model sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One image, video or text. `path` is null when only its features exist, and of a text."""

    item_id: str
    split: Split
    kind: Kind = "image"
    path: str | None = None
    text: str | None = None
    """Content of an item of the kind `text`; null of all others."""
    lang: str | None = None
    """Language of `text`, as BCP 47 tag."""
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """One text about one item.

    `lang` is a BCP 47 tag. `source_id` names the caption this one was translated from (null for human
    captions and descriptions), `engine` the system that wrote it, and `trust` lies in 0..1, null until
    scored.
    """

    caption_id: str
    item_id: str
    lang: str
    role: Role
    text: str
    source_id: str | None = None
    engine: str | None = None
    trust: float | None = None


Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]
"""Value of one field of metadata; a field that is unknown is left out, never null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of an index, beside its vector."""

    item_id: str
    """Any text without control characters, at most 512 bytes of UTF-8."""
    kind: Kind = "image"
    lang: str | None = None
    """Language (BCP 47) of the caption that the item itself is, of the kind `text`; None of all others."""
    path: str | None = None
    """Path of the media file: absolute, relative to the media folder of the index, or a URI."""
    metadata: Mapping[str, Value] = field(default_factory=dict)
    """Fields that filters see."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """First text of each language (BCP 47), shown beside the picture; not searched. A text stands among them
    under its `lang`."""
    more_captions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further texts in languages of `captions`, in their order."""
    machine: frozenset[str] = frozenset()
    """Languages of `captions` whose texts a machine translated; people wrote those of all others."""
    source: str = ""
    """Digest of what the vector was made from; it changes with the file, and is empty where unknown."""

    @property
    def text(self) -> str | None:
        """The text that the item is, of the kind `text`."""
        return None if self.lang is None else self.captions[self.lang]

    @property
    def caption_roles(self) -> dict[str, Role]:
        """The role of the captions of each language."""
        return {lang: "mt" if lang in self.machine else "human" for lang in self.captions}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result; a higher score is better."""

    entry: Entry
    score: float
    """Cosine of query and item, -1..1."""
    relevance: float | None = None
    """Estimated probability that the item answers the query, 0..1; None where nothing was calibrated."""
