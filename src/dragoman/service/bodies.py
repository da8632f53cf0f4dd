"""Bodies of requests: strict JSON, or a form with a file."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from dragoman.service import schemas
from dragoman.service.problems import Problem, field_errors
from dragoman.service.threads import in_turn

Model = TypeVar("Model", bound=schemas.Request)
MEDIA = {"speech": "audio/*", "image": "image/*", "video": "video/*"}
"""Fields that hold a file, and its type: base64 of it in JSON."""
MAX_PARTS = 20
MAX_PART = 1 << 20
"""Limits of a form, apart from its file: parts, and bytes of each."""
LARGE = 100_000
"""Bytes of a body from which on it is worked on in a thread."""
DECODED_AT_ONCE = 1 << 20
"""Characters of base64: while some are decoded, no other thread goes on, nor does the event loop."""
SCANNED_AT_ONCE = 1 << 18
"""Bytes of JSON whose signs are counted at once, for the same reason."""
MAX_BESIDE = 3_000_000
"""Bytes of JSON beside its files, for the same reason: they are read at once."""
_OTHERS = bytes(set(range(256)) - set(b'",'))
_FILE = re.compile(
    rb'"(?:(?:speech|image|video)"\s{0,9}:\s{0,9}"|url"\s{0,9}:\s{0,9}"data:image\\?/[\w.+-]{1,40};base64,)'
)
_LONGEST_FIELD = 90
DATA_URL = re.compile(r"data:image/[\w.+-]{1,40};base64,", re.ASCII)
"""The beginning of an address that holds an image itself (RFC 2397)."""
# The signs of base64 that encoders of JSON escape.
_ESCAPES = {rf"\u{ord(sign):04{form}}".encode(): sign.encode() for sign in "+/=" for form in "xX"}
_ESCAPES[rb"\/"] = b"/"


def holds_too_much(content: bytes, most: int) -> bool:
    """Tell if JSON has more than `most` values, in a few passes and without reading it."""
    quotes, commas, in_text, left = 0, 0, False, b""
    for start in range(0, len(content), SCANNED_AT_ONCE):
        piece = left + content[start : start + SCANNED_AT_ONCE]
        # Of backslashes at its end only whether their number is odd matters to what follows.
        kept = piece.rstrip(b"\\")
        left = b"\\" * ((len(piece) - len(kept)) % 2)
        # Quotes that end no text go first. Commas in texts count for nothing, and those are between quotes.
        signs = kept.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS)
        quotes += signs.count(b'"')
        if quotes > 4 * most:
            return True
        # One before each value but the first of its list or object. Pydantic bounds how deep they nest.
        commas += b"".join(signs.split(b'"')[in_text::2]).count(b",")
        if commas > most:
            return True
        in_text = quotes % 2 == 1
    return False


def _without_files(content: bytes) -> tuple[bytes, dict[str, bytes | None]]:
    """Put a name in the place of each file in JSON; give the files by name, None for what is not base64.

    Raises Problem 413 where too much is left to be read at once.
    """
    spans = list(_long_files(content))
    # Nobody can give such a name. Where a text belongs it is refused, as the file would be: it is too long.
    secret = secrets.token_hex(16)
    names = [f"{secret}{number}".ljust(schemas.MAX_TEXT + 1, "-") for number in range(len(spans))]
    if len(content) - sum(end - begin for begin, end in spans) + sum(map(len, names)) > MAX_BESIDE:
        raise Problem(413, f"Beside its files, the body holds more than {MAX_BESIDE / 1e6:g} MB of JSON.")
    kept, files, at = list[bytes](), dict[str, bytes | None](), 0
    for name, (begin, end) in zip(names, spans, strict=True):
        kept += [content[at:begin], name.encode()]
        files[name], at = _from_base64(_unescaped(content, begin, end)), end
    return b"".join([*kept, content[at:]]), files


def _long_files(content: bytes) -> Iterator[tuple[int, int]]:
    """Tell where files in JSON begin and end which are longer than any text."""
    at = beside = 0
    while at < len(content) and beside <= MAX_BESIDE:
        found = _FILE.search(content, at, at + SCANNED_AT_ONCE + _LONGEST_FIELD)
        begin = found.end() if found else at + SCANNED_AT_ONCE
        beside += begin - at
        at = begin
        # A quote within a text has a backslash before it: without one, this is a field, or no JSON.
        if found and content[found.start() - 1 : found.start()] != b"\\":
            end = content.find(b'"', begin)
            if end - begin > schemas.MAX_TEXT and content[end - 1 : end] != b"\\":
                yield begin, end
                at = end


def _unescaped(content: bytes, begin: int, end: int) -> Iterator[bytes]:
    """Give the base64 in a text of JSON in pieces."""
    while begin < end:
        until = min(begin + DECODED_AT_ONCE, end)
        if until < end and (cut := content.rfind(b"\\", until - 5, until)) > begin:
            until = cut
        piece = content[begin:until]
        if b"\\" in piece:
            for escaped, sign in _ESCAPES.items():
                piece = piece.replace(escaped, sign)
        yield piece
        begin = until


def _from_base64(pieces: Iterable[bytes]) -> bytes | None:
    """Decode pieces of base64; None where they are not base64."""
    found, left, ended = list[bytes](), b"", False
    for piece in pieces:
        joined = left + piece
        whole = len(joined) // 4 * 4
        left = joined[whole:]
        if ended and joined:
            return None
        try:
            found.append(base64.b64decode(joined[:whole], validate=True))
        except binascii.Error:
            return None
        # Only the end may be padded, and only by two, which Python does not look at.
        padded = whole // 4 * 3 - len(found[-1])
        if padded > 2:
            return None
        ended = padded > 0
    return None if left else b"".join(found)


class Body(NamedTuple, Generic[Model]):
    """A request's body, and the bytes of its files."""

    asked: Model
    speech: bytes | None
    image: bytes | None
    video: bytes | None
    files: Mapping[str, bytes | None] = {}
    """Further ones, by the name that stands in their place."""


