"""The part of the page that says whether the same picture ranks the same in all languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pyarrow as pa

from dragoman.pages.markup import WAYS, cell, figure, label, picture
from dragoman.pages.thumbnails import Thumbnails
from dragoman.reports.examples import Asked, Disagreement, find_disagreements
from dragoman.reports.queries import Texts
from dragoman.reports.terminal import consistency_notes

MEASURES = {"mrv_std": "MRV, std", "mrv_var": "MRV, var", "overlap@1": "top 1", "overlap@10": "top 10"}
EXTREMES = 4
"""Of many languages, so many of the best and of the worst are shown with a picture."""


def consistency_section(
    report: dict[str, Any],
    table: pa.Table | None,
    texts: Sequence[Texts],
    names: Mapping[str, str],
    thumbnails: Thumbnails,
) -> str:
    """HTML: in words, figures of each row, recall of each language, and where languages disagree most.

    table: the lines of `consistency.parquet`, null where there are none.
    """
    blocks = {row: one for row, one in report["consistency"].items() if "undefined" not in one}
    about = "".join(f"<li>{escape(note)}</li>" for note in consistency_notes(report))
    notes = f"<ul class='notes'>{about}</ul>"
    if table is None or not blocks:
        return notes
    row, block = next(iter(blocks.items()))
    by_language = {one.language: dict(zip(one.ids, one.texts, strict=True)) for one in texts}
    apart = find_disagreements(table, block["languages"], row, by_language)
    shown = "".join(disagreement_card(one, names, thumbnails) for one in apart)
    hint = (
        "Sorted by how far their ranks differ, text to image. Large: the picture that each caption asks for, "
        "and its rank; small: the picture that comes first."
        if apart
        else "Nowhere: every picture has the same rank in all languages."
    )
    return (
        f"<p class='lead'>{_in_words(block, names)}</p>{_measures(blocks)}{_recalls(block, names)}{notes}"
        f"<h3>Where languages disagree most</h3><p class='hint'>{hint}</p>{shown}"
    )


def _in_words(block: dict[str, Any], names: Mapping[str, str]) -> str:
    there, lowest = block["text_to_image"], block["spread"]["text_to_image"]["recall@1"]
    low, high = there["intervals"]["mrv_std"]
    languages = [names[one] for one in block["languages"]]
    listed = f"{', '.join(languages[:-1])} and {languages[-1]}"
    apart = f"{there['mrv_std']:.1f} places apart"
    shared, chance = (10 * one["overlap@10"] for one in (there, there["chance"]))
    return escape(
        f"Asked in {listed} for the same picture, of {there['gallery']:,}, the system ranks it {apart} "
        f"(standard deviation over languages, on average; 95 % interval {low:.1f} to {high:.1f}). Of the "
        f"first ten pictures, two languages share {shared:.1f} (by chance {chance:.1f}). Of the captions, "
        f"{lowest['min']:.1f} % ({names[lowest['min_language']]}) to {lowest['max']:.1f} % bring up their "
        "picture first."
    ).replace(" %", "&nbsp;%")


def _measures(blocks: Mapping[str, Any]) -> str:
    groups = "".join(f"<th colspan='{len(MEASURES)}'>{way}</th>" for way in WAYS.values())
    heads = "".join(f"<th>{head}</th>" for _ in WAYS for head in MEASURES.values())
    shown = [(row, one) for row, block in blocks.items() for one in (block, block["without_source"])]
    wanted = [block["languages"] for block in blocks.values()]
    # A row without the source language stands beside the others without it, for only these compare.
    lines = "".join(
        f"<tr><th scope='row' class='{escape(row)}'><i></i>{label(row)}"
        f"<small>{escape(', '.join(block['languages']))}</small></th>"
        + "".join(_measure(block[way], name) for way in WAYS for name in MEASURES)
        + "</tr>"
        for row, block in shown
        if block is not None and block["languages"] in wanted
    )
    return (
        f"<div class='wide'><table class='agree'><thead><tr><td></td>{groups}</tr><tr><td></td>{heads}</tr>"
        f"</thead><tbody>{lines}</tbody></table></div><p class='hint'>MRV: how many places apart the ranks "
        "are, as standard deviation and as variance; lower is better. Top 1 and top 10: percent of the first "
        "pictures that two languages share; higher is better. Compare only rows over the same languages.</p>"
    )


def _measure(block: dict[str, Any], name: str) -> str:
    ends = block["intervals"][name]
    if name.startswith("mrv"):
        return cell(block[name], ends, digits=2)
    return cell(100 * block[name], [100 * end for end in ends])


def _recalls(block: dict[str, Any], names: Mapping[str, str]) -> str:
    figures = {
        language: [*(got[way][f"recall@{k}"] for way in WAYS for k in (1, 10)), got["mean_recall"]]
        for language, got in block["recalls"].items()
    }
    spread = block["spread"]["mean_recall"]
    lines = "".join(
        ("<tr class='worst'>" if language == spread["min_language"] else "<tr>")
        + f"<th scope='row'>{escape(names[language])}</th>"
        + "".join(f"<td>{figure(one)}</td>" for one in line)
        + "</tr>"
        for language, line in figures.items()
    )
    groups = "".join(f"<th colspan='2'>{way}</th>" for way in WAYS.values())
    return (
        f"<div class='wide'><table class='even'><thead><tr><td></td>{groups}<th></th></tr><tr><td></td>"
        f"<th>R@1</th><th>R@10</th><th>R@1</th><th>R@10</th><th>mean recall</th></tr></thead><tbody>{lines}"
        "</tbody></table></div><p class='hint'>On the common captions. Mean recall: lowest "
        f"{spread['min']:.1f}, range {spread['range']:.1f}, standard deviation {spread['std']:.1f}, mean "
        f"{spread['mean']:.1f}.</p>"
    )


def disagreement_card(one: Disagreement, names: Mapping[str, str], thumbnails: Thumbnails) -> str:
    """HTML of one picture, the captions that ask for it and their ranks."""
    lines = [_asked(asked, one.item_id, names, thumbnails) for asked in one.asked]
    if (hidden := len(lines) - 2 * EXTREMES) > 0:
        lines[EXTREMES:-EXTREMES] = [f"<li class='rest'>{hidden} more languages in between</li>"]
    return (
        f"<article class='example apart'><div class='pictures'>{picture(one.item_id, True, thumbnails)}</div>"
        f"<ol>{''.join(lines)}</ol></article>"
    )


def _asked(asked: Asked, item_id: str, names: Mapping[str, str], thumbnails: Thumbnails) -> str:
    first = picture(asked.first_id, asked.first_id == item_id, thumbnails)
    return (
        f"<li><b class='at'>{asked.rank:g}</b><div>"
        f"<p class='said' dir='auto' lang='{escape(asked.language)}'>{escape(asked.text)}</p>"
        f"<p class='rank'>{escape(names[asked.language])} · image to text:&nbsp;{asked.rank_back:g}</p></div>"
        f"<div class='pictures'>{first}</div></li>"
    )
