"""Kill -9 at random moments: during `dragoman index` over real photos, and during writes to the store.

    python benchmarks/search/faults.py RUN PHOTOS [--vision TOWER] [--kills 50] [--out FILE]

The job: a folder of photos is indexed by processes that are killed; after a complete run the folder changes
(photos come, go, move, and change their content), and it goes on. After every kill the index is opened and
compared: what it held and what has not changed must be there, what is there must belong to a content that
the file had, and no file of the store may be torn. A last run must end as a new index would.

The store: a process adds, updates and deletes as fast as it can and says when a write is done; see
`tests/stores/killed_writers.py`, which compares all of it, bit for bit.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dragoman.index.entries import walk
from dragoman.index.folder import open_generation, read_info
from dragoman.pipelines.computer import commit_and_computer
from dragoman.retrievers.loading import load_encoder
from dragoman.stores.embedded.store import EmbeddedStore

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "stores"))

from killed_writers import Witness, killed_again

TOLERANCE = 1e-3
"""Difference of cosines that is none: a photo among others in a batch is rounded a little differently."""
STORES = {"exact": {}, "faiss": {"least": 40}}
Folder = dict[str, int]
"""Names of photos in a folder to their numbers in the pool."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--vision")
    parser.add_argument("--size", type=int, default=200, help="photos in the folder")
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    lines = ["# Kill -9", ""]
    with tempfile.TemporaryDirectory() as temporary:
        job = Job(Path(temporary), options, draw)
        lines += job.trial(options.kills)
        for name, settings in STORES.items():
            witness = Witness()
            for _ in range(options.kills):
                killed_again(name, Path(temporary) / name, settings, witness, draw)
            held = len(witness.sure.passing())
            lines.append(
                f"- `{name}`: {options.kills} kills of a writer, {witness.writes:,} acknowledged writes, "
                f"{held:,} entries at the end: each there, bit for bit."
            )
            print(lines[-1])
    lines += [
        "",
        f"`python benchmarks/search/faults.py RUN PHOTOS --seed {options.seed}` {commit_and_computer()}.",
    ]
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


class Job:
    """A folder that changes, and the index of it."""

    def __init__(self, root: Path, options: argparse.Namespace, draw: random.Random) -> None:
        self.pool = sorted(options.photos.glob("*.jpg"))[: 2 * options.size]
        self.folder, self.index, self.draw = root / "photos", root / "index", draw
        self.command = [sys.executable, "-m", "dragoman", "index", options.run, str(self.folder)]
        self.command += ["--out", str(self.index), "--device", "cpu"]
        self.command += ["--vision", options.vision] if options.vision else []
        self.vectors = load_encoder(options.run, "cpu", options.vision).encode_image(self.pool)
        self.now: Folder = {}
        self.before: Folder = {}
        self.folder.mkdir()
        for number in range(options.size):
            self.put(f"{number:04}.jpg", number)

    def put(self, name: str, number: int) -> None:
        """Give a file of the folder a content."""
        shutil.copyfile(self.pool[number], self.folder / name)
        self.now[name] = number

    def change(self) -> None:
        """Let some photos come, go, move and change."""
        names, count = list(self.now), max(1, len(self.now) // 10)
        self.draw.shuffle(names)
        gone, moved, changed = names[:count], names[count : 2 * count], names[2 * count : 3 * count]
        for name in gone:
            (self.folder / name).unlink()
            del self.now[name]
        for name in moved:
            new = f"{self.draw.randrange(10**9):09}.jpg"
            (self.folder / name).rename(self.folder / new)
            self.now[new] = self.now.pop(name)
        for name in changed:
            self.put(name, self.draw.randrange(len(self.pool)))
        for _ in gone:
            self.put(f"{self.draw.randrange(10**9):09}.jpg", self.draw.randrange(len(self.pool)))

    def trial(self, kills: int) -> Sequence[str]:
        """Index and kill; raise AssertionError where anything is lost, torn or wrong."""
        killed = whole = first = 0
        longest = 10.0
        while killed < kills:
            begun = time.monotonic()
            with subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                try:
                    process.communicate(timeout=self.draw.random() * longest)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
            if process.returncode == -signal.SIGKILL:
                killed += 1
                first += whole == 0
                self.compare(done=False)
                # Longer and longer, so that some runs end.
                longest += 1.0
            else:
                assert process.returncode == 0, process.returncode
                whole, longest = whole + 1, 1.2 * (time.monotonic() - begun)
                self.compare(done=True)
                self.change()
            print(f"kill {killed}, complete runs {whole}", end="\r", file=sys.stderr)
        subprocess.run(self.command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.compare(done=True)
        return [
            f"- `dragoman index`, a folder of {len(self.now)} photos: {killed} kills, {first} of them in the "
            f"first run, {whole + 1} complete runs between and after them, a third of the folder changed "
            "each time: nothing lost, nothing torn, and the last run found every photo."
        ]

    def compare(self, done: bool) -> None:
        """Compare what the index holds with what it held and with what is in the folder."""
        if not (self.index / "manifest.json").is_file():
            assert not self.before and not done
            return
        with open_generation(read_info(self.index)) as backend:
            assert isinstance(backend, EmbeddedStore)
            assert backend.check() == []
            names = [entry.item_id for entry in walk(backend)]
            held = backend.vectors(names) if names else np.empty((0, self.vectors.shape[1]))
        found: Folder = {}
        for name, vector in zip(names, held, strict=True):
            possible = [
                number for number in (self.now.get(name), self.before.get(name)) if number is not None
            ]
            close = [number for number in possible if self.vectors[number] @ vector > 1 - TOLERANCE]
            assert close, f"{name} has a vector of none of its contents"
            found[name] = close[0]
        kept = {name for name in self.before if name in self.now}
        assert kept <= found.keys(), kept - found.keys()
        if done:
            assert found.keys() == self.now.keys()
            for name, number in self.now.items():
                assert self.vectors[number] @ self.vectors[found[name]] > 1 - TOLERANCE, name
            self.before = dict(self.now)


if __name__ == "__main__":
    main()
