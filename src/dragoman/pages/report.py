"""`report.html`: the report as a person reads it, in one file without any request to elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

from dragoman.evaluation.metrics import RECALLS
from dragoman.folders import write_text
from dragoman.pages.charts import interval_chart, recall_curves
from dragoman.pages.consistency_section import consistency_section
from dragoman.pages.markup import WAYS, cell, label, language_name, picture, section
from dragoman.pages.thumbnails import Thumbnails
from dragoman.reports.evaluation import Evaluation
from dragoman.reports.examples import FAR, Example, draw_examples
from dragoman.reports.measure import part
from dragoman.reports.model import digest
from dragoman.reports.queries import Texts
from dragoman.reports.rows import DIRECTIONS
from dragoman.reports.terminal import notes

COLUMNS = {**{name: name.replace("recall", "R") for name in RECALLS}, "medr": "MedR", "map": "mAP"}
LANGUAGES_WITH_EXAMPLES = 12
"""Thumbnails make a page heavy; further languages show their figures alone."""


def write_page(path: Path, evaluation: Evaluation) -> None:
    """Write the page of a finished report."""
    report, texts = evaluation.report, evaluation.texts
    names = {language: language_name(language) for language in report["results"]}
    thumbnails = Thumbnails(evaluation.corpus)
    agreement = consistency_section(report, evaluation.common, texts, names, thumbnails)
    asked, seed = evaluation.queries, report["settings"]["seed"]
    body = [
        _header(report),
        section("In words", _cards(report, names)),
        section("At a glance", _charts(report, asked, names)),
        section("Do languages agree?", agreement),
        *(section(names[language], _table(report, language)) for language in names),
        *(
            section(f"Examples in {names[one.language]}", _examples(asked, one, seed, thumbnails))
            for one in texts[:LANGUAGES_WITH_EXAMPLES]
        ),
        _small_print(report),
    ]
    write_text(path, _document(f"Retrieval report: {report['system']['name']}", "\n".join(body)))


def _document(title: str, body: str) -> str:
    css = resources.files("dragoman.pages").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _header(report: dict[str, Any]) -> str:
    system, settings = report["system"], report["settings"]
    config = system["config"]
    targets = ", ".join(map(str, config.get("targets") or [])) or "no other language"
    seed = "" if system["seed"] is None else f" · seed {system['seed']}"
    return (
        f"<header><p class='kicker'>Retrieval report</p><h1>{escape(system['name'])}</h1>"
        f"<p>Trained on {escape(str(config['source']))} and {escape(targets)}{seed} · measured on the "
        f"{escape(settings['split'])} split, human captions only</p></header>"
    )


def _cards(report: dict[str, Any], names: dict[str, str]) -> str:
    return f"<div class='cards'>{''.join(_in_words(report, language, names) for language in names)}</div>"


def _in_words(report: dict[str, Any], language: str, names: dict[str, str]) -> str:
    rows, details = report["results"][language], report["languages"][language]
    direct, gallery = rows["direct"]["text_to_image"], details["gallery"]["text_to_image"]
    low, high = report["intervals"][language]["direct"]["text_to_image"]["recall@10"]
    sentences = [
        f"Of {details['queries']['text_to_image']:,} captions, {direct['recall@1']:.1f} % bring up their own "
        f"image first among {gallery:,}, and {direct['recall@10']:.1f} % among the first ten "
        f"({low:.1f} to {high:.1f}; chance: {min(100, 1000 / gallery):.1f} %).",
        *_other_rows(rows, details),
    ]
    return (
        f"<article class='card'><h3>{escape(names[language])}</h3>"
        f"<p class='big'>{direct['recall@10']:.1f}<small> % found in the first ten</small></p>"
        f"<p>{escape(' '.join(sentences)).replace(' %', '&nbsp;%')}</p></article>"
    )


def _other_rows(rows: dict[str, Any], details: dict[str, Any]) -> Iterator[str]:
    if "translate_test" in rows:
        found = rows["translate_test"]["text_to_image"]["recall@10"]
        yield f"Queries translated by machine first: {found:.1f} %."
    if "fused" in rows:
        found = rows["fused"]["text_to_image"]["recall@10"]
        yield f"Both fused, weight {details['fusion']['weight']:g} on the translation: {found:.1f} %."
    if "reranked" in rows:
        found = rows["reranked"]["text_to_image"]["recall@10"]
        yield f"The best hits re-ranked by the fusion encoder: {found:.1f} %."


def _charts(report: dict[str, Any], table: pa.Table, names: dict[str, str]) -> str:
    results, intervals = report["results"], report["intervals"]
    bars = {
        language: {row: (one["sum_r"], *intervals[language][row]["sum_r"]) for row, one in rows.items()}
        for language, rows in results.items()
    }
    top = max(high for rows in bars.values() for _, _, high in rows.values())
    panels = []
    for language, rows in results.items():
        parts = {row: part(table, language, row, "text_to_image") for row in rows}
        ranks = {row: one["rank"].to_numpy() for row, one in parts.items()}
        gallery = report["languages"][language]["gallery"]["text_to_image"]
        panels.append(recall_curves(ranks, gallery, names[language]))
    shown = dict.fromkeys(row for rows in results.values() for row in rows)
    legend = "".join(f"<span class='{row}'><i></i>{label(row)}</span>" for row in shown)
    return (
        f"<p class='legend'>{legend}<span class='chance'><i></i>chance</span></p>"
        "<figure><figcaption>SumR: R@1 + R@5 + R@10 of both directions, at most 600, with 95 % intervals"
        f"</figcaption>{interval_chart(bars, names, top)}</figure>"
        "<figure><figcaption>Percent of captions whose image is among the first K, by K</figcaption>"
        f"<div class='panels'>{''.join(panels)}</div></figure>"
    )


def _table(report: dict[str, Any], language: str) -> str:
    heads = "".join(f"<th>{label}</th>" for _ in DIRECTIONS for label in COLUMNS.values())
    groups = "".join(f"<th colspan='{len(COLUMNS)}'>{WAYS[way]}</th>" for way in DIRECTIONS)
    rows = report["results"][language]
    ends = report["intervals"][language]
    lines = "".join(
        f"<tr><th scope='row' class='{row}'><i></i>{label(row)}</th>"
        + "".join(cell(rows[row][way][name], ends[row][way][name]) for way in DIRECTIONS for name in COLUMNS)
        + cell(rows[row]["sum_r"], ends[row]["sum_r"])
        + "</tr>"
        for row in rows
    )
    about = "".join(f"<li>{escape(note)}</li>" for note in notes(language, report["languages"][language]))
    return (
        f"<div class='wide'><table><thead><tr><td></td>{groups}<th></th></tr>"
        f"<tr><td></td>{heads}<th>SumR</th></tr></thead><tbody>{lines}</tbody></table></div>"
        f"<ul class='notes'>{about}</ul>"
    )


def _examples(table: pa.Table, texts: Texts, seed: int, thumbnails: Thumbnails) -> str:
    hits, misses = draw_examples(table, texts, seed)
    groups = [("Found at once", hits), (f"Missed: not among the first {FAR}", misses)]
    return "<p class='hint'>Drawn at random. The caption's own image has a frame.</p>" + "".join(
        f"<h3>{title}</h3>" + "".join(_example(one, thumbnails) for one in some)
        for title, some in groups
        if some
    )


def _example(example: Example, thumbnails: Thumbnails) -> str:
    translation = (
        "" if example.translation is None else f"<p class='mt' dir='auto'>{escape(example.translation)}</p>"
    )
    ranks = ", ".join(f"{label(row)} {rank:g}" for row, rank in example.ranks.items())
    shown = "".join(picture(one, one == example.item_id, thumbnails) for one in example.top_ids)
    if example.item_id not in example.top_ids:
        shown += "<span class='gap'>…</span>" + picture(example.item_id, True, thumbnails)
    return (
        f"<article class='example'><p class='query' dir='auto'>{escape(example.text)}</p>{translation}"
        f"<p class='rank'>Rank of its image among {example.gallery:,}: {ranks}</p>"
        f"<div class='pictures'>{shown}</div></article>"
    )


def _small_print(report: dict[str, Any]) -> str:
    terms = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>"
        for name, meaning in report["definitions"].items()
    )
    provenance = json.dumps(report["provenance"], ensure_ascii=False, indent=2)
    origin = f"run {digest(report['provenance']['run'])} · corpus {digest(report['provenance']['corpus'])}"
    return (
        f"<footer><details><summary>Definitions</summary><dl>{terms}</dl></details>"
        f"<details><summary>Provenance: {origin}</summary><pre>{escape(provenance)}</pre></details></footer>"
    )
