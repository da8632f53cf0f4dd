"""The page on the service says what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from starlette.testclient import TestClient

from dragoman.service.config import ServiceSettings
from dragoman.service.metrics import Metrics
from dragoman.settings import docs

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def test_the_table_of_limits_is_the_configuration() -> None:
    limits = ServiceSettings()
    expected = [(name, f"{getattr(limits, name):.10g}", said) for name, said in docs(ServiceSettings).items()]
    assert len(expected) == len(fields(ServiceSettings))
    table = PAGE.partition("## Limits")[2].partition("## Metrics")[0]
    assert re.findall(r"^\| `(\w+)` \| (\S+) \| (.*) \|$", table, re.MULTILINE) == expected


def test_the_routes_of_the_page_are_those_of_the_service(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    told = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)", PAGE))
    assert {route.replace("{id}", "{item_id}") for route in told} == served


def test_the_metrics_of_the_page_are_those_of_the_service(client: TestClient) -> None:
    named = {family.name for family in Metrics().registry.collect()} | {
        line.split()[2] for line in client.get("/metrics").text.splitlines() if line.startswith("# TYPE")
    }
    served = {name for name in named if name.startswith("dragoman_")}
    for name in re.findall(r"`(dragoman_\w+)`", PAGE.partition("## Metrics")[2]):
        assert name in served or f"{name}_info" in served, name
    told = set(re.findall(r"`(dragoman_\w+)`", PAGE))
    assert {name for name in served if not name.endswith(("_created",))} - told <= {
        name.removesuffix("_total") for name in told
    } | {"dragoman_build"}
