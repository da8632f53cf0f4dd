"""What is shipped and what it needs: files of the wheel, extras, pins, and a core without the extras."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import deque
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hiding import ran, without

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "dragoman"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINNED = {canonicalize_name(pin.partition("==")[0]): pin.partition("==")[2] for pin in PINS}
# PyTorch for CUDA brings these along; PyTorch for the CPU, which the same pin admits, does not.
OF_CUDA = ("nvidia-", "cuda-", "triton")
APART = {"dev", "ray", "mteb", "mcp"}
"""Extras that `all` leaves out: the tools of developers, and what `make interop` installs, without pins."""
EXTRAS = (
    "torch transformers tokenizers safetensors sentencepiece huggingface_hub sacrebleu ctranslate2 lingua "
    "matplotlib ir_measures scipy onnx onnxscript onnxruntime fastapi uvicorn prometheus_client "
    "python_multipart h5py av"
)
"""What all extras bring but that of corpora."""


def requirements() -> list[Requirement]:
    """All that the core and its extras ask for, but for the package's own extras and those without pins."""
    extras = PROJECT["project"]["optional-dependencies"]
    groups = [
        PROJECT["project"]["dependencies"],
        *(extras[name] for name in extras if name not in APART - {"dev"}),
    ]
    return [one for group in groups for one in map(Requirement, group) if one.name != "dragoman"]


def needed() -> set[str]:
    """Names of the packages that `.[all,dev]` brings in here, directly or not."""
    found: set[str] = set()
    open_: deque[Requirement] = deque(requirements())
    while open_:
        one = open_.popleft()
        name = canonicalize_name(one.name)
        if name in found or name.startswith(OF_CUDA):
            continue
        found.add(name)
        for text in metadata.requires(name) or []:
            child = Requirement(text)
            if child.marker is None or any(child.marker.evaluate({"extra": e}) for e in ("", *one.extras)):
                open_.append(child)
    return found


