"""A headless Chromium, driven by its own DevTools protocol through a pair of pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SECONDS = 60.0
_FLAGS = ("--headless", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
          "--hide-scrollbars", "--remote-debugging-pipe")  # fmt: skip


@dataclass
class Page:
    """One page; `told` holds every event since it was opened."""

    commands: int
    answers: int
    session: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    _sent: int = 0
    _rest: bytes = b""

    def call(self, method: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
        """The answer to one command of the protocol."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._sent:
            self.told.append(answer)
        assert "error" not in answer, answer["error"]
        found: dict[str, Any] = answer["result"]
        return found

    def until(self, method: str) -> None:
        """Wait for an event that has not come yet."""
        while not any(event.get("method") == method for event in self.told):
            self.told.append(self._next())

    def value(self, script: str) -> Any:  # noqa: ANN401 (any JSON value)
        """What an expression is in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]

    def show(self, width: int, height: int, *, dark: bool) -> None:
        """The page in a window of that size, to a reader who likes it light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.answers], [], [], _SECONDS)
            part = os.read(self.answers, 1 << 20) if ready else b""
            assert part, "Chromium ended, or said nothing for a minute"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def opened(file: Path, profile: Path) -> Iterator[Page]:
    """A file in a browser of its own; `profile` is an empty folder for what the browser keeps."""
    assert shutil.which("chromium"), "chromium is missing: hack/chromium installs it"
    with ExitStack() as stack:
        commands, answers = os.pipe(), os.pipe()
        ours, theirs = (answers[0], commands[1]), (commands[0], answers[1])
        for end in ours:
            stack.callback(os.close, end)
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        arguments = ["chromium", *_FLAGS, *root, f"--user-data-dir={profile}", "about:blank"]
        through = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
        browser = subprocess.Popen(
            ["bash", "-c", through, "bash", *arguments],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.enter_context(browser)
        for end in theirs:
            os.close(end)
        page = Page(commands=ours[1], answers=ours[0])
        stack.callback(page.call, "Browser.close")
        _attach(page)
        page.call("Page.navigate", url=file.as_uri())
        page.until("Page.loadEventFired")
        yield page


def _attach(page: Page) -> None:
    targets = page.call("Target.getTargets")["targetInfos"]
    target = next(each["targetId"] for each in targets if each["type"] == "page")
    page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
        page.call(f"{domain}.enable")
