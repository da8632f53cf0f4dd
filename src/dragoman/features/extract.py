"""Frozen vision vectors for a whole corpus: resumable, with broken images and videos listed and not fatal.

Finished shards lie in `features/.<name>/`, always at whole batches: an interrupted job goes on at the same
batch boundaries and so ends with the same bits. The feature set is assembled from them in
`features/.<name>/new` and takes its name by a rename. Memory: the tower, two batches of prepared frames, the
vectors of one shard, and per worker one decoded image (`max_megapixels` times 14 MB, measured).

A corpus with videos gets the vectors of their frames; its images are videos of one frame.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import Layout
from dragoman.errors import UserError
from dragoman.features.encoding import Encoded, ItemFile, Opener, encoded
from dragoman.features.work import FeatureWork, NoVector, Shard, working_folder, write_rejected
from dragoman.folders import sole_writer
from dragoman.media.frames import Sampling
from dragoman.media.images import DECODING, Decoding
from dragoman.media.video import pyav
from dragoman.models.hub import model_folder
from dragoman.progress import bar

SHARD_SECONDS = 10.0
"""Longest time of work that a kill can cost. Vectors do not depend on where a shard ends."""
SHARD_FRAMES = 8192
SAMPLING = Sampling()
LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """Choices of an extraction."""

    grid: int = 0
    """Cells along a side of the tower's map that are kept as regions of an image, for a fusion encoder; 0
    keeps none."""
    batch_size: int | None = None
    """Images in a forward pass; by default 4 on a CPU, where more are slower, and 64 elsewhere."""
    device: str = "auto"
    """`cpu`, `cuda`, `mps`, or `auto`: cuda where there is one."""
    sampling: Sampling = SAMPLING
    """Frames of a video that are read."""
    decoding: Decoding = DECODING

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.grid < 0:
            raise UserError(f"grid must be 0 (no regions) or more, got {self.grid}")


OPTIONS = ExtractOptions()


@dataclass(frozen=True, kw_only=True)
class ExtractionReport:
    """Result of one call; `rejected` are all items of the corpus that have no vector, with the reason."""

    folder: Path
    extracted: int
    """Vectors made by this call."""
    total: int
    """Vectors in the feature set, or items that have frames."""
    rejected: tuple[NoVector, ...]
    frames: int = 0
    """Frames in the feature set, where the corpus holds videos."""


def extract_features(
    corpus: str | Path,
    *,
    encoder: str | Path,
    name: str | None = None,
    options: ExtractOptions = OPTIONS,
) -> ExtractionReport:
    """Write `corpus/features/<name>/`: float16 vectors of every item's image through the tower `encoder`.

    `encoder` is a folder or hub id, `name` defaults to its last part. With a grid an item has 1 + grid * grid
    vectors: that of the image, and those of the cells of the tower's map. Where the corpus holds videos, an
    item has one vector of each sampled frame. Only items that have no vector yet are worked on, those
    rejected before among them. What is broken ends in `rejected.jsonl`. Raises UserError where the name
    belongs to the vectors of another encoder, grid or sampling.
    """
    from dragoman.models.vision import VisionTower, checked_device, preprocessing, tower_fingerprint

    opened, grid, sampling = Corpus.open(corpus), options.grid, options.sampling
    final = opened.folder / "features" / clean_name(name or Path(encoder).name)
    device = checked_device(options.device)
    layout = _layout(opened, grid)
    source = model_folder(encoder)
    identity: dict[str, Any] = {"fingerprint": tower_fingerprint(source)} | ({"grid": grid} if grid else {})
    identity |= {"sampling": asdict(sampling)} if layout == "frames" else {}
    # The path of a local folder, so that a search over images finds the tower again; a hub id as it is.
    place = str(source.resolve()) if Path(encoder).exists() else str(encoder)
    opener = Opener(sampling, options.decoding)
    with sole_writer(working_folder(final)):
        work = FeatureWork(final, layout, identity)
        todo, rejected = _split(opened, work, opener)
        if todo:
            tower = VisionTower.load(source, device, grid)
            batches = encoded(
                tower,
                todo,
                opener.frames_of,
                batch_size=options.batch_size or (4 if device == "cpu" else 64),
                workers=options.decoding.threads,
                batch_across_items=layout != "frames",
            )
            with bar(len(todo), final.name, "items" if layout == "frames" else "images") as progress:
                for shard in _shards(batches, layout, sampling.most, progress.update):
                    work.add(shard)
        manifest = {"encoder": {"path": place, **identity}, "preprocessing": preprocessing(source)}
        return _finish(opened, work, rejected, **manifest)


def _layout(corpus: Corpus, grid: int) -> Layout:
    """Choose what is kept of an item. Raises UserError where it cannot be had."""
    if "video" not in corpus.items["kind"].unique().to_pylist():
        return "regions" if grid else "whole"
    if grid:
        raise UserError(
            f"{corpus.folder} holds videos, of whose frames no regions are kept. Extract without --grid, or "
            "build a corpus of the images alone."
        )
    # Before the tower is loaded, which takes longer.
    pyav()
    return "frames"


def clean_name(name: str) -> str:
    """Turn a name into that of one plain folder: letters, digits, `_`, `-` and inner dots.

    Raises UserError where nothing is left of it.
    """
    cleaned = re.sub(r"[^\w.-]+", "_", name).strip("._-")
    if not cleaned:
        raise UserError(f"{name!r} gives no name for a feature set. Give one: --name clip")
    return cleaned


def _split(corpus: Corpus, work: FeatureWork, opener: Opener) -> tuple[list[ItemFile], list[NoVector]]:
    """Split the items: those that need a vector, in corpus order, and those that cannot have one."""
    done = work.done
    before = {one.item_id for one in work.rejected_before}
    todo: list[ItemFile] = []
    rejected: list[NoVector] = []
    columns = (corpus.items[name].to_pylist() for name in ("item_id", "kind", "path"))
    for item_id, kind, path in zip(*columns, strict=True):
        if item_id in done:
            continue
        reason = _no_file(path)
        item = ItemFile(item_id, kind, path or "", corpus.media_path(path or ""))
        if reason is None and item_id in before:
            # Rejected by an earlier run: without a look first, each run would load the tower for it in vain.
            reason = opener.refusal(item)
        if reason is None:
            todo.append(item)
        else:
            rejected.append(NoVector(item_id=item_id, path=path, reason=reason))
    return todo, rejected


def _no_file(path: str | None) -> str | None:
    if path is None:
        return "the item has no path"
    if "://" in path:
        return "a URI, not a file: download it and give its path"
    return None


def _shards(
    batches: Iterable[list[Encoded]], layout: Layout, most: int, tell: Callable[[int], object]
) -> Iterator[Shard]:
    """Join batches until SHARD_SECONDS have passed or SHARD_FRAMES are reached; `tell` how many came."""
    shard, frames, start = Shard(), 0, monotonic()
    for batch in batches:
        for one in batch:
            _add(shard, one, layout, most)
            frames += max(1, len(one.vectors))
        tell(len(batch))
        if batch and (monotonic() - start >= SHARD_SECONDS or frames >= SHARD_FRAMES):
            yield shard
            shard, frames, start = Shard(), 0, monotonic()
    if shard.ids or shard.rejected:
        yield shard


def _add(shard: Shard, one: Encoded, layout: Layout, most: int) -> None:
    """Put what the tower made of an item into a shard, or the reason why there is nothing."""
    reason = None if one.refusal is None else one.refusal.reason
    if reason is None:
        vectors, times = one.joined(most)
        if np.abs(vectors).max() <= LARGEST:  # false for NaN as well
            shard.ids.append(one.item.item_id)
            half = vectors.astype(np.float16)
            shard.vectors.append(half if layout == "frames" else half[0])
            shard.times.append(times)
            return
        whose = "a vector of it" if layout == "frames" else "its vector"
        reason = f"{whose} does not fit into float16 (-{LARGEST:.0f} to {LARGEST:.0f})"
    shard.rejected.append(NoVector(item_id=one.item.item_id, path=one.item.path, reason=reason))


def _finish(
    corpus: Corpus, work: FeatureWork, rejected: list[NoVector], **manifest: object
) -> ExtractionReport:
    """Assemble the feature set where there is something new, and report."""
    order = corpus.items["item_id"].to_pylist()
    extracted, now = work.new, work.rejected_now
    place = {item_id: position for position, item_id in enumerate(order)}
    rejected = rejected + [one for one in now if one.item_id in place]
    rejected.sort(key=lambda one: place[one.item_id])
    if extracted or now or work.old is None:
        inputs = {"items.parquet": corpus.fingerprint()["items.parquet"]}
        total = work.assemble(order, rejected, inputs=inputs, **manifest)
    else:
        total = len(work.old.ids)
        if rejected != work.rejected_before:
            write_rejected(work.final, rejected)
    frames = 0
    if work.layout == "frames" and total:
        frames = len(corpus.features(work.final.name).vectors)
    return ExtractionReport(
        folder=work.final, extracted=extracted, total=total, rejected=tuple(rejected), frames=frames
    )
