"""The house behind a service: its name, logo, colours, terms, licence and contact, from a small file.

Texts are one for all readers, or a table of one a language:

    name = "Museu da Pesca"
    logo = "logo.svg"
    accent = "#20565b"
    [licence]
    pt = "Fotografias: CC BY 4.0"
    en = "Photographs: CC BY 4.0"
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from PIL import Image

from dragoman.errors import UserError
from dragoman.messages import ENGLISH, nearest

Texts = Mapping[str, str]
"""A text by the tag of its language; under "" one for all readers."""
Captions = Literal["reader", "human"]
LOGOS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
LOGOS |= {".webp": "image/webp"}
MAX_LOGO = 1_000_000
"""Bytes of a logo, which every visitor loads."""
LEAST_CONTRAST = 4.5
"""Contrast of an accent with the paper of the page, at least (WCAG 2.2, success criterion 1.4.3)."""
PAPER, DARK_PAPER = "#faf8f4", "#171614"
"""Papers of page.css."""


class Logo(NamedTuple):
    """A picture of the house, with its size, so that the page keeps the place for it."""

    content: bytes
    media_type: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that a page shows of the house that runs it."""

    name: Texts = field(default_factory=lambda: {"": "Dragoman"})
    """Name of the house or the collection, on every page and in its title."""
    logo: str = ""
    """File of a logo beside this one: SVG, PNG, JPEG or WebP."""
    accent: str = ""
    """Colour of buttons and links on light paper, as #20565b."""
    accent_dark: str = ""
    """The same on dark paper, for who prefers it."""
    terms: Texts = field(default_factory=dict)
    """Address of the terms of use."""
    licence: Texts = field(default_factory=dict)
    """Line on the rights in the pictures."""
    licence_link: Texts = field(default_factory=dict)
    """Address that the licence line leads to."""
    contact: Texts = field(default_factory=dict)
    """Address of a page or of mail."""
    language: str = ENGLISH
    """Language of the page where a browser asks for none that it speaks."""
    captions: Captions = "reader"
    """Titles of pictures: in the language of the `reader`, or by a `human` before any machine."""
    hidden: tuple[str, ...] = ("split",)
    """Fields of metadata that visitors are not shown; filters may name them."""
    picture: Logo | None = None
    """The logo, once it is read."""

    def said(self, name: str, language: str) -> str:
        """Give a text for readers of a language, else in the language of the house, else the first."""
        texts: Texts = getattr(self, name)
        base = language.partition("-")[0]
        wanted = (language, base, "", self.language)
        return next((texts[one] for one in wanted if one in texts), next(iter(texts.values()), ""))

    def style(self) -> str:
        """Write the colours of the house as a style sheet; empty where it has none of its own."""
        light = _colours(self.accent) if self.accent else ""
        dark = _colours(self.accent_dark) if self.accent_dark else ""
        return light + (f"@media (prefers-color-scheme: dark) {{ {dark}}}\n" if dark else "")


def read_house(file: Path) -> House:
    """Read the file of a house.

    Raises UserError, that names the file and the setting, for what is no TOML, unknown or does not fit.
    """
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file} does not exist. Give the file that describes the house.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}. It is a text in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f'{file} is no TOML: {error}. A line of it is: name = "Our archive"') from None
    known = [one.name for one in fields(House) if one.name != "picture"]
    values = {}
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"{file} has a setting {name!r}.{meant} It takes {', '.join(known)}.")
        values[name] = _read(file, name, value)
    return House(**values, picture=_logo(file, values["logo"]) if values.get("logo") else None)


def _read(file: Path, name: str, value: Any) -> Any:
    if name in ("name", "terms", "licence", "licence_link", "contact"):
        return _texts(file, name, value)
    if name == "hidden":
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise UserError(f'{file}: hidden is a list of names of fields, as ["split"], not {value!r}.')
        return tuple(value)
    if not isinstance(value, str):
        raise UserError(f"{file}: {name} is a text in quotes, not {value!r}.")
    if name == "captions" and value not in get_args(Captions):
        raise UserError(f"{file}: captions is one of {', '.join(get_args(Captions))}, not {value!r}.")
    if name == "language" and (value := nearest(value) or "") == "":
        raise UserError(f"{file}: language is a language that the page speaks, as pt-BR.")
    if name in ("accent", "accent_dark"):
        _check_colour(file, name, value)
    return value