async def read(request: Request, model: type[Model]) -> Body[Model]:
    """The body as `model`. Raises Problem: 400 for what cannot be read, 415, 422 for what does not fit."""
    # Unpacked, a small body could be of any size.
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        said = f"The body is packed as {coding[:40]!r}. Send it as it is, without Content-Encoding."
        raise Problem(415, said, headers={"accept-encoding": "identity"})
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        content = await request.body()
        if len(content) < LARGE:
            return _of_content(model, content)
        return await in_turn(_of_content, model, content)
    if media_type == "multipart/form-data" and media_fields(model):
        return await _form(request, model)
    raise Problem(
        415,
        "Expected Content-Type: application/json"
        + (" or multipart/form-data." if media_fields(model) else "."),
    )


def _of_content(model: type[Model], content: bytes) -> Body[Model]:
    content, files = _without_files(content)
    if holds_too_much(content, model.most_values):
        raise Problem(422, f"The body holds more than {model.most_values:,} values.")
    return of_json(_validated(model, content), files)


def of_json(asked: Model, files: Mapping[str, bytes | None]) -> Body[Model]:
    """A body of JSON with its files, also those for which a name stands. Raises Problem 422."""
    speech, image, video = (_decoded(name, getattr(asked, name, None), files) for name in MEDIA)
    return Body(asked, speech, image, video, files)


def image_in(address: str, files: Mapping[str, bytes | None]) -> bytes:
    """The image file that an address holds. Raises Problem 422 for an address that would have to be fetched,
    and for what is not base64."""
    begin = DATA_URL.match(address)
    if begin is None:
        raise Problem(
            422,
            "An image is taken from its address alone, data:image/png;base64,… with the file in base64: "
            "this service fetches nothing.",
        )
    found = _decoded("The image of an address", address[begin.end() :], files)
    assert found is not None
    return found


