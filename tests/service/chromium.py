"""A real browser, driven by its own debugging protocol: keys, input methods, files, screens."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image
from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 40.0
"""Seconds until something that should happen counts as missing."""
KEYS = {
    "Enter": 13,
    "Escape": 27,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
    "End": 35,
    "Tab": 9,
    "Backspace": 8,
}
MIDDLE = """(() => {
  const found = document.querySelector(%s);
  found.scrollIntoView({block: "center"});
  const box = found.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.failures: list[str] = []
        """Exceptions of scripts, and what the console calls an error."""
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command of the protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Runtime.exceptionThrown":
            details = event["params"]["exceptionDetails"]
            self.failures.append(details.get("exception", {}).get("description", details["text"]))
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.failures.append(event["params"]["entry"]["text"])

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression once it is true of the page."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if value := self.ask(script):
                return value
            time.sleep(0.02)
        raise AssertionError(f"never true: {script}; the page says: {self.ask('document.body.innerText')}")

    def go(self, url: str) -> None:
        """Load an address, and wait for the page to have pictures, or to say why not."""
        self.send("Page.navigate", url=url)
        self.wait(
            "location.href.startsWith('http') && document.querySelector('#count') && "
            "(document.querySelector('#count').textContent !== '' || "
            "document.querySelector('dialog[open]') !== null)"
        )

    def type(self, text: str) -> None:
        """As a keyboard does, letter by letter."""
        for letter in text:
            self.send("Input.dispatchKeyEvent", type="char", text=letter)

    def compose(self, *steps: str) -> None:
        """As an input method does: text that changes until `commit`."""
        for step in steps:
            self.send("Input.imeSetComposition", text=step, selectionStart=len(step), selectionEnd=len(step))

    def commit(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def press(self, *keys: str) -> None:
        for key in keys:
            code = KEYS.get(key, ord(key.upper()[0]))
            text = "\r" if key == "Enter" else key if len(key) == 1 else ""
            common = {"key": key, "windowsVirtualKeyCode": code, "code": key if key in KEYS else ""}
            self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
            self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        where = self.ask(MIDDLE % repr(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.send(
                "Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1
            )

    def choose_file(self, selector: str, file: Path) -> None:
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def drop_file(self, file: Path) -> None:
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=300, y=300, data=data)

    def look(self, width: int, height: int, *, dark: bool = False, language: str = "en-GB") -> None:
        """Size of the screen, its colours, and the language of the person."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[scheme, calm])
        agent = self.send("Browser.getVersion")["userAgent"]
        self.send("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    def picture(self) -> Image.Image:
        """What is on the screen, once every picture has come."""
        self.wait(
            "[...document.images].every((i) => i.complete || i.getBoundingClientRect().top > innerHeight)"
        )
        shot = self.send("Page.captureScreenshot", format="png")
        return Image.open(io.BytesIO(base64.b64decode(shot["data"])))


@contextmanager
def browser(folder: Path, *more: str) -> Iterator[str]:
    """Start Chromium without a window, with more arguments; yields the address of its debugger."""
    assert PROGRAM is not None
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    arguments += [
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    arguments += [*more, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = folder / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not port.exists() or not port.read_text().count("\n"):
            assert process.poll() is None, "Chromium ended"
            assert time.monotonic() < until, "Chromium did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def tab(debugger: str) -> Iterator[Page]:
    """A new tab."""
    made = httpx2.put(f"{debugger}/json/new?about:blank").json()
    with connect(made["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
        yield Page(socket)
    httpx2.get(f"{debugger}/json/close/{made['id']}")
