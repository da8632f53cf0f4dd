"""The OpenAPI document says what the service takes and sends, as far as schemathesis can tell.

It makes requests of the document, ones that fit and ones that do not, and compares the answers with it: all
checks, all operations, each alone and several after one another. `DRAGOMAN_SCHEMATHESIS="200 7"` tries 200
examples of each, from the seed 7.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from running import threaded

from dragoman.corpus.corrections import CORRECTIONS, Correction, keep_corrections
from dragoman.service.access import KeyFile, new_key

EXAMPLES, SEED = os.environ.get("DRAGOMAN_SCHEMATHESIS", "15 1").split()
CONFIG = str(Path(__file__).with_suffix(".toml"))


def tried(url: str, key: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What schemathesis says of a service."""
    asked = f"run {url}openapi.json --checks all --max-examples {EXAMPLES} --seed {SEED}".split()
    header = f"Authorization: Bearer {key}"
    return subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, *asked, "-H", header],
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "openapi_values", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )


def test_the_document_says_what_is_taken_and_sent(own_shelf: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    key = new_key(tmp_path / "keys.txt")
    # To be taken back: for those that it puts itself it asks too rarely.
    kept = [(f"00{number}.jpg", lang) for number in (1, 2, 3) for lang in ("pt", "fr")]
    corrections = [Correction(item_id=item_id, lang=lang, text="um") for item_id, lang in kept]
    keep_corrections(own_shelf / CORRECTIONS, corrections)
    with threaded(shelf=own_shelf) as start:
        url, _ = start(keys=KeyFile(tmp_path / "keys.txt"))
        done = tried(url, key, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        with httpx2.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
            described = client.get("/openapi.json").json()["paths"]
            counted = client.get("/metrics").text.replace(":path}", "}")
    # Nothing would be found where all was refused.
    answered = set(re.findall(r'_requests_total{code="(2..)",method="(\w+)",route="(.+?)"}', counted))
    for path, methods in described.items():
        for method, one in methods.items():
            told = {code for code in one["responses"] if code.startswith("2")} - {"206"}
            assert told == {code for code, *asked in answered if asked == [method.upper(), path]}, path
