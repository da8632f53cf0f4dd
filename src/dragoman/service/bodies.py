"""Bodies of requests: strict JSON, or a form with a file."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Generic, NamedTuple, TypeVar

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.datastructures import UploadFile

from dragoman.service import schemas
from dragoman.service.problems import Problem, field_errors
from dragoman.service.threads import in_thread

Model = TypeVar("Model", bound=schemas.Request)
MEDIA = ("image", "video")
"""Fields that hold a file: base64 of it in JSON."""
MAX_PARTS = 20
MAX_PART = 1 << 20
"""Limits of a form, apart from its file: parts, and bytes of each."""
LARGE = 100_000
"""Bytes of a body from which on it is worked on in a thread."""
DECODED_AT_ONCE = 1 << 20
"""Characters of base64: while some are decoded, no other thread goes on, nor does the event loop."""
_OTHERS = bytes(set(range(256)) - set(b'",'))


def holds_too_much(content: bytes, most: int) -> bool:
    """Tell if JSON has more than `most` values, in a few passes and without reading it."""
    # Quotes that end no text go first. Commas in texts count for nothing, and those are between quotes.
    signs = content.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS)
    if signs.count(b'"') > 4 * most:
        return True
    # One before each value but the first of its list or object. Pydantic bounds how deep those are nested.
    return b"".join(signs.split(b'"')[::2]).count(b",") > most


class Body(NamedTuple, Generic[Model]):
    """A request's body, and the bytes of its files."""

    asked: Model
    image: bytes | None
    video: bytes | None


async def read(request: Request, model: type[Model]) -> Body[Model]:
    """The body as `model`. Raises Problem: 400 for what cannot be read, 415, 422 for what does not fit."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        content = await request.body()
        if len(content) < LARGE:
            return _of_content(model, content)
        return await in_thread(_of_content, model, content)
    if media_type == "multipart/form-data" and media_fields(model):
        return await _form(request, model)
    raise Problem(
        415,
        "Expected Content-Type: application/json"
        + (" or multipart/form-data." if media_fields(model) else "."),
    )


def _of_content(model: type[Model], content: bytes) -> Body[Model]:
    if holds_too_much(content, model.most_values):
        raise Problem(422, f"The body holds more than {model.most_values:,} values.")
    return of_json(_validated(model, content))


def of_json(asked: Model) -> Body[Model]:
    """A body of JSON with its files decoded. Raises Problem 422."""
    return Body(asked, *(_decoded(name, getattr(asked, name, None)) for name in MEDIA))


def media_fields(model: type[schemas.Request]) -> list[str]:
    """Names of the files that a body may hold."""
    return [name for name in MEDIA if name in model.model_fields]


def _decoded(name: str, encoded: str | None) -> bytes | None:
    if encoded is None:
        return None
    try:
        parts = [
            base64.b64decode(encoded[start : start + DECODED_AT_ONCE], validate=True)
            for start in range(0, len(encoded), DECODED_AT_ONCE)
        ]
    except (binascii.Error, ValueError):
        raise Problem(422, f"{name} is not base64.") from None
    # Only the last part may be padded.
    if any(len(part) != DECODED_AT_ONCE // 4 * 3 for part in parts[:-1]):
        raise Problem(422, f"{name} is not base64.")
    return b"".join(parts)


def _validated(model: type[Model], content: bytes | dict[str, Any]) -> Model:
    try:
        if isinstance(content, bytes):
            return model.model_validate_json(content)
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        if found[0]["type"] == "json_invalid":
            raise Problem(400, "The body is not JSON.", errors=field_errors(found)) from None
        raise Problem(422, "The body does not fit.", errors=field_errors(found)) from None


async def _form(request: Request, model: type[Model]) -> Body[Model]:
    media = media_fields(model)
    async with request.form(max_files=len(media), max_fields=MAX_PARTS, max_part_size=MAX_PART) as form:
        fields: dict[str, Any] = {}
        files: dict[str, bytes | None] = {}
        for name, value in form.multi_items():
            if name in fields or name in files:
                raise Problem(422, "The form has a field twice.")
            if isinstance(value, UploadFile):
                if name not in media:
                    raise Problem(422, f"A file of the form must be in the field {' or '.join(media)}.")
                files[name] = await value.read()
            elif name in media:
                files[name] = _decoded(name, value)
            else:
                fields[name] = _from_form(model, name, value)
    return Body(_validated(model, fields), *map(files.get, MEDIA))


def _from_form(model: type[schemas.Request], name: str, value: str) -> Any:
    if name not in model.json_fields:
        return value
    if holds_too_much(value.encode("utf-8", "surrogatepass"), model.most_values):
        raise Problem(422, f"The field {name} of the form holds more than {model.most_values:,} values.")
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError:
        raise Problem(422, f"The field {name} of the form is not JSON.") from None
