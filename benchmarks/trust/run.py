"""How well does trust find planted damage, and does it agree with true quality?

    python benchmarks/trust/run.py DATA --out benchmarks/trust/results.md

DATA is a folder with `captions.jsonl.gz` (en captions, pt, es and gl translations of them, back-translations)
and `translation_pairs.jsonl.gz` (which human Portuguese caption translates which English one). The human
translations judge only: nothing is fitted to them. Back-translations of damaged captions are made by Apertium
(apt-get install apertium apertium-eng-spa apertium-es-pt).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, rankdata, spearmanr

from dragoman.corpus.store import Corpus
from dragoman.folders import versions, write_text
from dragoman.translation.noise import KINDS, NoiseConfig
from dragoman.translation.noise_corpus import plant_noise
from dragoman.translation.signals import round_trip
from dragoman.translation.trust import score_trust
from dragoman.translation.trust_calibration import GOOD, goodness, trust_of

ENGINE = "apertium:eng-spa|es-pt"
BACK = "apertium:pt-es|spa-eng"
LEARNT = ("explained", "order")
MIX = NoiseConfig().kinds

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One corpus of planted damage: which kinds, and what became of the back-translations."""

    title: str
    kinds: tuple[str, ...]
    back: str = BACK
    langid: bool = False


RUNS = (
    *(Run(title=kind, kinds=(kind,)) for kind in KINDS),
    Run(title="wrong_language, with --langid", kinds=("wrong_language",), langid=True),
    Run(title="mix", kinds=MIX),
    Run(title="mix, with --langid", kinds=MIX, langid=True),
    Run(title="mix, back dropped", kinds=MIX, back="drop"),
    Run(title="mix, back kept", kinds=MIX, back="keep"),
)


def auc(score: Floats, damaged: NDArray[np.bool_]) -> float:
    """How often a damaged caption scores lower than a sound one, ties half; absent scores are left out."""
    present = ~np.isnan(score)
    rank, bad = rankdata(score[present]), damaged[present]
    count = int(bad.sum())
    if count in (0, len(bad)):
        return float("nan")
    return 1 - (rank[bad].sum() - count * (count + 1) / 2) / (count * (len(bad) - count))


def judges(table: pa.Table) -> dict[str, Floats]:
    """Every score that is to be judged, high for good, of the Portuguese captions."""
    values = {name: np.asarray(table[name].to_numpy(), np.float64) for name in GOOD}
    values = {name: column for name, column in values.items() if not np.isnan(column).all()}
    fixed = {name: column for name, column in values.items() if name not in LEARNT}
    return {
        "trust": np.asarray(table["trust"].to_numpy(), np.float64),
        "trust without learnt signals and caps": trust_of(fixed),
        **{name: goodness(column, GOOD[name]) for name, column in values.items()},
    }


def portuguese(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["lang"], "pt"))


