"""Access to the service: keys, made once, kept as hashes and compared in constant time, and who needs one."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import UserError

OPEN = ("/", "/healthz", "/readyz")
SAFE = ("GET", "HEAD", "OPTIONS")
READS = (*SAFE, "POST")
"""Every POST of this service asks; PUT and DELETE change."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
PREFIX = "dragoman_"
_LINE = re.compile(r"([0-9a-f]{64})(?:\s+#.*)?")


def new_key(file: Path) -> str:
    """Append the hash of a new key to `file`, which only its owner can read, and return the key.

    A key holds 256 random bits, so that a plain SHA-256 of it cannot be turned round.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "a+b") as lines:
        os.fchmod(lines.fileno(), 0o600)
        # Many editors write no newline at the end: the new key would become a part of the last one's comment.
        if lines.tell():
            lines.seek(-1, os.SEEK_END)
            if lines.read(1) not in b"\r\n":
                lines.write(b"\n")
        lines.write(f"{_digest(key)}  # {key[: len(PREFIX) + 4]}...\n".encode("ascii"))
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


@dataclass(frozen=True, kw_only=True)
class Access:
    """Rights to ask and to change items: by default whoever reaches the service asks, and nobody changes."""

    keys: KeyFile | None = None
    """With keys, everything needs one."""
    public_search: bool = False
    """With keys: searching needs none, changes do."""
    allow_writes: bool = False
    """Without keys: whoever reaches the service changes items."""
    # A page elsewhere, whose name is pointed at this computer, would pass for ours but for the Host it sends.
    hosts: Collection[str] | None = LOOPBACK
    """Names that the service answers to; None for any."""
    cors: tuple[str, ...] = ()
    """Origin whose pages may ask. May be repeated."""
    media_root: tuple[str, ...] = ()
    """Folder whose files may be given, beside the one that was indexed. May be repeated."""

    def needs_key(self, method: str, path: str) -> bool:
        """Tell if a request must bring a key."""
        if self.keys is None:
            return False
        if method not in READS:
            return True
        public = path in OPEN or path.startswith("/page/") or (self.public_search and path != "/metrics")
        return not public
