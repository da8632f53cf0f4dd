"""Shapes of requests and answers; OpenAPI is made from them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.fields import FieldInfo

from dragoman.languages import canonical_tag
from dragoman.records import KINDS, Entry, Hit, Kind
from dragoman.records import Value as Stored
from dragoman.search.answering import MAX_HITS
from dragoman.search.query import Answer, ChannelName, QueryChannel, Unjudged
from dragoman.stores.checks import MAX_NAME_BYTES

# Language, script, region, variants. Other spellings are taken as well, of which no pattern could list all.
LANGUAGE = (
    r"^[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*$"
)
MAX_FIELDS = 100
MAX_VALUES = 100
"""Values of one field of metadata."""
MAX_TEXT = 10_000
"""Characters of one text of metadata or one caption."""
MAX_ASKED = 1_000_000
"""Characters of a query or filter that are looked at, where the service's own limits were set higher."""
MAX_ID = 512

_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
_LINES = r"\x00-\x1f\x7f-\x9f"
PRINTABLE = f"^[^{_CONTROL}]*$"
TYPED = rf"^[^{_CONTROL}\x80-\x84\x86-\x9f]*$"
"""A text that the parser of queries takes."""
# `\s` of JSON Schema lacks one of the blanks of `str.strip`.
SPOKEN = r"[^\s\x85]"
"""A text that is more than blanks."""


def _told(**keywords: Any) -> FieldInfo:
    """Say in OpenAPI what is checked by other means, whose errors say more clearly what is wrong."""
    found: FieldInfo = Field(json_schema_extra=keywords)
    return found


def _printable(text: str) -> str:
    if re.search(f"[{_CONTROL}]", text):
        raise ValueError("control characters are not allowed")
    return text


def _plain(name: str) -> str:
    """One line, as every store wants the name of a field."""
    if re.search(f"[{_LINES}]", name):
        raise ValueError("control characters are not allowed")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise ValueError(f"at most {MAX_NAME_BYTES} bytes are stored")
    return name


def _language(tag: str) -> str:
    canonical_tag(tag)
    return tag


def _in_one_form(captions: dict[str, str]) -> dict[str, str]:
    """The texts under the one form of their tags in which an index keeps them."""
    found = {canonical_tag(tag): text for tag, text in captions.items()}
    if len(found) < len(captions):
        raise ValueError("two captions are in the same language")
    return found


def _few(fields: Any) -> Any:
    # Before each is looked at: what is told of each takes longer than all else.
    if isinstance(fields, dict) and len(fields) > MAX_FIELDS:
        raise ValueError(f"at most {MAX_FIELDS} are stored, not {len(fields):,}")
    return fields


