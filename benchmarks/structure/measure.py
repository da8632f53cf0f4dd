"""Measure the structure of a package: sizes, names, imports, hints and words, as a table.

    python benchmarks/structure/measure.py src/dragoman
    python benchmarks/structure/measure.py --list src/dragoman      names what was counted
    python benchmarks/structure/measure.py before/src/dragoman src/dragoman

Definitions. A function is every `def`, methods and closures included; its lines are those from `def` to the
last of its body. Hints: all arguments but `self` and `cls`, and the return, are annotated. A function is
public where no part of its name, its class's or its module's begins with an underscore, and it is no
closure. Comment lines begin with `#`. An import is an edge from a module to a module of the same package,
counted once a pair; lazy ones stand in a function, those for types under `if TYPE_CHECKING`, and a pair may
be both. Circles are strongly connected components over all edges. One importer: of the imports that run
when a module is loaded; `__init__.py` is left out. Names are compared without leading underscores. PyArrow
filters are lines that compare a column role, lang, split or engine.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BANNED = ("What", "Whether", "Of", "As", "Where", "How", "Which")
FILTER = re.compile(
    r"^.*pc\.(?:(?:equal|is_in)\(.*|field\()[\"'](?:role|lang|split|engine)[\"'].*$", re.MULTILINE
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """A file, parsed."""

    path: Path
    name: str
    tree: ast.Module
    lines: int
    comments: int = 0
    edges: dict[str, set[str]] = field(default_factory=dict)
    """Modules of the package that it imports, each with the kinds of import: eager, lazy, types."""

    @property
    def package(self) -> str:
        """First part below the root: `index` of `dragoman.index.plan`."""
        return ".".join(self.name.split(".")[:2])


def parse(root: Path) -> dict[str, Module]:
    """All modules below `root`, a package, by dotted name."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        modules[name] = Module(path, name, ast.parse(text), len(text.splitlines()))
        with tokenize.open(path) as file:
            tokens = tokenize.generate_tokens(file.readline)
            alone = [t for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip().startswith("#")]
        modules[name].comments = len(alone)
    for module in modules.values():
        for target, kind in imports(module, set(modules)):
            module.edges.setdefault(target, set()).add(kind)
    return modules


def imports(module: Module, names: set[str]) -> Iterator[tuple[str, str]]:
    """Modules of the package that a module imports, with the kind of the import."""

    def visit(node: ast.AST, kind: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            below = kind
            if isinstance(child, Function):
                below = "lazy"
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                below = "types"
            if isinstance(child, ast.Import):
                found = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    is_package = module.path.name == "__init__.py"
                    up = module.name.split(".")[: len(module.name.split(".")) - child.level + is_package]
                    base = ".".join([*up, *([base] if base else [])])
                found = [f"{base}.{alias.name}" for alias in child.names]
            else:
                yield from visit(child, below)
                continue
            for name in found:
                target = name if name in names else name.rpartition(".")[0]
                if target in names and target != module.name:
                    yield target, kind

    return visit(module.tree, "eager")


def circles(modules: dict[str, Module]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan), over imports of every kind."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in modules[name].edges:
            if target not in order:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], order[target])
        if low[name] == order[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in modules:
        if name not in order:
            visit(name)
    return sorted(found)


@dataclass
class Defined:
    """A function with where it stands."""

    node: Function
    module: Module
    public: bool

    @property
    def lines(self) -> int:
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1

    @property
    def parameters(self) -> list[ast.arg]:
        a = self.node.args
        every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *([a.vararg] if a.vararg else [])]
        every += [a.kwarg] if a.kwarg else []
        return [one for number, one in enumerate(every) if number or one.arg not in ("self", "cls")]

    @property
    def where(self) -> str:
        return f"{self.module.name}.{self.node.name}"


def functions(module: Module) -> Iterator[Defined]:
    def visit(node: ast.AST, public: bool) -> Iterator[Defined]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield Defined(child, module, public and not child.name.startswith("_"))
                yield from visit(child, False)
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, public and not child.name.startswith("_"))
            else:
                yield from visit(child, public)

    private = any(part.startswith("_") and part != "__main__" for part in module.name.split("."))
    return visit(module.tree, not private)


