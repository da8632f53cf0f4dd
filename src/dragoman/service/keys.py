"""Keys of the API: made once, kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.errors import UserError
from dragoman.service.problems import problem_response

PREFIX = "dragoman_"
OPEN = ("/", "/healthz", "/readyz")
READS = ("GET", "HEAD", "OPTIONS", "POST")
"""Every POST of this service asks; PUT and DELETE change."""
_LINE = re.compile(r"([0-9a-f]{64})(?:\s+#.*)?")


def new_key(file: Path) -> str:
    """Append the hash of a new key to `file`, which only its owner can read, and return the key.

    A key holds 256 random bits, so that a plain SHA-256 of it cannot be turned round.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "a", encoding="ascii") as lines:
        os.fchmod(lines.fileno(), 0o600)
        lines.write(f"{_digest(key)}  # {key[: len(PREFIX) + 4]}...\n")
    return key


class KeyFile:
    """The hashes of a file, read again when it changes: a key is revoked by deleting its line."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stamp: tuple[int, int] | None = None
        self._digests: list[str] = []
        self._refresh()

    def holds(self, key: str) -> bool:
        """True where the key is one of them; takes as long for a near miss as for a far one."""
        self._refresh()
        digest = _digest(key)
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(found)

    def _refresh(self) -> None:
        try:
            state = self.file.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            if stamp != self._stamp:
                self._digests = _read(self.file)
                self._stamp = stamp
        except FileNotFoundError:
            raise UserError(
                f"{self.file} does not exist. Make a key: dragoman serve --new-key {self.file}"
            ) from None


def _read(file: Path) -> list[str]:
    found: list[str] = []
    for number, line in enumerate(file.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match:
            found.append(match[1])
        elif line.strip() and not line.lstrip().startswith("#"):
            raise UserError(
                f"{file}, line {number}: expected the SHA-256 of a key in 64 hexadecimal digits. "
                f"Add a key: dragoman serve --new-key {file}"
            )
    if not found:
        raise UserError(f"{file} holds no key. Make one: dragoman serve --new-key {file}")
    return found


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Guard:
    """Lets a request through that needs no key or brings one: `Authorization: Bearer <key>`."""

    def __init__(
        self, app: ASGIApp, *, keys: KeyFile | None, allow_writes: bool, public_search: bool
    ) -> None:
        """Without keys everybody reads, and writes only where `allow_writes`; with keys, everything needs
        one, but for searching where `public_search`."""
        self.app = app
        self.keys = keys
        self.allow_writes = allow_writes
        self.public_search = public_search

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        status, detail = refusal
        headers = {"www-authenticate": 'Bearer realm="dragoman"'} if status == 401 else None
        await problem_response(scope, status, detail, headers=headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        reads = scope["method"] in READS
        if self.keys is None:
            if reads or self.allow_writes:
                return None
            return (
                403,
                "This service takes no changes: it was started without keys and without --allow-writes.",
            )
        if self._public(scope["path"], reads):
            return None
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._known(key.strip()):
            return None
        return 401, "This needs an API key, sent as 'Authorization: Bearer <key>'."

    def _public(self, path: str, reads: bool) -> bool:
        if not reads:
            return False
        return path in OPEN or path.startswith("/page/") or (self.public_search and path != "/metrics")

    def _known(self, key: str) -> bool:
        assert self.keys is not None
        try:
            return self.keys.holds(key)
        except (UserError, OSError):
            # A key file that has been emptied or removed meanwhile opens nothing.
            return False
