"""`/v1/search`, `/v1/search/batch` and `/v1/embeddings`."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import Request
from fastapi.responses import Response
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UnavailableError, UserError
from dragoman.media.images import ImageError, open_image
from dragoman.media.sound import SoundError
from dragoman.media.video import VideoPart
from dragoman.messages import Message, message_of
from dragoman.search.query import Answer, Query
from dragoman.search.spoken import as_text, with_heard
from dragoman.service import bodies, schemas
from dragoman.service.collection import Collection, State, address_of, filter_of, state_of
from dragoman.service.config import ServiceSettings
from dragoman.service.problems import Problem, first_sentence, reason_of
from dragoman.service.schemas import channel_of, found_of, heard_of, language_of
from dragoman.service.tables import table, wants_table
from dragoman.service.threads import Slot, in_thread, in_turn
from dragoman.speech.hearing import Heard
from dragoman.stores import Filter

log = logging.getLogger(__name__)

FEW = 50
"""Hits whose answer is made on the event loop; it takes about 10 microseconds each."""
LOOK_SECONDS = 0.25
"""Seconds between two looks at whether the client still waits."""


def part_of(video: bytes | None, config: ServiceSettings) -> VideoPart | None:
    """A video that was uploaded, within the limits."""
    if video is None:
        return None
    return VideoPart(source=video, decoding=config.for_videos, max_seconds=config.max_video_seconds)


async def _answer_to_video(request: Request, collection: Collection, query: Query, slot: Slot) -> Answer:
    """The answer to a query with a clip, which is decoded no longer than its client waits.

    Raises Problem 422 for a video that cannot be used, 501 where this service reads none.
    """
    assert isinstance(query.video, VideoPart)
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise Problem(503, "The client has gone.")

    part = replace(query.video, check=check)
    looking = asyncio.create_task(_look_for_the_client(request, gone))
    try:
        return await slot.run(collection.answer, replace(query, video=part))
    except ImageError as error:
        told = f"The video cannot be used: {reason_of(error)}."
        raise Problem(422, told, said=Message("video_unusable")) from None
    except MissingExtraError as error:
        raise Problem(501, first_sentence(error), said=Message("videos_unread")) from None
    finally:
        gone.set()
        looking.cancel()


async def _heard(query: Query, state: State) -> tuple[Query, Heard | None]:
    """A query with words in the place of its sound.

    Raises Problem: 422 for a sound that cannot be used, and where this service understands no speech; 501
    where it reads no such files; 503 where its recogniser fails.
    """
    if query.speech is None:
        return query, None
    if state.recogniser is None:
        raise Problem(422, Message("speech_unread"))
    try:
        async with state.hearing.one() as slot:
            return await slot.run(as_text, query, state.recogniser, state.config.for_speech)
    except SoundError as error:
        told = f"The sound cannot be used: {error.reason}."
        raise Problem(422, told, said=Message("speech_unusable")) from None
    except MissingExtraError as error:
        raise Problem(501, first_sentence(error), said=Message("speech_unusable")) from None
    except UserError as error:
        if isinstance(error, UnavailableError) or message_of(error) is not None:
            raise
        # About its server, which is nobody else's business.
        log.error("the recogniser: %s", error)
        raise Problem(503, Message("server_silent")) from None


async def _look_for_the_client(request: Request, gone: threading.Event) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(LOOK_SECONDS)
    gone.set()


async def search(request: Request) -> Response:
    """Search by text, typed or spoken, by image, by video, by an item, or by several of them together.

    To who accepts text/csv the answer is a table of its hits.
    """
    body = await bodies.read(request, schemas.SearchRequest)
    if wants_table(request):
        collection, answer = await _answer(request, body, _check(body, state_of(request), wide=True))
        return await in_turn(lambda: table(_hits(request, collection, answer)))
    return _json(await _written_answer(request, body, _check(body, state_of(request))))


async def search_batch(request: Request) -> Response:
    """Several searches in one request; one that does not fit refuses all."""
    state = state_of(request)
    batch = await bodies.read(request, schemas.BatchRequest)
    _check_count("queries", len(batch.asked.queries), state.config)

    def each_checked() -> list[tuple[bodies.Body[schemas.SearchRequest], Filter | None]]:
        queries = [bodies.of_json(query, batch.files) for query in batch.asked.queries]
        return [(body, _check(body, state)) for body in queries]

    each = await in_thread(each_checked)
    answers = await asyncio.gather(*[_written_answer(request, *one) for one in each])
    return _json(b'{"answers":[' + b",".join(answers) + b"]}")


async def embeddings(request: Request) -> schemas.EmbeddingsResponse:
    """Vectors of texts and images, in the shape of OpenAI's embeddings API."""
    state = state_of(request)
    body = await bodies.read(request, schemas.EmbeddingsRequest)
    asked = body.asked
    given = [asked.input] if isinstance(asked.input, str) else asked.input
    _check_count("inputs", len(given), state.config)
    parts: list[str | bytes] = [await _part(one, body.files) for one in given]
    texts = [part for part in parts if isinstance(part, str)]
    for text in texts:
        _check_text(text, state.config)
        if not text.strip():
            raise Problem(422, "A text of the input is empty.")
    collection = await _by_model(asked.model, state)
    info, widths = await in_thread(lambda: (collection.info, collection.searcher.widths))
    width = asked.dimensions or info.width
    if width not in widths:
        raise Problem(422, _no_such_width(widths))
    vectors = await asyncio.gather(*[_vector(part, collection, state) for part in parts])
    counted = await in_thread(_tokens, collection, texts)
    return schemas.EmbeddingsResponse(
        data=[
            schemas.Embedding(index=row, embedding=_coded(_cut(vector, width), asked.encoding_format))
            for row, vector in enumerate(vectors)
        ],
        model=Path(info.model).name,
        usage=schemas.Usage(prompt_tokens=counted, total_tokens=counted),
    )