def media_fields(model: type[schemas.Request]) -> list[str]:
    """Names of the files that a body may hold."""
    return [name for name in MEDIA if name in model.model_fields]


def _decoded(name: str, encoded: str | None, files: Mapping[str, bytes | None]) -> bytes | None:
    if encoded is None:
        return None
    at = range(0, len(encoded), DECODED_AT_ONCE)
    pieces = (encoded[begin : begin + DECODED_AT_ONCE].encode() for begin in at)
    found = files[encoded] if encoded in files else _from_base64(pieces)
    if found is None:
        raise Problem(422, f"{name} is not base64.")
    return found


def _validated(model: type[Model], content: bytes | dict[str, Any]) -> Model:
    try:
        if isinstance(content, bytes):
            read = model.model_validate_json(content)
            _require_once(content)
            return read
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        if found[0]["type"] == "json_invalid":
            raise Problem(400, "The body is not JSON.", errors=field_errors(found)) from None
        raise Problem(422, "The body does not fit.", errors=field_errors(found)) from None


def _require_once(content: bytes | str) -> None:
    """Raise Problem 422 where an object of JSON that can be read has a name twice, whose last would count."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
            raise Problem(
                422, "The body has a field twice.", errors=[{"field": name[:100], "message": "given twice"}]
            )
        return found

    json.loads(content, object_pairs_hook=once)


async def _form(request: Request, model: type[Model]) -> Body[Model]:
    media = media_fields(model)
    fields: dict[str, Any] = {}
    files: dict[str, bytes | None] = {}
    async with _parts(request, len(media)) as form:
        for raw, value in form.multi_items():
            name = _text(raw, "A name")
            if name in fields or name in files:
                raise Problem(422, "The form has a field twice.")
            if isinstance(value, UploadFile):
                if name not in media:
                    raise Problem(422, f"A file of the form must be in the field {' or '.join(media)}.")
                fields[name], files[name] = "", await value.read()
            elif name in media:
                fields[name], files[name] = "", _decoded(name, value, {})
            else:
                fields[name] = _from_form(model, name, _text(value, f"The field {name[:100]}"))
    speech, image, video = map(files.get, MEDIA)
    return Body(_validated(model, fields), speech, image, video)


class _Parser(MultiPartParser):
    """Notes the end of a form: without it, its last field is passed over in silence."""

    ended = False

    def on_end(self) -> None:
        self.ended = True


@asynccontextmanager
async def _parts(request: Request, files: int) -> AsyncIterator[FormData]:
    """The parts of a form, its texts as Latin-1, which holds whatever bytes they are."""
    # Forms are UTF-8 (RFC 7578), and another charset would be looked up among all of Python's codecs. Of two
    # that are named the last one counts.
    headers = Headers({"content-type": f"{request.headers['content-type']}; charset=latin-1"})
    limits = {"max_files": files, "max_fields": MAX_PARTS, "max_part_size": MAX_PART}
    parser = _Parser(headers, request.stream(), **limits)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, error.message) from None
    try:
        if not parser.ended:
            raise Problem(400, "The form ends before its last boundary.")
        yield form
    finally:
        await form.close()


def _text(latin: str, what: str) -> str:
    try:
        return latin.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Problem(400, f"{what} of the form is not UTF-8.") from None


def _from_form(model: type[schemas.Request], name: str, value: str) -> Any:
    if name not in model.json_fields:
        return value
    if holds_too_much(value.encode(), model.most_values):
        raise Problem(422, f"The field {name} of the form holds more than {model.most_values:,} values.")
    try:
        found = from_json(value, allow_inf_nan=False)
    except ValueError:
        raise Problem(422, f"The field {name} of the form is not JSON.") from None
    _require_once(value)
    return found
