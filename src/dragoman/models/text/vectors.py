"""Vectors of texts, as a frozen sentence encoder makes them or made them once. No torch.

T texts, H width of the vectors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import DamagedError, UserError
from dragoman.folders import write_json
from dragoman.models.sentences import Reading, TextSide, encoder_folder, kind_of, load_text_side

ASSETS = Path("text") / "encoder.json"


class KeptVectors(Protocol):
    """Vectors of texts that a frozen encoder made once."""

    @property
    def made_by(self) -> Mapping[str, Any]:
        """`path`, `fingerprint`, `reading` and `width` of the encoder; of one behind a server `address`."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[T, H]; raises UserError for a text without one."""

    def holds(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether it has a vector."""


class KeptStates(Protocol):
    """States of the tokens of texts, that one layer of a transformer reads, made once."""

    first: int
    """That layer, from 0."""

    @property
    def made_by(self) -> Mapping[str, Any]:
        """`path`, `fingerprint` and `reading` of the encoder."""

    def states(self, texts: Sequence[str]) -> list[NDArray[np.float16] | None]:
        """[L, H] of each text, which stay on the disk until they are read; None where there are none."""


class FrozenVectors:
    """Vectors of texts by a frozen encoder, which is loaded when it is first needed."""

    def __init__(self, made_by: Mapping[str, Any], kept: KeptVectors | None = None) -> None:
        """`made_by` describes the encoder (`path`, `fingerprint`, `reading`, `width`). With `kept`, texts
        without a vector there are errors."""
        self.made_by = dict(made_by)
        self.width = int(made_by["width"])
        # The second half knows more of a text, and less of which texts of two languages mean the same.
        self.own_width = self.width // 2 if made_by["reading"].get("pool") == "own+mean" else self.width
        """Width of the encoder's own vector, with which these vectors begin."""
        self._kept, self._asked = kept, kept is None
        self._other: FrozenVectors | None = None

    def look_up(self, kept: KeptVectors) -> None:
        """Take vectors from where they are kept, and ask the encoder for others alone."""
        self._kept, self._asked = kept, True

    def share(self, other: FrozenVectors) -> None:
        """Take the encoder of `other` where it is the same, so that it is loaded once."""
        if all(self.made_by[name] == other.made_by[name] for name in ("fingerprint", "reading")):
            self._other = other

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[T, H]"""
        kept = self._kept
        if kept is None:
            return self._made(texts)
        if not self._asked:
            return kept.vectors(texts)
        held = np.array(kept.holds(texts), bool)
        found = np.empty((len(texts), self.width), np.float32)
        for here, vectors in ((held, kept.vectors), (~held, self._made)):
            if here.any():
                found[here] = vectors([texts[row] for row in np.flatnonzero(here).tolist()])
        return found

    def _made(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # Kept vectors are rounded so; the same rounding here gives the same vectors.
        return self.side.encode(texts).astype(np.float16).astype(np.float32)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that the encoder was trained on, as far as it says so."""
        return tuple(getattr(kind_of(Path(self.made_by["path"])), "LANGUAGES", ()))

    @cached_property
    def side(self) -> TextSide:
        """The encoder. Raises UserError where it is not there any more, DamagedError for another one."""
        if self._other is not None:
            return self._other.side
        path, made_at = self.made_by["path"], self.made_by.get("address")
        try:
            folder = encoder_folder(path)
            kind = kind_of(folder)
            # Queries must not go wherever a folder of others says, nor be read by another model of this name.
            ask = getattr(kind, "address", None)
            if ask is not None and (asked := ask(folder)) != made_at:
                raise UserError(
                    f"It stood at {made_at}, and OPENAI_BASE_URL names {asked}. Texts go only to the server "
                    f"that is named there: export OPENAI_BASE_URL={made_at}"
                )
            found = None if kind is None else kind.fingerprint(folder)
            side = load_text_side(folder)
        except UserError as error:
            said = f"The model reads texts by the encoder {path}, which cannot be had."
            raise UserError(f"{said} {error}") from None
        # Golden texts tell other weights, but not those of a word that none of them holds.
        if found != self.made_by["fingerprint"]:
            raise DamagedError(
                f"The encoder {path} has other files than the one whose vectors the model learned from: they "
                "are damaged, or of another version. Restore them, or make the vectors and the model anew: "
                "dragoman features CORPUS --texts, dragoman train"
            )
        side.reading = Reading(**self.made_by["reading"])
        return side


def write_encoder(folder: Path, settings: Mapping[str, Any], frozen: FrozenVectors) -> None:
    """Write into a model folder which encoder it is, and how it is used; its weights stay where they are."""
    (folder / ASSETS).parent.mkdir(parents=True, exist_ok=True)
    write_json(folder / ASSETS, {**settings, **frozen.made_by})


def read_encoder(folder: Path) -> tuple[dict[str, Any], FrozenVectors]:
    """Read what `write_encoder` wrote: the settings, and the encoder."""
    said = json.loads((folder / ASSETS).read_text(encoding="utf-8"))
    settings = {name: said.pop(name) for name in ("features", "own") if name in said}
    return settings, FrozenVectors(said)
