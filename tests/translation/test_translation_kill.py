"""A job in a process of its own: killed, interrupted, and run again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from translation_world import captions, install_fake_apertium, logged_work, make_corpus

BATCH = 4
TEXTS = [f"line number {i}" for i in range(60)]


def start(corpus: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", "translate", str(corpus)]
    command += ["--to", "pt", "--engine", "apertium:eng-spa|spa-por", "--back", "apertium:por-spa|spa-eng"]
    command += ["--batch-size", str(BATCH), "--cache", str(corpus.parent / "cache")]
    return subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that starts jobs in the background lets them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_work(environment: dict[str, str], lines: int, process: subprocess.Popen[bytes]) -> None:
    while len(logged_work(environment)) < lines:
        assert process.poll() is None, "the job ended too early"
        time.sleep(0.005)


def test_a_job_killed_many_times_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = make_corpus(tmp_path / "whole" / "corpus", [{"text": text} for text in TEXTS])
    undisturbed = install_fake_apertium(tmp_path / "bin1")
    process = start(whole, undisturbed)
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint

    corpus = make_corpus(tmp_path / "killed" / "corpus", [{"text": text} for text in TEXTS])
    environment = install_fake_apertium(tmp_path / "bin2")
    before = (corpus / "captions.parquet").read_bytes()
    draw = random.Random(1)
    kills = 4
    for _ in range(kills):
        lines = len(logged_work(environment)) + draw.randint(1, 40)
        # Two batches later at most the engine waits for the kill, however late it comes.
        process = start(corpus, environment | {"FAKE_STOP_AFTER": str(lines + 2 * BATCH)})
        wait_for_work(environment, lines, process)
        time.sleep(draw.random() * 0.03)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert (corpus / "captions.parquet").read_bytes() == before
    process = start(corpus, environment)
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint

    assert captions(corpus) == captions(whole)
    # Each kill costs at most one batch, and a batch goes through the two programs of its chain.
    assert len(logged_work(environment)) <= len(logged_work(undisturbed)) + kills * 2 * BATCH


def test_ctrl_c_exits_with_130_and_the_next_run_goes_on(tmp_path: Path) -> None:
    environment = install_fake_apertium(tmp_path / "bin")
    corpus = make_corpus(tmp_path / "corpus", [{"text": text} for text in TEXTS])
    process = start(corpus, environment | {"FAKE_STOP_AFTER": "30"})
    wait_for_work(environment, 20, process)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate()
    assert process.returncode == 130
    assert b"Interrupted. What was finished is kept" in complaint
    assert b"Traceback" not in complaint
    assert len(captions(corpus)) == len(TEXTS)

    done = len(logged_work(environment))
    process = start(corpus, environment)
    process.communicate()
    assert process.returncode == 0
    again = set(logged_work(environment)[done:])
    assert TEXTS[0] not in again
    assert sum(row["role"] == "mt" for row in captions(corpus)) == len(TEXTS)


def test_a_line_that_hangs_is_found_and_the_rest_is_translated(tmp_path: Path) -> None:
    environment = install_fake_apertium(tmp_path / "bin")
    corpus = make_corpus(tmp_path / "corpus", [{"text": text} for text in ("a dog", "hang", "a cat")])
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", "translate", str(corpus)]
    command += ["--to", "pt", "--engine", "apertium:eng-spa|spa-por", "--timeout", "4"]
    done = subprocess.run(
        [*command, "--cache", str(tmp_path / "cache")],
        env=os.environ | environment,
        capture_output=True,
    )
    assert done.returncode == 3, done.stderr
    assert [row["text"] for row in captions(corpus)[3:]] == ["A DOG/ENG-SPA/spa-por", "A CAT/ENG-SPA/spa-por"]
    listed = json.loads((corpus / "rejected" / "translate-en-pt.jsonl").read_text())
    assert listed["text"] == "hang"
    assert "did not finish within" in listed["reason"]
