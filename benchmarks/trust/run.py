"""How well does trust find planted damage, and does it agree with true quality?

    python benchmarks/trust/run.py DATA --words /usr/share/dict/brazilian --out benchmarks/trust/results.md

DATA is a folder with `captions.jsonl.gz` (en captions, machine translations and back-translations of them),
`translation_pairs.jsonl.gz` (which human Portuguese caption translates which English one) and `features/`.
The human translations judge only: nothing is fitted to them. Back-translations of damaged captions and the
bridge from Spanish are made by Apertium (apt-get install apertium apertium-eng-spa apertium-es-pt), the list
of words is Debian's wbrazilian, the sentence encoder is `use` (pip install 'dragoman[use]'). `--model` names
a run of `dragoman train` on the same captions, for the signals of a model.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, rankdata, spearmanr

from dragoman.corpus.corpus import Corpus
from dragoman.features.kept_texts import KeptTexts
from dragoman.features.texts import extract_texts
from dragoman.folders import versions, write_text
from dragoman.pipelines.computer import commit, computer
from dragoman.trust import Bridge, score_trust
from dragoman.trust.calibration import FAILED, GOOD, goodness, trust_of
from dragoman.trust.noise import KINDS, NoiseSettings
from dragoman.trust.noise_corpus import plant_noise
from dragoman.trust.signals import round_trip

ENGINE = "apertium:eng-spa|es-pt"
BACK = "apertium:pt-es|spa-eng"
OTHER = "nllb-200-3.3B"
ENCODER = "use"
BRIDGE = Bridge(source="es", target="pt", engine="apertium:es-pt")
MIX = NoiseSettings().kinds
RATES = (0.1, 0.2, 0.4, 0.6)

AGREE, WORDS, MODEL = {"agreement", "expected"}, {"known"}, {"image", "meaning"}
SENTENCES = {"sem", "margin", "geometry"}
VARIANTS: dict[str, set[str]] = {
    "trust": AGREE | WORDS | MODEL | SENTENCES,
    "trust, with words": AGREE | MODEL | SENTENCES,
    "trust, with a bridge": WORDS | MODEL | SENTENCES,
    "trust, with both": MODEL | SENTENCES,
    "trust, with both and a model": SENTENCES,
    "trust, with sentences": AGREE | WORDS | MODEL,
    "trust, with both and sentences": MODEL,
}
"""Signals that each form of trust does without."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One corpus of planted damage: which kinds, at which rate, and what became of the back-translations."""

    kinds: tuple[str, ...]
    rate: float
    back: str = BACK
    langid: bool = False
    model: bool = False

    @property
    def title(self) -> str:
        kind = self.kinds[0] if len(self.kinds) == 1 else "mix"
        back = "" if self.back == BACK else f", back {self.back}ped" if self.back == "drop" else ", back kept"
        return kind + back + ", with --langid" * self.langid + ", with --model" * self.model

    @property
    def special(self) -> bool:
        """True where it differs in more than kind and rate."""
        return self.back != BACK or self.langid or self.model


def runs(rates: Sequence[float], model: bool) -> list[Run]:
    """Each kind and the mix at every rate; the rest at 20 %."""
    kinds = [(kind,) for kind in KINDS] + [MIX]
    found = [Run(kinds=kind, rate=rate) for rate in rates for kind in kinds]
    found += [Run(kinds=MIX, rate=0.2, back=back) for back in ("drop", "keep")]
    found += [Run(kinds=MIX, rate=0.2, langid=True)]
    return found + ([Run(kinds=MIX, rate=0.2, model=True)] if model else [])


def auc(score: Floats, damaged: Bools) -> float:
    """AUC: how often a damaged caption scores below a sound one, ties half; absent scores are left out."""
    present = ~np.isnan(score)
    rank, bad = rankdata(score[present]), damaged[present]
    count = int(bad.sum())
    if count in (0, len(bad)):
        return float("nan")
    return 1 - (rank[bad].sum() - count * (count + 1) / 2) / (count * (len(bad) - count))