def _whole(value: Any) -> Any:
    """JSON has one kind of numbers: 10.0 is 10."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _bounded(value: Scalar) -> Scalar:
    # The same for 1e20 and its 21 digits, which JSON takes for one number.
    if not isinstance(value, str) and not -(2**63) <= value < 2**63:
        raise ValueError("numbers must fit into 64 bits")
    return value


Printable = Annotated[str, AfterValidator(_printable), _told(pattern=PRINTABLE)]
Text = Annotated[Printable, Field(max_length=MAX_ASKED)]
Spoken = Annotated[Text, _told(allOf=[{"pattern": SPOKEN}])]
QueryText = Annotated[Text, _told(pattern=TYPED)]
Speech = Annotated[str, _told(format="speech")]
Image = Annotated[str, _told(format="image")]
Video = Annotated[str, _told(format="video")]
DataUrl = Annotated[str, _told(format="data-url")]
FilterText = Annotated[str, Field(max_length=MAX_ASKED), AfterValidator(_printable), _told(format="filter")]
Whole = Annotated[int, BeforeValidator(_whole)]
Tag = Annotated[
    str, Field(max_length=100, description="BCP 47"), AfterValidator(_language), _told(pattern=LANGUAGE)
]
ItemId = Annotated[Printable, Field(min_length=1, max_length=MAX_ID)]
Name = Annotated[Printable, Field(min_length=1, max_length=100)]
FieldName = Annotated[
    str, Field(min_length=1, max_length=100), AfterValidator(_plain), _told(pattern=f"^[^{_LINES}]*$")
]
Long = Annotated[Printable, Field(max_length=MAX_TEXT)]
Scalar = Long | bool | int | float
_SCALAR: dict[str, Any] = {
    "type": ["string", "boolean", "number"],
    "maxLength": MAX_TEXT,
    "pattern": PRINTABLE,
    "minimum": -(2**63),
    "exclusiveMaximum": 2**63,
}
_VALUE = _SCALAR | {
    "type": [*_SCALAR["type"], "array"],
    "items": _SCALAR,
    "minItems": 1,
    "maxItems": MAX_VALUES,
}
Checked = Annotated[Scalar, AfterValidator(_bounded)]
Values = Annotated[list[Checked], Field(min_length=1, max_length=MAX_VALUES, fail_fast=True)]
Value = Annotated[Checked | Values, WithJsonSchema(_VALUE)]
Metadata = Annotated[
    dict[FieldName, Value],
    Field(max_length=MAX_FIELDS),
    BeforeValidator(_few),
    _told(additionalProperties=False),
]
Captions = Annotated[
    dict[Tag, Long],
    Field(max_length=MAX_FIELDS),
    BeforeValidator(_few),
    AfterValidator(_in_one_form),
    _told(additionalProperties=False),
]


# Indexes of before, and tables of metadata, name files by absolute paths. "/Europe/Portugal" is none.
_ROOTS = "Users|Volumes|bin|data|etc|home|media|mnt|nfs|opt|private|root|run|srv|tmp|usr|var|work|workspace"
_FILE = re.compile(rf"(?:file:)?//?(?:{_ROOTS})/|file:|[A-Za-z]:[\\/]|\\\\")


class Request(BaseModel):
    """A body that is exactly this: no further fields, no text for a number, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    json_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that are written as JSON in a form, where everything is a text."""
    # Once read, a value takes some 100 bytes, and an error at it more.
    most_values: ClassVar[int] = 20_000
    """Values that a body is read with, more than any that fits may hold."""


_GIVEN: list[Any] = [
    {"required": [name], "properties": {name: {"type": "string"} | more}}
    for name, more in {
        **{"text": {"pattern": SPOKEN}, "speech": {}, "image": {}, "video": {}, "item_id": {}}
    }.items()
]
"""Parts of a search, of which it must have one."""


class SearchRequest(Request):
    """A text, typed or spoken, an image, a video, an item of the collection, or several of them together."""

    model_config = ConfigDict(json_schema_extra={"anyOf": _GIVEN})
    json_fields = frozenset({"k", "offset", "min_score", "moments"})
    most_values = 100

    text: QueryText = Field("", description="In any language; `+word` and `-word` add and subtract")
    speech: Speech | None = Field(
        None, description="The text as somebody says it: base64 of a sound file; in a form, the file itself"
    )
    image: Image | None = Field(None, description="Base64 of an image file; in a form, the file itself")
    video: Video | None = Field(None, description="Base64 of a video file; in a form, the file itself")
    item_id: ItemId | None = Field(None, description="More like this one")
    collection: Name | None = Field(None, description="Default: the first one")
    k: Whole = Field(10, ge=1, description="Hits at most")
    offset: Whole = Field(0, ge=0, le=MAX_HITS, description="Hits to pass over: those that were shown before")
    lang: Tag | None = Field(None, description="Language of the text; detected where not given")
    filter: FilterText | None = Field(None, description="As in: year>=2010 and place in (Porto, Lisboa)")
    min_score: float | None = Field(None, ge=-1, le=1, description="Hits of a lower relevance are left out")
    channel: Literal["best", "direct"] = Field(
        "best",
        description="direct: at once, with the text alone, also where its language is asked better through a "
        "translation",
    )
    moments: bool = Field(False, description="Every moment of a video, not its best one alone")


class BatchRequest(Request):
    """Several queries, answered in their order."""

    queries: list[SearchRequest] = Field(min_length=1, fail_fast=True)


class TextPart(Request):
    """A text, as a part of a message has it in OpenAI's API."""

    type: Literal["text"]
    text: Spoken


class ImageAddress(Request):
    """An image within its address."""

    url: DataUrl = Field(
        description="data:image/png;base64,… with the file; nothing is fetched from elsewhere"
    )
    detail: Literal["auto", "low", "high"] = Field("auto", description="Ignored")


class ImagePart(Request):
    """An image, as a part of a message has it in OpenAI's API."""

    type: Literal["image_url"]
    image_url: ImageAddress


class EmbeddingsRequest(Request):
    """The request of OpenAI's embeddings API, with images beside texts."""

    input: Spoken | Annotated[list[Spoken | TextPart | ImagePart], Field(fail_fast=True)] = Field(
        description="One text, or several texts and images; token numbers are not taken"
    )
    model: Name | None = Field(None, description="A collection, whose model is used. Default: the first one")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Whole | None = Field(
        None, ge=1, description="A width that the model was trained to have as well, or its own"
    )
    user: str | None = Field(None, description="Ignored")


