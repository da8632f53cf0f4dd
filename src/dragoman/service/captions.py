"""`/v1/items/{id}/captions/{lang}`: the caption of an item in a language; corrected, and taken back."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import JSONResponse, Response

from dragoman.errors import UserError
from dragoman.index.corrections import Captioned, correct, take_back
from dragoman.languages import canonical_tag
from dragoman.messages import Message
from dragoman.records import Entry
from dragoman.service import bodies, items, schemas
from dragoman.service.collection import Collection, address_of, state_of
from dragoman.service.items import Of
from dragoman.service.preconditions import require_state
from dragoman.service.problems import Problem, path_sent
from dragoman.service.threads import in_thread
from dragoman.texts import caption

Lang = Annotated[
    str, Path(max_length=100, description="BCP 47", json_schema_extra={"pattern": schemas.LANGUAGE})
]


async def get(request: Request, item_id: str, lang: Lang, of: Of = None) -> Response:
    """The caption that is shown of an item in a language."""
    if not _is_below(request):
        return items.written(await items.get(request, f"{item_id}/captions/{lang}", of))
    collection, tag = state_of(request).collection(of), _tag(lang)
    entry = await items.entry_of(collection, item_id)
    found = await in_thread(Captioned.of, entry, tag, collection.info.folder)
    if not found.texts:
        raise Problem(404, "The item has no caption in this language.")
    made = next((one for one in found.corrections if one.text == found.texts[0]), None)
    return items.written(
        schemas.Caption(
            lang=tag,
            text=found.texts[0],
            role="mt" if found.is_machine else "human",
            corrected=made is not None,
            translation=made.translation if made else None,
        )
    )


async def put(request: Request, item_id: str, lang: Lang, of: Of = None) -> JSONResponse:
    """Correct the caption of an item in a language, or give it one: it comes first, as a person's, and stays
    when the index is made anew."""
    if not _is_below(request):
        return await items.put(request, f"{item_id}/captions/{lang}", of)
    collection, tag = state_of(request).collection(of), _tag(lang)
    items.check_id(item_id)
    if "content-range" in request.headers:
        raise Problem(400, "A part of a caption cannot be replaced. Send all of it, without Content-Range.")
    body = await bodies.read(request, schemas.CaptionRequest)
    text, fault = caption(body.asked.text.strip())
    if fault is not None:
        raise Problem(422, "The text is empty, or holds control characters.")
    created, entry = await in_thread(_correct, collection, item_id, tag, text, request)
    collection.facets.forget()
    address, query = address_of(request, collection, item_id)
    return JSONResponse(
        schemas.Item(**schemas.item_of(entry, address, query, state_of(request).hidden)).model_dump(),
        201 if created else 200,
        {"location": f"{address}/captions/{tag}{query}"},
    )


async def delete(request: Request, item_id: str, lang: Lang, of: Of = None) -> Response:
    """Take a correction back: what was there before is shown again."""
    if not _is_below(request):
        return await items.delete(request, f"{item_id}/captions/{lang}", of)
    collection, tag = state_of(request).collection(of), _tag(lang)
    items.check_id(item_id)
    await in_thread(_take_back, collection, item_id, tag, request)
    collection.facets.forget()
    return Response(status_code=204)


def _correct(
    collection: Collection, item_id: str, lang: str, text: str, request: Request
) -> tuple[bool, Entry]:
    require = partial(require_state, request.headers)
    try:
        with collection.searcher.writing() as opened:
            (entry,) = opened.store.get([item_id])
            if entry is not None and entry.lang == lang:
                raise Problem(422, "This is the text that the item itself is: put the item anew.")
            done = correct(opened.info.folder, opened.store, item_id, lang, text, require)
    except (UserError, OSError) as error:
        raise items.unwritten(collection, error) from None
    if done is None:
        raise Problem(404, Message("item_gone"))
    return done


def _take_back(collection: Collection, item_id: str, lang: str, request: Request) -> None:
    require = partial(require_state, request.headers)
    try:
        with collection.searcher.writing() as opened:
            done = take_back(opened.info.folder, opened.store, item_id, lang, require)
    except (UserError, OSError) as error:
        raise items.unwritten(collection, error) from None
    if done is None:
        raise Problem(404, Message("item_gone"))
    if not done:
        raise Problem(404, "There is no correction of this caption.")


def _is_below(request: Request) -> bool:
    """Tell if `/captions/pt` is a part of the address of its own, not the end of an id with an encoded
    slash."""
    return re.search(r"/captions/[^/]+$", path_sent(request)) is not None


def _tag(lang: str) -> str:
    try:
        return canonical_tag(lang)
    except ValueError:
        raise Problem(404, "This is no tag of a language: BCP 47 is expected, as pt-BR.") from None
