"""Frozen vectors of texts, looked up in a feature set by what the texts say; no encoder is loaded.

N texts, J width of the vectors; L tokens of a text, H width of their states.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.features import FeatureSet, Layout
from dragoman.errors import UserError
from dragoman.models.sentences import GOLDEN_TEXTS, Reading

if TYPE_CHECKING:
    from dragoman.corpus.corpus import Corpus


def digest(given: str) -> str:
    """Name a text, as the encoder gets it, by its content."""
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class KeptTokens:
    """States of the tokens of texts, looked up by what the texts say; no encoder is loaded."""

    def __init__(self, features: FeatureSet) -> None:
        """Look up in a feature set. Raises UserError for one of anything else."""
        _require(features, "tokens", "states of tokens", "--below-last N --encoder FOLDER")
        self.features = features
        self.made_by: Any = features.manifest["encoder"]
        self.first = int(self.made_by["layer"])
        self._reading = Reading(**self.made_by["reading"])

    def states(self, texts: Sequence[str]) -> list[NDArray[np.float16] | None]:
        """[L, H] of each text, which stay on the disk until they are read; None where there are none."""
        features = self.features
        rows = [features.row_of.get(digest(one)) for one in self._reading.given(texts)]
        return [
            None if row is None else features.vectors[slice(*features.offsets[row : row + 2])] for row in rows
        ]


class KeptTexts:
    """Vectors of texts, looked up by what the texts say; no encoder is loaded."""

    def __init__(self, features: FeatureSet) -> None:
        """Look up in a feature set. Raises UserError for one of anything else."""
        _require(features, "whole", "vectors of texts", "--encoder use")
        self.features = features
        made_by: Any = features.manifest["encoder"]
        self.made_by = {name: value for name, value in made_by.items() if name not in ("golden", "words")}
        """`path`, `fingerprint`, `reading` and `width` of the encoder; of one behind a server `address`."""
        self.reading = Reading(**made_by["reading"])
        golden = np.frombuffer(base64.b64decode(made_by["golden"]), "<f2").reshape(-1, self.width)
        # In the place after the last row: a model that learns from the set is known again by these texts.
        self._golden = golden
        self._row_of = {text: len(features.ids) + at for at, text in enumerate(GOLDEN_TEXTS)}

    @classmethod
    def made_like(cls, corpus: Corpus, made_by: Mapping[str, Any]) -> KeptTexts | None:
        """Find the set of a corpus whose vectors this encoder, reading so, has made."""
        for name in corpus.feature_names:
            features = corpus.features(name)
            if features.of_texts and features.layout == "whole":
                kept = cls(features)
                if all(kept.made_by[key] == made_by[key] for key in ("fingerprint", "reading")):
                    return kept
        return None

    @property
    def width(self) -> int:
        """J."""
        return self.features.width

    def holds(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether it has a vector."""
        self._find(texts)
        return [text in self._row_of for text in texts]

    def _find(self, texts: Sequence[str]) -> None:
        if unknown := [text for text in dict.fromkeys(texts) if text not in self._row_of]:
            rows = self.features.row_of
            given = self.reading.given(unknown)
            found = ((text, rows.get(digest(one))) for text, one in zip(unknown, given, strict=True))
            self._row_of |= {text: row for text, row in found if row is not None}

    def vectors(self, texts: Sequence[str], names: Sequence[str] | None = None) -> NDArray[np.float32]:
        """[N, J] of texts; `names` are the ids of their captions, for messages.

        Raises UserError that names the first text without a vector.
        """
        self._find(texts)
        missing = [at for at, text in enumerate(texts) if text not in self._row_of]
        if missing:
            folder, first = self.features.folder, missing[0]
            which = "" if names is None else f"of caption {names[first]}, "
            raise UserError(
                f"{folder} has no vector for {len(missing)} of {len(texts)} texts, the first {which}"
                f"{texts[first]!r}. Make them: dragoman features {folder.parent.parent} --texts"
            )
        row_N = np.array([self._row_of[text] for text in texts], np.int64)
        golden_N = row_N >= len(self.features.ids)
        vectors = np.empty((len(texts), self.width), np.float32)
        vectors[~golden_N] = self.features.vectors[row_N[~golden_N]]
        vectors[golden_N] = self._golden[row_N[golden_N] - len(self.features.ids)]
        return vectors


def _require(features: FeatureSet, layout: Layout, wanted: str, make: str) -> None:
    """Raise UserError for a set of anything else than `wanted`, which `make` makes."""
    if features.of_texts and features.layout == layout:
        return
    found = "vectors of items" if not features.of_texts else "states of tokens"
    if features.of_texts and features.layout == "whole":
        found = "vectors of texts"
    raise UserError(
        f"{features.folder} holds {found}, not {wanted}. Make some: "
        f"dragoman features {features.folder.parent.parent} --texts {make}"
    )
