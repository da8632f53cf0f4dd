"""Disturb every stage at random moments, and run the same command again.

    python benchmarks/reliability/stages.py --count 100 --seed 0 --out benchmarks/reliability/stages.md
    python benchmarks/reliability/stages.py --only train --count 20

A small generated world goes through `translate`, `features`, `train`, `calibrate` and `export`, each where an
earlier result lies that it adds to or replaces.

- Kills: of every other one the moment is drawn from the time that the stage takes, of the others from the
  changes of the disk that it makes (files that it opens for writing, renames or removes). One in five is
  followed by another, of the run that goes on.
- Full disks: a file system in memory with room for a part of what the stage writes, every fourth for a part
  of the files that it makes; it is mounted where only this process sees it.
- The clock: the stage is killed, or ends, and all files get times of tomorrow, as if the clock had been put
  back since.
- Memory: a process that may have 900 MB of address space (`ulimit -v`).

After each, `dragoman check` must find everything sound that was there before, and each file of it must be as
it was or as the stage leaves it. A stage that cannot go on must end with status 1 or 2 and one line that
says why. The same command, run again with room, must end with status 0 and leave the same files, byte
for byte; of databases the same rows, and of JSON the same values, but for times and versions.

Each run is a process of its own, forked from one that has imported all that the stages import.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import runpy
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from dragoman.pipelines.computer import commit_and_computer

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "agg"}

SMALL = ("text.width=16", "text.feed_forward=16", "dual.hidden=16", "dual.joint=16", "dual.key_width=16")
STEPS = ("steps=8", "batch_size=8", "validate_every=0.25", "checkpoint_every=3")
TRAIN = ("train", "corpus", "--recipe", "translate_train", "--source", "en", "--features", "grid")
RECORDED = "recorded:corpus/apertium.jsonl.gz"
TOWER = ("features", "corpus", "--encoder", "tower", "--batch-size", "8")
SETTINGS = tuple(word for setting in (*SMALL, *STEPS) for word in ("--set", setting))


def translate(to: str) -> tuple[str, ...]:
    """Translate into a language and back."""
    engines = ("--engine", RECORDED, "--back", RECORDED)
    return ("translate", "corpus", "--to", to, *engines, "--cache", "cache", "--batch-size", "16")


STAGES = {
    "translate": translate("pt"),
    "features": TOWER,
    "train": (*TRAIN, "--targets", "es,pt", "--out", "run", *SETTINGS),
    "calibrate": ("calibrate", "run", "corpus", "--split", "train"),
    "export": ("export", "run", "--to", "onnx", "--out", "export"),
}
EARLIER = {
    # What each stage finds: captions of another language, vectors of other pictures, an older result.
    "translate": (translate("es"),),
    "features": (TOWER,),
    "train": (),
    "calibrate": (("calibrate", "run", "corpus", "--split", "train", "--false-accepts", "0.3"),),
    "export": (("export", "run", "--to", "onnx", "--out", "export", "--set", "int8=true"),),
}
VOLATILE = {"versions", "command", "captions_per_second", "seconds", "files", "checksum"}
PAGE = 4096
DAY = 86_400
MEMORY = 900
"""Megabytes of address space."""
HANGS = 900.0
"""Seconds after which a stage is given up, also on a computer on which others compute."""


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    """Exit status, or the negative number of the signal that killed it."""
    errors: str
    """What it wrote to standard error."""
    seconds: float
    changes: int
    """Changes of the disk, as the interpreter sees them."""


def run(
    work: Path,
    words: Sequence[str],
    *,
    at: float | None = None,
    change: int | None = None,
    watch: Callable[[], object] | None = None,
) -> Ended:
    """Run `dragoman WORDS` in a folder; kill it `at` so many seconds, or before its `change`-th change; call
    `watch` all the while."""
    begun = time.monotonic()
    if not (child := os.fork()):
        _become(work, words, change)
    handle = os.pidfd_open(child)
    while not select.select([handle], [], [], 0.001 if watch else min(HANGS, at or HANGS))[0]:
        if watch:
            watch()
            continue
        os.kill(child, signal.SIGKILL)
        if at is None or at > HANGS:
            os.waitpid(child, 0)
            raise RuntimeError(f"dragoman {' '.join(words)} did not end within {HANGS:g} s")
    os.close(handle)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    counted = work.parents[1] / "changes"
    changes = int(counted.read_text()) if counted.is_file() else 0
    counted.unlink(missing_ok=True)
    errors = (work.parents[1] / "stderr").read_text(errors="replace")
    return Ended(status, errors, time.monotonic() - begun, changes)


def _become(work: Path, words: Sequence[str], change: int | None) -> NoReturn:
    """Be the command, in a child."""
    status, counted = 70, 0
    try:
        os.chdir(work)
        messages = work.parents[1] / "stdout", work.parents[1] / "stderr"
        for number, path in enumerate(messages, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.environ |= {"DRAGOMAN_HOME": str(work / "home"), "TMPDIR": str(work / "tmp")}
        tempfile.tempdir = None
        sys.argv = ["dragoman", *words]

        def count(event: str, given: tuple[Any, ...]) -> None:
            nonlocal counted
            if _changes_disk(event, given):
                counted += 1
                if counted == change:
                    os.kill(os.getpid(), signal.SIGKILL)

        if words[0] == "features":
            from dragoman.features import extract

            extract.SHARD_SECONDS = 0.0  # every batch is kept
        sys.addaudithook(count)
        runpy.run_module("dragoman", run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            (work.parents[1] / "changes").write_text(str(counted))
            (work.parents[1] / "modules").write_text("\n".join(sys.modules.keys() - {"dragoman.__main__"}))
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _changes_disk(event: str, given: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(given[2], int) and bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "sqlite3.connect")


def state(folder: Path) -> dict[str, Any]:
    """Names below a folder, with what the files say: digests, rows, or values without times and versions."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name == ".lock" or name.split("/")[0] in ("tmp", "home"):
            continue
        if path.suffix == ".sqlite":
            found[name] = rows(path)
        elif path.suffix in (".json", ".jsonl"):
            found[name] = [_plain(json.loads(line)) for line in _values(path)]
        elif path.suffix == ".pt":
            found[name] = _tensors(path)
        elif path.name == "files.txt":
            # Of pictures: kind, content, size; not when and where a copy of the world was made.
            found[name] = [line.split()[:3] for line in path.read_text(encoding="utf-8").splitlines()]
        elif not name.endswith(("-wal", "-shm")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _values(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def rows(path: Path) -> set[str]:
    """All rows of a database, as another process finds them."""
    database = sqlite3.connect(path)
    try:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {f"{table}: {row!r}" for table in tables for row in database.execute(f"SELECT * FROM {table}")}
    finally:
        database.close()


def _tensors(path: Path) -> Any:
    """What a checkpoint holds: its file has objects that are the same in one place, and equal in another."""
    import torch

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list | tuple) else value

    return plain(torch.load(path, weights_only=True))


def _plain(value: Any) -> Any:
    """Leave out times and versions."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if name not in VOLATILE}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def differences(found: dict[str, Any], *allowed: dict[str, Any]) -> list[str]:
    """Say of the files that are in none of the allowed states what is wrong with them."""
    wrong = []
    for name in sorted(found.keys() | set().union(*allowed)):
        one, known = found.get(name), [state.get(name) for state in allowed]
        if isinstance(one, set):
            if not (known[0] or set()) <= one <= (known[-1] or set()):
                wrong.append(f"{name} has other rows")
        elif one not in known:
            wrong.append(f"{name} {'is missing' if one is None else 'differs' if any(known) else 'is left'}")
    return wrong


class World:
    """Folders of before and after each stage, and a place where it is tried."""

    def __init__(self, root: Path) -> None:
        self.root, self.work = root, root / "disk" / "work"
        self.disk = root / "disk"
        self.after: dict[str, dict[str, Any]] = {}
        self.before: dict[str, dict[str, Any]] = {}
        self.undisturbed: dict[str, Ended] = {}
        self.room: dict[str, tuple[int, int]] = {}
        """Bytes and files that a stage needs at most beyond those that are there."""

    def place(self, stage: str) -> None:
        """Let everything be as before the stage."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.root / "before" / stage, self.work, symlinks=True)

    def must(self, *words: str, watch: Callable[[], object] | None = None) -> Ended:
        """Run a command that ends well."""
        ended = run(self.work, words, watch=watch)
        if ended.status:
            raise RuntimeError(f"dragoman {' '.join(words)}: exit status {ended.status}\n{ended.errors}")
        # So that no later child need import them; but a process that runs threads, as this one would with
        # onnxruntime, is not fit for forks.
        for name in (self.root / "modules").read_text().split():
            if not name.startswith("onnxruntime"):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        return ended

    def make(self, only: Sequence[str]) -> None:
        """Go the whole way, and keep what is there before each stage."""
        (self.work / "tmp").mkdir(parents=True)
        self.must("scenes", "--out", "corpus", "--items", "40", "--languages", "es,pt")
        save_tower(self.work / "tower")
        for stage, words in STAGES.items():
            for earlier in EARLIER[stage]:
                self.must(*earlier)
            if stage == "features":
                pictures = sorted((self.work / "corpus" / "media").glob("*.png"))
                for old, new in zip(pictures[:12], pictures[12:24], strict=True):
                    shutil.copyfile(new, old)
            shutil.copytree(self.work, self.root / "before" / stage, symlinks=True)
            if stage in only:
                self.measure(stage)
            else:
                self.must(*words)

    def measure(self, stage: str) -> None:
        """Run a stage undisturbed, twice, and note what it needs and leaves."""
        self.place(stage)
        self.before[stage] = state(self.work)
        used, most = usage(self.disk), [0, 0]

        def watch() -> None:
            most[:] = map(max, most, usage(self.disk))

        self.must(*STAGES[stage], watch=watch)
        # What is there for less than a millisecond may not be seen, but what changed was written beside it.
        changed = differences(state(self.work), self.before[stage])
        files = [self.work / one.partition(" ")[0] for one in changed]
        sizes = [-(-path.stat().st_size // PAGE) * PAGE for path in files if path.is_file()]
        self.room[stage] = (max(most[0] - used[0], sum(sizes)), max(most[1] - used[1], 1))
        self.after[stage] = state(self.work)
        self.place(stage)
        self.undisturbed[stage] = self.must(*STAGES[stage])
        if wrong := differences(state(self.work), self.after[stage]):
            raise RuntimeError(f"{stage} leaves something else each time: {'; '.join(wrong)}")


def usage(folder: Path) -> tuple[int, int]:
    """Bytes and files on the disk of a folder."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


def save_tower(folder: Path) -> None:
    """Write a small vision tower with weights at random."""
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=16)
    transformers.ViTModel(config).save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


class Fault(NamedTuple):
    """Something that must not be."""

    stage: str
    how: str
    said: str


class Trial:
    """Disturbances of one stage."""

    def __init__(self, world: World, stage: str, draw: random.Random) -> None:
        self.world, self.stage, self.draw = world, stage, draw
        self.counts: Counter[str] = Counter()
        self.faults: list[Fault] = []

    def kill(self) -> None:
        """Kill the stage once, or more often, and compare."""
        self.world.place(self.stage)
        undisturbed, how = self.world.undisturbed[self.stage], []
        while not how or self.draw.random() < 0.2:
            by_clock = (self.counts["kills"] + len(how)) % 2 == 0
            at = self.draw.random() * undisturbed.seconds if by_clock else None
            change = None if by_clock else 1 + self.draw.randrange(undisturbed.changes)
            ended = run(self.world.work, STAGES[self.stage], at=at, change=change)
            if ended.status == -signal.SIGKILL:
                how.append(f"killed after {at:.3f} s" if at is not None else f"killed at change {change}")
            elif ended.status == 0:
                # It was quicker than the kill, or had less to do than the first time.
                how.append("ended") if how else self.world.place(self.stage)
            else:
                self.fault(how, f"status {ended.status}: {ended.errors}")
            if how and how[-1] == "ended":
                how.pop()
                break
        self.counts["kills"] += len(how)
        self.compare(how)

    def fill(self) -> None:
        """Run the stage on a disk that has too little room, and compare."""
        disk = self.world.disk
        self.world.place(self.stage)
        used, (most, files) = usage(disk), self.world.room[self.stage]
        if self.counts["full"] % 4 == 3:
            left = self.draw.randrange(files)
            remount(disk, nr_inodes=used[1] + left)
            how = [f"room for {left} files"]
        else:
            left = self.draw.randrange(0, most, PAGE)
            remount(disk, size=used[0] + left)
            how = [f"room for {left} bytes"]
        ended = run(self.world.work, STAGES[self.stage])
        remount(disk)
        self.counts["full"] += 1
        self.counts["told" if ended.status else "ended"] += 1
        lines = [line for line in ended.errors.splitlines() if line.startswith("Error")]
        told = len(lines) == 1 and lines[0].startswith("Error: The disk is full")
        if ended.status not in (0, 1) or (ended.status == 1 and not told) or "Traceback" in ended.errors:
            self.fault(how, f"status {ended.status}: {ended.errors}")
        self.compare(how)

    def put_back(self) -> None:
        """Stop the stage, or let it end, put the clock back by a day, and compare."""
        work, undisturbed = self.world.work, self.world.undisturbed[self.stage]
        self.world.place(self.stage)
        change = self.draw.randrange(undisturbed.changes * 5 // 4) + 1
        ended = run(work, STAGES[self.stage], change=change)
        for path in work.rglob("*"):
            found = path.stat()
            os.utime(path, (found.st_atime + DAY, found.st_mtime + DAY))
        self.counts["clock"] += 1
        self.compare([f"clock put back after {'the end' if ended.status == 0 else f'change {change}'}"])

    def starve(self) -> str:
        """Run the stage in little memory, compare, and give what it says where it cannot go on."""
        self.world.place(self.stage)
        code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY} * 10**6,) * 2)"
        command = [sys.executable, "-c", f"{code}; from dragoman.cli import main; main()"]
        done = subprocess.run(
            [*command, *STAGES[self.stage]], cwd=self.world.work, capture_output=True, text=True
        )
        said = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        if (
            done.returncode not in (0, 1, 2)
            or "Traceback" in done.stderr
            or len(said) != bool(done.returncode)
        ):
            self.fault([f"{MEMORY} MB"], f"status {done.returncode}: {done.stderr}")
        self.compare([f"{MEMORY} MB"])
        return "".join(said)

    def compare(self, how: list[str]) -> None:
        """See that nothing is lost, and that the same command ends with the same."""
        world, stage = self.world, self.stage
        before, after = world.before[stage], world.after[stage]
        found = {name: one for name, one in state(world.work).items() if name in before}
        if wrong := differences(found, before, after):
            self.fault(how, f"lost: {'; '.join(wrong)}")
        there = [name for name in ("corpus", "run", "export") if f"{name}/manifest.json" in before]
        checked = run(world.work, ("check", *there))
        if checked.status:
            self.fault(how, f"check: {(world.root / 'stdout').read_text()} {checked.errors}")
        ended = run(world.work, STAGES[stage])
        if ended.status:
            self.fault(how, f"again, status {ended.status}: {ended.errors}")
        elif wrong := differences(state(world.work), after):
            self.fault(how, f"again: {'; '.join(wrong)}")

    def fault(self, how: list[str], said: str) -> None:
        self.faults.append(Fault(self.stage, ", ".join(how), said))
        print(f"{self.stage}, {', '.join(how)}: {said[-2000:]}", file=sys.stderr, flush=True)


def remount(disk: Path, size: int = 1 << 30, nr_inodes: int = 1 << 20) -> None:
    """Change the room that a disk has, in bytes and in files."""
    room = f"remount,size={size},nr_inodes={nr_inodes}"
    subprocess.run(["mount", "-o", room, str(disk)], check=True)


def enter_mounts() -> None:
    """Go on in a process that may mount what no other sees."""
    if "DRAGOMAN_STAGES" not in os.environ:
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.environ["DRAGOMAN_STAGES"] = "inside"
        os.execvp("unshare", ["unshare", "--mount", *as_root, sys.executable, *sys.argv])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="Kills, and full disks, of each stage.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(STAGES), action="append")
    parser.add_argument("--out", type=Path, help="Write the page here.")
    given = parser.parse_args()
    enter_mounts()
    only = given.only or list(STAGES)
    rows: list[tuple[Trial, float, str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        world = World(Path(temporary))
        world.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(world.disk)], check=True)
        try:
            world.make(only)
            for stage in only:
                trial = Trial(world, stage, random.Random(f"{given.seed} {stage}"))
                while trial.counts["kills"] < given.count:
                    trial.kill()
                while trial.counts["full"] < given.count:
                    trial.fill()
                while trial.counts["clock"] < given.count // 5:
                    trial.put_back()
                seconds = world.undisturbed[stage].seconds
                rows.append((trial, seconds, trial.starve()))
                print(
                    stage, dict(trial.counts), *rows[-1][1:], len(trial.faults), file=sys.stderr, flush=True
                )
        finally:
            subprocess.run(["umount", "--lazy", str(world.disk)], check=True)
    print("\n".join(page(rows, given.seed)))
    if given.out:
        given.out.write_text("\n".join(page(rows, given.seed)) + "\n", encoding="utf-8")
    return int(any(trial.faults for trial, *_ in rows))


def page(rows: Sequence[tuple[Trial, float, str]], seed: int) -> list[str]:
    """The figures as Markdown."""
    lines = [
        "# Stages that are disturbed",
        "",
        "Each stage as often as said, on a generated world of 40 pictures. `told`: full disks that were",
        "told; in the others there was just room enough. `faults`: runs after which something was lost or",
        "damaged, a traceback, or another end than undisturbed.",
        "",
        f"| stage | seconds | kills | full disks | told | clock put back | {MEMORY} MB | faults |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for trial, seconds, said in rows:
        counts = [trial.counts[name] for name in ("kills", "full", "told", "clock")]
        cells = [trial.stage, f"{seconds:.2f}", *counts, "told" if said else "as ever", len(trial.faults)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    told = [f"- {trial.stage}: {said}" for trial, _, said in rows if said]
    command = f"python benchmarks/reliability/stages.py --seed {seed}"
    return [*lines, "", *told, "", f"`{command}` {commit_and_computer()}."]


if __name__ == "__main__":
    sys.exit(main())
