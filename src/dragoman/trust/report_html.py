"""`trust/report.html`: the same as a self-contained page, with histograms where matplotlib is installed."""

from __future__ import annotations

from html import escape
from io import StringIO
from pathlib import Path

import pyarrow as pa

from dragoman.folders import write_text
from dragoman.trust.calibration import FAILED
from dragoman.trust.report import EngineSummary, WorstLine, engine_summaries, worst

SHOWN = 20
"""Worst captions a language."""
ODD = 0.05
"""A signal is marked where at most this share of the language's captions is no better."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --line: #e3e7ee; --paper: #fff;
  --back: #f5f7fa; --accent: #2f6f8f; --bad: #b42318; --badsoft: #fdeceb }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #2c3442;
  --paper: #171c26; --back: #10141c; --accent: #6fb3d3; --bad: #ff8a80; --badsoft: #3a1f22 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px }
h1 { font-size: 26px; margin: 0 0 4px } h2 { font-size: 19px; margin: 40px 0 12px }
p { color: var(--soft); margin: 0 0 16px; max-width: 75ch }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px;
  margin: 0 0 12px; overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--soft); font-weight: 500; font-size: 13px } tr:last-child td { border: 0 }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left }
svg { max-width: 100%; height: auto; vertical-align: middle }
dl { display: grid; grid-template-columns: 92px 1fr; gap: 2px 12px; margin: 8px 0 10px }
dt { color: var(--soft); font-size: 13px; padding-top: 1px } dd { margin: 0 }
.head { display: flex; gap: 12px; align-items: baseline; color: var(--soft); font-size: 13px;
  flex-wrap: wrap }
.head b { font-size: 17px; color: var(--ink); font-variant-numeric: tabular-nums }
.chip { display: inline-block; border: 1px solid var(--line); border-radius: 99px; padding: 1px 10px;
  margin: 0 6px 4px 0; font-size: 13px; color: var(--soft); font-variant-numeric: tabular-nums }
.odd { border-color: var(--bad); color: var(--bad); background: var(--badsoft) }
"""


def write_report(home: Path, table: pa.Table) -> Path:
    """Write `report.html` into the folder `home` from the table of `score_trust`; gives its path."""
    path = home / "report.html"
    write_text(path, _page(table))
    return path


def _page(table: pa.Table) -> str:
    sections = "".join(
        f"<h2>Least trusted in {escape(lang)}</h2>" + "".join(map(_card, lines))
        for lang, lines in worst(table, SHOWN).items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Trust in machine translations</title><style>{STYLE}</style></head><body><main>"
        "<h1>Trust in machine translations</h1>"
        f"<p>{len(table):,} captions. Trust lies between 0 and 1: about the probability that a caption is "
        "sound, judged within its language. It finds the bad captions, and does not rank languages or "
        f"engines. Captions that failed outright get at most {FAILED}.</p>"
        f"{_overview(engine_summaries(table))}{sections}</main></body></html>\n"
    )


def _overview(summaries: list[EngineSummary]) -> str:
    plots = [_histogram(summary) for summary in summaries]
    names = [
        name
        for name in summaries[0].median_signals
        if any(s.median_signals[name] is not None for s in summaries)
    ]
    head = "".join(f"<th>{_spaced(name)}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{escape(s.lang)}</td><td>{escape(s.engine)}</td><td>{s.captions:,}</td><td>{s.failed:,}</td>"
        f"<td>{s.median_trust:.2f}</td><td>{s.below_tenth:.1%}</td><td>{plot or ''}</td></tr>"
        for s, plot in zip(summaries, plots, strict=True)
    )
    medians = "".join(
        f"<tr><td>{escape(s.lang)}</td><td>{escape(s.engine)}</td>"
        + "".join(f"<td>{_number(s.median_signals[name])}</td>" for name in names)
        + "</tr>"
        for s in summaries
    )
    note = "" if all(plots) else "<p>Histograms need matplotlib: pip install 'dragoman[report]'</p>"
    return (
        "<h2>By language and engine</h2>"
        "<div class=card><table><tr><th>language</th><th>engine</th><th>captions</th><th>failed</th>"
        f"<th>median trust</th><th>below 0.1</th><th>distribution, 0 to 1</th></tr>{rows}</table></div>{note}"
        "<h2>Median of each signal</h2>"
        f"<div class=card><table><tr><th>language</th><th>engine</th>{head}</tr>{medians}</table></div>"
    )


def _card(line: WorstLine) -> str:
    texts = [("source", line.source), (f"in {line.lang}", line.text)]
    if line.back is not None:
        texts.append(("back", line.back))
    rows = "".join(f"<dt>{escape(name)}</dt><dd dir=auto>{escape(text)}</dd>" for name, text in texts)
    chips = "".join(
        f'<span class="chip{" odd" if line.shares[name] <= ODD else ""}" '
        f'title="{line.shares[name]:.1%} of the captions are no better">{_spaced(name)} {value:.2f}</span>'
        for name, value in line.signals.items()
    )
    failed = f'<span class="chip odd">failed: {escape(line.failure)}</span>' if line.failure else ""
    return (
        f"<div class=card><div class=head><b>{line.trust:.3f}</b><span>{escape(line.engine)}</span>"
        f"<span>{escape(line.caption_id)}</span>{failed}</div><dl>{rows}</dl>{chips}</div>"
    )


def _histogram(summary: EngineSummary) -> str | None:
    """Inline SVG of 20 bars; None without matplotlib. Equal scores give equal bytes."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return None
    with matplotlib.rc_context({"svg.hashsalt": "dragoman"}):
        figure = Figure(figsize=(2.6, 0.5))
        axes = figure.add_axes((0.0, 0.04, 1.0, 0.94))
        axes.hist(summary.trust, bins=20, range=(0, 1), color="#2f6f8f", rwidth=0.88)
        axes.set_xlim(0, 1)
        axes.set_yticks([])
        axes.set_xticks([])
        for side in ("top", "left", "right"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color("#98a2b3")
        drawn = StringIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    svg = drawn.getvalue()
    return svg[svg.index("<svg") :]


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
