"""Counters and times for Prometheus, whose labels have few values."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import NamedTuple, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.search.query import Answer, Query

log = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
ELSEWHERE = "other"
"""Label of what is none of the known routes, methods, languages."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Gauges(NamedTuple):
    """Size and model of a collection as they are now."""

    items: int
    bytes: int
    model: str
    revision: str


class Gauged(Protocol):
    """A collection, as far as it is measured."""

    def gauges(self) -> Gauges: ...


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        # A second series for each, that says when it began, tells nothing here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "dragoman_http_requests",
            "Requests that were answered.",
            ["route", "method", "code"],
            registry=registry,
        )
        self.durations = Histogram(
            "dragoman_http_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "dragoman_http_requests_in_flight", "Requests that are being answered.", registry=registry
        )
        self.stages = Histogram(
            "dragoman_search_stage_duration_seconds",
            "Stages of a query: encode and search, of its whole batch; its translation; and its recognition.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batches = Histogram(
            "dragoman_search_batch_queries",
            "Queries that were worked on together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.queries = Counter(
            "dragoman_queries", "Queries that were answered.", ["lang", "modality"], registry=registry
        )
        self.no_match = Counter(
            "dragoman_query_no_match",
            "Queries that nothing is likely to answer.",
            ["lang"],
            registry=registry,
        )
        Info("dragoman_build", "This dragoman.", registry=registry).info({"version": version("dragoman")})
        ProcessCollector(registry=registry)

    def batched(self, count: int) -> None:
        """A batch of so many queries was begun."""
        self.batches.observe(count)

    def answered(self, query: Query, answer: Answer, languages: tuple[str, ...]) -> None:
        """A query was answered; `languages` are those that have a label of their own."""
        lang = _lang(answer, languages)
        self.queries.labels(lang, _modality(query, answer)).inc()
        if answer.match is False:
            self.no_match.labels(lang).inc()
        for stage in ("encode", "search", "translate", "hear"):
            if stage in answer.seconds:
                self.stages.labels(stage).observe(answer.seconds[stage])

    def watch(self, collections: Mapping[str, Gauged]) -> None:
        """Report size and model of collections whenever the metrics are read."""
        self.registry.register(_Collections(collections))

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class Observed:
    """Counts and times every request, under the route that answered it."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, code = self.clock(), 500

        async def noting(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, noting)
        finally:
            self.metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", ELSEWHERE)
            method = scope["method"] if scope["method"] in METHODS else ELSEWHERE
            self.metrics.requests.labels(route, method, str(code)).inc()
            self.metrics.durations.labels(route).observe(self.clock() - begun)


class _Collections(Collector):
    def __init__(self, collections: Mapping[str, Gauged]) -> None:
        self.collections = collections

    def collect(self) -> Iterable[Metric]:
        items = GaugeMetricFamily("dragoman_index_items", "Items of a collection.", labels=["collection"])
        size = GaugeMetricFamily("dragoman_index_size_bytes", "On the disk.", labels=["collection"])
        model = GaugeMetricFamily("dragoman_model_info", "1 for each model.", labels=["model", "revision"])
        models: set[tuple[str, str]] = set()
        for name, one in self.collections.items():
            try:
                now = one.gauges()
            except Exception as error:
                # Of all others the monitors shall know, and of this one that it is missing.
                log.error("collection %s: %s", name, error)
                continue
            items.add_metric([name], now.items)
            size.add_metric([name], now.bytes)
            models.add((now.model, now.revision))
        for labels in sorted(models):
            model.add_metric(labels, 1)
        return [items, size, model]


def _lang(answer: Answer, languages: tuple[str, ...]) -> str:
    if answer.language is None:
        return "none"
    return answer.language.code if answer.language.code in languages else ELSEWHERE


def _modality(query: Query, answer: Answer) -> str:
    if query.item_id is not None:
        return "item"
    said = "text" if answer.heard is None else "speech"
    parts = {said: query.text, "image": query.image, "video": query.video}
    return "_".join(name for name, part in parts.items() if part) or "text"
