"""The items of a world: what each shows, their table, their files, and the feature set `grid` of those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragoman.arrow import pa
from dragoman.corpus.corpus import ITEMS
from dragoman.corpus.features import write_features
from dragoman.folders import atomic_path, sha256
from dragoman.media.video import pyav
from dragoman.progress import bar
from dragoman.records import Split
from dragoman.scenes.draws import Draws
from dragoman.scenes.grid import NAME, describe
from dragoman.scenes.render import FRAMES, RATE, clip_frames, render
from dragoman.scenes.scene import Clip, Group, Scene, distinct_clips, distinct_scenes, reversed_clip

SPLIT_CYCLE: tuple[Split, ...] = (
    *("train", "test", "train", "train", "val", "train", "train", "test", "train", "train", "test", "train"),
)
"""Two thirds for training, a quarter for the test. Scene or clip i takes place i modulo 12."""
STEP = RATE
"""`grid` describes one frame a second of a clip, the first and the last among them."""
MOTION = "The generated world in motion"
"""Thing that needs the package of videos, in messages."""
QUANTISER = "20"
"""H.264's scale of loss, 0 (none) to 51."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldItem:
    """One item of a world. A clip and its reversal are two, with one number."""

    item_id: str
    number: int
    shows: Scene | Clip

    @property
    def path(self) -> str:
        """Path of the media file, in the corpus folder."""
        return f"media/{self.item_id}.{'png' if isinstance(self.shows, Scene) else 'mp4'}"


def picture_items(items: int, seed: int) -> list[WorldItem]:
    """`items` pictures, all of different scenes."""
    return [
        WorldItem(item_id=f"s{number:05d}", number=number, shows=scene)
        for number, scene in enumerate(distinct_scenes(items, seed))
    ]


