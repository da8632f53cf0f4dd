"""`/v1/items`: entries, their thumbnails and originals; added and deleted."""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import logging
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Query as Parameter
from fastapi import Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from dragoman.errors import FULL, DamagedError, MissingExtraError, ReadOnlyError, UserError
from dragoman.index.entries import middle_of
from dragoman.index.reading import TextError
from dragoman.index.uploads import UPLOADS, forget_upload, keep_upload, note_change, upload_path
from dragoman.languages import canonical_tag
from dragoman.media.images import ImageError, format_of, open_image
from dragoman.messages import Message
from dragoman.records import Entry
from dragoman.service import bodies, schemas, thumbnails
from dragoman.service.collection import Collection, State, address_of, filter_of, state_of
from dragoman.service.negotiation import accepts
from dragoman.service.preconditions import is_unchanged, require_state
from dragoman.service.problems import Problem, path_sent, reason_of
from dragoman.service.schemas import item_of
from dragoman.service.tables import table, wants_table
from dragoman.service.threads import in_thread, in_turn
from dragoman.stores.as_json import metadata_of
from dragoman.stores.checks import check_entry, is_possible_id
from dragoman.texts import passage

log = logging.getLogger(__name__)

SUFFIX = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


def source_of(content: bytes) -> str:
    """The digest that an entry's `source` holds."""
    return "upload:" + hashlib.sha256(content).hexdigest()


# Null is what a parameter of an address cannot say.
Given = str | SkipJsonSchema[None]
Of = Annotated[Given, Parameter(alias="collection", max_length=100)]
MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".png": "image/png",
    ".apng": "image/apng",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".gif": "image/gif",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".ogv": "video/ogg",
    ".webm": "video/webm",
}
BYTES = "application/octet-stream"
"""Type of all others, which are sent for saving."""
BEGIN = 256
# JPEG, PNG, GIF, BMP, TIFF; JPEG 2000, ICO, PNM, TGA; WebP and AVI; MP4, QuickTime, AVIF, HEIC; Matroska;
# Ogg, ASF, Flash, MPEG, MXF, MPEG transport streams of packets of 188 and of 192 bytes.
_SIGN = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\x00{4}|II[*+]\x00|MM\x00[*+]"
    rb"|\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51|\x00\x00\x01\x00|P[1-7Ff]\s|.[\x00\x01][\x01-\x03\x09-\x0b]"
    rb"|RIFF|.{4}(?:ftyp|moov|mdat|wide|free|skip|pnot)|\x1aE\xdf\xa3"
    rb"|OggS|0&\xb2u|FLV|\x00\x00\x01[\xb3\xba]|\x06\x0e\+4|G.{187}G|.{4}G.{191}G",
    re.DOTALL,
)
"""Beginnings of files of pictures and videos."""
# Pictures may need a key: no shared cache keeps them, and a browser asks each time if its copy still holds.
PRIVATE = "private, max-age=0, must-revalidate"


async def page(
    request: Request,
    of: Of = None,
    cursor: Annotated[Given, Parameter(max_length=1000, json_schema_extra={"format": "cursor"})] = None,
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    filter: Annotated[Given, Parameter(max_length=2000, json_schema_extra={"format": "filter"})] = None,
) -> Response:
    """Items by id, a page at a time; pass `next_cursor` on as `cursor` until it is null.

    To who accepts text/csv it is a table.
    """
    collection = state_of(request).collection(of)
    chosen, after = filter_of(filter), _after(cursor)

    # Reading a page is done in turn as well, but for a filter, which may look through all there is.
    apart = in_turn if chosen is None else in_thread
    store = collection.searcher.store
    entries = await apart(store.scan, after, limit + 1, chosen)
    total = None if after else await apart(store.count, chosen)

    def answer() -> Response:
        shown = entries[:limit]
        if wants_table(request):
            return table([_item(request, collection, entry).model_dump() for entry in shown])
        return written(
            schemas.ItemPage(
                items=[_item(request, collection, entry) for entry in shown],
                next_cursor=_cursor(shown[-1].item_id) if len(entries) > limit else None,
                total=total,
            )
        )

    return await in_turn(answer)


async def get(request: Request, item_id: str, of: Of = None) -> schemas.Item:
    """One item."""
    collection = state_of(request).collection(of)
    return _item(request, collection, await entry_of(collection, item_id))


