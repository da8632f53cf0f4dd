"""Errors as problem details (RFC 9457). They never show a path of this computer or a traceback."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from dragoman.errors import DamagedError, UnavailableError, UnknownError, UserError
from dragoman.media.images import ImageError
from dragoman.messages import Message, message_of
from dragoman.service.threads import in_thread

log = logging.getLogger(__name__)

REQUEST_ID = "dragoman.request_id"
"""Key of the scope under which the id of a request is kept."""
MEDIA_TYPE = "application/problem+json"
UNTOLD = "The service cannot do this; its log has the reason."
SHOWN = 10
"""Validation errors that one answer lists."""
# From the first path on nothing is shown: folders have blanks, commas and full stops in their names, so that
# no one can tell where a path ends. `a/b`, `</a>` and `https://` are none.
_PATH = re.compile(r"(?:(?<![\w<:/])/|(?<=:)/(?!/)|(?<!\w)[A-Za-z]:[\\/](?!/)|\\\\)\S.*", re.DOTALL)


class Problem(HTTPException):
    """A request that is answered with problem details; `detail` is one sentence for the person behind it.

    `said` is what the page says of it in other languages, where the detail is no `Message` itself.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        said: Message | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.errors = errors
        self.said = said


def problem_response(
    scope: Scope,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, Any]] = (),
    said: Message | None = None,
) -> JSONResponse:
    """The response of a problem; `errors` says of each field what is wrong.

    Every problem has a code: that of `said`, of a detail that is a `Message`, or a general one of the status.
    """
    told = said or (detail if isinstance(detail, Message) else None)
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"urn:dragoman:request:{scope.get(REQUEST_ID, '')}",
        "code": told.code if told else "refused" if status < 500 else "failed",
        "arguments": told.arguments if told else {},
    }
    if errors:
        content["errors"] = list(errors)
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Let every exception that a route raises end as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UserError, _user)


def field_errors(found: Sequence[Any]) -> list[dict[str, str]]:
    """Errors that pydantic found, without the values: they may be long, secret or binary."""
    return [
        {"field": ".".join(map(str, one["loc"]))[:100], "message": one["msg"][:300]} for one in found[:SHOWN]
    ]


def first_sentence(error: Exception) -> str:
    """The first sentence of an error, for a reader without a shell here, up to the first path in it."""
    shown = _PATH.sub("…", str(error).strip().replace("\n", " "))
    sentence = re.split(r"(?<=[.?!])\s", shown, maxsplit=1)[0][:500]
    return UNTOLD if sentence == "…" else sentence


def reason_of(error: ImageError) -> str:
    """The reason why media cannot be used, for a reader who cannot pass options of the command line."""
    return re.sub(r" \((?:a decompression bomb, or )?raise --[^)]*\)", "", error.reason)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {**(headers or {}), "Allow": _allowed(request)}
    return problem_response(
        request.scope,
        error.status_code,
        error.detail,
        headers=headers,
        errors=getattr(error, "errors", ()),
        said=getattr(error, "said", None),
    )


def _allowed(request: Request) -> str:
    """The methods of an address: the framework names those of the first route that it comes to."""
    # An encoded slash belongs to an id, and parts no address.
    whole = unquote(re.sub("(?i)%2f", "%252F", path_sent(request)))
    routes = [
        one
        for path in (whole, request.scope["path"])
        for one in request.app.routes
        if one.matches({**request.scope, "path": path})[0] != Match.NONE
    ]
    methods = {method for one in routes if one.path == routes[0].path for method in one.methods}
    return ", ".join(sorted(methods))


def path_sent(request: Request) -> str:
    """The path of a request as it was sent, percent-encoded."""
    raw: bytes | None = request.scope.get("raw_path")
    return quote(request.scope["path"]) if raw is None else raw.partition(b"?")[0].decode("latin-1")


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = field_errors(error.errors())
    return problem_response(request.scope, 422, "The request's parameters do not fit.", errors=found)


async def _user(request: Request, error: Exception) -> JSONResponse:
    """A UserError of a part below is about what was asked, unless it is about a folder of the service."""
    service = request.app.state.service
    if isinstance(error, UnavailableError):
        log.error("request %s: %s", request.scope.get(REQUEST_ID), error)
        return problem_response(request.scope, 503, Message("server_silent"))
    if isinstance(error, DamagedError):
        await in_thread(service.note_damage)
    elif not any(str(one.folder) in str(error) for one in service.collections.values()):
        status = 404 if isinstance(error, UnknownError) else 422
        said = Message("image_unusable") if isinstance(error, ImageError) else message_of(error)
        return problem_response(request.scope, status, first_sentence(error), said=said)
    log.error("request %s: %s", request.scope.get(REQUEST_ID), error)
    damaged = isinstance(error, DamagedError)
    told = Message("collection_damaged" if damaged else "collection_unreadable")
    return problem_response(request.scope, 503, told)
