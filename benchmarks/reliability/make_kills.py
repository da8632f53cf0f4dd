"""Kill `dragoman make` at random moments, and run the same command again.

    python benchmarks/reliability/make_kills.py --count 20 --seed 0 --out benchmarks/reliability/make_kills.md

A folder of 150 small pictures with English captions becomes a collection for Portuguese, by a dictionary of
a few words, and for German, which the sentence encoder knows. Every other kill is followed by a second one,
of the run that goes on. The end must be that of a run that nobody killed: every file byte for byte, of
databases the rows, of JSON the values, but for times, versions and the random name of the index's generation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from stages import rows

from dragoman.folders import write_text
from dragoman.pipelines.computer import commit_and_computer

COLOURS = {"red": (200, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 200), "white": (250, 250, 250)}
WORDS = {
    "red": "vermelho",
    "green": "verde",
    "blue": "azul",
    "white": "branco",
    "door": "porta",
    "box": "caixa",
}
VOLATILE = {"created", "updated", "command", "checksum", "files", "captions_per_second", "versions"}


def main() -> None:
    """Kill, compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    draw, faults, kills = random.Random(options.seed), [], 0
    with tempfile.TemporaryDirectory() as root:
        place = Path(root)
        prepare(place)
        started = time.monotonic()
        run(place, None)
        whole, seconds = content(place), time.monotonic() - started
        for number in range(options.count):
            shutil.rmtree(place / "collection")
            for _ in range(1 + number % 2):
                kills += run(place, draw.uniform(0.2, 1.0) * seconds)
            run(place, None)
            found = content(place)
            wrong = sorted(name for name in whole.keys() | found.keys() if whole.get(name) != found.get(name))
            faults += [f"{number}: {name}" for name in wrong]
            print(f"{number + 1} of {options.count}: {'; '.join(wrong) or 'the same'}", flush=True)
    line = (
        f"{options.count} collections, {kills} kills (seed {options.seed}): {len(faults)} files that differ; "
        f"an undisturbed run takes {seconds:.0f} s; {commit_and_computer()}"
    )
    print(line)
    if options.out is not None:
        about = (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2]
        write_text(
            options.out,
            "\n".join(["# Kills of `dragoman make`", "", about, line, "", *faults]).rstrip() + "\n",
        )


def prepare(place: Path) -> None:
    """Write photos, a tower with weights at random, and a dictionary."""
    import torch
    import transformers

    (place / "photos").mkdir()
    for number in range(150):
        name, colour = list(COLOURS.items())[number % len(COLOURS)]
        thing = ("door", "box")[number % 3 == 0]
        shade = tuple(min(part + number // 4, 255) for part in colour)
        Image.new("RGB", (24, 24), shade).save(place / "photos" / f"{number:03}.png")
        write_text(place / "photos" / f"{number:03}.txt", f"a {name} {thing}\nthe {thing} number {number}\n")
    torch.manual_seed(0)
    config = transformers.MobileNetV2Config(image_size=32, depth_multiplier=0.25)
    transformers.MobileNetV2Model(config).save_pretrained(place / "tower")
    size = {"do_resize": True, "size": {"height": 32, "width": 32}, "do_center_crop": False}
    write_text(
        place / "tower" / "preprocessor_config.json",
        json.dumps({"image_processor_type": "MobileNetV2ImageProcessor", **size}),
    )
    write_text(place / "words.tsv", "en\tpt\n" + "".join(f"{en}\t{pt}\n" for en, pt in WORDS.items()))


def run(place: Path, seconds: float | None) -> bool:
    """Run the command, and kill it after so many seconds; True where it was killed."""
    command = [
        sys.executable,
        "-m",
        "dragoman",
        "make",
        "photos",
        "--to",
        "pt,de",
        "--out",
        "collection",
        "--yes",
    ]
    command += ["--engine", "pt=dictionary:words.tsv", "--vision", "tower", "--device", "cpu"]
    command += ["--set", "dual.hubness=0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    try:
        subprocess.run(
            command, cwd=place, env=environment, timeout=seconds, check=True, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return True
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"it ended with {error.returncode}: {error.stderr}") from None
    return False


def content(place: Path) -> dict[str, Any]:
    """Every file of the collection under its name, the random one of the generation left out."""
    found: dict[str, Any] = {}
    (name,) = (one.name for one in (place / "collection" / "index" / "generations").iterdir())
    for path in sorted(one for one in (place / "collection").rglob("*") if one.is_file()):
        shown = path.relative_to(place).as_posix().replace(name, "GENERATION")
        if path.name == ".lock" or path.name.endswith(("-wal", "-shm")):
            continue
        if path.suffix in (".sqlite", ".db"):
            found[shown] = rows(path)
        elif path.suffix == ".jsonl":
            found[shown] = [plain(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".json":
            found[shown] = json.loads(
                json.dumps(plain(json.loads(path.read_text()))).replace(name, "GENERATION")
            )
        elif path.suffix != ".pt":
            found[shown] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def plain(value: Any) -> Any:
    """Leave out times and versions."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items() if name not in VOLATILE}
    return [plain(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
