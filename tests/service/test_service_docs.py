"""The page on the service says what the code does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from dragoman.service.access import KeyFile, new_key
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
    # HEAD is told once, for all of GET.
    served = {route for route in served if not route.startswith("HEAD ")}
    told = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)", PAGE))
    assert {route.replace("{id}", "{item_id}") for route in told} == served


def test_openapi_says_what_is_sent(service: Callable[..., TestClient], own_shelf: Path) -> None:
    client = service(own_shelf, allow_writes=True, limits={"max_batch": 7})
    described = client.get("/openapi.json").json()
    photo = {"image": (own_shelf.parent / "photos" / "001.jpg").read_bytes()}
    for method, path, asked in [
        ("get", "/v1/items/{item_id}/thumbnail", {}),
        ("get", "/v1/items/{item_id}/thumbnail", {"headers": {"accept": "image/webp"}}),
        ("get", "/v1/items/{item_id}/media", {}),
        ("get", "/v1/items/{item_id}", {}),
        ("get", "/v1/items", {}),
        ("get", "/v1/items", {"params": {"limit": "many"}}),
        ("get", "/v1/collections", {}),
        ("get", "/metrics", {}),
        ("get", "/healthz", {}),
        ("get", "/readyz", {}),
        ("post", "/v1/search", {"json": {"text": "a"}}),
        ("post", "/v1/search", {"json": {"text": ""}}),
        ("post", "/v1/search/batch", {"json": {"queries": [{"text": "a"}]}}),
        ("post", "/v1/search/batch", {"json": {"queries": [{"text": "a"}] * 8}}),
        ("post", "/v1/embeddings", {"json": {"input": "a"}}),
        ("put", "/v1/items/{item_id}", {"files": photo}),
        ("put", "/v1/items/{item_id}", {"files": photo}),
        ("delete", "/v1/items/{item_id}", {}),
        ("delete", "/v1/items/{item_id}", {}),
    ]:
        item_id = "001.jpg" if method == "get" else "new"
        answer = client.request(method.upper(), path.replace("{item_id}", item_id), **asked)
        responses = described["paths"][path][method]["responses"]
        told = responses.get(str(answer.status_code), responses.get(f"{answer.status_code // 100}XX"))
        assert told is not None, (method, path, answer.status_code)
        sent = answer.headers.get("content-type", "").partition(";")[0]
        assert sent in told.get("content", {"": None}), (method, path, sent)
    assert not any("422" in way["responses"] for ways in described["paths"].values() for way in ways.values())
    bodies = described["components"]["schemas"]
    assert bodies["BatchRequest"]["properties"]["queries"]["maxItems"] == 7
    assert bodies["EmbeddingsRequest"]["properties"]["input"]["anyOf"][1]["maxItems"] == 7
    assert bodies["SearchRequest"]["properties"]["text"]["maxLength"] == 1000
    assert "instance" in bodies["ProblemDetails"]["required"]
    assert bodies["EmbeddingsRequest"]["properties"]["dimensions"]["anyOf"][0]["enum"] == [256]
    asked = described["paths"]["/v1/search"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert asked["schema"] == {"$ref": "#/components/schemas/SearchForm"}
    form = bodies["SearchForm"]["properties"]
    assert form.keys() == bodies["SearchRequest"]["properties"].keys()
    assert (form["image"]["type"], form["image"]["format"]) == ("string", "binary")
    assert "null" not in str(form)


def test_openapi_says_what_needs_a_key(service: Callable[..., TestClient], tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {new_key(tmp_path / 'keys.txt')}"}
    keys = KeyFile(tmp_path / "keys.txt")

    def asking(**access: Any) -> set[str]:
        described = service(**access).get("/openapi.json", headers=headers).json()
        assert ("securitySchemes" in described["components"]) == ("keys" in access)
        ways = {
            f"{way} {path}": one for path, ways in described["paths"].items() for way, one in ways.items()
        }
        found = {name for name, one in ways.items() if one.get("security") == [{"key": []}]}
        heads = {name for name in found if name.startswith("head ")}
        assert heads == {name.replace("get", "head", 1) for name in found if name.startswith("get ")}
        return found - heads

    places = ("/v1/items/{item_id}", "/v1/items/{item_id}/captions/{lang}")
    changes = {f"{way} {place}" for way in ("put", "delete") for place in places}
    assert asking(allow_writes=True) == set()
    assert asking(keys=keys, public_search=True) == {*changes, "get /metrics"}
    everything = asking(keys=keys)
    assert len(everything) == 15
    assert not {"get /healthz", "get /readyz"} & everything


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
