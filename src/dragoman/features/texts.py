"""Frozen vectors of the texts of a corpus: one for each distinct caption, by its content, resumable; and of
items that are texts, one for each, in the place of what a tower makes of pictures.

A text encoder that is not trained gives the same vector in every step, so it is asked once. The set has the
layout `whole`; an id is the digest of a text as the encoder gets it, so that captions of one wording share a
vector, and the `encoder` of its manifest says how texts are read. Of an encoder whose last layers learn, the
states that the first of these reads are kept in the same way, in the layout `tokens`.

N texts, J width of the vectors; L tokens of a text, H width of their states.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.blocks import HERE, Cluster, Compute, Load, gathered
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet, Layout
from dragoman.errors import CheckFailedError, UserError
from dragoman.features.extract import LARGEST, SHARD_SECONDS, ExtractionReport, clean_name, contents
from dragoman.features.kept_texts import digest
from dragoman.features.work import FeatureWork, NoVector, Shard, working_folder, write_rejected
from dragoman.folders import sole_writer
from dragoman.grouping import by_length
from dragoman.media.file_state import FileState
from dragoman.models.sentences import GOLDEN_TEXTS, Reading, TextSide, encoder_folder, kind_of, load_text_side
from dragoman.progress import bar
from dragoman.records import CAPTION_ROLES
from dragoman.texts import one_line

SHARD_TEXTS = 65_536
BLOCK_TEXTS = 4096
"""Texts that a worker of a cluster gets at a time."""
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
    cluster: Cluster = HERE
    """Computers that run the encoder."""

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
    final = opened.folder / "features" / clean_name(name or _name(encoder))
    make = _opened(encoder, options, "texts")
    side, first = make.side, make.first
    # A finished model reads texts itself: states are for training and the validations within it.
    splits = None if first is None else ("train", "val")
    captions = opened.select(split=splits, role=None if first is None else CAPTION_ROLES).texts
    text_of = {digest(text): text for text in side.reading.given(captions)}
    total = len(text_of)
    with sole_writer(working_folder(final)):
        work = FeatureWork(final, make.layout, make.identity)
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
            for shard in _shards(make, todo, options):
                work.add(shard)
                progress.update(len(shard.ids))
        extracted = work.new
        if work.shards or work.old is None or set(work.old.ids) != set(text_of):
            made_by = make.described() | ({"words": True} if with_words else {})
            inputs = {"captions.parquet": opened.fingerprint()["captions.parquet"]}
            work.assemble(list(text_of), [], encoder=made_by, inputs=inputs)
    return TextReport(folder=final, extracted=extracted, total=total, captions=len(captions))


def extract_items(
    corpus: str | Path, *, encoder: str | Path, name: str | None = None, options: TextOptions = OPTIONS
) -> ExtractionReport:
    """Write `corpus/features/<name>/` of a corpus whose items are all texts: one float16 vector each.

    `encoder` is the name, folder or hub id of a sentence encoder; `name` defaults to its last part with
    `_items` behind it. A later run works on items that are new, or whose text is another, and drops what left
    the corpus. Texts of which the encoder knows nothing end in `rejected.jsonl`. Raises as `extract_texts`,
    and UserError where items are no texts.
    """
    opened = Corpus.open(corpus)
    texts = {item_id: one_line(text) for item_id, (text, _) in opened.texts.items()}
    order = opened.items["item_id"].to_pylist()
    if len(texts) < len(order):
        raise UserError(
            f"{len(order) - len(texts)} of {len(order)} items of {opened.folder} are no texts. Give their "
            f"vectors by a vision tower, or those of all captions: dragoman features {opened.folder} --texts"
        )
    if options.words or options.below_last is not None:
        raise UserError("Items have one vector each: leave --words and --below-last out, or give --texts.")
    final = opened.folder / "features" / clean_name(name or f"{_name(encoder)}_items")
    make = _opened(encoder, options, "items")
    lines = list(texts.values())
    given = dict(zip(texts, make.side.reading.given(lines), strict=True))
    reads = dict(zip(texts, make.side.reads(lines), strict=True))
    states = {item_id: FileState.of_text(text) for item_id, text in texts.items()}
    with sole_writer(working_folder(final)):
        work = FeatureWork(final, make.layout, make.identity)
        if work.old is not None:
            _require_same_vectors(work.old, make.golden())
        rejected = [
            NoVector(item_id=item_id, path=None, reason="the encoder knows nothing of its text")
            for item_id in order
            if not reads[item_id]
        ]
        known = work.known
        todo = {
            item_id: given[item_id]
            for item_id in order
            if reads[item_id] and not (item_id in known and known[item_id].is_of(states[item_id]))
        }
        with bar(len(todo), final.name, "texts") as progress:
            for shard in _shards(make, todo, options):
                shard.files = {item_id: states[item_id] for item_id in shard.ids}
                work.add(shard)
                progress.update(len(shard.ids))
        extracted, ids = work.new, work.ids(order, rejected)
        if work.shards or work.old is None or ids != work.old.ids:
            inputs = {"items": contents(ids, states)}
            work.assemble(order, rejected, states, encoder=make.described(), inputs=inputs)
        elif rejected != work.rejected_before:
            write_rejected(work.final, rejected)
    return ExtractionReport(folder=final, extracted=extracted, total=len(ids), rejected=tuple(rejected))


def _name(encoder: str | Path) -> str:
    """Name a set after its encoder."""
    return Path(encoder).name.rpartition(":")[2]


def _opened(encoder: str | Path, options: TextOptions, of: str) -> _Maker:
    """Load an encoder to make vectors of `texts` or `items`."""
    source = encoder_folder(encoder)
    kind = kind_of(source)
    numpy = getattr(kind, "NUMPY", False)
    side = load_text_side(source, "cpu" if numpy else _device(options.device))
    assert kind is not None
    side.reading = _reading(side, options, source)
    first = None if options.below_last is None else _first(side, options.below_last, source)
    identity = {"of": of, "fingerprint": kind.fingerprint(source), "reading": asdict(side.reading)}
    if first is not None:
        identity["layer"] = first
    if hasattr(kind, "address"):
        identity["address"] = kind.address(source)
    return _Maker(side, first, str(source.resolve()) if source.exists() else str(encoder), identity)


@dataclass(frozen=True)
class _Maker:
    """Vectors of an encoder, or states that one of its layers reads."""

    side: TextSide
    first: int | None
    """That layer, from 0."""
    path: str
    identity: Mapping[str, Any]
    """Must be the same for vectors to be mixed."""

    @property
    def layout(self) -> Layout:
        return "whole" if self.first is None else "tokens"

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

    def described(self) -> dict[str, Any]:
        """Manifest entry of the encoder."""
        golden = base64.b64encode(self.golden().astype("<f2").tobytes()).decode()
        told = {"path": self.path, "of": self.identity["of"], "width": self.width}
        return {**told, **self.identity, "golden": golden}


def _first(side: TextSide, last: int, source: Path) -> int:
    """The first of the last N layers, from 0."""
    if not 1 <= last <= side.layers:
        known = f"{side.layers} layers" if side.layers else "no layers whose states can be kept"
        raise UserError(f"--below-last {last} was asked for, but {source} has {known}.")
    return side.layers - last


def _reading(side: TextSide, options: TextOptions, source: Path) -> Reading:
    if options.pool not in (None, *side.pools):
        raise UserError(f"{source} pools by {', '.join(side.pools)}; pool {options.pool!r} cannot be had.")
    chosen = {name: getattr(options, name) for name in ("prefix", "pool")}
    return replace(side.reading, **{name: value for name, value in chosen.items() if value is not None})


def _shards(make: _Maker, todo: dict[str, str], options: TextOptions) -> Iterator[Shard]:
    """Encode texts, short ones first, in whole batches that do not depend on where a run was stopped."""
    ids, texts = list(todo), list(todo.values())
    batches = [
        _Batch([ids[row] for row in batch], [texts[row] for row in batch])
        for batch in by_length(make.side.lengths(texts), rows=options.batch_size)
    ]
    if not batches:
        return
    with gathered(options.cluster) as workers:
        load: Load[_Batch, Shard] = partial(_compute, make)
        if options.cluster.ray is not None:
            device = workers.device(options.device, _device)
            load = partial(_loaded, make.path, options, device, make.identity)
        shard, start = Shard(), monotonic()
        a_block = max(1, BLOCK_TEXTS // options.batch_size)
        blocks = (batches[at : at + a_block] for at in range(0, len(batches), a_block))
        for one in workers.computed(load, blocks):
            shard.add(one)
            if len(shard.ids) >= SHARD_TEXTS or monotonic() - start >= SHARD_SECONDS:
                yield shard
                shard, start = Shard(), monotonic()
        if shard.ids:
            yield shard


class _Batch(NamedTuple):
    """Texts that are encoded together, as the encoder gets them."""

    ids: list[str]
    texts: list[str]


def _loaded(
    path: str, options: TextOptions, device: str, identity: Mapping[str, Any]
) -> Compute[_Batch, Shard]:
    """Load an encoder on another computer. Raises UserError where it is not that of `identity`."""
    make = _opened(path, replace(options, device=device), identity["of"])
    if make.identity != identity:
        raise UserError(
            f"{path} is another encoder on a node of the cluster. Give a folder that all nodes see."
        )
    return _compute(make)


def _compute(make: _Maker) -> Compute[_Batch, Shard]:
    return partial(_encoded, make)


def _encoded(make: _Maker, batches: Iterable[_Batch]) -> Iterator[Shard]:
    """Yield a shard of each batch."""
    side, before = make.side, make.side.reading
    # As the texts are given already, they are encoded as they stand.
    side.reading = replace(before, prefix="", lowercase=False, folded=False)
    try:
        for batch in batches:
            vectors = make.make(batch.texts)
            if not all(np.abs(one).max() <= LARGEST for one in vectors):  # true for NaN as well
                raise UserError(f"A vector does not fit into float16 (-{LARGEST:.0f} to {LARGEST:.0f}).")
            yield Shard(ids=batch.ids, vectors=[one.astype(np.float16) for one in vectors])
    finally:
        side.reading = before


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
