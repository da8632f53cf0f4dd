"""Design rules that the code must keep."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "dragoman"

# Each layer may import itself and those above it, never one below.
LAYERS = [
    {
        "records",
        "errors",
        "folders",
        "databases",
        "forks",
        "progress",
        "plugins",
        "grouping",
        "settings",
        "textfiles",
        "sheets",
        "languages",
        "metadata",
        "endpoints",
        "messages",
        "lazy",
        "arrow",
        "blocks",
    },
    {"media"},
    {"corpus"},
    {"translation", "models", "objectives", "evaluation", "stores"},
    {"features", "retrievers", "speech", "trust", "scenes", "descriptions"},
    {"training", "index", "export"},
    {"recipes", "search", "reports", "encoders"},
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
    ("trust", "retrievers"),
    ("folders", "errors"),
    ("databases", "errors"),
    ("plugins", "errors"),
    ("settings", "errors"),
    ("languages", "errors"),
    ("textfiles", "errors"),
    ("sheets", "errors"),
    ("sheets", "folders"),
    ("sheets", "textfiles"),
    ("endpoints", "errors"),
    ("metadata", "records"),
    ("messages", "languages"),
    ("arrow", "errors"),
    ("blocks", "arrow"),
    ("blocks", "errors"),
}
LIGHT = {"evaluation": {"numpy"}, "records.py": set()}

# What is still to be mended. An entry goes when nothing of the kind is left; none may join.
CIRCLES_TO_MEND: set[tuple[str, ...]] = set()
PRIVATE_TO_MEND: set[tuple[str, str]] = set()
BANNED = {"What", "Whether", "Of", "As", "Where", "How", "Which"}


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


def module_name(file: Path) -> str:
    """`dragoman.index.plan` for a file, `dragoman.index` for the `__init__.py` of a folder."""
    parts = ["dragoman", *file.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def edges() -> dict[str, set[str]]:
    """Modules of the package to those they import: at the top, inside functions, and for types alone.

    An import for types or in a function runs no circle, but who reads one module still needs the other.
    """
    files = {module_name(file): file for file in sorted(SOURCE.rglob("*.py"))}
    found = {}
    for name, file in files.items():
        # `from dragoman.index import plan` names a module; of any other name, what stands before it does.
        targets = {one if one in files else one.rpartition(".")[0] for one in imported(file)}
        found[name] = (targets & set(files)) - {name}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules of which each leads, by its imports, to each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        reached[start], waiting = set(), list(graph[start])
        while waiting:
            if (name := waiting.pop()) not in reached[start]:
                reached[start].add(name)
                waiting += graph[name]
    groups = {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in graph if a in reached[a]}
    return sorted(map(list, groups))


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f"}, "f": {"e", "a"}}
    assert circles(graph) == [["b", "c"], ["e", "f"]]


def test_no_imports_go_round() -> None:
    found = circles(edges())
    places = {tuple(sorted({name.split(".")[1] for name in group if "." in name})) for group in found}
    assert places == CIRCLES_TO_MEND, found


def test_no_package_imports_what_is_private_to_another() -> None:
    def private(name: str) -> bool:
        return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))

    found = set()
    for file in SOURCE.rglob("*.py"):
        for name in imported(file):
            other = name.split(".")[1:]
            if name.startswith("dragoman.") and private(name) and part(file) != other[0]:
                # Up to what is private: the name of a module, or of one thing in it.
                until = next(number for number, piece in enumerate(other) if private(piece))
                found.add((module_name(file).partition(".")[2], ".".join(other[: until + 1])))
    assert found == PRIVATE_TO_MEND


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: str(f.relative_to(SOURCE)))
def test_docstrings_begin_with_a_verb_or_a_noun(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            # Docstrings, and strings below the fields of classes.
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                first = re.match(r"\w+", value.value.strip())
                assert not first or first[0] not in BANNED, f"{file}:{value.lineno}: begins with {first[0]}"


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


def test_pyarrow_is_imported_where_its_absence_is_told() -> None:
    found = {
        part(file) for file in SOURCE.rglob("*.py") if any(n.startswith("pyarrow") for n in imported(file))
    }
    assert found == {"arrow"}


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


def test_folders_alone_lock_rename_and_write_manifests() -> None:
    """What a stage does by itself, a kill leaves by halves."""
    own = re.compile(
        r"\b(import|from) (fcntl|msvcrt|filelock)\b|\.rename\(|os\.replace\(|shutil\.move\("
        r"|\w+\.replace\(\w+\)|write_(json|text)\([^)]*(MANIFEST|manifest\.json)"
    )
    found = [
        f"{file.relative_to(SOURCE)}: {match[0]}"
        for file in sorted(SOURCE.rglob("*.py"))
        for match in own.finditer(file.read_text(encoding="utf-8"))
    ]
    assert {one.partition("/")[0] for one in found} == {"folders"}, found