def clip_items(items: int, seed: int) -> list[WorldItem]:
    """`items` clips: each is followed by its reversal."""
    return [
        WorldItem(item_id=f"m{number:05d}{suffix}", number=number, shows=shown)
        for number, clip in enumerate(distinct_clips(items // 2, seed))
        for suffix, shown in (("", clip), ("r", reversed_clip(clip)))
    ]


def split_of(number: int) -> Split:
    """The split of scene or clip `number`."""
    return SPLIT_CYCLE[number % len(SPLIT_CYCLE)]


def items_table(items: Sequence[WorldItem]) -> pa.Table:
    """`items.parquet` of a world: the facts of what is shown are metadata."""
    # A clip and its reversal have one number, and so one split: no model is tested on frames that it learnt.
    rows = [
        {"item_id": item.item_id, "kind": _kind(item), "path": item.path, "split": split_of(item.number)}
        | _facts(item)
        for item in items
    ]
    facts = [pa.field(name, pa.int8() if "count" in name else pa.string()) for name in _facts(items[0])]
    return pa.Table.from_pylist(rows, schema=pa.schema([*ITEMS, *facts]))


def _kind(item: WorldItem) -> str:
    return "image" if isinstance(item.shows, Scene) else "video"


def _facts(item: WorldItem) -> dict[str, object]:
    shown = item.shows
    facts: dict[str, object] = {"ground": shown.ground, "place": shown.place}
    facts |= _group_facts(shown.first, "")
    facts["relation"] = shown.relation
    facts |= _group_facts(shown.second, "_2")
    if isinstance(shown, Clip):
        facts |= {"event": shown.event, "reversal": _reversal(item.item_id)}
    return facts


def _reversal(item_id: str) -> str:
    return item_id.removesuffix("r") if item_id.endswith("r") else f"{item_id}r"


def _group_facts(group: Group | None, suffix: str) -> dict[str, object]:
    return {
        f"object{suffix}": group and group.kind,
        f"colour{suffix}": group and group.colour,
        f"size{suffix}": group and group.size,
        f"count{suffix}": group and group.count,
    }


def write_pictures(folder: Path, items: Sequence[WorldItem], seed: int) -> None:
    """Write the pictures that are not there yet."""
    with bar(len(items), "pictures", "pictures") as progress:
        for item in items:
            path = folder / item.path
            if isinstance(item.shows, Scene) and not path.exists():
                with atomic_path(path) as temporary:
                    picture = render(item.shows, Draws(seed, "picture", item.number))
                    picture.save(temporary, "PNG", compress_level=3)
            progress.update(1)


def write_clips(folder: Path, items: Sequence[WorldItem], seed: int) -> None:
    """Write the clips that are not there yet. A clip and its reversal are made of the same frames."""
    with bar(len(items), "clips", "clips") as progress:
        for pair in _pairs(items):
            missing = [item for item in pair if not (folder / item.path).exists()]
            if missing and isinstance(pair[0].shows, Clip):
                frames = clip_frames(pair[0].shows, Draws(seed, "clip", pair[0].number))
                for item in missing:
                    with atomic_path(folder / item.path) as temporary:
                        write_mp4(temporary, frames if item is pair[0] else frames[::-1], RATE)
            progress.update(2)


def describe_pictures(folder: Path, items: Sequence[WorldItem]) -> None:
    """Write `grid`: one vector a picture."""
    vectors = []
    with bar(len(items), "features", "pictures") as progress:
        for item in items:
            with Image.open(folder / item.path) as picture:
                vectors.append(describe(picture).astype(np.float16))
            progress.update(1)
    ids = [item.item_id for item in items]
    write_features(folder / "features" / NAME, ids, np.stack(vectors), inputs=_inputs(folder), encoder=NAME)


def describe_clips(folder: Path, items: Sequence[WorldItem]) -> None:
    """Write `grid`: the vectors of a few frames of each clip."""
    ids = [item.item_id for item in items]
    times = np.tile(np.arange(0, FRAMES, STEP) / RATE, len(items))
    write_features(
        folder / "features" / NAME,
        ids,
        _described(folder, items),
        layout="frames",
        times=times,
        inputs=_inputs(folder),
        encoder=NAME,
    )


def _described(folder: Path, items: Sequence[WorldItem]) -> Iterator[NDArray[np.float32]]:
    with bar(len(items), "features", "clips") as progress:
        for clip, _ in _pairs(items):
            vectors = np.stack([describe(frame) for frame in read_mp4(folder / clip.path, STEP)])
            # The file of the reversal holds the same frames, so there is nothing else to be seen in it.
            yield vectors
            yield vectors[::-1]
            progress.update(2)


def _pairs(items: Sequence[WorldItem]) -> Iterable[tuple[WorldItem, WorldItem]]:
    return zip(items[::2], items[1::2], strict=True)


def _inputs(folder: Path) -> dict[str, str]:
    return {"items.parquet": sha256(folder / "items.parquet")}


def write_mp4(path: Path, frames: Sequence[Image.Image], rate: int) -> None:
    """Write RGB pictures of one size as a video of `rate` frames a second: H.264 in MP4.

    A video and its reversal decode to the same frames, bit for bit, and equal frames give equal files.
    """
    av = pyav(MOTION)
    with av.open(path, "w", format="mp4") as file:
        # A constant quantiser: a target for rate or quality would spend bits on a frame by those before it.
        stream = file.add_stream("libx264", rate=rate, options={"qp": QUANTISER})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"  # what browsers play
        # Several threads cut a frame into slices, as many as there are cores.
        stream.codec_context.thread_count = 1
        # Every frame a picture of its own: one told by its differences from the last would lose other details
        # in the reversal, and the order of the frames could be read from a single one.
        stream.codec_context.gop_size = 1
        stream.codec_context.max_b_frames = 0
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        file.mux(stream.encode())  # the frames that the encoder still holds


def read_mp4(path: Path, step: int) -> list[Image.Image]:
    """The first and every `step`-th frame after it, as RGB pictures."""
    with pyav().open(path) as file:
        frames = enumerate(file.decode(video=0))
        return [frame.to_image() for number, frame in frames if number % step == 0]
