"""A long film: how long it takes to index, how much memory, and whether the right moment is found.

    python benchmarks/video/film.py RUN CORPUS PHOTOS [--vision TOWER] [--minutes 20] [--seconds 6]
        [--repeat 1] [--size 320x240] [--rate 10] [--queries 300] [--out FILE]

Photos of the test split, each shown for some seconds, become one film (H.264); it can be a part that is
repeated, which takes less time to make. Captions that people wrote of these photos ask for them: a moment is
right if most of it shows the photo. The same captions ask an index of the photos themselves, which is as good
as it can be. Without queries, time and memory alone are measured. The result is added to FILE as a section.
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

from dragoman.corpus.corpus import Corpus
from dragoman.index.entries import END, START, seconds_of
from dragoman.pipelines.computer import commit_and_computer
from dragoman.records import Hit
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher

LANGUAGES = ("en", "pt", "zh")
Span = tuple[float, float]


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
    parser.add_argument("--repeat", type=int, default=1, help="times that the film shows the same photos")
    parser.add_argument("--queries", type=int, default=300, help="captions of each language")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--rate", type=int, default=10, help="frames a second")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    asked = captions(options.corpus, options.photos)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for name in ("film", "photos", "one"):
            (root / name).mkdir()
        shown = make_film(root / "film" / "film.mp4", asked, options)
        for name in shown if options.queries else ():
            shutil.copy(options.photos / f"{name}.jpg", root / "photos")
        shutil.copy(options.photos / f"{next(iter(shown))}.jpg", root / "one")
        _, base = index(root / "one", root / "index-one", options)
        seconds, memory = index(root / "film", root / "index-film", options)
        if options.queries:
            index(root / "photos", root / "index-photos", options)
        rows, count = [], 0
        for lang in LANGUAGES if options.queries else ():
            chosen = [(text, name) for name in shown for text in asked[name].get(lang, ())][: options.queries]
            if not chosen:
                continue
            found = share(root / "index-film", chosen, lambda hit, name: overlaps(hit, shown[name]))
            still = share(
                root / "index-photos", chosen, lambda hit, name: Path(hit.entry.item_id).stem == name
            )
            rows.append((lang, len(chosen), found, still))
        with Searcher.open(root / "index-film") as searcher:
            count = searcher.store.count()
        megabytes = (root / "film" / "film.mp4").stat().st_size / 1e6
    length = max(spans[-1][1] for spans in shown.values())
    lines = [
        f"## {length / 60:.0f} minutes",
        "",
        f"{len(shown)} photos of Flickr8k in a film of {length / 60:.1f} minutes ({options.size}, "
        f"{options.rate} frames a second, {megabytes:.0f} MB), each {options.repeat} times for "
        f"{options.seconds * 0.5:g} to {options.seconds * 1.5:g} seconds.",
        "",
        f"    python benchmarks/video/film.py RUN CORPUS PHOTOS --vision TOWER --minutes {options.minutes:g} "
        f"--seconds {options.seconds:g} --repeat {options.repeat} --size {options.size} "
        f"--rate {options.rate} --queries {options.queries}",
        "",
        f"Indexed in {seconds:.0f} s ({length / seconds:.0f} times its playing speed) into {count} moments, "
        f"peak memory {memory:.0f} MB, of which a single photo takes {base:.0f} MB (the model and its "
        "libraries).",
    ]
    table = [
        "",
        "Share of captions whose first, or one of the first ten, is right; for the film by moments (all of",
        "them, `--moments`), for comparison among the photos themselves.",
        "",
        "| language | captions | film: first | film: in ten | photos: first | photos: in ten |",
        "|---|---|---|---|---|---|",
    ]
    lines += table if rows else []
    for lang, number, found, still in rows:
        cells = " | ".join(f"{100 * one:.1f} %" for one in (*found, *still))
        lines.append(f"| {lang} | {number} | {cells} |")
    lines += ["", f"Made {commit_and_computer()}."]
    if options.out:
        with options.out.open("a", encoding="utf-8") as page:
            page.write("\n".join(["", *lines, ""]))
    print("\n".join(lines))


def captions(corpus: str, photos: Path) -> dict[str, dict[str, list[str]]]:
    """Captions by people of the test photos that are there, by id and language."""
    opened = Corpus.open(corpus)
    of_test = {one["item_id"] for one in opened.items.to_pylist() if one["split"] == "test"}
    found: dict[str, dict[str, list[str]]] = {}
    for one in opened.captions.to_pylist():
        name = one["item_id"]
        if one["role"] == "human" and name in of_test and (photos / f"{name}.jpg").is_file():
            found.setdefault(name, {}).setdefault(one["lang"], []).append(one["text"])
    return dict(sorted(found.items()))


def make_film(file: Path, names: Sequence[str], options: argparse.Namespace) -> dict[str, list[Span]]:
    """Write the film; from and to which seconds each photo is shown."""
    part = file.with_name("part.mp4") if options.repeat > 1 else file
    shown, length = make_part(part, names, options)
    if part != file:
        with av.open(str(file), "w") as film:
            for number in range(options.repeat):
                append(film, part, number * length)
        part.unlink()
    return {
        name: [(number * length + start, number * length + end) for number in range(options.repeat)]
        for name, (start, end) in shown.items()
    }


def append(film: av.container.OutputContainer, part: Path, seconds: float) -> None:
    """Add the packets of a film to another, from a second on."""
    with av.open(str(part)) as source:
        (stream,) = source.streams.video
        target = film.streams.video[0] if film.streams.video else film.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is None:
                continue
            late = round(seconds / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts + late, packet.dts + late, target
            film.mux(packet)


def make_part(file: Path, names: Sequence[str], options: argparse.Namespace) -> tuple[dict[str, Span], float]:
    """Write what is repeated; from and to which second each photo is shown, and how long it is."""
    draw, shown, frames, rate = np.random.default_rng(1), {}, 0, options.rate
    width, height = map(int, options.size.split("x"))
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for name in names:
            if frames / rate > options.minutes * 60 / options.repeat:
                break
            with Image.open(options.photos / f"{name}.jpg") as image:
                picture = ImageOps.pad(image.convert("RGB"), (width, height))
            count = int(rate * options.seconds * draw.uniform(0.5, 1.5))
            frame = av.VideoFrame.from_image(picture).reformat(format="yuv420p")
            for number in range(frames, frames + count):
                frame.pts = number
                container.mux(stream.encode(frame))
            shown[name] = (frames / rate, (frames + count) / rate)
            frames += count
        container.mux(stream.encode(None))
    return shown, frames / rate


def index(media: Path, out: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds and peak megabytes of a process that indexes."""
    code = "import resource, sys; from dragoman.index import IndexOptions, index_media; "
    code += "index_media(sys.argv[1], sys.argv[2], sys.argv[3], "
    code += "IndexOptions(device='cpu', vision=sys.argv[4] or None)); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    command = [sys.executable, "-c", code, options.run, str(media), str(out), options.vision or ""]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, int(done.stdout.split()[-1]) / 1024


def overlaps(hit: Hit, spans: Sequence[Span]) -> bool:
    """True where most of a moment lies within one of several spans."""
    start, end = seconds_of(hit.entry, START), seconds_of(hit.entry, END)
    return any(min(end, until) - max(start, begin) > (end - start) / 2 for begin, until in spans)


def share(
    index: Path, asked: Sequence[tuple[str, str]], right: Callable[[Hit, str], bool]
) -> tuple[float, float]:
    """Shares of captions whose first hit is right, and of which one of ten is."""
    with Searcher.open(index) as searcher:
        answers = searcher.search_many([Query(text=text, k=10, moments=True) for text, _ in asked])
    rights = [
        [right(hit, name) for hit in answer.hits] for answer, (_, name) in zip(answers, asked, strict=True)
    ]
    return float(np.mean([one[0] for one in rights])), float(np.mean([any(one) for one in rights]))


if __name__ == "__main__":
    main()
