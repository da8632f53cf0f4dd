"""The page of a house: its files, and its first document, rendered once for each language."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dragoman.messages import catalogue, languages, nearest
from dragoman.service.config import ServiceSettings
from dragoman.service.house import House
from dragoman.service.negotiation import language_of
from dragoman.service.preconditions import is_unchanged
from dragoman.service.problems import Problem
from dragoman.speech.recogniser import Recogniser

COOKIE = "dragoman_language"
"""Keeps the language that a visitor has chosen, and nothing else; the page sets it."""
RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")
MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Front:
    """The page of one service, ready to be sent."""

    house: House
    documents: Mapping[str, Response]
    """The first document in each language."""
    files: Mapping[str, Response]

    def language(self, request: Request) -> str:
        """Choose a language: of the address, chosen before, of the browser, or of the house."""
        for asked in (request.query_params.get("ui"), request.cookies.get(COOKIE)):
            if asked and (found := nearest(asked)) is not None:
                return found
        return language_of(request.headers.get("accept-language", ""), self.house.language)


def make_front(house: House, config: ServiceSettings, recogniser: Recogniser | None = None) -> Front:
    """Render the page of a house; it has a microphone where there is a recogniser."""
    folder = resources.files("dragoman.service") / "page"
    files = {
        file.name: _response(file.read_bytes(), MEDIA_TYPES[file.name.rpartition(".")[2]])
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in MEDIA_TYPES
    }
    files["house.css"] = _response(house.style().encode(), MEDIA_TYPES["css"])
    if house.picture is not None:
        files["logo"] = _response(house.picture.content, house.picture.media_type)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "index.html").read_text(encoding="utf-8"))
    documents = {}
    for language in languages():
        html = template.render(_values(house, config, recogniser, language))
        documents[language] = _response(
            html.encode(),
            "text/html; charset=utf-8",
            {"content-language": language, "vary": "Accept-Language, Cookie"},
        )
    return Front(house, documents, files)


async def front(request: Request) -> Response:
    """The page, in the language of its reader."""
    made = _of(request)
    return _fresh(request, made.documents[made.language(request)])


async def part(request: Request, name: str) -> Response:
    """A style sheet, a module or the logo of the page."""
    found = _of(request).files.get(name)
    if found is None:
        raise Problem(404, "There is no such page.")
    return _fresh(request, found)


def _of(request: Request) -> Front:
    made: Front = request.app.state.front
    return made


def _values(
    house: House, config: ServiceSettings, recogniser: Recogniser | None, language: str
) -> dict[str, Any]:
    say = catalogue(language)
    contact = house.said("contact", language)
    is_mail = "@" in contact and not contact.startswith(("http:", "https:", "mailto:"))
    given = {
        "language": language,
        "strings": {**say["page"], **say["service"]},
        "house": house.said("name", language),
        "captions": house.captions,
        "most": config.max_k,
        "most_of_table": config.max_table,
        "cookie": COOKIE,
        "speech": _speech(config, recogniser),
    }
    # In a script element only `<` could end it, or begin a comment.
    data = json.dumps(given, ensure_ascii=False).replace("<", "\\u003c")
    return {
        "language": language,
        "direction": "rtl" if language.partition("-")[0] in RIGHT_TO_LEFT else "ltr",
        "languages": [(tag, catalogue(tag)["page"]["own_name"]) for tag in languages()],
        "say": say["page"],
        "house": given["house"],
        "speech": recogniser is not None,
        "logo": house.picture,
        "terms": house.said("terms", language),
        "licence": house.said("licence", language),
        "licence_link": house.said("licence_link", language),
        "contact": f"mailto:{contact}" if is_mail else contact,
        "data": Markup(data),
    }


def _speech(config: ServiceSettings, recogniser: Recogniser | None) -> dict[str, Any] | None:
    """Languages in which the page may listen, None for any, and for how long."""
    if recogniser is None:
        return None
    return {"languages": recogniser.languages, "seconds": config.max_speech_seconds}


def _fresh(request: Request, found: Response) -> Response:
    headers = {name: found.headers[name] for name in ("etag", "vary") if name in found.headers}
    if is_unchanged(request.headers, headers["etag"].removeprefix("W/")):
        return Response(status_code=304, headers=headers)
    return found


def _response(content: bytes, media_type: str, more: Mapping[str, str] | None = None) -> Response:
    tag = hashlib.sha256(content).hexdigest()[:32]
    # Kept by browsers, but asked about each time (304): an update of the package shows at once. Weak, as the
    # same text goes out compressed or not (RFC 9110, section 8.8.1).
    headers = {"etag": f'W/"{tag}"', "cache-control": "no-cache", **(more or {})}
    return Response(content, media_type=media_type, headers=headers)
