"""Tables of the docs that the code makes: `python -m tests.docs` tells which are stale, `--write` mends them.

A page says where a table stands, and which function of a module of the tests makes its lines:

    <!-- table: dataset_tables.readers -->

    | verb | …

    <!-- end -->

Words behind the name are the arguments of the function. A blank line parts the lines from the comments.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = re.compile(
    r"(?P<head><!-- table: (?P<maker>[\w.]+)(?P<words>[^>]*?) -->\n\n)"
    r"(?P<lines>.*?)"
    r"(?P<end>\n\n<!-- end -->)",
    re.DOTALL,
)


def pages() -> list[Path]:
    """Every page that may hold a table."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def tables(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each table of a page, its lines as they stand, and as the code makes them."""
    for found in TABLE.finditer(page):
        yield f"{found['maker']}{found['words']}", found["lines"], _made(found)


def renewed(page: str) -> str:
    """Return the page with all of its tables as the code makes them."""
    return TABLE.sub(lambda found: found["head"] + _made(found) + found["end"], page)


def _made(found: re.Match[str]) -> str:
    module, _, function = found["maker"].rpartition(".")
    return "\n".join(getattr(importlib.import_module(module), function)(*found["words"].split()))


def main() -> int:
    """Tell which tables are stale, or write them anew; exit with 1 where one is left stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="Write the stale tables anew.")
    write = parser.parse_args().write
    # Outside of pytest, whose settings name the folders of these modules.
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = settings["tool"]["pytest"]["ini_options"]["pythonpath"]
    sys.path[:0] = [str(ROOT / folder) for folder in ("src", *shared)]
    stale = 0
    for page in pages():
        text = page.read_text(encoding="utf-8")
        names = [name for name, stands, made in tables(text) if stands != made]
        for name in names:
            print(f"{page.relative_to(ROOT)}: {name} {'written anew' if write else 'is stale'}")
        if names and write:
            page.write_text(renewed(text), encoding="utf-8")
        stale += len(names)
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main())