def _texts(file: Path, name: str, value: Any) -> Texts:
    texts = {"": value} if isinstance(value, str) else value
    if not isinstance(texts, dict) or not texts or not all(isinstance(one, str) for one in texts.values()):
        raise UserError(f"{file}: {name} is a text, or a table of a text for each language, not {value!r}.")
    for text in texts.values():
        if not text.strip() or not text.isprintable():
            raise UserError(f"{file}: {name} is one line of text that can be seen, not {text!r}.")
        if name in ("terms", "licence_link", "contact"):
            _check_address(file, name, text)
    return texts


def _check_address(file: Path, name: str, text: str) -> None:
    web = re.fullmatch(r"https?://[^\s/]+\S*", text)
    mail = name == "contact" and re.fullmatch(r"(mailto:)?[^\s@:/]+@[^\s@/]+", text)
    if not (web or mail):
        also = ", or an address of mail" if name == "contact" else ""
        raise UserError(
            f"{file}: {name} is an address, as https://museum.example/{name}{also}, not {text!r}."
        )


def _check_colour(file: Path, name: str, value: str) -> None:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise UserError(f"{file}: {name} is a colour of six digits, as #20565b, not {value!r}.")
    paper = DARK_PAPER if name == "accent_dark" else PAPER
    if (found := contrast(value, paper)) < LEAST_CONTRAST:
        other = "lighter" if name == "accent_dark" else "darker"
        raise UserError(
            f"{file}: {name} {value} cannot be read well on the paper of the page {paper} "
            f"(contrast {found:.1f}, at least {LEAST_CONTRAST}). Choose a {other} one."
        )


def contrast(one: str, other: str) -> float:
    """Compute the contrast of two colours, 1 to 21 (WCAG 2.2, contrast ratio)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _colours(accent: str) -> str:
    text = max("#ffffff", "#111111", key=lambda one: contrast(one, accent))
    return f":root {{ --accent: {accent}; --on-accent: {text}; }}\n"


def _logo(file: Path, name: str) -> Logo:
    place = file.parent / name
    media_type = LOGOS.get(place.suffix.lower())
    if media_type is None:
        raise UserError(f"{file}: logo is a file of the kind {', '.join(LOGOS)}, not {name!r}.")
    try:
        content = place.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: the logo {place} cannot be read ({error.strerror}).") from None
    if len(content) > MAX_LOGO:
        raise UserError(
            f"{file}: the logo {place} has {len(content):,} bytes; at most {MAX_LOGO:,} are sent."
        )
    try:
        width, height = _size_of_svg(content) if place.suffix.lower() == ".svg" else _size(content)
    except (OSError, ValueError, Image.DecompressionBombError):
        raise UserError(f"{file}: the logo {place} is no picture of its kind.") from None
    return Logo(content, media_type, width, height)


def _size(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.size


def _size_of_svg(content: bytes) -> tuple[int, int]:
    """The size that an SVG states, or the proportions of its view box; a square where it says nothing."""
    found = re.search(r"<svg\b[^>]*>", content.decode("utf-8", "replace"))
    if found is None:
        raise ValueError("no SVG")
    sides = [re.search(rf'\s{side}="([0-9.]+)(?:px)?"', found[0]) for side in ("width", "height")]
    if all(sides):
        width, height = (float(side[1]) for side in sides if side)
    else:
        box = re.search(r'\sviewBox="\s*[-0-9.]+[\s,]+[-0-9.]+[\s,]+([0-9.]+)[\s,]+([0-9.]+)', found[0])
        width, height = (float(box[1]), float(box[2])) if box else (1.0, 1.0)
    if not (width > 0 and height > 0):
        raise ValueError("no size")
    # Large enough for whole numbers to keep the proportions.
    scale = 100 / height
    return round(width * scale), 100
