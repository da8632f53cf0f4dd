"""Pictures of the docs, drawn from the results that lie beside the benchmarks.

    python benchmarks/pictures.py

Nothing is measured here: methods/results.json, speech/results.json and texts/results.json are read, and
docs/images/methods.svg, speech.svg and texts.svg are written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
IMAGES = HERE.parent / "docs" / "images"
COLORS = ("#0f766e", "#c2740c")
NO_COLOR = "#5c6675"


class Line(NamedTuple):
    """A value with the ends of its 95 % interval, where it has one."""

    name: str
    value: float
    low: float
    high: float


def main() -> None:
    """Draw all."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    methods, speech, texts = (
        json.loads((HERE / name / "results.json").read_text(encoding="utf-8"))
        for name in ("methods", "speech", "texts")
    )
    rates = {
        "captions as the machine wrote them": best_first(method_lines(methods["results"]["0"])),
        "40 % of them damaged": best_first(method_lines(methods["results"]["0.4"])),
    }
    draw(rates, IMAGES / "methods.svg", "gain in SumR of Portuguese over translate_train", at=0.0)
    shares = {
        f"{language}, recognised by Whisper base": [*speech_lines(speech["results"], code)]
        for language, code in (("English", "en"), ("Portuguese", "pt"))
    }
    draw(shares, IMAGES / "speech.svg", "% of the SumR of the same captions typed", at=100.0)
    draw(
        {"Portuguese questions of people": best_first(text_lines(texts))},
        IMAGES / "texts.svg",
        "R@1 among 5,000 English records, %",
    )


def best_first(lines: Iterable[Line]) -> list[Line]:
    """The lines by their values."""
    return sorted(lines, key=lambda line: -line.value)


def method_lines(found: Mapping[str, Any]) -> Iterator[Line]:
    """Gains of the methods, those with an interval over images alone among them."""
    for name, one in found.items():
        if "gain" in one:
            yield Line(seeded(name, len(one["seeds"])), one["gain"]["difference"], *one["gain"]["interval"])


def speech_lines(found: Mapping[str, Any], code: str) -> Iterator[Line]:
    """Shares of what typed captions find, by noise."""
    for name, one in found.items():
        if name.startswith(code):
            spoken = name.removeprefix(code).strip(" ,")
            yield Line(f"{spoken} ({one['captions']} captions)", one["share"], *one["interval"])


def text_lines(found: Mapping[str, Any]) -> Iterator[Line]:
    """R@1 of the encoder alone, and of what was trained on it."""
    alone = found["frozen"]["own crowd"]
    yield Line("use, frozen", alone["recall@1"]["pt direct text_to_image"][0], *alone["interval"])
    for rate, arms in found["trained"].items():
        for name, one in arms.items():
            values = one["recall@1"]["pt direct text_to_image"]
            damaged = f", {float(rate):.0%} damaged" if float(rate) else ""
            label = seeded(name, len(values)) + damaged
            yield Line(label, sum(values) / len(values), *one["interval"])


def seeded(name: str, seeds: int) -> str:
    """The name with the number of its seeds."""
    return f"{name} ({seeds} seed{'s' * (seeds != 1)})"


def draw(groups: Mapping[str, Sequence[Line]], target: Path, label: str, at: float | None = None) -> None:
    """Draw a panel a group: a row a line; `at` is where nothing is gained or lost."""
    import matplotlib
    from matplotlib.figure import Figure

    sizes = [len(lines) for lines in groups.values()]
    with matplotlib.rc_context({"svg.hashsalt": "dragoman", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.5, 0.7 + 0.25 * sum(sizes) + 0.45 * len(sizes)), layout="constrained")
        panels = figure.subplots(len(sizes), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
        for panel, (name, lines), color in zip(panels, groups.items(), COLORS, strict=False):
            ordered = lines[::-1]
            rows = range(len(ordered))
            panel.hlines(rows, [one.low for one in ordered], [one.high for one in ordered], color=color, lw=2)
            panel.plot([one.value for one in ordered], rows, "o", color=color, ms=5)
            panel.set_yticks(rows, [one.name for one in ordered])
            panel.set_ylim(-0.7, len(ordered) - 0.3)
            panel.set_title(name, loc="left", fontsize=9)
            panel.grid(axis="x", alpha=0.3)
            if at is not None:
                panel.axvline(at, color=NO_COLOR, lw=1)
        panels[-1].set_xlabel(label)
        figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
