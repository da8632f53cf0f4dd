"""What holds for every test: one thread, no network, no caches but its own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

# Before any test module imports torch or numpy; the processes that tests start inherit it. Two workers with
# two threads each on two busy cores wait for one another far longer than they compute.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": str(Path(tempfile.gettempdir(), "dragoman-tests-without-hub")),
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "agg",
    # The `dragoman` of the tests is the one beside their Python, whether or not its environment is active.
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
# A key or an address of the user's would send test captions to a paid service.
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DRAGOMAN_PROGRESS"):
    os.environ.pop(name, None)

LONG = (
    "golden/test_golden.py",
    "training/test_processes.py",
    "pipelines/test_demo.py",
    "training/test_resume.py",
    "contracts/test_exporters.py",
)
"""Files that take longest; begun last, one of them would keep one worker waiting for the other."""


def pytest_configure(config: pytest.Config) -> None:
    # Else pytest-xdist begins with the files of most tests, and the longest have few.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).parent / name: at for at, name in enumerate(LONG)}
    assert all(file.is_file() for file in place), "LONG in tests/conftest.py names a file that is gone"
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person, or another test, has translated before must not answer for the engine."""
    monkeypatch.setenv("DRAGOMAN_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """PyTorch traces a toy model as an ONNX graph once; later exports of the same weights get that graph.

    A trace takes seconds, and what is under test is around it. A graph of another model would be found,
    as every export is compared with its model.
    """
    import torch

    trace, graphs = torch.onnx.export, tmp_path_factory.getbasetemp() / "graphs"
    if "PYTEST_XDIST_WORKER" in os.environ:
        graphs = graphs.parents[1] / "graphs"  # one for all workers
    graphs.mkdir(exist_ok=True)

    def once(module: torch.nn.Module, arguments: tuple[()], path: Path, **settings: Any) -> None:
        if settings["external_data"]:
            trace(module, arguments, path, **settings)
            return
        shapes = [(name, value.dtype, value.shape) for name, value in settings["kwargs"].items()]
        config = getattr(getattr(module, "model", None), "config", None)
        told = sha256(repr((module, config, shapes)).encode())
        for name, value in module.state_dict().items():
            told.update(name.encode() + value.numpy().tobytes())
        graph = graphs / told.hexdigest()
        if not graph.exists():
            trace(module, arguments, path, **settings)
            # Renamed, as another worker may look while it is written.
            shutil.copyfile(path, written := graph.with_suffix(f".{os.getpid()}"))
            written.replace(graph)
        shutil.copyfile(graph, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", once)
        yield
