"""The results of the noise curve as a table for machines, a page and a chart."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import mannwhitneyu

from dragoman.pipelines.experiment import spread, table
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
    signals, noise = (pq.read_table(corpus / name) for name in ("trust/signals.parquet", "noise.parquet"))
    kinds = dict(zip(noise["caption_id"].to_pylist(), noise["kind"].to_pylist(), strict=True))
    kind = np.array([kinds.get(caption, "") for caption in signals["caption_id"].to_pylist()])
    scores = {"trust": signals["trust"].to_numpy().astype(float)}
    known = [name for name in signals.column_names if name in GOOD]
    scores |= {name: goodness(signals[name].to_numpy().astype(float), GOOD[name]) for name in known}
    found = {name: auc(score, kind != "") for name, score in scores.items()}
    for one in sorted(set(kinds.values())):
        chosen = (kind == one) | (kind == "")
        found[f"trust: {one}"] = auc(scores["trust"][chosen], kind[chosen] == one)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def auc(score: np.ndarray, damaged: np.ndarray) -> float:
    """AUC of a score that should be low where `damaged`; NaN where there is nothing to tell apart."""
    present = np.isfinite(score)
    low, high = score[present & damaged], score[present & ~damaged]
    if not (len(low) and len(high)):
        return float("nan")
    return float(mannwhitneyu(high, low).statistic) / (len(low) * len(high))


def page(everything: Mapping[str, Any]) -> Iterator[str]:
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
    # Results from before trials were timed by the clock hold CPU seconds.
    took = f"{told['seconds']:.0f} CPU seconds" if "seconds" in told else f"{told['minutes']:.1f} minutes"
    yield f"shared, one thread a run; {took} a run (median).\n"
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


def what_is_missing(jobs: Sequence[str], curves: Curves) -> Iterator[str]:
    """Tell in words what of the grid was not run."""
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


def percent(rates: Iterable[str]) -> Iterator[str]:
    """Rates as heads of columns."""
    return (f"{float(rate):.0%}" for rate in rates)


def detection_table(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """A row a score, a column a rate."""
    return table(
        ("score", *percent(found)),
        [
            (
                name.replace("_", " "),
                *(f"{values[name]:.3f}" if name in values else "–" for values in found.values()),
            )
            for name in dict.fromkeys(name for values in found.values() for name in values)
        ],
    )


def curve_table(curves: Curves, rates: Sequence[str]) -> Iterator[str]:
    """A row an arm and variant, a column a rate."""
    rows = []
    for arm, variants in curves.items():
        for variant, by_rate in variants.items():
            first = {rate: seeds["1"] for rate, seeds in by_rate.items() if "1" in seeds}
            highest = max(first, key=float, default="0")
            drop = f"{first['0'] - first[highest]:.1f}" if "0" in first and highest != "0" else "–"
            rows.append((arm, variant, *(spread([*by_rate.get(rate, {}).values()]) for rate in rates), drop))
    return table(("arm", "trust", *percent(rates), "drop"), rows)


def difference_table(found: Differences, rates: Sequence[str]) -> Iterator[str]:
    """A row an arm and variant, with the mean over the arms below; a column a rate."""
    rows = [
        (arm, variant, *(tell(by_rate[rate]) if rate in by_rate else "–" for rate in rates))
        for arm, variants in found.items()
        for variant, by_rate in variants.items()
    ]
    for variant in ("weight", "filter", "soft", "shuffled"):
        by_arm = [variants[variant] for variants in found.values() if variant in variants]
        values = {rate: [one[rate]["difference"] for one in by_arm if rate in one] for rate in rates}
        if any(values.values()):
            cells = (
                f"{spread(values[rate])} ({len(values[rate])})" if values[rate] else "–" for rate in rates
            )
            rows.append(("mean ± spread over (arms)", variant, *cells))
    return table(("arm", "trust", *percent(rates)), rows)


def tell(one: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(one["difference"], *one["interval"])


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
