"""A headless Chromium driven over its DevTools socket: go somewhere, run a script, look at it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import websocket

PROGRAM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
    "--remote-allow-origins=*", "--window-size=900,700",
)  # fmt: skip


class Navigated(Exception):
    """The page went away while it was asked."""


class Browser:
    """One page. https://chromedevtools.github.io/devtools-protocol/"""

    def __init__(self, *options: str) -> None:
        assert PROGRAM is not None
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        command = [PROGRAM, *_OPTIONS, *options, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            url = self._page()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self._socket = websocket.create_connection(url, timeout=20)
        self._count = 0
        self.problems: list[str] = []
        """Uncaught errors and failed loads the page had."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def _page(self) -> str:
        """Where its page is spoken to, once it listens: it names its port before."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                with open(f"{self._folder}/DevToolsActivePort") as file:
                    port = file.readline().strip()
                with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=60) as answer:
                    page = next(t for t in json.load(answer) if t["type"] == "page")
                    return str(page["webSocketDebuggerUrl"])
            except (FileNotFoundError, URLError, StopIteration):
                time.sleep(0.05)
        raise AssertionError("chromium did not start")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._count:
                if "navigated" in message.get("error", {}).get("message", ""):
                    raise Navigated
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(message["params"]["exceptionDetails"]["text"])
        elif message.get("method") == "Log.entryAdded":
            entry = message["params"]["entry"]
            if entry["level"] == "error":
                self.problems.append(f"{entry['text']} {entry.get('url', '')}")

    def go(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _holds(self, script: str) -> bool:
        try:
            return bool(self.run(script))
        except Navigated:  # the page it was asked of is no more
            return False

    def until(self, script: str, seconds: float = 20) -> None:
        """Wait until the expression is true; the page decides when, not the clock."""
        end = time.monotonic() + seconds
        while not self._holds(script):
            assert time.monotonic() < end, (
                script,
                self.run("document.body.innerText"),
                self.problems,
            )
            time.sleep(0.03)

    def fill(self, form: str, **values: str) -> None:
        """Type into a form's fields and press its button, as a person would."""
        for name, value in values.items():
            self.run(f"document.querySelector('{form} [name={name}]').focus()")
            self.ask("Input.insertText", text=value)
        self.run(f"document.querySelector('{form} button').click()")

    def picture(self, path: str) -> None:
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)
