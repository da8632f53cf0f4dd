from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from dragoman.records import Entry
from dragoman.search.query import Answer, Query, QueryLanguage
from dragoman.service.collection import summarise
from dragoman.service.metrics import Metrics


def samples(text: str) -> dict[str, float]:
    """Value by name and labels: `a_total{code="200"}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
            found[one.name + (f"{{{labels}}}" if labels else "")] = one.value
    return found


def test_metrics_count_requests_under_their_routes(
    service: Callable[..., TestClient],
) -> None:
    client = service()
    client.post("/v1/search", json={"text": "duas casas verdes", "lang": "pt"})
    client.post("/v1/search", json={"text": "dúas casas verdes", "lang": "gl"})
    client.post("/v1/search", json={"item_id": "001.jpg"})
    client.post("/v1/search", json={})
    client.get("/v1/items/001.jpg")
    client.get("/v1/items/002.jpg")
    client.get("/anything/at/all")
    client.request("BREW", "/v1/search")
    found = samples(client.get("/metrics").text)

    def requests(route: str, method: str, code: int) -> float:
        return found[f'dragoman_http_requests_total{{code="{code}",method="{method}",route="{route}"}}']

    assert requests("/v1/search", "POST", 200) == 3
    assert requests("/v1/search", "POST", 422) == 1
    assert requests("/v1/items/{item_id:path}", "GET", 200) == 2
    assert requests("other", "GET", 404) == 1
    assert requests("other", "other", 403) == 1
    assert found['dragoman_queries_total{lang="pt",modality="text"}'] == 1
    assert found['dragoman_queries_total{lang="other",modality="text"}'] == 1
    assert found['dragoman_queries_total{lang="none",modality="item"}'] == 1
    assert found['dragoman_search_stage_duration_seconds_count{stage="encode"}'] == 3
    assert found["dragoman_search_batch_queries_sum"] == 4  # the first one warmed the service up
    assert found['dragoman_index_items{collection="shelf"}'] == 36
    assert found['dragoman_index_size_bytes{collection="shelf"}'] > 36 * 256 * 4
    assert found['dragoman_model_info{model="run",revision="ffffffffffff"}'] == 1
    assert found["dragoman_http_requests_in_flight"] == 1
    assert found["process_resident_memory_bytes"] > 0
    assert any(name.startswith("dragoman_build_info{") for name in found)


def test_a_query_that_nothing_answers_is_counted_by_language() -> None:
    metrics = Metrics()
    language = QueryLanguage(code="pt", confidence=1.0, given=True, trained=True)
    for match in (False, True, None):
        answer = Answer(hits=(), language=language, match=match)
        metrics.answered(Query(text="a"), answer, ("pt",))
    found = samples(metrics.page().decode())
    assert found['dragoman_query_no_match_total{lang="pt"}'] == 1
    assert found['dragoman_queries_total{lang="pt",modality="text"}'] == 3


def test_a_collection_tells_its_model_and_the_fields_to_filter_by(client: TestClient) -> None:
    got = client.get("/v1/collections/shelf").json()
    assert (got["model"], got["revision"], got["width"]) == ("run", "f" * 12, 256)
    assert (got["items"], got["calibrated"], got["writable"]) == (36, False, False)
    assert got["key_for_changes"] is False
    assert got["languages"] == ["en", "es", "pt", "zh"]
    assert got["caption_languages"] == ["en", "pt", "es", "ar", "zh"]
    fields = {field["name"]: field for field in got["fields"]}
    assert fields["loan"]["values"] == [{"value": False, "count": 28}, {"value": True, "count": 8}]
    assert fields["year"] == {
        "name": "year",
        "type": "number",
        "items": 36,
        "values": None,
        "minimum": 1990,
        "maximum": 2025,
    }
    assert client.get("/v1/collections/maps").status_code == 404


def test_fields_are_summed_up_by_hand() -> None:
    rows: list[dict[str, Any]] = [
        {"n": 1, "tags": ("a", "b"), "mixed": 1},
        {"n": True, "tags": ("a",), "mixed": "x"},
        {"n": 1.0, "many": "v"},
    ]
    rows += [{"many": f"v{number}"} for number in range(30)]
    entries = [Entry(item_id=str(row), metadata=metadata) for row, metadata in enumerate(rows)]
    found = {field.name: field for field in summarise(entries).fields}
    assert [(v.value, v.count) for v in found["tags"].values or []] == [("a", 2), ("b", 1)]
    assert [(repr(v.value), v.count) for v in found["n"].values or []] == [("1", 2), ("True", 1)]
    assert [found[name].type for name in ("n", "tags", "mixed", "many")] == ["mixed", "text", "mixed", "text"]
    assert (found["many"].values, found["many"].items) == (None, 31)
    assert [field.name for field in summarise(entries).fields] == ["many", "n", "mixed", "tags"]


def test_openapi_describes_every_route_and_body(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert sorted(described["paths"]) == [
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/collections",
        "/v1/collections/{name}",
        "/v1/embeddings",
        "/v1/items",
        "/v1/items/{item_id}",
        "/v1/items/{item_id}/captions/{lang}",
        "/v1/items/{item_id}/media",
        "/v1/items/{item_id}/thumbnail",
        "/v1/search",
        "/v1/search/batch",
    ]
    schemas = described["components"]["schemas"]
    fields = {"text", "image", "video", "item_id", "collection", "filter", "lang", "channel", "k", "offset"}
    assert set(schemas["SearchRequest"]["properties"]) == fields | {"min_score", "moments"}
    references = set(re.findall(r"#/components/schemas/(\w+)", client.get("/openapi.json").text))
    assert references <= schemas.keys()


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_page_loads_from_another_host(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_values_of_one_item_that_python_takes_for_equal_are_each_counted() -> None:
    (found,) = summarise([Entry(item_id="a", metadata={"n": (1, True, "1", 1)})]).fields
    values = {repr(one.value): one.count for one in found.values or []}
    assert (values, found.type) == ({"1": 1, "True": 1, "'1'": 1}, "mixed")
