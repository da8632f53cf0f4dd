"""Frozen vision vectors for a whole corpus: resumable, with broken images and videos listed and not fatal.

Finished shards lie in `features/.<name>/`, always at whole batches: an interrupted job goes on at the same
batch boundaries and so ends with the same bits. The feature set is assembled from them in
`features/.<name>/new` and takes its name by a rename. Memory: the tower, two batches of prepared frames, the
vectors of one shard, and per worker one decoded image (`max_megapixels` times 14 MB, measured).

A corpus of which half or more are videos gets the vectors of their frames; its images are videos of one
frame. Where images are the majority, a video has one vector as they do: the mean of its frames.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dragoman.blocks import HERE, Cluster, Compute, gathered
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import Layout
from dragoman.errors import UserError
from dragoman.features.encoding import Encoded, ItemFile, Opener, encoded
from dragoman.features.work import (
    FeatureWork,
    NoVector,
    Shard,
    videos_before,
    working_folder,
    write_rejected,
)
from dragoman.folders import sole_writer
from dragoman.media.file_state import UNKNOWN, FileState
from dragoman.media.frames import Sampling
from dragoman.media.images import DECODING, Decoding
from dragoman.media.video import pyav
from dragoman.models.hub import model_folder
from dragoman.progress import bar

if TYPE_CHECKING:
    from dragoman.models.vision import VisionTower

SHARD_SECONDS = 10.0
"""Longest time of work that a kill can cost. Vectors do not depend on where a shard ends."""
SHARD_FRAMES = 8192
BLOCK_FRAMES = 512
"""Frames that a worker of a cluster gets at a time; a video counts for as many as are read of it at most."""
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
    cluster: Cluster = HERE
    """Computers that run the tower."""
    sampling: Sampling = SAMPLING
    """Frames of a video that are read."""
    decoding: Decoding = DECODING
    frames: bool = False
    """Keep the frames of videos where these are less than half of the corpus, too; otherwise a video is the
    mean of its frames there."""

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.grid < 0:
            raise UserError(f"grid must be 0 (no regions) or more, got {self.grid}")
        if self.grid and self.frames:
            raise UserError("Of frames no regions are kept. Give --grid or --frames, not both.")


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
    """Frames in the feature set, where it holds those of videos."""
    averaged: int = 0
    """Videos in the feature set that have the mean of their frames for a vector."""


def extract_features(
    corpus: str | Path,
    *,
    encoder: str | Path,
    name: str | None = None,
    options: ExtractOptions = OPTIONS,
) -> ExtractionReport:
    """Write `corpus/features/<name>/`: float16 vectors of every item's image through the tower `encoder`.

    `encoder` is a folder or hub id, `name` defaults to its last part. With a grid an item has 1 + grid * grid
    vectors: that of the image, and those of the cells of the tower's map. Where half of the corpus or more
    are videos, or with `options.frames`, an item has one vector of each sampled frame; a video among more
    images has the mean of these. What is broken ends in `rejected.jsonl`.

    A later run goes on with what the feature set has: it works on items without a vector, those rejected
    before among them, and on those whose file has another content, and drops what left the corpus. A file
    that is not there keeps its vector.

    Raises UserError where the name belongs to the vectors of another encoder, grid or sampling, or to means
    of videos and frames are asked for.
    """
    from dragoman.models.vision import checked_device, preprocessing, tower_fingerprint

    opened, grid, sampling = Corpus.open(corpus), options.grid, options.sampling
    final = opened.folder / "features" / clean_name(name or Path(encoder).name)
    source = model_folder(encoder)
    identity: dict[str, Any] = {"fingerprint": tower_fingerprint(source)} | ({"grid": grid} if grid else {})
    # The path of a local folder, so that a search over images finds the tower again; a hub id as it is.
    place = str(source.resolve()) if Path(encoder).exists() else str(encoder)
    opener = Opener(sampling, options.decoding)
    with sole_writer(working_folder(final)):
        layout, averages = _layout(opened, options, videos_before(final))
        identity |= {"sampling": asdict(sampling)} if layout == "frames" or averages else {}
        identity |= {"videos": "mean"} if averages else {}
        work = FeatureWork(final, layout, identity)
        todo, rejected, files = _split(opened, work, opener)
        if todo:
            with gathered(options.cluster) as workers:
                device = workers.device(options.device, checked_device)
                size = options.batch_size or (4 if device == "cpu" else 64)
                load = _Extraction(place, None, device, grid, opener, size, layout)
                if options.cluster.ray is not None:
                    # A worker has some of the cores of its node, and not the threads for all of them.
                    threads = options.decoding.workers or options.cluster.ray_cpus
                    opener = replace(opener, decoding=replace(options.decoding, workers=threads))
                    load = replace(load, expected=str(identity["fingerprint"]), opener=opener)
                made = workers.computed(load, load.blocks(todo))
                with bar(len(todo), final.name, "items" if "sampling" in identity else "images") as progress:
                    for shard in _joined(made, progress.update):
                        work.add(shard)
                        files |= shard.files
        manifest = {"encoder": {"path": place, **identity}, "preprocessing": preprocessing(source)}
        return _finish(opened, work, rejected, files, **manifest)


def _layout(
    corpus: Corpus, options: ExtractOptions, before: Literal["frames", "mean"] | None
) -> tuple[Layout, bool]:
    """Choose what is kept of an item, and tell if videos become means of their frames.

    Goes on with what was chosen `before`. Raises UserError where it cannot be had.
    """
    kinds = [kind for kind in corpus.items["kind"].to_pylist() if kind != "text"]
    videos = kinds.count("video")
    if videos and options.grid:
        raise UserError(
            f"{corpus.folder} holds videos, of whose frames no regions are kept. Extract without --grid, or "
            "build a corpus of the images alone."
        )
    if videos:
        # Before the tower is loaded, which takes longer.
        pyav()
    if options.grid:
        return "regions", False
    mostly_videos = videos > 0 and 2 * videos >= len(kinds)
    if options.frames or before == "frames" or (before is None and mostly_videos):
        return "frames", False
    return "whole", before == "mean" or videos > 0


def clean_name(name: str) -> str:
    """Turn a name into that of one plain folder: letters, digits, `_`, `-` and inner dots.

    Raises UserError where nothing is left of it.
    """
    cleaned = re.sub(r"[^\w.-]+", "_", name).strip("._-")
    if not cleaned:
        raise UserError(f"{name!r} gives no name for a feature set. Give one: --name clip")
    return cleaned


def _split(
    corpus: Corpus, work: FeatureWork, opener: Opener
) -> tuple[list[ItemFile], list[NoVector], dict[str, FileState]]:
    """Split the items: those that need a vector, in corpus order, and those that cannot have one.

    Of all others, the states of their files today.
    """
    known, before = work.known, {one.item_id for one in work.rejected_before}
    todo: list[ItemFile] = []
    rejected: list[NoVector] = []
    files: dict[str, FileState] = {}
    columns = (corpus.items[name].to_pylist() for name in ("item_id", "kind", "path"))
    for item_id, kind, path in zip(*columns, strict=True):
        # No tower sees a text, and nobody expects it to.
        if kind == "text":
            continue
        if (reason := _no_file(path)) is not None:
            rejected.append(NoVector(item_id=item_id, path=path, reason=reason))
            continue
        item = ItemFile(item_id, kind, path, corpus.media_path(path))
        if (made := known.get(item_id)) is not None:
            now = made.state.now(kind, item.file)
            if made.is_of(now):
                files[item_id] = now
                if made.rejected is not None:
                    rejected.append(made.rejected)
                continue
        elif item_id in before and (reason := opener.refusal(item)) is not None:
            # Rejected by an earlier run: without a look first, each run would load the tower for it in vain.
            rejected.append(NoVector(item_id=item_id, path=path, reason=reason))
            continue
        todo.append(item)
    return todo, rejected, files


def _no_file(path: str | None) -> str | None:
    if path is None:
        return "the item has no path"
    if "://" in path:
        return "a URI, not a file: download it and give its path"
    return None


@dataclass(frozen=True)
class _Extraction:
    """Vectors of items: a tower that is loaded, in this process or another, and how items go through it."""

    place: str
    """Folder or hub id of the tower."""
    expected: str | None
    """Fingerprint that it must have on another computer."""
    device: str
    grid: int
    opener: Opener
    batch_size: int
    layout: Layout

    def __call__(self) -> Compute[ItemFile, Shard]:
        from dragoman.models.vision import VisionTower

        tower = VisionTower.load(self.place, self.device, self.grid)
        if self.expected is not None and self.expected != tower.fingerprint:
            raise UserError(
                f"{self.place} is another tower on a node of the cluster than here. Give a folder that all "
                "nodes see."
            )
        return partial(self._made, tower)

    def blocks(self, items: Iterable[ItemFile]) -> Iterator[list[ItemFile]]:
        """Cut items into blocks of about BLOCK_FRAMES: each ends with a full batch, or with what shares none.

        So the batches are the same wherever a block is computed, and whichever blocks are left after a kill.
        """
        block: list[ItemFile] = []
        frames = waiting = 0
        for item in items:
            block.append(item)
            is_alone = self.layout == "frames" or item.kind == "video"
            frames += self.opener.sampling.most if item.kind == "video" else 1
            waiting = 0 if is_alone else (waiting + 1) % self.batch_size
            if not waiting and frames >= BLOCK_FRAMES:
                yield block
                block, frames = [], 0
        if block:
            yield block

    def _made(self, tower: VisionTower, items: Iterable[ItemFile]) -> Iterator[Shard]:
        """Yield a shard of each batch."""
        states = self.opener.states
        for batch in encoded(
            tower,
            items,
            self.opener.noted_frames_of,
            batch_size=self.batch_size,
            workers=self.opener.decoding.threads,
            batch_across_items=self.layout != "frames",
        ):
            shard = Shard()
            for one in batch:
                shard.files[one.item.item_id] = states.pop(one.item.item_id, UNKNOWN)
                _add(shard, one, self.layout, self.opener.sampling.most)
            yield shard


def _joined(made: Iterable[Shard], tell: Callable[[int], object]) -> Iterator[Shard]:
    """Join shards until SHARD_SECONDS have passed or SHARD_FRAMES are reached; `tell` how many items came."""
    shard, frames, start = Shard(), 0, monotonic()
    for one in made:
        shard.add(one)
        frames += sum(map(len, one.times)) + len(one.rejected)
        tell(len(one.files))
        if one.files and (monotonic() - start >= SHARD_SECONDS or frames >= SHARD_FRAMES):
            yield shard
            shard, frames, start = Shard(), 0, monotonic()
    if shard.files:
        yield shard


def _add(shard: Shard, one: Encoded, layout: Layout, most: int) -> None:
    """Put what the tower made of an item into a shard, or the reason why there is nothing."""
    reason = None if one.refusal is None else one.refusal.reason
    if reason is None:
        vectors, times = one.joined(most)
        if layout != "frames":
            # An image has one: its mean is itself, to the bit.
            vectors = vectors.mean(axis=0)
        if np.abs(vectors).max() <= LARGEST:  # false for NaN as well
            shard.ids.append(one.item.item_id)
            shard.vectors.append(vectors.astype(np.float16))
            shard.times.append(times)
            return
        whose = "a vector of it" if layout == "frames" else "its vector"
        reason = f"{whose} does not fit into float16 (-{LARGEST:.0f} to {LARGEST:.0f})"
    shard.rejected.append(NoVector(item_id=one.item.item_id, path=one.item.path, reason=reason))


def _finish(
    corpus: Corpus,
    work: FeatureWork,
    rejected: list[NoVector],
    files: Mapping[str, FileState],
    **manifest: object,
) -> ExtractionReport:
    """Assemble the feature set where there is something new, and report."""
    corpus.require_current()
    order = corpus.items["item_id"].to_pylist()
    place = {item_id: position for position, item_id in enumerate(order)}
    known, told = work.known, {one.item_id for one in rejected}
    # Those that this run rejected.
    rejected += [
        one.rejected
        for item_id, one in known.items()
        if one.rejected is not None and item_id in place and item_id not in told
    ]
    rejected.sort(key=lambda one: place[one.item_id])
    extracted, ids = work.new, work.ids(order, rejected)
    if work.shards or work.old is None or ids != work.old.ids:
        inputs = {"media": contents(ids, files)}
        total = work.assemble(order, rejected, files, inputs=inputs, **manifest)
    else:
        total = len(ids)
        if (now := [files[item_id] for item_id in ids]) != work.old.files:
            work.old.note_files(now)
        if rejected != work.rejected_before:
            write_rejected(work.final, rejected)
    frames = averaged = 0
    if total and "sampling" in work.identity:
        features = corpus.features(work.final.name)
        if work.layout == "frames":
            frames = len(features.vectors)
        else:
            kind = dict(zip(order, corpus.items["kind"].to_pylist(), strict=True))
            averaged = sum(kind.get(item_id) == "video" for item_id in features.ids)
    return ExtractionReport(
        folder=work.final,
        extracted=extracted,
        total=total,
        rejected=tuple(rejected),
        frames=frames,
        averaged=averaged,
    )


def contents(ids: Iterable[str], files: Mapping[str, FileState]) -> str:
    """Hash what the vectors were made of: training on others is another run."""
    digest = hashlib.sha256()
    for item_id in ids:
        digest.update(f"{item_id}\n{files[item_id].digest}\n".encode())
    return digest.hexdigest()
