"""How fast photos get into an index, against the vision tower alone.

    python benchmarks/search/ingest.py RUN PHOTOS [--vision TOWER] [--count 400] [--out FILE]

The bare tower gets pixels that were prepared before; the second measure opens and prepares the photos one
after the other as well; the third is all that `dragoman index` does. They take turns; medians of the turns.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dragoman.index import IndexOptions, index_media
from dragoman.media.images import open_image
from dragoman.pipelines.computer import commit_and_computer
from dragoman.retrievers.trained import Retriever

TURNS = 3
BATCH = 4
"""As `dragoman index` takes on a CPU."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--vision")
    parser.add_argument("--count", type=int, default=400, help="photos")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        folder.mkdir()
        files = [shutil.copy(file, folder) for file in sorted(options.photos.glob("*.jpg"))[: options.count]]
        tower = Retriever.load(options.run, vision=options.vision).tower()
        prepared = [tower.prepare(open_image(file)) for file in files]
        numbers = iter(range(TURNS))
        ways: dict[str, Callable[[], object]] = {
            "bare tower, pixels prepared before": lambda: [
                tower.embed(prepared[start : start + BATCH]) for start in range(0, len(prepared), BATCH)
            ],
            "photos opened, prepared, encoded, one after the other": lambda: [
                tower.encode([open_image(file) for file in files[start : start + BATCH]])
                for start in range(0, len(files), BATCH)
            ],
            "dragoman index": lambda: index_media(
                options.run,
                folder,
                Path(temporary) / f"index-{next(numbers)}",
                IndexOptions(device="cpu", vision=options.vision),
            ),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(TURNS):
            for name, way in ways.items():
                clock, used = time.perf_counter(), time.process_time()
                way()
                times[name].append((time.perf_counter() - clock, time.process_time() - used))
    lines = [
        "# From photos to an index",
        "",
        f"{len(files)} photos of 224 x 224 pixels, median of {TURNS} turns in one process.",
        "",
        "    python benchmarks/search/ingest.py RUN PHOTOS --vision TOWER",
        "",
        "| | photos a second | ratio | ms of processor time a photo | ratio |",
        "|---|---|---|---|---|",
    ]
    medians = {name: np.median(found, axis=0) for name, found in times.items()}
    bare = next(iter(medians.values()))
    for name, (clock, used) in medians.items():
        cells = f"{len(files) / clock:.1f} | {clock / bare[0]:.2f} | {1000 * used / len(files):.1f}"
        lines.append(f"| {name} | {cells} | {used / bare[1]:.2f} |")
    lines += ["", f"Made {commit_and_computer()}."]
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
