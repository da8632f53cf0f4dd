"""The web page: a handful of files of this package, read once."""

from __future__ import annotations

import hashlib
from importlib import resources

from fastapi import Request
from fastapi.responses import Response

from dragoman.service.problems import Problem

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def files() -> dict[str, Response]:
    """The response of each file, by its name."""
    folder = resources.files("dragoman.service") / "page"
    return {
        file.name: _response(file.name, file.read_bytes())
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in MEDIA_TYPES
    }


async def front(request: Request) -> Response:
    """The page."""
    return _fresh(request, "index.html")


async def part(request: Request, name: str) -> Response:
    """A style sheet or a module of the page."""
    return _fresh(request, name)


def _fresh(request: Request, name: str) -> Response:
    found: Response | None = request.app.state.page.get(name)
    if found is None:
        raise Problem(404, "There is no such page.")
    if found.headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"etag": found.headers["etag"]})
    return found


def _response(name: str, content: bytes) -> Response:
    tag = hashlib.sha256(content).hexdigest()[:32]
    headers = {"etag": f'"{tag}"', "cache-control": "no-cache"}
    return Response(content, media_type=MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)
