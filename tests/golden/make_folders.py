"""Pack small folders of every kind as a commit writes them, with what it answers about them.

    python tests/golden/make_folders.py --source ../before/src --out tests/golden/folders_of_0.1.0.tar.gz

`test_folders_of_before.py` opens them with the code of today. An archive is written once, by the last commit
of a version; write it anew only if the package need no longer read what that version wrote. The oldest is of
the commit before the formats were rebuilt, and holds nothing of `LATER`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from make import Stage, make_tower, sets

# In place of the folder in which they were made, which text files name.
PLACE = "/place/of/the/folders"
SMALL = ("text.width=8", "text.feed_forward=8", "text.min_count=6", "dual.hidden=8", "dual.joint=8")
SMALL += ("dual.key_width=8", "batch_size=8", "validate_every=20", "patience=99", "steps=200")
TRAIN = ("train", "pictures", "--recipe", "translate_train", "--targets", "pt", "--features", "cells")
VIDEO = ("train", "clips", "--recipe", "translate_train", "--targets", "pt", "--features", "eyes")
LINEAR = ("train", "pictures", "--recipe", "linear", "--targets", "pt", "--features", "cells")
WIDE = ("video.hidden=8", "video.key_width=8")
COMMANDS = {
    "run": (*TRAIN, "--out", "run", *sets(*SMALL)),
    "half": (*TRAIN, "--out", "half", *sets(*SMALL)),
    "video": (*VIDEO, "--out", "video", *sets(*WIDE, *SMALL)),
    "cells": ("features", "pictures", "--encoder", "tower", "--name", "cells", "--grid", "2"),
    "eyes": ("features", "clips", "--encoder", "tower", "--name", "eyes", "--every", "0.5"),
    "of_photos": ("index", "run", "photos", "--out", "of_photos", "--lang", "en"),
    "of_videos": ("index", "video", "videos", "--out", "of_videos", "--lang", "en"),
    "report": ("evaluate", "run", "pictures", "--languages", "pt,en", "--out", "report"),
    "texts": ("features", "pictures", "--texts", "--encoder", "use"),
    "linear": (
        *LINEAR,
        "--out",
        "linear",
        *sets("dual.joint=8", "steps=40", "batch_size=8", "validate_every=5"),
    ),
    "of_linear": ("index", "linear", "photos", "--out", "of_linear", "--lang", "en"),
    "onnx": ("export", "run", "--to", "onnx", "--out", "onnx"),
    "of_onnx": ("index", "onnx", "photos", "--out", "of_onnx", "--lang", "en"),
}
LATER = ("texts", "linear", "of_linear", "onnx", "of_onnx")
"""Kinds of folders that the oldest archive has none of."""
SEARCHES = {
    "photos": ("search", "of_photos", "uma bola vermelha", "-k", "9", "--json"),
    "filtered": ("search", "of_photos", "a house", "--filter", "year>=2010", "--json"),
    "moments": ("search", "of_videos", "dois carros", "--moments", "-k", "9", "--json"),
    "like": ("search", "of_photos", "--like", "s00001.png", "--json"),
    "linear": ("search", "of_linear", "uma bola vermelha", "-k", "9", "--json"),
    "onnx": ("search", "of_onnx", "uma bola vermelha", "-k", "9", "--json"),
}


def make(stage: Stage) -> dict[str, Any]:
    """Make all folders, and give what the commands print about them."""
    for world, more in (("pictures", ("--items", "24")), ("clips", ("--items", "24", "--motion"))):
        stage.call("scenes", "--out", world, "--languages", "pt", *more)
        engine = ("--engine", f"recorded:{world}/apertium.jsonl.gz", "--cache", "cache")
        stage.call("translate", world, "--to", "pt", *engine, "--back", engine[1])
        shutil.rmtree(stage.folder / world / "features")
    stage.call("trust", "pictures")
    make_tower(stage.folder / "tower")
    make_media(stage.folder)
    for name in ("cells", "eyes", "run", "video", "of_photos", "of_videos", "report", *LATER):
        stage.call(*COMMANDS[name])
    stop_half_way(stage)
    for world in ("pictures", "clips"):
        shutil.rmtree(stage.folder / world / "media")
    return {
        "searches": {name: json.loads(stage.call(*words)) for name, words in SEARCHES.items()},
        "show": {name: stage.call("corpus", "show", name) for name in ("pictures", "clips")},
        "again": {
            name: stage.call(*COMMANDS[name]) for name in ("of_photos", "of_videos", "cells", "eyes", "texts")
        },
        "compare": json.loads(stage.call("compare", "report", "report", "--json")),
    }


def make_media(folder: Path) -> None:
    from PIL import Image

    (folder / "photos/trip").mkdir(parents=True)
    for number, name in enumerate(("s00000", "s00001", "trip/s00002", "trip/s00003", "s00004")):
        with Image.open(folder / f"pictures/media/s{number:05d}.png") as image:
            image.convert("RGB").resize((40, 40)).save(folder / f"photos/{name}.png")
    (folder / "photos/s00001.txt").write_text("a thing\n", "utf-8")
    (folder / "photos/s00001.json").write_text('{"year": 2012}', "utf-8")
    (folder / "videos").mkdir()
    shutil.copyfile(folder / "clips/media/m00000.mp4", folder / "videos/m00000.mp4")
    # An archive keeps whole seconds exactly, and an index remembers the times of its files.
    for path in (*folder.glob("photos/**/*.*"), *folder.glob("videos/*")):
        os.utime(path, (1_700_000_000, 1_700_000_000))


def stop_half_way(stage: Stage) -> None:
    """Stop the training of `half` after some steps; else it is the run `run`."""

    def stop() -> None:
        metrics = stage.folder / "half/metrics.jsonl"
        while not (metrics.is_file() and metrics.read_text("utf-8").count("\n") > 1):
            time.sleep(0.005)
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    stage.call(*COMMANDS["half"], status=143)


def move(folder: Path, before: str, now: str) -> None:
    """Name another place in the files of text, and write again what says of them that they are whole."""
    # Not at the top: of which source is known only when the options were read.
    from dragoman.folders.integrity import SEAL, digest, write_sealed

    changed = set()
    for path in (*folder.rglob("*.json"), *folder.rglob("*.jsonl")):
        if before.encode() in (data := path.read_bytes()):
            path.write_bytes(data.replace(before.encode(), now.encode()))
            changed.add(path)
    for path in sorted(folder.rglob("*.json"), key=lambda path: len(path.parts), reverse=True):
        value = json.loads(path.read_bytes())
        files = value.get("files", {}) if isinstance(value, dict) and SEAL in value else {}
        listed = changed & {path.parent / name for name in files}
        if listed or (path in changed and isinstance(value, dict) and SEAL in value):
            value["files"] = files | {str(one.relative_to(path.parent)): digest(one) for one in listed}
            if not value["files"]:
                del value["files"]
            del value[SEAL]
            write_sealed(path, value)
            changed.add(path)


def pack(folder: Path, answers: dict[str, Any], out: Path) -> None:
    (folder / "answers.json").write_text(json.dumps(answers, ensure_ascii=False, indent=1), "utf-8")
    move(folder, str(folder), PLACE)
    kept = {
        "pictures",
        "clips",
        "tower",
        "photos",
        "videos",
        "run",
        "half",
        "video",
        "report",
        "answers.json",
    }
    kept |= {"of_photos", "of_videos", *LATER}
    with tarfile.open(out, "w:gz", compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            if inner.parts[0] not in kept or not path.is_file() or path.name == ".lock":
                continue
            if inner.name == "apertium.jsonl.gz" or (
                inner.parts[0] in {"run", "video", "linear"} and inner.suffix == ".pt"
            ):
                continue
            entry = archive.gettarinfo(path, str(inner))
            entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, "", ""
            with path.open("rb") as file:
                archive.addfile(entry, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="src of the commit")
    parser.add_argument("--out", type=Path, required=True, help="archive")
    parser.add_argument("--keep", type=Path, help="work in this new folder and keep it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary, "folders")).resolve()
        folder.mkdir(parents=True)
        sys.path.insert(0, str(options.source.resolve()))
        os.environ |= {"DRAGOMAN_HOME": str(folder / "home"), "PYTHONPATH": str(options.source.resolve())}
        import torch

        torch.set_num_threads(1)
        pack(folder, make(Stage(folder, options.source.resolve())), options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
