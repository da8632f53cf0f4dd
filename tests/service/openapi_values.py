"""Hooks of schemathesis: values of formats that the document names, as JSON Schema cannot describe them."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from PIL import Image
from tiny_videos import save_video

from dragoman.errors import UserError
from dragoman.languages import language
from dragoman.service import schemas

FIELDS = ("thing", "colour", "year", "loan", "kind", "item_id", '"a field"')
VALUES = ("car", "1999", "-2.5e3", "true", '"a \\"word\\""', "São", "x" * 30)
RELATIONS = ("=", "!=", "<", "<=", ">", " >= ")


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Leave out what schemathesis cannot judge.

    Bodies with bytes are never checked against their schema, so that a form which fits may count as one that
    must be refused: pictures of forms are texts below, and clips come in JSON alone. And every text counts as
    none of a format that is not known, among them the filter and the cursor that are empty.
    """
    if case.media_type == "multipart/form-data" and isinstance(case.body, dict) and "video" in case.body:
        return False
    changed = getattr(case.meta.phase.data, "mutations", ()) if case.meta else ()
    return not any("format" in one.keywords for one in changed)


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """Write a language for each code that is none: no pattern says which codes are languages."""
    queries = case.body.get("queries") if isinstance(case.body, dict) else None
    for asked in [case.body, *(queries if isinstance(queries, list) else [])]:
        if isinstance(asked, dict) and _is_none(asked.get("lang")):
            asked["lang"] = "pt-BR"
        captions = asked.get("captions") if isinstance(asked, dict) else None
        if isinstance(captions, dict):
            asked["captions"] = {"gl" if _is_none(tag) else tag: text for tag, text in captions.items()}
    if case.path_parameters and _is_none(case.path_parameters.get("lang")):
        case.path_parameters["lang"] = "gl"
    return case


def _is_none(tag: object) -> bool:
    if not isinstance(tag, str) or not re.fullmatch(schemas.LANGUAGE, tag):
        return False
    try:
        language(tag)
    except UserError:
        return True
    return False


def picture(format: str) -> bytes:
    """A file of a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (200, 30, 40)).save(file, format)
    return file.getvalue()


def clip(*colours: str) -> bytes:
    """A file of a short video."""
    with tempfile.TemporaryDirectory() as folder:
        return save_video(Path(folder) / "clip.mp4", colours).read_bytes()


def encoded(content: bytes) -> str:
    """The file as JSON has it."""
    return base64.b64encode(content).decode()


def cursor(item_id: str) -> str:
    """The cursor after this item."""
    return base64.urlsafe_b64encode(item_id.encode()).decode().rstrip("=")


fields, values = st.sampled_from(FIELDS), st.sampled_from(VALUES)
several = st.lists(values, min_size=1, max_size=3).map(", ".join)
filters = st.recursive(
    st.builds("{}{}{}".format, fields, st.sampled_from(RELATIONS), values)
    | st.builds("{} in ({})".format, fields, several),
    lambda inner: (
        st.builds("not ({})".format, inner)
        | st.builds("({} {} {})".format, inner, st.sampled_from(["and", "OR"]), inner)
    ),
    max_leaves=4,
)
schemathesis.openapi.format("filter", filters)
schemathesis.openapi.format("cursor", st.sampled_from(["000.jpg", "z", "ä/b"]).map(cursor))
pictures = [picture(format) for format in ("PNG", "JPEG", "GIF", "WEBP")]
schemathesis.openapi.format("image", st.sampled_from(pictures).map(encoded))
schemathesis.openapi.format("binary", st.sampled_from(["P3 1 1 9 9 0 0", "P3 2 1 9 9 0 0 0 9 0", "P1 1 1 0"]))
addresses = st.sampled_from(pictures).map(lambda file: f"data:image/png;base64,{encoded(file)}")
schemathesis.openapi.format("data-url", addresses)
clips = [clip("red"), clip("green", "blue")]
schemathesis.openapi.format("video", st.sampled_from(clips).map(encoded))
