"""Run as a script: updates of a corpus, each killed at another step."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from dragoman.corpus import BuildOptions, Corpus, build_folder
from dragoman.folders import integrity, life

STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "ctypes.dlopen", "ctypes.dlsym"}


def update(photos: Path, corpus: Path, kill_at: int | None) -> tuple[int, int]:
    """Update in a process that is killed just before its n-th step; gives its exit status and its steps."""
    seen, told = os.pipe()
    if not (child := os.fork()):
        count = 0
        # Or it would depend on what was read before how many files are.
        integrity._verified.clear()

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in STEPS or (event == "open" and str(corpus.parent) in str(arguments[0])):
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        build_folder(photos, corpus, BuildOptions(lang="en"))
        os.write(told, str(count).encode())
        os._exit(0)
    os.close(told)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(seen) as pipe:
        return status, int(pipe.read() or 0)


def content(corpus: Path) -> dict[str, object]:
    """All that a corpus holds, whole and sound."""
    opened = Corpus.open(corpus)
    found = opened.features("eyes")
    return {
        "items": opened.items.to_pylist(),
        "captions": opened.captions.to_pylist(),
        "vectors": [found.ids, found.vectors.tolist(), list(map(str, found.files))],
        "names": sorted(path.name for path in corpus.iterdir() if path.name != ".lock"),
    }


def main(photos: Path, start: Path, trial: Path, by: str, kills: int) -> None:
    if by == "renames":
        life.exchange = lambda *_: False
    old, corpus = content(start), trial / "corpus"
    shutil.copytree(start.parent, trial)
    status, steps = update(photos, corpus, None)
    assert status == 0
    new = content(corpus)
    assert new != old
    # The last steps hold the swap: half of the kills are there.
    kills = min(kills, steps)
    late = range(steps - kills // 2 + 1, steps + 1)
    early = [1 + number * (late[0] - 1) // (kills - len(late)) for number in range(kills - len(late))]
    for kill_at in (*early, *late):
        shutil.rmtree(trial)
        shutil.copytree(start.parent, trial)
        status, _ = update(photos, corpus, kill_at)
        assert status == -signal.SIGKILL, (kill_at, steps, status)
        if not corpus.exists():
            print("gone")
        else:
            found = content(corpus)
            assert found in (old, new), kill_at
            print("old" if found == old else "new")
        assert update(photos, corpus, None)[0] == 0, kill_at
        assert content(corpus) == new, kill_at
        assert [path.name for path in trial.iterdir()] == ["corpus"], kill_at
    print("new")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4], int(sys.argv[5]))
