"""The measures of `benchmarks/structure`: of a package that is counted by hand, and the names they follow."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from test_architecture import LAYERS, SOURCE

BENCHMARKS = Path(__file__).parent.parent / "benchmarks" / "structure"
TOY = {
    "__init__.py": '"""Toys."""\n',
    "one.py": '"""Whether it is one."""\n# A reason.\nfrom toy.two import B\n\n\n'
    "def f(a, b, c, d, e, g, h):\n    return B\n",
    "two.py": "def g(x: int) -> int:\n    from toy import one\n\n    return x\n\n\nclass B:\n    pass\n",
    "part/__init__.py": "",
    "part/_three.py": "class B:\n    def m(self, x: int) -> None:\n        pass\n",
    "part/two.py": "from toy.part import _three\n",
}


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_a_small_package_is_counted_as_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in TOY.items():
        (tmp_path / "toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toy" / name).write_text(text)
    rows, lists = load("measure", monkeypatch).measure(tmp_path / "toy")
    assert rows["files / lines"] == "6 / 20"
    assert rows["functions / private / at most 3 lines"] == "3 / 0 / 2"
    # `g` and `m` are annotated, `f` is not.
    assert rows["hints %"] == "67"
    assert rows["comment lines %"] == "5.0"
    assert rows["classes"] == "2"
    # one -> two; two -> one in a function; part.two -> part._three.
    assert rows["imports / across packages / lazy / for types"] == "3 / 2 / 1 / 0"
    assert rows["modules with one importer / in their package"] == "2 / 1"
    assert lists["circles"] == ["toy.one <-> toy.two"]
    lone = ["toy.part._three (3) <- toy.part.two", "toy.two (8) <- toy.one"]
    assert lists["one importer, below 80 lines"] == lone
    assert lists["module names"] == ["two x2"] and lists["class names"] == ["B x2"]
    assert lists["more than 6 parameters"] == ["7 toy.one.f"]
    assert [line.partition(": ")[2] for line in lists["banned words"]] == ["Whether it is one."]


def test_the_flows_begin_where_the_package_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flows = load("flows", monkeypatch)
    assert flows.read_levels(SOURCE.parent)["errors"] == 0
    assert flows.read_levels(SOURCE.parent) == {name: at for at, some in enumerate(LAYERS) for name in some}
    flows.prepare(tmp_path)
    # Names of the package that are gone would be found here, not at the end of the work.
    begun = flows.flows(tmp_path, flows.WORD)
    assert list(begun) == ["caption: `build_jsonl`", "photo: `index_media`", "query: `Searcher.search`"]
    trace = flows.Trace(SOURCE, flows.read_levels(SOURCE.parent), 0)
    counts = trace.follow(begun["caption: `build_jsonl`"]).split(" | ")
    stays, rooms, returns, climbs, names = map(int, counts)
    # Imports that a first call makes are no functions with the value, so one round is enough here.
    assert trace.way[0].startswith("corpus") and (stays, returns) == (len(trace.way), stays - rooms)
    assert 1 < rooms <= stays and names > 0 and climbs == 0
