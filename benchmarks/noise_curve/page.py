"""The results of the noise curve as a table for machines, a page and a chart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import mannwhitneyu

from dragoman.reports.compare import compare
from dragoman.trust.calibration import GOOD, goodness

Differences = Mapping[str, Mapping[str, Mapping[str, Any]]]
Curves = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]
"""Arm, variant, rate and seed to SumR."""
LOOKS = {
    "without": ("#5c6675", "-", "o"),
    "weight": ("#0f766e", "-", "s"),
    "filter": ("#b3446c", "-", "v"),
    "soft": ("#6d4fc4", "-", "^"),
    "shuffled": ("#c2740c", ":", "x"),
}


def detection(corpus: Path) -> dict[str, float]:
    """AUC of trust and of each signal: how often a damaged caption scores lower than a sound one, ties half.

    Absent values are left out. `trust: KIND` is trust against the damage of one kind.
    """
    table, noise = (pq.read_table(corpus / name) for name in ("trust/signals.parquet", "noise.parquet"))
    kinds = dict(zip(noise["caption_id"].to_pylist(), noise["kind"].to_pylist(), strict=True))
    kind = np.array([kinds.get(caption, "") for caption in table["caption_id"].to_pylist()])
    scores = {"trust": table["trust"].to_numpy().astype(float)}
    signals = [name for name in table.column_names if name in GOOD]
    scores |= {name: goodness(table[name].to_numpy().astype(float), GOOD[name]) for name in signals}
    found = {name: auc(score, kind != "") for name, score in scores.items()}
    for one in sorted(set(kinds.values())):
        chosen = (kind == one) | (kind == "")
        found[f"trust: {one}"] = auc(scores["trust"][chosen], kind[chosen] == one)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def auc(score: np.ndarray, damaged: np.ndarray) -> float:
    """Of a score that should be low where `damaged`; NaN where there is nothing to tell apart."""
    present = np.isfinite(score)
    low, high = score[present & damaged], score[present & ~damaged]
    if not (len(low) and len(high)):
        return float("nan")
    return float(mannwhitneyu(high, low).statistic) / (len(low) * len(high))


def difference(without: Sequence[Path], with_trust: Sequence[Path]) -> dict[str, Any]:
    """What trust adds to SumR, and its 95 % interval by bootstrap over images."""
    (one,) = (one for one in compare(without, with_trust) if one.metric == "sum_r")
    return {"difference": one.difference, "interval": list(one.interval), "p": one.p, "seeds": len(without)}


def page(everything: Mapping[str, Any]) -> Iterable[str]:
    """The Markdown page."""
    told, curves, rates = (
        everything["circumstances"],
        everything["sum_r"],
        everything["circumstances"]["rates"],
    )
    yield "# Planted noise: trust as a detector, and training over the rate\n"
    yield (
        f"Flickr8k: {told['train_items']:,} training images, English captions by people and Portuguese by "
        "Apertium (two hops), a share of which is damaged by `dragoman noise` (dropped and swapped words, "
        "another image's caption, Spanish or Galician), translated back by Apertium, and scored by `dragoman "
        "trust` as it stands. Every caption of a rate is damaged in the same way at the rates above it. The "
        "translations are noisy before any damage is planted: rate 0 is what Apertium wrote.\n"
    )
    settings = ", ".join(f"{name}={value}" for name, value in told["settings"].items())
    yield (
        f"Recipes as they are but for `{settings}`; no lexicon; MobileNetV2 features. Asked by people "
        "in Portuguese (written from the photo; 1,000 test images). SumR = R@1 + R@5 + R@10 in both "
        "directions, at most 600.\n"
    )
    yield f"Command: `{told['command']}`. Written at {told['commit']}; computer: {told['computer']}, "
    yield f"shared, one thread a run; {told['seconds']:.0f} CPU seconds a run (median).\n"
    if everything["missing"]:
        yield from what_is_missing(everything["missing"], curves)
    yield "## AUC of trust and of its signals\n"
    yield (
        "How often a damaged caption of train and val scores lower than an undamaged one (ties half): 0.5 is "
        "chance, and 1 out of reach, as undamaged captions have faults of their own. –: no value.\n"
    )
    yield from detection_table(everything["auc"])
    yield "\n## SumR over the rate of noise\n"
    yield "![SumR over the rate of noise](results.svg)\n"
    yield (
        "`weight` is `trust.weight=true`, `filter` is `trust.drop_below=0.8`, `soft` is `trust.soft=true`, "
        "`shuffled` is `weight` with the scores dealt out at random. Mean ± sample standard deviation where "
        "there are several seeds. Drop: from rate 0 to the highest rate of the row, of the same arm and "
        "variant, seed 1.\n"
    )
    yield from curve_table(curves, rates)
    yield "\n## What trust adds\n"
    yield (
        "SumR with trust less SumR without, at the same rate and seeds; 95 % intervals by bootstrap over "
        "images. They do not hold the spread over seeds.\n"
    )
    yield from difference_table(everything["differences"], rates)


def what_is_missing(jobs: Sequence[str], curves: Curves) -> Iterable[str]:
    """Of the grid, in words."""
    done = sum(len(seeds) for of in curves.values() for by_rate in of.values() for seeds in by_rate.values())
    yield (
        f"**Incomplete:** {done} of the {done + len(jobs)} trainings of the grid were run (a dash is a cell "
        "without any; a single value has one seed). The command goes on with the others."
    )
    unseen: dict[str, list[str]] = {}
    for arm, variant in dict.fromkeys(tuple(job.split()[:2]) for job in jobs):
        if variant not in curves.get(arm, {}):
            unseen.setdefault(variant, []).append(arm)
    if unseen:
        listed = "; ".join(f"{variant}: {', '.join(arms)}" for variant, arms in unseen.items())
        yield f"Not begun: {listed}."
    yield ""


def detection_table(found: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    """A row a score, a column a rate."""
    yield "| score | " + " | ".join(f"{float(rate):.0%}" for rate in found) + " |"
    yield "|---" * (len(found) + 1) + "|"
    for name in dict.fromkeys(name for values in found.values() for name in values):
        cells = (f"{values[name]:.3f}" if name in values else "–" for values in found.values())
        yield f"| {name.replace('_', ' ')} | {' | '.join(cells)} |"


def curve_table(curves: Curves, rates: Sequence[str]) -> Iterable[str]:
    """A row an arm and variant, a column a rate."""
    yield "| arm | trust | " + " | ".join(f"{float(rate):.0%}" for rate in rates) + " | drop |"
    yield "|---" * (len(rates) + 3) + "|"
    for arm, variants in curves.items():
        for variant, by_rate in variants.items():
            cells = (show(list(by_rate.get(rate, {}).values())) for rate in rates)
            first = {rate: seeds["1"] for rate, seeds in by_rate.items() if "1" in seeds}
            highest = max(first, key=float, default="0")
            drop = f"{first['0'] - first[highest]:.1f}" if "0" in first and highest != "0" else "–"
            yield f"| {arm} | {variant} | {' | '.join(cells)} | {drop} |"


def difference_table(
    found: Mapping[str, Mapping[str, Mapping[str, Any]]], rates: Sequence[str]
) -> Iterable[str]:
    """A row an arm and variant, with the mean over the arms below; a column a rate."""
    yield "| arm | trust | " + " | ".join(f"{float(rate):.0%}" for rate in rates) + " |"
    yield "|---" * (len(rates) + 2) + "|"
    for arm, variants in found.items():
        for variant, by_rate in variants.items():
            cells = (tell(by_rate[rate]) if rate in by_rate else "–" for rate in rates)
            yield f"| {arm} | {variant} | {' | '.join(cells)} |"
    for variant in ("weight", "filter", "soft", "shuffled"):
        by_arm = [variants[variant] for variants in found.values() if variant in variants]
        values = {rate: [one[rate]["difference"] for one in by_arm if rate in one] for rate in rates}
        if any(values.values()):
            cells = (f"{show(values[rate])} ({len(values[rate])})" if values[rate] else "–" for rate in rates)
            yield f"| mean ± spread over (arms) | {variant} | {' | '.join(cells)} |"


def tell(one: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    low, high = one["interval"]
    return f"{one['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def show(values: Sequence[float]) -> str:
    """Mean and spread."""
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def chart(curves: Curves, target: Path) -> None:
    """SumR over the rate: a panel an arm, a line a variant, the mean over seeds."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "dragoman", "svg.fonttype": "none"}):
        figure = Figure(figsize=(3.2 * len(curves), 3.2), layout="constrained")
        panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for panel, (arm, variants) in zip(panels, curves.items(), strict=True):
            for variant, by_rate in variants.items():
                color, line, marker = LOOKS[variant]
                rates = sorted(by_rate, key=float)
                means = [statistics.mean(by_rate[rate].values()) for rate in rates]
                shares = [100 * float(rate) for rate in rates]
                panel.plot(shares, means, color=color, linestyle=line, marker=marker, label=variant)
            panel.set_title(arm)
            panel.set_xlabel("captions damaged, %")
            panel.grid(alpha=0.3)
        panels[0].set_ylabel("SumR, human Portuguese")
        panels[0].set_ylim(bottom=0)
        panels[0].legend(title="trust", frameon=False)
        figure.savefig(target, metadata={"Date": None})


def write(everything: Mapping[str, Any], folder: Path) -> None:
    """results.json, results.md and results.svg."""
    (folder / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    (folder / "results.md").write_text("\n".join(page(everything)) + "\n", encoding="utf-8")
    chart(everything["sum_r"], folder / "results.svg")
