"""A stand-in for a Qdrant server: its REST interface over the client library's own store, with a key."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

KEY = "s3cret-key"
KEY_NAME = "DRAGOMAN_TEST_QDRANT_KEY"


class Asked(NamedTuple):
    """One request."""

    action: str
    """Method and the path after the collection: `PUT/points`."""
    name: str
    path: str
    headers: dict[str, str]
    body: Any


class Stand(ThreadingHTTPServer):
    """The server; it remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        from qdrant_client import QdrantClient

        super().__init__(("127.0.0.1", 0), Handler)
        self.store = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.lock = threading.Lock()
        self.seen: list[Asked] = []

    def refusal(self, action: str) -> int | None:
        """The status to refuse a request with; a test puts its own in this place."""
        return None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Stand
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        path = urlsplit(self.path).path
        _, _, name, *rest = path.split("/")
        action = "/".join([self.command, *rest])
        self.server.seen.append(Asked(action, name, self.path, dict(self.headers), body))
        if self.headers.get("api-key") != KEY:
            return self._send(403, {"status": {"error": "forbidden"}})
        refused = self.server.refusal(action)
        if refused is not None:
            return self._send(refused, {"status": {"error": f"broken {action}"}})
        with self.server.lock:
            try:
                result = answer(self.server.store, action, name, body)
            except ValueError as error:
                return self._send(404, {"status": {"error": str(error)}})
        return self._send(200, {"result": result, "status": "ok", "time": 0.0})

    def _send(self, status: int, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def answer(store: Any, action: str, name: str, body: Any) -> object:
    """What the server answers to a request on a collection."""
    from qdrant_client import models

    def plain(value: Any) -> Any:
        return value.model_dump(mode="json", exclude_none=True)

    match action:
        case "GET/exists":
            return {"exists": store.collection_exists(name)}
        case "PUT":
            asked = models.CreateCollection(**body)
            return store.create_collection(name, vectors_config=asked.vectors)
        case "GET":
            return plain(store.get_collection(name))
        case "DELETE":
            return store.delete_collection(name)
        case "PUT/index":
            return {"operation_id": 0, "status": "completed"}
        case "PUT/points":
            return plain(store.upsert(name, models.PointsList(**body).points))
        case "POST/points/payload":
            change = models.SetPayload(**body)
            return plain(store.set_payload(name, change.payload, change.filter or change.points))
        case "POST/points/delete":
            chosen = (models.FilterSelector if "filter" in body else models.PointIdsList)(**body)
            return plain(store.delete(name, chosen))
        case "POST/points":
            wanted = models.PointRequest(**body)
            found = store.retrieve(name, wanted.ids, wanted.with_payload, wanted.with_vector)
            return [plain(record) for record in found]
        case "POST/points/scroll":
            page = models.ScrollRequest(**body)
            records, offset = store.scroll(
                name, page.filter, page.limit, None, page.offset, page.with_payload, page.with_vector
            )
            return {"points": [plain(record) for record in records], "next_page_offset": offset}
        case "POST/points/count":
            return plain(store.count(name, models.CountRequest(**body).filter))
        case "POST/points/query":
            query = models.QueryRequest(**body)
            return plain(
                store.query_points(
                    name,
                    query.query,
                    query_filter=query.filter,
                    limit=query.limit,
                    with_payload=query.with_payload,
                    with_vectors=query.with_vector,
                )
            )
    raise ValueError(f"{action} is not served")


@contextmanager
def stand() -> Iterator[Stand]:
    pytest.importorskip("qdrant_client")
    server = Stand()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def settings() -> Iterator[dict[str, Any]]:
    os.environ[KEY_NAME] = KEY
    with stand() as server:
        yield {"url": server.url, "api_key_env": KEY_NAME}
