"""What an installation takes that searches and serves an exported model: no PyTorch, no Transformers.

    python benchmarks/search/install_size.py [--extras serve,onnx] [--out FILE]

Makes a fresh environment in a temporary folder, installs this checkout with the extras and the pins of
constraints.txt, and reports megabytes of site-packages without bytecode, package by package. Fails above
LIMIT, or where a package of TRAINING came along.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 400
"""MB."""
TRAINING = {"torch", "transformers", "onnx", "onnxscript"}
OF_PIP = {"pip", "setuptools", "wheel"}

SIZES = """
import sys
from importlib import metadata
for one in metadata.distributions():
    files = [file.locate() for file in one.files or [] if not str(file).endswith(".pyc")]
    size = sum(file.stat().st_size for file in set(files) if file.is_file())
    print(one.metadata["Name"], one.version, size)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extras", default="serve,onnx")
    parser.add_argument("--out", type=Path, help="Write the page there instead of to the terminal.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = install(Path(folder), options.extras)
    total = sum(sizes.values()) / 1e6
    text = page(options.extras, sizes, total)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)
    unwanted = sorted(TRAINING & {name.split()[0].lower() for name in sizes})
    if unwanted or total >= LIMIT:
        sys.exit(f"{total:.0f} MB, allowed less than {LIMIT}; unwanted: {', '.join(unwanted) or 'none'}")


def install(folder: Path, extras: str) -> dict[str, int]:
    """Bytes of each package, by its name and version."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    what = [f"{ROOT}[{extras}]", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *what], check=True)
    done = subprocess.run([python, "-c", SIZES], check=True, capture_output=True, text=True)
    rows = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    return {name: int(size) for name, size in rows if name.split()[0] not in OF_PIP}


def page(extras: str, sizes: dict[str, int], total: float) -> str:
    ordered = sorted(sizes.items(), key=lambda one: -one[1])
    lines = [
        f"# Size of an installation with `[{extras}]`",
        "",
        f"{total:.0f} MB in {len(sizes)} packages, without bytecode, pip and setuptools; Python "
        f"{sys.version_info.major}.{sys.version_info.minor} on {sys.platform}.",
        "",
        "    python benchmarks/search/install_size.py",
        "",
        "| package | MB |",
        "|---|---|",
        *(f"| {name} | {size / 1e6:.1f} |" for name, size in ordered),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