def docstrings(module: Module) -> Iterator[tuple[int, str, int]]:
    """Line, text and number of lines of every docstring, those of attributes included."""
    for node in ast.walk(module.tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                end = value.end_lineno or value.lineno
                yield value.lineno, value.value, end - value.lineno + 1


def spread(values: list[int]) -> str:
    """Median / 90th percentile."""
    ordered = sorted(values)
    return f"{statistics.median_high(ordered)} / {ordered[int(0.9 * (len(ordered) - 1))]}"


def percent(part: int, whole: int, digits: int = 0) -> str:
    return f"{100 * part / max(whole, 1):.{digits}f}"


def twice(names: list[str]) -> dict[str, int]:
    return {name: count for name, count in Counter(names).most_common() if count > 1}


def measure(root: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Rows of the table, and what the lists behind them hold."""
    modules = parse(root)
    every = list(modules.values())
    total = sum(module.lines for module in every)
    defined = [one for module in every for one in functions(module)]
    public = [one for one in defined if one.public]
    hinted = [
        one for one in defined if one.node.returns is not None and all(p.annotation for p in one.parameters)
    ]
    classes = [n.name.lstrip("_") for m in every for n in ast.walk(m.tree) if isinstance(n, ast.ClassDef)]
    words = [(m, line, text) for m in every for line, text, _ in docstrings(m)]
    importers: dict[str, set[str]] = defaultdict(set)
    eager: dict[str, set[str]] = defaultdict(set)
    for module in every:
        for target, kinds in module.edges.items():
            importers[target].add(module.name)
            if "eager" in kinds and modules[target].path.stem != "__init__":
                eager[target].add(module.name)
    counts = Counter(kind for module in every for kinds in module.edges.values() for kind in kinds)
    lone = {name: next(iter(found)) for name, found in eager.items() if len(found) == 1}
    short = [name for name in lone if modules[name].lines < 80]
    stems = twice([m.path.stem.lstrip("_") for m in every if m.path.stem not in ("__init__", "__main__")])
    many = [one for one in defined if len(one.parameters) > 6]
    private = [
        f"{m.name} -> {target}"
        for m in every
        for target in m.edges
        if m.package != modules[target].package
        and any(p.startswith("_") and not p.startswith("__") for p in target.split("."))
    ]
    banned = [
        (m, line, text) for m, line, text in words if text.split(maxsplit=1)[:1] and first(text) in BANNED
    ]
    filters = {m.name: found for m in every if (found := FILTER.findall(m.path.read_text("utf-8")))}
    rounds = circles(modules)
    across = sum(m.package != modules[t].package for m in every for t in m.edges)
    rows = {
        "files / lines": f"{len(every)} / {total:,}",
        "median / p90 lines of a file": spread([module.lines for module in every]),
        "files above 250 / above 400 / below 40 lines": " / ".join(
            str(sum(test(m.lines) for m in every))
            for test in (lambda n: n > 250, lambda n: n > 400, lambda n: n < 40)
        ),
        "longest file": max((m.lines, m.name) for m in every)[1] + f" ({max(m.lines for m in every)})",
        "functions / private / at most 3 lines": f"{len(defined):,} / "
        f"{sum(private_name(one.node.name) for one in defined)} / {sum(one.lines <= 3 for one in defined)}",
        "median / p90 (longest) lines of a function": spread([one.lines for one in defined])
        + f" ({max(one.lines for one in defined)})",
        "functions with more than 6 parameters": str(len(many)),
        "hints %": percent(len(hinted), len(defined)),
        "docstrings % of public functions": percent(
            sum(bool(ast.get_docstring(o.node)) for o in public), len(public)
        ),
        "comment lines %": percent(sum(m.comments for m in every), total, 1),
        "docstring lines %": percent(sum(n for m in every for *_, n in docstrings(m)), total, 1),
        "docstrings that begin with " + ", ".join(BANNED): str(len(banned)),
        "classes": str(len(classes)),
        "imports / across packages / lazy / for types": f"{sum(len(m.edges) for m in every):,} / {across} / "
        f"{counts['lazy']} / {counts['types']}",
        "import circles": str(len(rounds)),
        "modules with one importer / in their package": f"{len(lone)} / "
        f"{sum(modules[n].package == modules[i].package for n, i in lone.items())}",
        "of those below 80 lines (lines of them)": f"{len(short)} ({sum(modules[n].lines for n in short):,})",
        "private modules": str(sum(private_name(m.path.stem) for m in every)),
        "imports of private modules across packages": str(len(private)),
        "module names that occur twice or more": str(len(stems)),
        "class names that occur twice or more": str(len(twice(classes))),
        "PyArrow filters (files)": f"{sum(map(len, filters.values()))} ({len(filters)})",
        "files / lines by package": "; ".join(
            f"{name} {len(group)} / {sum(module.lines for module in group):,}"
            for name, group in by_package(every).items()
        ),
        "most imported": ", ".join(
            f"{name.partition('.')[2]} {len(i)}"
            for name, i in sorted(importers.items(), key=lambda pair: -len(pair[1]))[:8]
        ),
    }
    lists = {
        "circles": [" <-> ".join(one) for one in rounds],
        "one importer, below 80 lines": [f"{n} ({modules[n].lines}) <- {lone[n]}" for n in sorted(short)],
        "private imports": private,
        "module names": [f"{name} x{count}" for name, count in stems.items()],
        "class names": [f"{name} x{count}" for name, count in twice(classes).items()],
        "more than 6 parameters": [
            f"{len(o.parameters)} {o.where}" for o in sorted(many, key=lambda o: -len(o.parameters))
        ],
        "banned words": [f"{m.path}:{line}: {text.split(chr(10))[0][:60]}" for m, line, text in banned],
    }
    return rows, lists


def first(text: str) -> str:
    """First word of a docstring."""
    found = re.match(r"\w+", text.strip())
    return found[0] if found else ""


def private_name(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def by_package(modules: list[Module]) -> dict[str, list[Module]]:
    groups = defaultdict(list)
    for module in modules:
        if module.package.count("."):
            groups[module.package.partition(".")[2]].append(module)
    return {n: g for n, g in sorted(groups.items(), key=lambda p: -len(p[1])) if len(g) > 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path, help="package folders, such as src/dragoman")
    parser.add_argument("--list", action="store_true", help="name what was counted, of the last folder")
    options = parser.parse_args()
    measured = [measure(root.resolve()) for root in options.roots]
    print("| |" + " |" * len(measured) + "\n|---|" + "---|" * len(measured))
    for name in measured[0][0]:
        print(f"| {name} | " + " | ".join(rows[name] for rows, _ in measured) + " |")
    for name, found in measured[-1][1].items() if options.list else ():
        print(f"\n## {name}: {len(found)}\n" + "\n".join(f"- {one}" for one in found))


if __name__ == "__main__":
    main()
