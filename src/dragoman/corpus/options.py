"""Options of building a corpus, whatever the reader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from dragoman.corpus.given import GivenFeatures, GivenFrames
from dragoman.corpus.readers.contract import CAPTION_KEYS, ITEM_KEYS
from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.records import KINDS, ROLES, SPLITS, Kind, Role, Split


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of building a corpus; they check themselves."""

    features: tuple[GivenFeatures | GivenFrames, ...] = ()
    """Feature sets that come with the captions; each must cover every item."""
    media_root: Path | None = None
    """Folder in which relative paths of items begin; by default that of the file that names them."""
    media_pattern: str = "{item_id}.jpg"
    """File below `media_root` of an item that names no path; an item whose file is missing gets none."""
    lang: str | None = None
    """Language of captions that name none."""
    role: Role = "human"
    """Role of captions that name none."""
    split: Split | None = None
    """Split of items that name none."""
    split_fractions: tuple[float, float, float] | None = None
    """Shares of train, val and test among items that name no split, drawn by a hash of the item id."""
    seed: int = 0
    """Seed of that hash."""
    kind: Kind | None = None
    """Kind of items that name none; None is image."""
    metadata: tuple[str, ...] = ()
    """Columns of the caption file that describe the item and are kept for filters."""
    ignore: tuple[str, ...] = ()
    """Columns of the caption file that are left out."""
    reject_file: Path | None = None
    """Bad records are collected here, as JSON Lines, instead of ending the build."""
    overwrite: bool = False
    """Replace another corpus that exists, with all in it, or build this one anew."""

    def __post_init__(self) -> None:
        for name in ("media_root", "reject_file"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(path))
        if self.lang is not None:
            try:
                object.__setattr__(self, "lang", canonical_tag(self.lang))
            except ValueError as error:
                raise UserError(f"--lang: {error}") from None
        _require_known("role", self.role, ROLES)
        _require_known("split", self.split, SPLITS)
        _require_known("kind", self.kind, KINDS)
        if self.split is not None and self.split_fractions is not None:
            raise UserError("--split puts all items into one split, --split-fractions draws them. Give one.")
        if self.split_fractions is not None:
            _require_shares(self.split_fractions)
        taken = sorted(set(self.metadata) & (CAPTION_KEYS | ITEM_KEYS))
        if taken:
            raise UserError(
                f"--metadata {taken[0]}: that column has a meaning of its own. Leave the option out."
            )
        if "{item_id}" not in self.media_pattern:
            raise UserError(
                f"--media-pattern is {self.media_pattern!r}, but it must hold {{item_id}}, as in "
                "'{item_id}.jpg'."
            )
        names = [given.name for given in self.features]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"Two feature sets are named {name!r}. Tell them apart with --feature-name.")

    def split_of(self) -> Callable[[str], Split] | None:
        """Return the function that gives an item without a split its own, or None if there is none."""
        if self.split_fractions is not None:
            return split_by_hash(self.split_fractions, self.seed)
        if (split := self.split) is not None:
            return lambda item_id: split
        return None


def split_by_hash(fractions: tuple[float, float, float], seed: int) -> Callable[[str], Split]:
    """Return a function from item id to split; train, val and test get the given shares, which sum to 1.

    By hash, so that an item keeps its split when others come and go.
    """
    # Not by the library random: a draw must be the same in every version of Python and in any order of
    # items.
    bounds = list(accumulate(fractions))

    def split_of(item_id: str) -> Split:
        digest = hashlib.sha256(f"{seed}:{item_id}".encode()).digest()
        position = int.from_bytes(digest[:8]) / 2**64 * bounds[-1]
        # A rounding error in the last bound must not send an item past the end.
        return next((split for split, bound in zip(SPLITS, bounds, strict=True) if position < bound), "train")

    return split_of


def _require_known(option: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise UserError(f"--{option} is {value!r}, but one of {', '.join(known)} was expected.")


def _require_shares(fractions: tuple[float, ...]) -> None:
    if len(fractions) != 3 or not all(0 <= f <= 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"--split-fractions is {fractions}, but three shares of train, val and test that sum to 1 were "
            "expected, as in 0.8,0.1,0.1."
        )