async def put(request: Request, item_id: str, of: Of = None) -> JSONResponse:
    """Add an image or a text under an id, or replace what is there."""
    state = state_of(request)
    collection = state.collection(of)
    check_id(item_id)
    if "content-range" in request.headers:
        raise Problem(400, "A part of an item cannot be replaced. Send all of it, without Content-Range.")
    body = await bodies.read(request, schemas.ItemRequest)
    if not body.image:
        _require_text(body.asked)
    elif body.asked.text or body.asked.lang:
        raise Problem(422, "Give an image, or a text with its language, but not both.")
    async with state.decoding.one() as slot:
        require = partial(require_state, request.headers)
        created, entry = await slot.run(_store, state, collection, item_id, body.asked, body.image, require)
    collection.facets.forget()
    return JSONResponse(
        _item(request, collection, entry).model_dump(),
        201 if created else 200,
        {"location": address_of(request, collection, item_id)[0]},
    )


async def delete(request: Request, item_id: str, of: Of = None) -> Response:
    """Take an item out of the index; a file that was uploaded goes with it."""
    collection = state_of(request).collection(of)
    entry = await entry_of(collection, item_id)
    require_state(request.headers, exists=True)
    await in_thread(_remove, collection, entry)
    collection.facets.forget()
    return Response(status_code=204)


async def thumbnail(
    request: Request, item_id: str, of: Of = None, size: Annotated[int, Parameter(ge=1, le=4096)] = 256
) -> Response:
    """A small version of an item's picture, upright, WebP where that is accepted, else JPEG."""
    if not _is_below(request, "thumbnail"):
        return written(await get(request, f"{item_id}/thumbnail", of))
    state = state_of(request)
    format = "webp" if accepts(request.headers.get("accept", ""), "image/webp") else "jpeg"
    side = thumbnails.size_for(size)
    entry, file = await _media(state, of, item_id)
    try:
        at = middle_of(entry)
        shown = entry.source if at is None else f"{entry.source} {at}"
        tag = await in_thread(thumbnails.tag, file, shown, side, format)
        headers = {"etag": f'"{tag}"', "cache-control": PRIVATE, "vary": "Accept"}
        if is_unchanged(request.headers, headers["etag"]):
            return Response(status_code=304, headers=headers)
        content = state.thumbnails.get(tag)
        if content is None:
            await in_thread(_look, file)
            async with state.decoding.one() as slot:
                how = state.config.for_images
                content = await slot.run(thumbnails.render, file, side, format, how, at)
            state.thumbnails.put(tag, content)
    except ImageError as error:
        raise Problem(404, f"The item's picture cannot be shown: {reason_of(error)}.") from None
    except MissingExtraError:
        raise Problem(404, "Pictures of videos are not shown by this service.") from None
    except OSError as error:
        raise _unread(error, item_id) from None
    return Response(content, media_type=thumbnails.FORMATS[format], headers=headers)


async def media(request: Request, item_id: str, of: Of = None) -> Response:
    """The original file; ranges are served."""
    if not _is_below(request, "media"):
        return written(await get(request, f"{item_id}/media", of))
    entry, file = await _media(state_of(request), of, item_id)
    try:
        state, begin = await in_thread(_look, file)
        tag = await in_thread(thumbnails.tag, file, entry.source, 0, "original")
    except OSError as error:
        raise _unread(error, item_id) from None
    if not _is_media(begin):
        raise Problem(404, "The item's file is neither a picture nor a video.")
    headers = {"etag": f'"{tag}"', "cache-control": PRIVATE}
    if is_unchanged(request.headers, headers["etag"], state.st_mtime):
        return Response(status_code=304, headers=headers)
    _drop_unknown_range(request)
    media_type = MEDIA_TYPES.get(file.suffix.lower())
    return FileResponse(
        file,
        stat_result=state,
        media_type=media_type or BYTES,
        filename=file.name,
        content_disposition_type="inline" if media_type else "attachment",
        headers=headers | {"content-security-policy": "default-src 'none'; sandbox"},
    )


