"""Malformed requests and files against a running service: each must get a 4xx, and none may show a path.

    dragoman serve index/ --allow-writes
    python benchmarks/search/hostile.py http://127.0.0.1:8000/ --secret "$PWD" --out hostile.md

The requests are made from a seed and sent over bare sockets: a decent client would repair some of them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import random
import socket
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from PIL import Image

from dragoman.pipelines.computer import commit_and_computer

SECRETS = ("Traceback", "site-packages", 'File "', ".py")
"""Words that no answer may hold, whatever was asked."""
JSON = "application/json"


class Request(NamedTuple):
    """Bytes as they go over the socket, and the kind of malice."""

    kind: str
    content: bytes


class Answer(NamedTuple):
    """Status (0: none came) and everything that was sent."""

    status: int
    content: bytes


def requests(count: int, seed: int) -> Iterator[Request]:
    """The first `count` malformed requests of a seed, every kind in its turn."""
    draws = random.Random(seed)
    for number in range(count):
        make = KINDS[number % len(KINDS)]
        yield Request(make.__name__, make(draws))


def send(host: str, port: int, content: bytes) -> Answer:
    """The answer to one request on a connection of its own."""
    with socket.create_connection((host, port), timeout=60) as connection:
        # The service may refuse before everything was sent; what it said counts.
        with contextlib.suppress(OSError):
            connection.sendall(content)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
    line = received.split(b"\r\n", 1)[0].split()
    return Answer(int(line[1]) if len(line) > 1 and line[0] == b"HTTP/1.1" else 0, received)


def faults(answer: Answer, secrets: Sequence[str]) -> list[str]:
    """Complaints about the answer to a malformed request."""
    found = [] if 400 <= answer.status < 500 else [f"status {answer.status}"]
    return found + [f"shows {one!r}" for one in (*SECRETS, *secrets) if one.encode() in answer.content]


def http(method: str, path: str | bytes, body: bytes = b"", media_type: str = JSON, more: str = "") -> bytes:
    where = path if isinstance(path, bytes) else path.encode()
    head = f"Host: 127.0.0.1\r\nConnection: close\r\nContent-Type: {media_type}\r\n{more}"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    return method.encode() + b" " + where + b" HTTP/1.1\r\n" + head.encode("latin-1") + body


def valid(draws: random.Random) -> tuple[str, dict[str, object]]:
    """A route and a body that would be answered."""
    search: dict[str, object] = {"text": "um cão a correr", "k": 3, "lang": "pt", "min_score": 0.1}
    return draws.choice(
        [
            ("/v1/search", search),
            ("/v1/search/batch", {"queries": [search, {"text": "dog"}]}),
            ("/v1/embeddings", {"input": ["a", "b"], "encoding_format": "float"}),
        ]
    )


def torn_json(draws: random.Random) -> bytes:
    path, body = valid(draws)
    text = json.dumps(body).encode()
    return http("POST", path, text[: draws.randrange(len(text))])


def dirty_json(draws: random.Random) -> bytes:
    path, body = valid(draws)
    text = json.dumps(body).encode()
    at = draws.randrange(1, len(text))
    dirt = draws.choice([b"\x00", b"\xff", b"\x1f", b"\xed\xa0\x80", b"\xc0\xaf"])
    return http("POST", path, text[:at] + dirt + text[at:])


def wrong_types(draws: random.Random) -> bytes:
    path, body = valid(draws)
    field = draws.choice(list(body))
    junk = draws.choice([{}, {"a": 1}, [[]], [None], -(10**30), "\x00", "x" * 2000, [1.5], True])
    if path == "/v1/search" and field == "text" and junk == "x" * 2000:
        return http("POST", path, json.dumps({"text": "y" * 5000}).encode())
    return http("POST", path, json.dumps(body | {field: junk}).encode())


def not_a_number(draws: random.Random) -> bytes:
    value = draws.choice(["NaN", "Infinity", "-Infinity", "1e999", "0x10", "01", "1.", "+1"])
    return http("POST", "/v1/search", f'{{"text": "a", "min_score": {value}}}'.encode())


def deep_json(draws: random.Random) -> bytes:
    depth = draws.choice([1_000, 10_000, 200_000])
    opening = draws.choice(['{"text":', "[", '{"queries":['])
    return http("POST", draws.choice(["/v1/search", "/v1/search/batch"]), opening.encode() * depth)


def unknown_fields(draws: random.Random) -> bytes:
    name = draws.choice(["url", "image_url", "__class__", "model_path", "constructor", "\u202etxet"])
    return http("POST", "/v1/search", json.dumps({"text": "a", name: "http://127.0.0.1:1/"}).encode())


def long_query(draws: random.Random) -> bytes:
    letter = draws.choice(["a", "狗", "🦊", "ا", "\u0301", " a", "-a "])
    field = draws.choice(["text", "filter"])
    return http(
        "POST",
        "/v1/search",
        json.dumps({"text": "a"} | {field: letter * 1_000_000}, ensure_ascii=False).encode(),
    )


def bad_filter(draws: random.Random) -> bytes:
    text = draws.choice(
        [
            "year>",
            "(" * 1500,
            "not " * 400,
            "year>=1 and",
            '"',
            "a in (",
            "a=1 or or b=2",
            "'; DROP TABLE items--",
            "path>=a",
            'not "path" in (a)',
            "a in ()",
            "year>=1e999",
        ]
    )
    return http("POST", "/v1/search", json.dumps({"text": "a", "filter": text}).encode())


def bad_base64(draws: random.Random) -> bytes:
    junk = draws.choice(["?", "====", "data:image/png;base64,AAAA", "aGVsbG8=" * 1000, "\u00e9"])
    return http("POST", "/v1/search", json.dumps({"image": junk}).encode())


def bad_image(draws: random.Random) -> bytes:
    return _upload(draws, draws.choice([_huge_png, _torn_image, _bomb, _noise, _lying_gif])(draws))


def bad_form(draws: random.Random) -> bytes:
    boundary = draws.choice(["x", "x" * 69])
    body = draws.choice(
        [
            b"--x\r\n\r\nno name\r\n--x--\r\n",
            b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\nmany\r\n--x--\r\n',
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n\r\n--x--\r\n',
            b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n'
            + b"a" * 2_000_000
            + b"\r\n--x--\r\n",
            b'--x\r\nContent-Disposition: form-data; name="t"\r\n\r\na\r\n' * 50 + b"--x--\r\n",
            b"\x00" * 500,
        ]
    )
    return http("POST", "/v1/search", body, f"multipart/form-data; boundary={boundary}")


def wrong_media_type(draws: random.Random) -> bytes:
    kind = draws.choice(
        ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "a/" + "b" * 900]
    )
    path, body = valid(draws)
    return http("POST", path, json.dumps(body).encode(), kind)


def climbing_id(draws: random.Random) -> bytes:
    up = draws.choice(
        ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "....//", "%252e%252e%252f", "..%c0%af"]
    )
    target = draws.choice(
        ["etc/passwd", "etc%2Fshadow", "proc/self/environ", "manifest.json", "windows/win.ini"]
    )
    of = draws.choice(["", "/thumbnail", "/media"])
    return http(draws.choice(["GET", "DELETE"]), f"/v1/items/{up * draws.randint(1, 12)}{target}{of}")


def controlled_id(draws: random.Random) -> bytes:
    letter = draws.choice(
        ["%00", "%01", "%0d%0aSet-Cookie:%20a=b", "%1b[2J", "%7f", "%ff%fe", "%c2%85", "x" * 600]
    )
    return http(draws.choice(["GET", "DELETE", "PUT"]), f"/v1/items/a{letter}b", b"{}")


def raw_path(draws: random.Random) -> bytes:
    path = draws.choice(
        [b"/v1/\xff\xfe", b"/v1/items/\xc3\x28", b"//v1//search", b"/v1/items?limit=1e9", b"/v1/\x7f"]
    )
    return http("GET", path)


def bad_parameters(draws: random.Random) -> bytes:
    text = draws.choice(
        [
            "limit=0",
            "limit=-1",
            "limit=99999999999999999999",
            "limit=a",
            "cursor=%00",
            "cursor=" + "A" * 5000,
            "cursor=!!!",
            "filter=" + "a" * 3000,
            "collection=../..",
            "collection=%00",
            "filter=path%3Da",
        ]
    )
    return http("GET", f"/v1/items?{text}")


def bad_item(draws: random.Random) -> bytes:
    picture = base64.b64encode(_png(4, 4)).decode()
    body = draws.choice(
        [
            {"image": picture, "metadata": {"a": {"b": 1}}},
            {"image": picture, "metadata": {"a": 10**30}},
            {"image": picture, "metadata": {"\x00": 1}},
            {"image": picture, "metadata": {f"f{n}": n for n in range(200)}},
            {"image": picture, "captions": {"not a tag": "x"}},
            {"image": picture, "captions": {"en": "x" * 20_000}},
            {"image": picture, "path": "/etc/passwd"},
            {"image": "AAAA"},
            {},
        ]
    )
    return http("PUT", "/v1/items/hostile.png", json.dumps(body).encode())


def no_http(draws: random.Random) -> bytes:
    return draws.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"GET / HTTP/one\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\n\r\n",
            b"GET  /\r\n\r\n",
            b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nBad Header: a\r\n\r\n",
            b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1@attacker.example\r\nConnection: close\r\n\r\n",
        ]
    )


def too_large(draws: random.Random) -> bytes:
    size = draws.choice([30_000_000, 10**12, 10**30])
    head = f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: {JSON}\r\n"
    return f"{head}Content-Length: {size}\r\n\r\n".encode()


def wrong_method(draws: random.Random) -> bytes:
    path = draws.choice(["/v1/search", "/healthz", "/metrics", "/v1/collections", "/page/page.js"])
    return http(draws.choice(["PATCH", "TRACE", "PROPFIND", "PUT", "DELETE", "BREW"]), path)


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    torn_json,
    dirty_json,
    wrong_types,
    not_a_number,
    deep_json,
    unknown_fields,
    long_query,
    bad_filter,
    bad_base64,
    bad_image,
    bad_form,
    wrong_media_type,
    climbing_id,
    controlled_id,
    raw_path,
    bad_parameters,
    bad_item,
    no_http,
    too_large,
    wrong_method,
)


def _upload(draws: random.Random, image: bytes) -> bytes:
    if draws.random() < 0.5:
        return http("POST", "/v1/search", json.dumps({"image": base64.b64encode(image).decode()}).encode())
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="../../a.php"\r\n\r\n'
    method, path = draws.choice([("POST", "/v1/search"), ("PUT", "/v1/items/hostile.jpg")])
    return http(method, path, head + image + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")


def _png(width: int, height: int) -> bytes:
    content = io.BytesIO()
    Image.new("L", (width, height)).save(content, "PNG")
    return content.getvalue()


def _huge_png(draws: random.Random) -> bytes:
    """A header that promises up to 4 gigapixels."""
    side = draws.choice([20_000, 65_535, 2**31 - 1])
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + _png(4, 4)[33:]


def _torn_image(draws: random.Random) -> bytes:
    content = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(
        content, draws.choice(["JPEG", "PNG", "WEBP", "TIFF"])
    )
    whole = content.getvalue()
    return whole[: draws.randrange(1, len(whole) // 2)]


def _bomb(draws: random.Random) -> bytes:
    """80 megapixels in 80 kB."""
    return _png(20_000, 4_000)


def _noise(draws: random.Random) -> bytes:
    start = draws.choice(
        [b"", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg>", b"BM"]
    )
    return start + draws.randbytes(draws.randrange(1, 3000))


def _lying_gif(draws: random.Random) -> bytes:
    return b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x00\x00\x00,\x00\x00\x00\x00" + b"\xff" * 8


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("url")
    reader.add_argument("--requests", type=int, default=1000)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--secret", action="append", default=[], help="text that no answer may hold")
    reader.add_argument("--out", type=Path)
    given = reader.parse_args()
    where = urlsplit(given.url)
    assert where.hostname is not None
    counts: Counter[tuple[str, int]] = Counter()
    bad = 0
    for request in requests(given.requests, given.seed):
        answer = send(where.hostname, where.port or 80, request.content)
        counts[request.kind, answer.status] += 1
        if found := faults(answer, given.secret):
            bad += 1
            print(request.kind, found, request.content[:200], answer.content[:400], file=sys.stderr)
    lines = [
        "# Malformed requests",
        "",
        f"`python benchmarks/search/hostile.py URL --requests {given.requests} --seed {given.seed}`: "
        f"{given.requests} requests, {bad} of them without a 4xx or with a path in the answer; "
        f"{commit_and_computer()}.",
        "",
        "| kind | statuses |",
        "|---|---|",
    ]
    for make in KINDS:
        told = sorted((status, n) for (kind, status), n in counts.items() if kind == make.__name__)
        lines.append(f"| {make.__name__.replace('_', ' ')} | {', '.join(f'{n} x {s}' for s, n in told)} |")
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
