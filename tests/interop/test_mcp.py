"""`dragoman mcp` in a process of its own, asked by the client of the official SDK."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from shelf import make_shelf, open_shelf

from dragoman.search import printing
from dragoman.search.query import Query

pytest.importorskip("mcp", reason="the MCP SDK is not installed: make interop")
import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

STAND_IN = str(Path(__file__).parent.parent / "service" / "serve_shelf.py")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shelf(tmp_path_factory.mktemp("mcp"), items=12)


def asked(shelf: Path, talk: Callable[[ClientSession], Awaitable[Any]]) -> Any:
    """What a client gets that starts the server by itself."""

    async def session() -> Any:
        arguments = [STAND_IN, "mcp", str(shelf)]
        server = StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))
        async with stdio_client(server) as streams, ClientSession(*streams) as client:
            await client.initialize()
            return await talk(client)

    return anyio.run(session)


def pictures(result: CallToolResult) -> list[tuple[int, int]]:
    """The sizes of the pictures of an answer."""
    found = [part for part in result.content if part.type == "image"]
    assert all(part.mimeType == "image/jpeg" for part in found)
    return [Image.open(io.BytesIO(base64.b64decode(part.data))).size for part in found]


def test_an_assistant_finds_what_a_search_finds(shelf: Path) -> None:
    async def talk(client: ClientSession) -> Any:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        plain = await client.call_tool("search_pictures", {"query": "um carro vermelho"})
        some = {"query": "a tree", "language": "en", "count": 3, "filter": "year<1994"}
        narrow = await client.call_tool("search_pictures", some)
        shown = await client.call_tool("show_item", {"id": "003.jpg"})
        return tools, plain, narrow, shown, await client.call_tool("languages", {})

    tools, plain, narrow, shown, languages = asked(shelf, talk)
    assert {name: sorted(tool.inputSchema["properties"]) for name, tool in tools.items()} == {
        "search_pictures": ["count", "filter", "language", "query"],
        "show_item": ["id"],
        "languages": [],
    }
    assert all(tool.annotations.readOnlyHint for tool in tools.values())
    queries = [
        Query(text="um carro vermelho", k=5),
        Query(text="a tree", lang="en", k=3, filter="year<1994"),
    ]
    with open_shelf(shelf) as alone:
        for query, result in zip(queries, (plain, narrow), strict=True):
            expected = json.loads(printing.as_json(alone, query, alone.search(query)))
            found = result.structuredContent
            assert found.pop("seconds").keys() == expected.pop("seconds").keys()
            assert found == expected and len(found["hits"]) == query.k
            names = [part.text for part in result.content[1:] if part.type == "text"]
            assert names == [hit["item_id"] for hit in found["hits"]]
            assert len(pictures(result)) == query.k and max(max(pictures(result))) <= 256
        (entry,) = alone.store.get(["003.jpg"])
        assert shown.structuredContent == json.loads(json.dumps(printing.of_entry(alone, entry)))
        with Image.open(alone.media_file(entry)) as original:
            assert pictures(shown) == [original.size]
    assert languages.structuredContent == {
        "trained": [
            {"code": code, "name": name}
            for code, name in {
                "en": "English (en)",
                "es": "Spanish (es)",
                "pt": "Portuguese (pt)",
                "zh": "Chinese (zh)",
            }.items()
        ],
        "calibrated": False,
        "items": 12,
    }


def test_what_a_user_can_mend_is_one_error_of_the_tool(shelf: Path) -> None:
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("search_pictures", {"query": " "}, "Give a text"),
        (
            "search_pictures",
            {"query": "a", "filter": "year>>1"},
            "The filter stops making sense at character 6",
        ),
        ("search_pictures", {"query": "a", "language": "klingonese language"}, "klingonese language"),
        ("search_pictures", {"query": "a", "count": 51}, "less than or equal to 50"),
        ("show_item", {"id": "../../etc/passwd"}, "holds no item '../../etc/passwd'"),
    ]

    async def talk(client: ClientSession) -> Any:
        return [await client.call_tool(name, arguments) for name, arguments, _ in calls]

    for (_, _, told), result in zip(calls, asked(shelf, talk), strict=True):
        assert result.isError and len(result.content) == 1
        assert told in result.content[0].text
        assert "Traceback" not in result.content[0].text


def test_the_same_tools_answer_over_http(shelf: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, STAND_IN, "mcp", str(shelf), "--port", str(port)]

    async def talk(url: str) -> Any:
        async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as client:
            await client.initialize()
            return await client.call_tool("search_pictures", {"query": "a red car", "count": 2})

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url == f"http://127.0.0.1:{port}/mcp"
            while process.poll() is None:
                with socket.socket() as tried:
                    if tried.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            result = anyio.run(talk, url)
        finally:
            process.kill()
    with open_shelf(shelf) as alone:
        expected = [hit.entry.item_id for hit in alone.search("a red car", k=2).hits]
    assert [hit["item_id"] for hit in result.structuredContent["hits"]] == expected


def test_a_picture_that_is_gone_leaves_the_hit(shelf: Path) -> None:
    (shelf.parent / "photos" / "011.jpg").rename(shelf.parent / "gone.jpg")

    async def talk(client: ClientSession) -> Any:
        return await client.call_tool("show_item", {"id": "011.jpg"})

    result = asked(shelf, talk)
    assert not result.isError and result.structuredContent["item_id"] == "011.jpg"
    assert [part.text for part in result.content[1:]] == ["011.jpg: not shown (no such file)"]
