"""Collections (open indexes under names), what the routes know of them, and work off the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from fastapi import Request

from dragoman.errors import UserError
from dragoman.folders import can_write
from dragoman.index.uploads import finish_changes, has_changes
from dragoman.messages import Message
from dragoman.records import Entry, Scalar
from dragoman.search.query import Answer, Query
from dragoman.service import schemas
from dragoman.service.batching import Batcher
from dragoman.service.config import ServiceSettings
from dragoman.service.metrics import Gauges, Metrics
from dragoman.service.problems import Problem, first_sentence
from dragoman.service.threads import Slots, in_thread
from dragoman.service.thumbnails import Thumbnails
from dragoman.stores import Filter, Store, parse
from dragoman.stores.filters import compared_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from dragoman.index.folder import IndexInfo
    from dragoman.search.searcher import Searcher
    from dragoman.speech.recogniser import Recogniser

log = logging.getLogger(__name__)

FEW = 24
"""Values that are listed; a field with more of them is not for choosing from a list."""
MOST_FIELDS = 50
KIND = "kind"
"""Field of every item that tells pictures from texts."""
PAGE = 1000


class Collection:
    """A searcher under a name, with its queries and texts gathered into batches."""

    def __init__(
        self,
        name: str,
        searcher: Searcher,
        config: ServiceSettings,
        metrics: Metrics,
        hidden: AbstractSet[str] = frozenset(),
    ) -> None:
        """Fields that are `hidden` are not among the facets."""
        self.name = name
        self.searcher = searcher
        self.folder = searcher.info.folder
        self.languages = tuple(searcher.info.languages)
        """Languages that the model was trained on, as of the last search."""
        self.widths = searcher.widths
        """Widths that the model's vectors can have, as of the last search or text."""
        self._translates = _translates(searcher.info)
        self.facets = Facets(limit=config.facet_items, seconds=config.facet_seconds, hidden=hidden)
        self._worked = metrics.batched
        wait = config.batch_wait_ms / 1000
        self.queries: Batcher[Query, Answer] = Batcher(
            self._answers, size=config.batch_size, wait=wait, worked=metrics.batched
        )
        self.texts: Batcher[str, NDArray[np.float32]] = Batcher(
            self._vectors, size=config.batch_size, wait=wait
        )
        self.pictures: Batcher[Image, NDArray[np.float32]] = Batcher(
            self._vectors_of_pictures, size=config.batch_size, wait=wait
        )

    @property
    def info(self) -> IndexInfo:
        """The manifest of the index as it is now. Raises Problem 503 where it cannot be opened."""
        try:
            return self.searcher.info
        except (UserError, OSError) as error:
            # Nothing that was asked is at fault, and the reason names folders.
            log.error("collection %s: %s", self.name, error)
            raise Problem(503, Message("collection_unavailable", name=self.name)) from None

    @property
    def model(self) -> str:
        """Name of its model: the folder's, without the way there."""
        return Path(self.info.model).name

    def gauges(self) -> Gauges:
        """Size and model, for the metrics."""
        store = self.searcher.store
        return Gauges(store.count(), store.size(), self.model, self.info.fingerprint[:12])

    def answer(self, query: Query) -> Answer:
        """The answer to one query that others should not wait for."""
        self._worked(1)
        (found,) = self._answers([query])
        return found

    async def translated(self, query: Query, seconds: float) -> float:
        """Wait for the translation of a query's text, where its language is asked so, at most so long; return
        for how long. Other queries are answered meanwhile, and this one with what has come by then.

        Raises UserError for a query that makes no sense.
        """
        if not (self._translates and query.text and query.channel == "best"):
            return 0.0
        begun = time.monotonic()
        futures = await in_thread(self.searcher.begin_translations, query)
        if not futures:
            return 0.0
        # Not cancelled where the client goes: the next one may ask the same.
        await asyncio.wait([asyncio.wrap_future(one) for one in futures], timeout=seconds)
        return time.monotonic() - begun

    def _answers(self, queries: list[Query]) -> list[Answer]:
        self._note_model()
        return self.searcher.search_many(queries)

    def _vectors(self, texts: list[str]) -> list[NDArray[np.float32]]:
        self._note_model()
        return list(self.searcher.encode_text(texts))

    def _vectors_of_pictures(self, images: list[Image]) -> list[NDArray[np.float32]]:
        self._note_model()
        return list(self.searcher.encode_image(images))

    def _note_model(self) -> None:
        info = self.info
        self.languages, self.widths = tuple(info.languages), self.searcher.widths
        self._translates = _translates(info)

    def finish_changes(self) -> None:
        """Remove uploaded files of changes that a kill cut off: somebody asked for their deletion."""
        if not can_write(self.folder):
            log.warning("collection %s: its folder cannot be written, so it takes no changes", self.name)
            return
        if not has_changes(self.searcher.info.folder):
            return
        try:
            with self.searcher.writing() as opened:
                removed = finish_changes(opened.info.folder, opened.store)
            log.info("collection %s: removed %d uploads of changes that were cut off", self.name, removed)
        except (UserError, OSError) as error:
            # A process that writes now does it itself, at its own start.
            log.warning("collection %s: uploads that were cut off stay for now: %s", self.name, error)

    def close(self) -> None:
        """Finish what was asked and close the index."""
        self.queries.close()
        self.texts.close()
        self.pictures.close()
        self.searcher.close()


