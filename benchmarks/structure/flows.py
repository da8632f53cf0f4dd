"""Follow one value through the package: how many modules does it pass, and how often to and fro?

    python benchmarks/structure/flows.py
    python benchmarks/structure/flows.py --source ../before/src --names

Followed are a file of one caption into `build_jsonl`, a folder of one photo through `index_media` to its
stored vector, and a text through `Searcher.search` to its hits. The value carries a word that occurs
nowhere else. At every call and return of a function of the package, the function has the value if the text
or path in a local variable contains the word; with `--depth 3`, also what lies three levels deep in
containers and objects of the package. A stay is a run of such functions in one module; rooms are the
different modules; returns are stays in a room that had been left (stays less rooms); climbs are calls into
a package of a higher layer (LAYERS of the commit's tests/test_architecture.py); names are the local
variables that had the value.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path, PurePath
from types import FrameType
from typing import Any

from PIL import Image

WORD = "zqfollowed"
ROOT = Path(__file__).resolve().parents[2]
ARCHIVE, PLACE = ROOT / "tests/golden/folders_before_rebuild.tar.gz", b"/place/of/the/folders"


def has_value(thing: Any, depth: int) -> bool:
    if isinstance(thing, str | PurePath):
        return WORD in str(thing)
    if depth == 0 or isinstance(thing, type):
        return False
    if isinstance(thing, dict):
        return any(has_value(one, depth - 1) for pair in list(thing.items())[:50] for one in pair)
    if isinstance(thing, list | tuple | set | frozenset):
        return any(has_value(one, depth - 1) for one in list(thing)[:50])
    if type(thing).__module__.split(".")[0] != "dragoman":
        return False
    fields = [*getattr(thing, "__dict__", {}), *getattr(type(thing), "__slots__", ())]
    return any(has_value(getattr(thing, name, None), depth - 1) for name in fields)


class Trace:
    """The way of the value, as a profiler of Python sees it."""

    def __init__(self, package: Path, levels: dict[str, int], depth: int) -> None:
        self.package, self.levels, self.depth = package, levels, depth
        self.way: list[str] = []
        self.names: set[str] = set()
        self.climbs = 0

    def module(self, frame: FrameType | None) -> str | None:
        file = frame.f_code.co_filename if frame else ""
        return file[len(str(self.package)) + 1 : -3] if file.startswith(f"{self.package}/") else None

    def visit(self, frame: FrameType) -> bool:
        held = {name for name, thing in frame.f_locals.items() if has_value(thing, self.depth)}
        self.names |= held
        module = self.module(frame)
        if held and module and self.way[-1:] != [module]:
            self.way.append(module)
        return bool(held)

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "return") or not (here := self.module(frame)):
            return
        caller = frame.f_back
        while caller and not self.module(caller):
            caller = caller.f_back
        there = self.module(caller)
        had = self.visit(frame)
        if caller and there and event == "return":
            self.visit(caller)
        elif had and there:
            low, high = (self.levels.get(name.split("/")[0], 0) for name in (there, here))
            self.climbs += high > low

    def follow(self, work: Callable[[], Any]) -> str:
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            work()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
        rooms = len(set(self.way))
        counts = (len(self.way), rooms, len(self.way) - rooms, self.climbs, len(self.names))
        return " | ".join(map(str, counts))


def read_levels(source: Path) -> dict[str, int]:
    tree = ast.parse((source.parent / "tests/test_architecture.py").read_text("utf-8"))
    layers = next(
        n.value for n in tree.body if isinstance(n, ast.Assign) and "LAYERS" in ast.unparse(n.targets[0])
    )
    return {name: level for level, layer in enumerate(ast.literal_eval(layers)) for name in layer}


def prepare(folder: Path) -> None:
    """A run, and for each flow what it reads: plain for a first round, with the word for the second."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    for path in folder.rglob("*.json"):
        path.write_bytes(path.read_bytes().replace(PLACE, str(folder).encode()))
    for word in ("plain", WORD):
        (folder / f"{word}.photos").mkdir()
        Image.new("RGB", (40, 30), "red").save(folder / f"{word}.photos/{word}.png")
        row = {"item_id": word, "text": f"a {word}", "lang": "en", "split": "train"}
        (folder / f"{word}.jsonl").write_text(json.dumps(row) + "\n", "utf-8")


def flows(folder: Path, word: str) -> dict[str, Callable[[], Any]]:
    import dragoman
    from dragoman.corpus import BuildOptions, build_jsonl

    try:
        from dragoman.index import index_media
    except ImportError:  # the commits whose `index` was the stores
        index_media = importlib.import_module("dragoman.indexing").index_media
    out = "index.of" if word == WORD else "warm"
    searcher = dragoman.Searcher.open(folder / "of_photos")
    captions, photos = folder / f"{word}.jsonl", folder / f"{word}.photos"
    text = f"a {word} house"

    def ask() -> Any:
        # Before there was `dragoman.Query`, its fields were arguments.
        if hasattr(dragoman, "Query"):
            return searcher.search(dragoman.Query(text=text, lang="en"))
        return searcher.search(text, lang="en")

    return {
        "caption: `build_jsonl`": lambda: build_jsonl(captions, folder / f"{out}.corpus", BuildOptions()),
        "photo: `index_media`": lambda: index_media(folder / "run", photos, folder / out),
        "query: `Searcher.search`": ask,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, default=ROOT / "src", help="src of a commit")
    parser.add_argument("--depth", type=int, default=0, help="levels that are looked into")
    parser.add_argument("--names", action="store_true", help="print the way and the names as well")
    options = parser.parse_args()
    source = options.source.resolve()
    sys.path.insert(0, str(source))

    folder = Path(tempfile.mkdtemp()).resolve()
    os.environ["DRAGOMAN_HOME"] = str(folder / "home")
    print("| flow | stays | rooms | returns | climbs | names |\n|---|---|---|---|---|---|")
    try:
        prepare(folder)
        # The first round imports what is imported on first use.
        for work in flows(folder, "plain").values():
            work()
        for name, work in flows(folder, WORD).items():
            trace = Trace(source / "dragoman", read_levels(source), options.depth)
            print(f"| {name} | {trace.follow(work)} |")
            if options.names:
                print(" > ".join(trace.way), sorted(trace.names), sep="\n")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
