"""Tools for assistants over the Model Context Protocol: an index is searched, and its pictures are shown."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Annotated, Any

import anyio
from mcp.server.fastmcp import FastMCP
from mcp.types import CallToolResult, ImageContent, TextContent, ToolAnnotations
from pydantic import Field

from dragoman.errors import MissingExtraError, UserError
from dragoman.index.entries import middle_of
from dragoman.languages import language_name
from dragoman.media.images import DECODING, ImageError
from dragoman.records import Entry
from dragoman.search import printing
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.service import thumbnails

SMALL, LARGE = 256, 1024
"""Longer side in pixels of the pictures of hits, and of an item that is shown."""
MOST = 50
"""Hits of one call: an assistant reads all of them, and each picture is a thousand words to it."""
INSTRUCTIONS = (
    "Pictures, videos and texts of a collection, found by what they show. Ask in the language of the person, "
    "and in their own words: do not translate the query."
)

Told = Annotated[
    str, Field(description="What is looked for, in any language; +word and -word add and subtract")
]
Lang = Annotated[str | None, Field(description="Language of the query (BCP 47); detected where not given")]
Count = Annotated[int, Field(ge=1, le=MOST, description="Hits at most")]
Condition = Annotated[
    str | None, Field(description="Condition on metadata, as in: year>=2010 and place in (Porto, Lisboa)")
]


def make_server(searcher: Searcher, port: int = 0) -> FastMCP:
    """Make the server of an open index. Its tools are `search_pictures`, `show_item` and `languages`; what a
    user can mend is an error of the tool, in one line. Over HTTP it listens on a `port` of this computer.
    """
    server = FastMCP("dragoman", INSTRUCTIONS, port=port, log_level="WARNING")
    tools = Tools(searcher)
    for tool in (tools.search_pictures, tools.show_item, tools.languages):
        server.add_tool(tool, annotations=ToolAnnotations(readOnlyHint=True))
    return server


class Tools:
    """The tools, over one searcher. Each works in a thread, so that others are answered meanwhile."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    async def search_pictures(
        self, query: Told, language: Lang = None, count: Count = 5, filter: Condition = None
    ) -> CallToolResult:
        """Search the collection; gives the best hits with captions, metadata, files and small pictures.

        `match` is false where probably nothing in the collection answers; `relevance` is the estimated
        probability that a hit does, null where it is not known.
        """
        asked = Query(text=query, lang=language, k=count, filter=filter)

        def work() -> CallToolResult:
            answer = self._searcher.search(asked)
            record = printing.as_record(self._searcher, asked, answer)
            pictures = [part for hit in answer.hits for part in self._picture(hit.entry, SMALL)]
            return _result(record, pictures)

        return await _answered(work)

    async def show_item(
        self, id: Annotated[str, Field(description="The item_id of a hit")]
    ) -> CallToolResult:
        """Show one item of the collection: its picture, larger, with captions and metadata."""

        def work() -> CallToolResult:
            (entry,) = self._searcher.store.get([id])
            if entry is None:
                raise UserError(f"The collection holds no item {id!r}. Give the item_id of a hit.")
            return _result(printing.of_entry(self._searcher, entry), self._picture(entry, LARGE))

        return await _answered(work)

    async def languages(self) -> CallToolResult:
        """Tell the languages that the model was trained on, and how many items the collection has.

        Queries in other languages are taken as well, and may be answered worse.
        """

        def work() -> CallToolResult:
            info = self._searcher.info
            trained = [{"code": code, "name": language_name(code)} for code in info.languages]
            items = self._searcher.store.count()
            return _result(
                {"trained": trained, "calibrated": info.calibration is not None, "items": items}, []
            )

        return await _answered(work)

    def _picture(self, entry: Entry, size: int) -> list[TextContent | ImageContent]:
        """The picture of an item under its id, or why it cannot be shown; nothing of a text."""
        if entry.kind == "text":
            return []
        named = TextContent(type="text", text=entry.item_id)
        if (file := self._searcher.media_file(entry)) is None:
            return []
        try:
            content = thumbnails.render(file, size, "jpeg", DECODING, middle_of(entry))
        except ImageError as error:
            return [TextContent(type="text", text=f"{entry.item_id}: not shown ({error.reason})")]
        except MissingExtraError as error:
            return [TextContent(type="text", text=f"{entry.item_id}: not shown ({error})")]
        data = base64.b64encode(content).decode()
        return [named, ImageContent(type="image", data=data, mimeType=thumbnails.FORMATS["jpeg"])]


async def _answered(work: Callable[[], CallToolResult]) -> CallToolResult:
    try:
        return await anyio.to_thread.run_sync(work)
    except UserError as error:
        return CallToolResult(content=[TextContent(type="text", text=str(error))], isError=True)


def _result(record: dict[str, Any], pictures: list[TextContent | ImageContent]) -> CallToolResult:
    text = TextContent(type="text", text=json.dumps(record, ensure_ascii=False))
    # Through JSON, as messages in it know more than their text.
    return CallToolResult(content=[text, *pictures], structuredContent=json.loads(text.text))