def _translates(info: IndexInfo) -> bool:
    """Tell if an index asks texts of some language through translations."""
    return "channels" in (info.calibration or {})


def filter_of(text: str | None) -> Filter | None:
    """The filter that a request gives. Raises Problem 422."""
    if not text or not text.strip():
        return None
    try:
        found = parse(text)
    except UserError as error:
        raise Problem(422, first_sentence(error), said=Message("filter_unread")) from None
    if "path" in compared_fields(found):
        # Comparisons could spell out, letter by letter, where the files of this computer lie.
        raise Problem(422, "path is not a field that this service filters by.")
    return found


@dataclass(frozen=True)
class Summary:
    """Fields and languages among the first `read` entries."""

    fields: list[schemas.MetadataField]
    languages: list[str]
    """Languages of captions, the most frequent first."""
    read: int


class Facets:
    """The summary of an index, remembered for a while. For the event loop, which it never makes wait."""

    def __init__(self, *, limit: int, seconds: float, hidden: AbstractSet[str] = frozenset()) -> None:
        self._limit, self._hidden = limit, hidden
        self._seconds = seconds
        self._changes = 0
        self._kept: tuple[int, float, Summary] | None = None
        self._reading: asyncio.Task[tuple[int, Summary]] | None = None

    async def of(self, store: Callable[[], Store]) -> Summary:
        """Read the index unless that was done lately."""
        asked = self._changes
        while True:
            if self._kept and self._kept[0] == asked and time.monotonic() - self._kept[1] <= self._seconds:
                return self._kept[2]
            # Of many who ask at once, one reads and all others wait for its answer, without a thread each.
            if self._reading is None:
                self._reading = asyncio.create_task(self._read(store))
            seen, found = await asyncio.shield(self._reading)
            # One that began before the last change may lack it.
            if seen >= asked:
                return found

    async def _read(self, store: Callable[[], Store]) -> tuple[int, Summary]:
        seen = self._changes
        try:
            found = await in_thread(lambda: summarise(_first(store(), self._limit), self._hidden))
            self._kept = (seen, time.monotonic(), found)
            return seen, found
        finally:
            self._reading = None

    def forget(self) -> None:
        """Read the index anew at the next call, since it has changed."""
        self._changes += 1


@dataclass
class _Seen:
    items: int = 0
    values: Counter[tuple[type, Scalar]] = field(default_factory=Counter)
    types: set[str] = field(default_factory=set)
    numbers: list[float] = field(default_factory=list)

    def add(self, values: tuple[Scalar, ...]) -> None:
        self.items += 1
        # Each once; but True, which equals 1 in Python, is another value to a filter.
        for kind, value in {(bool if isinstance(value, bool) else object, value) for value in values}:
            if len(self.values) <= FEW:
                self.values[kind, value] += 1
            self.types.add(_type(value))
            if _type(value) == "number":
                low_high = [*self.numbers, float(value)]
                self.numbers = [min(low_high), max(low_high)]


