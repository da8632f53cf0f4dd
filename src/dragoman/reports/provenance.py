"""Where the figures of a report come from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import dragoman
from dragoman.corpus.store import Corpus
from dragoman.folders import versions
from dragoman.reports import model as models


def describe_provenance(
    run: str | Path | models.Model,
    corpus: Corpus,
    other: str | Path | models.Model | None,
    seed: int,
) -> dict[str, Any]:
    """Hashes, versions and the commit that a report stands on; `other` is the second model."""
    return {
        "run": models.fingerprint(run),
        "run_path": str(run) if isinstance(run, str | Path) else None,
        "corpus": corpus.fingerprint(),
        "corpus_path": str(corpus.folder),
        "translate_test_run": None if other is None else models.fingerprint(other),
        "versions": versions(),
        "seed": seed,
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of this package, where it runs from a checkout."""
    folder = Path(dragoman.__file__).parent
    command = ["git", "-C", str(folder), "log", "-1", "--format=%H", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
