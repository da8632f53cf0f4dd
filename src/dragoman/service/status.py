"""Collections and their fields, health, metrics: routes that ask nothing of a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from dragoman.messages import Message
from dragoman.search.query import channel_name
from dragoman.service import schemas
from dragoman.service.collection import Collection, State, Summary, state_of
from dragoman.service.problems import Problem
from dragoman.service.threads import in_thread

log = logging.getLogger(__name__)


async def collections(request: Request) -> schemas.CollectionList:
    """The collections of this service, the default one first."""
    found = [
        schemas.CollectionSummary(name=one.name, items=await in_thread(_count, one))
        for one in state_of(request).collections.values()
    ]
    return schemas.CollectionList(collections=found)


async def collection(request: Request, name: str) -> schemas.CollectionDetails:
    """One collection: its model, and the fields that filters can use."""
    state = state_of(request)
    one = state.collection(name)
    # Through a function: the store is asked for in a thread, since it may be about to be opened anew.
    summary = await one.facets.of(lambda: one.searcher.store)
    return await in_thread(_details, state, one, summary)


async def healthz() -> schemas.Status:
    """The process answers."""
    return schemas.Status(status="ok")


async def readyz(request: Request) -> schemas.Status:
    """Every collection can be searched."""
    state = state_of(request)
    for one in state.collections.values():
        try:
            await in_thread(_count, one)
        except Exception as error:
            log.error("collection %s: %s", one.name, error)
            raise Problem(503, Message("collection_unavailable", name=one.name)) from None
    if await in_thread(state.is_damaged):
        raise Problem(503, Message("collection_damaged"))
    return schemas.Status(status="ready")


async def metrics(request: Request) -> Response:
    """For Prometheus."""
    content = await in_thread(state_of(request).metrics.page)
    return Response(content, headers={"content-type": CONTENT_TYPE_LATEST})


def _count(one: Collection) -> int:
    _ = one.info
    return one.searcher.store.count()


def _details(state: State, one: Collection, summary: Summary) -> schemas.CollectionDetails:
    info = one.info
    return schemas.CollectionDetails(
        name=one.name,
        items=_count(one),
        model=one.model,
        revision=info.fingerprint[:12],
        width=info.width,
        languages=list(info.languages),
        calibrated=info.calibration is not None,
        channels=_channels(info.calibration),
        speech=_hearing(state),
        writable=state.writable,
        key_for_changes=state.key_for_changes,
        caption_languages=summary.languages,
        fields=summary.fields,
        fields_read_from=summary.read,
    )


def _hearing(state: State) -> schemas.Hearing | None:
    if state.recogniser is None:
        return None
    known = state.recogniser.languages
    return schemas.Hearing(
        languages=None if known is None else list(known), max_seconds=state.config.max_speech_seconds
    )


def _channels(calibration: Mapping[str, object] | None) -> dict[str, schemas.CollectionChannel]:
    stored = (calibration or {}).get("channels")
    return {
        lang: schemas.CollectionChannel(name=channel_name(one["weight"]), engine=one["engine_name"])
        for lang, one in (stored.items() if isinstance(stored, dict) else ())
    }
