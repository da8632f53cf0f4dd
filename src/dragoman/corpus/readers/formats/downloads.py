"""Files fetched over the network, where a user asks for it: one at a time, with pauses, of bounded size."""

from __future__ import annotations

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from dragoman import progress
from dragoman.folders import atomic_path
from dragoman.media.images import ImageError, image_header

LARGEST = 100_000_000
"""Bytes of a file."""
PART = 1 << 16
"""Bytes that are waited for at a time, at most."""
LONGEST_PAUSE = 60.0
"""Seconds that a server may ask to wait."""
_WEB = ("http://", "https://")
_AGENT = "dragoman/0.1 (image search; one request at a time)"
T = TypeVar("T")


def file_name(address: str, stem: str, suffix: str) -> str:
    """Name the file of an address: no two have one, whatever ends they have in common."""
    plain = re.sub(r"[^\w.-]+", "_", stem).strip("._")[:150]
    return f"{plain or 'file'}-{hashlib.sha256(address.encode()).hexdigest()[:12]}{suffix}"


@dataclass
class Fetcher:
    """Fetcher of files into a folder; one that is there is not asked for again."""

    folder: Path
    pause: float = 1.0
    """Seconds between two requests."""
    timeout: float = 60.0
    """Seconds in which nothing comes."""
    longest: float = 600.0
    """Seconds of one file."""
    tries: int = 3
    _last: float = 0.0

    def shown(self, waiting: Sequence[T]) -> Iterator[T]:
        """Yield what waits, with its progress."""
        with progress.bar(len(waiting), "Fetching", "files") as bar:
            for one in waiting:
                yield one
                bar.update(1)

    def fetch(
        self,
        addresses: Sequence[str],
        name: str,
        largest: int = LARGEST,
        check: Callable[[bytes], object] = lambda content: image_header(content).close(),
    ) -> Path:
        """Fetch the first of several addresses that answers, as the file `name`.

        Raises ValueError, whose message says why from its verb on, where none does, or none with what passes
        `check`, which raises ValueError or ImageError for other content; by default all but pictures.
        """
        web = [one for one in addresses if one.startswith(_WEB)]
        if not web:
            raise ValueError("has no address of the web")
        target, reason = self.folder / name, ""
        if target.is_file():
            return target
        for address in web:
            try:
                content = self._get(address, largest)
                check(content)
            except (ValueError, ImageError) as error:
                reason = error.reason if isinstance(error, ImageError) else str(error)
                continue
            # Never half a file under its name, whenever it is killed.
            with atomic_path(target) as temporary:
                temporary.write_bytes(content)
            return target
        raise ValueError(f"could not be fetched from {web[-1]} ({reason})")

    def _get(self, address: str, largest: int) -> bytes:
        wait, reason = self.pause, ""
        for _ in range(self.tries):
            time.sleep(max(0.0, self._last + wait - time.monotonic()))
            try:
                # Manifests have letters in addresses that HTTP has not.
                request = urllib.request.Request(quote(address, safe=_SAFE), headers={"User-Agent": _AGENT})
                with _OPENER.open(request, timeout=self.timeout) as answer:
                    return self._read(answer, largest)
            except urllib.error.HTTPError as error:
                reason = f"the server answered {error.code}"
                reason += ", which leads nowhere" if error.code in _REDIRECTIONS else ""
                if error.code not in (429, 500, 502, 503, 504):
                    break
                wait = max(wait * 2, _asked(error.headers.get("Retry-After")))
            except (OSError, http.client.HTTPException) as error:
                reason, wait = str(error) or type(error).__name__, wait * 2
            finally:
                self._last = time.monotonic()
        raise ValueError(reason)

    def _read(self, answer: Any, largest: int) -> bytes:
        content, ends = bytearray(), time.monotonic() + self.longest
        while part := answer.read1(PART):
            content += part
            if len(content) > largest:
                raise ValueError(f"it is larger than {largest:,} bytes")
            if time.monotonic() > ends:
                raise ValueError(f"it took longer than {self.longest:,.0f} seconds")
        # Half a picture has a head like a whole one.
        if answer.length:
            raise ConnectionError(f"the answer ended {answer.length:,} bytes too early")
        return bytes(content)


class _WithinTheWeb(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(_WEB):
            raise ValueError(f"the server leads to {newurl}, which is no address of the web")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_WithinTheWeb)
_REDIRECTIONS = (301, 302, 303, 307, 308)
_SAFE = "%/:=&?~#+!$,;'@()*[]"
"""Letters of addresses that are no others (RFC 3986), and those that are written by their codes already."""


def _asked(after: Any) -> float:
    """Seconds that a server asks to wait, within reason."""
    return min(float(after), LONGEST_PAUSE) if isinstance(after, str) and after.isdecimal() else 0.0