def column(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), np.float64)


def judges(table: pa.Table) -> dict[str, Floats]:
    """Every score that is to be judged, high for good, of the Portuguese captions."""
    values = {name: column(table, name) for name in GOOD}
    values = {name: found for name, found in values.items() if not np.isnan(found).all()}
    failed = table["failure"].is_valid().to_numpy(zero_copy_only=False)
    found = {}
    for title, without in VARIANTS.items():
        if not (VARIANTS["trust"] - without) - values.keys():
            trust = trust_of({name: signal for name, signal in values.items() if name not in without})
            found[title] = np.where(failed, np.minimum(trust, FAILED), trust)
    return found | {name: goodness(signal, GOOD[name]) for name, signal in values.items()}


def portuguese(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["lang"], "pt"))


def build(data: Path, home: Path) -> Path:
    """The corpus: English captions, Apertium's pt, es and gl, the way back from pt, another engine's es."""
    engines = {ENGINE, "apertium:eng-spa", "apertium:en-gl"}
    with (
        gzip.open(data / "captions.jsonl.gz", "rt", encoding="utf-8") as lines,
        (home / "captions.jsonl").open("w", encoding="utf-8") as kept,
    ):
        for line in lines:
            row = json.loads(line)
            if row["split"] == "test":
                continue
            forth = row["role"] == "mt" and row["lang"] != "en" and row["engine"] in engines
            back = row["role"] == "back" and row["engine"] == BACK
            other = (row["role"], row["lang"], row.get("engine")) == ("mt", "es", OTHER)
            if forth or back or other or (row["role"], row["lang"]) == ("human", "en"):
                kept.write(line)
    return built(home / "captions.jsonl", data, home / "corpus")


def built(captions: Path, data: Path, corpus: Path) -> Path:
    """The corpus of a file of captions, with the vectors of the photos."""
    features = ["--features", str(data / "features" / "mobilenet_v2.npy"), "--feature-ids"]
    command = ["dragoman", "corpus", "jsonl", str(captions), "--out", str(corpus)]
    command += [*features, str(data / "features" / "ids.txt")]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return corpus


def some_items(home: Path, data: Path, count: int) -> Path:
    """A corpus of the captions of `count` items, drawn by a hash of their ids."""
    with (home / "captions.jsonl").open(encoding="utf-8", newline="\n") as lines:
        rows = list(lines)
    item_of = {row: json.loads(row)["item_id"] for row in rows}
    drawn = sorted(set(item_of.values()), key=lambda i: hashlib.sha256(i.encode()).digest())
    chosen = set(drawn[:count])
    (home / "fewer.jsonl").write_text("".join(row for row in rows if item_of[row] in chosen), "utf-8")
    return built(home / "fewer.jsonl", data, home / "fewer")


def for_scoring(folder: Path) -> None:
    """Leave out es and gl by Apertium: they served as wrong languages only."""
    corpus = Corpus.open(folder)
    engine = corpus.captions["engine"]
    served = pc.is_in(engine, pa.array(["apertium:eng-spa", "apertium:en-gl"]))
    corpus.replace_captions(corpus.captions.filter(pc.invert(pc.fill_null(served, False))))


def kept(corpus: Path) -> KeptTexts:
    """Vectors of all captions of a corpus."""
    extract_texts(corpus, encoder=ENCODER)
    return KeptTexts(Corpus.open(corpus).features(ENCODER))


