"""A collection: one open index, with its queries and texts gathered into batches."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.errors import UserError
from dragoman.search.query import Answer, Query
from dragoman.service.batching import Batcher
from dragoman.service.config import ServiceConfig
from dragoman.service.facets import Facets
from dragoman.service.metrics import Gauges, Metrics
from dragoman.service.problems import Problem
from dragoman.stores import Filter, parse
from dragoman.stores.filters import compared_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dragoman.index.folder import IndexInfo
    from dragoman.search.searcher import Searcher

log = logging.getLogger(__name__)


class Collection:
    """A searcher under a name, with its queries and texts gathered into batches."""

    def __init__(self, name: str, searcher: Searcher, config: ServiceConfig, metrics: Metrics) -> None:
        self.name = name
        self.searcher = searcher
        self.languages = tuple(searcher.info.languages)
        """Languages that the model was trained on, as of the last search."""
        self.facets = Facets(limit=config.facet_items, seconds=config.facet_seconds)
        self._worked = metrics.batched
        wait = config.batch_wait_ms / 1000
        self.queries: Batcher[Query, Answer] = Batcher(
            self._answers, size=config.batch_size, wait=wait, worked=metrics.batched
        )
        self.texts: Batcher[str, NDArray[np.float32]] = Batcher(
            self._vectors, size=config.batch_size, wait=wait
        )

    @property
    def info(self) -> IndexInfo:
        """The manifest of the index as it is now. Raises Problem 503 where it cannot be opened."""
        try:
            return self.searcher.info
        except (UserError, OSError) as error:
            # Nothing that was asked is at fault, and the reason names folders.
            log.error("collection %s: %s", self.name, error)
            raise Problem(503, f"The collection {self.name} cannot be searched at the moment.") from None

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

    def _answers(self, queries: list[Query]) -> list[Answer]:
        self.languages = tuple(self.info.languages)
        return self.searcher.search_many(queries)

    def _vectors(self, texts: list[str]) -> list[NDArray[np.float32]]:
        _ = self.info
        return list(self.searcher.encode_text(texts))

    def close(self) -> None:
        """Finish what was asked and close the index."""
        self.queries.close()
        self.texts.close()
        self.searcher.close()


def filter_of(text: str | None) -> Filter | None:
    """The filter that a request gives. Raises UserError or Problem 422."""
    if not text or not text.strip():
        return None
    found = parse(text)
    if "path" in compared_fields(found):
        # Comparisons could spell out, letter by letter, where the files of this computer lie.
        raise Problem(422, "path is not a field that this service filters by.")
    return found
