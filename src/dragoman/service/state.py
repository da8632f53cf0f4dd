"""State that the routes share (collections, limits, caches), and work off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import anyio
from anyio import to_thread
from fastapi import Request

from dragoman.service.collection import Collection
from dragoman.service.config import ServiceConfig
from dragoman.service.metrics import Metrics
from dragoman.service.problems import Problem
from dragoman.service.thumbnails import Thumbnails

T = TypeVar("T")


@dataclass(frozen=True)
class State:
    """State of one application, for its lifetime."""

    collections: Mapping[str, Collection]
    """The first one is the default."""
    config: ServiceConfig
    metrics: Metrics
    thumbnails: Thumbnails
    decoding: anyio.CapacityLimiter
    """Images that are decoded or held decoded at once, and videos that are read."""
    writable: bool

    def collection(self, name: str | None) -> Collection:
        """The collection of this name. Raises Problem 404."""
        if name is None:
            return next(iter(self.collections.values()))
        if name not in self.collections:
            raise Problem(404, f"There is no such collection. Known: {', '.join(self.collections)}.")
        return self.collections[name]


def state_of(request: Request) -> State:
    """The state of the application that a request came to."""
    found: State = request.app.state.service
    return found


async def in_thread(work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """The result of `work`, done in a thread. A caller that is cancelled stops waiting for it."""
    return await to_thread.run_sync(partial(work, *arguments, **named), abandon_on_cancel=True)


def address_of(request: Request, collection: Collection, item_id: str) -> tuple[str, str]:
    """Path of an item on this service, and the query that names its collection."""
    root = request.scope.get("root_path", "").rstrip("/")
    default = collection is state_of(request).collection(None)
    query = "" if default else "?" + urlencode({"collection": collection.name})
    return f"{root}/v1/items/{quote(item_id, safe='')}", query
