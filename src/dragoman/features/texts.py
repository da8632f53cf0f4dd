"""Frozen vectors of the texts of a corpus: one for each distinct text, by its content, resumable.

A text encoder that is not trained gives the same vector in every step, so it is asked once. The set has the
layout `whole`; an id is the digest of a text as the encoder gets it, so that captions of one wording share a
vector, and the `encoder` of its manifest says how texts are read. Of an encoder whose last layers learn, the
states that the first of these reads are kept in the same way, in the layout `tokens`.

N texts, J width of the vectors; L tokens of a text, H width of their states.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet, Layout
from dragoman.errors import CheckFailedError, UserError
from dragoman.features.extract import LARGEST, SHARD_SECONDS, clean_name
from dragoman.features.work import FeatureWork, Shard, working_folder
from dragoman.folders import sole_writer
from dragoman.grouping import by_length
from dragoman.models.sentences import GOLDEN_TEXTS, Reading, TextSide, encoder_folder, kind_of, load_text_side
from dragoman.progress import bar
from dragoman.records import CAPTION_ROLES

SHARD_TEXTS = 65_536
TOLERANCE = 1e-3
"""Largest difference of a component between two computers, for vectors of unit length."""


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Choices in reading texts; what is left out is as the encoder says of itself."""

    prefix: str | None = None
    """Prefix of every text, as `query: ` for e5."""
    pool: str | None = None
    """Vector of the states of a text: `mean`, `first`, `last` or `max`; of `use`: `own+mean` or `own`."""
    below_last: int | None = None
    """In the place of vectors, states of the tokens below the last N layers, of the captions of train and
    val: what a training of these layers begins with."""
    words: bool = False
    """Vectors of the single words of the captions as well, for models that read words by them."""
    batch_size: int = 64
    """Texts in a forward pass."""
    device: str = "auto"
    """`cpu`, `cuda`, `mps`, or `auto`: cuda where there is one."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.below_last is not None and (self.words or self.pool is not None):
            raise UserError("States of tokens are neither pooled nor those of words: --below-last alone.")


OPTIONS = TextOptions()


@dataclass(frozen=True, kw_only=True)
class TextReport:
    """Result of one call."""

    folder: Path
    extracted: int
    """Vectors made by this call."""
    total: int
    """Distinct texts."""
    captions: int


def extract_texts(
    corpus: str | Path, *, encoder: str | Path, name: str | None = None, options: TextOptions = OPTIONS
) -> TextReport:
    """Write `corpus/features/<name>/`: float16 vectors of every distinct caption, in any language and role,
    or with `below_last` states of its tokens.

    `encoder` is the name, folder or hub id of a sentence encoder; `name` defaults to its last part. A later
    run makes what is missing, and leaves out what no caption says any more.

    Raises UserError where the name belongs to the vectors of another encoder or reading, and CheckFailedError
    where this encoder gives other vectors than the one that made the set.
    """
    opened = Corpus.open(corpus)
    final = opened.folder / "features" / clean_name(name or Path(encoder).name.rpartition(":")[2])
    source = encoder_folder(encoder)
    kind = kind_of(source)
    numpy = getattr(kind, "NUMPY", False)
    side = load_text_side(source, "cpu" if numpy else _device(options.device))
    assert kind is not None
    side.reading = _reading(side, options, source)
    place = str(source.resolve()) if source.exists() else str(encoder)
    first = None if options.below_last is None else _first(side, options.below_last, source)
    make = _Maker(side, first)
    identity = {"fingerprint": kind.fingerprint(source), "reading": asdict(side.reading), **make.identity}
    if hasattr(kind, "address"):
        identity["address"] = kind.address(source)
    # A finished model reads texts itself: states are for training and the validations within it.
    splits = None if first is None else ("train", "val")
    captions = opened.select(split=splits, role=None if first is None else CAPTION_ROLES).texts
    text_of = {digest(text): text for text in side.reading.given(captions)}
    total = len(text_of)
    with sole_writer(working_folder(final)):
        work = FeatureWork(final, make.layout, identity)
        with_words = options.words
        if work.old is not None:
            _require_same_vectors(work.old, make.golden())
            with_words |= bool(dict(work.old.manifest["encoder"]).get("words"))
        if with_words:
            words = sorted({word for line in side.words(captions) for word in line})
            text_of |= {digest(text): text for text in side.reading.given(words)}
        known = work.known
        todo = {one: text for one, text in sorted(text_of.items()) if one not in known}
        with bar(len(todo), final.name, "texts") as progress:
            for shard in _shards(make, todo, options.batch_size):
                work.add(shard)
                progress.update(len(shard.ids))
        extracted = work.new
        if work.shards or work.old is None or set(work.old.ids) != set(text_of):
            golden = base64.b64encode(make.golden().astype("<f2").tobytes()).decode()
            made_by = {"path": place, "of": "texts", "width": make.width, **identity, "golden": golden}
            if with_words:
                made_by["words"] = True
            inputs = {"captions.parquet": opened.fingerprint()["captions.parquet"]}
            work.assemble(list(text_of), [], encoder=made_by, inputs=inputs)
    return TextReport(folder=final, extracted=extracted, total=total, captions=len(captions))


@dataclass(frozen=True)
class _Maker:
    """Vectors of an encoder, or states that one of its layers reads."""

    side: TextSide
    first: int | None
    """That layer, from 0."""

    @property
    def layout(self) -> Layout:
        return "whole" if self.first is None else "tokens"

    @property
    def identity(self) -> dict[str, int]:
        return {} if self.first is None else {"layer": self.first}

    @property
    def width(self) -> int:
        """J, or H, which may be another."""
        return self.side.width if self.first is None else int(self.golden().shape[1])

    def make(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """[J] or [L, H] of each text of a batch."""
        return list(self.side.encode(texts)) if self.first is None else self.side.states(texts, self.first)

    def golden(self) -> NDArray[np.float32]:
        """[3, J] vectors of the golden texts, or [3, H] means of their states."""
        return np.stack([one.reshape(-1, one.shape[-1]).mean(0) for one in self.make(GOLDEN_TEXTS)])


def _first(side: TextSide, last: int, source: Path) -> int:
    """The first of the last N layers, from 0."""
    if not 1 <= last <= side.layers:
        known = f"{side.layers} layers" if side.layers else "no layers whose states can be kept"
        raise UserError(f"--below-last {last} was asked for, but {source} has {known}.")
    return side.layers - last


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
    found = "vectors of pictures" if not features.of_texts else "states of tokens"
    if features.of_texts and features.layout == "whole":
        found = "vectors of texts"
    raise UserError(
        f"{features.folder} holds {found}, not {wanted}. Make some: "
        f"dragoman features {features.folder.parent.parent} --texts {make}"
    )


def _reading(side: TextSide, options: TextOptions, source: Path) -> Reading:
    if options.pool not in (None, *side.pools):
        raise UserError(f"{source} pools by {', '.join(side.pools)}; pool {options.pool!r} cannot be had.")
    chosen = {name: getattr(options, name) for name in ("prefix", "pool")}
    return replace(side.reading, **{name: value for name, value in chosen.items() if value is not None})


def _shards(make: _Maker, todo: dict[str, str], batch_size: int) -> Iterator[Shard]:
    """Encode texts, short ones first, in whole batches that do not depend on where a run was stopped."""
    ids, texts = list(todo), list(todo.values())
    # As the texts are given already, they are encoded as they stand.
    side = make.side
    plain = replace(side.reading, prefix="", lowercase=False, folded=False)
    shard, start, before = Shard(), monotonic(), side.reading
    side.reading = plain
    try:
        for batch in by_length(side.lengths(texts), rows=batch_size):
            vectors = make.make([texts[row] for row in batch])
            if not all(np.abs(one).max() <= LARGEST for one in vectors):  # true for NaN as well
                raise UserError(f"A vector does not fit into float16 (-{LARGEST:.0f} to {LARGEST:.0f}).")
            shard.ids += [ids[row] for row in batch]
            shard.vectors += [one.astype(np.float16) for one in vectors]
            if len(shard.ids) >= SHARD_TEXTS or monotonic() - start >= SHARD_SECONDS:
                yield shard
                shard, start = Shard(), monotonic()
    finally:
        side.reading = before
    if shard.ids:
        yield shard


def _require_same_vectors(features: FeatureSet, found: NDArray[np.float32]) -> None:
    made_by: Any = features.manifest.get("encoder")
    stored = np.frombuffer(base64.b64decode(made_by["golden"]), "<f2").reshape(found.shape)
    if np.abs(stored - found).max() > TOLERANCE * max(1.0, float(np.linalg.norm(found, axis=1).max())):
        raise CheckFailedError(
            f"{features.folder} was made by an encoder of the same name or files that gave other vectors. "
            "Has its package another version, or its server another model? Give this set a name of its own: "
            "--name"
        )


def _device(device: str) -> str:
    # PyTorch takes seconds to import, and an encoder in NumPy does without.
    from dragoman.models.vision import checked_device

    return checked_device(device)