def without_extras(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ran(without(EXTRAS, *arguments), folder)


def with_memory(folder: Path, megabytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dragoman` in a process that may have so much address space."""
    code = (
        "import resource, sys; from dragoman.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({megabytes} * 10**6,) * 2); main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_every_data_file_is_in_the_wheel_and_every_folder_is_a_package() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["dragoman"]
    shipped = {file for pattern in patterns for file in SOURCE.glob(pattern)}
    data = {f for f in SOURCE.rglob("*") if f.is_file() and f.suffix not in (".py", ".pyc")}
    assert {"py.typed", "style.css", "apertium.jsonl.gz"} <= {file.name for file in data}
    assert data - shipped == set()
    assert [f.parent for f in SOURCE.rglob("*.py") if not (f.parent / "__init__.py").exists()] == []


def test_the_wheel_holds_the_package_alone_and_runs_as_the_version_that_it_names(tmp_path: Path) -> None:
    version = PROJECT["project"]["version"]
    tree, out = tmp_path / "tree", tmp_path / "out"
    # Of a copy, as what an earlier build left behind would be taken in.
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, tree / name)
    build = (
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        out,
        tree,
    )
    subprocess.run([sys.executable, *build], check=True)
    (wheel,) = out.iterdir()
    assert wheel.name == f"dragoman-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        held = {name for name in archive.namelist() if not name.startswith(f"dragoman-{version}.dist-info/")}
    files = (tree / "src/dragoman").rglob("*")
    assert held == {str(file.relative_to(tree / "src")) for file in files if file.is_file()}
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dragoman.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "installed", "--version"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith(f"version {version}\n"), done.stderr


def test_every_place_names_the_version_of_the_package() -> None:
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"image: dragoman:{version}\n" in (ROOT / "deploy/compose.yaml").read_text(encoding="utf-8")
    assert f"\n## [{version}] - 20" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    named = re.findall(r"dragoman-([\d.]+)-py3", (ROOT / "docs/deployment.md").read_text(encoding="utf-8"))
    assert set(named) == {version}


def test_every_requirement_stops_before_the_next_major_version() -> None:
    assert [str(one) for one in requirements() if "<" not in str(one.specifier)] == []
    assert [str(one) for one in requirements() if ">=" not in str(one.specifier)] == []


def test_all_is_every_extra_but_those_apart() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = map(Requirement, extras["all"])
    assert everything.extras == set(extras) - {"all"} - APART


def test_the_pins_are_exact_sorted_and_fit_the_ranges() -> None:
    assert [pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    assert sorted(PINS, key=str.lower) == PINS
    assert PINNED["torch"] == "2.13.0"
    for one in requirements():
        assert one.specifier.contains(PINNED[canonicalize_name(one.name)]), one


def test_the_pins_are_what_everything_needs_and_nothing_more() -> None:
    assert needed() - PINNED.keys() == set()
    assert PINNED.keys() - needed() == set()


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a translated corpus and the beginning of a run, made with the extra `corpus` alone."""
    folder = tmp_path_factory.mktemp("core")
    (folder / "run").mkdir()
    said = {"model_type": "dragoman-dual", "trained": {}, "text": "huggingface", "dual": {}}
    (folder / "run" / "config.json").write_text(json.dumps(said))
    (folder / "c.jsonl").write_text('{"item_id": "1", "lang": "en", "text": "a dog", "split": "train"}\n')
    for name, text, translation in (("pt", "a dog", "um cão"), ("en", "um cão", "one dog")):
        line = json.dumps({"text": text, "translation": translation})
        (folder / f"{name}.jsonl").write_text(line, encoding="utf-8")
    for line in (
        "corpus jsonl c.jsonl --out corpus",
        "translate corpus --to pt --engine recorded:pt.jsonl --cache cache",
        "translate corpus --to gl --engine recorded:pt.jsonl --back recorded:en.jsonl --cache cache",
    ):
        done = without_extras(folder, *line.split())
        assert done.returncode == 0, done.stderr
    return folder


def test_the_extra_for_corpora_builds_and_translates_one(core: Path) -> None:
    done = without_extras(core, "corpus", "show", "corpus")
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[:4] for line in done.stdout.splitlines()[1:5]) == [
        ["en", "back", "recorded:en.jsonl", "1"],
        ["en", "human", "-", "1"],
        ["gl", "mt", "recorded:pt.jsonl", "1"],
        ["pt", "mt", "recorded:pt.jsonl", "1"],
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
@pytest.mark.parametrize(
    "line",
    [
        "features corpus --encoder tower",
        "train corpus --recipe nrccr --targets pt --features f --out new",
        "export run --to onnx --out new",
        "check run",
    ],
)
def test_a_verb_without_the_memory_for_pytorch_says_so(core: Path, line: str) -> None:
    done = with_memory(core, 900, *line.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == (1 if line.startswith("check") else 2)
    said = (
        "'torch', which cannot be loaded (it needs 2,000 MB of address space, and this process may have 900"
    )
    assert (done.stdout + done.stderr).splitlines()[-1].count(said) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
def test_verbs_that_need_no_pytorch_work_in_little_memory(core: Path) -> None:
    for line in ("translate corpus --to pt --engine recorded:pt.jsonl --cache cache", "corpus show corpus"):
        done = with_memory(core, 900, *line.split())
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "package", "extra"),
    [
        ("train corpus --recipe nrccr --targets pt --features f --out new", "torch", "train"),
        ("features corpus --encoder tower", "torch", "train"),
        ("evaluate run corpus --languages pt --out report", "torch", "train"),
        ("demo --out demo", "torch", "train"),
        ("make photos --to pt --out collection", "torch", "train"),
        ("export run --to onnx --out new", "torch", "train"),
        ("export run --to sentence-transformers --out new", "torch", "train"),
        ("translate corpus --to es --engine transformers:m", "torch", "train"),
        ("translate corpus --to es --engine ctranslate2:m", "ctranslate2", "ctranslate2"),
        ("corpus jsonl c.jsonl --frames f.h5 --out new", "h5py", "hdf5"),
        ("serve index", "fastapi", "serve"),
        ("trust corpus", "sacrebleu", "mt"),
        ("trust corpus --langid", "lingua-language-detector", "langid"),
    ],
)
def test_a_verb_without_its_extra_says_how_to_install_it(
    core: Path, line: str, package: str, extra: str
) -> None:
    done = without_extras(core, *line.split())
    assert done.returncode == 2
    assert f"needs the package {package!r}, which is not installed." in done.stderr
    assert done.stderr.endswith(f"Install it: pip install 'dragoman[{extra}]'\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "purpose", "extra"),
    [
        *(
            (line, "Work with a corpus or a report", "corpus")
            for line in (
                "corpus jsonl c.jsonl --out new",
                "corpus show corpus",
                "translate corpus --to pt --engine recorded:pt.jsonl",
                "trust corpus",
                "features corpus --encoder use --texts",
                "evaluate run corpus --languages pt --out report",
                "compare report other",
                "scenes --out world",
                "index run corpus --out index",
            )
        ),
        ("calibrate run corpus", "Calibrating", "train"),
        ("train corpus --recipe linear --features f --out new", "Training", "train"),
        ("make photos --to pt --out collection", "dragoman make", "train"),
        ("demo --out demo", "The demo", "train"),
    ],
)
def test_a_verb_without_the_extra_for_corpora_says_how_to_install_it(
    core: Path, line: str, purpose: str, extra: str
) -> None:
    done = ran(without("pyarrow", *line.split()), core)
    assert (done.returncode, done.stderr) == (
        2,
        f"Error: {purpose} needs the package 'pyarrow', which is not installed. "
        f"Install it: pip install 'dragoman[{extra}]'\n",
    )


def test_the_unit_and_the_container_hold_what_the_page_on_deployment_says() -> None:
    unit = (ROOT / "deploy" / "dragoman.service").read_text(encoding="utf-8").splitlines()
    said = dict(line.split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
    assert said["User"] == "dragoman"
    assert said["CapabilityBoundingSet"] == "" and said["NoNewPrivileges"] == "yes"
    assert {said[name] for name in ("ProtectSystem", "MemoryMax", "CPUQuota")} == {"strict", "2G", "200%"}
    lines = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    # Pinned to a version, and the user is set before anything runs.
    assert bases and all(re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm", base) for base in bases)
    assert lines.index("USER 1000:1000") < next(
        at for at, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )
    assert any("--constraint /wheel/constraints.txt" in line for line in lines)
    extras = next(line for line in lines if line.startswith("ARG EXTRAS=")).partition("=")[2].split(",")
    assert set(extras) <= PROJECT["project"]["optional-dependencies"].keys()
    (options,) = [line for line in lines if line.startswith("CMD [")][-1:]
    compose = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    for words in (json.loads(options.removeprefix("CMD ")), said["ExecStart"].split()[2:]):
        flags = {word for word in words if word.startswith("--")}
        done = subprocess.run(
            [sys.executable, "-m", "dragoman", "serve", "--help"], capture_output=True, text=True, check=True
        )
        assert {flag for flag in flags if flag not in done.stdout} == set()
    for line in ("read_only: true", 'cap_drop: ["ALL"]', "mem_limit: 2g", "pids_limit: 256"):
        assert line in compose
