"""Queries with a video: each in a thread of its own, so that no other waits for its frames."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

from fastapi import Request

from dragoman.errors import MissingExtraError
from dragoman.media.images import ImageError
from dragoman.media.video import VideoPart
from dragoman.search.answer import Answer, Query
from dragoman.service.collection import Collection
from dragoman.service.config import ServiceConfig
from dragoman.service.problems import Problem, first_sentence, reason_of
from dragoman.service.state import in_thread

LOOK_SECONDS = 0.25
"""How often it is looked whether the client still waits."""


def clip_of(video: bytes | None, config: ServiceConfig) -> VideoPart | None:
    """A video that was uploaded, within the limits."""
    if video is None:
        return None
    return VideoPart(source=video, decoding=config.for_videos, max_seconds=config.max_video_seconds)


async def watched(request: Request, collection: Collection, query: Query) -> Answer:
    """The answer to a query with a clip, which is watched no longer than somebody waits for it.

    Raises Problem 422 for a video that cannot be used, 501 where this service reads none.
    """
    assert isinstance(query.video, VideoPart)
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise Problem(503, "Nobody waits for this answer any more.")

    part = replace(query.video, check=check)
    looking = asyncio.create_task(_look_for_the_client(request, gone))
    try:
        return await in_thread(collection.answer, replace(query, video=part))
    except ImageError as error:
        raise Problem(422, f"The video cannot be used: {reason_of(error)}.") from None
    except MissingExtraError as error:
        raise Problem(501, first_sentence(error)) from None
    finally:
        gone.set()
        looking.cancel()


async def _look_for_the_client(request: Request, gone: threading.Event) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(LOOK_SECONDS)
    gone.set()
