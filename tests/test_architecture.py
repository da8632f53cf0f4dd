"""Design rules that the code must keep."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "dragoman"

# Each layer may import itself and those above it, never one below.
LAYERS = [
    {"records", "errors", "folders", "databases", "progress", "plugins", "textfiles", "languages"},
    {"media"},
    {"corpus"},
    {"translation", "models", "objectives", "evaluation", "stores"},
    {"features", "retrievers", "trust", "scenes"},
    {"training", "index", "export"},
    {"recipes", "search", "reports"},
    {"pages"},
    {"service", "pipelines"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}
# Neighbours of one layer stay strangers, but for these.
NEIGHBOURS = {
    ("reports", "recipes"),
    ("retrievers", "features"),
    ("folders", "errors"),
    ("databases", "errors"),
    ("plugins", "errors"),
    ("textfiles", "errors"),
}
LIGHT = {"evaluation": {"numpy"}, "records.py": set()}


def imported(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_go_one_way(file: Path) -> None:
    mine = part(file)
    if mine == "__init__":
        return
    for name in imported(file):
        pieces = name.split(".")
        if pieces[0] != "dragoman" or len(pieces) < 2 or pieces[1] not in LEVEL:
            continue
        other = pieces[1]
        if other == mine:
            continue
        assert LEVEL[other] < LEVEL[mine] or (mine, other) in NEIGHBOURS, f"{mine} must not import {other}"


@pytest.mark.parametrize("place", sorted(LIGHT))
def test_light_parts_import_only_what_they_may(place: str) -> None:
    for file in [SOURCE / place] if place.endswith(".py") else (SOURCE / place).rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(file)}
        foreign = roots - set(sys.stdlib_module_names) - {"dragoman"}
        assert foreign <= LIGHT[place], file


def test_no_two_test_modules_have_one_name() -> None:
    # Pytest imports them by their names alone: of two it would run one, where both run in one process.
    counts = Counter(file.name for file in Path(__file__).parent.rglob("*.py"))
    assert {name for name, count in counts.items() if count > 1} == {"conftest.py"}


def test_help_imports_nothing_heavy() -> None:
    heavy = "('numpy', 'pyarrow', 'torch', 'transformers', 'scipy', 'PIL', 'sacrebleu')"
    code = (
        "import sys; sys.argv = ['dragoman', '--help']\n"
        "from dragoman.cli import main\n"
        "try: main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        f"found = [name for name in {heavy} if name in sys.modules]\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