def _image_or_text(schema: dict[str, Any]) -> None:
    # A form gives the image beside the fields, so that the model itself does without.
    for name in ("image", "text", "lang"):
        del schema["properties"][name]["default"]
    absent: dict[str, Any] = {"text": {"maxLength": 0}, "lang": {"type": "null"}}
    told = {"image": {"maxLength": 0}, "text": {"pattern": SPOKEN}, "lang": {"type": "string"}}
    schema["oneOf"] = [
        {"required": ["image"], "properties": absent},
        {"required": ["text", "lang"], "properties": told},
    ]


class ItemRequest(Request):
    """An image, or a text, to add or to replace under an id."""

    model_config = ConfigDict(json_schema_extra=_image_or_text)
    json_fields = frozenset({"metadata", "captions"})

    image: Image = Field("", description="Base64 of an image file; in a form, the file itself")
    text: Long = Field("", description="In the place of an image: the text that the item is, its title first")
    lang: Tag | None = Field(None, description="Language of that text")
    metadata: Metadata = Field(default_factory=dict)
    captions: Captions = Field(default_factory=dict)


class CaptionRequest(Request):
    """A caption that a person writes."""

    most_values = 100

    text: Annotated[Long, _told(allOf=[{"pattern": SPOKEN}])]


class Caption(BaseModel):
    """The caption of an item in one language."""

    lang: str
    text: str
    role: Literal["human", "mt"]
    corrected: bool = Field(description="Whether it is a correction, which can be taken back")
    translation: str | None = Field(description="What a machine wrote, where it corrects that")


class Item(BaseModel):
    """An item of a collection."""

    item_id: str
    kind: Kind = Field(description=" or ".join(KINDS))
    lang: str | None = Field(
        description="Of a text, the language whose first caption is the item itself; else null"
    )
    metadata: dict[str, Any]
    captions: dict[str, str] = Field(description="The first text of each language")
    more_captions: dict[str, list[str]] = Field(description="Further texts in these languages, in order")
    caption_roles: dict[str, Literal["human", "mt"]] = Field(
        description="Whether people wrote the texts of a language, or a machine translated them"
    )
    thumbnail: str | None = Field(description="Path of its thumbnail on this service; null of a text")
    media: str | None = Field(description="Path of the original on this service; null of a text")


class Found(Item):
    """A hit."""

    score: float = Field(description="Cosine of query and item")
    relevance: float | None = Field(description="Estimated probability that it answers; null if not judged")


class SpokenLanguage(BaseModel):
    """The language of a query."""

    code: str
    confidence: float
    given: bool
    trained: bool = Field(description="Whether the model was trained on captions in it")


class HeardWords(BaseModel):
    """Words that were understood of a query that was spoken."""

    text: str
    language: str | None = Field(description="BCP 47; null where the recogniser does not tell")
    confidence: float = Field(description="Probability of the language; 1 where it was given")
    given: bool


class AskedChannel(BaseModel):
    """The channel through which a text was asked."""

    name: ChannelName
    best: ChannelName = Field(
        description="The best one of its language; where it is another, ask again for better hits"
    )
    weight: float = Field(description="Of the translation; the text has the rest")
    engine: str | None = Field(description="Of the best channel")
    translation: str | None = Field(description="What was asked with")


class Code(BaseModel):
    """The code of a message and what it tells of, for programs that speak other languages than English."""

    code: str
    arguments: dict[str, Any]


class SearchResponse(BaseModel):
    """The answer to one query."""

    collection: str
    hits: list[Found]
    language: SpokenLanguage | None
    heard: HeardWords | None = Field(description="Null for a query that was not spoken")
    channel: AskedChannel | None = Field(description="Null for a query without text")
    match: bool | None = Field(description="False: nothing here is likely to answer; null if not judged")
    unjudged: Unjudged | None = Field(description="Why hits have no relevance; null if they have")
    warnings: list[str] = Field(description="In English")
    warning_codes: list[Code] = Field(description="Of each warning, by which the page says it otherwise")
    seconds: dict[str, float]


class BatchResponse(BaseModel):
    """Answers in the order of the queries."""

    answers: list[SearchResponse]


