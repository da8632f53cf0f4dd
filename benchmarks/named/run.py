"""A benchmark by its name on real data: Flickr8k-CN, from its published files to a row.

    python benchmarks/named/run.py --data DIR --out WORK [--recipes nrccr,translate_train] [--seeds 3]

DIR holds `published_formats/flickr8k_cn` (the caption files as published) and the vectors of the photos in
`flickr8k_multilingual/features`. Each recipe is one `dragoman benchmark flickr8k-cn`; what is finished is not
done again, and `--seeds` may grow. Writes results.md beside this file.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported. Without the last two, every step asks the system anew for the gradient's block.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}

from dragoman.corpus.given import GivenFeatures
from dragoman.pipelines import experiment
from dragoman.pipelines.benchmark import BenchmarkSettings, run_benchmark
from dragoman.pipelines.benchmark_row import BenchmarkResult
from dragoman.pipelines.experiment import spread, table

HERE = Path(__file__).parent
STEPS, CAPTIONS_PER_STEP = 600, 384
OWN = {"nrccr": {"loss.cycle": "false"}}
"""No translations back into English are published, so NRCCR goes without its cycle."""
WAYS = ("text_to_image", "image_to_text")
RECALLS = ("recall@1", "recall@5", "recall@10")


def main() -> None:
    """Train, evaluate, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", default="nrccr,translate_train,one_to_k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    results = {
        recipe: benchmark(options.data, options.out / recipe, recipe, options.seeds, options.device)
        for recipe in options.recipes.split(",")
    }
    lines = "\n".join(page(results, options.out, options.seeds))
    (HERE / "results.md").write_text(lines + "\n", encoding="utf-8")


def benchmark(data: Path, out: Path, recipe: str, seeds: int, device: str) -> BenchmarkResult:
    """`dragoman benchmark flickr8k-cn`, as docs/benchmarks.md types it."""
    vectors = data / "flickr8k_multilingual" / "features"
    settings = {"steps": str(STEPS), "captions_per_step": str(CAPTIONS_PER_STEP), **OWN.get(recipe, {})}
    config = BenchmarkSettings(
        name="flickr8k-cn",
        languages=("zh",),
        recipe=recipe,
        features=GivenFeatures(vectors=vectors / "mobilenet_v2.npy", ids=vectors / "ids.txt"),
        seeds=tuple(range(1, seeds + 1)),
        settings=settings,
        device=device,
    )
    return run_benchmark(config, data / "published_formats" / "flickr8k_cn", out)


def page(results: dict[str, BenchmarkResult], out: Path, seeds: int) -> Iterator[str]:
    """The Markdown page."""
    first = next(iter(results.values())).circumstances
    told = "; ".join(f"{name}: {value}" for name, value in first.items() if name not in ("seeds", "settings"))
    yield "# Flickr8k-CN by its name\n"
    yield (
        "From the published caption files; 1,000 test photos, five Chinese captions each that people wrote "
        f"from the photo, and five English ones. {told[:1].upper()}{told[1:]}. The features are those of "
        f"MobileNetV2 at 224 pixels, frozen. {STEPS} steps of {CAPTIONS_PER_STEP} captions for every "
        "recipe. Mean ± sample standard deviation over the seeds.\n"
    )
    made = experiment.circumstances(
        f"python benchmarks/named/run.py --data DIR --out WORK --recipes {','.join(results)} --seeds {seeds}"
    )
    yield f"Command: `{made['command']}`. Computer: {made['computer']}. Commit: {made['commit']}.\n"
    figures = [(name, lang) for lang in ("zh", "en") for name in ("SumR", "AR")]
    yield from table(
        ("recipe", "seeds", "other settings", *(f"{lang} {name}" for name, lang in figures)),
        [
            (
                recipe,
                result.circumstances["seeds"],
                ", ".join(f"{name}={value}" for name, value in OWN.get(recipe, {}).items()) or "–",
                *(spread(result.figures[name][lang]) for name, lang in figures),
            )
            for recipe, result in results.items()
        ],
    )
    yield "\n## Chinese, recall\n"
    yield from table(
        ("recipe", "t2i R@1", "R@5", "R@10", "i2t R@1", "R@5", "R@10"),
        [(recipe, *recalls(out / recipe, seeds)) for recipe in results],
    )
    yield (
        "\nNo published figure of Flickr8k-CN is among the verified ones, so `dragoman benchmark` prints "
        "none beside these."
    )


def recalls(folder: Path, seeds: int) -> list[str]:
    """Recall of Chinese, asked directly, in both ways."""
    reports = [experiment.read_report(folder / f"report-{seed}") for seed in range(1, seeds + 1)]
    rows = [report["results"]["zh"]["direct"] for report in reports]
    return [spread([row[way][name] for row in rows]) for way in WAYS for name in RECALLS]


if __name__ == "__main__":
    main()
