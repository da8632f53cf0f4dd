"""Collections and their fields, health, metrics."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from dragoman.service import schemas
from dragoman.service.collection import Collection
from dragoman.service.problems import Problem
from dragoman.service.state import State, in_thread, state_of


async def collections(request: Request) -> schemas.CollectionList:
    """The collections of this service, the default one first."""
    found = [
        schemas.CollectionSummary(name=one.name, items=await in_thread(one.searcher.store.count))
        for one in state_of(request).collections.values()
    ]
    return schemas.CollectionList(collections=found)


async def collection(request: Request, name: str) -> schemas.CollectionDetails:
    """One collection: its model, and the fields that filters can use."""
    state = state_of(request)
    return await in_thread(_details, state, state.collection(name))


async def healthz() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> JSONResponse:
    """Every collection can be searched."""
    for one in state_of(request).collections.values():
        try:
            await in_thread(_count, one)
        except Exception:
            raise Problem(503, f"The collection {one.name} cannot be searched at the moment.") from None
    return JSONResponse({"status": "ready"})


async def metrics(request: Request) -> Response:
    """For Prometheus."""
    content = await in_thread(state_of(request).metrics.page)
    return Response(content, headers={"content-type": CONTENT_TYPE_LATEST})


def _count(one: Collection) -> int:
    _ = one.info
    return one.searcher.store.count()


def _details(state: State, one: Collection) -> schemas.CollectionDetails:
    info, summary = one.info, one.facets.of(one.searcher.store)
    return schemas.CollectionDetails(
        name=one.name,
        items=_count(one),
        model=one.model,
        revision=info.fingerprint[:12],
        width=info.width,
        languages=list(info.languages),
        calibrated=info.calibration is not None,
        writable=state.writable,
        caption_languages=summary.languages,
        fields=summary.fields,
        fields_read_from=summary.read,
    )
