"""The application: an explicit list of routes, and the layers that every request passes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import anyio
from fastapi import Depends, FastAPI, Request
from fastapi.datastructures import Default
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dragoman.errors import DamagedError
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.service import captions, collection, front, items, schemas, searching, status
from dragoman.service.access import Access
from dragoman.service.bodies import MEDIA, media_fields
from dragoman.service.collection import State
from dragoman.service.compression import Compressed
from dragoman.service.config import ServiceSettings
from dragoman.service.front import make_front
from dragoman.service.house import House
from dragoman.service.layers import Edge, Guard, Limits
from dragoman.service.metrics import Metrics, Observed
from dragoman.service.problems import Problem, install_handlers, path_sent
from dragoman.service.tables import MEDIA_TYPE
from dragoman.service.threads import Slots, in_thread
from dragoman.service.thumbnails import FORMATS, Thumbnails
from dragoman.speech.recogniser import Recogniser

log = logging.getLogger(__name__)

LOCAL = Access()
NOBODY = House()
GET = ("GET",)
GET_HEAD = ("GET", "HEAD")


Answers = dict[int | str, dict[str, Any]]


class Route(NamedTuple):
    """`body` and `answer` are what the route reads and writes by itself; `sends`: its answers, where they are
    not one of JSON with status 200; `documented`: listed by OpenAPI."""

    method: Sequence[str]
    path: str
    endpoint: Callable[..., Any]
    body: type[schemas.Request] | None = None
    answer: type[BaseModel] | None = None
    sends: Answers | None = None
    documented: bool = True
    table: bool = False
    """True where who accepts text/csv gets a table instead."""


def _content(*types: str) -> dict[str, Any]:
    """The content of an answer that is bytes of one of these types."""
    return {one: {"schema": {"type": "string", "format": "binary"}} for one in types}


UNCHANGED = {"description": "The copy that the client has still holds"}
PICTURE: Answers = {
    200: {"description": "The picture", "content": _content(*FORMATS.values())},
    304: UNCHANGED,
}
ORIGINAL: Answers = {
    200: {
        "description": "The file",
        "content": _content(*sorted({*items.MEDIA_TYPES.values(), items.BYTES})),
    },
    206: {"description": "A range of it", "content": _content("*/*")},
    304: UNCHANGED,
}
PUT: Answers = {
    200: {"description": "An item was replaced", "model": schemas.Item},
    201: {"description": "An item was added", "model": schemas.Item},
}
DELETED: Answers = {204: {"description": "The item is no longer there"}}
CORRECTED: Answers = {
    200: {"description": "A caption was corrected", "model": schemas.Item},
    201: {"description": "The first caption in its language was added", "model": schemas.Item},
}
TAKEN_BACK: Answers = {204: {"description": "The correction is no longer there"}}
TABLE: Answers = {
    200: {"description": "The answer", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
}
METRICS: Answers = {
    200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


CAPTION = "/v1/items/{item_id:path}/captions/{lang}"
# Captions, thumbnails and originals come before the items whose ids may hold slashes.
ROUTES = (
    Route(
        ("POST",), "/v1/search", searching.search, schemas.SearchRequest, schemas.SearchResponse, table=True
    ),
    Route(("POST",), "/v1/search/batch", searching.search_batch, schemas.BatchRequest, schemas.BatchResponse),
    Route(("POST",), "/v1/embeddings", searching.embeddings, schemas.EmbeddingsRequest),
    Route(GET, "/v1/collections", status.collections),
    Route(GET, "/v1/collections/{name}", status.collection),
    Route(GET, "/v1/items", items.page, answer=schemas.ItemPage, table=True),
    Route(GET, "/v1/items/{item_id:path}/thumbnail", items.thumbnail, sends=PICTURE),
    Route(GET, "/v1/items/{item_id:path}/media", items.media, sends=ORIGINAL),
    Route(GET, CAPTION, captions.get, answer=schemas.Caption),
    Route(("PUT",), CAPTION, captions.put, schemas.CaptionRequest, sends=CORRECTED),
    Route(("DELETE",), CAPTION, captions.delete, sends=TAKEN_BACK),
    Route(GET, "/v1/items/{item_id:path}", items.get),
    Route(("PUT",), "/v1/items/{item_id:path}", items.put, schemas.ItemRequest, sends=PUT),
    Route(("DELETE",), "/v1/items/{item_id:path}", items.delete, sends=DELETED),
    Route(GET, "/healthz", status.healthz, answer=schemas.Status),
    Route(GET, "/readyz", status.readyz, answer=schemas.Status),
    Route(GET, "/metrics", status.metrics, sends=METRICS),
    Route(GET_HEAD, "/", front.front, documented=False),
    Route(GET_HEAD, "/page/{name}", front.part, documented=False),
)


def create_app(
    searchers: Mapping[str, Searcher],
    config: ServiceSettings,
    access: Access = LOCAL,
    house: House = NOBODY,
    recogniser: Recogniser | None = None,
) -> FastAPI:
    """Make the application over open indexes; the first is the default. It closes them when it ends.

    With a recogniser, queries may be spoken.
    """
    metrics = Metrics()
    hidden = frozenset(house.hidden)
    opened = {
        name: collection.Collection(name, one, config, metrics, hidden) for name, one in searchers.items()
    }
    metrics.watch(opened)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if app.state.service.writable:
            for one in opened.values():
                await anyio.to_thread.run_sync(one.finish_changes)
        await _warm(app.state.service)
        yield
        for one in opened.values():
            await anyio.to_thread.run_sync(one.close)

    app = FastAPI(
        title="Dragoman",
        version=version("dragoman"),
        docs_url=None,
        redoc_url=None,
        # To an address made of the Host that was sent, and without the path that a proxy cuts off.
        redirect_slashes=False,
        dependencies=[Depends(require_address)],
        lifespan=lifespan,
    )
    app.state.front = make_front(house, config, recogniser)
    app.state.service = State(
        collections=opened,
        config=config,
        metrics=metrics,
        thumbnails=Thumbnails(config.thumbnail_cache_mb),
        decoding=Slots(config.decoding),
        hearing=Slots(config.hearing),
        recogniser=recogniser,
        writable=access.keys is not None or access.allow_writes,
        key_for_changes=access.keys is not None,
        hidden=hidden,
        media_roots=tuple(map(Path, access.media_root)),
    )
    hears = recogniser is not None
    for route in ROUTES:
        _add(app, route, hears)
    install_handlers(app)
    _describe(app, config, access, hears)
    # The last one that is added is the first one that a request meets.
    app.add_middleware(Limits, config=config)
    app.add_middleware(Compressed)
    app.add_middleware(Guard, access=access)
    if access.cors:
        methods, headers = ["GET", "POST", "PUT", "DELETE"], ["authorization", "content-type", "x-request-id"]
        app.add_middleware(
            CORSMiddleware, allow_origins=access.cors, allow_methods=methods, allow_headers=headers
        )
    app.add_middleware(Observed, metrics=metrics)
    app.add_middleware(Edge, hosts=access.hosts, cross_origin=bool(access.cors), microphone=hears)
    return app


async def _warm(state: State) -> None:
    """Let the first query find everything loaded: models and detectors come when they are first used."""
    for one in state.collections.values():
        try:
            await one.queries.ask(Query(text="a photo", k=1))
        except Exception as error:
            if isinstance(error, DamagedError):
                await in_thread(state.note_damage)
            log.warning("collection %s does not answer yet: %s", one.name, error)


async def require_address(request: Request) -> None:
    """Raise Problem 422 for a parameter of the address that counts for nothing: misspelt, given twice, or no
    text; and 404 for a path that is none."""
    route = request.scope["route"]
    if not route.path.startswith("/v1/"):
        return  # the page keeps its own state in its address
    # The framework puts one sign in the place of all stray bytes, so that two ids would become one.
    if not _is_text(path_sent(request).encode("latin-1")):
        raise Problem(404, "There is no such address: its bytes are not UTF-8.")
    if not _is_text(request.scope["query_string"]):
        raise Problem(422, "The parameters of the address are not UTF-8.")
    if request.method in ("PUT", "DELETE"):
        items.check_whole(request)
    known = {one.alias for one in route.dependant.query_params}
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            takes = f"Those known here are {', '.join(sorted(known))}." if known else "There are none here."
            raise Problem(422, f"There is no parameter {name[:100]!r}. {takes}")
        if count > 1:
            raise Problem(422, f"The parameter {name} is given twice.")


def _is_text(encoded: bytes) -> bool:
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True


def _add(app: FastAPI, route: Route, hears: bool) -> None:
    extra: dict[str, Any] = {}
    if route.body is not None:
        content: dict[str, Any] = {"application/json": {"schema": _reference(route.body.__name__)}}
        if media := _files(route.body, hears):
            content["multipart/form-data"] = {
                "schema": _reference(_form_name(route.body)),
                "encoding": {name: {"contentType": MEDIA[name]} for name in media},
            }
        extra["requestBody"] = {"required": True, "content": content}
    app.add_api_route(
        route.path,
        route.endpoint,
        methods=list(route.method),
        include_in_schema=route.documented,
        response_model=route.answer or (Default(None) if route.sends is None else None),
        # Of a class without a type of its own, so that nothing is described as JSON that is none.
        response_class=Default(JSONResponse) if route.sends is None else Response,
        status_code=204 if 204 in (route.sends or ()) else 200,
        responses={**(route.sends or (TABLE if route.table else {})), "4XX": PROBLEM, "5XX": PROBLEM},
        openapi_extra=extra if route.documented else None,
    )
    if route.method == GET:
        # What can be read can be asked for without its content (RFC 9110, section 9.1).
        app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)


def _files(model: type[schemas.Request], hears: bool) -> list[str]:
    """Names of the files that a body may hold here: none is a sound where nobody understands it."""
    return [name for name in media_fields(model) if hears or name != "speech"]


REFERENCE = "#/components/schemas/{model}"


def _reference(model: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model)}


PROBLEM = {
    "description": "Problem details (RFC 9457)",
    "content": {"application/problem+json": {"schema": _reference("ProblemDetails")}},
}


def _describe(app: FastAPI, config: ServiceSettings, access: Access, hears: bool) -> None:
    """Add to OpenAPI the schemas of bodies that routes read by themselves, with the limits that are set,
    which routes need a key, and speech only where it is understood."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = made()
            read = [route.body for route in ROUTES if route.body is not None]
            models = [(model, "validation") for model in (*read, schemas.ProblemDetails)]
            _, found = models_json_schema(models, ref_template=REFERENCE)  # type: ignore[arg-type]
            bodies = found["$defs"]
            search = bodies["SearchRequest"]["properties"]
            if not hears:
                del search["speech"]
                given = bodies["SearchRequest"]["anyOf"]
                given[:] = [one for one in given if one["required"] != ["speech"]]
            search["text"]["maxLength"] = config.max_query_length
            search["k"]["maximum"] = config.max_k
            search["filter"]["anyOf"][0]["maxLength"] = config.max_filter_length
            bodies["BatchRequest"]["properties"]["queries"]["maxItems"] = config.max_batch
            one, several = bodies["EmbeddingsRequest"]["properties"]["input"]["anyOf"]
            several |= {"minItems": 1, "maxItems": config.max_batch}
            said = bodies["TextPart"]["properties"]["text"]
            for text in (one, several["items"]["anyOf"][0], said):
                text["maxLength"] = config.max_query_length
            for model in filter(media_fields, read):
                bodies[_form_name(model)] = _as_form(bodies[model.__name__], _files(model, hears))
            described.setdefault("components", {}).setdefault("schemas", {}).update(bodies)
            for methods in described["paths"].values():
                if "get" in methods:
                    methods["head"] = _as_head(methods["get"])
            _describe_keys(described, access)
        assert app.openapi_schema is not None
        # Another model may have come with another generation of an index.
        asked = app.openapi_schema["components"]["schemas"]["EmbeddingsRequest"]["properties"]
        widths = {width for one in app.state.service.collections.values() for width in one.widths}
        asked["dimensions"]["anyOf"][0]["enum"] = sorted(widths)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_keys(described: dict[str, Any], access: Access) -> None:
    """Say which routes need a key."""
    if access.keys is None:
        return
    described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            if access.needs_key(method.upper(), path):
                one["security"] = [{"key": []}]


def _as_head(get: dict[str, Any]) -> dict[str, Any]:
    """The description of HEAD where that of GET is known: the same answers without content."""
    responses = {code: {"description": one["description"]} for code, one in get["responses"].items()}
    return {**get, "operationId": f"head_of_{get['operationId']}", "responses": responses}


def _form_name(model: type[schemas.Request]) -> str:
    return model.__name__.replace("Request", "Form")


def _as_form(body: dict[str, Any], media: Sequence[str]) -> dict[str, Any]:
    """The schema of a body as a form: files as they are, and no null, which a form cannot say."""
    fields = {}
    for name, field in body["properties"].items():
        kept = {key: value for key, value in field.items() if (key, value) != ("default", None)}
        (given,) = [one for one in kept.pop("anyOf", [{}]) if one.get("type") != "null"]
        fields[name] = given | kept | ({"format": "binary"} if name in media else {})
    return {**body, "title": body["title"].replace("Request", "Form"), "properties": fields}
