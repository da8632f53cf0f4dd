"""The one engine of all pages: templates in, self-contained HTML out."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dragoman.errors import UserError
from dragoman.folders import write_text
from dragoman.languages import language as known_language

LABELS = {
    "direct": "direct",
    "translate_test": "translated query",
    "fused": "both fused",
    "translate_test_source_only": "translated query, other model",
    "centred": "language centred",
    "centred_untagged": "centred, language not told",
    "untagged": "language not told",
    "wrong_tag": "language told wrongly",
    "aligned": "language aligned",
    "csls": "hubness taken out",
    "reranked": "re-ranked",
}
"""Names of the rows of a report for its readers; other rows are called by their own name."""
WAYS = {"text_to_image": "Text to image", "image_to_text": "Image to text"}


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render a template of `pages/templates` and replace the file `path` with it."""
    write_text(path, render(template, **values))


def render(template: str, **values: Any) -> str:
    """Render a template. Values are escaped unless they are `Markup`; a name not given is an error."""
    return _environment().get_template(template).render(**values)


def label(row: str) -> str:
    """Name a row of a report for its readers."""
    return LABELS.get(row, row.replace("_", " "))


def language_name(tag: str) -> str:
    """Give the English name of a language, or its tag where none is known."""
    try:
        return known_language(tag).name
    except UserError:
        return tag


def figure(value: float, digits: int = 1) -> str:
    """Print a number with so many decimals, from a thousand on with none."""
    return f"{value:,.{0 if abs(value) >= 1000 else digits}f}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dragoman.pages"),
        # Captions, ids and names of engines come from anywhere: none of them may become markup.
        autoescape=True,
        # A misspelt name would otherwise be an empty cell, easily overlooked.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": figure,
        "label": label,
        "count": "{:,}".format,
        "short": "{:g}".format,
        "percent": "{:.1%}".format,
        "spaced": lambda name: name.replace("_", " "),
    }
    environment.globals |= {"WAYS": WAYS}
    return environment