async def _part(
    given: str | schemas.TextPart | schemas.ImagePart, files: Mapping[str, bytes | None]
) -> str | bytes:
    """A text, or the content of an image file."""
    if isinstance(given, str):
        return given
    if isinstance(given, schemas.TextPart):
        return given.text
    return await in_turn(bodies.image_in, given.image_url.url, files)


async def _vector(part: str | bytes, collection: Collection, state: State) -> NDArray[np.float32]:
    """[J] of a text, or of an image file. Raises ImageError."""
    if isinstance(part, str):
        return await collection.texts.ask(part)
    # Decoded, an image takes far more memory than its file: it counts until it is answered.
    async with state.decoding.one() as slot:
        opened = await slot.run(open_image, part, state.config.for_images)
        return await slot.until(collection.pictures.submit(opened))


def _no_such_width(widths: Sequence[int]) -> str:
    whole = widths[-1]
    if len(widths) == 1:
        return f"This model's vectors have {whole} dimensions, and were not trained to be shortened."
    shorter = ", ".join(map(str, widths[:-1]))
    return (
        f"This model's vectors have {whole} dimensions, and were trained to be shortened to {shorter} alone."
    )


def _cut(vector: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The leading components, of unit length again."""
    if width == len(vector):
        return vector
    kept = vector[:width]
    length = float(np.linalg.norm(kept))
    return kept / np.float32(length) if length else kept


def _tokens(collection: Collection, texts: list[str]) -> int:
    """Tokens of texts as the model cuts them, or their words where it does not tell."""
    found = collection.searcher.tokens(texts)
    return sum(len(text.split()) for text in texts) if found is None else sum(found)


async def _written_answer(
    request: Request, body: bodies.Body[schemas.SearchRequest], chosen: Filter | None
) -> bytes:
    """The answer in JSON. It is written at once: as an object it is thousands of others, and FastAPI would
    check them a second time, which takes longer than a search."""
    collection, answer = await _answer(request, body, chosen)
    if len(answer.hits) <= FEW:
        return _written(request, collection, answer)
    return await in_turn(_written, request, collection, answer)


async def _answer(
    request: Request, body: bodies.Body[schemas.SearchRequest], chosen: Filter | None
) -> tuple[Collection, Answer]:
    state, asked = state_of(request), body.asked
    collection = state.collection(asked.collection)
    query = Query(
        text=asked.text,
        speech=body.speech,
        item_id=asked.item_id,
        lang=asked.lang,
        k=asked.k,
        offset=asked.offset,
        filter=chosen,
        moments=asked.moments,
        min_score=asked.min_score,
        channel=asked.channel,
        # Waited for below, where no other query waits as well.
        translate_within=0,
    )
    query, heard = await _heard(query, state)
    async with AsyncExitStack() as held:
        opened, slot = None, Slot()
        if body.image is not None or body.video is not None:
            # Decoded, an image takes far more memory than its file: it counts until it is answered.
            slot = await held.enter_async_context(state.decoding.one())
        if body.image is not None:
            opened = await slot.run(open_image, body.image, state.config.for_images)
        query = replace(query, image=opened, video=part_of(body.video, state.config))
        waited = await collection.translated(query, state.config.translate_seconds)
        if query.video is None:
            answer = await slot.until(collection.queries.submit(query))
        else:
            answer = await _answer_to_video(request, collection, query, slot)
    answer = with_heard(_for_strangers(answer), heard)
    if waited:
        answer = replace(answer, seconds=answer.seconds | {"translate": waited})
    state.metrics.answered(query, answer, collection.languages)
    return collection, answer


def _for_strangers(answer: Answer) -> Answer:
    """Say of an engine that is missing only that it is: what mends it is for whoever runs the service, and
    may name a path. The log has it."""
    told = [
        Message("engine_unavailable", language=one.arguments["language"], engine=one.arguments["engine"])
        if one.code == "engine_missing"
        else one
        for one in answer.warnings
    ]
    return replace(answer, warnings=tuple(told))


def _written(request: Request, collection: Collection, answer: Answer) -> bytes:
    response = schemas.SearchResponse(
        collection=collection.name,
        hits=[schemas.Found(**hit) for hit in _hits(request, collection, answer)],
        language=language_of(answer),
        heard=heard_of(answer),
        channel=channel_of(answer.channel),
        match=answer.match,
        unjudged=answer.unjudged,
        warnings=list(answer.warnings),
        warning_codes=[schemas.Code(code=one.code, arguments=dict(one.arguments)) for one in answer.warnings],
        seconds=answer.seconds,
    )
    return response.model_dump_json().encode()


def _hits(request: Request, collection: Collection, answer: Answer) -> list[dict[str, Any]]:
    hidden = state_of(request).hidden
    return [found_of(hit, *address_of(request, collection, hit.entry.item_id), hidden) for hit in answer.hits]


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _check(body: bodies.Body[schemas.SearchRequest], state: State, *, wide: bool = False) -> Filter | None:
    """The filter of a query; `wide` for an answer that is a table.

    Raises Problem for what the limits do not allow, before anything is decoded.
    """
    asked, config = body.asked, state.config
    _check_text(asked.text, config)
    most = config.max_table if wide else config.max_k
    if asked.k > most:
        raise Problem(422, f"k is {asked.k}, but at most {most} hits are given.")
    if asked.filter is not None and len(asked.filter) > config.max_filter_length:
        raise Problem(422, Message("filter_too_long", most=config.max_filter_length))
    shown = any(part is not None for part in (body.speech, body.image, body.video, asked.item_id))
    if not (asked.text.strip() or shown):
        raise Problem(422, Message("nothing_asked"))
    state.collection(asked.collection)
    return filter_of(asked.filter)


def _check_text(text: str, config: ServiceSettings) -> None:
    if len(text) > config.max_query_length:
        raise Problem(422, Message("text_too_long", characters=len(text), most=config.max_query_length))


def _check_count(what: str, count: int, config: ServiceSettings) -> None:
    if not 1 <= count <= config.max_batch:
        raise Problem(422, f"Expected 1 to {config.max_batch} {what} in one request, got {count}.")


async def _by_model(name: str | None, state: State) -> Collection:
    """The collection of this name, or the first whose model has it."""
    if name is None or name in state.collections:
        return state.collection(name)
    for collection in state.collections.values():
        if await in_thread(lambda one=collection: one.model) == name:
            return collection
    known = ", ".join(state.collections)
    raise Problem(404, f"There is no such model. Name a collection, whose model is used: {known}.")


def _coded(vector: np.ndarray, encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in vector]
