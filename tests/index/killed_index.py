"""Index in processes of their own that are killed before their n-th change of the index folder.

`killed_index.py FOLDER KILLS`; with very many kills, every change is tried.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import toy_model
from tiny_videos import save_video

from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS
from dragoman.index import job, update
from dragoman.index.entries import walk
from dragoman.index.folder import open_generation, read_info
from dragoman.media.images import Decoding
from dragoman.stores.embedded.store import EmbeddedStore

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "sqlite3.connect"}
Content = dict[str, tuple[float, ...]]


def run(model: Path, photos: Path, index: Path, kill_at: int | None) -> int:
    """Exit status of a job that is killed just before its n-th change of the folder."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    changes = 0

    def change() -> None:
        nonlocal changes
        changes += 1
        if changes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in CHANGES and str(index) in str(arguments):
            change()

    def counted(store: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            change()
            found = store(*arguments)
            change()
            return found

        return call

    for name in ("add", "update", "delete"):
        setattr(EmbeddedStore, name, counted(getattr(EmbeddedStore, name)))
    update.ENTRIES = 2
    # A slow computer must not store in other steps.
    update.SECONDS = float("inf")
    sys.addaudithook(hook)
    job.index_media(
        model, photos, index, job.IndexOptions(device="cpu", batch_size=1, decoding=Decoding(workers=1))
    )
    (index.parent / "changes").write_text(str(changes))
    os._exit(0)


def content(index: Path) -> Content | None:
    """Vectors by id of what the manifest names; None where there is no index yet."""
    if not (index / "manifest.json").is_file():
        return None
    with open_generation(read_info(index)) as backend:
        ids = [entry.item_id for entry in walk(backend)]
        vectors = backend.vectors(ids) if ids else []
    return {item_id: tuple(map(float, vector)) for item_id, vector in zip(ids, vectors, strict=True)}


def trial(model: Path, photos: Path, start: Path | None, folder: Path, kills: int) -> int:
    """Kill at changes; the manifest always names something whole, and the next run ends as usual.

    Returns at how many changes a kill was tried.
    """
    index = folder / "index"
    before = content(start) if start else None
    usual = folder / "usual"
    # Otherwise it would be made by the first job alone, which would then change more than the others.
    folder.mkdir(exist_ok=True)
    prepare(start, usual)
    assert run(model, photos, usual, None) == 0
    expected = content(usual)
    assert expected is not None
    changes = int((folder / "changes").read_text())
    tried = range(1, changes + 1, max(changes // kills, 1))
    for kill_at in tried:
        prepare(start, index)
        status = run(model, photos, index, kill_at)
        assert status == -signal.SIGKILL, (kill_at, status)
        found = content(index)
        if found is not None:
            known = (before or {}).items() | expected.items()
            assert found.items() <= known, (kill_at, found)
        assert run(model, photos, index, None) == 0, kill_at
        assert content(index) == expected, kill_at
        left = sorted(path.name for path in (index / "generations").iterdir())
        assert left == [read_info(index).generation], (kill_at, left)
    return len(tried)


def prepare(start: Path | None, index: Path) -> None:
    shutil.rmtree(index, ignore_errors=True)
    if start:
        shutil.copytree(start, index)


def save_clips(folder: Path, clips: dict[str, str], year: int) -> Path:
    """A corpus of videos: the colours of their frames, a letter a second, or none for a file of that name."""
    shutil.rmtree(folder / "features", ignore_errors=True)
    folder.mkdir(exist_ok=True)
    items = [
        {"item_id": name, "kind": "video", "path": None if colours else name, "split": "test", "year": year}
        for name, colours in clips.items()
    ]
    schema = pa.schema([*ITEMS, pa.field("year", pa.int64())])
    pq.write_table(pa.Table.from_pylist(items, schema=schema), folder / "items.parquet")
    pq.write_table(CAPTIONS.empty_table(), folder / "captions.parquet")
    stored = {name: colours for name, colours in clips.items() if colours}
    frames = [
        np.eye(3, dtype=np.float32)[["rgb".index(one) for one in colours]] for colours in stored.values()
    ]
    times = np.concatenate([np.arange(len(one), dtype=np.float64) for one in frames])
    write_features(folder / "features" / "toy", list(stored), frames, times=times, layout="frames", inputs={})
    CORPUS.write(folder, inputs={})
    return folder


if __name__ == "__main__":
    root, kills = Path(sys.argv[1]), int(sys.argv[2])
    toy_model.install()
    print(trial(root / "run", root / "photos", None, root / "first", kills))
    start = root / "start"
    assert run(root / "run", root / "photos", start, None) == 0
    changed = shutil.copytree(root / "photos", root / "changed")
    shutil.move(root / "photos", root / "away")
    shutil.move(changed, root / "photos")
    (root / "photos" / "1.png").unlink()
    (root / "photos" / "2.png").rename(root / "photos" / "moved.png")
    toy_model.save_picture(root / "photos" / "3.png", "blue")
    toy_model.save_picture(root / "photos" / "new.png", "yellow")
    print(trial(root / "run", root / "photos", start, root / "second", kills))
    print(trial(root / "other", root / "photos", start, root / "third", kills))
    clips = {"a": "rrrrbbb", "b": "ggg", "c": "r", "d": "bbbbbbrrrgggg", "film.mp4": ""}
    corpus = save_clips(root / "corpus", clips, 1999)
    save_video(corpus / "film.mp4", ["red"] * 10 + ["green"] * 10)
    print(trial(root / "run", corpus, None, root / "fourth", kills))
    start = root / "start of clips"
    assert run(root / "run", corpus, start, None) == 0
    # One gone, one renamed, two of other colours, and all with another year.
    save_clips(corpus, {"a": "rrbbbbb", "c": "r", "moved": "ggg", "film.mp4": ""}, 2001)
    save_video(corpus / "film.mp4", ["red"] * 10 + ["blue"] * 20)
    print(trial(root / "run", corpus, start, root / "fifth", kills))
