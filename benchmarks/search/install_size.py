"""Disk that an installation takes which searches and serves a model: no PyTorch, no Transformers, no PyArrow.

    python benchmarks/search/install_size.py [serve,onnx serve,use …] [--out FILE]

For each set of extras, makes a fresh environment in a temporary folder, installs this checkout with the pins
of constraints.txt, compiles all bytecode, and counts the blocks of the disk that the environment takes, as
`du` does. Fails above LIMIT, or where a package of UNWANTED came along.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LIMIT = 400
"""MB of 1,000,000 bytes."""
UNWANTED = {"torch", "transformers", "onnx", "onnxscript", "pyarrow"}
BLOCK = 512
"""Bytes of what `st_blocks` counts, wherever it is counted."""

SIZES = f"""
from importlib import metadata
for one in metadata.distributions():
    files = {{file.locate().resolve() for file in one.files or []}}
    size = sum(file.stat().st_blocks * {BLOCK} for file in files if file.is_file())
    print(one.metadata["Name"], one.version, size)
"""


class Installed(NamedTuple):
    """What an environment takes, in bytes."""

    total: int
    packages: Mapping[str, int]
    """By name and version; folders and the interpreter's links are in the total alone."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("extras", nargs="*", default=["serve,onnx", "serve,use"])
    parser.add_argument("--out", type=Path, help="Write the page there instead of to the terminal.")
    options = parser.parse_args()
    found = {}
    for extras in options.extras:
        with tempfile.TemporaryDirectory() as folder:
            found[extras] = install(Path(folder), extras)
    text = page(found)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)
    for extras, one in found.items():
        unwanted = sorted(UNWANTED & {name.split()[0].lower() for name in one.packages})
        if unwanted or one.total > LIMIT * 1e6:
            said = f"[{extras}]: {one.total / 1e6:.0f} MB, allowed {LIMIT}; unwanted: "
            sys.exit(said + (", ".join(unwanted) or "none"))


def install(folder: Path, extras: str) -> Installed:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    what = [f"{ROOT}[{extras}]", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    # Pip came without.
    subprocess.run([python, "-m", "compileall", "-q", folder / "lib"], check=False)
    done = subprocess.run([python, "-c", SIZES], check=True, capture_output=True, text=True)
    rows = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    return Installed(taken(folder), {name: int(size) for name, size in rows})


def taken(folder: Path) -> int:
    """Bytes of the disk that a folder takes, each file once."""
    counted = {}
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, file) for file in files)):  # noqa: PTH118
            state = os.lstat(path)
            counted[state.st_dev, state.st_ino] = state.st_blocks * BLOCK
    return sum(counted.values())


def page(found: Mapping[str, Installed]) -> str:
    largest: dict[str, int] = {}
    for one in found.values():
        for name, size in one.packages.items():
            largest[name] = max(size, largest.get(name, 0))
    names = sorted(largest, key=lambda name: -largest[name])
    columns = list(found.values())
    lines = [
        "# Size of an installation that serves",
        "",
        "MB of 1,000,000 bytes, as `du` counts the blocks of the disk, with compiled bytecode; Python "
        f"{sys.version_info.major}.{sys.version_info.minor} on {sys.platform}.",
        "",
        "    python benchmarks/search/install_size.py",
        "",
        f"| package | {' | '.join(f'`[{extras}]`' for extras in found)} |",
        f"|---|{'---|' * len(found)}",
        f"| **the environment** | {' | '.join(f'**{one.total / 1e6:.0f}**' for one in columns)} |",
        *(f"| {name} | {' | '.join(cell(one, name) for one in columns)} |" for name in names),
    ]
    return "\n".join(lines) + "\n"


def cell(one: Installed, name: str) -> str:
    return f"{one.packages[name] / 1e6:.1f}" if name in one.packages else "-"


if __name__ == "__main__":
    main()
