"""The origin of the figures of a report."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from dragoman.corpus.corpus import Corpus
from dragoman.folders import sha256, versions
from dragoman.models.hub import PAIR
from dragoman.models.identity import CALIBRATION, model_in, read_config
from dragoman.retrievers.base import Model
from dragoman.retrievers.loading import model_fingerprint


def describe_provenance(
    run: str | Path | Model,
    corpus: Corpus,
    other: str | Path | Model | None,
    seed: int,
) -> dict[str, Any]:
    """Collect the hashes, versions and commit that a report stands on; `other` is the second model."""
    return {
        "run": fingerprint(run),
        "run_path": str(run) if isinstance(run, str | Path) else None,
        "corpus": corpus.fingerprint(),
        "corpus_path": str(corpus.folder),
        "translate_test_run": None if other is None else fingerprint(other),
        "versions": versions(),
        "seed": seed,
        "commit": _commit(),
    }


def fingerprint(run: str | Path | Model) -> dict[str, str]:
    """Hash the content of the model's files; those of an object are unknown."""
    if not isinstance(run, str | Path):
        return {"model": f"object of class {type(run).__name__}"}
    if read_config(Path(run)).get("model_type") == PAIR:
        return {"model": model_fingerprint(Path(run))}
    # What `dragoman calibrate` learns of the finished model changes no vector.
    files = (
        path for path in sorted(model_in(Path(run)).iterdir()) if path.is_file() and path.name != CALIBRATION
    )
    return {f"model/{path.name}": sha256(path) for path in files}


def digest(hashes: dict[str, str]) -> str:
    """Make one hash of several, for display."""
    return hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()[:16]


def _commit() -> str | None:
    """Find the commit of this package, where it runs from a checkout."""
    folder = Path(__file__).parent.parent
    # Of the folder of the package alone: a commit that touches only documents changes no figure.
    command = ["git", "-C", str(folder), "log", "-1", "--format=%H", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
