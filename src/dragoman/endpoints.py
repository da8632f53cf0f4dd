"""Servers that speak OpenAI's protocol: JSON and forms over HTTP, asked with patience.

Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY, so that the key never stands in a corpus, a
model or a shell history, and no file of others decides where texts are sent.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.errors import UnavailableError, UserError

PUBLIC_URL = "https://api.openai.com/v1"
LONGEST_PAUSE = 60.0
"""Seconds."""


class RequestError(Exception):
    """The server refuses this request or does not finish it, perhaps because of what it holds."""


def base_url(given: str = "") -> str:
    """Find the address up to `/v1`: the given one, OPENAI_BASE_URL, or else the public one.

    Raises UserError for what is no address of the web.
    """
    url = given or os.environ.get("OPENAI_BASE_URL") or PUBLIC_URL
    if not url.startswith(("http://", "https://")):
        raise UserError(f"OPENAI_BASE_URL is {url!r}, no http(s) address. Example: {PUBLIC_URL}")
    return url.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server, and the patience with it."""

    url: str
    """Up to `/v1`."""
    key: str | None = field(repr=False)
    tries: int = 5
    """Requests in the place of one where it is overloaded or out of reach."""
    pause: float = 1.0
    """Seconds before the second try; doubled for each further one, at most 60."""

    @classmethod
    def open(cls, asks: str, url: str, *, tries: int = 5, pause: float = 1.0) -> Endpoint:
        """Take the key of the environment. Raises UserError where the public server would have none; `asks`
        is who needs it, for the message."""
        key = os.environ.get("OPENAI_API_KEY")
        if not key and url == PUBLIC_URL:
            raise UserError(f"{asks} needs a key. Set it: export OPENAI_API_KEY=…")
        return cls(url=url, key=key, tries=tries, pause=pause)

    def post(self, path: str, body: Mapping[str, Any], timeout: float) -> bytes:
        """Return the answer to a request for the `model` of `body`, within `timeout` seconds a try.

        Raises RequestError where another request might succeed, and UnavailableError where none would.
        """
        return self._asked(path, json.dumps(body).encode(), "application/json", body["model"], timeout)

    def post_file(
        self, path: str, fields: Mapping[str, str], file: bytes, name: str, file_type: str, timeout: float
    ) -> bytes:
        """Return the answer to a form with these fields, `model` among them, and a `file`; else as `post`."""
        boundary = secrets.token_hex(16)  # random, so that no file can hold it
        heads = {f'name="{field}"': value.encode() for field, value in fields.items()}
        heads[f'name="file"; filename="{name}"\r\nContent-Type: {file_type}'] = file
        parts = [
            f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
            for head, content in heads.items()
        ]
        form = b"".join([*parts, f"--{boundary}--\r\n".encode()])
        kind = f"multipart/form-data; boundary={boundary}"
        return self._asked(path, form, kind, fields["model"], timeout)

    def _asked(self, path: str, body: bytes, kind: str, model: str, timeout: float) -> bytes:
        address, pause, reason = self.url + path, self.pause, ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            try:
                return self._request(address, body, kind, timeout)
            except urllib.error.HTTPError as error:
                reason = _judge(error, address, model)
                pause = max(pause, _asked_to_wait(error))
            except TimeoutError:
                raise RequestError(f"{address} did not answer within {timeout:.3g} s") from None
            except (OSError, http.client.HTTPException) as error:
                if isinstance(getattr(error, "reason", None), TimeoutError):
                    raise RequestError(f"{address} did not answer within {timeout:.3g} s") from None
                reason = f"{getattr(error, 'reason', error)!s}"
        raise UnavailableError(f"{address} failed {self.tries} times, at last with: {reason}.")

    def _request(self, address: str, body: bytes, kind: str, timeout: float) -> bytes:
        headers = {"Content-Type": kind}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(address, data=body, headers=headers)
        deadline = time.monotonic() + timeout
        chunks = []
        # The time limit of urlopen is for each read: a server that sends a byte now and then would never end.
        with urllib.request.urlopen(request, timeout=timeout) as response:
            while chunk := response.read1():
                chunks.append(chunk)
                if time.monotonic() > deadline:
                    raise TimeoutError
        return b"".join(chunks)


def _judge(error: urllib.error.HTTPError, address: str, model: str) -> str:
    """The reason of a status worth another try; raises for every other status."""
    with error:
        said = " ".join(error.read(2000).decode(errors="replace").split())[:200]
    reason = f"HTTP status {error.code} ({said or error.reason})"
    if error.code == 429 or error.code >= 500:
        return reason
    # Something in this request, perhaps, or how much of it.
    if error.code in (400, 413, 422):
        raise RequestError(reason)
    raise UnavailableError(
        f"{address} refuses the request: {reason}. Check OPENAI_BASE_URL, OPENAI_API_KEY and the model name "
        f"{model!r}."
    )


def _asked_to_wait(error: urllib.error.HTTPError) -> float:
    asked = error.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_PAUSE) if asked.isdigit() else 0.0
