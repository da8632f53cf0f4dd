"""Memory of a zero-shot evaluation in 36 languages over 3,600 images, beyond that of the model.

    python benchmarks/zero_shot/memory.py [--images 3600] [--out FILE]

Crossmodal-3600 in its published format with made-up pictures and captions (two an image and language), and a
CLIP of random weights whose vectors are as wide as those of CLIP ViT-B/32: what is measured is everything but
the model. Beyond the model is what the same command takes more than over 10 images.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers
from PIL import Image

from dragoman.corpus import datasets
from dragoman.pipelines.computer import commit_and_computer

NAME, WIDTH, WORDS = "xm3600", 512, 2000
MEASURED = """
import resource, sys
from dragoman.pipelines.benchmark import BenchmarkSettings
from dragoman.pipelines.benchmark import run_benchmark
model, media, root, out = sys.argv[1:]
config = BenchmarkSettings(name="xm3600", test="all", model=model, media=media, device="cpu")
result = run_benchmark(config, root, out)
print(len(next(iter(result.figures.values()))), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=3600)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = save_model(folder / "model")
        few, _ = measure(model, make_data(folder / "few", 10), folder / "few-out")
        many, seconds = measure(model, make_data(folder / "many", options.images), folder / "many-out")
        report = json.loads((folder / "many-out" / "report" / "report.json").read_text())
    languages = len(report["results"])
    queries = sum(one["queries"]["text_to_image"] for one in report["languages"].values())
    lines = [
        "# Memory of a zero-shot evaluation",
        "",
        f"{options.images:,} images, {languages} languages, {queries:,} captions, vectors of {WIDTH}: peak",
        f"memory {many:.0f} MB, {many - few:.0f} MB more than over 10 images; {seconds:.0f} s with a model",
        "that costs next to nothing, from the published files to the report with intervals and consistency.",
        "Images are encoded once.",
        "",
        "    python benchmarks/zero_shot/memory.py",
        "",
        f"Made {commit_and_computer()}.",
    ]
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def measure(model: Path, data: Path, out: Path) -> tuple[float, float]:
    """Peak megabytes and seconds of the whole benchmark in a process of its own."""
    command = [sys.executable, "-c", MEASURED, str(model), str(data / "images"), str(data), str(out)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1]) / 1024, time.perf_counter() - start


def make_data(folder: Path, count: int) -> Path:
    """Pictures of one colour, and captions of made-up words."""
    draw = np.random.default_rng(1)
    (folder / "images").mkdir(parents=True)
    with (folder / "captions.jsonl").open("w", encoding="utf-8") as lines:
        for number in range(count):
            key = f"{number:016x}"
            colour = tuple(draw.integers(0, 256, 3).tolist())
            Image.new("RGB", (32, 32), colour).save(folder / "images" / f"{key}.jpg")
            said = {
                lang: {"caption": [" ".join(f"w{w}" for w in draw.integers(0, WORDS, 8)) for _ in range(2)]}
                for lang in datasets.load(NAME).about.languages
            }
            lines.write(json.dumps({"image/key": key, "image/locale": "en"} | said) + "\n")
    return folder


def save_model(folder: Path) -> Path:
    """A CLIP of random weights, small but for the width of its vectors."""
    torch.manual_seed(0)
    body = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = body | {"vocab_size": WORDS + 4, "eos_token_id": WORDS + 3, "bos_token_id": 1, "pad_token_id": 0}
    vision = body | {"image_size": 32, "patch_size": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    names = ["<pad>", "<start>", "?", *(f"w{number}" for number in range(WORDS)), "</s>"]
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({name: row for row, name in enumerate(names)}, unk_token="?")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="<start> $A </s>", special_tokens=[("<start>", 1), ("</s>", WORDS + 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="?", eos_token="</s>", model_max_length=77
    ).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