def _store(
    state: State,
    collection: Collection,
    item_id: str,
    asked: schemas.ItemRequest,
    image: bytes | None,
    require: Callable[[bool], object] = lambda exists: None,
) -> tuple[bool, Entry]:
    """Store an item; returns True where it is new, and its entry, once searches find it.

    `require` is told whether it exists while nobody else writes, and raises where it is not to be stored.
    """
    folder = collection.info.folder
    opened, file = None, None
    if image:
        try:
            opened = open_image(image, state.config.for_images)
        except ImageError as error:
            told = f"The image cannot be used: {reason_of(error)}."
            raise Problem(422, told, said=Message("image_unusable")) from None
        format = format_of(image)
        file = upload_path(folder, item_id, image, SUFFIX.get(format, f".{format.lower()}"))
        entry = Entry(
            item_id=item_id,
            path=str(file),
            metadata=metadata_of(asked.metadata),
            captions=asked.captions,
            source=source_of(image),
        )
    else:
        entry = _text_entry(item_id, asked)
    # What no store takes is the caller's fault, and final: it is told before anything is written.
    check_entry(entry)
    notes: list[Path] = []

    def begin() -> None:
        (found,) = collection.searcher.store.get([item_id])
        require(found is not None)
        notes.append(note_change(folder, item_id))
        if image and file is not None:
            keep_upload(file, image)

    try:
        before = collection.searcher.add(entry, opened, begin=begin)
        forget_upload(folder, before)
    except TextError:
        raise Problem(422, "The model knows nothing of this text. Write words.") from None
    except (UserError, OSError) as error:
        _forget_unstored(collection, entry)
        raise unwritten(collection, error) from None
    finally:
        _forget_notes(notes)
    return before is None, entry


def _require_text(asked: schemas.ItemRequest) -> None:
    """Raise Problem 422 where a request holds neither an image nor a text with its language."""
    if not asked.text:
        raise Problem(
            422,
            "Give the image: base64 in the field image, or a file of that name in a form. Or give a text, "
            "and its language in the field lang.",
        )
    if asked.lang is None:
        raise Problem(422, "Give the language of the text in the field lang, as pt-BR.")
    if passage(asked.text)[1] is not None:
        raise Problem(422, "The text is empty, or holds control characters.")


def _text_entry(item_id: str, asked: schemas.ItemRequest) -> Entry:
    """Make the entry of a text; a caption in its own language stands behind it."""
    lang, (text, _) = canonical_tag(str(asked.lang)), passage(asked.text)
    further = {lang: (asked.captions[lang],)} if lang in asked.captions else {}
    return Entry(
        item_id=item_id,
        kind="text",
        lang=lang,
        metadata=metadata_of(asked.metadata),
        captions=asked.captions | {lang: text},
        more_captions=further,
        source=source_of(text.encode()),
    )


def _remove(collection: Collection, entry: Entry) -> None:
    folder, notes = collection.info.folder, list[Path]()
    try:
        # Whatever entry is there by then: another may have taken the place of the one that was read.
        for taken in collection.searcher.take(
            [entry.item_id], begin=lambda: notes.append(note_change(folder, entry.item_id))
        ):
            forget_upload(folder, taken)
    except (UserError, OSError) as error:
        raise unwritten(collection, error) from None
    finally:
        _forget_notes(notes)


def _forget_unstored(collection: Collection, entry: Entry) -> None:
    """Remove the file of an entry that was not stored."""
    # Looked up: an error may come after the commit.
    with suppress(UserError, OSError):
        (stored,) = collection.searcher.store.get([entry.item_id])
        if stored is None or stored.path != entry.path:
            forget_upload(collection.info.folder, entry)


def _forget_notes(notes: list[Path]) -> None:
    for note in notes:
        with suppress(OSError):  # the change itself is done
            note.unlink(missing_ok=True)


def unwritten(collection: Collection, error: UserError | OSError) -> Problem:
    """The error of a write: the request was checked before, so most often another process writes."""
    if isinstance(error, DamagedError):
        raise error
    log.error("collection %s: not changed: %s", collection.name, error)
    if isinstance(error, OSError) and error.errno in FULL:
        return Problem(507, "Not changed: the disk of this service is full.")
    if isinstance(error, (OSError, ReadOnlyError)):
        return Problem(503, "Not changed: the folder of this collection cannot be written.")
    if "being written by another" in str(error):
        return Problem(503, "Not changed: another process writes to it now.", headers={"retry-after": "5"})
    return Problem(503, "Not changed: this collection cannot be written; the service's log says why.")


