"""A long film: how long it takes to index, how much memory, and whether the right moment is found.

    python benchmarks/video/film.py RUN CORPUS PHOTOS [--vision TOWER] [--minutes 20] [--out FILE]

Photos of the test split, each shown for some seconds, become one film (H.264, 10 frames a second). Captions
that people wrote of these photos ask for them: a moment is right if most of it shows the photo. The same
captions ask an index of the photos themselves, which is as good as it can be.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from dragoman.corpus.store import Corpus
from dragoman.indexing.film import END, START, seconds_of
from dragoman.records import Hit
from dragoman.search.answer import Query
from dragoman.search.searcher import Searcher

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))

from computer import commit_and_computer

SIZE = (320, 240)
RATE = 10
LANGUAGES = ("en", "pt", "zh")
QUERIES = 300


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("corpus")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--vision")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument(
        "--seconds", type=float, default=6, help="of a photo, one after the other 0.5 to 1.5 times"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    asked = captions(options.corpus, options.photos)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for name in ("film", "photos", "one"):
            (root / name).mkdir()
        shown = make_film(root / "film" / "film.mp4", asked, options)
        for name in shown:
            shutil.copy(options.photos / f"{name}.jpg", root / "photos")
        shutil.copy(options.photos / f"{next(iter(shown))}.jpg", root / "one")
        _, base = index(root / "one", root / "index-one", options)
        seconds, memory = index(root / "film", root / "index-film", options)
        index(root / "photos", root / "index-photos", options)
        rows, count = [], 0
        for lang in LANGUAGES:
            chosen = [(text, name) for name in shown for text in asked[name].get(lang, ())][:QUERIES]
            if not chosen:
                continue
            found = share(root / "index-film", chosen, lambda hit, name: overlaps(hit, shown[name]))
            still = share(
                root / "index-photos", chosen, lambda hit, name: Path(hit.entry.item_id).stem == name
            )
            rows.append((lang, len(chosen), found, still))
        with Searcher.open(root / "index-film") as searcher:
            count = searcher.backend.count()
        megabytes = (root / "film" / "film.mp4").stat().st_size / 1e6
    length = max(end for _, end in shown.values())
    lines = [
        "# A long film",
        "",
        f"{len(shown)} photos of Flickr8k in a film of {length / 60:.1f} minutes ({megabytes:.0f} MB), each "
        f"for {options.seconds * 0.5:g} to {options.seconds * 1.5:g} seconds.",
        "",
        "    python benchmarks/video/film.py RUN CORPUS PHOTOS --vision TOWER",
        "",
        f"Indexed in {seconds:.0f} s ({length / seconds:.0f} times its playing speed) into {count} moments, "
        f"peak memory {memory:.0f} MB, of which a single photo takes {base:.0f} MB (the model and its "
        "libraries).",
        "",
        "Share of captions whose first, or one of the first ten, is right; for the film by moments (all of",
        "them, `--moments`), for comparison among the photos themselves.",
        "",
        "| language | captions | film: first | film: in ten | photos: first | photos: in ten |",
        "|---|---|---|---|---|---|",
    ]
    for lang, number, found, still in rows:
        cells = " | ".join(f"{100 * one:.1f} %" for one in (*found, *still))
        lines.append(f"| {lang} | {number} | {cells} |")
    lines += ["", f"Made {commit_and_computer()}."]
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def captions(corpus: str, photos: Path) -> dict[str, dict[str, list[str]]]:
    """What people wrote of the test photos that are there, by id and language."""
    opened = Corpus.open(corpus)
    of_test = {one["item_id"] for one in opened.items.to_pylist() if one["split"] == "test"}
    found: dict[str, dict[str, list[str]]] = {}
    for one in opened.captions.to_pylist():
        name = one["item_id"]
        if one["role"] == "human" and name in of_test and (photos / f"{name}.jpg").is_file():
            found.setdefault(name, {}).setdefault(one["lang"], []).append(one["text"])
    return dict(sorted(found.items()))


def make_film(
    file: Path, names: Sequence[str], options: argparse.Namespace
) -> dict[str, tuple[float, float]]:
    """Write the film; from and to which second each photo is shown."""
    draw, shown, frames = np.random.default_rng(1), {}, 0
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for name in names:
            if frames / RATE > options.minutes * 60:
                break
            with Image.open(options.photos / f"{name}.jpg") as image:
                picture = ImageOps.pad(image.convert("RGB"), SIZE)
            count = int(RATE * options.seconds * draw.uniform(0.5, 1.5))
            for number in range(frames, frames + count):
                frame = av.VideoFrame.from_image(picture)
                frame.pts = number
                container.mux(stream.encode(frame))
            shown[name] = (frames / RATE, (frames + count) / RATE)
            frames += count
        container.mux(stream.encode(None))
    return shown


def index(media: Path, out: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds and peak megabytes of a process that indexes."""
    code = "import resource, sys; from dragoman.indexing import index_media; "
    code += "index_media(sys.argv[1], sys.argv[2], sys.argv[3], device='cpu', vision=sys.argv[4] or None); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    command = [sys.executable, "-c", code, options.run, str(media), str(out), options.vision or ""]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, int(done.stdout.split()[-1]) / 1024


def overlaps(hit: Hit, span: tuple[float, float]) -> bool:
    """Whether most of a moment lies within a span."""
    start, end = seconds_of(hit.entry, START), seconds_of(hit.entry, END)
    return min(end, span[1]) - max(start, span[0]) > (end - start) / 2


def share(
    index: Path, asked: Sequence[tuple[str, str]], right: Callable[[Hit, str], bool]
) -> tuple[float, float]:
    """Of captions, those whose first hit is right, and those of which one of ten is."""
    with Searcher.open(index) as searcher:
        answers = searcher.search_many([Query(text=text, k=10, moments=True) for text, _ in asked])
    rights = [
        [right(hit, name) for hit in answer.hits] for answer, (_, name) in zip(answers, asked, strict=True)
    ]
    return float(np.mean([one[0] for one in rights])), float(np.mean([any(one) for one in rights]))


if __name__ == "__main__":
    main()
