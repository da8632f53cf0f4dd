"""Endpoints on 127.0.0.1 whose answers a test decides: of chats, vectors of texts, words of sounds."""

from __future__ import annotations

import email
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Answer = tuple[int, str]
"""Status and content: of a chat the text of the assistant for 200, and the whole body for anything else."""
Requests = list[dict[str, Any]]
"""Body, path and headers of each request."""
WIDTH = 12


def capitals(request: dict[str, Any]) -> Answer:
    """Translates by writing capitals, numbers kept."""
    return 200, request["messages"][-1]["content"].upper()


def vector(text: str) -> list[float]:
    """A bag of words, each a draw of its own, and one component that is never 0."""
    words = [np.random.default_rng(zlib.crc32(word.encode())).standard_normal(WIDTH) for word in text.split()]
    return np.append(sum(words, np.zeros(WIDTH)), 1.0).tolist()


def embeddings(request: dict[str, Any]) -> Answer:
    """The vectors, in an order of the server's own, as the protocol leaves it free."""
    data = [{"index": at, "embedding": vector(text)} for at, text in enumerate(request["input"])]
    return 200, json.dumps({"object": "list", "data": data[::-1], "model": request["model"]})


def chat_server(
    answer: Callable[[dict[str, Any]], Answer],
) -> AbstractContextManager[tuple[str, Requests]]:
    """Yield the base URL and the requests so far; an answer is what the assistant says."""

    def said(request: dict[str, Any]) -> Answer:
        status, content = answer(request)
        if status == 200:
            content = json.dumps({"choices": [{"message": {"content": content}}]})
        return status, content

    return post_server(said)


def _form(content: bytes, kind: str) -> dict[str, Any]:
    """Read the fields of a form, files among them."""
    whole = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + content)
    fields = {part.get_param("name", header="content-disposition"): part for part in whole.get_payload()}
    return {
        str(name): part.get_payload(decode=True) if part.get_filename() else part.get_payload()
        for name, part in fields.items()
    }


@contextmanager
def post_server(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[tuple[str, Requests]]:
    """Yield the base URL and the list of requests, to which each adds its body (JSON, or the fields of a
    form), path and headers."""
    requests: Requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content, kind = self.rfile.read(int(self.headers["Content-Length"])), self.headers["Content-Type"]
            body = _form(content, kind) if kind.startswith("multipart/") else json.loads(content)
            requests.append({"body": body, "path": self.path, "headers": dict(self.headers)})
            status, content = answer(body)
            data = content.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(BrokenPipeError):
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