def _item(request: Request, collection: Collection, entry: Entry) -> schemas.Item:
    address, query = address_of(request, collection, entry.item_id)
    return schemas.Item(**item_of(entry, address, query, state_of(request).hidden))


async def entry_of(collection: Collection, item_id: str) -> Entry:
    check_id(item_id)
    (entry,) = await in_thread(lambda: collection.searcher.store.get([item_id]))
    if entry is None:
        raise Problem(404, Message("item_gone"))
    return entry


async def _media(state: State, of: str | None, item_id: str) -> tuple[Entry, Path]:
    collection = state.collection(of)
    entry = await entry_of(collection, item_id)
    file = await in_thread(_given, state, collection, entry)
    if file is None:
        raise Problem(404, "The item has no file that this service gives.")
    return entry, file


def _given(state: State, collection: Collection, entry: Entry) -> Path | None:
    """The file of an entry, where it lies in a folder whose files may be given.

    An index names whatever file its makers wanted: what lies elsewhere, also by way of a link, stays there.
    """
    found, info = collection.searcher.media_file(entry), collection.info
    if found is None:
        return None
    try:
        file, media = found.resolve(), info.media_root
    except (OSError, RuntimeError):  # a link to itself
        return None
    roots = [info.folder / UPLOADS, *state.media_roots, *([media] if media else [])]
    if any(file.is_relative_to(root.resolve()) for root in roots):
        return file
    log.warning("%s of %s lies in no folder of --media-root: not given", entry.item_id, collection.name)
    return None


def _look(file: Path) -> tuple[os.stat_result, bytes]:
    """State and first bytes of a file. Raises OSError."""
    # Without waiting: a pipe that lies there now would keep this thread until somebody writes into it.
    how = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(file, how), "rb") as opened:
        state = os.fstat(opened.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise FileNotFoundError(errno.ENOENT, "no file")
        return state, opened.read(BEGIN)


def _unread(error: OSError, item_id: str) -> Problem:
    """The error of a file that is not there, or that this service cannot read now."""
    gone = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
    if isinstance(error, gone) or error.errno == errno.ELOOP:
        return Problem(404, "The item's file is not there.")
    log.error("the file of %s cannot be read: %s", item_id, error)
    return Problem(503, "The item's file cannot be read at the moment.")


def _drop_unknown_range(request: Request) -> None:
    """Let a range of other units than bytes count for nothing (RFC 9110, section 14.2)."""
    if request.headers.get("range", "bytes=").partition("=")[0].strip().lower() != "bytes":
        kept = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
        request.scope["headers"] = kept


def _is_media(begin: bytes) -> bool:
    """Tell if a file begins like a picture or a video: an index may also name a media folder that is none."""
    return _SIGN.match(begin) is not None


def _is_below(request: Request, name: str) -> bool:
    """Tell if `/media` is a part of the address of its own, not the end of an id with an encoded slash."""
    return path_sent(request).endswith(f"/{name}")


def check_whole(request: Request) -> None:
    """Raise Problem 405 for the address of a picture or an original, which is not changed by itself."""
    item_id = request.path_params["item_id"]
    if any(item_id.endswith(f"/{name}") and _is_below(request, name) for name in ("thumbnail", "media")):
        raise Problem(
            405, "Not changed: this is the address of an item's picture; / in an id is written as %2F."
        )


def written(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def check_id(item_id: str) -> None:
    """Raise Problem 404 for what no index takes as an id, or no address leads to."""
    if item_id in (".", ".."):
        raise Problem(404, "This is no id of an item: clients take it for a step within an address.")
    printable = not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in item_id)
    if not item_id or not printable or len(item_id.encode("utf-8", "replace")) > schemas.MAX_ID:
        raise Problem(404, "This is no id of an item: at most 512 bytes, without control characters.")


def _cursor(item_id: str) -> str:
    return base64.urlsafe_b64encode(item_id.encode()).decode().rstrip("=")


def _after(cursor: str | None) -> str:
    if not cursor:
        return ""
    with suppress(binascii.Error, ValueError):
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        after = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        if is_possible_id(after):
            return after
    raise Problem(422, "This is no cursor: pass next_cursor of the page before.")
