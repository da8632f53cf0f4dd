"""The page of the demonstration: the comparison, pictures for queries, links to the full reports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from dragoman.corpus import Corpus
from dragoman.folders import write_text
from dragoman.pipelines.contact_sheet import Example, picture_path
from dragoman.pipelines.demo_table import WAY, cells, gain_lines
from dragoman.reports.compare import Difference

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #26262a; background: #fcfbf8; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .8rem; text-align: right }
th { border-bottom: 1px solid #bbb; font-weight: 600 }
td:nth-child(-n+3), th:nth-child(-n+3) { text-align: left }
tr.first td { border-top: 1px solid #ddd } tr.nrccr { font-weight: 600 }
.query { margin: 1.4rem 0 .3rem } .lang { color: #8a8a8a; margin-inline-end: .6rem }
.found { display: flex; gap: .6rem }
.found img { width: 19%; border-radius: 6px; border: 4px solid transparent }
.found img.right { border-color: #269654 } .note { color: #666 }
"""


def write_page(
    path: Path,
    reports: Mapping[str, Mapping[str, Any]],
    differences: Sequence[Difference],
    corpus: Corpus,
    examples: Sequence[Example],
) -> Path:
    """Write the page beside the folders it links to."""
    links = " · ".join(
        f'<a href="{recipe}/report/report.html">full report of {recipe}</a>' for recipe in reports
    )
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Dragoman demo</title>",
        f"<style>{STYLE}</style>",
        "<h1>Search in a language nobody captioned</h1>",
        "<p>Both models saw English captions and machine translations of them, never a human caption of "
        "another language. The queries are human captions (written by grammars) of pictures held out from "
        "training.</p>",
        *_table(reports),
        *(f"<p>{escape(line)}</p>" for line in gain_lines(differences)),
        f"<p>{links} · <a href='world/trust/report.html'>trust of the translations</a></p>",
        "<h2>What it finds</h2><p class=note>Test captions, evenly spaced, not chosen by how well they do; a "
        "green frame marks the picture that the caption was written about.</p>",
        *(_example(path.parent, corpus, example) for example in examples),
    ]
    write_text(path, "\n".join(parts) + "\n")
    return path


def _table(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield ("<table><tr><th>queries<th>row<th>recipe<th>R@1<th>R@5<th>R@10<th>SumR<th>95 % interval</tr>")
    first = next(iter(reports))
    for lang, row, recipe, result, (low, high) in cells(reports):
        recalls = "".join(f"<td>{result[WAY][f'recall@{k}']:.1f}" for k in (1, 5, 10))
        shown = f"{recipe} {'first' if recipe == first else ''}"
        yield (
            f"<tr class='{shown}'><td>{lang}<td>{row}<td>{recipe}{recalls}<td>{result['sum_r']:.1f}"
            f"<td>{low:.1f} to {high:.1f}</tr>"
        )
    yield "</table><p class=note>Recalls are of text to image, in percent; SumR adds both directions.</p>"


def _example(folder: Path, corpus: Corpus, example: Example) -> str:
    pictures = "".join(
        f'<img src="{escape(os.path.relpath(picture_path(corpus, item_id), folder))}" alt="{item_id}"'
        f"{' class=right' if item_id == example.item_id else ''}>"
        for item_id in example.found
    )
    return (
        f"<p class=query><span class=lang>{example.lang}</span><span dir=auto lang={example.lang}>"
        f"{escape(example.text)}</span></p><div class=found>{pictures}</div>"
    )