def build(data: Path, home: Path) -> Path:
    """The corpus: English captions, Apertium's pt, es and gl, and the way back from pt."""
    engines = {ENGINE, BACK, "apertium:eng-spa", "apertium:en-gl"}
    with (
        gzip.open(data / "captions.jsonl.gz", "rt", encoding="utf-8") as lines,
        (home / "captions.jsonl").open("w", encoding="utf-8") as kept,
    ):
        for line in lines:
            row = json.loads(line)
            forth = row["role"] == "mt" and row["lang"] != "en" and row["engine"] in engines
            back = row["role"] == "back" and row["engine"] == BACK
            if forth or back or (row["role"], row["lang"]) == ("human", "en"):
                kept.write(line)
    corpus = home / "corpus"
    command = ["dragoman", "corpus", "jsonl", str(home / "captions.jsonl"), "--out", str(corpus)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return corpus


def only_portuguese(folder: Path) -> None:
    """Leave out es and gl: they served as wrong languages only."""
    corpus = Corpus.open(folder)
    corpus.replace_captions(corpus.captions.filter(pc.is_in(corpus.captions["lang"], pa.array(["en", "pt"]))))


def detection(corpus: Path, home: Path, rate: float, seed: int) -> Iterator[tuple[Run, dict[str, float]]]:
    for number, run in enumerate(RUNS):
        noisy = home / f"noisy{number}"
        config = NoiseConfig(rate=rate, kinds=run.kinds, seed=seed)
        noise = plant_noise(corpus, noisy, languages=["pt"], config=config, back=run.back)
        only_portuguese(noisy)
        table = portuguese(score_trust(noisy, langid=run.langid))
        damaged = pc.is_in(table["caption_id"], noise["caption_id"].combine_chunks()).to_numpy()
        print(f"{run.title}: {len(noise)} of {len(table)} damaged", file=sys.stderr)
        yield run, {name: auc(score, damaged) for name, score in judges(table).items()}


Interval = tuple[float, float, float]


def agreement_with_truth(data: Path, corpus: Path, table: pa.Table) -> tuple[int, float, dict[str, Interval]]:
    """Pairs, mean true chrF, and Spearman's rho with it, with a 95 % bootstrap interval, of every score."""
    captions = Corpus.open(corpus).captions.select(["caption_id", "source_id"])
    source_of = {row["caption_id"]: row["source_id"] for row in captions.to_pylist()}
    row_of = {source_of[caption_id]: row for row, caption_id in enumerate(table["caption_id"].to_pylist())}
    texts = _texts(data)
    rows, truth = [], []
    translations = table["text"].to_pylist()
    with gzip.open(data / "translation_pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        for pair in map(json.loads, lines):
            row = row_of.get(pair["source_id"])
            if "#pt-" in pair["reference_id"] and row is not None:
                rows.append(row)
                truth.append(round_trip(texts[pair["reference_id"]], translations[row]) or 0.0)
    true = np.array(truth)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(true), (500, len(true)))
    found = {}
    for name, score in judges(table).items():
        mine = score[rows]
        with warnings.catch_warnings():
            # A signal that hardly any caption trips is constant in some draws; its interval is then absent.
            warnings.simplefilter("ignore", ConstantInputWarning)
            spread = np.quantile([spearmanr(mine[draw], true[draw])[0] for draw in draws], [0.025, 0.975])
        found[name] = (float(spearmanr(mine, true)[0]), float(spread[0]), float(spread[1]))
    return len(true), float(true.mean()), found


def _interval(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if np.isfinite(low) else "–"


def _texts(data: Path) -> dict[str, str]:
    with gzip.open(data / "captions.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows: Iterator[dict[str, Any]] = map(json.loads, lines)
        return {row["caption_id"]: row["text"] for row in rows if row["role"] == "human"}


def auc_table(results: list[tuple[Run, Mapping[str, float]]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for _, scores in results for name in scores))
    yield "| damage | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for run, scores in results:
        cells = (scores.get(name, float("nan")) for name in names)
        yield f"| {run.title} | " + " | ".join("–" if np.isnan(x) else f"{x:.3f}" for x in cells) + " |"


def circumstances(seconds: float) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    installed = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "torch")
    return (
        f"Commit {commit.stdout.strip()}, {os.cpu_count()} cores ({platform.machine()}), {installed}; "
        f"{seconds:.0f} s in all."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        corpus = build(arguments.data, Path(home))
        results = list(detection(corpus, Path(home), arguments.rate, arguments.seed))
        only_portuguese(corpus)
        start = time.monotonic()
        table = portuguese(score_trust(corpus))
        speed = len(table) / (time.monotonic() - start)
        pairs, mean, truth = agreement_with_truth(arguments.data, corpus, table)
    template = Path(__file__).with_name("template.md").read_text(encoding="utf-8")
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {rho:.3f} | {_interval(low, high)} |"
        for name, (rho, low, high) in truth.items()
    )
    page = template.format(
        command=shlex.join(["python", "benchmarks/trust/run.py", "DATA", *sys.argv[2:]]),
        circumstances=circumstances(time.monotonic() - began),
        captions=f"{len(table):,}",
        rate=f"{arguments.rate:.0%}",
        seed=arguments.seed,
        back=BACK,
        auc="\n".join(auc_table(results)),
        pairs=f"{pairs:,}",
        mean=f"{100 * mean:.1f}",
        spearman=rows,
        speed=f"{speed:,.0f}",
    )
    write_text(arguments.out, page)


if __name__ == "__main__":
    main()
