"""Encoding of texts and images: PyTorch, ONNX and int8, in turn in one process.

    python benchmarks/search/encoding.py RUN CORPUS --images FOLDER [--vision TOWER] [--out FILE]

RUN is exported twice into a temporary folder, or into --exports, where a second run finds them. Texts are
captions of CORPUS in all its languages, images the files in FOLDER; opening and preprocessing them is part of
their time. The three take turns, so that what else the machine does hits them alike; medians over the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from dragoman.corpus.corpus import Corpus
from dragoman.export import export, onnx
from dragoman.folders import versions
from dragoman.retrievers.onnx import OnnxRetriever
from dragoman.retrievers.trained import Retriever

WARM = 3
TURNS = {"1 text": 200, "256 texts": 15, "1 image": 30, "16 images": 7}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("corpus")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--vision", help="Where the run does not know its tower.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--exports", type=Path, help="Keep the exports there.")
    parser.add_argument("--out", type=Path, help="Write the page there instead of to the terminal.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.exports or Path(temporary)
        models = {"PyTorch": Retriever.load(options.run, vision=options.vision)}
        for name, int8 in (("ONNX", False), ("int8", True)):
            if not (folder / name).is_dir():
                config = onnx.Config(int8=int8, vision=options.vision, corpus=options.corpus)
                export(options.run, to=config, out=folder / name)
            models[name] = OnnxRetriever.load(folder / name, threads=options.threads)
        parity = json.loads((folder / "int8" / "parity.json").read_text())
        files = {name: megabytes(folder / name) for name in ("ONNX", "int8")}
    measured = measure(models, texts_of(options.corpus), sorted(options.images.glob("*.jpg")))
    text = page(measured, parity, files, options.threads)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)


def texts_of(corpus: str) -> list[str]:
    """Captions by people, in an order that mixes languages."""
    captions = Corpus.open(corpus).captions.to_pylist()
    human = [one["text"] for one in captions if one["role"] == "human"]
    return [human[row] for row in np.random.default_rng(0).permutation(len(human))]


def measure(
    models: Mapping[str, object], texts: list[str], images: list[Path]
) -> dict[str, dict[str, float]]:
    """Median milliseconds of processor time, by job and model. Every call gets inputs of its own."""
    jobs: dict[str, tuple[int, list, str]] = {
        "1 text": (1, texts, "encode_text"),
        "256 texts": (256, texts, "encode_text"),
        "1 image": (1, images, "encode_image"),
        "16 images": (16, images, "encode_image"),
    }
    found: dict[str, dict[str, float]] = {}
    for job, (size, inputs, method) in jobs.items():
        times: dict[str, list[float]] = {name: [] for name in models}
        for turn in range(WARM + TURNS[job]):
            start = turn * size % (len(inputs) - size)
            for name, model in models.items():
                times[name].append(timed(getattr(model, method), inputs[start : start + size]))
        found[job] = {name: float(np.median(some[WARM:])) for name, some in times.items()}
        print(job, found[job], flush=True)
    return found


def timed(encode: Callable[[list], object], inputs: list) -> float:
    """Milliseconds of processor time, which other work on the machine changes less than the clock."""
    begun = time.process_time()
    encode(inputs)
    return 1000 * (time.process_time() - begun)


def megabytes(folder: Path) -> dict[str, float]:
    """Sizes of the graphs."""
    graphs = sorted(folder.glob("*.onnx"))
    return {one.name: sum(f.stat().st_size for f in folder.glob(f"{one.name}*")) / 1e6 for one in graphs}


def page(
    measured: dict[str, dict[str, float]],
    parity: list[dict],
    files: dict[str, dict[str, float]],
    threads: int,
) -> str:
    used = versions(("torch", "onnxruntime")).items()
    lines = [
        "# Encoding: PyTorch, ONNX and int8",
        "",
        "Median milliseconds of processor time of a call, and how many times less than PyTorch; in turn in "
        f"one process, threads: {threads}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores "
        f"when it ended; {platform.machine()}, {', '.join(' '.join(one) for one in used)}.",
        "",
        "| job | PyTorch | ONNX | int8 |",
        "|---|---|---|---|",
    ]
    for job, times in measured.items():
        cells = [
            f"{times[name]:.2f}"
            + ("" if name == "PyTorch" else f" ({times['PyTorch'] / times[name]:.1f} times)")
            for name in times
        ]
        lines.append(f"| {job} | {' | '.join(cells)} |")
    lines += ["", "## Agreement with the model", "", "| compared | weights | number | largest difference |"]
    lines[-1] += " cosine min | cosine mean | same top 10 |"
    lines.append("|---|---|---|---|---|---|---|")
    for row in parity:
        top = "" if row["top10"] is None else f"{row['top10']:.1%}"
        lines.append(
            f"| {row['what']} | {row['precision']} | {row['count']} | {row['largest_difference']:.1e} | "
            f"{row['cosine_min']:.6f} | {row['cosine_mean']:.6f} | {top} |"
        )
    lines += ["", "## Sizes", "", "| graph | ONNX, MB | int8, MB |", "|---|---|---|"]
    lines += [f"| {name} | {size:.1f} | {files['int8'][name]:.1f} |" for name, size in files["ONNX"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