def summarise(entries: Iterable[Entry], hidden: AbstractSet[str] = frozenset()) -> Summary:
    """The fields of entries that are not hidden, those that most of them have first; before all others their
    kind, where there are several."""
    seen: dict[str, _Seen] = {}
    languages: Counter[str] = Counter()
    kinds = _Seen()
    read = 0
    for entry in entries:
        read += 1
        languages.update(entry.captions.keys())
        kinds.add((entry.kind,))
        for name, value in schemas.shown_fields(entry, hidden):
            if name in seen or len(seen) < MOST_FIELDS:
                seen.setdefault(name, _Seen()).add(value if isinstance(value, tuple) else (value,))
    ordered = sorted(seen.items(), key=lambda item: (-item[1].items, item[0]))
    # Metadata of that name hide it from filters.
    if len(kinds.values) > 1 and KIND not in seen and KIND not in hidden:
        ordered = [(KIND, kinds), *ordered]
    return Summary(
        [_field(name, one) for name, one in ordered], [lang for lang, _ in languages.most_common()], read
    )


def _field(name: str, seen: _Seen) -> schemas.MetadataField:
    numeric = seen.types == {"number"}
    few = len(seen.values) <= FEW
    counts = sorted(seen.values.items(), key=lambda item: (-item[1], str(item[0][1])))
    return schemas.MetadataField(
        name=name,
        type=next(iter(seen.types)) if len(seen.types) == 1 else "mixed",  # type: ignore[arg-type]
        items=seen.items,
        values=[schemas.FieldValue(value=v, count=count) for (_, v), count in counts] if few else None,
        minimum=seen.numbers[0] if numeric else None,
        maximum=seen.numbers[1] if numeric else None,
    )


def _type(value: Scalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _first(store: Store, limit: int) -> Iterator[Entry]:
    after, left = "", limit
    while left > 0:
        page = store.scan(after, min(PAGE, left))
        yield from page
        if len(page) < min(PAGE, left):
            return
        after, left = page[-1].item_id, left - len(page)


@dataclass(frozen=True)
class State:
    """State of one application, for its lifetime."""

    collections: Mapping[str, Collection]
    """The first one is the default."""
    config: ServiceSettings
    metrics: Metrics
    thumbnails: Thumbnails
    decoding: Slots
    """Images that are decoded or held decoded at once, and videos that are read."""
    hearing: Slots
    """Sounds whose words are recognised at once."""
    writable: bool
    recogniser: Recogniser | None = None
    key_for_changes: bool = False
    hidden: AbstractSet[str] = frozenset()
    """Fields of metadata that answers leave out; filters may name them."""
    media_roots: tuple[Path, ...] = ()
    """Folders whose files may be given, beside those of the collections."""
    damaged: list[list[IndexInfo]] = field(default_factory=list)
    """The indexes as they were when one was found to be damaged, at most once."""

    def note_damage(self) -> None:
        """Be not ready from now on, until one of the indexes is made anew."""
        # Sound rows are answered with all the same: each is checked as it is read.
        with suppress(Problem):  # one that cannot even be opened is told by `readyz` as it is
            self.damaged[:] = [[one.info for one in self.collections.values()]]

    def is_damaged(self) -> bool:
        """Tell if damage was found in the indexes as they are now."""
        return self.damaged == [[one.info for one in self.collections.values()]]

    def collection(self, name: str | None) -> Collection:
        """The collection of this name. Raises Problem 404."""
        if name is None:
            return next(iter(self.collections.values()))
        if name not in self.collections:
            raise Problem(404, Message("collection_unknown", known=", ".join(self.collections)))
        return self.collections[name]


def state_of(request: Request) -> State:
    """The state of the application that a request came to."""
    found: State = request.app.state.service
    return found


def address_of(request: Request, collection: Collection, item_id: str) -> tuple[str, str]:
    """Path of an item on this service, and the query that names its collection."""
    root = request.scope.get("root_path", "").rstrip("/")
    default = collection is state_of(request).collection(None)
    query = "" if default else "?" + urlencode({"collection": collection.name})
    return f"{root}/v1/items/{quote(item_id, safe='')}", query