class Embedding(BaseModel):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens of the texts as the model cuts them, or their words where it does not tell; images have none."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """The response of OpenAI's embeddings API."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class ItemPage(BaseModel):
    """Some items, by id, and where the next page begins."""

    items: list[Item]
    next_cursor: str | None
    total: int | None = Field(description="Items that pass the filter; null but on the first page")


class FieldValue(BaseModel):
    """A value of a field, and how many items have it."""

    value: str | bool | int | float
    count: int


class MetadataField(BaseModel):
    """A field that filters can use."""

    name: str
    type: Literal["text", "number", "boolean", "mixed"]
    items: int = Field(description="Items that have it, of those that were read")
    values: list[FieldValue] | None = Field(description="All of them where they are few, most frequent first")
    minimum: float | None = None
    maximum: float | None = None


class Status(BaseModel):
    """The state of the service, in a word."""

    status: Literal["ok", "ready"]


class FieldError(BaseModel):
    """A field of a request that does not fit."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="Names the request as the service's log does")
    code: str = Field(description="What happened, for programs that speak other languages than English")
    arguments: dict[str, Any] = Field(default_factory=dict, description="What the detail tells of")
    errors: list[FieldError] = Field(default_factory=list)


class CollectionSummary(BaseModel):
    """A collection in the list of all."""

    name: str
    items: int


class CollectionChannel(BaseModel):
    """The channel through which texts of a language are asked, and the engine that was measured."""

    name: ChannelName
    engine: str


class Hearing(BaseModel):
    """Speech that this service understands."""

    languages: list[str] | None = Field(description="Null where that cannot be told")
    max_seconds: float


class CollectionDetails(CollectionSummary):
    """A collection, its model and its metadata."""

    model: str
    revision: str
    width: int
    languages: list[str] = Field(description="Those that the model was trained on")
    calibrated: bool = Field(description="Whether hits have a relevance")
    channels: dict[str, CollectionChannel] = Field(description="By language, where an engine was measured")
    speech: Hearing | None = Field(description="Null where this service understands no speech")
    writable: bool = Field(description="Whether this service takes changes at all")
    key_for_changes: bool = Field(description="Whether they need a key")
    caption_languages: list[str]
    fields: list[MetadataField]
    fields_read_from: int = Field(description="Items that were read to find the fields")


class CollectionList(BaseModel):
    """All collections, the default one first."""

    collections: list[CollectionSummary]


def shown_fields(entry: Entry, hidden: Collection[str]) -> Iterator[tuple[str, Stored]]:
    """Yield the metadata of an entry, without fields that the house hides, and without values that tell where
    files of a computer lie."""
    for name, value in entry.metadata.items():
        values = value if isinstance(value, tuple) else (value,)
        if name not in hidden and not any(isinstance(one, str) and _FILE.match(one) for one in values):
            yield name, value


def item_of(entry: Entry, address: str, query: str, hidden: Collection[str]) -> dict[str, Any]:
    """The fields of `Item`; `address` is the path of the item, `query` what must follow it, `hidden` are
    fields of metadata that are left out."""
    return {
        "item_id": entry.item_id,
        "kind": entry.kind,
        "lang": entry.lang,
        "metadata": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in shown_fields(entry, hidden)
        },
        "captions": dict(entry.captions),
        "more_captions": {lang: list(texts) for lang, texts in entry.more_captions.items()},
        "caption_roles": entry.caption_roles,
        "thumbnail": None if entry.kind == "text" else f"{address}/thumbnail{query}",
        "media": None if entry.kind == "text" else f"{address}/media{query}",
    }


def found_of(hit: Hit, address: str, query: str, hidden: Collection[str]) -> dict[str, Any]:
    """The fields of `Found`, as of `item_of`."""
    return item_of(hit.entry, address, query, hidden) | {"score": hit.score, "relevance": hit.relevance}


def language_of(answer: Answer) -> SpokenLanguage | None:
    """The language of a query, as answers tell it."""
    spoken = answer.language
    if spoken is None:
        return None
    return SpokenLanguage(
        code=spoken.code, confidence=spoken.confidence, given=spoken.given, trained=spoken.trained
    )


def heard_of(answer: Answer) -> HeardWords | None:
    """The words of a query that was spoken, as answers tell them."""
    if (heard := answer.heard) is None:
        return None
    return HeardWords(
        text=heard.text, language=heard.language, confidence=heard.confidence, given=heard.given
    )


def channel_of(channel: QueryChannel | None) -> AskedChannel | None:
    """The channel of a query, as answers tell it."""
    return None if channel is None else AskedChannel(**asdict(channel))
