"""Frozen vision vectors for a whole corpus: resumable, with broken images and videos listed and not fatal.

Finished shards lie in `features/.<name>/`, one atomic file each, always at whole batches: an interrupted job
goes on at the same batch boundaries and so ends with the same bits. The feature set is assembled from them in
`features/.<name>/new` and takes its name by a rename. Memory: the tower, one batch, the vectors of one shard,
and per worker one decoded image (`max_megapixels` times 14 MB, measured).

A corpus with videos gets the vectors of their frames (`extract_frames.py`); its images are videos of one
frame.

N images of a batch, R regions of an image, D width of the vectors.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features.extract_frames import LARGEST, Look, Medium, frame_shards
from dragoman.features.feature_work import FeatureWork, Rejected, Shard, working_folder, write_rejected
from dragoman.features.frame_work import FrameWork
from dragoman.folders import sole_writer
from dragoman.media.images import MAX_MEGAPIXELS, ImageError, open_image
from dragoman.media.video import Sampling, pyav
from dragoman.models.hub import model_folder
from dragoman.progress import bar

if TYPE_CHECKING:
    from torch import Tensor

    from dragoman.models.vision import VisionTower

SHARD_SECONDS = 10.0
"""What a kill can cost. Where a shard ends does not change its vectors."""
SHARD_IMAGES = 8192
SAMPLING = Sampling()


@dataclass(frozen=True, kw_only=True)
class ExtractionReport:
    """What one call did; `rejected` are all items of the corpus that have no vector, with the reason."""

    folder: Path
    extracted: int
    """Vectors made by this call."""
    total: int
    """Vectors in the feature set, or items that have frames."""
    rejected: tuple[Rejected, ...]
    frames: int = 0
    """Frames in the feature set, where the corpus holds videos."""


def extract_features(
    corpus: str | Path,
    *,
    encoder: str | Path,
    name: str | None = None,
    grid: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    max_megapixels: float = MAX_MEGAPIXELS,
    workers: int | None = None,
    sampling: Sampling = SAMPLING,
) -> ExtractionReport:
    """Write `corpus/features/<name>/`: float16 vectors of every item's image through the tower `encoder`.

    `encoder` is a folder or hub id, `name` defaults to its last part. With a `grid` an item has
    1 + grid * grid vectors: that of the image, and those of the cells of the tower's map. Only items that
    have no vector yet are worked on, those rejected before among them. `batch_size` defaults to 4 on a CPU,
    where larger batches are slower, and to 64 elsewhere. `workers` threads decode images (default: one per
    core, at most 8). Where the corpus holds videos, `sampling` says which of their frames are read. What is
    broken ends in `rejected.jsonl`. Raises UserError where the name belongs to the vectors of another
    encoder, grid or sampling.
    """
    from dragoman.models.vision import VisionTower, checked_device, preprocessing, tower_fingerprint

    opened = Corpus.open(corpus)
    final = opened.folder / "features" / clean_name(name or Path(encoder).name)
    device = checked_device(device)
    batch_size = (4 if device == "cpu" else 64) if batch_size is None else batch_size
    if batch_size < 1 or max_megapixels <= 0:
        raise UserError(f"Batch size {batch_size}, limit {max_megapixels} megapixels: both must be above 0.")
    if grid < 0:
        raise UserError(f"grid must be 0 (no regions) or more, got {grid}")
    videos = "video" in opened.items["kind"].unique().to_pylist()
    if videos and grid:
        raise UserError(
            f"{corpus} holds videos, of whose frames no regions are kept. Extract without --grid, or build a "
            "corpus of the images alone."
        )
    if videos:
        pyav()
    look = Look(sampling, max_megapixels)
    source = model_folder(encoder)
    # The path of a local folder, so that a search over images finds the tower again; a hub id as it is.
    place = str(source.resolve()) if Path(encoder).exists() else str(encoder)
    fingerprint = tower_fingerprint(source)
    identity: dict[str, Any] = {"path": place, "fingerprint": fingerprint} | ({"grid": grid} if grid else {})
    identity |= {"sampling": asdict(sampling)} if videos else {}
    workers = workers or _cores()
    with sole_writer(working_folder(final)):
        work = FrameWork(final, fingerprint, sampling) if videos else FeatureWork(final, fingerprint, grid)
        todo, rejected = _split(opened, work, look)
        if todo:
            tower = VisionTower.load(source, device, grid)
            with bar(len(todo), final.name, "items" if videos else "images") as progress:
                if isinstance(work, FrameWork):
                    sizes = {"batch_size": batch_size, "workers": workers, "most": SHARD_IMAGES}
                    for frames in frame_shards(
                        tower, todo, look, progress.update, seconds=SHARD_SECONDS, **sizes
                    ):
                        work.keep(frames)
                else:
                    prepared = _prepared(tower, todo, max_megapixels, batch_size, workers)
                    for shard in _shards(_batches(tower, prepared, batch_size), progress.update):
                        work.add(shard)
        return _finish(opened, work, rejected, encoder=identity, preprocessing=preprocessing(source))


def clean_name(name: str) -> str:
    """A feature-set name that is one plain folder name: letters, digits, `_`, `-` and inner dots."""
    cleaned = re.sub(r"[^\w.-]+", "_", name).strip("._-")
    if not cleaned:
        raise UserError(f"{name!r} gives no name for a feature set. Give one: --name clip")
    return cleaned


def _cores() -> int:
    return min(os.cpu_count() or 1, 8)


def _split(corpus: Corpus, work: FeatureWork, look: Look) -> tuple[list[Medium], list[Rejected]]:
    """Media that need a vector, in corpus order, and items that cannot have one."""
    done = work.done
    before = {one.item_id for one in work.rejected_before}
    todo: list[Medium] = []
    rejected: list[Rejected] = []
    columns = (corpus.items[name].to_pylist() for name in ("item_id", "kind", "path"))
    for item_id, kind, path in zip(*columns, strict=True):
        if item_id in done:
            continue
        reason = _no_file(path)
        medium = Medium(item_id, kind, path or "", corpus.media_path(path or ""))
        if reason is None and item_id in before:
            # Rejected by an earlier run: without a look first, each run would load the tower for it in vain.
            reason = look.refusal(medium)
        if reason is None:
            todo.append(medium)
        else:
            rejected.append(Rejected(item_id=item_id, path=path, reason=reason))
    return todo, rejected


def _no_file(path: str | None) -> str | None:
    if path is None:
        return "the item has no path"
    if "://" in path:
        return "a URI, not a file: download it and give its path"
    return None


def _prepared(
    tower: VisionTower, images: Sequence[Medium], max_megapixels: float, batch_size: int, workers: int
) -> Iterator[tuple[Medium, dict[str, Tensor] | str]]:
    """Tower input of every image, or the reason why there is none, in order, made ahead in threads."""

    def prepare(image: Medium) -> dict[str, Tensor] | str:
        try:
            return tower.prepare(open_image(image.file, max_megapixels))
        except ImageError as error:
            return error.reason
        except (ValueError, TypeError, RuntimeError) as error:
            return f"the tower's preprocessing failed ({error})"

    waiting: deque[tuple[Medium, Future[dict[str, Tensor] | str]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        for image in images:
            waiting.append((image, pool.submit(prepare, image)))
            if len(waiting) > 2 * batch_size:
                first, future = waiting.popleft()
                yield first, future.result()
        for image, future in waiting:
            yield image, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(
    tower: VisionTower, prepared: Iterable[tuple[Medium, dict[str, Tensor] | str]], batch_size: int
) -> Iterator[Shard]:
    """One small shard a batch. A batch is `batch_size` items, broken ones included."""
    images = iter(prepared)
    while batch := list(islice(images, batch_size)):
        good = [(image, inputs) for image, inputs in batch if not isinstance(inputs, str)]
        refused = [(image, reason) for image, reason in batch if isinstance(reason, str)]
        vectors = tower.embed([inputs for _, inputs in good]) if good else np.empty((0, *tower.shape))
        largest_N = np.abs(vectors).max(axis=tuple(range(1, vectors.ndim)), initial=0)
        fits_N = largest_N <= LARGEST  # false for NaN as well
        refused += [
            (image, f"its vector does not fit into float16 (-{LARGEST:.0f} to {LARGEST:.0f})")
            for (image, _), fits in zip(good, fits_N, strict=True)
            if not fits
        ]
        yield Shard(
            ids=[image.item_id for (image, _), fits in zip(good, fits_N, strict=True) if fits],
            vectors=vectors[fits_N].astype(np.float16),
            rejected=[Rejected(item_id=one.item_id, path=one.path, reason=reason) for one, reason in refused],
        )


def _shards(batches: Iterable[Shard], done: Callable[[int], object]) -> Iterator[Shard]:
    """Batches joined until SHARD_SECONDS have passed or SHARD_IMAGES are reached."""
    joined: list[Shard] = []
    start, count = monotonic(), 0
    for batch in batches:
        joined.append(batch)
        count += len(batch.ids) + len(batch.rejected)
        done(len(batch.ids) + len(batch.rejected))
        if monotonic() - start >= SHARD_SECONDS or count >= SHARD_IMAGES:
            yield _join(joined)
            joined, start, count = [], monotonic(), 0
    if joined:
        yield _join(joined)


def _join(shards: Sequence[Shard]) -> Shard:
    return Shard(
        ids=[item_id for shard in shards for item_id in shard.ids],
        vectors=np.concatenate([shard.vectors for shard in shards]),
        rejected=[one for shard in shards for one in shard.rejected],
    )


def _finish(
    corpus: Corpus, work: FeatureWork, rejected: list[Rejected], **manifest: object
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
    if isinstance(work, FrameWork) and total:
        frames = len(corpus.features(work.final.name).vectors)
    return ExtractionReport(
        folder=work.final, extracted=extracted, total=total, rejected=tuple(rejected), frames=frames
    )
