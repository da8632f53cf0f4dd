"""The application: an explicit list of routes, and the layers that every request passes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from fastapi import FastAPI
from fastapi.datastructures import Default
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dragoman.errors import DamagedError
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.service import collection, items, schemas, searching, status
from dragoman.service.access import Access
from dragoman.service.collection import State
from dragoman.service.config import ServiceSettings
from dragoman.service.layers import Edge, Guard, Limits
from dragoman.service.metrics import Metrics, Observed
from dragoman.service.problems import install_handlers
from dragoman.service.threads import Slots, in_thread
from dragoman.service.thumbnails import FORMATS, Thumbnails

log = logging.getLogger(__name__)

LOCAL = Access()
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
}
PUT: Answers = {
    200: {"description": "An item was replaced", "model": schemas.Item},
    201: {"description": "An item was added", "model": schemas.Item},
}
DELETED: Answers = {204: {"description": "The item is no longer there"}}
METRICS: Answers = {
    200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


# Thumbnails and originals come before the items whose ids may hold slashes.
ROUTES = (
    Route(("POST",), "/v1/search", searching.search, schemas.SearchRequest, schemas.SearchResponse),
    Route(("POST",), "/v1/search/batch", searching.search_batch, schemas.BatchRequest, schemas.BatchResponse),
    Route(("POST",), "/v1/embeddings", searching.embeddings, schemas.EmbeddingsRequest),
    Route(GET, "/v1/collections", status.collections),
    Route(GET, "/v1/collections/{name}", status.collection),
    Route(GET, "/v1/items", items.page, answer=schemas.ItemPage),
    Route(GET, "/v1/items/{item_id:path}/thumbnail", items.thumbnail, sends=PICTURE),
    Route(GET, "/v1/items/{item_id:path}/media", items.media, sends=ORIGINAL),
    Route(GET, "/v1/items/{item_id:path}", items.get),
    Route(("PUT",), "/v1/items/{item_id:path}", items.put, schemas.ItemRequest, sends=PUT),
    Route(("DELETE",), "/v1/items/{item_id:path}", items.delete, sends=DELETED),
    Route(GET, "/healthz", status.healthz, answer=schemas.Status),
    Route(GET, "/readyz", status.readyz, answer=schemas.Status),
    Route(GET, "/metrics", status.metrics, sends=METRICS),
    Route(GET_HEAD, "/", status.front, documented=False),
    Route(GET_HEAD, "/page/{name}", status.part, documented=False),
)


def create_app(searchers: Mapping[str, Searcher], config: ServiceSettings, access: Access = LOCAL) -> FastAPI:
    """Make the application over open indexes; the first is the default. It closes them when it ends."""
    metrics = Metrics()
    opened = {name: collection.Collection(name, one, config, metrics) for name, one in searchers.items()}
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
        title="Dragoman", version=version("dragoman"), docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.state.page = status.files()
    app.state.service = State(
        collections=opened,
        config=config,
        metrics=metrics,
        thumbnails=Thumbnails(config.thumbnail_cache_mb),
        decoding=Slots(config.decoding),
        writable=access.keys is not None or access.allow_writes,
        media_roots=tuple(map(Path, access.media_root)),
    )
    for route in ROUTES:
        _add(app, route)
    install_handlers(app)
    _describe_bodies(app, config)
    # The last one that is added is the first one that a request meets.
    app.add_middleware(Limits, config=config)
    app.add_middleware(Guard, access=access)
    if access.cors:
        methods, headers = ["GET", "POST", "PUT", "DELETE"], ["authorization", "content-type", "x-request-id"]
        app.add_middleware(
            CORSMiddleware, allow_origins=access.cors, allow_methods=methods, allow_headers=headers
        )
    app.add_middleware(Observed, metrics=metrics)
    app.add_middleware(Edge, hosts=access.hosts, cross_origin=bool(access.cors))
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


def _add(app: FastAPI, route: Route) -> None:
    extra: dict[str, Any] = {}
    if route.body is not None:
        schema = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        types = ["application/json"]
        if "image" in route.body.model_fields:
            types.append("multipart/form-data")
        content = {one: {"schema": schema} for one in types}
        extra["requestBody"] = {"required": True, "content": content}
    app.add_api_route(
        route.path,
        route.endpoint,
        methods=list(route.method),
        include_in_schema=route.documented,
        response_model=route.answer or (Default(None) if route.sends is None else None),
        # Of a class without a type of its own, so that nothing is described as JSON that is none.
        response_class=Default(JSONResponse) if route.sends is None else Response,
        status_code=204 if route.sends is DELETED else 200,
        responses={**(route.sends or {}), "default": PROBLEM},
        openapi_extra=extra if route.documented else None,
    )


PROBLEM = {
    "description": "Problem details (RFC 9457)",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
}


def _describe_bodies(app: FastAPI, config: ServiceSettings) -> None:
    """Add to OpenAPI the schemas of bodies that routes read by themselves, with the limits that are set."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = made()
            read = [route.body for route in ROUTES if route.body is not None]
            models = [(model, "validation") for model in (*read, schemas.ProblemDetails)]
            _, found = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
            bodies = found["$defs"]
            search = bodies["SearchRequest"]["properties"]
            search["text"]["maxLength"] = config.max_query_length
            search["k"]["maximum"] = config.max_k
            search["filter"]["anyOf"][0]["maxLength"] = config.max_filter_length
            bodies["BatchRequest"]["properties"]["queries"]["maxItems"] = config.max_batch
            one, several = bodies["EmbeddingsRequest"]["properties"]["input"]["anyOf"]
            several |= {"minItems": 1, "maxItems": config.max_batch}
            for text in (one, several["items"]):
                text["maxLength"] = config.max_query_length
            described.setdefault("components", {}).setdefault("schemas", {}).update(bodies)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