def detection(
    corpus: Path, home: Path, seed: int, rates: Sequence[float], model: Any, **aids: Any
) -> Iterator[Result]:
    for number, run in enumerate(runs(rates, model is not None)):
        noisy = home / f"noisy{number}"
        config = NoiseSettings(rate=run.rate, kinds=run.kinds, seed=seed)
        noise = plant_noise(corpus, noisy, languages=["pt"], config=config, back=run.back)
        for_scoring(noisy)
        judge = model if run.model else None
        table = portuguese(score_trust(noisy, langid=run.langid, model=judge, kept=kept(noisy), **aids))
        damaged = pc.is_in(table["caption_id"], noise["caption_id"].combine_chunks()).to_numpy()
        print(f"{run.title} {run.rate}: {len(noise)} of {len(table)} damaged", file=sys.stderr)
        scores = {name: auc(score, damaged) for name, score in judges(table).items()}
        trust = column(table, "trust")
        yield run, scores, (float(trust[damaged].mean()), float(trust[~damaged].mean()))


Result = tuple[Run, Mapping[str, float], tuple[float, float]]
"""A run, the AUC of each score, and the mean trust of damaged and of undamaged captions."""
Interval = tuple[float, float, float]


def true_quality(data: Path, corpus: Path, table: pa.Table) -> tuple[Floats, Floats, Bools]:
    """Row in the table and true chrF of each judged caption, and whether its item is of the held-out half."""
    captions = Corpus.open(corpus).captions.select(["caption_id", "source_id"])
    source_of = {row["caption_id"]: row["source_id"] for row in captions.to_pylist()}
    row_of = {source_of[caption_id]: row for row, caption_id in enumerate(table["caption_id"].to_pylist())}
    texts = _texts(data)
    rows, truth, held = [], [], []
    translations = table["text"].to_pylist()
    with gzip.open(data / "translation_pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        for pair in map(json.loads, lines):
            row = row_of.get(pair["source_id"])
            if "#pt-" in pair["reference_id"] and row is not None:
                rows.append(row)
                truth.append(round_trip(texts[pair["reference_id"]], translations[row]) or 0.0)
                item = pair["source_id"].split("#")[0]
                held.append(int(hashlib.sha256(item.encode()).hexdigest(), 16) % 2 == 1)
    return np.array(rows), np.array(truth), np.array(held)


def correlations(scores: Mapping[str, Floats], rows: Floats, true: Floats) -> dict[str, Interval]:
    """Spearman's rho with the truth, with a 95 % bootstrap interval."""
    draws = np.random.default_rng(0).integers(0, len(true), (500, len(true)))
    found = {}
    for name, score in scores.items():
        mine = score[rows]
        known = ~np.isnan(mine)
        with warnings.catch_warnings():
            # A signal that hardly any caption trips is constant in some draws; its interval is then absent.
            warnings.simplefilter("ignore", ConstantInputWarning)
            drawn = [_rho(mine[draw], true[draw]) for draw in draws]
            rho = float(spearmanr(mine[known], true[known])[0])
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[name] = (rho, float(low), float(high))
    return found


def _rho(score: Floats, true: Floats) -> float:
    known = ~np.isnan(score)
    return float(spearmanr(score[known], true[known])[0])


def _texts(data: Path) -> dict[str, str]:
    with gzip.open(data / "captions.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows: Iterator[dict[str, Any]] = map(json.loads, lines)
        return {row["caption_id"]: row["text"] for row in rows if row["role"] == "human"}


def rate_table(results: Sequence[Result]) -> Iterator[str]:
    """Kinds by rates, for each form of trust."""
    normal = [(run, scores) for run, scores, _ in results if not run.special]
    rates = sorted({run.rate for run, _ in normal})
    forms = [name for name in ("trust", "trust, with both") if name in normal[0][1]]
    yield "| damage | " + " | ".join(f"{form}, {rate:.0%}" for form in forms for rate in rates) + " |"
    yield "|---" * (len(forms) * len(rates) + 1) + "|"
    for title in dict.fromkeys(run.title for run, _ in normal):
        at = {run.rate: scores for run, scores in normal if run.title == title}
        yield f"| {title} | " + " | ".join(f"{at[rate][form]:.3f}" for form in forms for rate in rates) + " |"


def signal_table(results: Sequence[Result]) -> Iterator[str]:
    """Every score at 20 %."""
    chosen = [(run, scores) for run, scores, _ in results if run.rate == 0.2]
    names = list(dict.fromkeys(name for _, scores in chosen for name in scores))
    yield "| damage | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for run, scores in chosen:
        cells = (scores.get(name, float("nan")) for name in names)
        yield f"| {run.title} | " + " | ".join("–" if np.isnan(x) else f"{x:.3f}" for x in cells) + " |"


def scale_table(results: Sequence[Result]) -> Iterator[str]:
    yield "| share damaged | mean trust of the damaged | of the others |"
    yield "|---|---|---|"
    for run, _, (damaged, sound) in results:
        if run.title == "mix":
            yield f"| {run.rate:.0%} | {damaged:.2f} | {sound:.2f} |"


def quality_table(halves: Mapping[str, Mapping[str, Interval]]) -> Iterator[str]:
    yield "| score | " + " | ".join(f"{half} | 95 % interval" for half in halves) + " |"
    yield "|---" * (2 * len(halves) + 1) + "|"
    for name in next(iter(halves.values())):
        cells = []
        for half in halves.values():
            rho, low, high = half[name]
            known = np.isfinite(rho)
            cells += [f"{rho:.3f}" if known else "–", f"{low:.3f} to {high:.3f}" if known else "–"]
        yield f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |"


def spread_line(trust: Floats) -> str:
    tenths = ", ".join(f"{value:.2f}" for value in np.quantile(trust, [0.05, 0.1, 0.25, 0.5, 0.75]))
    low = (trust < 0.5).mean()
    return f"mean {trust.mean():.2f}; quantiles 5, 10, 25, 50 and 75 %: {tenths}; {low:.1%} below 0.5"


def made(seconds: float) -> str:
    installed = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "torch")
    return (
        f"Commit {commit()}; {computer()}; {installed}; {seconds:.0f} s in all, with a load of "
        f"{os.getloadavg()[1]:.0f} at the end."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True, help="Portuguese words, one a line")
    parser.add_argument("--model", type=Path, help="run folder of `dragoman train`")
    parser.add_argument("--items", type=int, default=1000, help="items in which damage is planted")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    model = None
    if arguments.model:
        from dragoman import Retriever

        model = Retriever.load(arguments.model)
    aids: dict[str, Any] = {"words": {"pt": arguments.words}, "bridges": [BRIDGE]}
    with tempfile.TemporaryDirectory() as home:
        corpus = build(arguments.data, Path(home))
        fewer = some_items(Path(home), arguments.data, arguments.items)
        results = list(detection(fewer, Path(home), arguments.seed, RATES, model, **aids))
        for_scoring(corpus)
        vectors = kept(corpus)
        start = time.process_time()
        table = portuguese(score_trust(corpus, model=model, kept=vectors, **aids))
        speed = len(table) / (time.process_time() - start)
        rows, true, held = true_quality(arguments.data, corpus, table)
        scores = judges(table)
    halves = {
        "development half": correlations(scores, rows[~held], true[~held]),
        "held-out half": correlations(scores, rows[held], true[held]),
    }
    template = Path(__file__).with_name("template.md").read_text(encoding="utf-8")
    page = template.format(
        command=shlex.join(["python", "benchmarks/trust/run.py", "DATA", *sys.argv[2:]]),
        circumstances=made(time.monotonic() - began),
        captions=f"{len(table):,}",
        planted=f"{arguments.items * 5:,}",
        seed=arguments.seed,
        back=BACK,
        rates="\n".join(rate_table(results)),
        signals="\n".join(signal_table(results)),
        scale="\n".join(scale_table(results)),
        spread=spread_line(column(table, "trust")),
        pairs=f"{len(true):,}",
        held=f"{int(held.sum()):,}",
        mean=f"{100 * true.mean():.1f}",
        spearman="\n".join(quality_table(halves)),
        speed=f"{speed:,.0f}",
    )
    write_text(arguments.out, page)


if __name__ == "__main__":
    main()
